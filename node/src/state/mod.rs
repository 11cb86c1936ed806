//! What a validator must remember: one SQLite database in its state folder.
//!
//! | table | holds | why it must survive |
//! |---|---|---|
//! | `identity` | genesis, netuid, hotkey | a folder is never used for another network or key |
//! | `signed` | the digest signed in each once-only slot | signing two different ones is equivocation |
//! | `files` | verified verdict files, own and peers' | served to peers, read at the next epoch, never signed anew |
//! | `certificates`, `evidence` | what the mesh agreed on | they decide which files count |
//! | `weight_commits` | committed weights with their salts | a lost salt cannot be revealed |
//! | `epochs` | winner and weights of each epoch | the last winner is repeated when inputs cannot be read |
//! | `notes` | the allowlists so far, peers' addresses, the hello's sequence number, the transaction that is on its way | tasks keep the list they were made under; the mesh finds itself again |
//!
//! Methods fail with [`StateError::Database`] where they name no other error.

mod books;
mod commits;
mod epochs;
mod files;
mod guard;
mod mesh;
mod schema;
mod sent;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leoma_protocol::{Hotkey, Network};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

pub use books::{Books, EpochEntry, Slot};
pub use commits::{CommitState, WeightCommit};
pub use epochs::{EpochRecord, EpochState};
pub use files::StoredFile;
pub use sent::SentTransactions;

use schema::SCHEMAS;

/// How long a statement waits for another process, such as a copy of the database being made.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum StateError {
    /// The folder cannot be made or locked.
    #[error("state folder {}: {reason}", path.display())]
    Folder { path: PathBuf, reason: String },
    /// The database failed: disk full, corrupt, locked.
    #[error("state database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database is damaged.
    #[error("state database {} is damaged ({detail}); restore it from a copy. Starting with an empty one risks signing twice", path.display())]
    Corrupt { path: PathBuf, detail: String },
    /// The folder belongs to another network or hotkey.
    #[error("state folder {} belongs to {found}, not to {expected}; set LEOMA_STATE_DIR to another folder", path.display())]
    Foreign { path: PathBuf, found: String, expected: String },
    /// A stored value that cannot be read back.
    #[error("state database: a stored {what} is malformed")]
    Malformed { what: &'static str },
}

type Result<T, E = StateError> = std::result::Result<T, E>;

/// The state of one validator. Clones share one connection.
#[derive(Clone, Debug)]
pub struct State {
    connection: Arc<Mutex<Connection>>,
    network: Network,
    // Held open for its lock: two validators on one folder would sign against each other.
    _lock: Option<Arc<std::fs::File>>,
}

impl State {
    /// Opens the state in `folder`, making it when it is new.
    ///
    /// # Errors
    /// [`StateError`] when the folder is in use, damaged, of another schema, network or hotkey.
    pub fn open(folder: &Path, network: Network, hotkey: Hotkey) -> Result<Self> {
        let refuse = |reason: String| StateError::Folder { path: folder.to_owned(), reason };
        std::fs::create_dir_all(folder).map_err(|error| refuse(error.to_string()))?;
        let lock = std::fs::File::create(folder.join("lock"))
            .map_err(|error| refuse(error.to_string()))?;
        lock.try_lock().map_err(|_| refuse("another leoma process uses it".to_owned()))?;
        let path = folder.join("state.sqlite");
        let connection = Connection::open(&path)?;
        let check: Result<String, _> =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        match check {
            Ok(finding) if finding == "ok" => {}
            Ok(finding) => return Err(StateError::Corrupt { path, detail: finding }),
            Err(error) => return Err(StateError::Corrupt { path, detail: error.to_string() }),
        }
        let state = Self::prepare(connection, network, Some(Arc::new(lock)))?;
        state.claim(folder, hotkey)?;
        Ok(state)
    }

    /// A state that is gone when dropped, for tests and one-shot commands.
    pub fn in_memory(network: Network) -> Result<Self> {
        Self::prepare(Connection::open_in_memory()?, network, None)
    }

    fn prepare(
        connection: Connection,
        network: Network,
        lock: Option<Arc<std::fs::File>>,
    ) -> Result<Self> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Full synchronisation: a digest must be on disk before its signature leaves the process.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        // A folder of a later version is refused rather than guessed at.
        let Some(missing) = SCHEMAS.get(version as usize..) else {
            return Err(StateError::Malformed {
                what: "schema version (written by a later release)",
            });
        };
        if !missing.is_empty() {
            let (added, version) = (missing.concat(), SCHEMAS.len());
            connection.execute_batch(&format!(
                "BEGIN; {added} PRAGMA user_version = {version}; COMMIT;"
            ))?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)), network, _lock: lock })
    }

    fn claim(&self, folder: &Path, hotkey: Hotkey) -> Result<()> {
        let expected =
            format!("{hotkey} on subnet {} of chain {}", self.network.netuid, self.network.genesis);
        let connection = self.connection();
        connection.execute(
            "INSERT OR IGNORE INTO identity (id, owner) VALUES (1, ?1)",
            params![expected],
        )?;
        let found: String =
            connection
                .query_row("SELECT owner FROM identity WHERE id = 1", [], |row| row.get(0))?;
        if found == expected {
            Ok(())
        } else {
            Err(StateError::Foreign { path: folder.to_owned(), found, expected })
        }
    }

    /// The network this state belongs to.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// A text kept under `name`.
    pub fn note(&self, name: &str) -> Result<Option<String>> {
        self.row("SELECT value FROM notes WHERE name = ?1", params![name], |row| row.get(0))
    }

    /// Keeps a text under `name`.
    pub fn set_note(&self, name: &str, value: &str) -> Result<()> {
        self.execute(
            "INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)",
            params![name, value],
        )
    }

    fn execute(&self, sql: &str, parameters: impl Params) -> Result<()> {
        self.connection().execute(sql, parameters)?;
        Ok(())
    }

    fn row<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.connection().query_row(sql, parameters, read).optional()?)
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let connection = self.connection();
        let mut query = connection.prepare(sql)?;
        Ok(query.query_map(parameters, read)?.collect::<Result<_, _>>()?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves no half-done transaction: SQLite rolls it back on
        // drop.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQLite integers are signed; heights and task numbers stay far below the limit.
fn sql_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{BlockNumber, Digest, Netuid, Uid};
    use leoma_rotation::{Slot, WeightVector};

    fn network(netuid: u16) -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(netuid) }
    }

    #[test]
    fn a_folder_serves_one_process_network_and_hotkey() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]));
        let state = State::open(folder.path(), network(99), one).unwrap();
        assert!(matches!(
            State::open(folder.path(), network(99), one),
            Err(StateError::Folder { .. })
        ));
        drop(state);
        assert!(matches!(
            State::open(folder.path(), network(98), one),
            Err(StateError::Foreign { .. })
        ));
        assert!(matches!(
            State::open(folder.path(), network(99), two),
            Err(StateError::Foreign { .. })
        ));
        State::open(folder.path(), network(99), one).unwrap();
    }

    #[test]
    fn a_database_of_an_earlier_release_is_brought_up_and_of_a_later_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([1; 32]);
        let path = folder.path().join("state.sqlite");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&format!("{} PRAGMA user_version = 1;", SCHEMAS[0])).unwrap();
        old.execute("INSERT INTO notes (name, value) VALUES ('kept', 'yes')", []).unwrap();
        drop(old);
        let state = State::open(folder.path(), network(99), hotkey).unwrap();
        assert_eq!(state.note("kept").unwrap().as_deref(), Some("yes"));
        assert!(state.open_weight_commits().unwrap().is_empty());
        drop(state);
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(
            State::open(folder.path(), network(99), hotkey),
            Err(StateError::Malformed { .. })
        ));
    }

    #[test]
    fn a_commit_to_one_slot_of_an_earlier_release_is_a_vector_of_one_entry() {
        let folder = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([1; 32]);
        let old = Connection::open(folder.path().join("state.sqlite")).unwrap();
        let schema = SCHEMAS[..2].concat();
        old.execute_batch(&format!("{schema} PRAGMA user_version = 2;")).unwrap();
        let columns = "epoch_block, holder, uid, version_key, salt, content, reveal_round, commit_epoch, state";
        for (epoch_block, holder) in [(180, Some([7_u8; 32])), (360, None)] {
            old.execute(
                &format!("INSERT INTO weight_commits ({columns}) VALUES (?1, ?2, 6, 3, x'0100ffff', x'09', 0, 4, 'committed')"),
                params![epoch_block, holder],
            )
            .unwrap();
        }
        drop(old);
        let state = State::open(folder.path(), network(99), hotkey).unwrap();
        let expected = |epoch_block, holder| WeightCommit {
            epoch_block: BlockNumber(epoch_block),
            weights: WeightVector::whole(Slot { hotkey: Hotkey::from_bytes(holder), uid: Uid(6) }),
            version_key: 3,
            salt: vec![1, 0xffff],
            commit: vec![9],
            reveal_round: 0,
            commit_epoch: 4,
            state: CommitState::Committed,
        };
        let commits = [expected(180, [7; 32]), expected(360, [0; 32])];
        assert_eq!(state.open_weight_commits().unwrap(), commits);
        // It goes on from there.
        let revealed = WeightCommit { state: CommitState::Revealed, ..commits[0].clone() };
        state.keep_weight_commit(&revealed).unwrap();
        assert_eq!(state.weight_commit(BlockNumber(180)).unwrap(), Some(revealed));
    }

    #[test]
    fn a_damaged_database_is_refused_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([1; 32]);
        drop(State::open(folder.path(), network(99), hotkey).unwrap());
        let path = folder.path().join("state.sqlite");
        std::fs::write(&path, b"SQLite format 3\0 and then nonsense").unwrap();
        assert!(matches!(
            State::open(folder.path(), network(99), hotkey),
            Err(StateError::Corrupt { .. })
        ));
        assert!(std::fs::read(&path).unwrap().ends_with(b"nonsense"));
    }
}
