//! What lies where in the journal, which fork is the best chain and how much of it is final.
//!
//! | record | what follows |
//! |---|---|
//! | block on the best block | it is the best block |
//! | block elsewhere | it waits on its fork |
//! | best | the fork that ends in that block replaces the best chain's end; nothing final may go |
//! | finalized | the best chain cannot be replaced up to there |
//!
//! Blocks are kept for good, dropped forks included: 100 bytes each. Headers of what is not final
//! yet are kept in memory, older ones are read back. Trie nodes go once no state that is kept needs
//! them, see `pruning.rs`.

use super::journal::Place;
use super::records::{BlockRecord, Record};
use node_subtensor_runtime::Header;
use sp_core::H256;
use sp_runtime::traits::Header as _;
use std::collections::HashMap;

/// A block.
#[derive(Debug, Clone)]
pub(super) struct StoredBlock {
    pub(super) hash: H256,
    pub(super) header: Header,
    pub(super) body: Place,
}

/// Where a block's header and body lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) header: Place,
    pub(super) body: Place,
}

/// Where a trie node lies, and the newest block that wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) written: u32,
}

/// What a record changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Blocks that left the best chain, newest first.
    pub(super) retracted: Vec<H256>,
    /// Blocks that became final, oldest first.
    pub(super) finalized: Vec<H256>,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) slots: HashMap<H256, Slot>,
    /// The best chain by number.
    pub(super) chain: Vec<H256>,
    /// Blocks of every fork from the finalized one on.
    pub(super) recent: HashMap<H256, StoredBlock>,
    pub(super) finalized: u32,
    pub(super) nodes: HashMap<H256, Node>,
    /// Records so far: what a subscriber has seen, and what is new to it.
    pub(super) events: u64,
    /// States of blocks before this one are gone.
    pub(super) kept_from: u32,
    /// Trie nodes that the last sweep left.
    pub(super) swept: usize,
}

impl Entries {
    /// The newest block of the best chain. Only called once genesis is in.
    pub(super) fn best(&self) -> &StoredBlock {
        self.recent_at(self.chain.len().saturating_sub(1))
    }

    /// The newest final block. Only called once genesis is in.
    pub(super) fn finalized(&self) -> &StoredBlock {
        self.recent_at(self.finalized as usize)
    }

    fn recent_at(&self, number: usize) -> &StoredBlock {
        let block = self.chain.get(number).and_then(|hash| self.recent.get(hash));
        #[expect(
            clippy::expect_used,
            reason = "Ledger::open returns only with a genesis block, and `recent` keeps them"
        )]
        block.expect("a ledger has a genesis block and keeps every block from the finalized one on")
    }

    /// Notes what a record holds; `offset` is where its bytes begin.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<Change, &'static str> {
        let change = match Record::decode(offset, bytes)? {
            Record::Block(record) => self.add_block(record),
            Record::Best(hash) => self.choose(hash),
            Record::Finalized(number) => self.finalize(number),
        }?;
        self.events += 1;
        Ok(change)
    }

    fn add_block(&mut self, record: BlockRecord) -> Result<Change, &'static str> {
        let BlockRecord { header, header_place, body, finalized, nodes } = record;
        let hash = header.hash();
        let on_best = match self.chain.last() {
            None if header.number == 0 => true,
            None => return Err("the first block is not of number 0"),
            Some(best) => {
                let parent = self
                    .recent
                    .get(&header.parent_hash)
                    .ok_or("a block's parent is unknown or too old")?;
                if header.number != parent.header.number + 1 {
                    return Err("a block's number does not follow its parent's");
                }
                header.parent_hash == *best
            }
        };
        let number = header.number;
        for (hash, place) in nodes {
            let node = self.nodes.entry(hash).or_insert(Node { place, written: number });
            node.written = node.written.max(number);
        }
        self.slots.insert(hash, Slot { header: header_place, body });
        self.recent.insert(hash, StoredBlock { hash, header, body });
        if !on_best {
            return Ok(Change::default());
        }
        self.chain.push(hash);
        self.finalize(finalized)
    }

    /// Makes the fork that ends in `hash` the best chain.
    fn choose(&mut self, hash: H256) -> Result<Change, &'static str> {
        let mut enacted = Vec::new();
        let mut at = self.recent.get(&hash).ok_or("a best block is not known")?;
        while self.chain.get(at.header.number as usize) != Some(&at.hash) {
            if at.header.number <= self.finalized {
                return Err("a fork leaves the chain before what is final");
            }
            enacted.push(at.hash);
            at = self
                .recent
                .get(at.header.parent_hash())
                .ok_or("a fork leaves the chain before what is final")?;
        }
        let retracted =
            self.chain.split_off(at.header.number as usize + 1).into_iter().rev().collect();
        self.chain.extend(enacted.into_iter().rev());
        Ok(Change { retracted, finalized: Vec::new() })
    }

    fn finalize(&mut self, number: u32) -> Result<Change, &'static str> {
        let after = self.chain.get(self.finalized as usize + 1..=number as usize);
        let finalized = after.ok_or("a finalized number is not on the best chain")?.to_vec();
        if finalized.is_empty() {
            return Ok(Change::default());
        }
        self.finalized = number;
        self.recent.retain(|_, block| block.header.number >= number);
        Ok(Change { retracted: Vec::new(), finalized })
    }

    /// Whether the state after this block is still there. Once old states are dropped, those of
    /// dropped forks are gone as soon as finality passes them, as on other nodes: a sweep does not
    /// keep what they need.
    pub(super) fn keeps(&self, block: &StoredBlock) -> bool {
        let number = block.header.number;
        self.kept_from == 0
            || number >= self.kept_from && self.chain.get(number as usize) == Some(&block.hash)
            || self.follows_final(block)
    }

    /// Whether the block may still become final: it comes after the newest final one, on whichever
    /// fork.
    fn follows_final(&self, block: &StoredBlock) -> bool {
        let mut at = Some(block);
        while let Some(later) = at.filter(|at| at.header.number > self.finalized) {
            at = self.recent.get(later.header.parent_hash());
        }
        at.is_some_and(|at| self.chain.get(self.finalized as usize) == Some(&at.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{encode_best, encode_block, encode_finalized};
    use super::*;
    use node_subtensor_runtime::executor::Proposal;

    /// A block whose state root tells forks apart.
    fn block(parent: H256, number: u32, fork: u8) -> (H256, Proposal) {
        let state = H256::repeat_byte(fork);
        let header =
            Header::new(number, H256::zero(), state, parent, sp_runtime::Digest::default());
        (
            header.hash(),
            Proposal { header, extrinsics: Vec::new(), nodes: Vec::new(), outcomes: Vec::new() },
        )
    }

    /// Genesis and `length` blocks, of which `finalized` are final.
    fn chain(length: u32, finalized: u32) -> (Entries, Vec<H256>) {
        let mut entries = Entries::default();
        let mut hashes = Vec::new();
        let mut parent = H256::zero();
        for number in 0..=length {
            let (hash, proposal) = block(parent, number, 0);
            entries.add(0, &encode_block(&proposal, number.min(finalized)).unwrap()).unwrap();
            hashes.push(hash);
            parent = hash;
        }
        (entries, hashes)
    }

    /// Adds a fork of `length` blocks on `parent`.
    fn fork(entries: &mut Entries, parent: H256, after: u32, length: u32) -> Vec<H256> {
        let mut parent = parent;
        let mut hashes = Vec::new();
        for number in after + 1..=after + length {
            let (hash, proposal) = block(parent, number, 1);
            assert_eq!(
                entries.add(0, &encode_block(&proposal, 0).unwrap()).unwrap(),
                Change::default()
            );
            hashes.push(hash);
            parent = hash;
        }
        hashes
    }

    #[test]
    fn a_fork_replaces_the_end_and_keeps_the_dropped_blocks() {
        let (mut entries, old) = chain(5, 2);
        let new = fork(&mut entries, old[3], 3, 3);
        assert_eq!(entries.best().hash, old[5], "a longer fork waits until it is chosen");
        let change = entries.add(0, &encode_best(new[2])).unwrap();
        assert_eq!(change.retracted, [old[5], old[4]]);
        assert_eq!(entries.chain[3..], [old[3], new[0], new[1], new[2]]);
        assert!(entries.slots.contains_key(&old[5]));
        // And back, as the dropped end is not final either.
        let change = entries.add(0, &encode_best(old[5])).unwrap();
        assert_eq!(
            (change.retracted, entries.best().header.number),
            (vec![new[2], new[1], new[0]], 5)
        );
    }

    #[test]
    fn what_is_final_stays() {
        let (mut entries, old) = chain(5, 2);
        let new = fork(&mut entries, old[3], 3, 1);
        let change = entries.add(0, &encode_finalized(4)).unwrap();
        assert_eq!(change.finalized, [old[3], old[4]]);
        assert_eq!(entries.finalized().hash, old[4]);
        assert!(entries.add(0, &encode_best(new[0])).is_err());
        assert!(entries.add(0, &encode_finalized(3)).is_err(), "finality never shrinks");
        assert!(entries.add(0, &encode_finalized(6)).is_err());
        let (_, late) = block(old[2], 3, 2);
        assert!(
            entries.add(0, &encode_block(&late, 4).unwrap()).is_err(),
            "nothing forks off before what is final"
        );
    }

    #[test]
    fn dropped_forks_lose_their_states_when_finality_passes_them() {
        let (mut entries, old) = chain(5, 2);
        let new = fork(&mut entries, old[3], 3, 3);
        entries.add(0, &encode_best(new[2])).unwrap();
        let dropped = entries.recent[&old[5]].clone();
        let kept = |entries: &Entries, hash: &H256| entries.keeps(&entries.recent[hash]);
        entries.kept_from = 2;
        assert!(entries.keeps(&dropped) && kept(&entries, &new[0]), "either may become final");
        // The fork was left at block 3: its block 5 cannot become final any more, though block 5 is
        // not final yet.
        entries.add(0, &encode_finalized(4)).unwrap();
        assert!(!entries.keeps(&dropped) && kept(&entries, &new[1]));
        entries.kept_from = 4;
        assert!(kept(&entries, &new[0]) && kept(&entries, &new[2]));
        // Where nothing was ever given up, dropped forks stay readable as well.
        entries.kept_from = 0;
        assert!(entries.keeps(&dropped));
    }

    #[test]
    fn nonsense_is_named() {
        let mut entries = Entries::default();
        assert!(entries.add(0, &[]).is_err());
        assert!(entries.add(0, &[0; 40]).unwrap_err().contains("older versions"));
        let (_, orphan) = block(H256::zero(), 1, 0);
        assert!(entries.add(0, &encode_block(&orphan, 0).unwrap()).is_err());
    }
}
