//! What an epoch takes from the chain.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Hotkey, Uid, Witness};

/// A hotkey and the slot that it holds at the epoch block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The hotkey: what to remember.
    pub hotkey: Hotkey,
    /// Its uid at the epoch block. It means nothing at any other block.
    pub uid: Uid,
}

/// A miner of the subnet as the chain has it at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miner {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Its slot at that block.
    pub uid: Uid,
    /// The block of its model commitment; `None` if it is unknown.
    pub commit_block: Option<BlockNumber>,
}

/// A witness that a hotkey had committed by some block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessCommitment {
    /// The block that the commitment was included in.
    pub committed_at: BlockNumber,
    /// What it says.
    pub witness: Witness,
}

/// Everything that is read from the chain, all of it at the hash of one block: the epoch block.
/// Reading any of it later gives validators different answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSnapshot {
    /// The epoch block.
    pub block: BlockNumber,
    /// The subnet's neurons at that block, in any order.
    pub miners: Vec<Miner>,
    /// The subnet owner's slot, on which weight is burned; `None` if it is not known.
    pub owner: Option<Slot>,
    /// The commitments at that block that are witnesses, fresh or not, by whoever wrote them.
    pub witnesses: BTreeMap<Hotkey, WitnessCommitment>,
}

impl EpochSnapshot {
    /// The slot of a hotkey; `None` if it has none. A chain lists no hotkey twice; a hand-made
    /// snapshot may, and then the lowest uid counts.
    pub fn slot_of(&self, hotkey: &Hotkey) -> Option<Slot> {
        let of_hotkey = self.miners.iter().filter(|miner| miner.hotkey == *hotkey);
        of_hotkey.map(|miner| miner.uid).min().map(|uid| Slot { hotkey: *hotkey, uid })
    }

    /// The commit block of each hotkey, by the same rule for one that is listed twice.
    pub(crate) fn commit_blocks(&self) -> BTreeMap<Hotkey, Option<BlockNumber>> {
        let mut lowest: BTreeMap<Hotkey, (Uid, Option<BlockNumber>)> = BTreeMap::new();
        for miner in &self.miners {
            let found = (miner.uid, miner.commit_block);
            let kept = lowest.entry(miner.hotkey).or_insert(found);
            *kept = found.min(*kept);
        }
        lowest.into_iter().map(|(hotkey, (_, block))| (hotkey, block)).collect()
    }
}
