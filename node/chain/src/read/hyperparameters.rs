//! A subnet's rules for weights, at a block.

use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::SubstrateConfig;

use leoma_protocol::{BlockNumber, Netuid};
use subxt::utils::H256;

use super::entries;
use super::values::{Batch, Rpc};
use crate::error::Result;
use crate::head::Head;

/// How weights get onto the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightMode {
    /// Set in the open, at once.
    Plain,
    /// A hash is committed first; the validator reveals the weights in a later epoch.
    CommitReveal {
        /// Epochs between the two.
        period: u64,
    },
    /// Encrypted weights are committed; the chain opens them in a later epoch.
    Timelocked {
        /// The scheme's version, which a commit must name.
        version: u16,
        /// Epochs between commit and opening.
        period: u64,
    },
}

/// The first version of commit-reveal in which the chain reveals by itself.
const FIRST_TIMELOCKED: u16 = 4;

/// When a subnet's epochs fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetEpoch {
    /// Epochs so far.
    pub index: u64,
    /// The block of the last one.
    pub last_block: u64,
    /// Blocks between two epochs.
    pub tempo: u64,
    /// The block for which an early epoch was requested, 0 for none.
    pub pending_at: u64,
}

impl SubnetEpoch {
    /// The first block of the `epochs`-th epoch from now, unless a later one is requested early.
    pub fn first_block_in(&self, epochs: u64) -> u64 {
        let next = self.last_block.saturating_add(self.tempo);
        let next = if self.pending_at > self.last_block { next.min(self.pending_at) } else { next };
        next.saturating_add(epochs.saturating_sub(1).saturating_mul(self.tempo))
    }

    /// The epoch of a chain whose epochs follow from the block number alone: one is due where
    /// `(block + netuid + 1) % (tempo + 1) == tempo`.
    fn by_formula(block: u64, netuid: Netuid, tempo: u64) -> Self {
        let length = tempo.saturating_add(1);
        let shifted = block.saturating_add(u64::from(netuid.0)).saturating_add(2);
        Self {
            index: shifted / length,
            last_block: block.saturating_sub(shifted % length),
            tempo: length,
            pending_at: 0,
        }
    }
}

/// The rules for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hyperparameters {
    /// How they get onto the chain.
    pub mode: WeightMode,
    /// The version that they must carry.
    pub weights_version: u64,
    /// Blocks that must lie between two settings or commits.
    pub weights_rate_limit: u64,
    /// The least stake for setting weights, rao.
    pub least_stake: u64,
    /// Blocks after its last weights for which a validator counts as active.
    pub activity_cutoff: u64,
    /// The subnet's epochs.
    pub epoch: SubnetEpoch,
}

/// Later releases derive the cutoff from the tempo, in thousandths of it.
///
/// Source: pallet `SubtensorModule`, default of `ActivityCutoffFactorMilli`.
const CUTOFF_PER_TEMPO: (u64, u64) = (13_889, 1_000);

impl Hyperparameters {
    /// The first block at which the chain accepts new weights of a neuron that set its last ones at
    /// `last_update`.
    pub fn weights_from(&self, last_update: BlockNumber) -> BlockNumber {
        // 0 is "never", which is not block 0.
        BlockNumber(if last_update.0 == 0 {
            0
        } else {
            last_update.0.saturating_add(self.weights_rate_limit)
        })
    }
}

/// Reads a subnet's rules for weights, all in one request.
pub(crate) async fn read(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    rpc: &Rpc,
    netuid: Netuid,
    at: Head,
) -> Result<Hyperparameters> {
    let mut batch = Batch::new(client, "the subnet's hyperparameters");
    let key = (netuid.0,);
    let commit_reveal = batch.ask(entries::COMMIT_REVEAL_ENABLED, key)?;
    let version = batch.ask(entries::COMMIT_REVEAL_VERSION, ())?;
    let period = batch.ask(entries::REVEAL_PERIOD_EPOCHS, key)?;
    let weights_version = batch.ask(entries::WEIGHTS_VERSION_KEY, key)?;
    let weights_rate_limit = batch.ask(entries::WEIGHTS_SET_RATE_LIMIT, key)?;
    let least_stake = batch.ask(entries::STAKE_THRESHOLD, ())?;
    let tempo = batch.ask(entries::TEMPO, key)?;
    let index = batch.ask(entries::SUBNET_EPOCH_INDEX, key)?;
    let last_block = batch.ask(entries::LAST_EPOCH_BLOCK, key)?;
    let pending_at = batch.ask(entries::PENDING_EPOCH_AT, key)?;
    let cutoff = batch.ask(entries::ACTIVITY_CUTOFF, key)?;
    let found = batch.fetch(rpc, H256(at.hash.0)).await?;
    let (commit_reveal, version) = (found.need(commit_reveal)?, found.get(version)?);
    let weights_version = found.need(weights_version)?;
    let weights_rate_limit = found.need(weights_rate_limit)?;
    let (index, last_block) = (found.get(index)?, found.get(last_block)?);
    let pending_at = found.get(pending_at)?;
    let tempo = found.need(tempo)?;
    let period = found.get(period)?.unwrap_or(1);
    let least_stake = found.get(least_stake)?.unwrap_or(0);
    let tempo = u64::from(tempo);
    // Use the earlier of the two: the chain does not say which one its release uses.
    let (factor, scale) = CUTOFF_PER_TEMPO;
    let derived = tempo.saturating_mul(factor) / scale;
    let activity_cutoff =
        found.get(cutoff)?.map_or(derived, |cutoff| derived.min(u64::from(cutoff)));
    let mode = match (commit_reveal, version) {
        (false, _) => WeightMode::Plain,
        (true, Some(version)) if version >= FIRST_TIMELOCKED => {
            WeightMode::Timelocked { version, period }
        }
        (true, _) => WeightMode::CommitReveal { period },
    };
    let epoch = match (index, last_block) {
        (Some(index), Some(last_block)) => {
            SubnetEpoch { index, last_block, tempo, pending_at: pending_at.unwrap_or(0) }
        }
        _ => SubnetEpoch::by_formula(client.block_number(), netuid, tempo),
    };
    Ok(Hyperparameters {
        mode,
        weights_version,
        weights_rate_limit,
        least_stake,
        activity_cutoff,
        epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_counted_from_the_last_one_and_may_be_asked_for_ahead() {
        let epoch = SubnetEpoch { index: 7, last_block: 1000, tempo: 360, pending_at: 0 };
        assert_eq!((epoch.first_block_in(1), epoch.first_block_in(2)), (1360, 1720));
        let asked = SubnetEpoch { pending_at: 1100, ..epoch };
        assert_eq!((asked.first_block_in(1), asked.first_block_in(2)), (1100, 1460));
        let past = SubnetEpoch { pending_at: 900, ..epoch };
        assert_eq!(past.first_block_in(1), 1360);
    }

    #[test]
    fn the_formula_of_older_releases_gives_the_same_boundaries() {
        // netuid 99, tempo 360: due at blocks b with (b + 100) % 361 == 360: 260, 621, 982.
        let before = SubnetEpoch::by_formula(620, Netuid(99), 360);
        assert_eq!(
            (before.last_block, before.first_block_in(1), before.first_block_in(2)),
            (260, 621, 982)
        );
        let at = SubnetEpoch::by_formula(621, Netuid(99), 360);
        assert_eq!((at.last_block, at.first_block_in(1), at.index), (621, 982, before.index + 1));
    }
}
