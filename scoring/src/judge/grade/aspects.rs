//! The six aspects of an answer, from 0 to 100 in tenths.
//!
//! An aspect is the weighted mean of its parts; a part below its floor takes points from the whole
//! aspect. `parts.rs` has the table.
//!
//! | aspect | holds |
//! |---|---|
//! | first frame fidelity | the first frame as it was given |
//! | prompt adherence | where things and the camera go, the colours of the scene, the prompt as a model reads it; with little weight, likeness to the source's course |
//! | motion quality | amount and smoothness of motion; that things move by themselves |
//! | temporal consistency | change that the clip's own motion explains; things that stay what they are |
//! | visual quality | sharpness, noise, blocks, squares of any size, letters over the picture |
//! | camera and composition | the camera's motion |

use super::parts::{aspect_points, parts};
use crate::comparison::Measures;
use crate::judge::JudgeAnswer;
use crate::judge::grade::AspectPolicy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Points from 0 to 100, in tenths, so that validators write the same number for nearly equal
/// measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Score(u16);

impl Score {
    /// Full marks.
    pub(crate) const MAX: Self = Self(1000);

    /// From tenths; above 1000 counts as 1000.
    pub(crate) fn from_tenths(tenths: u16) -> Self {
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

/// Aspects, their weighted mean, and whether they pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The six aspects.
    pub aspects: Aspects,
    /// Their weighted mean.
    pub overall: Score,
    /// Whether the overall score and the critical aspects reach their thresholds, and the answer
    /// beats its opponents.
    pub passed: bool,
    /// Whether it is better than what anyone can make of the first frame.
    pub beats_opponents: bool,
}

impl Grade {
    /// The grade of an answer with these measures, which also has to beat its opponents.
    pub fn of(measures: &Measures, policy: &AspectPolicy) -> Self {
        let grade = Aspects::from_measures(measures, policy).grade(policy);
        // Where a pushed picture can imitate the source, nothing can be told, and the clip should
        // not have been drawn. The same holds where an opponent is so good that no answer could
        // beat it.
        let needed = measures.opponent * 10.0 + f32::from(policy.margin);
        let beats_opponents = !policy.task.gives_first_frame()
            || measures.can_be_imitated()
            || needed > f32::from(Score::MAX.tenths())
            || f32::from(grade.overall.tenths()) >= needed;
        Self { passed: grade.passed && beats_opponents, beats_opponents, ..grade }
    }
}

impl Aspects {
    /// The aspects' names, in the order of the weights.
    pub const NAMES: [&'static str; 6] = [
        "first_frame_fidelity",
        "prompt_adherence",
        "motion_quality",
        "temporal_consistency",
        "visual_quality",
        "camera_composition",
    ];

    /// Turns measures into points.
    pub fn from_measures(measures: &Measures, policy: &AspectPolicy) -> Self {
        let parts = parts(measures, policy.task);
        Self::from_order(std::array::from_fn(|aspect| {
            Score::nearest(aspect_points(parts.iter().filter(|part| part.aspect == aspect)))
        }))
    }

    fn from_order(scores: [Score; 6]) -> Self {
        let [first, prompt, motion, time, quality, camera] = scores;
        Self {
            first_frame_fidelity: first,
            prompt_adherence: prompt,
            motion_quality: motion,
            temporal_consistency: time,
            visual_quality: quality,
            camera_composition: camera,
        }
    }

    /// Why an answer with these measures has less than full marks, in one line: the parts that
    /// would not pass alone, the worst first, by aspect; and whether its opponents are as good.
    pub fn weaknesses(measures: &Measures, policy: &AspectPolicy) -> String {
        let mut weak = parts(measures, policy.task);
        weak.retain(|part| part.points * 10.0 < f64::from(policy.pass));
        weak.sort_by(|a, b| a.points.total_cmp(&b.points));
        let mut words: Vec<(usize, String)> = Vec::new();
        for part in &weak {
            let measured = format!("{} {:.3}", part.name, part.value);
            match words.iter_mut().find(|(aspect, _)| *aspect == part.aspect) {
                Some((_, line)) => *line = format!("{line} and {measured}"),
                None => {
                    words.push((part.aspect, format!("{} by {measured}", Self::NAMES[part.aspect])))
                }
            }
        }
        let mut words: Vec<String> = words.into_iter().map(|(_, line)| line).collect();
        if !Grade::of(measures, policy).beats_opponents {
            let opponent = measures.opponent;
            words.push(format!("no better than a pushed first frame, which has {opponent:.1}"));
        }
        words.join(", ")
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

    /// Weighs the aspects and compares them with the thresholds, in integer arithmetic. A critical
    /// aspect below its threshold lowers the overall score in proportion, so that no other aspect
    /// makes up for it.
    pub fn grade(self, policy: &AspectPolicy) -> Grade {
        let weighted = self.in_order().into_iter().zip(policy.weights);
        let hundredfold: u32 =
            weighted.map(|(score, weight)| u32::from(score.0) * u32::from(weight)).sum();
        // An aspect without weight was not asked for and fails no answer.
        let asked = self
            .in_order()
            .into_iter()
            .zip(policy.critical)
            .zip(policy.weights)
            .filter(|((_, critical), weight)| *critical > 0 && *weight > 0);
        let lowered = asked.clone().map(|((score, critical), _)| {
            let part = u32::from(score.0.min(critical));
            hundredfold * part / u32::from(critical)
        });
        let hundredfold = lowered.min().unwrap_or(hundredfold);
        // Halves round up. All validators divide the same integers.
        let overall = Score::from_tenths(((hundredfold + 50) / 100) as u16);
        let passed = overall.0 >= policy.pass
            && asked.into_iter().all(|((score, critical), _)| score.0 >= critical);
        Grade { aspects: self, overall, passed, beats_opponents: true }
    }

    /// The aspects of a vision model's opinion.
    pub(crate) fn from_judge(answer: &JudgeAnswer) -> Self {
        Self::from_order(
            answer
                .aspect_scores
                .in_order()
                .map(|points| Score::from_tenths(u16::from(points) * 10)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::JudgeThresholds;
    use proptest::prelude::*;

    fn aspects(tenths: [u16; 6]) -> Aspects {
        Aspects::from_order(tenths.map(Score::from_tenths))
    }

    #[test]
    fn both_thresholds_have_to_be_met() {
        let policy = AspectPolicy::SUBNET;
        let grade = aspects([1000, 1000, 600, 600, 600, 600]).grade(&policy);
        assert_eq!((grade.overall.to_string().as_str(), grade.passed), ("80.0", true));
        let weak = aspects([1000, 1000, 1000, 490, 1000, 1000]).grade(&policy);
        assert!(!weak.passed && weak.overall.tenths() < 900, "{weak:?}");
        assert!(!aspects([499, 1000, 1000, 1000, 1000, 1000]).grade(&policy).passed);
        assert_eq!(aspects([1000, 1000, 0, 1000, 1000, 1000]).grade(&policy).overall.tenths(), 0);
        assert_eq!(aspects([1000; 6]).grade(&policy).overall.tenths(), 1000);
    }

    #[test]
    fn an_opinion_becomes_aspects() {
        let text = "{\"aspect_scores\": {\"prompt_adherence\": 40, \"first_frame_fidelity\": 95, \"temporal_consistency\": 60, \
                    \"visual_quality\": 1}}";
        let answer = JudgeAnswer::from_text(text, JudgeThresholds::SUBNET);
        assert_eq!(
            Aspects::from_judge(&answer).in_order().map(Score::tenths),
            [950, 400, 0, 600, 10, 0]
        );
    }

    #[test]
    fn an_answer_has_to_beat_what_anyone_can_make() {
        let policy = AspectPolicy::SUBNET;
        let good = Measures::of_full_marks();
        let grade = Grade::of(&good, &policy);
        assert!(grade.passed && grade.overall.tenths() == 1000, "{grade:?}");
        let matched = Measures { opponent: 95.0, detail: 0.3, ..good };
        assert!(!Grade::of(&matched, &policy).passed);
        assert!(Aspects::weaknesses(&matched, &policy).contains("pushed first frame"));
        // Nothing that moves by itself: a pushed picture.
        let pushed = Grade::of(&Measures { nonrigid: 0.01, ..good }, &policy);
        assert!(!pushed.passed && pushed.overall.tenths() == 0, "{pushed:?}");
        let no_challenge = Measures { opponent: 100.0, source_nonrigid: 0.01, ..good };
        assert!(Grade::of(&no_challenge, &policy).passed);
        let unbeatable = Measures { opponent: 96.0, ..good };
        assert!(Grade::of(&unbeatable, &policy).passed);
    }

    proptest! {
        #[test]
        fn a_better_aspect_never_lowers_the_overall_score(
            tenths in proptest::array::uniform6(0_u16..=1000),
            which in 0_usize..6,
            more in 0_u16..=1000,
        ) {
            let overall = |tenths| aspects(tenths).grade(&AspectPolicy::SUBNET).overall.tenths();
            let mut better = tenths;
            better[which] = (better[which] + more).min(1000);
            prop_assert!(overall(better) >= overall(tenths));
            prop_assert!(Some(&overall(tenths)) <= tenths.iter().max());
        }
    }
}
