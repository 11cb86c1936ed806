//! What the mesh keeps over a restart.

use leoma_protocol::TaskId;
use leoma_protocol::codec::{CodecError, Wire as _};
use leoma_protocol::mesh::{KnownPeer, Restored};
use leoma_protocol::messages::{Certificate, Dispute, Evidence};

use crate::state::{State, StateError};

/// Names of the notes in the state.
const ADDRESS_BOOK_NOTE: &str = "mesh_address_book";
const SEQUENCE_NOTE: &str = "mesh_sequence";

/// What an earlier run left for the mesh about tasks from `first` on.
pub fn restore(state: &State, first: TaskId) -> Result<Restored, StateError> {
    let certificates = readable(
        "certificate",
        state.certificates_from(first)?.iter().map(|(.., bytes)| Certificate::from_wire(bytes)),
    );
    let evidence = readable(
        "evidence",
        state.evidence_from(first)?.iter().map(|bytes| Evidence::from_wire(bytes)),
    );
    let disputes = readable(
        "dispute",
        state.disputes_from(first)?.iter().map(|bytes| Dispute::from_wire(bytes)),
    );
    let addresses: Vec<KnownPeer> = match state.note(ADDRESS_BOOK_NOTE)? {
        None => Vec::new(),
        // The addresses can be learnt again, so a damaged book is no reason to fail.
        Some(text) => serde_json::from_str(&text).unwrap_or_default(),
    };
    let sequence = match state.note(SEQUENCE_NOTE)? {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| StateError::Malformed { what: "hello sequence number" })?
        }
    };
    Ok(Restored { certificates, evidence, disputes, addresses, sequence })
}

/// Returns what can be decoded. Catch-up brings the rest again, but the loss is logged.
fn readable<T>(what: &str, decoded: impl Iterator<Item = Result<T, CodecError>>) -> Vec<T> {
    let mut readable = Vec::new();
    for one in decoded {
        match one {
            Ok(one) => readable.push(one),
            Err(error) => {
                tracing::warn!(what, %error, "a stored message of the mesh is unreadable, ignoring it")
            }
        }
    }
    readable
}

/// Keeps the addresses of peers for the next run.
pub(super) fn keep_address_book(state: &State, book: &[KnownPeer]) -> Result<(), StateError> {
    let text =
        serde_json::to_string(book).map_err(|_| StateError::Malformed { what: "address book" })?;
    state.set_note(ADDRESS_BOOK_NOTE, &text)
}

/// Keeps the number of the last hello for the next run.
pub(super) fn keep_sequence(state: &State, sequence: u64) -> Result<(), StateError> {
    state.set_note(SEQUENCE_NOTE, &sequence.to_string())
}
