//! What a validator must remember: two SQLite databases in its state folder.
//!
//! | file and table | holds | why it must survive |
//! |---|---|---|
//! | both: `identity` | genesis, netuid, hotkey | a folder is never used for another network or key |
//! | `guard.sqlite`: `signed`, `sealed` | the digest signed in each once-only slot; tasks about which nothing new is signed | signing two different ones is equivocation |
//! | `state.sqlite`: `files` | verified verdict files, own and peers' | served to peers, read at the next epoch, never signed again |
//! | `drafts` | our verdicts from just before they are signed | a crash must not leave a task that can no longer be signed |
//! | `certificates`, `evidence` | what the mesh agreed on | they decide which files we witness and count |
//! | `weight_commits` | committed weights with their salts | a lost salt cannot be revealed |
//! | `epochs` | weights of each epoch, and why they are what they are | nothing is decided twice; the newest are shown |
//! | `witnesses` | what we told the chain for each epoch | shown, and not told twice |
//! | `notes` | the allowlists so far, peers' addresses, the hello's sequence number, the transaction that is on its way | tasks keep the list they were made under; the mesh finds itself again |
//!
//! The disk is slow, and may be full: async code calls [`State::on_disk`], which runs the work on a
//! thread that may wait. Methods fail with [`StateError::Database`] where they name no other error.

mod books;
mod commits;
mod database;
mod drafts;
mod epochs;
mod error;
mod files;
mod folder;
mod guard;
mod guard_file;
mod mesh;
mod schema;
mod sent;
mod witnesses;

use std::path::Path;
use std::sync::Arc;

use leoma_protocol::{Hotkey, Network};
use rusqlite::params;

pub use books::{Books, EpochEntry, Slot};
pub use commits::{CommitState, WeightCommit};
pub use epochs::{EpochRecord, EpochState};
pub use error::StateError;
pub use files::StoredFile;
pub(crate) use folder::make_private;
pub use guard::TakenOver;
pub use mesh::MeshRow;
pub use sent::SentTransactions;
pub use witnesses::{WitnessRecord, WitnessState};

use database::{Database, sql_integer};
use error::Result;
use schema::{GUARD_SCHEMAS, SCHEMAS};

/// The state of one validator. Clones share its connections.
#[derive(Clone, Debug)]
pub struct State {
    database: Arc<Database>,
    guard: Arc<Database>,
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
        make_private(folder).map_err(|error| refuse(error.to_string()))?;
        let lock = std::fs::File::create(folder.join("lock"))
            .map_err(|error| refuse(error.to_string()))?;
        lock.try_lock().map_err(|_| refuse("another leoma process uses it".to_owned()))?;
        let owner = format!("{hotkey} on subnet {} of chain {}", network.netuid, network.genesis);
        let database = Database::open(folder.join("state.sqlite"))?;
        let guard = guard_file::open(folder, &database, &owner)?;
        database.bring_up(SCHEMAS)?;
        database.claim(folder, &owner)?;
        let (database, guard) = (Arc::new(database), Arc::new(guard));
        Ok(Self { database, guard, network, _lock: Some(Arc::new(lock)) })
    }

    /// A state that is gone when dropped, for tests and one-shot commands.
    pub fn in_memory(network: Network) -> Result<Self> {
        Self::of(Database::in_memory()?, network)
    }

    /// A state that is gone when dropped, for a process that signs nothing and holds many files:
    /// they lie in the folder for temporary files, as soon as there are more than a few.
    pub fn temporary(network: Network) -> Result<Self> {
        Self::of(Database::temporary()?, network)
    }

    /// A state that nobody else uses; its guard is gone when dropped.
    fn of(database: Database, network: Network) -> Result<Self> {
        let guard = Database::in_memory()?;
        database.bring_up(SCHEMAS)?;
        guard.bring_up(GUARD_SCHEMAS)?;
        Ok(Self { database: Arc::new(database), guard: Arc::new(guard), network, _lock: None })
    }

    /// Runs `work` on a thread that may wait for the disk, and returns its result.
    ///
    /// # Errors
    /// What `work` fails with; [`StateError::Closing`] when the process ends meanwhile.
    pub async fn on_disk<T: Send + 'static, E: From<StateError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let state = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&state)).await;
        done.unwrap_or_else(|_| Err(StateError::Closing.into()))
    }

    /// The network this state belongs to.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// A text kept under `name`.
    pub fn note(&self, name: &str) -> Result<Option<String>> {
        self.database
            .row("SELECT value FROM notes WHERE name = ?1", params![name], |row| row.get(0))
    }

    /// Keeps a text under `name`.
    pub fn set_note(&self, name: &str, value: &str) -> Result<()> {
        self.database.execute(
            "INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)",
            params![name, value],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{BlockNumber, Digest, FileId, Netuid, TaskId, Uid};
    use leoma_rotation::{Slot, WeightVector};
    use rusqlite::Connection;

    fn network(netuid: u16) -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(netuid) }
    }

    #[test]
    fn a_temporary_state_holds_more_than_its_cache() {
        let state = State::temporary(network(99)).unwrap();
        let id = |task| FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) };
        // 16 MiB; SQLite keeps two of them in memory.
        let file = |task: u64| StoredFile {
            id: id(task),
            digest: Digest::of(&task.to_be_bytes()),
            bytes: vec![task as u8; 256 * 1024],
        };
        for task in 0..64 {
            state.keep_file(&file(task)).unwrap();
        }
        let mode: Option<String> =
            state.database.row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode.as_deref(), Some("delete"), "it is in memory");
        for task in 0..64 {
            assert_eq!(state.file(id(task), None).unwrap(), Some(file(task)));
        }
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
