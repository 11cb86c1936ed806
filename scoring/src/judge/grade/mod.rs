//! From measures, or a vision model's opinion, to aspects and a grade.

mod aspects;
mod held_to;
mod parts;
mod policy;
mod ramp;

pub use aspects::{Aspects, Grade, Score};
pub use held_to::{HeldTo, held_to};
pub(crate) use parts::FLOOR;
pub use policy::AspectPolicy;
pub use ramp::Ramp;
