//! Tells a broken ffmpeg from a broken video, by known-good clips.
//!
//! A program that cannot start, or that lacks a decoder or a filter, exits as it does on a damaged
//! video. So whenever a video seems damaged, the known-good clip of the same codec is decoded with
//! the same arguments, which takes three short processes. The result is not cached, because an
//! update may break ffmpeg at any time.

use super::ffprobe::{frame_places_args, parse_answer, parse_places, probe_args};
use super::jail::{Allowance, Ended, Output, run, sealed_file};
use super::layout::{Layout, frame_args};
use super::{Ffmpeg, Limits, MediaFault};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

/// Width and height of each clip.
const SIDE: u32 = 64;
/// Frames of each clip.
const FRAMES: usize = 2;
/// Their bytes.
const FRAME_BYTES: usize = FRAMES * 64 * 64 * 3 / 2;
/// More than any program prints about a clip.
const MOST_BYTES: usize = 1 << 20;

/// A clip of two frames, made by `ffmpeg -f lavfi -i testsrc2=s=64x64:r=16 -frames:v 2`.
struct Control {
    codec: &'static str,
    /// Names of its codec's sample entries.
    codings: &'static [&'static str],
    mp4: &'static [u8],
}

/// One clip for each codec that is decoded.
static CONTROLS: [Control; 5] = [
    Control {
        codec: "h264",
        codings: &["avc1", "avc2", "avc3", "avc4"],
        mp4: include_bytes!("control/h264.mp4"),
    },
    Control {
        codec: "hevc",
        codings: &["hvc1", "hev1", "dvh1", "dvhe"],
        mp4: include_bytes!("control/hevc.mp4"),
    },
    Control { codec: "vp9", codings: &["vp09"], mp4: include_bytes!("control/vp9.mp4") },
    Control { codec: "av1", codings: &["av01"], mp4: include_bytes!("control/av1.mp4") },
    Control { codec: "mpeg4", codings: &["mp4v"], mp4: include_bytes!("control/mpeg4.mp4") },
];

/// Decodes the clip of a coding, or of H.264 where the coding is unknown, as a file of this layout
/// is decoded.
///
/// # Errors
/// The clip does not decode either: the fault is this machine's.
pub(super) fn prove(
    ffmpeg: &Ffmpeg,
    coding: &str,
    layout: Option<Layout>,
) -> Result<(), MediaFault> {
    let named = CONTROLS.iter().find(|control| control.codings.contains(&coding));
    named.unwrap_or(&CONTROLS[0]).prove(ffmpeg, layout)
}

impl Control {
    fn prove(&self, ffmpeg: &Ffmpeg, layout: Option<Layout>) -> Result<(), MediaFault> {
        let input = sealed_file(self.mp4)?;
        let limits = &Limits::ANSWER;
        let places = self.printed(&ffmpeg.ffprobe, &frame_places_args(limits), &input)?;
        let claims = self.printed(&ffmpeg.ffprobe, &probe_args(limits), &input)?;
        let placed = parse_places(&places).map_or(0, |places| places.len());
        let claimed = parse_answer(&claims, limits).map_or(0, |probed| probed.coded);
        if placed != FRAMES || claimed != FRAMES {
            return Err(self.broken(&ffmpeg.ffprobe, "it describes the clip wrongly".to_owned()));
        }
        let layout = layout.unwrap_or_else(|| Layout::new(Some("yuv420p"), None));
        let args = frame_args(ffmpeg, layout, (SIDE, SIDE), limits);
        let frames = self.printed(&ffmpeg.ffmpeg, &args, &input)?;
        if frames.len() < FRAME_BYTES {
            return Err(self.broken(&ffmpeg.ffmpeg, "it prints too few frames".to_owned()));
        }
        Ok(())
    }

    /// What a program prints about the clip.
    fn printed(
        &self,
        program: &Path,
        args: &[String],
        input: &File,
    ) -> Result<Vec<u8>, MediaFault> {
        let mut printed = Vec::new();
        let mut sink = |bytes: &[u8]| {
            printed.extend_from_slice(bytes);
            if printed.len() > MOST_BYTES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let Limits { cpu, wall, .. } = Limits::ANSWER;
        let allowance = Allowance { cpu, wall, file_bytes: 0 };
        let reason = match run(program, args, input, Output::Pipe(&mut sink), allowance)? {
            Ended::Success => return Ok(printed),
            Ended::Failure { complaint } => complaint,
            Ended::Stopped => "it prints too much".to_owned(),
            Ended::OutOfCpu => format!("it takes more than {} s", cpu.as_secs()),
        };
        Err(self.broken(program, reason))
    }

    fn broken(&self, program: &Path, reason: String) -> MediaFault {
        MediaFault::Broken { program: program.display().to_string(), codec: self.codec, reason }
    }
}

impl Ffmpeg {
    /// The codecs that a miner may answer in and this ffmpeg does not decode, each with the reason.
    pub fn missing_codecs(&self) -> Vec<String> {
        let missing = |control: &Control| {
            let reason = match control.prove(self, None).err()? {
                MediaFault::Broken { reason, .. } => reason,
                fault => fault.to_string(),
            };
            Some(format!("{} ({reason})", control.codec))
        };
        CONTROLS.iter().filter_map(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MediaError, VideoDefect, decode, probe};
    use super::*;

    /// The installed ffmpeg, or a printed reason for skipping the test.
    fn ffmpeg() -> Option<Ffmpeg> {
        Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()
    }

    /// A clip with nothing but zeros where its pictures were.
    fn damaged(control: &Control) -> Vec<u8> {
        let mut mp4 = control.mp4.to_vec();
        let data = mp4.windows(4).position(|name| name == b"mdat").unwrap();
        let size = u32::from_be_bytes(*mp4[data - 4..].first_chunk::<4>().unwrap()) as usize;
        mp4[data + 4..data - 4 + size].fill(0);
        mp4
    }

    #[test]
    fn an_ffmpeg_of_a_whole_system_decodes_every_codec_in_every_layout() {
        let Some(ffmpeg) = ffmpeg() else { return };
        let missing = ffmpeg.missing_codecs();
        assert!(missing.is_empty(), "{missing:?}");
        for layout in ["yuvj420p", "yuv444p", "yuv420p10le", "gbrp"] {
            prove(&ffmpeg, "avc1", Some(Layout::new(Some(layout), None))).unwrap();
        }
        // An unknown coding is tested with the commonest codec.
        prove(&ffmpeg, "xvid", None).unwrap();
        for control in &CONTROLS {
            let clip = decode(&ffmpeg, control.mp4, &Limits::ANSWER).unwrap();
            let size = (clip.width(), clip.height(), clip.len());
            assert_eq!(size, (64, 64, FRAMES), "{}", control.codec);
        }
    }

    #[test]
    fn a_damaged_video_is_its_senders_fault_and_a_broken_ffmpeg_is_ours() {
        let Some(whole) = ffmpeg() else { return };
        let mut broken = whole.clone();
        broken.ffmpeg = "/bin/false".into();
        let mut silent = whole.clone();
        silent.ffmpeg = "/bin/true".into();
        for control in &CONTROLS {
            let found = decode(&whole, &damaged(control), &Limits::ANSWER).unwrap_err();
            assert!(matches!(found, MediaError::Video(_)), "{}: {found}", control.codec);
            for ffmpeg in [&broken, &silent] {
                for video in [control.mp4, &damaged(control)] {
                    let found = decode(ffmpeg, video, &Limits::ANSWER).unwrap_err();
                    let is_right = match &found {
                        MediaError::Fault(MediaFault::Broken { codec, .. }) => {
                            *codec == control.codec
                        }
                        MediaError::Fault(_) => false,
                        // Damage that the probe sees needs no decoder.
                        MediaError::Video(_) => video != control.mp4,
                    };
                    assert!(is_right, "{}: {found}", control.codec);
                }
            }
        }
    }

    #[test]
    fn a_broken_ffprobe_is_ours_whatever_the_video_is() {
        let Some(whole) = ffmpeg() else { return };
        for program in ["/bin/false", "/bin/true"] {
            let mut broken = whole.clone();
            broken.ffprobe = program.into();
            for control in &CONTROLS {
                let found = probe(&broken, control.mp4, &Limits::ANSWER).unwrap_err();
                let MediaError::Fault(fault) = found else { panic!("{found}") };
                let said = fault.to_string();
                assert!(said.contains(program) && said.contains(control.codec), "{said}");
            }
            let found = probe(&broken, b"no MP4 at all", &Limits::ANSWER).unwrap_err();
            let is_named = matches!(found, MediaError::Video(VideoDefect::OtherKind { .. }));
            assert!(is_named, "{found}");
            assert_eq!(broken.missing_codecs().len(), CONTROLS.len());
        }
    }
}
