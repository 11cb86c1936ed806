//! From an MP4 to a verdict's numbers: [`Scorer`] decodes, compares and grades.

mod answer;
mod benchmark;
mod motion_caption;
mod no_reference;
mod permits;
mod self_test;
pub(crate) mod synthetic_clips;

pub use answer::{Outcome, Reference, SOURCE_ITSELF, ScoreFault, Scored, Scorer};
pub use benchmark::{Bench, Floor, Stage};
pub use no_reference::{OwnMeasures, OwnOutcome};
pub use self_test::{MetricCheck, SelfTestFault, SelfTestReport};
