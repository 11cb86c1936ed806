//! What every validator has on chain for each epoch, so that the pages can show it: a few readings
//! in an epoch, however many look, and one after its end. The last one is kept with the epoch.

use std::sync::Arc;

use leoma_chain::{ChainClient, ChainError, Head};
use leoma_protocol::{BlockNumber, ConsensusSchedule, Hotkey, Uid};
use leoma_rotation::AllowlistHistory;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::compare::Expectation;
use super::on_chain::{Found, SetRow, what_validators_set};
use crate::state::{EpochRecord, EpochState, State, StateError};

/// Readings in an epoch: each costs some requests for every validator.
const READINGS: u64 = 6;
/// The epochs that are read: the one that runs, and the last one.
const EPOCHS: u32 = 2;

/// What a validator was found to have on chain, as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenWeights {
    /// The validator.
    pub(crate) validator: Hotkey,
    /// `(uid, weight)` each, as the chain scaled them.
    pub(crate) weights: Vec<(Uid, u16)>,
    /// `same`, `other`, `nothing` or `unseen`, beside what this validator decided.
    pub(crate) compared: String,
}

/// Why a reading failed.
#[derive(Debug, thiserror::Error)]
enum ReadingError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Reads what validators have on chain.
#[derive(Debug)]
pub(crate) struct Others {
    pub(crate) chain: ChainClient,
    pub(crate) consensus: Arc<ConsensusSchedule>,
    pub(crate) state: State,
    pub(crate) allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// Ourselves: what we set was read back when we set it.
    pub(crate) hotkey: Hotkey,
}

impl Others {
    /// Reads until `stop`.
    pub(crate) async fn run(self, mut heads: watch::Receiver<Head>, stop: CancellationToken) {
        let (mut next, mut done) = (BlockNumber(0), BlockNumber(0));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = heads.changed() => if changed.is_err() { return },
            }
            let head = *heads.borrow_and_update();
            if head.number < next {
                continue;
            }
            let pause = (self.consensus.at(head.number).epoch_blocks / READINGS).max(1);
            next = BlockNumber(head.number.0.saturating_add(pause));
            let reading = self.chain.in_background(self.read(head, &mut done));
            if let Err(error) = reading.await {
                tracing::debug!(%error, "failed to read the epochs to look up on chain");
            }
        }
    }

    /// Reads the newest epochs after `done`; nothing more is to come of those up to it. An epoch
    /// that cannot be read hides no other.
    pub(super) async fn read(&self, head: Head, done: &mut BlockNumber) -> Result<(), StateError> {
        let mut epochs = self.state.on_disk(|state| state.epochs(EPOCHS)).await?;
        epochs.reverse();
        let mut is_older_left = false;
        for epoch in epochs {
            let block = epoch.epoch_block;
            if block <= *done || block > head.number {
                continue;
            }
            let is_complete = match self.read_epoch(&epoch, head).await {
                Ok(is_complete) => is_complete,
                Err(error) => {
                    tracing::debug!(epoch_block = %block, %error, "failed to read what validators have on chain");
                    // What a node has dropped does not come back.
                    matches!(error, ReadingError::Chain(ChainError::Pruned { .. }))
                }
            };
            // All up to `done` count as read, so an older one that is left comes first.
            is_older_left |= !is_complete;
            if !is_older_left {
                *done = block;
            }
        }
        Ok(())
    }

    /// Reads an epoch and keeps what was found. Returns whether nothing more is to come of it.
    async fn read_epoch(&self, epoch: &EpochRecord, head: Head) -> Result<bool, ReadingError> {
        let block = epoch.epoch_block;
        let rows = self.rows(epoch, head).await?;
        let end = block.0.saturating_add(self.consensus.at(block).epoch_blocks);
        let is_complete =
            head.number.0 >= end && rows.iter().all(|row| row.found != Found::Pending);
        let seen = json!(compared(epoch, rows)).to_string();
        self.state.on_disk(move |state| state.keep_weights_seen(block, &seen)).await?;
        Ok(is_complete)
    }

    async fn rows(&self, epoch: &EpochRecord, head: Head) -> Result<Vec<SetRow>, ChainError> {
        let history = Arc::clone(&self.allowlists.borrow());
        let (hotkey, found) = (self.hotkey, Found::Weights);
        let set = epoch.weights().filter(|_| epoch.state == EpochState::Set);
        let own = set.map(|weights| SetRow { hotkey, uid: None, found, weights });
        let when = (epoch.epoch_block, head);
        what_validators_set(&self.chain, &self.consensus, &history, when, own).await
    }
}

fn compared(epoch: &EpochRecord, rows: Vec<SetRow>) -> Vec<SeenWeights> {
    let outcome: Value = serde_json::from_str(&epoch.outcome).unwrap_or(Value::Null);
    let is_complete = outcome["missing"].as_array().is_some_and(Vec::is_empty);
    let expected = match epoch.weights() {
        Some(weights) => Expectation::Weights(weights),
        None if is_complete => Expectation::None,
        None => Expectation::Unknown,
    };
    let seen = |row: SetRow| {
        let compared = expected.compare(&row).word().to_owned();
        SeenWeights { validator: row.hotkey, weights: row.weights, compared }
    };
    rows.into_iter().map(seen).collect()
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Netuid, Network};

    use super::*;

    fn epoch(outcome: Value) -> EpochRecord {
        EpochRecord {
            epoch_block: BlockNumber(180),
            state: EpochState::Set,
            winner_hotkey: None,
            uid: None,
            reason: "known: won the window".to_owned(),
            outcome: outcome.to_string(),
        }
    }

    fn row(seed: u8, found: Found, uid: u16) -> SetRow {
        let weights = vec![(Uid(uid), u16::MAX)];
        SetRow { hotkey: Hotkey::from_bytes([seed; 32]), uid: None, found, weights }
    }

    #[test]
    fn weights_are_compared_with_those_that_we_decided_on() {
        let entry = json!({ "hotkey": Hotkey::from_bytes([9; 32]), "uid": 5, "share": u16::MAX });
        let set = epoch(json!({ "weights": [entry], "missing": [] }));
        let rows = || vec![row(1, Found::Weights, 5), row(2, Found::Weights, 6)];
        let words = |epoch: &EpochRecord| {
            compared(epoch, rows()).into_iter().map(|one| one.compared).collect::<Vec<_>>()
        };
        assert_eq!(words(&set), ["same", "other"]);
        assert_eq!(words(&epoch(json!({ "weights": null, "missing": [] }))), ["other", "other"]);
        let incomplete = epoch(json!({ "weights": null, "missing": [7] }));
        assert_eq!(words(&incomplete), ["unseen", "unseen"]);
        assert_eq!(words(&epoch(Value::Null)), ["unseen", "unseen"]);
    }

    #[test]
    fn what_was_seen_is_kept_with_its_epoch_and_changes_nothing_else() {
        let network = Network { genesis: Digest::default(), netuid: Netuid(1) };
        let state = State::in_memory(network).unwrap();
        let kept = epoch(json!({ "weights": null, "missing": [] }));
        state.keep_epoch(&kept).unwrap();
        let seen = compared(&kept, vec![row(1, Found::Weights, 5)]);
        let text = json!(seen).to_string();
        state.keep_weights_seen(kept.epoch_block, &text).unwrap();
        state.keep_weights_seen(BlockNumber(999), &text).unwrap();
        let record = state.epochs(5).unwrap().remove(0);
        assert_eq!((record.state, &record.reason), (kept.state, &kept.reason));
        let outcome: Value = serde_json::from_str(&record.outcome).unwrap();
        assert_eq!(outcome["missing"], json!([]));
        let read: Vec<SeenWeights> =
            serde_json::from_value(outcome["weights_seen"].clone()).unwrap();
        assert_eq!(read, seen);
    }
}
