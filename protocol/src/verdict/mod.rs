//! The verdict file: one validator's signed results for every valid miner in one task.
//!
//! ```json
//! {"data": [entry…], "envelope": {…}, "signature": "0x…"}
//! ```
//!
//! `signature` covers only the SHA-256 of the data's canonical JSON, so that existing Python tools
//! can check the file. `envelope`, with its own signature, binds the data to a task, a validator, a
//! network and a set of parameters. A reader calls [`verify`] and gets entries to count, or the
//! reason why there are none.

mod entry;
mod envelope;
mod observation;
mod read;
mod sign;

pub use entry::{AspectScores, EntryStatus, VerdictEntry};
pub use envelope::{Envelope, SignedEnvelope};
pub use observation::{MAX_COUNTS, MAX_POOLS, MAX_VALUES, Name, NameError, Observation};
pub use read::{Expected, Refusal, VerifiedVerdict, verify};
pub use sign::{SignedVerdict, VerdictDraft};

/// Largest verdict file that is read: twice the size of one for a full subnet of 256 miners, with
/// the longest reasoning and a fingerprint in each entry.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// Most entries in a file. A subnet has at most 256 neurons today, and the chain's largest setting
/// is below this.
pub const MAX_ENTRIES: usize = 1024;
/// Longest fingerprint of a video, 4 KiB as base64.
pub const MAX_FINGERPRINT_BYTES: usize = 3072;
/// Longest free text in an entry, in characters. Longer texts are cut before signing.
const MAX_REASONING_CHARS: usize = 2000;
