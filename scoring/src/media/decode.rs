//! Decodes a file to canonical frames, through ffmpeg's YUV4MPEG2 output, which states the frame
//! size.

use super::clip::CANONICAL_COLOURS;
use super::control;
use super::jail::{Allowance, Ended, Output, run};
use super::layout::frame_args;
use super::probe::{Opened, frame_sizes, open_answer};
use super::times::FrameTimes;
use super::yuv4mpeg::Yuv4Mpeg;
use super::{Clip, Ffmpeg, Limits, MediaError, MediaFault, VideoDefect, VideoInfo};
use std::fs::File;

/// Decodes all frames of the first video track of an MP4.
///
/// # Errors
/// [`VideoDefect`] for every fault of the file, [`MediaFault`] for every fault of this machine.
pub fn decode(ffmpeg: &Ffmpeg, bytes: &[u8], limits: &Limits) -> Result<Clip, MediaError> {
    decode_if(ffmpeg, bytes, limits, |_| Ok(()))
}

/// [`decode`], if `accept` agrees to the file's claims before any frame is decoded, and to the size
/// of each frame.
pub(crate) fn decode_if(
    ffmpeg: &Ffmpeg,
    bytes: &[u8],
    limits: &Limits,
    accept: impl Fn(&VideoInfo) -> Result<(), VideoDefect>,
) -> Result<Clip, MediaError> {
    let opened = open_answer(ffmpeg, bytes, limits)?;
    opened.check(limits)?;
    let info = &opened.probed.info;
    accept(info)?;
    let stated = (info.width, info.height);
    let defect = match opened.decoded(ffmpeg, stated, limits) {
        Err(MediaError::Video(
            defect @ (VideoDefect::Undecodable { .. } | VideoDefect::NoFrames),
        )) => defect,
        decoded => return decoded,
    };
    control::prove(ffmpeg, opened.picture.coding(), Some(opened.probed.layout))?;
    // A frame of another size than stated ends the decoder as damage does.
    let sizes = frame_sizes(ffmpeg, &opened.input, limits)?;
    for (width, height) in &sizes {
        accept(&VideoInfo { width: *width, height: *height, ..info.clone() })?;
    }
    let Some((first, rest)) = sizes.split_first() else { return Err(defect.into()) };
    if let Some(other) = rest.iter().find(|size| *size != first) {
        return Err(VideoDefect::WrongSize { got: *other, want: *first, tolerance: 0 }.into());
    }
    if *first == stated {
        return Err(defect.into());
    }
    // All frames have one size; only the index states another.
    opened.decoded(ffmpeg, *first, limits)
}

impl Opened {
    /// Refuses a file with too many frames, and one of which a player shows something other than
    /// its coded frames.
    fn check(&self, limits: &Limits) -> Result<(), VideoDefect> {
        if self.picture.is_turned {
            return Err(VideoDefect::Turned);
        }
        let times = self.probed.times.as_ref();
        let stated = self.probed.info.frames.unwrap_or(0);
        let frames = stated.max(self.probed.coded as u64);
        if frames > limits.frames as u64 {
            return Err(VideoDefect::TooManyFrames { limit: limits.frames });
        }
        let (first, last, interval) = times.map_or((0, 0, 0), FrameTimes::in_the_file);
        if times.is_some() && self.picture.hides_frames(first, last, interval) {
            return Err(VideoDefect::HiddenFrames);
        }
        Ok(())
    }

    /// All frames, each of which has this size.
    fn decoded(
        &self,
        ffmpeg: &Ffmpeg,
        size: (u32, u32),
        limits: &Limits,
    ) -> Result<Clip, MediaError> {
        let layout = self.probed.layout;
        let args = frame_args(ffmpeg, layout, size, limits);
        let mut info = self.probed.info.clone();
        // Red, green and blue are converted by the decoder.
        if layout.is_rgb {
            info.colour_space = Some(CANONICAL_COLOURS.to_owned());
        }
        let clip = read_frames(ffmpeg, &args, &self.input, limits, info)?;
        let times = self.probed.times.clone();
        if times.as_ref().is_some_and(|times| times.len() != clip.len()) {
            let complaint = "its index names another number of frames than decode".to_owned();
            return Err(VideoDefect::Undecodable { complaint }.into());
        }
        let clip = clip.shown_at_times(times);
        Ok(clip.with_canonical_colours(layout.full_range && !layout.is_rgb))
    }
}

/// Runs ffmpeg with `args`, which end in a YUV4MPEG2 stream on its standard output, and collects
/// the frames.
pub(super) fn read_frames(
    ffmpeg: &Ffmpeg,
    args: &[String],
    input: &File,
    limits: &Limits,
    info: VideoInfo,
) -> Result<Clip, MediaError> {
    let mut reader = Yuv4Mpeg::new(*limits);
    let mut sink = |bytes: &[u8]| reader.push(bytes);
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: 0 };
    let ended = run(&ffmpeg.ffmpeg, args, input, Output::Pipe(&mut sink), allowance)?;
    match ended {
        Ended::Success | Ended::Stopped => Ok(reader.finish(info)?),
        Ended::Failure { complaint } => {
            // What a decoder says differs with its version and with the timing of its threads.
            tracing::debug!(complaint, "the decoder refuses a video");
            let complaint = "the decoder finds its pictures damaged".to_owned();
            Err(VideoDefect::Undecodable { complaint }.into())
        }
        Ended::OutOfCpu => Err(MediaFault::OutOfCpu { seconds: limits.cpu.as_secs() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn made(ffmpeg: &Ffmpeg, args: &str, path: &Path) -> Vec<u8> {
        let status = Command::new(&ffmpeg.ffmpeg)
            .args("-nostdin -v error -y".split(' '))
            .args(args.split(' '))
            .arg(path)
            .status();
        assert!(status.unwrap().success(), "{args}");
        std::fs::read(path).unwrap()
    }

    /// A stream of eight frames of this size, without a container.
    fn stream(ffmpeg: &Ffmpeg, size: &str) -> Vec<u8> {
        let work = tempfile::tempdir().unwrap();
        let coding = "-frames:v 8 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
        let args = format!("-f lavfi -i testsrc2=s={size}:r=16 {coding}");
        made(ffmpeg, &args, &work.path().join("v.h264"))
    }

    fn in_mp4(ffmpeg: &Ffmpeg, stream: &[u8]) -> Vec<u8> {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("v.h264");
        std::fs::write(&path, stream).unwrap();
        let args = format!("-r 16 -i {} -c copy", path.display());
        made(ffmpeg, &args, &work.path().join("v.mp4"))
    }

    #[test]
    fn a_frame_of_thousands_of_parts_is_refused_by_their_number() {
        let Ok(ffmpeg) = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")) else {
            return;
        };
        // Filler, which belongs to the frame before it.
        let filled = |units| {
            let filler = [0, 0, 1, 0x0c, 0xff, 0x80].repeat(units);
            in_mp4(&ffmpeg, &[stream(&ffmpeg, "64x64"), filler].concat())
        };
        assert_eq!(decode(&ffmpeg, &filled(100), &Limits::ANSWER).unwrap().len(), 8);
        let refused = decode(&ffmpeg, &filled(6000), &Limits::ANSWER).unwrap_err();
        let MediaError::Video(VideoDefect::Undecodable { complaint }) = refused else {
            panic!("{refused}");
        };
        assert!(complaint.contains("coded parts, more than 5184"), "{complaint}");
    }

    #[test]
    fn a_size_that_changes_in_the_middle_is_a_wrong_size_whichever_comes_first() {
        let Ok(ffmpeg) = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")) else {
            return;
        };
        let (large, small) = ((416, 240), (320, 192));
        let gate = |want: (u32, u32)| {
            move |info: &VideoInfo| {
                let got = (info.width, info.height);
                let wrong = VideoDefect::WrongSize { got, want, tolerance: 8 };
                if got == want { Ok(()) } else { Err(wrong) }
            }
        };
        for (sizes, first, other) in
            [(["416x240", "320x192"], large, small), (["320x192", "416x240"], small, large)]
        {
            let streams = sizes.map(|size| stream(&ffmpeg, size));
            let video = in_mp4(&ffmpeg, &streams.concat());
            let found = decode(&ffmpeg, &video, &Limits::ANSWER).unwrap_err();
            let MediaError::Video(VideoDefect::WrongSize { got, want, .. }) = found else {
                panic!("{found}");
            };
            assert_eq!((got, want), (other, first));
            // The task's own size is named where only the first frames have it.
            let held = decode_if(&ffmpeg, &video, &Limits::ANSWER, gate(first)).unwrap_err();
            let MediaError::Video(VideoDefect::WrongSize { got, tolerance, .. }) = held else {
                panic!("{held}");
            };
            assert_eq!((got, tolerance), (other, 8));
        }
        let video = in_mp4(&ffmpeg, &stream(&ffmpeg, "416x240").repeat(2));
        assert_eq!(decode(&ffmpeg, &video, &Limits::ANSWER).unwrap().len(), 16);
    }

    /// `LEOMA_OTHER_FFMPEG` names a folder with another version's ffmpeg and ffprobe.
    #[test]
    fn two_versions_of_ffmpeg_give_the_same_frames() {
        let Some(folder) = std::env::var_os("LEOMA_OTHER_FFMPEG") else {
            println!("skipped: LEOMA_OTHER_FFMPEG names no folder with another ffmpeg");
            return;
        };
        let (ours, other) = (Ffmpeg::find().unwrap(), Ffmpeg::find_in(folder).unwrap());
        assert_ne!(ours.version(), other.version());
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("v.mp4");
        let x264 = "-c:v libx264 -preset veryfast";
        for coding in [
            format!("{x264} -bf 3 -pix_fmt yuv420p"),
            format!("{x264} -pix_fmt yuv420p -colorspace bt470bg -color_range tv"),
            format!("{x264} -pix_fmt yuvj420p -colorspace bt470bg -color_range pc"),
            format!("{x264} -pix_fmt yuv420p -vf fps=24"),
            "-c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p".into(),
            "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p -color_range pc"
                .into(),
            "-c:v mpeg4 -q:v 3".into(),
        ] {
            let made = Command::new(&ours.ffmpeg)
                .args(
                    "-nostdin -v error -y -f lavfi -i testsrc2=s=416x240:r=16 -frames:v 17"
                        .split(' '),
                )
                .args(coding.split(' '))
                .arg(&path)
                .status();
            assert!(made.unwrap().success(), "{coding}");
            let bytes = std::fs::read(&path).unwrap();
            let [one, two] =
                [&ours, &other].map(|ffmpeg| decode(ffmpeg, &bytes, &Limits::ANSWER).unwrap());
            assert!(one == two, "{coding}: {one:?} {two:?}");
        }
    }
}
