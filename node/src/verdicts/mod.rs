//! Verdict files of all validators: kept, fetched from peers, attested, and agreed on.
//!
//! | file | subject |
//! |---|---|
//! | `library.rs` | [`Library`]: every verified file, on disk and in memory |
//! | `exchange.rs` | [`Exchange`]: this validator's part in the mesh |
//! | `fetch.rs` | files that peers announced or certified |
//! | `attest.rs` | our own announcements and attestations |
//! | `events.rs` | handling of the mesh's events |
//! | `known.rs` | certificates, evidence and connected peers |
//! | `memory.rs` | what the mesh keeps over a restart |
//! | `report.rs` | outcomes and signed statements as JSON |

mod attest;
mod events;
mod exchange;
mod fetch;
mod known;
mod library;
mod memory;
pub(crate) mod report;

pub use exchange::Exchange;
pub use library::{Library, LibraryError};
pub use memory::restore;
