//! What a validator has written down, for readers outside of its process: tests and audits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, Result, StateError};

/// What may be signed once: kind of message, task, subject.
pub type Slot = (String, TaskId, Hotkey);

/// One epoch of a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// Its boundary.
    pub epoch_block: u64,
    /// Whether its weights were read back from the chain.
    pub set: bool,
    /// Whether they were computed from this epoch's files. Otherwise the last winner was repeated,
    /// or nothing decided.
    pub computed: bool,
    /// The slot that all weight went to.
    pub uid: Option<u16>,
}

/// A validator's books at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// What it signed.
    pub signed: BTreeMap<Slot, Digest>,
    /// The verdict files that it holds, its own and its peers'.
    pub files: BTreeMap<FileId, BTreeSet<Digest>>,
    /// Its own files that are not known to be in its bucket.
    pub unpublished: BTreeSet<TaskId>,
    /// Whom it holds evidence of signing twice against, by task.
    pub evidence: BTreeSet<(TaskId, Hotkey)>,
    /// Its epochs, oldest first.
    pub epochs: Vec<EpochEntry>,
}

fn task(number: i64) -> TaskId {
    TaskId(number.unsigned_abs())
}

impl Books {
    /// Reads the books in a validator's state folder, also while the validator runs; empty ones
    /// before its first start. Nothing is written.
    ///
    /// # Errors
    /// [`StateError::Folder`] when the database cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("state.sqlite");
        if !path.exists() {
            return Ok(Self::default());
        }
        let read = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Self::read_all(&connection)
        };
        read().map_err(|error: rusqlite::Error| StateError::Folder {
            path: folder.to_owned(),
            reason: error.to_string(),
        })
    }

    fn read_all(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut books = Self::default();
        let mut query = connection.prepare("SELECT task_id FROM files WHERE published = 0")?;
        books.unpublished =
            query.query_map([], |row| Ok(task(row.get(0)?)))?.collect::<Result<_, _>>()?;
        let mut query = connection.prepare("SELECT kind, task_id, subject, digest FROM signed")?;
        let rows = query.query_map([], |row| {
            Ok((
                (row.get(0)?, task(row.get(1)?), Hotkey::from_bytes(row.get(2)?)),
                Digest(row.get(3)?),
            ))
        })?;
        for row in rows {
            let (slot, digest) = row?;
            books.signed.insert(slot, digest);
        }
        let mut query = connection.prepare("SELECT task_id, producer, digest FROM files")?;
        let rows = query.query_map([], |row| {
            let id =
                FileId { task_id: task(row.get(0)?), producer: Hotkey::from_bytes(row.get(1)?) };
            Ok((id, Digest(row.get(2)?)))
        })?;
        for row in rows {
            let (id, digest) = row?;
            books.files.entry(id).or_default().insert(digest);
        }
        let mut query = connection.prepare("SELECT task_id, accused FROM evidence")?;
        let rows =
            query.query_map([], |row| Ok((task(row.get(0)?), Hotkey::from_bytes(row.get(1)?))))?;
        books.evidence = rows.collect::<Result<_, _>>()?;
        let mut query = connection
            .prepare("SELECT epoch_block, state, uid, reason FROM epochs ORDER BY epoch_block")?;
        let rows = query.query_map([], |row| {
            let (block, state, reason): (i64, String, String) =
                (row.get(0)?, row.get(1)?, row.get(3)?);
            Ok(EpochEntry {
                epoch_block: block.unsigned_abs(),
                set: state == "set",
                // As the weight setter writes it: `known: won the window`.
                computed: reason.starts_with("known:"),
                uid: row.get(2)?,
            })
        })?;
        books.epochs = rows.collect::<Result<_, _>>()?;
        Ok(books)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{EpochRecord, EpochState, State, StoredFile};
    use leoma_protocol::{
        BlockNumber, Netuid, Network, SigningGuard as _, SigningSlot, SlotKind, Uid,
    };

    #[test]
    fn the_books_are_what_a_validator_wrote() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Books::read(folder.path()).unwrap(), Books::default());
        let own = Hotkey::from_bytes([1; 32]);
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let state = State::open(folder.path(), network, own).unwrap();
        let (id, digest) = (FileId { task_id: TaskId(7), producer: own }, Digest::of(b"file"));
        let slot = SigningSlot {
            kind: SlotKind::VerdictFile,
            netuid: Netuid(99),
            task_id: id.task_id,
            subject: own,
        };
        let _new = state.admit(slot, digest).unwrap();
        state.keep_own_file(&StoredFile { id, digest, bytes: b"file".to_vec() }).unwrap();
        state.keep_evidence(TaskId(7), own, b"evidence").unwrap();
        for (block, state_of, reason) in [
            (180, EpochState::Set, "known: won the window"),
            (360, EpochState::Set, "expected: files of 1 validators are readable, 2 are required"),
        ] {
            let record = EpochRecord {
                epoch_block: BlockNumber(block),
                state: state_of,
                winner_hotkey: Some(own),
                uid: Some(Uid(5)),
                reason: reason.into(),
                outcome: "{}".into(),
            };
            state.keep_epoch(&record).unwrap();
        }
        // While the validator runs.
        let books = Books::read(folder.path()).unwrap();
        assert_eq!(books.signed, [(("verdict_file".to_owned(), TaskId(7), own), digest)].into());
        assert_eq!(books.files, [(id, [digest].into())].into());
        assert_eq!(books.unpublished, [TaskId(7)].into());
        assert_eq!(books.evidence, [(TaskId(7), own)].into());
        let epoch =
            |epoch_block, computed| EpochEntry { epoch_block, set: true, computed, uid: Some(5) };
        assert_eq!(books.epochs, [epoch(180, true), epoch(360, false)]);
        state.mark_published(id).unwrap();
        assert!(Books::read(folder.path()).unwrap().unpublished.is_empty());
    }
}
