//! Scoring in processes of its own.
//!
//! A fault in a CUDA context makes every later call of that process fail, a driver may bring the
//! process down, and a hang has no other cure than a kill. None of that may happen to a validator,
//! so it scores through [`ScorerPool`]: a worker process for each device, which opens the device,
//! holds it against the CPU, and answers frames on its standard streams ([`serve()`]). The pool
//! starts workers, watches their deadlines, starts lost ones again, and gives each clip that was
//! lost with one a second try, alone.
//!
//! A worker gets no settings but those that CUDA and ffmpeg need, no keys, and ends with the
//! validator: with its standard input, and by the kernel's hand.

mod driver;
mod fault;
mod flights;
mod frame;
mod message;
mod pool;
mod process;
mod serve;

pub use fault::WorkerFault;
pub use frame::FrameFault;
pub use message::{FaultKind, Opening, ScorerOptions};
pub use pool::{Patience, PoolCounts, PoolOptions, ScorerPool, SourceClip};
pub use process::WorkerProgram;
pub use serve::{Progress, Work, open_scorer, peak_kib, run, serve};
