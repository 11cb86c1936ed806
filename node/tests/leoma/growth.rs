//! How large the databases become.

use std::path::Path;

use leoma_protocol::verdict::{AspectScores, EntryStatus, VerdictDraft, VerdictEntry};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network, SigningGuard as _, SigningSlot, SlotKind, TaskId, Uid,
};
use leoma_rotation::{
    Allowlist, AllowlistHistory, EpochSnapshot, Miner, TaskVerdicts, Verdict, uncertified_epoch,
};
use serde_json::json;
use sp_core::{Pair as _, sr25519};

use leoma::state::{
    EpochRecord, EpochState, MeshRow, State, StoredFile, WitnessRecord, WitnessState,
};

const DAYS: u64 = 30;
/// Blocks of a day of the live chain, of a task and of an epoch.
const DAY: u64 = 7_200;
const INTERVAL: u64 = 100;
const EPOCH: u64 = 180;
const VALIDATORS: u8 = 64;
const MINERS: u16 = 256;
/// Bytes of a vote in a certificate: a hotkey and a signature.
const VOTE: usize = 96;
/// Bytes of a witness.
const WITNESS: usize = 110;
/// Blocks that epochs are kept, as the weight setter has it.
const EPOCHS_KEPT: u64 = 72_000;
/// The day by which everything that is pruned has been pruned once.
const FULL: u64 = 12;

fn miner(number: u16) -> Hotkey {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Hotkey::from_bytes(bytes)
}

fn network() -> Network {
    Network { genesis: Digest::of(b"g"), netuid: Netuid(99) }
}

/// A file with an entry for each miner, as large as real ones.
fn verdict_file() -> Vec<u8> {
    let entry = |number: u16| VerdictEntry {
        passed: true,
        status: EntryStatus::Passed,
        model_revision: Some("a".repeat(40)),
        video_sha256: Some(Digest::of(&number.to_be_bytes())),
        score: Some(731),
        aspect_scores: Some(AspectScores::default()),
        fingerprint: Some(vec![7; 256]),
        ..VerdictEntry::unusable(miner(number), EntryStatus::Passed, "r".repeat(120), 61_000)
    };
    let draft = VerdictDraft {
        network: network(),
        task_id: TaskId(1),
        params: Digest::default(),
        judge: "test".into(),
        block: BlockNumber(101),
        metadata_sha256: None,
        entries: (0..MINERS).map(entry).collect(),
    };
    let guard = std::sync::Arc::new(MemoryGuard::default());
    HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), guard)
        .sign_verdict_file(draft)
        .unwrap()
        .bytes
}

/// The outcome of a full window, with the long parts that an epoch keeps of it.
fn outcome() -> String {
    let listed: Vec<Hotkey> = (0..VALIDATORS).map(|byte| Hotkey::from_bytes([byte; 32])).collect();
    let history =
        AllowlistHistory::since_genesis(Allowlist::new(INTERVAL, listed.clone()).unwrap());
    let verdicts =
        || (0..MINERS).map(|number| Verdict { miner: miner(number), passed: number % 3 > 0 });
    let files: Vec<TaskVerdicts> = (1..=100)
        .map(|task: u64| {
            let producer = listed[(task % u64::from(VALIDATORS)) as usize];
            let id = FileId { task_id: TaskId(task), producer };
            TaskVerdicts::new(id, Digest::default(), verdicts().collect())
        })
        .collect();
    let snapshot = EpochSnapshot {
        block: BlockNumber(10_800),
        miners: (0..MINERS)
            .map(|number| Miner {
                hotkey: miner(number),
                uid: Uid(number),
                commit_block: Some(BlockNumber(number.into())),
            })
            .collect(),
        owner: None,
        witnesses: Default::default(),
    };
    let (outcome, _) = uncertified_epoch(&ConsensusParams::default(), &history, &snapshot, &files);
    assert_eq!(outcome.window.len(), 100);
    let ranks = outcome.ranks.iter().map(|ranked| {
        json!({
            "rank": ranked.rank,
            "miner_hotkey": ranked.miner,
            "passed_count": ranked.passed,
            "pass_rate": ranked.rate.to_f64(),
            "block": ranked.commit_block,
        })
    });
    let window = |id: &FileId| json!([id.task_id, id.producer]);
    json!({
        "window": outcome.window.iter().map(window).collect::<Vec<_>>(),
        "active_validators": outcome.active_validators,
        "ranks": ranks.collect::<Vec<_>>(),
    })
    .to_string()
}

/// The bytes of both databases on disk.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// One file a task, its certificate with all votes, our vote; and each epoch with its witness.
fn live(state: &State, day: u64, file: &[u8], outcome: &str) {
    let block = |of_day: u64| BlockNumber(day * DAY + of_day);
    for task in (day * DAY / INTERVAL)..((day + 1) * DAY / INTERVAL) {
        let producer = Hotkey::from_bytes([(task % u64::from(VALIDATORS)) as u8; 32]);
        let (id, digest) =
            (FileId { task_id: TaskId(task), producer }, Digest::of(&task.to_be_bytes()));
        state.keep_file(&StoredFile { id, digest, bytes: file.to_vec() }).unwrap();
        let bytes = vec![0; VOTE * usize::from(VALIDATORS)];
        state.keep_mesh_rows(&[MeshRow::Certificate { id, digest, bytes }]).unwrap();
        let kind = SlotKind::Attestation;
        let slot = SigningSlot { kind, netuid: Netuid(99), task_id: id.task_id, subject: producer };
        let _new = state.admit(slot, digest).unwrap();
    }
    for of_day in (0..DAY).step_by(EPOCH as usize) {
        let epoch_block = block(of_day);
        let record = EpochRecord {
            epoch_block,
            state: EpochState::Set,
            winner_hotkey: Some(miner(1)),
            uid: Some(Uid(1)),
            reason: "set: won the window".into(),
            outcome: outcome.to_owned(),
        };
        state.keep_epoch(&record).unwrap();
        let witness = WitnessRecord {
            epoch_block,
            bytes: vec![0; WITNESS],
            state: WitnessState::Final,
            reason: String::new(),
        };
        state.keep_witness(&witness).unwrap();
        let oldest = epoch_block.0.saturating_sub(ConsensusParams::default().lookback_blocks);
        state.prune_before(TaskId(oldest / INTERVAL)).unwrap();
        let oldest = epoch_block.0.saturating_sub(EPOCHS_KEPT);
        state.prune_epochs_before(BlockNumber(oldest)).unwrap();
    }
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn thirty_days_need_no_more_room_than_twelve() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path(), network(), Hotkey::from_bytes([1; 32])).unwrap();
    let (file, outcome) = (verdict_file(), outcome());
    println!("a file has {} bytes, an outcome {}", file.len(), outcome.len());
    let mut full = 0;
    for day in 0..DAYS {
        live(&state, day, &file, &outcome);
        let now = size(folder.path());
        if [1, 2, 5, 10, 12, 20, 30].contains(&(day + 1)) {
            println!("day {}: {} MB", day + 1, megabytes(now));
        }
        if day + 1 == FULL {
            full = now;
        }
    }
    let guard = std::fs::metadata(folder.path().join("guard.sqlite")).unwrap().len();
    println!("guard.sqlite: {guard} bytes after {DAYS} days");
    let now = size(folder.path());
    assert!(now <= full + full / 10, "{now} bytes after {DAYS} days, {full} after {FULL}");
}
