//! What a validator has written down, for readers outside of its process: tests and audits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use leoma_protocol::{Digest, FileId, Hotkey, TaskId, Uid};
use rusqlite::{Connection, OpenFlags};

use super::database::BUSY_TIMEOUT;
use super::epochs::decided_weights;
use super::{Result, StateError};

/// What may be signed once: kind of message, task, subject.
pub type Slot = (String, TaskId, Hotkey);

/// One epoch of a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// Its boundary.
    pub epoch_block: u64,
    /// Whether its weights were read back from the chain.
    pub set: bool,
    /// The weights that were computed, `(uid, share)` each; `None` where the validator abstained.
    pub weights: Option<Vec<(u16, u16)>>,
    /// Why these weights, or why none.
    pub reason: String,
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
    /// By task, who signed twice according to the evidence that it holds.
    pub evidence: BTreeSet<(TaskId, Hotkey)>,
    /// Its epochs, oldest first.
    pub epochs: Vec<EpochEntry>,
    /// Its witnesses by epoch boundary: whether each was in a final block in time.
    pub witnesses: BTreeMap<u64, bool>,
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
        let (state, guard) = (folder.join("state.sqlite"), folder.join("guard.sqlite"));
        if !state.exists() || !guard.exists() {
            return Ok(Self::default());
        }
        let open = |path| -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let read = || -> rusqlite::Result<Self> {
            let mut books = Self::read_state(&open(state)?)?;
            books.signed = read_signed(&open(guard)?)?;
            Ok(books)
        };
        read().map_err(|error: rusqlite::Error| StateError::Folder {
            path: folder.to_owned(),
            reason: error.to_string(),
        })
    }

    fn read_state(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut books = Self::default();
        let mut query = connection.prepare("SELECT task_id FROM files WHERE published = 0")?;
        books.unpublished =
            query.query_map([], |row| Ok(task(row.get(0)?)))?.collect::<Result<_, _>>()?;
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
        let mut query = connection.prepare(
            "SELECT epoch_block, state, outcome, reason FROM epochs ORDER BY epoch_block",
        )?;
        let rows = query.query_map([], |row| {
            let (block, state, outcome): (i64, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let pairs = |entries: Vec<(Uid, u16)>| {
                entries.into_iter().map(|(uid, share)| (uid.0, share)).collect()
            };
            Ok(EpochEntry {
                epoch_block: block.unsigned_abs(),
                set: state == "set",
                weights: decided_weights(&outcome).map(pairs),
                reason: row.get(3)?,
            })
        })?;
        books.epochs = rows.collect::<Result<_, _>>()?;
        let mut query = connection.prepare("SELECT epoch_block, state FROM witnesses")?;
        let rows = query.query_map([], |row| {
            let (block, state): (i64, String) = (row.get(0)?, row.get(1)?);
            Ok((block.unsigned_abs(), state == "final"))
        })?;
        books.witnesses = rows.collect::<Result<_, _>>()?;
        Ok(books)
    }
}

fn read_signed(guard: &Connection) -> Result<BTreeMap<Slot, Digest>, rusqlite::Error> {
    let mut query = guard.prepare("SELECT kind, task_id, subject, digest FROM signed")?;
    let rows = query.query_map([], |row| {
        let slot = (row.get(0)?, task(row.get(1)?), Hotkey::from_bytes(row.get(2)?));
        Ok((slot, Digest(row.get(3)?)))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{
        EpochRecord, EpochState, MeshRow, State, StoredFile, WitnessRecord, WitnessState,
    };
    use leoma_protocol::{BlockNumber, Netuid, Network, SigningGuard as _, SigningSlot, SlotKind};

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
        let bytes = b"evidence".to_vec();
        let evidence = MeshRow::Evidence { task_id: TaskId(7), accused: own, bytes };
        state.keep_mesh_rows(&[evidence]).unwrap();
        let weights = serde_json::json!([{ "hotkey": own, "uid": 5, "share": 65535 }]);
        for (block, state_of, outcome) in [
            (180, EpochState::Set, serde_json::json!({ "weights": weights })),
            (360, EpochState::Abstained, serde_json::json!({ "weights": null })),
        ] {
            let record = EpochRecord {
                epoch_block: BlockNumber(block),
                state: state_of,
                winner_hotkey: Some(own),
                uid: Some(Uid(5)),
                reason: "why".into(),
                outcome: outcome.to_string(),
            };
            state.keep_epoch(&record).unwrap();
        }
        for (block, state_of) in [(180, WitnessState::Final), (360, WitnessState::Missed)] {
            let record = WitnessRecord {
                epoch_block: BlockNumber(block),
                bytes: Vec::new(),
                state: state_of,
                reason: String::new(),
            };
            state.keep_witness(&record).unwrap();
        }
        // While the validator runs.
        let books = Books::read(folder.path()).unwrap();
        assert_eq!(books.signed, [(("verdict_file".to_owned(), TaskId(7), own), digest)].into());
        assert_eq!(books.files, [(id, [digest].into())].into());
        assert_eq!(books.unpublished, [TaskId(7)].into());
        assert_eq!(books.evidence, [(TaskId(7), own)].into());
        let epoch = |epoch_block, weights: Option<Vec<(u16, u16)>>| EpochEntry {
            epoch_block,
            set: weights.is_some(),
            weights,
            reason: "why".to_owned(),
        };
        assert_eq!(books.epochs, [epoch(180, Some(vec![(5, u16::MAX)])), epoch(360, None)]);
        assert_eq!(books.witnesses, [(180, true), (360, false)].into());
        state.mark_published(id).unwrap();
        assert!(Books::read(folder.path()).unwrap().unpublished.is_empty());
    }
}
