//! From which block which consensus parameters are in force.
//!
//! A change of the parameters is compiled in at least a week before its block, so that validators
//! can update one by one: old and new builds agree until then.
//!
//! | what | checked against the parameters in force at |
//! |---|---|
//! | a hello | the sender's head |
//! | a verdict file, its schedule, its attestations | the first block of its task |
//! | an epoch: its witnesses, window, ranking | the epoch block |

use crate::{BlockNumber, ConsensusParams, Digest};

/// The consensus parameters of a subnet by block.
///
/// A validator uses [`ConsensusSchedule::production`]. A test makes its own with
/// [`ConsensusSchedule::new`], or [`From`] for parameters that never change, and hands it to
/// whatever it starts; no setting and no environment variable can replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsensusSchedule {
    /// The first entry counts from block 0; strictly ascending.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    from_block: BlockNumber,
    params: ConsensusParams,
    digest: Digest,
}

/// Why entries are not a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Nothing would be in force at block 0.
    #[error("a schedule of consensus parameters begins at block 0")]
    NoStart,
    /// Two entries for one block, or not the oldest first.
    #[error("the entry from block {from_block} on is not after the one before it")]
    NotAscending {
        /// The later entry's block.
        from_block: BlockNumber,
    },
}

impl ConsensusSchedule {
    /// The schedule of this build: the parameters of the subnet from block 0 on. A change adds an
    /// entry here.
    pub fn production() -> Self {
        Self::from(ConsensusParams::default())
    }

    /// The parameters, each with the block from which they count, the oldest first.
    ///
    /// # Errors
    /// [`ScheduleError`] unless the first entry is of block 0 and the blocks ascend.
    pub fn new(
        entries: impl IntoIterator<Item = (BlockNumber, ConsensusParams)>,
    ) -> Result<Self, ScheduleError> {
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|(from_block, params)| Entry { from_block, digest: params.digest(), params })
            .collect();
        if entries.first().is_none_or(|first| first.from_block != BlockNumber(0)) {
            return Err(ScheduleError::NoStart);
        }
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].from_block >= pair[1].from_block)
        {
            return Err(ScheduleError::NotAscending { from_block: pair[1].from_block });
        }
        Ok(Self { entries })
    }

    /// The parameters in force at `block`.
    pub fn at(&self, block: BlockNumber) -> &ConsensusParams {
        &self.entry_at(block).params
    }

    /// Their digest.
    pub fn digest_at(&self, block: BlockNumber) -> Digest {
        self.entry_at(block).digest
    }

    /// Whether these are the digest's parameters at some block of `first..=last`. Two validators'
    /// heads differ, so around a switch each may rightly name the old or the new ones.
    pub fn is_in_force(&self, digest: Digest, first: BlockNumber, last: BlockNumber) -> bool {
        let (from, to) = (self.index_at(first), self.index_at(last));
        self.entries.get(from..=to).unwrap_or_default().iter().any(|entry| entry.digest == digest)
    }

    /// The next change after `block`: its block and the digest from then on.
    pub fn next_change(&self, block: BlockNumber) -> Option<(BlockNumber, Digest)> {
        let next = self.entries.get(self.index_at(block) + 1)?;
        Some((next.from_block, next.digest))
    }

    /// The newest epoch block up to `block`. Epochs are multiples of the length that is in force at
    /// them, so around a change of the length one epoch may be shorter or longer than both.
    pub fn epoch_block(&self, block: BlockNumber) -> BlockNumber {
        let mut until = block;
        for entry in self.entries[..=self.index_at(block)].iter().rev() {
            let boundary = entry.params.epoch_block(until);
            if boundary >= entry.from_block {
                return boundary;
            }
            until = BlockNumber(entry.from_block.0.saturating_sub(1));
        }
        BlockNumber(0)
    }

    /// All entries, the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (BlockNumber, &ConsensusParams)> {
        self.entries.iter().map(|entry| (entry.from_block, &entry.params))
    }

    fn index_at(&self, block: BlockNumber) -> usize {
        self.entries.partition_point(|entry| entry.from_block <= block).saturating_sub(1)
    }

    fn entry_at(&self, block: BlockNumber) -> &Entry {
        &self.entries[self.index_at(block)]
    }
}

impl Default for ConsensusSchedule {
    fn default() -> Self {
        Self::production()
    }
}

/// Parameters that never change.
impl From<ConsensusParams> for ConsensusSchedule {
    fn from(params: ConsensusParams) -> Self {
        Self {
            entries: vec![Entry { from_block: BlockNumber(0), digest: params.digest(), params }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(epoch_blocks: u64) -> ConsensusParams {
        ConsensusParams { epoch_blocks, ..ConsensusParams::default() }
    }

    fn schedule(entries: &[(u64, u64)]) -> Result<ConsensusSchedule, ScheduleError> {
        ConsensusSchedule::new(
            entries.iter().map(|(from, length)| (BlockNumber(*from), params(*length))),
        )
    }

    #[test]
    fn the_newest_entry_up_to_a_block_is_in_force() {
        let schedule = schedule(&[(0, 180), (1000, 360), (2000, 90)]).unwrap();
        let lengths = [0, 999, 1000, 1999, 2000, u64::MAX]
            .map(|block| schedule.at(BlockNumber(block)).epoch_blocks);
        assert_eq!(lengths, [180, 180, 360, 360, 90, 90]);
        assert_eq!(schedule.digest_at(BlockNumber(1500)), params(360).digest());
        let change = Some((BlockNumber(2000), params(90).digest()));
        assert_eq!(schedule.next_change(BlockNumber(1000)), change);
        assert_eq!(schedule.next_change(BlockNumber(2000)), None);
    }

    #[test]
    fn around_a_switch_both_digests_are_in_force() {
        let schedule = schedule(&[(0, 180), (1000, 360)]).unwrap();
        let [old, new] = [180, 360].map(|length| params(length).digest());
        let holds = |digest, first, last| {
            schedule.is_in_force(digest, BlockNumber(first), BlockNumber(last))
        };
        assert!(holds(old, 900, 999) && !holds(new, 900, 999));
        assert!(holds(old, 990, 1010) && holds(new, 990, 1010));
        assert!(!holds(old, 1000, 1100) && holds(new, 1000, 1100));
        assert!(!holds(params(7).digest(), 0, u64::MAX));
        assert!(!holds(new, 1010, 990), "a range the wrong way round is empty");
    }

    #[test]
    fn an_epoch_has_the_length_in_force_at_its_block() {
        let schedule = schedule(&[(0, 180), (1000, 400)]).unwrap();
        let boundaries = [0, 179, 180, 999, 1000, 1199, 1200, 1600]
            .map(|block| schedule.epoch_block(BlockNumber(block)).0);
        assert_eq!(boundaries, [0, 0, 180, 900, 900, 900, 1200, 1600]);
    }

    #[test]
    fn entries_out_of_order_are_refused() {
        assert_eq!(schedule(&[]), Err(ScheduleError::NoStart));
        assert_eq!(schedule(&[(5, 180)]), Err(ScheduleError::NoStart));
        let again = Err(ScheduleError::NotAscending { from_block: BlockNumber(9) });
        assert_eq!(schedule(&[(0, 180), (9, 90), (9, 80)]), again);
        assert_eq!(ConsensusSchedule::production(), schedule(&[(0, 180)]).unwrap());
    }
}
