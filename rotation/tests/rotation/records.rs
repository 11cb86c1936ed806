//! Policy records applied to whole windows.

use std::collections::BTreeMap;

use leoma_protocol::verdict::{Expected, Name, Observation, verify};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Nano, Netuid, Network, TaskId, Uid,
};
use leoma_rotation::record::VIDEO;
use leoma_rotation::{
    Allowlist, AllowlistHistory, ChainLimits, EpochSnapshot, Miner, MinerObservations,
    PolicyRecord, Slot, TaskObservations, TaskVerdicts, Unallocated, policy_outcome,
    uncertified_epoch,
};

use crate::vectors::{array, block, cases, file_id, hotkey, hotkeys, number, object, text};

/// Video's rule as a record gives the same ranks and the same weights as without one.
#[test]
fn the_video_record_gives_the_weights_of_every_whole_epoch() {
    let record = PolicyRecord::parse(VIDEO).unwrap();
    let network = Network { genesis: Digest::default(), netuid: Netuid(99) };
    let params = ConsensusParams::default();
    let mut won = 0;
    for (index, case) in cases("consensus.json").iter().enumerate() {
        let list = Allowlist::new(number(&case["interval"]), hotkeys(&case["validators"])).unwrap();
        let history = AllowlistHistory::since_genesis(list);
        let files = object(&case["files"]).iter().filter_map(|(key, content)| {
            let id = file_id(key)?;
            let expected = Expected { id, network, params: params.digest(), accept_v1: true };
            verify(text(content).as_bytes(), &expected).ok()
        });
        let files: Vec<_> = files.collect();
        let miners = array(&case["miners"]).iter().map(|miner| Miner {
            hotkey: hotkey(&miner["hotkey"]),
            uid: Uid(number(&miner["uid"]) as u16),
            commit_block: block(&miner["commit_block"]),
        });
        let snapshot = EpochSnapshot {
            block: BlockNumber(number(&case["epoch_block"])),
            miners: miners.collect(),
            owner: Some(Slot { hotkey: Hotkey::from_bytes([0; 32]), uid: Uid(0) }),
            witnesses: BTreeMap::new(),
        };
        let verdicts: Vec<TaskVerdicts> = files.iter().map(TaskVerdicts::from).collect();
        let (expected, decision) = uncertified_epoch(&params, &history, &snapshot, &verdicts);

        let observed = files.iter().map(|file| {
            let start = history.of_task(file.id.task_id).unwrap();
            let start = start.allowlist.start_of(file.id.task_id).unwrap();
            TaskObservations::from_file(file, start)
        });
        let in_window = |file: &TaskObservations| expected.window.contains(&file.id);
        let observed: Vec<_> = observed.filter(in_window).collect();
        let found = policy_outcome(&record, &snapshot, &observed.iter().collect::<Vec<_>>());
        assert_eq!(found.ranks, expected.ranks, "case {index}");
        assert_eq!(found.ineligible, expected.ineligible, "case {index}");
        let weights = found.weights(&snapshot, ChainLimits::default()).unwrap();
        assert_eq!(Some(&weights), decision.weights(), "case {index}");
        won += usize::from(expected.winner.is_some());
    }
    assert!(won > 0, "nobody won in any case");
}

fn key(seed: u8) -> Hotkey {
    Hotkey::from_bytes([seed; 32])
}

fn record(pools: &str) -> PolicyRecord {
    let head = r#"
        schema = "leoma.policy/1"
        mechanism = "test"
        mecid = 0
        window = { tasks = 100, settle_margin = 2, lookback_blocks = 0, epoch_blocks = 180 }
        gates = { completeness = "4/5", min_validators = "1/2" }
    "#;
    PolicyRecord::parse(&format!("{head}\n{pools}")).unwrap()
}

fn pool(name: &str, share: &str, weights: &str) -> String {
    format!(
        "[[pool]]\nname = \"{name}\"\nshare = \"{share}\"\n\
         fold = {{ window_mean = {{ last = 10 }} }}\nweights = {weights}\n"
    )
}

/// Ten tasks by two validators; each miner's value in each pool is always the same.
fn files(values: &[(u8, &[(&str, i64)])]) -> Vec<TaskObservations> {
    let entry = |(miner, pools): &(u8, &[(&str, i64)])| MinerObservations {
        miner: key(*miner),
        passed: true,
        observations: pools
            .iter()
            .map(|(pool, value)| Observation {
                pool: pool.parse::<Name>().unwrap(),
                values: vec![Some(Nano(*value))],
                counts: vec![],
            })
            .collect(),
    };
    let file = |task: u64| {
        let id = FileId { task_id: TaskId(task), producer: key(1 + (task % 2) as u8) };
        let start = BlockNumber(task * 100);
        let entries = values.iter().map(entry).collect();
        TaskObservations::new(id, Digest::default(), start, start, entries)
    };
    (0..10).map(file).collect()
}

/// The owner has uid 0; miners 11 to 14 have uids 1 to 4 and committed in this order.
fn snapshot() -> EpochSnapshot {
    let miner =
        |seed: u8, uid, commit_block| Miner { hotkey: key(seed), uid: Uid(uid), commit_block };
    let mut miners = vec![miner(99, 0, None)];
    let of = |(uid, seed)| miner(seed, uid, Some(BlockNumber(uid.into())));
    miners.extend((1..).zip(11..15).map(of));
    EpochSnapshot {
        block: BlockNumber(1260),
        miners,
        owner: Some(Slot { hotkey: key(99), uid: Uid(0) }),
        witnesses: BTreeMap::new(),
    }
}

fn weights(
    record: &PolicyRecord,
    files: &[TaskObservations],
    chain: ChainLimits,
) -> Result<Vec<(u16, u16)>, Unallocated> {
    let outcome = policy_outcome(record, &snapshot(), &files.iter().collect::<Vec<_>>());
    let weights = outcome.weights(&snapshot(), chain)?;
    Ok(weights.entries.iter().map(|entry| (entry.uid.0, entry.share)).collect())
}

const OPEN: ChainLimits = ChainLimits { max_weight: u16::MAX, min_weights: 1 };

#[test]
fn proportional_pools_are_paid_by_score_and_a_score_below_zero_is_paid_nothing() {
    let record = record(&pool("a", "1/1", "\"proportional\""));
    let files =
        files(&[(11, &[("a", 3)]), (12, &[("a", 2)]), (13, &[("a", 1)]), (14, &[("a", -9)])]);
    assert_eq!(weights(&record, &files, OPEN).unwrap(), [(1, 65535), (2, 43690), (3, 21845)]);
}

#[test]
fn min_max_pays_what_is_above_the_lowest_and_equal_scores_alike() {
    let record = record(&pool("a", "1/1", "\"min_max\""));
    let uneven = files(&[(11, &[("a", 7)]), (12, &[("a", 6)]), (13, &[("a", 5)])]);
    assert_eq!(weights(&record, &uneven, OPEN).unwrap(), [(1, 65535), (2, 32768)]);
    let equal = files(&[(11, &[("a", 5)]), (12, &[("a", 5)])]);
    assert_eq!(weights(&record, &equal, OPEN).unwrap(), [(1, 65535), (2, 65535)]);
    // One miner alone is not the lowest of itself.
    let one = files(&[(11, &[("a", 5)])]);
    assert_eq!(weights(&record, &one, OPEN).unwrap(), [(1, 65535)]);
}

#[test]
fn a_later_miner_takes_all_with_exactly_the_margin() {
    let rule = "{ winner_take_all = { dominance = \"1/20\" } }";
    let record = record(&pool("a", "1/1", rule));
    let of = |later| {
        let files = files(&[(11, &[("a", 100_000_000)]), (12, &[("a", later)])]);
        weights(&record, &files, OPEN).unwrap()
    };
    assert_eq!(of(149_999_999), [(1, 65535)]);
    assert_eq!(of(150_000_000), [(2, 65535)]);
}

#[test]
fn a_pool_that_pays_nobody_and_an_unclaimed_share_are_burned() {
    let pools = [pool("a", "1/2", "\"proportional\""), pool("b", "1/4", "\"proportional\"")];
    let record = record(&pools.concat());
    let files_a = files(&[(11, &[("a", 5)]), (12, &[("a", 5), ("b", -1)])]);
    // A quarter each for the miners; b's quarter and the unclaimed one are burned.
    assert_eq!(weights(&record, &files_a, OPEN).unwrap(), [(0, 65535), (1, 32768), (2, 32768)]);
    let nothing = files(&[(11, &[("a", 0)])]);
    assert_eq!(weights(&record, &nothing, OPEN).unwrap(), [(0, 65535)]);

    let mut no_owner = snapshot();
    no_owner.owner = None;
    let outcome = policy_outcome(&record, &no_owner, &files_a.iter().collect::<Vec<_>>());
    assert_eq!(outcome.weights(&no_owner, OPEN), Err(Unallocated::NoOwnerSlot));
}

#[test]
fn an_owner_that_mines_has_one_weight() {
    let record = record(&pool("a", "1/2", "\"proportional\""));
    let files = files(&[(99, &[("a", 1)]), (11, &[("a", 1)])]);
    assert_eq!(weights(&record, &files, OPEN).unwrap(), [(0, 65535), (1, 21845)]);
}

#[test]
fn the_chains_limits_are_met_or_named() {
    let record = record(&pool("a", "1/1", "\"proportional\""));
    let files = files(&[(11, &[("a", 9)]), (12, &[("a", 1)]), (13, &[("a", 0)])]);
    let least = |min_weights| ChainLimits { min_weights, ..OPEN };
    assert_eq!(weights(&record, &files, least(2)).unwrap(), [(1, 65535), (2, 7282)]);
    // The owner first, then the eligible miner without a weight, then the rest by uid.
    let padded = [(0, 1), (1, 65535), (2, 7282)];
    assert_eq!(weights(&record, &files, least(3)).unwrap(), padded);
    let padded = [(0, 1), (1, 65535), (2, 7282), (3, 1)];
    assert_eq!(weights(&record, &files, least(4)).unwrap(), padded);
    let padded = [(0, 1), (1, 65535), (2, 7282), (3, 1), (4, 1)];
    assert_eq!(weights(&record, &files, least(200)).unwrap(), padded);

    let most = |max_weight| ChainLimits { max_weight, ..OPEN };
    assert_eq!(weights(&record, &files, most(32_768)).unwrap(), [(1, 65535), (2, 65534)]);
    let refused = Unallocated::Limit { max_weight: 20_000, weights: 2 };
    assert_eq!(weights(&record, &files, most(20_000)), Err(refused));
}

#[test]
fn a_late_miner_is_not_eligible_and_a_reading_is_no_verdict() {
    let oracle = PolicyRecord::parse(include_str!("../../policies/oracle.toml")).unwrap();
    let reading = |file: &TaskObservations, pool: &str| {
        let mut entries = file.entries().to_vec();
        let observation = Observation {
            pool: pool.parse().unwrap(),
            values: vec![Some(Nano::ONE)],
            counts: vec![],
        };
        let observations = vec![observation];
        entries.push(MinerObservations { miner: file.id.producer, passed: false, observations });
        TaskObservations::new(file.id, file.digest, file.start, file.signed_at, entries)
    };
    let mut played = files(&[(11, &[("forecast", 1)])]);
    let late = files(&[(11, &[("forecast", 1)]), (12, &[("forecast", 1)])]);
    played[3..].clone_from_slice(&late[3..]);
    let with_readings: Vec<_> = played.iter().map(|file| reading(file, "close")).collect();
    let outcome = policy_outcome(&oracle, &snapshot(), &with_readings.iter().collect::<Vec<_>>());
    let ineligible: Vec<_> = outcome.ineligible.iter().map(|(miner, _)| *miner).collect();
    assert_eq!(ineligible, [key(12)]);
    // In a pool of the record it is a verdict like any other, and the validator is no miner.
    let others: Vec<_> = played.iter().map(|file| reading(file, "forecast")).collect();
    let outcome = policy_outcome(&oracle, &snapshot(), &others.iter().collect::<Vec<_>>());
    assert_eq!(outcome.ineligible.len(), 3);
}
