//! What we told the chain for each epoch.

use leoma_protocol::BlockNumber;
use rusqlite::{Row, params};
use serde::Serialize;

use super::{Result, State, StateError, sql_integer};

/// How far a witness has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WitnessState {
    /// Made, and not seen on chain yet.
    Prepared,
    /// In a final block of its span.
    Final,
    /// Its span is over and it is not on chain.
    Missed,
}

impl WitnessState {
    const fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Final => "final",
            Self::Missed => "missed",
        }
    }

    fn of(name: &str) -> Result<Self> {
        [Self::Prepared, Self::Final, Self::Missed]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or(StateError::Malformed { what: "witness state" })
    }
}

/// The witness of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WitnessRecord {
    /// The epoch's boundary.
    pub epoch_block: BlockNumber,
    /// What it says, as on chain; empty where none could be made.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// How far it has come.
    pub state: WitnessState,
    /// Why it was missed, or what the last try failed with; empty if nothing failed.
    pub reason: String,
}

type WitnessRow = (i64, Vec<u8>, String, String);

fn columns(row: &Row<'_>) -> rusqlite::Result<WitnessRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn record((block, bytes, state, reason): WitnessRow) -> Result<WitnessRecord> {
    let epoch_block = BlockNumber(block.unsigned_abs());
    Ok(WitnessRecord { epoch_block, bytes, state: WitnessState::of(&state)?, reason })
}

const COLUMNS: &str = "epoch_block, bytes, state, reason";

impl State {
    /// Records or updates the witness of an epoch.
    pub fn keep_witness(&self, witness: &WitnessRecord) -> Result<()> {
        self.database.execute(
            &format!("INSERT OR REPLACE INTO witnesses ({COLUMNS}) VALUES (?1, ?2, ?3, ?4)"),
            params![
                sql_integer(witness.epoch_block.0),
                witness.bytes,
                witness.state.name(),
                witness.reason
            ],
        )
    }

    /// The newest witnesses, newest first.
    pub fn witnesses(&self, limit: u32) -> Result<Vec<WitnessRecord>> {
        let sql = format!("SELECT {COLUMNS} FROM witnesses ORDER BY epoch_block DESC LIMIT ?1");
        self.database.rows(&sql, params![limit], columns)?.into_iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{Digest, Hotkey, Netuid, Network};

    #[test]
    fn witnesses_outlive_the_process_and_old_ones_are_pruned_with_their_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let hotkey = Hotkey::from_bytes([1; 32]);
        let state = State::open(folder.path(), network, hotkey).unwrap();
        let mut records: Vec<WitnessRecord> = [180, 360]
            .map(|block| WitnessRecord {
                epoch_block: BlockNumber(block),
                bytes: vec![1, 2],
                state: WitnessState::Prepared,
                reason: String::new(),
            })
            .into();
        records.iter().for_each(|record| state.keep_witness(record).unwrap());
        records[1].state = WitnessState::Missed;
        records[1].reason = "the chain gave no answer".to_owned();
        state.keep_witness(&records[1]).unwrap();
        drop(state);
        let state = State::open(folder.path(), network, hotkey).unwrap();
        records.reverse();
        assert_eq!(state.witnesses(9).unwrap(), records);
        state.prune_epochs_before(BlockNumber(360)).unwrap();
        assert_eq!(state.witnesses(9).unwrap(), records[..1]);
    }
}
