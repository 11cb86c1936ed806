//! From an MP4 to a verdict's numbers: [`Scorer`] decodes, compares and grades.

mod answer;
mod benchmark;
mod fault;
mod motion_caption;
mod no_reference;
mod permits;
mod reference;
mod self_test;
mod setup;
pub(crate) mod synthetic_clips;
mod warm_up;

pub use benchmark::{Bench, Floor, Stage};
pub use fault::ScoreFault;
pub use no_reference::{OwnMeasures, OwnOutcome};
pub use reference::Reference;
pub use self_test::{MetricCheck, SelfTestFault, SelfTestReport};
pub use setup::Scorer;
