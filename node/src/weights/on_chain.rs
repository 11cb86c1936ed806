//! What each listed validator has on chain for an epoch.
//!
//! | mode | where it is read |
//! |---|---|
//! | plain | at the next boundary: weights that are newer than this one |
//! | committed | at the end of the subnet's epoch in which what was committed between the two boundaries is revealed |

use leoma_chain::{ChainClient, ChainError, Head, Hyperparameters, Metagraph, WeightMode};
use leoma_protocol::{BlockNumber, ConsensusSchedule, Hotkey, Uid};
use leoma_rotation::AllowlistHistory;
use serde::{Deserialize, Serialize};

/// What a listed validator has on chain for the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SetRow {
    pub(crate) hotkey: Hotkey,
    pub(crate) uid: Option<Uid>,
    pub(crate) found: Found,
    /// `(uid, weight)` each, as the chain scaled them; empty where there is nothing to compare.
    pub(crate) weights: Vec<(Uid, u16)>,
}

/// What was found on chain of a validator's weights for an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// New weights, set in the open or revealed.
    Weights,
    /// The earlier weights, sent again unchanged.
    Unchanged,
    /// No new weights.
    Nothing,
    /// A commit that a later epoch's commit replaced before it was revealed.
    Superseded,
    /// It cannot be seen yet.
    Pending,
}

/// Reads what the validators of the boundary's list set for the epoch. A validator whose result is
/// `known` already is not read again.
pub(crate) async fn what_validators_set(
    chain: &ChainClient,
    consensus: &ConsensusSchedule,
    history: &AllowlistHistory,
    (epoch_block, head): (BlockNumber, Head),
    known: Option<SetRow>,
) -> Result<Vec<SetRow>, ChainError> {
    let boundary = at(chain, epoch_block).await?;
    let next = epoch_block.0.saturating_add(consensus.at(epoch_block).epoch_blocks);
    let end = at(chain, BlockNumber(next.min(head.number.0))).await?;
    let look = Look {
        chain,
        boundary,
        end,
        demands: chain.hyperparameters(boundary).await?,
        metagraph: chain.metagraph(end).await?,
        head,
    };
    let list = history.at_block(epoch_block).map(|entry| entry.allowlist.validators());
    let mut rows = Vec::new();
    for hotkey in list.unwrap_or_default() {
        rows.push(match known.as_ref().filter(|known| known.hotkey == *hotkey) {
            Some(known) => known.clone(),
            None => look.of(*hotkey).await?,
        });
    }
    Ok(rows)
}

async fn at(chain: &ChainClient, number: BlockNumber) -> Result<Head, ChainError> {
    Ok(Head { number, hash: chain.block_hash(number).await? })
}

struct Look<'a> {
    chain: &'a ChainClient,
    boundary: Head,
    /// The next boundary, or the newest block before it.
    end: Head,
    demands: Hyperparameters,
    /// The subnet at `end`.
    metagraph: Metagraph,
    head: Head,
}

impl Look<'_> {
    async fn of(&self, hotkey: Hotkey) -> Result<SetRow, ChainError> {
        let neuron = self.metagraph.neuron(&hotkey);
        let uid = neuron.map(|neuron| neuron.uid);
        let nothing = |found| SetRow { hotkey, uid, found, weights: Vec::new() };
        let Some(neuron) = neuron.filter(|one| one.last_update > self.boundary.number) else {
            return Ok(nothing(Found::Nothing));
        };
        let seen_at = match self.demands.mode {
            WeightMode::Plain => self.end,
            WeightMode::CommitReveal { period } | WeightMode::Timelocked { period, .. } => {
                match self.revealed_at(hotkey, neuron.last_update, period).await? {
                    Ok(block) => block,
                    Err(found) => return Ok(nothing(found)),
                }
            }
        };
        let weights = self.chain.weights(seen_at, neuron.uid).await?;
        let before: Vec<(Uid, u16)> = self.chain.weights(self.boundary, neuron.uid).await?;
        let found = if weights == before { Found::Unchanged } else { Found::Weights };
        Ok(SetRow { hotkey, uid, found, weights })
    }

    /// The block at which what was committed at `committed` is revealed, if it is.
    async fn revealed_at(
        &self,
        hotkey: Hotkey,
        committed: BlockNumber,
        period: u64,
    ) -> Result<Result<Head, Found>, ChainError> {
        let epoch = self.demands.epoch;
        let after = committed.0.saturating_sub(epoch.last_block) / epoch.tempo.max(1);
        let first_of = |epochs: u64| {
            BlockNumber(epoch.last_block.saturating_add(epochs.saturating_mul(epoch.tempo)))
        };
        let last_of = |epochs: u64| BlockNumber(first_of(epochs + 1).0.saturating_sub(1));
        // Of several commits in one epoch of the subnet, the newest is revealed.
        let end_of_commit = last_of(after);
        if end_of_commit > self.head.number {
            return Ok(Err(Found::Pending));
        }
        let then = self.chain.metagraph(at(self.chain, end_of_commit).await?).await?;
        if then.neuron(&hotkey).is_some_and(|neuron| neuron.last_update > self.end.number) {
            return Ok(Err(Found::Superseded));
        }
        let revealed = last_of(after.saturating_add(period.max(1)));
        if revealed > self.head.number {
            return Ok(Err(Found::Pending));
        }
        Ok(Ok(at(self.chain, revealed).await?))
    }
}
