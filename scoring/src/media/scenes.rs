//! Finds the cuts of a source video, and the stretches between them that hold one shot.

use super::control;
use super::input::{STDIN_AS_FILE, input_flags};
use super::jail::{Allowance, Ended, Output, run};
use super::mp4::Use;
use super::probe::{Opened, open};
use super::segment::{SceneRules, Segment};
use super::{Ffmpeg, Limits, MediaError, VideoDefect};
use std::ops::ControlFlow;

/// Frames are compared at this size. A cut changes the whole picture, so detail does not matter.
const WIDTH: usize = 160;
/// See [`WIDTH`].
const HEIGHT: usize = 90;
/// Frames per second at which the source is analysed: the rate of a clip, so that times agree.
const RATE: u64 = 16;

/// Finds the stretches of `source` that hold one shot and are long enough for a clip of `clip_ms`.
///
/// # Errors
/// [`VideoDefect`] where the source is unusable, [`super::MediaFault`] where this machine failed.
/// The list is empty if no shot is long enough.
pub fn one_shot_segments(
    ffmpeg: &Ffmpeg,
    source: &[u8],
    rules: &SceneRules,
    clip_ms: u64,
    limits: &Limits,
) -> Result<Vec<Segment>, MediaError> {
    let Opened { input, picture, .. } = open(ffmpeg, source, limits, Use::Playback)?;
    let mut args = vec!["-nostdin".to_owned()];
    args.extend(input_flags(limits.pixels));
    args.extend(["-threads", "2", "-i", STDIN_AS_FILE, "-map", "0:v:0", "-vf"].map(str::to_owned));
    args.push(format!("fps={RATE},scale={WIDTH}:{HEIGHT}:flags=area+bitexact,format=gray"));
    args.extend(
        ["-frames:v", &limits.frames.to_string(), "-f", "rawvideo", "pipe:1"].map(str::to_owned),
    );
    let mut detector = Detector::default();
    let mut sink = |bytes: &[u8]| {
        detector.push(bytes);
        ControlFlow::Continue(())
    };
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: 0 };
    match run(&ffmpeg.ffmpeg, &args, &input, Output::Pipe(&mut sink), allowance)? {
        Ended::Success | Ended::Stopped if detector.frames > 0 => {
            Ok(rules.segments(&detector.scores, clip_ms))
        }
        Ended::Success | Ended::Stopped => Err(VideoDefect::NoFrames.into()),
        Ended::Failure { complaint } => {
            tracing::debug!(complaint, "the decoder refuses a source video");
            control::prove(ffmpeg, picture.coding(), None)?;
            let complaint = "the decoder finds its pictures damaged".to_owned();
            Err(VideoDefect::Undecodable { complaint }.into())
        }
        Ended::OutOfCpu => Err(VideoDefect::TooExpensive { seconds: limits.cpu.as_secs() }.into()),
    }
}

/// Scene-change scores of consecutive frames, in ten-thousandths.
///
/// The measure is that of ffmpeg's `scene` value: the mean absolute difference to the frame before,
/// or the change of that difference where it is smaller, so that steady fast motion does not count
/// as a cut. Integers throughout.
#[derive(Default)]
struct Detector {
    partial: Vec<u8>,
    previous: Vec<u8>,
    previous_difference: u64,
    scores: Vec<u32>,
    frames: usize,
}

impl Detector {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = bytes.len().min(WIDTH * HEIGHT - self.partial.len());
            self.partial.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.partial.len() == WIDTH * HEIGHT {
                self.frame();
            }
        }
    }

    fn frame(&mut self) {
        let frame = std::mem::take(&mut self.partial);
        let score = if self.frames == 0 {
            0
        } else {
            let sum: u64 =
                frame.iter().zip(&self.previous).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            // A percentage of 255 with two decimals, in integers: ten-thousandths.
            let difference = sum * 10_000 / (255 * (WIDTH * HEIGHT) as u64);
            let change = difference.abs_diff(self.previous_difference);
            self.previous_difference = difference;
            difference.min(change) as u32
        };
        self.scores.push(score);
        self.previous = frame;
        self.frames += 1;
    }
}

impl SceneRules {
    /// The usable stretches, given one score per frame at the analysis rate.
    fn segments(&self, scores: &[u32], clip_ms: u64) -> Vec<Segment> {
        let time = |frame: usize| frame as u64 * 1000 / RATE;
        let end = time(scores.len());
        let cuts = (1..scores.len()).filter(|frame| scores[*frame] > self.threshold).map(time);
        let mut segments = Vec::new();
        let mut shot_start = 0;
        for (shot_end, is_cut) in cuts.map(|cut| (cut, true)).chain([(end, false)]) {
            let after_cut = if shot_start > 0 { shot_start + self.boundary_margin_ms } else { 0 };
            let start_ms = after_cut.max(self.start_offset_ms);
            let end_ms =
                if is_cut { shot_end.saturating_sub(self.boundary_margin_ms) } else { shot_end };
            if end_ms >= start_ms.saturating_add(clip_ms) {
                segments.push(Segment { start_ms, end_ms });
            }
            shot_start = shot_end;
        }
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shots_lose_the_margin_at_cuts_and_the_offset_at_the_start() {
        let mut scores = vec![0; 16 * 20];
        scores[16 * 9] = 4000;
        let segments = SceneRules::REFERENCE.segments(&scores, 5063);
        assert_eq!(
            segments,
            [Segment { start_ms: 2000, end_ms: 8850 }, Segment { start_ms: 9150, end_ms: 20_000 }]
        );
    }

    #[test]
    fn a_shot_shorter_than_the_clip_is_left_out() {
        let mut scores = vec![0; 16 * 10];
        scores[16 * 6] = 4000;
        assert_eq!(SceneRules::REFERENCE.segments(&scores, 5063), []);
    }

    #[test]
    fn a_cut_scores_high_and_steady_motion_low() {
        let mut detector = Detector::default();
        for frame in 0..10_usize {
            let scene = if frame < 5 { 0 } else { 90 };
            let luma: Vec<u8> =
                (0..WIDTH * HEIGHT).map(|i| (((i + 4 * frame) % 60) * 2 + scene) as u8).collect();
            detector.push(&luma);
        }
        let threshold = SceneRules::REFERENCE.threshold;
        let cuts: Vec<usize> =
            (0..10).filter(|frame| detector.scores[*frame] > threshold).collect();
        assert_eq!(cuts, [5], "{:?}", detector.scores);
    }
}
