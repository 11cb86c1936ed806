//! Weights that were committed and must yet be revealed. A salt that is lost cannot be revealed, so
//! it is on disk before its hash leaves the process.

use leoma_protocol::{BlockNumber, Hotkey, Uid};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{State, StateError, sql_integer};

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
    /// Its winner left the slot before the reveal.
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

/// Committed weights of one epoch: all on one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightCommit {
    /// The epoch's boundary.
    pub epoch_block: BlockNumber,
    /// Who held the slot then.
    pub holder: Option<Hotkey>,
    /// The slot.
    pub uid: Uid,
    /// The weights version that was committed to.
    pub version_key: u64,
    /// What was hashed with the weights; empty where the chain opens the commit by itself.
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
    #[must_use]
    pub const fn is_timelocked(&self) -> bool {
        self.salt.is_empty()
    }
}

const COLUMNS: &str =
    "epoch_block, holder, uid, version_key, salt, content, reveal_round, commit_epoch, state";

type CommitRow = (i64, Option<[u8; 32]>, u16, i64, Vec<u8>, Vec<u8>, i64, i64, String);

fn columns(row: &Row<'_>) -> rusqlite::Result<CommitRow> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
    ))
}

fn commit(
    (block, holder, uid, version_key, salt, commit, round, epoch, state): CommitRow,
) -> Result<WeightCommit, StateError> {
    let malformed = || StateError::Malformed { what: "weight commit" };
    let salt =
        salt.chunks(2).map(|pair| pair.try_into().map(u16::from_le_bytes).map_err(|_| malformed()));
    Ok(WeightCommit {
        epoch_block: BlockNumber(block.unsigned_abs()),
        holder: holder.map(Hotkey::from_bytes),
        uid: Uid(uid),
        // Stored bit by bit: a version may be any 64-bit number.
        version_key: u64::from_ne_bytes(version_key.to_ne_bytes()),
        salt: salt.collect::<Result<_, _>>()?,
        commit,
        reveal_round: round.unsigned_abs(),
        commit_epoch: epoch.unsigned_abs(),
        state: CommitState::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(malformed)?,
    })
}

impl State {
    /// Records or updates a commit; on disk when this returns.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn keep_weight_commit(&self, commit: &WeightCommit) -> Result<(), StateError> {
        let salt: Vec<u8> = commit.salt.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.connection().execute(
            &format!("INSERT OR REPLACE INTO weight_commits ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
            params![
                sql_integer(commit.epoch_block.0),
                commit.holder.map(|hotkey| *hotkey.as_bytes()),
                commit.uid.0,
                i64::from_ne_bytes(commit.version_key.to_ne_bytes()),
                salt,
                commit.commit,
                sql_integer(commit.reveal_round),
                sql_integer(commit.commit_epoch),
                commit.state.name(),
            ],
        )?;
        Ok(())
    }

    /// The commit of an epoch.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn weight_commit(
        &self,
        epoch_block: BlockNumber,
    ) -> Result<Option<WeightCommit>, StateError> {
        let connection = self.connection();
        let sql = format!("SELECT {COLUMNS} FROM weight_commits WHERE epoch_block = ?1");
        let row =
            connection.query_row(&sql, params![sql_integer(epoch_block.0)], columns).optional()?;
        row.map(commit).transpose()
    }

    /// The commits that have not come to an end, oldest first: on chain, or perhaps on their way
    /// there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open_weight_commits(&self) -> Result<Vec<WeightCommit>, StateError> {
        let connection = self.connection();
        let sql = format!(
            "SELECT {COLUMNS} FROM weight_commits WHERE state IN ('prepared', 'committed') ORDER BY epoch_block"
        );
        let mut query = connection.prepare(&sql)?;
        let rows: Vec<CommitRow> = query.query_map([], columns)?.collect::<Result<_, _>>()?;
        rows.into_iter().map(commit).collect()
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Netuid, Network};

    use super::*;

    #[test]
    fn commits_outlive_the_process_with_their_salt() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let hotkey = Hotkey::from_bytes([1; 32]);
        let state = State::open(folder.path(), network, hotkey).unwrap();
        let first = WeightCommit {
            epoch_block: BlockNumber(180),
            holder: Some(hotkey),
            uid: Uid(6),
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
        }
    }
}
