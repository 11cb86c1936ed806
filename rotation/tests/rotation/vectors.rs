//! The cases that the Python implementation computed. `LEOMA_VECTORS` names another folder of the
//! same shape.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use leoma_protocol::verdict::{Expected, verify};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Fraction, Hotkey, Netuid, Network, TaskId, Uid,
};
use leoma_rotation::rank::required_validators;
use leoma_rotation::window::{HeldFile, UncertifiedWindow};
use leoma_rotation::{
    Allowlist, AllowlistHistory, EpochSnapshot, Miner, Ranked, Schedule, Slot, TaskVerdicts,
    Verdict, WindowRange, aggregate, allowlist, rank, uncertified_epoch,
};
use serde_json::Value;

/// Furthest that an exact rate, rounded once, may lie from Python's sum of rounded floats.
const FLOAT_NOISE: f64 = 1e-9;

pub(crate) fn cases(name: &str) -> Vec<Value> {
    // Tests run in their package's folder, whoever sets the variable stands in the workspace's, and
    // `join` keeps an absolute path as it is. A path fixed by the compiler would be another
    // checkout's where two share a target folder.
    let folder =
        std::env::var_os("LEOMA_VECTORS").map_or_else(|| PathBuf::from("vectors"), PathBuf::from);
    let path = Path::new("..").join(folder).join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Value::Array(cases) = file["cases"].take() else {
        panic!("{}: no `cases`", path.display())
    };
    assert!(!cases.is_empty(), "{}: no cases", path.display());
    cases
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value}"))
}

pub(crate) fn object(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}"))
}

pub(crate) fn hotkey(value: &Value) -> Hotkey {
    text(value).parse().unwrap()
}

pub(crate) fn hotkeys(value: &Value) -> Vec<Hotkey> {
    array(value).iter().map(hotkey).collect()
}

fn tasks(value: &Value) -> Vec<TaskId> {
    array(value).iter().map(|task| TaskId(number(task))).collect()
}

pub(crate) fn block(value: &Value) -> Option<BlockNumber> {
    (!value.is_null()).then(|| BlockNumber(number(value)))
}

/// A threshold such as `0.05` as the fraction that its decimals say.
fn fraction(value: &Value) -> Fraction {
    let digits = value.to_string();
    let (whole, decimals) = digits.split_once('.').unwrap_or((&digits, ""));
    let numerator = format!("{whole}{decimals}")
        .parse()
        .unwrap_or_else(|_| panic!("not a short decimal: {value}"));
    Fraction::new(numerator, 10u32.pow(decimals.len() as u32)).unwrap()
}

fn assert_ranks(found: &[Ranked], expected: &Value, case: &str) {
    let expected = array(expected);
    assert_eq!(found.len(), expected.len(), "{case}: ranks");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.miner, hotkey(&expected["miner_hotkey"]), "{case}: rank {}", found.rank);
        assert_eq!(u64::from(found.rank), number(&expected["rank"]), "{case}: {}", found.miner);
        assert_eq!(
            u64::from(found.passed),
            number(&expected["passed_count"]),
            "{case}: {}",
            found.miner
        );
        assert_eq!(found.commit_block, block(&expected["block"]), "{case}: {}", found.miner);
        assert_near(found.rate.to_f64(), &expected["pass_rate"], case);
    }
}

fn assert_near(found: f64, expected: &Value, case: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < FLOAT_NOISE, "{case}: {found} is not {expected}");
}

#[test]
fn allowlists_have_pythons_bytes_and_hash() {
    for case in cases("allowlist.json") {
        let list = Allowlist::new(number(&case["interval"]), hotkeys(&case["validators"])).unwrap();
        assert_eq!(list.canonical_json(), text(&case["payload"]));
        assert_eq!(list.digest().to_string(), text(&case["sha256"]));
        assert_eq!(list.commitment(), text(&case["commitment"]));
        let digest = allowlist::committed_digest(text(&case["commitment"])).unwrap().unwrap();
        assert_eq!(Allowlist::verify(text(&case["payload"]).as_bytes(), digest).unwrap(), list);
    }
}

#[test]
fn commitments_are_read_as_python_reads_them() {
    for case in cases("allowlist_commitment.json") {
        assert_eq!(
            allowlist::committed_hash(text(&case["text"])),
            case["digest"].as_str(),
            "{:?}",
            case["text"]
        );
    }
}

#[test]
fn turns_are_pythons() {
    for (index, case) in cases("rotation.json").iter().enumerate() {
        let list = Allowlist::new(number(&case["interval"]), hotkeys(&case["validators"])).unwrap();
        let schedule = Schedule::new(&list, case["configured_grace"].as_u64());
        let head = BlockNumber(number(&case["block"]));
        assert_eq!(list.task_at(head).0, number(&case["task_id"]), "case {index}");
        assert_eq!(schedule.grace_blocks(), number(&case["grace_blocks"]), "case {index}");
        let shown =
            |hotkey: Option<Hotkey>| hotkey.map_or(Value::Null, |hotkey| hotkey.to_string().into());
        assert_eq!(shown(schedule.primary(list.task_at(head))), case["primary"], "case {index}");
        let turn = schedule.turn(head, case["primary_produced"].as_bool().unwrap());
        assert_eq!(shown(turn.map(|turn| turn.producer)), case["sampler"], "case {index}");
        assert_eq!(
            turn.map_or(0, |turn| turn.failover_step) as u64,
            number(&case["failover_step"]),
            "case {index}"
        );
    }
}

#[test]
fn windows_are_pythons() {
    for (index, case) in cases("window.json").iter().enumerate() {
        let list = Allowlist::new(number(&case["interval"]), hotkeys(&case["validators"])).unwrap();
        let history = AllowlistHistory::since_genesis(list);
        let params = ConsensusParams {
            failover_grace: Some(number(&case["grace_blocks"])),
            window_tasks: number(&case["window_size"]) as u32,
            settle_margin: number(&case["settle_margin"]),
            lookback_blocks: number(&case["max_lookback_blocks"]),
            ..ConsensusParams::default()
        };
        let held: Vec<HeldFile> = object(&case["produced"])
            .iter()
            .flat_map(|(producer, produced)| {
                let producer = producer.parse().unwrap();
                tasks(produced).into_iter().map(move |task_id| FileId { task_id, producer })
            })
            .map(|id| HeldFile { id, digest: Digest::default() })
            .collect();

        let range = WindowRange::new(&params, &history, BlockNumber(number(&case["epoch_block"])));
        let window = UncertifiedWindow::select(&range, &held);
        let found: Vec<_> = window.files.iter().map(|file| file.task_id).collect();
        assert_eq!(found, tasks(&case["window"]), "case {index}");

        let all = ConsensusParams {
            window_tasks: u32::MAX,
            settle_margin: 0,
            lookback_blocks: 0,
            ..params.clone()
        };
        let end = WindowRange::new(&all, &history, BlockNumber(u64::MAX));
        let canonical = UncertifiedWindow::select(&end, &held);
        let found: BTreeMap<_, _> =
            canonical.files.iter().map(|file| (file.task_id, file.producer)).collect();
        let expected: BTreeMap<TaskId, Hotkey> = object(&case["canonical"])
            .iter()
            .map(|(task, producer)| (task.parse().unwrap(), hotkey(producer)))
            .collect();
        assert_eq!(found, expected, "case {index}");

        let active = window.active_validators();
        assert_eq!(active, hotkeys(&case["active_validators"]), "case {index}");
        let required = required_validators(&params, active.len());
        assert_eq!(required as u64, number(&case["required_distinct"]), "case {index}");
    }
}

#[test]
fn aggregates_winners_and_ranks_are_pythons() {
    for (index, case) in cases("aggregate.json").iter().enumerate() {
        let name = format!("case {index}");
        let window: BTreeSet<TaskId> = tasks(&case["window"]).into_iter().collect();
        let mut by_file: BTreeMap<FileId, Vec<Verdict>> = BTreeMap::new();
        for verdict in array(&case["verdicts"]) {
            let id = FileId { task_id: TaskId(number(&verdict[1])), producer: hotkey(&verdict[0]) };
            if window.contains(&id.task_id) {
                let verdict =
                    Verdict { miner: hotkey(&verdict[2]), passed: verdict[3].as_bool().unwrap() };
                by_file.entry(id).or_default().push(verdict);
            }
        }
        let files: Vec<_> = by_file
            .into_iter()
            .map(|(id, verdicts)| TaskVerdicts::new(id, Digest::default(), verdicts))
            .collect();
        let found = aggregate(&files.iter().collect::<Vec<_>>());

        let expected = object(&case["aggregates"]);
        assert_eq!(found.miners.len(), expected.len(), "{name}");
        for miner in &found.miners {
            let expected = &expected[&miner.miner.to_string()];
            assert_eq!(
                u64::from(miner.passed),
                number(&expected["passed"]),
                "{name}: {}",
                miner.miner
            );
            assert_eq!(
                u64::from(miner.evaluated),
                number(&expected["evaluated"]),
                "{name}: {}",
                miner.miner
            );
            assert_near(miner.rate.to_f64(), &expected["pass_rate"], &name);
            assert_near(
                miner.completeness(found.existing_tasks).to_f64(),
                &expected["completeness"],
                &name,
            );
            let rates = object(&expected["per_validator_rate"]);
            assert_eq!(found.tallies_of(miner).count(), rates.len(), "{name}: {}", miner.miner);
            for tally in found.tallies_of(miner) {
                assert_near(tally.rate().to_f64(), &rates[&tally.validator.to_string()], &name);
            }
        }

        let params = ConsensusParams {
            completeness: fraction(&case["completeness_threshold"]),
            dominance: fraction(&case["dominance_threshold"]),
            ..ConsensusParams::default()
        };
        // These cases know no metagraph: every miner is registered, one without a commit block is
        // `None`.
        let blocks = object(&case["commit_blocks"]);
        let commit_block = |miner: &Hotkey| blocks.get(&miner.to_string()).and_then(block);
        let registered =
            found.miners.iter().map(|miner| (miner.miner, commit_block(&miner.miner))).collect();
        let ranking =
            rank(&params, &found, &registered, number(&case["min_distinct_validators"]) as usize);
        assert_eq!(
            ranking.winner().map(|winner| winner.to_string()).as_deref(),
            case["winner"].as_str(),
            "{name}"
        );
        assert_ranks(&ranking.ranks, &case["ranks"], &name);
    }
}

/// The producer and task of `{bucket's validator}/{task}/evaluation_results/{validator}.json`;
/// `None` for a file that lies where no reader looks.
pub(crate) fn file_id(key: &str) -> Option<FileId> {
    let [bucket, task, "evaluation_results", name] = key.split('/').collect::<Vec<_>>()[..] else {
        return None;
    };
    let id = FileId { task_id: task.parse().ok()?, producer: bucket.parse().ok()? };
    (name.strip_suffix(".json") == Some(bucket)).then_some(id)
}

#[test]
fn whole_epochs_are_pythons() {
    let network = Network { genesis: Digest::default(), netuid: Netuid(99) };
    let params = ConsensusParams::default();
    let (mut counted, mut refused) = (0, 0);
    for (index, case) in cases("consensus.json").iter().enumerate() {
        let name = format!("case {index}");
        let validators = hotkeys(&case["validators"]);
        let history = AllowlistHistory::since_genesis(
            Allowlist::new(number(&case["interval"]), validators).unwrap(),
        );
        let mut files = Vec::new();
        for (key, content) in object(&case["files"]) {
            let Some(id) = file_id(key) else { continue };
            let expected = Expected { id, network, params: params.digest(), accept_v1: true };
            match verify(text(content).as_bytes(), &expected) {
                Ok(file) => files.push(TaskVerdicts::from(&file)),
                Err(reason) => {
                    refused += 1;
                    println!("{name}: {key} refused: {reason}");
                }
            }
        }
        counted += files.len();
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
        let (outcome, decision) = uncertified_epoch(&params, &history, &snapshot, &files);
        let window: Vec<_> = outcome.window.iter().map(|file| file.task_id).collect();
        assert_eq!(window, tasks(&case["window"]), "{name}");
        assert_eq!(outcome.active_validators, hotkeys(&case["active_validators"]), "{name}");
        assert_ranks(&outcome.ranks, &case["ranks"], &name);
        let winner = outcome.winner.map(|winner| winner.hotkey.to_string());
        assert_eq!(winner.as_deref(), case["winner_hotkey"].as_str(), "{name}");
        let weights = decision.weights().unwrap();
        let [entry] = weights.entries[..] else { panic!("{name}: {weights:?}") };
        assert_eq!(u64::from(entry.uid.0), number(&case["winner_uid"]), "{name}");
        assert_eq!(entry.share, u16::MAX, "{name}");
    }
    println!("{counted} files counted, {refused} refused");
    assert!(counted > 0, "not one file was accepted");
}
