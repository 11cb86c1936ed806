//! Writing what the mesh must find again after a restart, beside the loop that handles its events.

use leoma_protocol::mesh::KnownPeer;
use tokio::sync::mpsc;

use crate::state::{MeshRow, State, StateError};

use super::memory::{keep_address_book, keep_sequence};

/// What waits to be written: the certificates, evidence and disputes of a catch-up after a day.
const MAX_WAITING: usize = 4096;
/// What is written in one transaction, with one wait for the disk.
const BATCH: usize = 256;

/// Something to be found again.
#[derive(Debug)]
pub(super) enum Kept {
    Row(MeshRow),
    AddressBook(Vec<KnownPeer>),
    Sequence(u64),
}

/// Hands what is to be kept to a task that writes it.
#[derive(Debug)]
pub(super) struct Keeper(mpsc::Sender<Kept>);

impl Keeper {
    /// Starts the writing. It ends, with everything written, when the keeper is dropped.
    pub(super) fn start(state: State) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        tokio::spawn(write(state, receiver));
        Self(sender)
    }

    /// Keeps something, unless the disk has long been too slow. Peers hold certificates, evidence
    /// and disputes too, and catch-up brings them again.
    pub(super) fn keep(&self, kept: Kept) {
        if let Err(error) = self.0.try_send(kept) {
            tracing::error!(%error, "the disk is too slow: an event of the mesh is not kept for the next start");
        }
    }
}

async fn write(state: State, mut receiver: mpsc::Receiver<Kept>) {
    let mut waiting = Vec::new();
    while receiver.recv_many(&mut waiting, BATCH).await > 0 {
        let batch = std::mem::take(&mut waiting);
        if let Err(error) = state.on_disk(|state| keep(state, batch)).await {
            tracing::error!(%error, "failed to store events of the mesh");
        }
    }
}

/// Writes a batch. Of the address book and the sequence number only the newest is written.
fn keep(state: &State, batch: Vec<Kept>) -> Result<(), StateError> {
    let (mut rows, mut book, mut highest) = (Vec::new(), None, None);
    for kept in batch {
        match kept {
            Kept::Row(row) => rows.push(row),
            Kept::AddressBook(newest) => book = Some(newest),
            Kept::Sequence(newest) => highest = highest.max(Some(newest)),
        }
    }
    if !rows.is_empty() {
        state.keep_mesh_rows(&rows)?;
    }
    if let Some(highest) = highest {
        keep_sequence(state, highest)?;
    }
    book.map_or(Ok(()), |book| keep_address_book(state, &book))
}
