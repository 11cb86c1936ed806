//! What was decided at each epoch.

use leoma_protocol::{BlockNumber, Hotkey, Uid};
use leoma_rotation::WeightEntry;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Result, State, StateError, sql_integer};

/// How far an epoch's weights have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochState {
    /// Computed, not yet on chain.
    Decided,
    /// Nothing is set, for a reason that everybody can see; it may still be computed until the next
    /// boundary.
    Abstained,
    /// Committed, to be revealed in a later epoch of the subnet.
    Committed,
    /// Read back from the chain.
    Set,
    /// The chain refused them for good.
    Refused,
}

impl EpochState {
    const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Abstained => "abstained",
            Self::Committed => "committed",
            Self::Set => "set",
            Self::Refused => "refused",
        }
    }

    fn of(name: &str) -> Result<Self> {
        [Self::Decided, Self::Abstained, Self::Committed, Self::Set, Self::Refused]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or(StateError::Malformed { what: "epoch state" })
    }
}

/// One epoch's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochRecord {
    /// The epoch's boundary.
    pub epoch_block: BlockNumber,
    /// How far it has come.
    pub state: EpochState,
    /// The winner; `None` when weight was burned or nothing was set.
    pub winner_hotkey: Option<Hotkey>,
    /// The uid that all weight went to.
    pub uid: Option<Uid>,
    /// Why these weights, or why none.
    pub reason: String,
    /// The whole outcome as JSON.
    #[serde(skip)]
    pub outcome: String,
}

impl EpochRecord {
    /// The weights that were decided, ascending by uid; `None` where nothing is set.
    pub fn weights(&self) -> Option<Vec<(Uid, u16)>> {
        decided_weights(&self.outcome)
    }
}

/// The part of an outcome that says the weights.
#[derive(Deserialize)]
struct StoredOutcome {
    weights: Option<Vec<WeightEntry>>,
}

/// The weights that an epoch's outcome names.
pub(super) fn decided_weights(outcome: &str) -> Option<Vec<(Uid, u16)>> {
    let outcome: StoredOutcome = serde_json::from_str(outcome).ok()?;
    Some(outcome.weights?.iter().map(|entry| (entry.uid, entry.share)).collect())
}

type EpochRow = (i64, String, Option<[u8; 32]>, Option<u16>, String, String);

fn columns(row: &Row<'_>) -> rusqlite::Result<EpochRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn record((block, state, winner, uid, reason, outcome): EpochRow) -> Result<EpochRecord> {
    Ok(EpochRecord {
        epoch_block: BlockNumber(block.unsigned_abs()),
        state: EpochState::of(&state)?,
        winner_hotkey: winner.map(Hotkey::from_bytes),
        uid: uid.map(Uid),
        reason,
        outcome,
    })
}

const COLUMNS: &str = "epoch_block, state, winner, uid, reason, outcome";

impl State {
    /// Records or updates an epoch.
    pub fn keep_epoch(&self, epoch: &EpochRecord) -> Result<()> {
        self.database.execute(
            "INSERT OR REPLACE INTO epochs (epoch_block, state, winner, uid, reason, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                sql_integer(epoch.epoch_block.0),
                epoch.state.name(),
                epoch.winner_hotkey.map(|hotkey| *hotkey.as_bytes()),
                epoch.uid.map(|uid| uid.0),
                epoch.reason,
                epoch.outcome
            ],
        )
    }

    /// Says that an epoch's weights were committed, unless it has come further already.
    pub fn mark_epoch_committed(&self, epoch_block: BlockNumber) -> Result<()> {
        self.database.execute(
            "UPDATE epochs SET state = ?2 WHERE epoch_block = ?1 AND state = ?3",
            params![
                sql_integer(epoch_block.0),
                EpochState::Committed.name(),
                EpochState::Decided.name()
            ],
        )
    }

    /// Says how an epoch whose weights were committed has ended, and why where it is not as it
    /// should be. An epoch that sets nothing stays as it is: its commit only kept us active.
    pub fn finish_epoch(
        &self,
        epoch_block: BlockNumber,
        state: EpochState,
        reason: Option<&str>,
    ) -> Result<()> {
        self.database.execute(
            "UPDATE epochs SET state = ?2, reason = reason || ?3
             WHERE epoch_block = ?1 AND state <> ?4",
            params![
                sql_integer(epoch_block.0),
                state.name(),
                reason.map_or_else(String::new, |reason| format!(" ({reason})")),
                EpochState::Abstained.name(),
            ],
        )
    }

    /// Keeps with an epoch what its validators were found to have on chain, as JSON. One statement,
    /// so that what the weight setter records meanwhile is not lost.
    pub(crate) fn keep_weights_seen(&self, epoch_block: BlockNumber, seen: &str) -> Result<()> {
        self.database.execute(
            "UPDATE epochs SET outcome = json_set(outcome, '$.weights_seen', json(?2))
             WHERE epoch_block = ?1 AND json_valid(outcome)",
            params![sql_integer(epoch_block.0), seen],
        )
    }

    /// The newest epochs, newest first.
    pub fn epochs(&self, limit: u32) -> Result<Vec<EpochRecord>> {
        let sql = format!("SELECT {COLUMNS} FROM epochs ORDER BY epoch_block DESC LIMIT ?1");
        self.database.rows(&sql, params![limit], columns)?.into_iter().map(record).collect()
    }

    /// Forgets epochs, witnesses and ended commits to weights before a block.
    pub fn prune_epochs_before(&self, first: BlockNumber) -> Result<()> {
        let first = params![sql_integer(first.0)];
        self.database.execute("DELETE FROM epochs WHERE epoch_block < ?1", first)?;
        self.database.execute("DELETE FROM witnesses WHERE epoch_block < ?1", first)?;
        // An open one may still be revealed.
        self.database.execute(
            "DELETE FROM weight_commits WHERE epoch_block < ?1 AND state NOT IN ('prepared', 'committed')",
            first,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{Digest, Netuid, Network};

    #[test]
    fn the_newest_epochs_are_listed_first_and_old_ones_are_pruned() {
        let state =
            State::in_memory(Network { genesis: Digest::default(), netuid: Netuid(1) }).unwrap();
        let winner = Hotkey::from_bytes([7; 32]);
        for (block, state_of) in
            [(180, EpochState::Set), (360, EpochState::Abstained), (540, EpochState::Refused)]
        {
            let epoch = EpochRecord {
                epoch_block: BlockNumber(block),
                state: state_of,
                winner_hotkey: Some(winner),
                uid: Some(Uid(0)),
                reason: "r".into(),
                outcome: "{}".into(),
            };
            state.keep_epoch(&epoch).unwrap();
        }
        let listed = |limit| -> Vec<_> {
            let epochs = state.epochs(limit).unwrap();
            epochs.iter().map(|epoch| (epoch.epoch_block.0, epoch.state)).collect()
        };
        assert_eq!(listed(2), [(540, EpochState::Refused), (360, EpochState::Abstained)]);
        state.prune_epochs_before(BlockNumber(360)).unwrap();
        assert_eq!(listed(9).len(), 2);
    }
}
