//! Scoring of generated video: decoding hostile files, metrics on burn tensors, judges.
//!
//! A miner answers a task with an MP4. [`Scorer`] decodes it in a jail, measures it against the
//! task's source clip on the CPU or a CUDA device, and turns the measures into six aspects and a
//! grade. A fault of the video is an [`Outcome`]. A fault of this machine is a [`ScoreFault`]. The
//! two never mix.
//!
//! ```no_run
//! use leoma_scoring::{AspectPolicy, DeviceChoice, Outcome, Scorer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scorer = Scorer::open(DeviceChoice::Auto, AspectPolicy::SUBNET)?;
//! scorer.self_test()?;
//! let reference = scorer.reference(&std::fs::read("original_clip.mp4")?)?;
//! match scorer.score(&reference, &std::fs::read("answer.mp4")?)?.outcome {
//!     Outcome::Usable { grade, .. } => println!("{} {}", grade.overall, grade.passed),
//!     Outcome::Unusable { status, reason, .. } => println!("{}: {reason}", status.as_str()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`media`] | decoding in a jail, cutting clips |
//! | [`metrics`] | each metric, on tensors and in loops |
//! | `comparison` | all measures of an answer against its source |
//! | `fingerprint` | finding copies |
//! | [`judge`] | gates, grade, and Gemini's opinion |
//! | [`learned`] | networks whose weights the operator provides |
//! | `scorer` | all of that for one answer |
//! | [`worker`] | the same in processes of their own |
//! | [`calibration`] | videos spoilt on purpose |
//! | [`motion`] | moving skeletons beside their reference, without any of the above |
//!
//! Nothing here knows the chain or the network. Two validators' numbers differ by rounding, so
//! scores are kept in tenths, and the raw measures are published beside them.

pub mod calibration;
mod comparison;
mod device;
mod fingerprint;
pub mod judge;
pub mod learned;
pub mod media;
pub mod metrics;
pub mod motion;
mod scorer;
pub mod worker;

pub use comparison::{Challenge, Measures};
pub use device::{Device, DeviceChoice, DeviceFault, Transfers};
pub use fingerprint::{Fingerprint, Likeness};
pub use judge::grade::{AspectPolicy, Aspects, Grade, HeldTo, Ramp, Score, held_to};
pub use judge::{
    JudgeAnswer, JudgeChoice, JudgeError, JudgeRequest, Judgement, Needed, Outcome, SOURCE_ITSELF,
    Scored, TaskType,
};
pub use scorer::{
    Bench, Floor, MetricCheck, OwnMeasures, OwnOutcome, Reference, ScoreFault, Scorer,
    SelfTestFault, SelfTestReport, Stage,
};
