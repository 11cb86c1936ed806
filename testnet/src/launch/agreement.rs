//! Decides from the weights on the chain whether validators agreed. Pure.

use std::collections::BTreeMap;

use leoma_protocol::Hotkey;
use serde::{Deserialize, Serialize};

/// Blocks of a validator's epoch, as consensus has it.
pub const EPOCH_BLOCKS: u64 = 180;

/// What one validator set in one epoch, as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochWeights {
    /// The epoch's boundary.
    pub epoch_block: u64,
    /// Holder of the uid with the largest weight at that block.
    pub winner_hotkey: Option<Hotkey>,
    /// `[uid, value]` pairs, values scaled to 65535 by the chain.
    pub weights: Vec<(u16, u16)>,
    /// The block in which they were set.
    pub set_at_block: u64,
}

/// What is known of one validator's weights, by epoch boundary.
pub(crate) type History = BTreeMap<u64, EpochWeights>;

/// The boundary of the epoch that a block belongs to, where the first epoch begins at `offset`;
/// block 0 before that.
pub(crate) const fn epoch_of(block: u64, offset: u64) -> u64 {
    match block.checked_sub(offset) {
        Some(since) => block - since % EPOCH_BLOCKS,
        None => 0,
    }
}

/// A run of consecutive epochs in which every validator set the same weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The winner of all of them.
    pub winner: Hotkey,
    /// Their boundaries.
    pub epochs: Vec<u64>,
}

/// The longest run of consecutive epochs in which all histories hold the same weights with the same
/// winner, other than `owner` (weights on the owner are burned: nobody won). Of several runs of
/// that length it is the newest; `None` without histories.
pub(crate) fn longest_agreement(histories: &[&History], owner: &Hotkey) -> Option<Agreement> {
    let (first, others) = histories.split_first()?;
    let mut best: Option<Agreement> = None;
    let mut current: Option<Agreement> = None;
    for (&epoch, weights) in *first {
        let winner = weights.winner_hotkey.filter(|winner| winner != owner);
        let same = others.iter().all(|history| {
            history.get(&epoch).is_some_and(|other| {
                other.weights == weights.weights && other.winner_hotkey == weights.winner_hotkey
            })
        });
        current = match (winner.filter(|_| same), current.take()) {
            (None, _) => None,
            (Some(winner), Some(mut run))
                if run.winner == winner
                    && run.epochs.last().is_some_and(|last| last + EPOCH_BLOCKS == epoch) =>
            {
                run.epochs.push(epoch);
                Some(run)
            }
            (Some(winner), _) => Some(Agreement { winner, epochs: vec![epoch] }),
        };
        if let Some(run) = &current
            && best.as_ref().is_none_or(|best| run.epochs.len() >= best.epochs.len())
        {
            best = Some(run.clone());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Hotkey = Hotkey::from_bytes([0; 32]);

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn history(winners: &[(u64, u8)]) -> History {
        let epoch = |&(epoch_block, winner): &(u64, u8)| {
            let weights = vec![(winner.into(), u16::MAX)];
            (
                epoch_block,
                EpochWeights {
                    epoch_block,
                    winner_hotkey: Some(key(winner)),
                    weights,
                    set_at_block: epoch_block + 3,
                },
            )
        };
        winners.iter().map(epoch).collect()
    }

    fn agreed(histories: &[History]) -> Option<(u8, Vec<u64>)> {
        let histories: Vec<_> = histories.iter().collect();
        longest_agreement(&histories, &OWNER)
            .map(|found| (found.winner.as_bytes()[0], found.epochs))
    }

    #[test]
    fn an_epoch_begins_at_its_mechanisms_offset() {
        assert_eq!([0, 179, 180, 400].map(|block| epoch_of(block, 0)), [0, 0, 180, 360]);
        assert_eq!([0, 89, 90, 269, 270].map(|block| epoch_of(block, 90)), [0, 0, 90, 90, 270]);
    }

    #[test]
    fn equal_histories_agree() {
        let one = history(&[(180, 7), (360, 7)]);
        assert_eq!(agreed(&[one.clone(), one]), Some((7, vec![180, 360])));
    }

    #[test]
    fn a_gap_another_winner_or_a_missing_validator_ends_a_run() {
        assert_eq!(agreed(&[history(&[(180, 7), (540, 7)])]), Some((7, vec![540])));
        assert_eq!(agreed(&[history(&[(180, 7), (360, 8), (540, 8)])]), Some((8, vec![360, 540])));
        let (one, other) = (history(&[(180, 7), (360, 7)]), history(&[(360, 7)]));
        assert_eq!(agreed(&[one.clone(), other.clone()]), Some((7, vec![360])));
        assert_eq!(agreed(&[other, one]), Some((7, vec![360])));
        assert_eq!(agreed(&[history(&[(180, 7)]), history(&[(180, 8)])]), None);
        assert_eq!(agreed(&[history(&[(180, 7)]), History::new()]), None);
        assert_eq!(agreed(&[]), None);
    }

    #[test]
    fn burning_is_not_winning() {
        assert_eq!(agreed(&[history(&[(180, 0), (360, 0)])]), None);
    }

    #[test]
    fn the_same_winner_with_other_weights_is_no_agreement() {
        let (one, mut other) = (history(&[(180, 7)]), history(&[(180, 7)]));
        other.get_mut(&180).unwrap().weights.push((9, 1));
        assert_eq!(agreed(&[one, other]), None);
    }
}
