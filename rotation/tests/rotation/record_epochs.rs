//! Whole epochs by a policy record that pays several miners.

use leoma_protocol::verdict::Observation;
use leoma_protocol::{BlockNumber, Digest, Nano, Uid};
use leoma_rotation::{
    ChainLimits, Decision, EpochInputs, MinerObservations, PolicyRecord, Reason, RecordEpoch,
    TaskObservations, record_epoch,
};
use proptest::prelude::*;

use crate::subnet::{INTERVAL, Subnet, hotkey, primaries};

const OPEN: ChainLimits = ChainLimits { max_weight: u16::MAX, min_weights: 1 };

fn record(fold: &str) -> PolicyRecord {
    PolicyRecord::parse(&format!(
        r#"
        schema = "leoma.policy/1"
        mechanism = "test"
        mecid = 0
        window = {{ tasks = 100, settle_margin = 2, lookback_blocks = 30000, epoch_blocks = 180 }}
        gates = {{ completeness = "4/5", min_validators = "1/2" }}
        [[pool]]
        name = "a"
        share = "1/1"
        fold = {fold}
        weights = "proportional"
        "#
    ))
    .unwrap()
}

/// A subnet of two validators whose files observe 100 and 101 with these values in each task.
fn observed(values: [i64; 2]) -> (Subnet, Vec<TaskObservations>) {
    let subnet = Subnet::new(2, primaries(2, 1, &[(100, true), (101, true)]));
    let entry = |(seed, value): (u8, i64)| MinerObservations {
        miner: hotkey(seed),
        passed: true,
        observations: vec![Observation {
            pool: "a".parse().unwrap(),
            values: vec![Some(Nano(value))],
            counts: vec![],
        }],
    };
    let file = |file: &leoma_rotation::TaskVerdicts| {
        let start = BlockNumber(file.id.task_id.0 * INTERVAL);
        let entries = [(100, values[0]), (101, values[1])].map(entry).into();
        TaskObservations::new(file.id, file.digest, start, start, entries)
    };
    let files = subnet.files.iter().map(file).collect();
    (subnet, files)
}

fn epoch_of(
    subnet: &Subnet,
    files: &[TaskObservations],
    fold: &str,
    limits: ChainLimits,
) -> RecordEpoch {
    let inputs = EpochInputs {
        params: &subnet.params,
        history: &subnet.history,
        snapshot: &subnet.snapshot,
        files,
        certificates: &subnet.certificates,
    };
    record_epoch(&inputs, &record(fold), limits)
}

fn weights(found: &RecordEpoch) -> Vec<(Uid, u16)> {
    let weights = found.decision.weights().unwrap();
    weights.entries.iter().map(|entry| (entry.uid, entry.share)).collect()
}

const MEAN: &str = "{ window_mean = { last = 10 } }";

#[test]
fn every_eligible_miner_gets_its_share_and_the_largest_is_the_winner() {
    let (subnet, files) = observed([1, 3]);
    let found = epoch_of(&subnet, &files, MEAN, OPEN);
    assert_eq!(weights(&found), [(Uid(100), 21845), (Uid(101), 65535)]);
    assert_eq!(found.decision.reason(), Reason::Shared);
    assert_eq!(found.outcome.winner.unwrap().hotkey, hotkey(101));
    // By passes alone 100 would come first: both pass everything, and it committed before.
    let ranks: Vec<_> = found.outcome.ranks.iter().map(|one| (one.rank, one.miner)).collect();
    assert_eq!(ranks, [(1, hotkey(101)), (2, hotkey(100))]);
    assert_eq!(found.paid.unwrap().pools[0].scores.len(), 2);
    assert_eq!(found.outcome.window, subnet.outcome().window);
}

#[test]
fn what_nobody_earns_is_burned_and_named_so() {
    let (subnet, files) = observed([0, -5]);
    let found = epoch_of(&subnet, &files, MEAN, OPEN);
    assert_eq!(weights(&found), [(Uid(0), 65535)]);
    assert_eq!((found.decision.reason(), found.outcome.winner), (Reason::NothingEarned, None));
    let (mut subnet, files) = observed([0, -5]);
    subnet.snapshot.owner = None;
    let found = epoch_of(&subnet, &files, MEAN, OPEN);
    assert_eq!(found.decision, Decision::Abstain { reason: Reason::NoOwnerSlot });
    // Without an owner nothing can be burned; where nothing is to be burned, none is needed.
    let (mut subnet, files) = observed([1, 3]);
    subnet.snapshot.owner = None;
    assert_eq!(weights(&epoch_of(&subnet, &files, MEAN, OPEN)).len(), 2);
}

#[test]
fn a_limit_that_no_weights_meet_is_named() {
    let (subnet, files) = observed([1, 3]);
    let limits = ChainLimits { max_weight: 20_000, ..OPEN };
    let reason = Reason::WeightLimit { max_weight: 20_000, weights: 2 };
    let found = epoch_of(&subnet, &files, MEAN, limits);
    assert_eq!(found.decision, Decision::Abstain { reason });
}

#[test]
fn with_a_file_missing_or_another_in_its_place_nobody_is_paid() {
    let (subnet, mut files) = observed([1, 3]);
    let mut last = files.pop().unwrap();
    let found = epoch_of(&subnet, &files, MEAN, OPEN);
    let missing = Decision::Abstain { reason: Reason::MissingFiles { files: 1 } };
    assert_eq!((found.decision, found.paid), (missing.clone(), None));
    last.digest = Digest::of(b"another");
    files.push(last);
    assert_eq!(epoch_of(&subnet, &files, MEAN, OPEN).decision, missing);
}

#[test]
fn where_a_task_begins_is_what_the_lists_say() {
    let (subnet, files) = observed([1, 3]);
    // Only the tasks of the last 720 blocks count: the newest of those that settled.
    let recent = "{ sum = { blocks = 720 } }";
    let right = epoch_of(&subnet, &files, recent, OPEN);
    let mut misplaced = files.clone();
    misplaced.iter_mut().for_each(|file| file.start = BlockNumber(0));
    assert_eq!(epoch_of(&subnet, &misplaced, recent, OPEN), right);
    assert_eq!(right.decision.reason(), Reason::Shared);
}

proptest! {
    #[test]
    fn the_order_of_files_changes_nothing(one in -9_i64..9, other in -9_i64..9, seed: u64) {
        let (subnet, files) = observed([one, other]);
        let mut shuffled = files.clone();
        shuffled.sort_by_key(|file| {
            Digest::of_parts(&[&seed.to_le_bytes(), &file.id.task_id.0.to_le_bytes()])
        });
        let fold = "{ ema = { alpha = \"1/10\", init = 0 } }";
        prop_assert_eq!(
            epoch_of(&subnet, &files, fold, OPEN),
            epoch_of(&subnet, &shuffled, fold, OPEN)
        );
    }
}
