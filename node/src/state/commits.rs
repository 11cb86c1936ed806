//! Weights that were committed and are still to be revealed. Without its salt a commit cannot be
//! revealed, so the salt is on disk before the hash leaves the process.

use leoma_protocol::{BlockNumber, Hotkey, Uid};
use leoma_rotation::{Slot, WeightVector};
use rusqlite::{Row, params};
use serde::Serialize;
use serde_json::json;

use super::{Result, State, StateError, sql_integer};

/// How far a commit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitState {
    /// Made, and not seen on chain yet.
    Prepared,
    /// On chain, waiting for its reveal.
    Committed,
    /// Its weights were read back from the chain.
    Revealed,
    /// A newer commit takes its place.
    Superseded,
    /// A slot that has weight changed hands before the reveal.
    Replaced,
    /// Its time passed and the chain has other weights.
    Missed,
}

impl CommitState {
    const ALL: [Self; 6] = [
        Self::Prepared,
        Self::Committed,
        Self::Revealed,
        Self::Superseded,
        Self::Replaced,
        Self::Missed,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Committed => "committed",
            Self::Revealed => "revealed",
            Self::Superseded => "superseded",
            Self::Replaced => "replaced",
            Self::Missed => "missed",
        }
    }
}

/// Committed weights of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightCommit {
    /// The epoch's boundary.
    pub epoch_block: BlockNumber,
    /// The weights, each with the hotkey that earned it.
    pub weights: WeightVector,
    /// The weights version that was committed to.
    pub version_key: u64,
    /// What was hashed with the weights; empty if the chain opens the commit by itself.
    pub salt: Vec<u16>,
    /// The hash, or the ciphertext.
    pub commit: Vec<u8>,
    /// The round that opens the ciphertext; 0 for a hash.
    pub reveal_round: u64,
    /// The subnet epoch that it is in; until it is on chain the one that it was made for.
    pub commit_epoch: u64,
    /// How far it has come.
    pub state: CommitState,
}

impl WeightCommit {
    /// Whether the chain opens it by itself.
    pub const fn is_timelocked(&self) -> bool {
        self.salt.is_empty()
    }
}

const COLUMNS: &str = "epoch_block, holder, uid, version_key, salt, content, reveal_round, \
                       commit_epoch, state, weights";

/// A row as SQLite has it.
struct CommitRow {
    epoch_block: i64,
    holder: Option<[u8; 32]>,
    uid: u16,
    version_key: i64,
    salt: Vec<u8>,
    commit: Vec<u8>,
    reveal_round: i64,
    commit_epoch: i64,
    state: String,
    weights: Option<String>,
}

impl CommitRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            epoch_block: row.get(0)?,
            holder: row.get(1)?,
            uid: row.get(2)?,
            version_key: row.get(3)?,
            salt: row.get(4)?,
            commit: row.get(5)?,
            reveal_round: row.get(6)?,
            commit_epoch: row.get(7)?,
            state: row.get(8)?,
            weights: row.get(9)?,
        })
    }

    fn commit(self) -> Result<WeightCommit> {
        let malformed = || StateError::Malformed { what: "weight commit" };
        let weights = match self.weights {
            Some(text) => serde_json::from_str(&text).map_err(|_| malformed())?,
            // Written before there were vectors. A slot that nobody held has no hotkey; all zeros
            // is nobody's.
            None => WeightVector::whole(Slot {
                hotkey: Hotkey::from_bytes(self.holder.unwrap_or_default()),
                uid: Uid(self.uid),
            }),
        };
        let words = self.salt.chunks(2).map(|pair| pair.try_into().map(u16::from_le_bytes));
        let salt = words.collect::<Result<_, _>>().map_err(|_| malformed())?;
        let state = CommitState::ALL.into_iter().find(|known| known.name() == self.state);
        Ok(WeightCommit {
            epoch_block: BlockNumber(self.epoch_block.unsigned_abs()),
            weights,
            // Stored bit by bit: a version may be any 64-bit number.
            version_key: u64::from_ne_bytes(self.version_key.to_ne_bytes()),
            salt,
            commit: self.commit,
            reveal_round: self.reveal_round.unsigned_abs(),
            commit_epoch: self.commit_epoch.unsigned_abs(),
            state: state.ok_or_else(malformed)?,
        })
    }
}

impl State {
    /// Records or updates a commit; it is on disk when this returns.
    ///
    /// # Errors
    /// [`StateError::Database`]; [`StateError::Malformed`] for a commit to no weights.
    pub fn keep_weight_commit(&self, commit: &WeightCommit) -> Result<()> {
        let salt: Vec<u8> = commit.salt.iter().flat_map(|word| word.to_le_bytes()).collect();
        let malformed = StateError::Malformed { what: "weight commit" };
        let heaviest = commit.weights.heaviest().ok_or(malformed)?;
        self.database.execute(
            &format!(
                "INSERT OR REPLACE INTO weight_commits ({COLUMNS}) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
            ),
            params![
                sql_integer(commit.epoch_block.0),
                heaviest.hotkey.as_bytes(),
                heaviest.uid.0,
                i64::from_ne_bytes(commit.version_key.to_ne_bytes()),
                salt,
                commit.commit,
                sql_integer(commit.reveal_round),
                sql_integer(commit.commit_epoch),
                commit.state.name(),
                json!(commit.weights).to_string(),
            ],
        )
    }

    /// The commit of an epoch.
    pub fn weight_commit(&self, epoch_block: BlockNumber) -> Result<Option<WeightCommit>> {
        let sql = format!("SELECT {COLUMNS} FROM weight_commits WHERE epoch_block = ?1");
        let row = self.database.row(&sql, params![sql_integer(epoch_block.0)], CommitRow::read)?;
        row.map(CommitRow::commit).transpose()
    }

    /// The commits that have not come to an end, oldest first: they are on chain, or may be on
    /// their way there.
    pub fn open_weight_commits(&self) -> Result<Vec<WeightCommit>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM weight_commits \
             WHERE state IN ('prepared', 'committed') ORDER BY epoch_block"
        );
        self.database.rows(&sql, [], CommitRow::read)?.into_iter().map(CommitRow::commit).collect()
    }

    /// The newest commit that was revealed, or whose time to be revealed is over. One that a newer
    /// commit took the place of says nothing.
    pub fn newest_reveal(&self) -> Result<Option<WeightCommit>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM weight_commits \
             WHERE state IN ('revealed', 'replaced', 'missed') \
             ORDER BY epoch_block DESC LIMIT 1"
        );
        self.database.row(&sql, [], CommitRow::read)?.map(CommitRow::commit).transpose()
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Netuid, Network};
    use leoma_rotation::WeightEntry;

    use super::*;

    #[test]
    fn commits_outlive_the_process_with_their_salt() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let hotkey = Hotkey::from_bytes([1; 32]);
        let state = State::open(folder.path(), network, hotkey).unwrap();
        let first = WeightCommit {
            epoch_block: BlockNumber(180),
            weights: WeightVector {
                entries: vec![
                    WeightEntry { hotkey, uid: Uid(6), share: WeightVector::LARGEST },
                    WeightEntry { hotkey: Hotkey::from_bytes([9; 32]), uid: Uid(8), share: 7 },
                ],
            },
            version_key: u64::MAX,
            salt: vec![1, 0xffff, 3],
            commit: vec![9; 32],
            reveal_round: 0,
            commit_epoch: 4,
            state: CommitState::Prepared,
        };
        let timelocked = WeightCommit {
            epoch_block: BlockNumber(360),
            salt: Vec::new(),
            reveal_round: 77,
            ..first.clone()
        };
        state.keep_weight_commit(&first).unwrap();
        state.keep_weight_commit(&timelocked).unwrap();
        drop(state);
        let state = State::open(folder.path(), network, hotkey).unwrap();
        assert_eq!(state.weight_commit(BlockNumber(180)).unwrap(), Some(first.clone()));
        assert!(state.weight_commit(BlockNumber(360)).unwrap().unwrap().is_timelocked());
        let committed = WeightCommit { state: CommitState::Committed, ..first };
        state.keep_weight_commit(&committed).unwrap();
        assert_eq!(state.open_weight_commits().unwrap(), [committed.clone(), timelocked]);
        for end in [
            CommitState::Revealed,
            CommitState::Superseded,
            CommitState::Replaced,
            CommitState::Missed,
        ] {
            state.keep_weight_commit(&WeightCommit { state: end, ..committed.clone() }).unwrap();
            assert_eq!(state.open_weight_commits().unwrap().len(), 1, "{end:?}");
            let newest = state.newest_reveal().unwrap().map(|commit| commit.state);
            assert_eq!(newest, Some(end).filter(|end| *end != CommitState::Superseded));
        }
    }
}
