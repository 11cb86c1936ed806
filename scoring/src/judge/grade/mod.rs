//! From measures, or a vision model's opinion, to aspects and a grade.

mod aspects;
mod policy;

pub use aspects::{Aspects, Grade, Score};
pub use policy::{AspectPolicy, Ramp};
