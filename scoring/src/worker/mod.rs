//! Scoring in processes of its own.
//!
//! A fault in a CUDA context makes every later call of that process fail, a driver may bring the
//! process down, and a hang has no cure but a kill. None of that may happen to a validator, so it
//! scores through [`ScorerPool`]. The pool starts a worker process for each device. A worker opens
//! its device, compares its results with the CPU's, and answers requests on its standard streams
//! ([`serve()`]). The pool watches deadlines, replaces lost workers, and gives each clip that was
//! lost with one a second try, alone.
//!
//! A worker gets no settings but those that CUDA and ffmpeg need, and no keys. It ends with the
//! validator: when its standard input ends, and by a signal from the kernel.

mod driver;
mod fault;
mod flights;
mod frame;
mod job;
mod lane;
mod message;
mod patience;
mod pool;
mod process;
mod serve;
mod shared;
mod source_clip;
mod work;

pub use fault::{FaultKind, WorkerFault};
pub use frame::FrameFault;
pub use message::{Opening, ScorerOptions};
pub use patience::Patience;
pub use pool::{PoolOptions, ScorerPool};
pub use process::WorkerProgram;
pub use serve::{peak_kib, run, serve};
pub use shared::PoolCounts;
pub use source_clip::SourceClip;
pub use work::{Progress, Work, open_scorer};
