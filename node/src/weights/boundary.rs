//! The chain at an epoch's boundary: all that an epoch follows from, except for the files.

use leoma_chain::{ChainClient, Head, Metagraph, Neuron};
use leoma_protocol::{BlockNumber, ConsensusParams, ConsensusSchedule, Witness};
use leoma_rotation::{
    AllowlistHistory, ChainLimits, Counted, EpochSnapshot, Miner, Reason, Slot, WitnessCommitment,
    counted,
};

use crate::subnet::{AllowlistsAt, SubnetError};

/// The chain at an epoch's boundary, read at that block's hash. Everybody who reads it finds the
/// same.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// The consensus constants in force.
    pub params: ConsensusParams,
    /// The allowlists up to the boundary.
    pub history: AllowlistHistory,
    /// Neurons, owner and witnesses.
    pub snapshot: EpochSnapshot,
    /// What the chain demands of weights.
    pub limits: ChainLimits,
    /// Which files count, or why nobody sets weights.
    pub counted: Result<Counted, Reason>,
}

impl Boundary {
    /// Reads the boundary `epoch_block`, which must be final. Of the allowlists that are `known`,
    /// those up to the boundary's own commitment are used.
    ///
    /// # Errors
    /// [`SubnetError`].
    pub async fn read(
        chain: &ChainClient,
        allowlists: &AllowlistsAt,
        consensus: &ConsensusSchedule,
        known: &AllowlistHistory,
        epoch_block: BlockNumber,
    ) -> Result<Self, SubnetError> {
        let hash = chain.block_hash(epoch_block).await?;
        let metagraph = chain.metagraph(Head { number: epoch_block, hash }).await?;
        let history = match allowlists.read(&metagraph, known).await {
            Ok(history) => history,
            // Then nobody sets weights, and it will not change at this block.
            Err(SubnetError::NotCommitted { .. } | SubnetError::UnreadableCommitment { .. }) => {
                AllowlistHistory::default()
            }
            Err(error) => return Err(error),
        };
        let params = consensus.at(epoch_block).clone();
        let snapshot = snapshot_of(&metagraph, chain.network().netuid.mecid());
        let counted = counted(&params, &history, &snapshot);
        let limits = limits_of(&metagraph);
        Ok(Self { params, history, snapshot, limits, counted })
    }
}

/// What the chain demands of the weights of a subnet at a block.
pub fn limits_of(metagraph: &Metagraph) -> ChainLimits {
    ChainLimits { max_weight: metagraph.max_weight, min_weights: metagraph.min_weights }
}

/// A subnet at a block, as an epoch of this mechanism takes it: with the witnesses for it.
pub fn snapshot_of(metagraph: &Metagraph, mecid: u8) -> EpochSnapshot {
    let miner = |neuron: &Neuron| Miner {
        hotkey: neuron.hotkey,
        uid: neuron.uid,
        commit_block: metagraph.commitments.get(&neuron.hotkey).map(|commitment| commitment.block),
    };
    let owner = metagraph.owner;
    let witnesses = metagraph.plain.iter().filter_map(|(hotkey, found)| {
        let witness = match Witness::decode_of(mecid, &found.bytes)? {
            Ok(witness) => witness,
            Err(error) => {
                tracing::debug!(%hotkey, %error, "ignoring a malformed witness");
                return None;
            }
        };
        Some((*hotkey, WitnessCommitment { committed_at: found.block, witness }))
    });
    EpochSnapshot {
        block: metagraph.block,
        miners: metagraph.neurons.iter().map(miner).collect(),
        owner: metagraph.uid(&owner).map(|uid| Slot { hotkey: owner, uid }),
        witnesses: witnesses.collect(),
    }
}
