//! What a file claims about itself, read in the same jail as everything else.

use super::control;
use super::ffprobe::{
    Probed, frame_places_args, frame_sizes_args, parse_answer, parse_places, parse_sizes,
    probe_args, unreadable,
};
use super::info::VideoInfo;
use super::jail::{Allowance, Ended, Output, run, sealed_picture};
use super::mp4::{Picture, Use};
use super::parts;
use super::{Ffmpeg, Limits, MediaError, MediaFault, VideoDefect, check_size};
use std::fs::File;
use std::ops::{ControlFlow, Range};

/// ffprobe's answer has under 100 bytes for each frame.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// A file whose picture alone can be seen, and what it claims to be.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) input: File,
    pub(super) picture: Picture,
    pub(super) probed: Probed,
}

/// Reads what `bytes` claims to be.
///
/// # Errors
/// [`VideoDefect`] where the file is empty, too large, not an MP4, cut off, has no video track, a
/// codec outside the list, or frames over the pixel limit; [`MediaFault`] where this machine
/// failed.
pub fn probe(ffmpeg: &Ffmpeg, bytes: &[u8], limits: &Limits) -> Result<VideoInfo, MediaError> {
    Ok(open(ffmpeg, bytes, limits, Use::Frames)?.probed.info)
}

/// [`probe`], with what the later steps need.
pub(super) fn open(
    ffmpeg: &Ffmpeg,
    bytes: &[u8],
    limits: &Limits,
    purpose: Use,
) -> Result<Opened, MediaError> {
    open_if(ffmpeg, bytes, limits, purpose, |_, _| Ok(()))
}

/// [`open`] of a miner's video, whose work for a decoder is counted before anything is decoded: the
/// probe decodes the first frames.
pub(super) fn open_answer(
    ffmpeg: &Ffmpeg,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Opened, MediaError> {
    open_if(ffmpeg, bytes, limits, Use::Frames, |picture, input| {
        let frames = coded_frames(ffmpeg, input, limits)?;
        Ok(parts::check(picture, bytes, &frames, limits)?)
    })
}

fn open_if(
    ffmpeg: &Ffmpeg,
    bytes: &[u8],
    limits: &Limits,
    purpose: Use,
    accept: impl FnOnce(&Picture, &File) -> Result<(), MediaError>,
) -> Result<Opened, MediaError> {
    check_size(bytes, limits)?;
    let picture = Picture::find(bytes, purpose)?;
    let input = sealed_picture(bytes, &picture)?;
    let accepted = accept(&picture, &input);
    let probed = match accepted.and_then(|()| probe_file(ffmpeg, &input, limits, purpose)) {
        Ok(probed) => probed,
        Err(MediaError::Video(defect)) => {
            control::prove(ffmpeg, picture.coding(), None)?;
            return Err(match (defect, picture.unusual_coding()) {
                // The decoder of a codec outside the list is not even opened.
                (VideoDefect::Undecodable { .. }, Some(codec)) => {
                    VideoDefect::Codec { codec: codec.to_owned() }
                }
                (defect, _) => defect,
            }
            .into());
        }
        Err(fault) => return Err(fault),
    };
    Ok(Opened { input, picture, probed })
}

/// Where coded frames stand in a file: at most one more than the limit.
fn coded_frames(
    ffmpeg: &Ffmpeg,
    input: &File,
    limits: &Limits,
) -> Result<Vec<Range<usize>>, MediaError> {
    let (ended, answer) = ask(ffmpeg, &frame_places_args(limits), input, limits)?;
    check_end(ended, limits, Use::Frames)?;
    Ok(parse_places(&answer)?)
}

fn probe_file(
    ffmpeg: &Ffmpeg,
    input: &File,
    limits: &Limits,
    purpose: Use,
) -> Result<Probed, MediaError> {
    let (ended, answer) = ask(ffmpeg, &probe_args(limits), input, limits)?;
    check_end(ended, limits, purpose)?;
    Ok(parse_answer(&answer, limits)?)
}

/// What ffprobe's exit says about a file.
fn check_end(ended: Ended, limits: &Limits, purpose: Use) -> Result<(), MediaError> {
    let seconds = limits.cpu.as_secs();
    match (ended, purpose) {
        (Ended::Success, _) => Ok(()),
        (Ended::Failure { complaint }, _) => {
            tracing::debug!(complaint, "the probe refuses a video");
            Err(unreadable("its index cannot be read").into())
        }
        (Ended::Stopped, _) => Err(unreadable("endless stream description").into()),
        (Ended::OutOfCpu, Use::Frames) => Err(MediaFault::OutOfCpu { seconds }.into()),
        (Ended::OutOfCpu, Use::Playback) => Err(VideoDefect::TooExpensive { seconds }.into()),
    }
}

/// The sizes of a file's frames, as far as they decode. Costs as much as decoding them.
pub(super) fn frame_sizes(
    ffmpeg: &Ffmpeg,
    input: &File,
    limits: &Limits,
) -> Result<Vec<(u32, u32)>, MediaFault> {
    let (ended, answer) = ask(ffmpeg, &frame_sizes_args(limits), input, limits)?;
    if matches!(ended, Ended::OutOfCpu) {
        return Err(MediaFault::OutOfCpu { seconds: limits.cpu.as_secs() });
    }
    Ok(parse_sizes(&answer))
}

/// Runs ffprobe. Returns how it ended, and what it printed.
fn ask(
    ffmpeg: &Ffmpeg,
    args: &[String],
    input: &File,
    limits: &Limits,
) -> Result<(Ended, Vec<u8>), MediaFault> {
    let mut answer = Vec::new();
    let mut sink = |bytes: &[u8]| {
        answer.extend_from_slice(bytes);
        if answer.len() > MAX_ANSWER_BYTES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: 0 };
    let ended = run(&ffmpeg.ffprobe, args, input, Output::Pipe(&mut sink), allowance)?;
    Ok((ended, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_that_runs_out_is_no_answers_fault() {
        let ran_out = |purpose| check_end(Ended::OutOfCpu, &Limits::ANSWER, purpose).unwrap_err();
        let answer = ran_out(Use::Frames);
        assert!(matches!(answer, MediaError::Fault(MediaFault::OutOfCpu { .. })), "{answer}");
        let source = ran_out(Use::Playback);
        let is_named = matches!(source, MediaError::Video(VideoDefect::TooExpensive { .. }));
        assert!(is_named, "{source}");
    }
}
