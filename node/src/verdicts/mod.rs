//! Verdict files of all validators: kept, fetched from peers, attested, and agreed on.
//!
//! | file | subject |
//! |---|---|
//! | `library.rs` | [`Library`]: every verified file, on disk and in memory |
//! | `exchange.rs` | [`Exchange`]: this validator's part in the mesh |
//! | `fetch.rs` | files that peers announced or certified |
//! | `fetches.rs` | how many at a time, fair to every producer, and how long each is tried |
//! | `checks.rs` | what a file must pass before we attest to it |
//! | `validity.rs` | since when each miner has been valid, for these checks |
//! | `rescoring.rs` | which entries are scored again for these checks |
//! | `rescorer.rs` | scoring them, from the producer's bucket |
//! | `rechecker.rs` | computing their values again, where no scoring process is needed |
//! | `waiting.rs` | waiting for what the bucket does not have yet |
//! | `withheld.rs` | whose fault it is that the bucket does not give them |
//! | `attest.rs` | our own announcements, attestations and disputes |
//! | `events.rs` | handling of the mesh's events |
//! | `keeper.rs` | writing what the mesh must find again, beside the events |
//! | `known.rs` | certificates, suspects and connected peers |
//! | `memory.rs` | what the mesh keeps over a restart |
//! | `recognise.rs` | what peers have seen from us before we sign |
//! | `report.rs` | outcomes and signed statements as JSON |

mod attest;
mod checks;
mod events;
mod exchange;
mod fetch;
mod fetches;
mod keeper;
mod known;
mod library;
mod memory;
mod rechecker;
mod recognise;
pub(crate) mod report;
mod rescorer;
mod rescoring;
mod validity;
mod waiting;
mod withheld;

pub use exchange::Exchange;
pub use library::{Library, LibraryError};
pub use memory::restore;
pub(crate) use rechecker::{Recheck, Rechecker};
pub(crate) use rescorer::Rescorer;
pub use rescoring::{Owed, Plausibility, Plausible, Rescored, Rescoring};
pub(crate) use waiting::Waiting;
