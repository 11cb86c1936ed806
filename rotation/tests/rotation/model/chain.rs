//! The chain: who committed which witness in which block, and which lists were committed.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Hotkey, Uid, Witness};
use leoma_rotation::{Allowlist, AllowlistHistory, EpochSnapshot, Miner, Slot, WitnessCommitment};

/// Blocks before an epoch block that another fork may lack.
const FORK_BLOCKS: u64 = 3;
pub(super) const MINERS: u8 = 8;

/// A transaction on its way.
#[derive(Debug)]
struct Pending {
    included_at: u64,
    who: Hotkey,
    witness: Witness,
}

#[derive(Debug, Default)]
pub(super) struct Chain {
    pending: Vec<Pending>,
    /// Every commitment that was included, oldest first.
    witnesses: BTreeMap<Hotkey, Vec<WitnessCommitment>>,
    /// Each state of the history with the block of its newest commitment.
    histories: Vec<(u64, AllowlistHistory)>,
}

impl Chain {
    pub(super) fn new(list: Allowlist) -> Self {
        let histories = vec![(0, AllowlistHistory::since_genesis(list))];
        Self { histories, ..Self::default() }
    }

    pub(super) fn commit_list(&mut self, block: u64, list: Allowlist) {
        let mut history = self.histories.last().unwrap().1.clone();
        history.commit(BlockNumber(block), list).unwrap();
        self.histories.push((block, history));
    }

    /// Hands in a witness that will be included in a later block.
    pub(super) fn submit(&mut self, included_at: u64, who: Hotkey, witness: Witness) {
        self.pending.push(Pending { included_at, who, witness });
    }

    pub(super) fn include(&mut self, block: u64) {
        let due = self.pending.extract_if(.., |pending| pending.included_at <= block);
        for Pending { who, witness, .. } in due {
            let committed = WitnessCommitment { committed_at: BlockNumber(block), witness };
            self.witnesses.entry(who).or_default().push(committed);
        }
    }

    /// The lists as of a block.
    pub(super) fn history_at(&self, block: u64) -> &AllowlistHistory {
        &self.histories.iter().rev().find(|(from, _)| *from <= block).unwrap().1
    }

    /// The state at a block; with `forked`, that of another fork, which lacks the last commitments.
    pub(super) fn snapshot_at(&self, block: u64, forked: bool) -> EpochSnapshot {
        let until = if forked { block - FORK_BLOCKS } else { block };
        self.snapshot(block, until)
    }

    /// The miners of a block with the witnesses of another.
    pub(super) fn snapshot(&self, block: u64, witnesses_until: u64) -> EpochSnapshot {
        let newest = |(who, all): (&Hotkey, &Vec<WitnessCommitment>)| {
            let found = all.iter().rev().find(|found| found.committed_at.0 <= witnesses_until)?;
            Some((*who, found.clone()))
        };
        let miner = |seed: u8| Miner {
            hotkey: miner(seed),
            uid: Uid(u16::from(seed)),
            commit_block: Some(BlockNumber(u64::from(seed))),
        };
        EpochSnapshot {
            block: BlockNumber(block),
            miners: (0..MINERS).map(miner).collect(),
            owner: Some(Slot { hotkey: Hotkey::from_bytes([255; 32]), uid: Uid(255) }),
            witnesses: self.witnesses.iter().filter_map(newest).collect(),
        }
    }

    /// Whether a hotkey's newest witness up to a block is for this epoch.
    pub(super) fn has_witness(&self, who: &Hotkey, epoch_block: u64, until: u64) -> bool {
        let mut all = self.witnesses.get(who).into_iter().flatten().rev();
        all.find(|found| found.committed_at.0 <= until)
            .is_some_and(|found| found.witness.epoch_block.0 == epoch_block)
    }
}

pub(super) fn miner(seed: u8) -> Hotkey {
    Hotkey::from_bytes([200 + seed; 32])
}
