//! One video's score.

use leoma_scoring::{Grade, Measures, Outcome};
use serde::Serialize;

/// One video's score.
#[derive(Clone, Debug, Serialize)]
pub struct Scored {
    /// Overall points in tenths; 0 where there is no grade.
    pub overall: u16,
    /// Whether it passed.
    pub passed: bool,
    /// `passed`, `failed`, or why there is no grade.
    pub status: String,
    /// The grade.
    pub grade: Option<Grade>,
    /// The raw measures.
    pub measures: Measures,
}

impl Scored {
    /// From an outcome and its measures.
    pub(super) fn new(outcome: &Outcome, measures: Measures) -> Self {
        match outcome {
            Outcome::Usable { grade, .. } => {
                let status = if grade.passed { "passed" } else { "failed" }.to_owned();
                Self {
                    overall: grade.overall.tenths(),
                    passed: grade.passed,
                    status,
                    grade: Some(*grade),
                    measures,
                }
            }
            Outcome::Unusable { status, .. } => Self {
                overall: 0,
                passed: false,
                status: status.to_string(),
                grade: None,
                measures,
            },
        }
    }
}
