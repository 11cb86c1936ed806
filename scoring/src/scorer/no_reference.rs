//! Scoring without a reference: where only the first frame is known, whether a file is a video,
//! moves and begins as asked.

use super::fault::ScoreFault;
use super::reference::Reference;
use super::setup::Scorer;
use crate::comparison::block_sums::{BLOCK, BlockSums};
use crate::comparison::clip_features::mean;
use crate::judge::Outcome;
use crate::judge::TaskType;
use crate::judge::grade::AspectPolicy;
use crate::judge::grade::{Aspects, Score};
use crate::media::{Clip, ClipShape, Limits, MediaError, Rational, VideoInfo, decode_png};
use crate::metrics::{Grid, Host, Kernels, Psnr};
use leoma_protocol::Digest;
use leoma_protocol::verdict::EntryStatus;
use serde::Serialize;

/// The least peak signal-to-noise ratio, in dB, between a picture and the clip it is the first
/// frame of. Unrelated pictures have 8 to 13 dB, the same picture under another colour matrix 22.
const SAME_PICTURE_DB: f32 = 18.0;

/// Raw measures of a video by itself and against the first frame, as in [`crate::Measures`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "`Measures` says what each is")]
pub struct OwnMeasures {
    pub first_ms_ssim: f32,
    pub first_psnr: f32,
    pub first_shift: f32,
    pub first_colour: f32,
    pub first_chroma: f32,
    pub first_detail: f32,
    pub step_unexplained: f32,
    pub overlaid: f32,
    /// Mean change of brightness from the first frame at low resolution, 0 to 1.
    pub change: f32,
}

/// The outcome of a video that is scored without its source.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnOutcome {
    /// The video moves, and has a measured first frame.
    Usable {
        /// How well it begins with the given frame.
        first_frame_fidelity: Score,
        /// The raw numbers.
        raw: OwnMeasures,
    },
    /// The video cannot be graded against any source.
    Unusable {
        /// `undecodable`, `wrong_resolution`, `too_short` or `frozen`.
        status: EntryStatus,
        /// Why, in one line.
        reason: String,
        /// The raw numbers, where the video was measured.
        raw: Option<OwnMeasures>,
    },
}

impl Scorer {
    /// Scores what can be scored without a source clip: whether the file is a video of the
    /// picture's size and a task's length, whether it changes at all, and how well it begins with
    /// the picture.
    ///
    /// # Errors
    /// The picture is unusable, or this machine failed.
    pub fn score_without_source(
        &self,
        first_frame_png: &[u8],
        answer_mp4: &[u8],
    ) -> Result<OwnOutcome, ScoreFault> {
        let still = self.still(first_frame_png)?;
        let answer = match self.decode_answer(&still, answer_mp4) {
            Ok(answer) => answer,
            Err(MediaError::Fault(fault)) => return Err(fault.into()),
            Err(MediaError::Video(defect)) => {
                let Outcome::Unusable { status, reason, .. } = Outcome::defect(&defect) else {
                    return Err(ScoreFault::Reference(defect));
                };
                return Ok(OwnOutcome::Unusable { status, reason, raw: None });
            }
        };
        let change = change_from_first(&answer);
        let compared = self.measure(&still, answer)?;
        let raw = OwnMeasures {
            first_ms_ssim: compared.first_ms_ssim,
            first_psnr: compared.first_psnr,
            first_shift: compared.first_shift,
            first_colour: compared.first_colour,
            first_chroma: compared.first_chroma,
            first_detail: compared.first_detail,
            step_unexplained: compared.step_unexplained,
            overlaid: compared.overlaid,
            change,
        };
        if change < self.policy().frozen_source as f32 / 1000.0 {
            let reason = format!(
                "the video changes by {:.1} % of the range from its first frame",
                change * 100.0
            );
            return Ok(OwnOutcome::Unusable {
                status: EntryStatus::Frozen,
                reason,
                raw: Some(raw),
            });
        }
        // Whoever gives a picture wants to know how well it was kept, even for a `t2v` task.
        let policy = AspectPolicy { task: TaskType::Ti2v, ..*self.policy() };
        let first_frame_fidelity = Aspects::from_measures(&compared, &policy).first_frame_fidelity;
        Ok(OwnOutcome::Usable { first_frame_fidelity, raw })
    }

    /// Whether `first_frame_png` shows the first frame of a source clip.
    ///
    /// # Errors
    /// The picture is unusable, or this machine failed.
    pub fn shows_first_frame(
        &self,
        reference: &Reference,
        first_frame_png: &[u8],
    ) -> Result<bool, ScoreFault> {
        let (picture, clip) =
            (decode_png(self.ffmpeg(), first_frame_png, &Limits::ANSWER)?, reference.clip());
        if (picture.width(), picture.height()) != (clip.width(), clip.height()) {
            return Ok(false);
        }
        let luma = |clip| Host.pictures(&[Clip::luma(clip, 0)], picture.height(), picture.width());
        let decibels = Host.measure::<Psnr, 2>([&luma(&picture), &luma(clip)])[0];
        Ok(decibels >= SAME_PICTURE_DB)
    }

    /// A reference that shows the picture for as long as a task's clip.
    fn still(&self, png: &[u8]) -> Result<Reference, ScoreFault> {
        let picture = decode_png(self.ffmpeg(), png, &Limits::ANSWER)?;
        let (blue, red) = picture.chroma(0);
        let planes = [picture.luma(0), blue, red].concat();
        let shape = ClipShape::TASK;
        let info = VideoInfo {
            fps: Some(Rational { numerator: shape.fps, denominator: 1 }),
            frames: Some(shape.frames.into()),
            ..picture.info().clone()
        };
        let frames = vec![planes; shape.frames as usize];
        let (frames_of, width, height) = (frames.len(), picture.width(), picture.height());
        let small = ScoreFault::SmallReference { frames: frames_of, width, height };
        self.prepared(Clip::from_planes(width, height, info, frames).ok_or(small)?, Digest::of(png))
    }
}

/// The mean change from the first frame over all frames, of blocks of 16 pixels, in which noise
/// averages out.
fn change_from_first(clip: &Clip) -> f32 {
    let (rows, columns) = (clip.height() / (2 * BLOCK), clip.width() / (2 * BLOCK));
    let frame = |index| {
        BlockSums::of(clip.luma(index), clip.width()).halved(rows, columns).collect::<Vec<f32>>()
    };
    let values = (0..clip.len()).flat_map(frame).collect();
    mean(&Host.change_from_first(&Grid::new(values, [1, rows, columns])))
}
