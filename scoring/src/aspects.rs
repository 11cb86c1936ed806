//! The six aspects of an answer, from 0 to 100 in tenths.
//!
//! The reference is the task's source clip. An aspect is the least of its parts, not their mean: a video that flashes is
//! not made consistent by being sharp.
//!
//! | aspect | parts |
//! |---|---|
//! | first frame fidelity | MS-SSIM after registration, sharpness, low-resolution brightness and chroma of the first frame |
//! | prompt adherence | SSIM over time (mean and lowest), brightness and chroma over time, change from the first frame; blended with the judge's view where one is configured |
//! | motion quality | optical flow against the source's, frames held |
//! | temporal consistency | pumping, local change that the source does not have, drift, frames held |
//! | visual quality | sharpness, noise and block edges against the source |
//! | camera and composition | whole-frame motion against the source's |
//!
//! What the prompt describes is what the source clip shows, so agreement with the clip stands in for adherence. It knows
//! nothing of words, and a generated video that fulfils the prompt in its own way is not recognised by it; the judge's
//! share is there for that.

use crate::judge::JudgeAnswer;
use crate::measures::Measures;
use crate::policy::AspectPolicy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Points from 0 to 100, in tenths, so that every validator writes the same number for nearly the same measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Score(u16);

impl Score {
    /// From tenths; above 1000 counts as 1000.
    pub fn from_tenths(tenths: u16) -> Self {
        Self(tenths.min(1000))
    }

    /// The points in tenths, 0 to 1000.
    pub fn tenths(self) -> u16 {
        self.0
    }

    /// The points as a float with one decimal, for files and screens.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    fn nearest(points: f64) -> Self {
        Self((points * 10.0).round_ties_even().clamp(0.0, 1000.0) as u16)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// The aspects by name, in the order of their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the table above says what each is")]
pub struct Aspects {
    pub first_frame_fidelity: Score,
    pub prompt_adherence: Score,
    pub motion_quality: Score,
    pub temporal_consistency: Score,
    pub visual_quality: Score,
    pub camera_composition: Score,
}

/// Aspects with what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The six aspects.
    pub aspects: Aspects,
    /// Their weighted mean.
    pub overall: Score,
    /// Overall and critical thresholds are both met.
    pub passed: bool,
}

/// The least of some points.
fn least<const N: usize>(parts: [f64; N]) -> Score {
    Score::nearest(parts.into_iter().fold(100.0, f64::min))
}

impl Aspects {
    /// Turns measures into points.
    pub fn from_measures(measures: &Measures, policy: &AspectPolicy) -> Self {
        let (m, p) = (measures, policy);
        Self {
            first_frame_fidelity: least([
                p.first_ms_ssim.points(m.first_ms_ssim),
                p.first_detail.points(m.first_detail),
                p.first_colour.points(m.first_colour),
                p.first_chroma.points(m.first_chroma),
            ]),
            prompt_adherence: least([
                p.content_ssim.points(m.content_ssim),
                p.content_ssim_low.points(m.content_ssim_low),
                p.content_colour.points(m.content_colour),
                p.content_chroma.points(m.content_chroma),
                p.displacement.points(m.displacement),
            ]),
            motion_quality: least([p.flow_error.points(m.flow_error), p.motion_held.points(m.held)]),
            temporal_consistency: least([
                p.flicker.points(m.flicker),
                p.motion_excess.points(m.motion_excess),
                p.drift.points(m.drift),
                p.time_held.points(m.held),
            ]),
            visual_quality: least([
                p.detail.points(m.detail),
                p.noise.points(m.noise),
                p.blockiness.points(m.blockiness),
            ]),
            camera_composition: least([p.camera_error.points(m.camera_error)]),
        }
    }

    /// The aspects in the order of the weights.
    pub fn in_order(&self) -> [Score; 6] {
        [
            self.first_frame_fidelity,
            self.prompt_adherence,
            self.motion_quality,
            self.temporal_consistency,
            self.visual_quality,
            self.camera_composition,
        ]
    }

    /// Weighs the aspects and holds them to the thresholds, in integers.
    pub fn grade(self, policy: &AspectPolicy) -> Grade {
        let weighted = self.in_order().into_iter().zip(policy.weights);
        let hundredfold: u32 = weighted.map(|(score, weight)| u32::from(score.0) * u32::from(weight)).sum();
        // Halves go up; all validators divide the same integers.
        let overall = Score::from_tenths(((hundredfold + 50) / 100) as u16);
        let critical = self.first_frame_fidelity.min(self.prompt_adherence).min(self.temporal_consistency);
        Grade { aspects: self, overall, passed: overall.0 >= policy.pass && critical.0 >= policy.critical }
    }

    /// The same with the judge's share in prompt adherence.
    #[must_use]
    pub fn with_judge(mut self, answer: &JudgeAnswer, policy: &AspectPolicy) -> Self {
        let share = u32::from(policy.judge_share.min(100));
        let judged = u32::from(answer.aspect_scores.prompt_adherence) * 10;
        let blended = (u32::from(self.prompt_adherence.0) * (100 - share) + judged * share + 50) / 100;
        self.prompt_adherence = Score::from_tenths(blended as u16);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::JudgeThresholds;
    use proptest::prelude::*;

    fn aspects(tenths: [u16; 6]) -> Aspects {
        let [first, prompt, motion, time, quality, camera] = tenths.map(Score::from_tenths);
        Aspects {
            first_frame_fidelity: first,
            prompt_adherence: prompt,
            motion_quality: motion,
            temporal_consistency: time,
            visual_quality: quality,
            camera_composition: camera,
        }
    }

    #[test]
    fn both_thresholds_have_to_be_met() {
        let policy = AspectPolicy::SUBNET;
        let grade = aspects([1000, 1000, 0, 500, 1000, 1000]).grade(&policy);
        assert_eq!((grade.overall.to_string().as_str(), grade.passed), ("75.0", true));
        assert!(!aspects([1000, 1000, 0, 490, 1000, 1000]).grade(&policy).passed);
        assert!(!aspects([499, 1000, 1000, 1000, 1000, 1000]).grade(&policy).passed);
        assert_eq!(aspects([1000; 6]).grade(&policy).overall.tenths(), 1000);
    }

    #[test]
    fn a_judge_moves_prompt_adherence_by_its_share_only() {
        let policy = AspectPolicy::SUBNET;
        let text = "{\"aspect_scores\": {\"prompt_adherence\": 40, \"visual_quality\": 1}}";
        let answer = JudgeAnswer::from_text(text, JudgeThresholds::SUBNET);
        let blended = aspects([1000; 6]).with_judge(&answer, &policy);
        assert_eq!(blended.in_order().map(Score::tenths), [1000, 700, 1000, 1000, 1000, 1000]);
    }

    proptest! {
        #[test]
        fn the_overall_score_lies_between_the_lowest_and_the_highest_aspect(
            tenths in proptest::array::uniform6(0_u16..=1000)
        ) {
            let overall = aspects(tenths).grade(&AspectPolicy::SUBNET).overall.tenths();
            prop_assert!(tenths.iter().min() <= Some(&overall) && Some(&overall) <= tenths.iter().max());
        }
    }
}
