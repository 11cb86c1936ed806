//! An epoch's outcome from witnesses and verified files: window, aggregates and ranks together, as
//! a validator computes them.
//!
//! `reference` is 64 validators, 256 miners and 100 tasks, 25 600 verdicts; the Python
//! implementation takes 23 ms for it (104 ms for ten times that) and the limit here is 1 ms. The
//! rest show how it grows.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "benchmark code")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, TaskId, Uid};
use leoma_rotation::{
    Allowlist, AllowlistHistory, Certificates, EpochInputs, EpochSnapshot, Miner, TaskVerdicts,
    Verdict, WitnessCommitment, epoch, own_witness,
};

const INTERVAL: u64 = 100;

fn hotkey(kind: &[u8], number: u64) -> Hotkey {
    Hotkey::from_bytes(Digest::of_parts(&[kind, &number.to_le_bytes()]).0)
}

/// Whether a share of cases holds for these numbers: spread like chance, but the same in every run.
fn sometimes(numbers: [u64; 2], share: u8) -> bool {
    Digest::of_parts(&[&numbers[0].to_le_bytes(), &numbers[1].to_le_bytes()]).0[0] < share
}

struct Subnet {
    params: ConsensusParams,
    history: AllowlistHistory,
    snapshot: EpochSnapshot,
    files: Vec<TaskVerdicts>,
    certificates: Certificates,
}

impl Subnet {
    /// A full window with a gap here and there: one validator or miner in twenty is absent from a
    /// task.
    fn new(validators: u64, miners: u64, tasks: u64) -> Self {
        let params = ConsensusParams {
            window_tasks: tasks as u32,
            lookback_blocks: 0,
            ..ConsensusParams::default()
        };
        let list =
            Allowlist::new(INTERVAL, (0..validators).map(|number| hotkey(b"validator", number)))
                .unwrap();
        let history = AllowlistHistory::since_genesis(list);
        let miners: Vec<_> = (0..miners)
            .map(|number| Miner {
                hotkey: hotkey(b"miner", number),
                uid: Uid(number as u16),
                commit_block: Some(BlockNumber(number / 2)),
            })
            .collect();
        let files: Vec<_> = (0..tasks)
            .map(|task| {
                let mut producers =
                    history.schedule_of(TaskId(task), &params).unwrap().producers(TaskId(task));
                let producer = producers
                    .nth(usize::from(sometimes([task, u64::MAX], 13) && validators > 1))
                    .unwrap();
                let judged =
                    miners.iter().filter(|miner| !sometimes([task, u64::from(miner.uid.0)], 13));
                let verdict = |miner: &Miner| Verdict {
                    miner: miner.hotkey,
                    passed: sometimes([u64::from(miner.uid.0), task], 64 + miner.uid.0 as u8 / 2),
                };
                let id = FileId { task_id: TaskId(task), producer };
                TaskVerdicts::new(
                    id,
                    Digest::of(&task.to_le_bytes()),
                    judged.map(verdict).collect(),
                )
            })
            .collect();
        let block = BlockNumber((tasks + params.settle_margin) * INTERVAL);
        let certificates: Certificates = files.iter().map(|file| (file.id, file.digest)).collect();
        let holds = |id: &FileId| certificates.get(id).is_some();
        let witness = own_witness(&params, &history, block, holds);
        let committed = WitnessCommitment { committed_at: BlockNumber(block.0 - 1), witness };
        let witnesses = (0..validators)
            .map(|number| (hotkey(b"validator", number), committed.clone()))
            .collect();
        let snapshot = EpochSnapshot { block, miners, owner: None, witnesses };
        Self { params, history, snapshot, files, certificates }
    }
}

fn outcomes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consensus");
    for (name, validators, miners, tasks) in [
        ("reference", 64, 256, 100),
        ("ten_times_the_tasks", 64, 256, 1000),
        ("ten_times_the_miners", 64, 2560, 100),
        ("one_validator", 1, 256, 100),
    ] {
        let subnet = Subnet::new(validators, miners, tasks);
        let verdicts: usize = subnet.files.iter().map(|file| file.verdicts().len()).sum();
        let inputs = EpochInputs {
            params: &subnet.params,
            history: &subnet.history,
            snapshot: &subnet.snapshot,
            files: &subnet.files,
            certificates: &subnet.certificates,
        };
        let (outcome, _) = epoch(&inputs);
        assert_eq!(outcome.window.len() as u64, tasks, "{name}: the window must be full");
        assert!(outcome.winner.is_some(), "{name}: somebody must win");
        group.throughput(Throughput::Elements(verdicts as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| epoch(black_box(&inputs)))
        });
    }
    group.finish();
}

criterion_group!(benches, outcomes);
criterion_main!(benches);
