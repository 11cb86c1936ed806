//! Each fold over 64 validators, 256 miners and 200 tasks, 51 200 observations of one pool: from
//! verified files to exact shares. The limit is 10 ms for each.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "benchmark code")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use leoma_protocol::verdict::{Name, Observation};
use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey, Nano, TaskId, Uid};
use leoma_rotation::{
    ChainLimits, EpochSnapshot, Miner, MinerObservations, PolicyRecord, Slot, TaskObservations,
    policy_outcome,
};

const VALIDATORS: u64 = 64;
const MINERS: u64 = 256;
const TASKS: u64 = 200;
const INTERVAL: u64 = 100;
/// Forecasts of a task, and seconds between two of them.
const CELLS: u64 = 6;
const STEP_S: u64 = 300;

fn hotkey(kind: &[u8], number: u64) -> Hotkey {
    Hotkey::from_bytes(Digest::of_parts(&[kind, &number.to_le_bytes()]).0)
}

/// A number below 10⁹ that follows from its key.
fn random(key: [u64; 3]) -> i64 {
    let [a, b, c] = key.map(u64::to_le_bytes);
    let digest = Digest::of_parts(&[&a, &b, &c]).0;
    let bytes: [u8; 4] = std::array::from_fn(|index| digest[index]);
    i64::from(u32::from_le_bytes(bytes)) % Nano::PARTS
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// What a miner answers: some values, an event of each kind, and the task's moment.
fn observation(pool: &str, key: [u64; 2], values: u64) -> Observation {
    let moment = (1 + key[0]) * STEP_S;
    let values = (0..values).map(|cell| Some(Nano(random([key[0], key[1], cell])))).collect();
    let mut counts = vec![
        (name("failed_user"), 1),
        (name("ok_user"), 9),
        (name("t0"), u32::try_from(moment).unwrap()),
    ];
    counts.sort_unstable();
    Observation { pool: name(pool), values, counts }
}

fn file(task: u64, values: u64) -> TaskObservations {
    let producer = hotkey(b"validator", task % VALIDATORS);
    let entry = |miner: u64| MinerObservations {
        miner: hotkey(b"miner", miner),
        passed: true,
        observations: vec![observation("pool", [task, miner], values)],
    };
    // The producers of fifty tasks read the same part of the market, and the parts overlap. So every
    // moment has more readers than it needs, and every cell exists.
    let values = (0..64).map(|bar| Some(Nano(random([bar, 0, 0])))).collect();
    let first = u32::try_from((1 + task / 50 * 48) * STEP_S).unwrap();
    let close = Observation { pool: name("close"), values, counts: vec![(name("t0"), first)] };
    let own = MinerObservations { miner: producer, passed: false, observations: vec![close] };
    let start = BlockNumber(task * INTERVAL);
    let id = FileId { task_id: TaskId(task), producer };
    let entries = (0..MINERS).map(entry).chain([own]).collect();
    TaskObservations::new(id, Digest::of(&task.to_le_bytes()), start, start, entries)
}

fn record(fold: &str) -> PolicyRecord {
    PolicyRecord::parse(&format!(
        "schema = \"leoma.policy/1\"\nmechanism = \"bench\"\nmecid = 0\n\
         window = {{ tasks = 200, settle_margin = 2, lookback_blocks = 0, epoch_blocks = 180 }}\n\
         gates = {{ completeness = \"4/5\", min_validators = \"1/2\" }}\n\
         [[pool]]\nname = \"pool\"\nshare = \"1/1\"\nweights = \"proportional\"\nfold = {fold}\n"
    ))
    .unwrap()
}

fn policies(criterion: &mut Criterion) {
    let files = |values: u64| (0..TASKS).map(|task| file(task, values)).collect::<Vec<_>>();
    let (single, forecasts) = (files(1), files(CELLS));
    let owner = Slot { hotkey: hotkey(b"owner", 0), uid: Uid(1000) };
    let miner = |number: u64| Miner {
        hotkey: hotkey(b"miner", number),
        uid: Uid(number as u16),
        commit_block: Some(BlockNumber(number / 2)),
    };
    let snapshot = EpochSnapshot {
        block: BlockNumber((TASKS + 2) * INTERVAL),
        miners: (0..MINERS).map(miner).collect(),
        owner: Some(owner),
        witnesses: BTreeMap::new(),
    };
    let mut group = criterion.benchmark_group("policies");
    group.throughput(Throughput::Elements(MINERS * TASKS));
    for (name, fold) in [
        ("pass_rate", "\"pass_rate\""),
        ("ema", "{ ema = { alpha = \"1/10\", init = 0 } }"),
        (
            "window_mean",
            "{ window_mean = { last = 15, coverage = { mid = \"1/2\", width = \"1/10\" } } }",
        ),
        ("sum", "{ sum = { blocks = 7200 } }"),
        (
            "count_times_ema",
            "{ count_times_ema = { blocks = 7200, alpha = \"1/20\", init = 0, accept = 600000000 } }",
        ),
        (
            "latest",
            "{ latest = { bonus = { ok_user = \"1/10000\", failed_user = \"-8/10000\" } } }",
        ),
        (
            "rank_cells",
            "{ rank_cells = { truth = \"close\", step_s = 300, deadline_blocks = 25, cells = 6, \
             rate = \"1/20\", last = 100, alpha = \"1/20\" } }",
        ),
    ] {
        let files = if name == "rank_cells" { &forecasts } else { &single };
        let files: Vec<&TaskObservations> = files.iter().collect();
        let record = record(fold);
        let outcome = policy_outcome(&record, &snapshot, &files);
        assert_eq!(outcome.pools[0].scores.len() as u64, MINERS, "{name}: all must have a score");
        assert!(!outcome.shares.is_empty(), "{name}: somebody must be paid");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| policy_outcome(black_box(&record), &snapshot, black_box(&files)))
        });
    }
    let files: Vec<&TaskObservations> = single.iter().collect();
    let outcome = policy_outcome(&record("{ sum = { blocks = 7200 } }"), &snapshot, &files);
    let limits = ChainLimits { max_weight: 300, min_weights: 256 };
    outcome.weights(&snapshot, limits).unwrap();
    group.bench_function("weights_under_a_limit", |bencher| {
        bencher.iter(|| outcome.weights(&snapshot, black_box(limits)))
    });
    group.finish();
}

criterion_group!(benches, policies);
criterion_main!(benches);
