//! What was decided at each epoch.

use leoma_protocol::{BlockNumber, Hotkey, Uid};
use rusqlite::{Row, params};
use serde::Serialize;

use super::{Result, State, StateError, sql_integer};

/// How far an epoch's weights have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochState {
    /// Computed, not yet on chain.
    Decided,
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
            Self::Committed => "committed",
            Self::Set => "set",
            Self::Refused => "refused",
        }
    }

    fn of(name: &str) -> Result<Self> {
        [Self::Decided, Self::Committed, Self::Set, Self::Refused]
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
    /// The winner; `None` when weight was burned.
    pub winner_hotkey: Option<Hotkey>,
    /// The uid that all weight went to.
    pub uid: Option<Uid>,
    /// Why this winner.
    pub reason: String,
    /// The whole outcome as JSON.
    #[serde(skip)]
    pub outcome: String,
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
        self.execute(
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
        self.execute(
            "UPDATE epochs SET state = ?2 WHERE epoch_block = ?1 AND state = ?3",
            params![
                sql_integer(epoch_block.0),
                EpochState::Committed.name(),
                EpochState::Decided.name()
            ],
        )
    }

    /// Says how an epoch whose weights were committed has ended, and why where it is not as it
    /// should be.
    pub fn finish_epoch(
        &self,
        epoch_block: BlockNumber,
        state: EpochState,
        reason: Option<&str>,
    ) -> Result<()> {
        self.execute(
            "UPDATE epochs SET state = ?2, reason = reason || ?3 WHERE epoch_block = ?1",
            params![
                sql_integer(epoch_block.0),
                state.name(),
                reason.map_or_else(String::new, |reason| format!(" ({reason})")),
            ],
        )
    }

    /// The newest epochs, newest first.
    pub fn epochs(&self, limit: u32) -> Result<Vec<EpochRecord>> {
        let sql = format!("SELECT {COLUMNS} FROM epochs ORDER BY epoch_block DESC LIMIT ?1");
        self.rows(&sql, params![limit], columns)?.into_iter().map(record).collect()
    }

    /// The winner of the newest epoch that had one.
    pub fn last_winner(&self) -> Result<Option<Hotkey>> {
        self.row(
            "SELECT winner FROM epochs WHERE winner IS NOT NULL ORDER BY epoch_block DESC LIMIT 1",
            [],
            |row| Ok(Hotkey::from_bytes(row.get(0)?)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{Digest, Netuid, Network};

    #[test]
    fn the_last_winner_is_the_newest_epochs_that_had_one() {
        let state =
            State::in_memory(Network { genesis: Digest::default(), netuid: Netuid(1) }).unwrap();
        assert_eq!(state.last_winner().unwrap(), None);
        let winner = Hotkey::from_bytes([7; 32]);
        for (block, winner_hotkey) in [(180, None), (360, Some(winner)), (540, None)] {
            let epoch = EpochRecord {
                epoch_block: BlockNumber(block),
                state: EpochState::Set,
                winner_hotkey,
                uid: Some(Uid(0)),
                reason: "r".into(),
                outcome: "{}".into(),
            };
            state.keep_epoch(&epoch).unwrap();
        }
        assert_eq!(state.last_winner().unwrap(), Some(winner));
        assert_eq!(
            state.epochs(2).unwrap().iter().map(|epoch| epoch.epoch_block.0).collect::<Vec<_>>(),
            [540, 360]
        );
    }
}
