//! What a validator witnesses, and the blocks by which it attests and witnesses.

use std::ops::Range;

use leoma_protocol::{BlockNumber, ConsensusParams, FileId, TaskId, Witness};

use crate::AllowlistHistory;
use crate::window::WindowRange;

/// What to write on chain for the epoch of `epoch_block`. `held` says whether we hold a file
/// together with its certificate, by the list that `history` gives its task. `params` are those in
/// force at the epoch block.
///
/// It may be made before the epoch block exists: the tasks that it covers have begun two intervals
/// earlier, so no commitment to an allowlist between now and then changes whose they are.
pub fn own_witness(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    epoch_block: BlockNumber,
    held: impl Fn(&FileId) -> bool,
) -> Witness {
    let range = WindowRange::new(params, history, epoch_block);
    let tasks = range.scheduled_files().filter_map(|files| {
        let task_id = files.first()?.task_id;
        Some((task_id, files.iter().map(&held).collect()))
    });
    Witness::new(epoch_block, tasks)
}

/// The blocks in which a witness for the epoch counts, by the list in force at the epoch block;
/// `None` before the first list.
pub fn witness_span(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    epoch_block: BlockNumber,
) -> Option<Range<BlockNumber>> {
    let list = &history.at_block(epoch_block)?.allowlist;
    Some(params.witness_span(list.interval(), epoch_block))
}

/// The last head at which an honest validator attests to a file of this task; `None` for a task
/// that no list makes. `params` are those in force at the task's first block.
pub fn attestation_deadline(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    task_id: TaskId,
) -> Option<BlockNumber> {
    let list = &history.of_task(task_id)?.allowlist;
    Some(params.attestation_deadline(list.interval(), task_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowlist, EpochSnapshot, WitnessCommitment, counted};
    use leoma_protocol::Hotkey;
    use proptest::prelude::*;

    fn list(interval: u64, validators: u8) -> Allowlist {
        let hotkeys = (0..validators).map(|seed| Hotkey::from_bytes([seed; 32]));
        Allowlist::new(interval, hotkeys).unwrap()
    }

    #[test]
    fn a_task_has_as_many_bits_as_its_list_reaches_steps() {
        let params = ConsensusParams::default();
        let steps = |interval: u64, validators: u8, grace: Option<u64>| {
            let params = ConsensusParams { failover_grace: grace, ..params.clone() };
            let history = AllowlistHistory::since_genesis(list(interval, validators));
            let witness = own_witness(&params, &history, BlockNumber(20 * interval), |_| true);
            (0..100).filter(|step| witness.holds(TaskId(5), *step)).count()
        };
        assert_eq!(steps(100, 7, None), 2);
        // The last block of an odd interval is a third step's.
        assert_eq!(steps(101, 7, None), 3);
        assert_eq!((steps(101, 2, None), steps(101, 1, None)), (2, 1), "no more than validators");
        assert_eq!(steps(100, 7, Some(10)), 7);
        assert_eq!(steps(100, 7, Some(100)), 1);
    }

    #[test]
    fn spans_and_deadlines_follow_the_lists_in_force() {
        let params = ConsensusParams::default();
        let mut history = AllowlistHistory::default();
        assert_eq!(witness_span(&params, &history, BlockNumber(720)), None);
        history.commit(BlockNumber(0), list(200, 4)).unwrap();
        history.commit(BlockNumber(950), list(100, 4)).unwrap();
        // Tasks 1 to 4 have 200 blocks; from block 1000 on tasks 10, 11, … have 100.
        let deadline = |task| attestation_deadline(&params, &history, TaskId(task));
        assert_eq!(deadline(4), Some(BlockNumber(6 * 200 - 2 * 25)));
        assert_eq!(deadline(10), Some(BlockNumber(12 * 100 - 2 * 12)));
        assert_eq!([0, 5, 9].map(deadline), [None; 3], "no list makes these");
        let span = |block| witness_span(&params, &history, BlockNumber(block)).unwrap();
        assert_eq!(span(900), BlockNumber(875)..BlockNumber(900));
        assert_eq!(span(1080), BlockNumber(1068)..BlockNumber(1080));
    }

    proptest! {
        #[test]
        fn what_all_witness_is_what_counts(
            changes in prop::collection::vec((1u64..400, 16u64..60, 1u8..9), 0..3), first in (16u64..60, 1u8..9),
            epoch_block in 0u64..2000, grace in prop::option::of(4u64..40), noise: u64,
        ) {
            let params = ConsensusParams { failover_grace: grace, lookback_blocks: 900, ..ConsensusParams::default() };
            let mut history = AllowlistHistory::since_genesis(list(first.0, first.1));
            let mut at = 0;
            for (later, interval, validators) in changes {
                at += later;
                history.commit(BlockNumber(at), list(interval, validators)).unwrap();
            }
            let block = BlockNumber(epoch_block);
            let history = history.as_of(block);
            let is_held = |file: &FileId| {
                let mixed = (file.task_id.0 ^ noise).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                mixed >> (file.producer.as_bytes()[0] % 8) & 3 > 0
            };
            let witness = own_witness(&params, &history, block, is_held);
            let committed_at = BlockNumber(epoch_block.saturating_sub(1));
            let committed = WitnessCommitment { committed_at, witness };
            let everybody = (0..9).map(|seed| (Hotkey::from_bytes([seed; 32]), committed.clone()));
            let snapshot =
                EpochSnapshot { block, miners: Vec::new(), owner: None, witnesses: everybody.collect() };
            let range = WindowRange::new(&params, &history, block);
            let mut expected: Vec<FileId> = range.scheduled_files()
                .filter_map(|files| files.into_iter().find(is_held))
                .take(params.window_tasks as usize)
                .collect();
            expected.reverse();
            match counted(&params, &history, &snapshot) {
                Ok(found) => prop_assert_eq!(found.files, expected),
                Err(_) => prop_assert_eq!(epoch_block, 0, "in no span"),
            }
        }
    }
}
