//! The six aspects of an answer, from 0 to 100 in tenths.
//!
//! The reference is the task's source clip, which shows what the prompt describes. An aspect is the
//! minimum of its parts, not their mean: sharpness does not make a flashing video consistent. A
//! part is one measure through one [`Ramp`](crate::Ramp), so a worse measure never gives more
//! points.
//!
//! | aspect | parts |
//! |---|---|
//! | first frame fidelity | of the first frame: MS-SSIM after registration, sharpness, brightness and chroma at low resolution |
//! | prompt adherence | similarity of the change over time to the source's (mean, and where it is least); similarity to the prompt over the source's, with a model that reads prompts; amount of change; brightness and chroma over time, and where they differ most |
//! | motion quality | optical flow against the source's: error, amount, smoothness; frozen frames |
//! | temporal consistency | pumping, local change that the source lacks, drift, frozen frames, returns to what was shown before |
//! | visual quality | sharpness, noise and block edges against the source |
//! | camera and composition | the camera's motion against the source's |
//!
//! After the first frame nothing is compared pixel by pixel: a model that lets a wave break two
//! pixels further left did what was asked.

use crate::comparison::compare::Measures;
use crate::judge::JudgeAnswer;
use crate::judge::grade::{AspectPolicy, Ramp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Points from 0 to 100, in tenths, so that validators write the same number for nearly equal
/// measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Score(u16);

impl Score {
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
    /// Whether the overall score and the critical aspects reach their thresholds.
    pub passed: bool,
}

/// The points of one measure for one aspect.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    /// The index of the aspect, in the order of the weights.
    aspect: usize,
    measure: &'static str,
    value: f32,
    points: f64,
}

/// All parts of all aspects.
fn parts(m: &Measures, p: &AspectPolicy) -> Vec<Part> {
    // Twice the source's motion is as wrong as half of it.
    let amount = m.motion_amount.min(1.0 / m.motion_amount);
    let rough = m.source_motion_smoothness - m.motion_smoothness;
    let mut table = vec![
        (0, "first_ms_ssim", m.first_ms_ssim, p.first_ms_ssim),
        (0, "first_detail", m.first_detail, p.first_detail),
        (0, "first_colour", m.first_colour, p.first_colour),
        (0, "first_chroma", m.first_chroma, p.first_chroma),
        (1, "agreement", m.agreement, p.agreement),
        (1, "agreement_low", m.agreement_low, p.agreement_low),
        (1, "displacement", m.displacement, p.displacement),
        (1, "content_colour", m.content_colour, p.content_colour),
        (1, "content_chroma", m.content_chroma, p.content_chroma),
        (1, "content_local", m.content_local, p.content_local),
        (2, "flow_error", m.flow_error, p.flow_error),
        (2, "motion_amount", amount, p.motion_amount),
        (2, "motion_smoothness", rough, p.motion_roughness),
        (2, "held", m.held, p.motion_held),
        (3, "flicker", m.flicker, p.flicker),
        (3, "pumping", m.pumping, p.flicker),
        (3, "motion_excess", m.motion_excess, p.motion_excess),
        (3, "drift", m.drift, p.drift),
        (3, "held", m.held, p.time_held),
        (3, "recurrence", m.recurrence, p.recurrence),
        (4, "detail", m.detail, p.detail),
        (4, "noise", m.noise, p.noise),
        (4, "blockiness", m.blockiness, p.blockiness),
        (5, "camera_error", m.camera_error, p.camera_error),
    ];
    // A model that reads the prompt sees what is shown but not how it moves, so it adds a part and
    // replaces none. Where even the source scores low, the model does not understand this prompt.
    if let (Some(answer), Some(source)) = (m.text_similarity, m.source_text_similarity)
        && source * 1000.0 >= p.text_least as f32
    {
        table.push((1, "text_similarity", answer / source, p.text_similarity));
    }
    table.retain(|(_, measure, ..)| p.task.asks_for(measure));
    let part = |(aspect, measure, value, ramp): (usize, _, f32, Ramp)| Part {
        aspect,
        measure,
        value,
        points: ramp.points(value),
    };
    table.into_iter().map(part).collect()
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
        let parts = parts(measures, policy);
        Self::from_order(std::array::from_fn(|aspect| {
            let points = parts.iter().filter(|part| part.aspect == aspect).map(|part| part.points);
            Score::nearest(points.fold(100.0, f64::min))
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

    /// Why an answer with these measures has less than full marks, in one line: the aspects that
    /// would not pass alone, the worst first, each with all its parts that would not pass.
    pub fn weaknesses(measures: &Measures, policy: &AspectPolicy) -> String {
        let mut weak = parts(measures, policy);
        weak.retain(|part| part.points * 10.0 < f64::from(policy.pass));
        weak.sort_by(|a, b| a.points.total_cmp(&b.points));
        let mut words: Vec<(usize, String)> = Vec::new();
        for part in &weak {
            let measured = format!("{} {:.3}", part.measure, part.value);
            match words.iter_mut().find(|(aspect, _)| *aspect == part.aspect) {
                Some((_, line)) => *line = format!("{line} and {measured}"),
                None => {
                    let score = Score::nearest(part.points);
                    words.push((
                        part.aspect,
                        format!("{} {score} by {measured}", Self::NAMES[part.aspect]),
                    ));
                }
            }
        }
        words.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join(", ")
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

    /// Weighs the aspects and compares them with the thresholds, in integer arithmetic.
    pub fn grade(self, policy: &AspectPolicy) -> Grade {
        let weighted = self.in_order().into_iter().zip(policy.weights);
        let hundredfold: u32 =
            weighted.map(|(score, weight)| u32::from(score.0) * u32::from(weight)).sum();
        // Halves round up. All validators divide the same integers.
        let overall = Score::from_tenths(((hundredfold + 50) / 100) as u16);
        let critical = [
            self.first_frame_fidelity,
            self.prompt_adherence,
            Score(1000),
            self.temporal_consistency,
        ];
        // An aspect without weight was not asked for and fails nobody.
        let asked = critical.into_iter().zip(policy.weights).filter(|(_, weight)| *weight > 0);
        let passed = overall.0 >= policy.pass
            && asked.into_iter().all(|(score, _)| score.0 >= policy.critical);
        Grade { aspects: self, overall, passed }
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

    /// These aspects, with each critical one lowered to the vision model's where that is lower.
    #[must_use]
    pub(crate) fn with_judge(mut self, answer: &JudgeAnswer) -> Self {
        let judged = Self::from_judge(answer);
        self.first_frame_fidelity = self.first_frame_fidelity.min(judged.first_frame_fidelity);
        self.prompt_adherence = self.prompt_adherence.min(judged.prompt_adherence);
        self.temporal_consistency = self.temporal_consistency.min(judged.temporal_consistency);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::JudgeThresholds;
    use crate::judge::TaskType;
    use proptest::prelude::*;

    fn aspects(tenths: [u16; 6]) -> Aspects {
        Aspects::from_order(tenths.map(Score::from_tenths))
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
    fn a_judge_lowers_critical_aspects_and_raises_none() {
        let text = "{\"aspect_scores\": {\"prompt_adherence\": 40, \"first_frame_fidelity\": 95, \"temporal_consistency\": 60, \
                    \"visual_quality\": 1}}";
        let answer = JudgeAnswer::from_text(text, JudgeThresholds::SUBNET);
        let both = aspects([900; 6]).with_judge(&answer);
        assert_eq!(both.in_order().map(Score::tenths), [900, 400, 900, 600, 900, 900]);
        assert_eq!(
            Aspects::from_judge(&answer).in_order().map(Score::tenths),
            [950, 400, 0, 600, 10, 0]
        );
    }

    #[test]
    fn what_a_task_does_not_ask_for_is_a_measure() {
        let policy = AspectPolicy::SUBNET;
        let read = Measures {
            text_similarity: Some(1.0),
            source_text_similarity: Some(1.0),
            ..Measures::default()
        };
        let known: Vec<&str> = parts(&read, &policy).into_iter().map(|part| part.measure).collect();
        for task in [TaskType::T2v, TaskType::I2v] {
            let held: Vec<&str> = parts(&read, &AspectPolicy::of(task))
                .into_iter()
                .map(|part| part.measure)
                .collect();
            let left: Vec<&str> =
                known.iter().copied().filter(|measure| !held.contains(measure)).collect();
            let by_place = TaskType::BY_PLACE.iter().all(|measure| left.contains(measure));
            assert!(
                by_place && held.contains(&"pumping") && held.contains(&"displacement"),
                "{task}: {left:?}"
            );
        }
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
