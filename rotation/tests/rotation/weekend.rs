//! A market that closes: forecasts rank miners while the lookback holds, then everything is burned.

use leoma_protocol::verdict::Observation;
use leoma_protocol::{BlockNumber, Digest, FileId, Nano, TaskId};
use leoma_rotation::{
    ChainLimits, EpochInputs, MinerObservations, PolicyRecord, Reason, RecordEpoch,
    TaskObservations, record_epoch, truths,
};

use crate::subnet::{INTERVAL, OWNER, Subnet, hotkey, miner};

const OPEN: ChainLimits = ChainLimits { max_weight: u16::MAX, min_weights: 1 };
/// The tasks of three days of trading, the last of which was on Friday.
const TASKS: std::ops::Range<u64> = 1000..1054;
/// Tasks from Friday's last to Monday's first: 66 hours of twelve seconds a block.
const WEEKEND: u64 = 198;
/// Miners: one that knows the price, one that always says the same, one that is silent.
const MINERS: [u8; 3] = [100, 101, 102];

fn price(moment: u32) -> Nano {
    Nano(i64::from(5000 + moment / 300 * 7 % 13) * Nano::PARTS)
}

fn observation(pool: &str, values: Vec<Option<Nano>>, begin: u32) -> Vec<Observation> {
    let (pool, moment) = (pool.parse().unwrap(), "t0".parse().unwrap());
    vec![Observation { pool, values, counts: vec![(moment, begin)] }]
}

/// A file of a task of twenty minutes: forecasts from its begin on, and the prices before.
fn file(id: FileId) -> TaskObservations {
    let begin = id.task_id.0 as u32 * 1200;
    let moments = || (1..=6).map(|cell| begin + 300 * cell);
    let forecast = |seed: u8| match seed {
        100 => moments().map(|moment| Some(price(moment))).collect(),
        101 => vec![Some(Nano(5006 * Nano::PARTS)); 6],
        _ => vec![None; 6],
    };
    let entry = |seed: u8| MinerObservations {
        miner: hotkey(seed),
        passed: seed != 102,
        observations: observation("forecast", forecast(seed), begin),
    };
    let first = begin - 63 * 300;
    let closes = (first..=begin).step_by(300).map(|moment| Some(price(moment))).collect();
    let reading = MinerObservations {
        miner: id.producer,
        passed: false,
        observations: observation("close", closes, first),
    };
    let start = BlockNumber(id.task_id.0 * INTERVAL);
    let signed_at = BlockNumber(start.0 + 20);
    let entries = MINERS.map(entry).into_iter().chain([reading]).collect();
    let digest = Digest::of(&id.task_id.0.to_le_bytes());
    TaskObservations::new(id, digest, start, signed_at, entries)
}

/// Four validators that took turns in the tasks of three days.
fn traded(record: &PolicyRecord) -> (Subnet, Vec<TaskObservations>) {
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.params = record.params();
    subnet.snapshot.miners = MINERS.map(|seed| miner(seed, seed.into())).to_vec();
    let id = |task| {
        let schedule = subnet.history.schedule_of(TaskId(task), &subnet.params).unwrap();
        let producer = schedule.primary(TaskId(task)).unwrap();
        FileId { task_id: TaskId(task), producer }
    };
    let files = TASKS.map(|task| file(id(task))).collect();
    (subnet, files)
}

#[test]
fn the_prices_that_forecasts_are_ranked_against_are_those_that_enough_validators_read() {
    let record = include_str!("../../policies/oracle.toml");
    let record = PolicyRecord::parse(record).unwrap();
    let (_, mut files) = traded(&record);
    // One of four lies in each of its files.
    let liar = files[0].id.producer;
    for file in files.iter_mut().filter(|file| file.id.producer == liar) {
        let mut entries = file.entries().to_vec();
        let own = entries.iter_mut().find(|entry| entry.miner == liar).unwrap();
        for value in own.observations[0].values.iter_mut().flatten() {
            value.0 += Nano::PARTS;
        }
        let (id, digest) = (file.id, file.digest);
        *file = TaskObservations::new(id, digest, file.start, file.signed_at, entries);
    }
    let all: Vec<&TaskObservations> = files.iter().collect();
    let truths = truths(&record, &all);
    let [(pool, closes)] = truths.iter().collect::<Vec<_>>()[..] else { panic!("{truths:?}") };
    assert_eq!(pool.as_str(), "forecast");
    assert!(closes.iter().all(|(moment, close)| *close == price(*moment as u32)), "{closes:?}");
    // The newest moments were read by too few: the last task's begin by one alone.
    let newest = (TASKS.end - 1) * 1200;
    assert!(closes.contains_key(&(newest - 2400)) && !closes.contains_key(&(newest - 1200)));
}

/// The epoch so many tasks after the last one with a file has settled.
fn epoch_after(
    tasks: u64,
    record: &PolicyRecord,
    subnet: &mut Subnet,
    files: &[TaskObservations],
) -> RecordEpoch {
    subnet.snapshot.block = BlockNumber((TASKS.end + 1 + tasks) * INTERVAL);
    let held: Vec<FileId> = files.iter().map(|file| file.id).collect();
    for validator in subnet.listed() {
        subnet.witness(validator, &held);
    }
    let inputs = EpochInputs {
        params: &subnet.params,
        history: &subnet.history,
        snapshot: &subnet.snapshot,
        files,
        certificates: &files.iter().map(|file| (file.id, file.digest)).collect(),
    };
    record_epoch(&inputs, record, OPEN)
}

#[test]
fn over_a_weekend_the_last_weights_stay_and_after_the_lookback_all_is_burned() {
    let record = include_str!("../../policies/oracle.toml");
    let record = PolicyRecord::parse(record).unwrap();
    let (mut subnet, files) = traded(&record);
    let friday = epoch_after(0, &record, &mut subnet, &files);
    let weights = friday.decision.weights().unwrap().entries.clone();
    assert_eq!(friday.decision.reason(), Reason::Shared);
    let shares: Vec<_> = weights.iter().map(|entry| (entry.hotkey, entry.share)).collect();
    let [(best, 65535), (second, share)] = shares[..] else { panic!("{shares:?}") };
    assert_eq!((best, second), (hotkey(100), hotkey(101)));
    // e^-0.05 of the best, to within the rounding of sixteen bits; silence earns nothing.
    assert!((62_330..=62_350).contains(&share), "{share}");

    for tasks in (0..=WEEKEND).step_by(6) {
        let later = epoch_after(tasks, &record, &mut subnet, &files);
        assert_eq!(later.decision.weights().unwrap().entries, weights, "{tasks} tasks later");
        assert!(later.outcome.missing.is_empty());
    }
    // Monday did not come either. The oldest tasks leave the lookback first.
    let fewer = epoch_after(270, &record, &mut subnet, &files);
    assert!(fewer.outcome.window.len() < files.len() && !fewer.outcome.window.is_empty());
    assert_eq!(fewer.decision.reason(), Reason::Shared);
    // 300 tasks are 30 000 blocks.
    let nothing = epoch_after(300, &record, &mut subnet, &files);
    assert_eq!(nothing.decision.reason(), Reason::NoneEligible);
    let burned = &nothing.decision.weights().unwrap().entries;
    assert_eq!((burned.len(), burned[0].uid, burned[0].share), (1, OWNER.uid, 65535));
}
