//! Who judges, and how the metrics' grade and Gemini's opinion are combined.

use super::grade::{AspectPolicy, Aspects, FLOOR, Grade, Score};
use super::task_type::TaskType;
use super::{JudgeAnswer, JudgeThresholds};

/// What Gemini's opinion needs in each aspect, in tenths: the reference's critical aspects.
const CRITICAL: [u16; 6] = [500, 500, 0, 500, 0, 0];

/// What a judge asks of an answer, in tenths of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// The overall score of a pass.
    pub overall: u16,
    /// Each aspect by itself, in the order of [`Aspects`]; 0 where it needs nothing.
    pub aspects: [u16; 6],
    /// A measure below this takes points from its whole aspect.
    pub measure: u16,
}

/// Who judges a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JudgeChoice {
    /// The metrics alone, without a key or a third party.
    #[default]
    Local,
    /// Gemini alone. The metrics still find videos that cannot be graded.
    Gemini,
    /// Gemini, but an answer that the metrics' gates or opponents refuse fails.
    Both,
}

impl JudgeChoice {
    /// Whether Gemini is asked.
    pub fn asks_gemini(self) -> bool {
        self != Self::Local
    }

    /// Combines the metrics' grade of an answer and Gemini's opinion of it.
    pub fn grade(self, measured: &Grade, opinion: &JudgeAnswer, policy: &AspectPolicy) -> Grade {
        let judged = Self::judged(opinion, policy);
        match self {
            Self::Local => *measured,
            Self::Gemini => judged,
            Self::Both => Grade {
                passed: judged.passed && measured.beats_opponents,
                beats_opponents: measured.beats_opponents,
                ..judged
            },
        }
    }

    /// What an answer needs in a file with this judge's id.
    pub fn needed(judge_id: &str) -> Needed {
        let asked = [Self::Gemini, Self::Both]
            .iter()
            .any(|choice| judge_id.starts_with(&format!("{choice}:")));
        let (overall, aspects) = if asked {
            (u16::try_from(JudgeThresholds::SUBNET.pass * 10).unwrap_or(u16::MAX), CRITICAL)
        } else {
            (AspectPolicy::SUBNET.pass, AspectPolicy::SUBNET.critical)
        };
        // Whole points, as its name in the policy's digest says.
        Needed { overall, aspects, measure: (FLOOR * 10.0) as u16 }
    }

    fn judged(opinion: &JudgeAnswer, policy: &AspectPolicy) -> Grade {
        let aspects = Aspects::from_judge(opinion);
        let overall = Score::from_tenths(u16::from(opinion.overall_score) * 10);
        if policy.task == TaskType::Ti2v {
            return Grade { aspects, overall, passed: opinion.passed, beats_opponents: true };
        }
        // The task's weights take out what was not asked for; Gemini's overall score is lower where
        // a text in the picture tries to sway it.
        let weighed = aspects.grade(&AspectPolicy { critical: CRITICAL, ..*policy });
        Grade {
            overall: weighed.overall.min(overall),
            passed: weighed.passed && opinion.passed,
            ..weighed
        }
    }
}

impl std::str::FromStr for JudgeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "gemini" => Ok(Self::Gemini),
            "both" => Ok(Self::Both),
            _ => Err("a judge is local, gemini or both".to_owned()),
        }
    }
}

impl std::fmt::Display for JudgeChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Gemini => "gemini",
            Self::Both => "both",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::JudgeThresholds;

    #[test]
    fn what_is_needed_follows_from_the_judge_that_a_file_names() {
        let local = JudgeChoice::needed("local/1:policy=0123");
        assert_eq!((local.overall, local.aspects, local.measure), (750, [500; 6], 500));
        let gemini = JudgeChoice::needed("both:gemini-2.5-flash");
        assert_eq!((gemini.overall, gemini.aspects), (750, CRITICAL));
    }

    #[test]
    fn an_opinion_lowers_a_grade_and_what_would_sway_it_pays_under_no_task() {
        let opinion = |visual: u8, overall: u8| {
            let text = format!(
                r#"{{"overall_score": {overall}, "aspect_scores": {{"first_frame_fidelity": 95, "prompt_adherence": 95,
                "motion_quality": 95, "temporal_consistency": 95, "visual_quality": {visual}, "camera_composition": 95}}}}"#
            );
            JudgeAnswer::from_text(&text, JudgeThresholds::SUBNET)
        };
        let best = Aspects::from_judge(&opinion(95, 95));
        for task in [TaskType::Ti2v, TaskType::T2v, TaskType::I2v] {
            let policy = AspectPolicy { task, ..AspectPolicy::SUBNET };
            let graded = |choice: JudgeChoice, opinion| {
                choice.grade(&best.grade(&policy), &opinion, &policy)
            };
            let liked = graded(JudgeChoice::Gemini, opinion(95, 95));
            assert!(liked.passed && liked.overall == Score::from_tenths(950), "{task}: {liked:?}");
            // Words in the picture that ask for points.
            let swayed = graded(JudgeChoice::Gemini, opinion(0, 40));
            assert!(
                !swayed.passed && swayed.overall == Score::from_tenths(400),
                "{task}: {swayed:?}"
            );
            let both = graded(JudgeChoice::Both, opinion(95, 95));
            assert!(both.passed, "{task}: {both:?}");
        }
    }
}
