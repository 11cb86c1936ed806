//! What a validator knows to be wrong with itself, for the alarms of its pages.

use leoma_protocol::mesh::Voice;
use leoma_scoring::worker::PoolCounts;
use leoma_web::view::OwnFaults;

use crate::state::{CommitState, State, StateError, WeightCommit, WitnessRecord, WitnessState};

/// Witnesses that are read: the newest ones may not be on chain yet.
const READ_WITNESSES: u32 = 4;

/// What the state has of witnesses and reveals.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Newest first.
    witnesses: Vec<WitnessRecord>,
    /// The newest commit whose time to be revealed has come.
    reveal: Option<WeightCommit>,
}

impl Kept {
    /// Reads it.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub(super) fn read(state: &State) -> Result<Self, StateError> {
        let witnesses = state.witnesses(READ_WITNESSES)?;
        Ok(Self { witnesses, reveal: state.newest_reveal()? })
    }

    /// What is wrong. A missed witness or reveal is told until a later one is on chain.
    pub(super) fn faults(&self, voice: Option<Voice>, scorers: Option<PoolCounts>) -> OwnFaults {
        let is_over = |one: &&WitnessRecord| one.state != WitnessState::Prepared;
        let witness = self.witnesses.iter().find(is_over);
        let is_lost = |commit: &&WeightCommit| {
            matches!(commit.state, CommitState::Missed | CommitState::Replaced)
        };
        OwnFaults {
            is_doubled: voice == Some(Voice::Doubled),
            missed_witness: witness
                .filter(|one| one.state == WitnessState::Missed)
                .map(|one| one.epoch_block.0),
            missed_reveal: self.reveal.as_ref().filter(is_lost).map(|one| one.epoch_block.0),
            scorers: scorers.as_ref().map(|counts| (counts.up, counts.workers)),
            cpu_instead_of_gpu: scorers.is_some_and(|counts| counts.fallback.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{BlockNumber, Hotkey, Uid};
    use leoma_rotation::{WeightEntry, WeightVector};

    use super::*;

    fn witness(block: u64, state: WitnessState) -> WitnessRecord {
        let epoch_block = BlockNumber(block);
        WitnessRecord { epoch_block, bytes: Vec::new(), state, reason: String::new() }
    }

    fn commit(state: CommitState) -> WeightCommit {
        let hotkey = Hotkey::from_bytes([1; 32]);
        let entry = WeightEntry { hotkey, uid: Uid(6), share: WeightVector::LARGEST };
        WeightCommit {
            epoch_block: BlockNumber(540),
            weights: WeightVector { entries: vec![entry] },
            version_key: 1,
            salt: vec![1],
            commit: vec![9; 32],
            reveal_round: 0,
            commit_epoch: 4,
            state,
        }
    }

    #[test]
    fn the_newest_witness_whose_time_is_over_is_missed_or_not() {
        use WitnessState::{Final, Missed, Prepared};
        let missed = |states: &[WitnessState]| {
            let blocks = [720, 540, 360];
            let witnesses = blocks.iter().zip(states).map(|(block, one)| witness(*block, *one));
            let kept = Kept { witnesses: witnesses.collect(), reveal: None };
            kept.faults(None, None).missed_witness
        };
        assert_eq!(missed(&[Prepared, Missed, Final]), Some(540));
        assert_eq!(missed(&[Prepared, Final, Missed]), None, "a later one is on chain");
        assert_eq!(missed(&[Missed]), Some(720));
        assert_eq!(missed(&[]), None);
    }

    #[test]
    fn a_lost_reveal_a_double_and_a_scorer_that_is_down_are_told() {
        let faults = |reveal| {
            let kept = Kept { witnesses: Vec::new(), reveal };
            kept.faults(Some(Voice::Alone), None)
        };
        for (state, lost) in [
            (CommitState::Missed, Some(540)),
            (CommitState::Replaced, Some(540)),
            (CommitState::Revealed, None),
        ] {
            assert_eq!(faults(Some(commit(state))).missed_reveal, lost, "{state:?}");
        }
        assert_eq!(faults(None), OwnFaults::default());
        let counts = PoolCounts { workers: 2, up: 1, ..PoolCounts::default() };
        let found = Kept::default().faults(Some(Voice::Doubled), Some(counts));
        assert_eq!((found.is_doubled, found.scorers), (true, Some((1, 2))));
        assert!(!found.cpu_instead_of_gpu);
        let fallback = Some("cuda:0 computes flicker differently".to_owned());
        let counts = PoolCounts { fallback, ..PoolCounts::default() };
        assert!(Kept::default().faults(None, Some(counts)).cpu_instead_of_gpu);
    }
}
