//! The window: the tasks that a winner is judged on, and the file that speaks for each of them.
//!
//! | question | where |
//! |---|---|
//! | which tasks an epoch looks at | `range.rs` |
//! | which files count, by the chain's witnesses | `counted.rs` |
//! | which would count without certificates | `uncertified.rs` |
//!
//! A file that does not count is named with the reason.

mod counted;
mod left_out;
mod range;
mod uncertified;

use std::collections::BTreeSet;

use leoma_protocol::{FileId, Hotkey};

pub(crate) use counted::count;
pub use counted::{Counted, counted};
pub use left_out::LeftOut;
pub use range::WindowRange;
pub use uncertified::{HeldFile, UncertifiedWindow};

/// The distinct producers of files, sorted.
pub(crate) fn producers(files: &[FileId]) -> Vec<Hotkey> {
    let producers: BTreeSet<Hotkey> = files.iter().map(|file| file.producer).collect();
    producers.into_iter().collect()
}
