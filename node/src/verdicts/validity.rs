//! Since when each miner has been valid, as this validator saw it.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Hotkey};

/// Miners that are valid, each with the block of the first check since which every check found it
/// valid. A check's block is that of the metagraph it began from.
#[derive(Clone, Debug, Default)]
pub(super) struct Validity {
    since: BTreeMap<Hotkey, BlockNumber>,
}

impl Validity {
    /// Takes note of a check of all miners at `block`, which found these valid.
    pub(super) fn checked(&mut self, block: BlockNumber, valid: impl IntoIterator<Item = Hotkey>) {
        let since = |miner: Hotkey| (miner, *self.since.get(&miner).unwrap_or(&block));
        let valid: BTreeMap<Hotkey, BlockNumber> = valid.into_iter().map(since).collect();
        self.since = valid;
    }

    /// The miners that were valid at `block` and in every check since.
    pub(super) fn valid_since(&self, block: BlockNumber) -> impl Iterator<Item = Hotkey> + '_ {
        self.since.iter().filter(move |(_, since)| **since <= block).map(|(hotkey, _)| *hotkey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_begins_a_new_time_of_being_valid() {
        let miner = |byte: u8| Hotkey::from_bytes([byte; 32]);
        let mut validity = Validity::default();
        for (block, valid) in [(10, &[1, 2][..]), (20, &[1]), (30, &[1, 2, 3])] {
            validity.checked(BlockNumber(block), valid.iter().map(|byte| miner(*byte)));
        }
        let since = |block| validity.valid_since(BlockNumber(block)).collect::<Vec<_>>();
        assert_eq!(since(9), []);
        assert_eq!(since(15), [miner(1)]);
        assert_eq!(since(30), [miner(1), miner(2), miner(3)]);
    }
}
