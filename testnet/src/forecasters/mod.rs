//! Miners that forecast the local subnet's market: one that knows it, worse ones and cheats.
//!
//! | file | subject |
//! |---|---|
//! | `cast.rs` | who they are, and what has to become of each |
//! | `answers.rs` | what each answers at a moment |
//! | `serve.rs` | its axon |
//! | `moment.rs` | reading the moment that a validator asks about |

mod answers;
mod cast;
mod moment;
mod serve;

pub use answers::{CELLS, prediction};
pub use cast::Forecaster;
pub(crate) use cast::cast;
pub use moment::moment_of;
pub use serve::{CHALLENGE, Forecasting};
