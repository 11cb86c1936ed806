//! Scoring of generated video: decoding hostile files, metrics on burn tensors, judges.
//!
//! A miner answers a task with an MP4. [`Scorer`] decodes it in a jail, measures it against the
//! task's source clip on the CPU or a CUDA device, and turns the measures into six aspects and a
//! grade. What is wrong with a video is an [`Outcome`]; what is wrong with this machine is a
//! [`ScoreFault`], and the two never mix.
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
//! Nothing here knows of the chain or the network protocol. Two validators' numbers differ by
//! rounding, so scores are kept in tenths and the raw measures are published beside them.

pub mod calibration;
pub mod device;
pub mod judge;
pub mod learned;
pub mod media;
pub mod metrics;
pub mod worker;

mod aspects;
mod bench;
mod describe;
mod features;
mod fingerprint;
mod measures;
mod policy;
mod reduced;
mod score;
mod self_test;
mod synthetic;
mod task_type;
mod tensors;
mod turns;
mod without_source;
mod words;

pub use aspects::{Aspects, Grade, Score};
pub use bench::{Bench, Floor, Stage};
pub use device::{Device, DeviceChoice, DeviceFault};
pub use fingerprint::{Fingerprint, Likeness};
pub use judge::{Judge, JudgeAnswer, JudgeChoice, JudgeError, JudgeRequest, Judgement};
pub use measures::Measures;
pub use policy::{AspectPolicy, Ramp};
pub use score::{Outcome, Reference, SOURCE_ITSELF, ScoreFault, Scored, Scorer};
pub use self_test::{MetricCheck, SelfTestFault, SelfTestReport};
pub use task_type::TaskType;
pub use without_source::{OwnMeasures, OwnOutcome};
