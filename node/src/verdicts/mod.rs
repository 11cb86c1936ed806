//! Verdict files of all validators: kept, fetched from peers, attested, and agreed on.

mod library;
mod peers;
pub mod report;

pub use library::{Library, LibraryError};
pub use peers::{Exchange, restore};
