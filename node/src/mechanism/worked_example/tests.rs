//! One try at a task of the example, and what its record pays.

use std::net::SocketAddr;
use std::sync::Arc;

use leoma_chain::Head;
use leoma_protocol::synapse::Refusal;
use leoma_protocol::{BlockNumber, FileId, HotkeySigner, MemoryGuard, Netuid, Uid};
use leoma_rotation::{
    Allowlist, ChainLimits, EpochSnapshot, Miner, MinerObservations, PolicyRecord,
    TaskObservations, WeightEntry, policy_outcome,
};
use leoma_synapse::{Axon, AxonLimits, Call, Forward};
use sp_core::{Pair as _, sr25519};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::mechanism::asked::dendrite;
use crate::mechanism::asked::fixture::FixedSubnet;
use crate::outbound::Reach;

const TASK: TaskId = TaskId(7);
const START: BlockNumber = BlockNumber(700);

fn signer(seed: u8) -> HotkeySigner {
    let pair = sr25519::Pair::from_seed(&[seed; 32]);
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

/// Adds up, and then something to it.
struct Adds(u64);

#[async_trait::async_trait]
impl Forward for Adds {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        let numbers = call.fields["numbers"].as_array().unwrap_or_default();
        let sum: u64 = numbers.iter().filter_map(Value::as_u64).sum();
        Ok(Fields::from([("sum", Value::from(sum + self.0))]))
    }
}

/// A miner with an axon on loopback; without what it adds, nobody is there.
async fn miner(seed: u8, adds: Option<u64>) -> (Hotkey, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    if let Some(adds) = adds {
        let axon = Axon::new(signer(seed), AxonLimits::default(), |_| Ok(()));
        tokio::spawn(axon.route(CLASS, Adds(adds)).serve(listener, CancellationToken::new()));
    }
    (signer(seed).hotkey(), address)
}

fn observed(entry: &VerdictEntry) -> (&str, &[Option<Nano>]) {
    let [observation] = &entry.observations[..] else { panic!("one observation: {entry:?}") };
    (observation.pool.as_str(), &observation.values[..])
}

#[tokio::test]
async fn a_right_sum_is_worth_one_a_wrong_one_nothing_and_silence_is_a_null() {
    let mut served = Vec::new();
    for (seed, adds) in [(2, Some(0)), (3, Some(1)), (4, None)] {
        served.push(miner(seed, adds).await);
    }
    let rules = AskRules { at_a_time: 8, pause: Duration::ZERO, reply_bytes: 16 << 10 };
    let dendrite = dendrite(Reach::new(true), signer(1)).unwrap();
    let seed = Seed { block: START, hash: Digest::of(b"the task's first block") };
    let validators = Allowlist::new(100, [signer(1).hotkey()]).unwrap();
    let admission = FixedSubnet::new(seed.hash, served).admission(validators);
    let mut sums = Sums { dendrite, admission, rules };
    let (_heads, heads) = watch::channel(Head { number: START, hash: seed.hash });
    let spool = tempfile::tempdir().unwrap();
    let folder = TaskFolder::new(spool.path(), TASK);
    let context = TurnContext {
        task_id: TASK,
        seed,
        network: Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) },
        validator: signer(1).hotkey(),
        heads: &heads,
        ask_until: BlockNumber(760),
        folder: &folder,
    };
    let scored = sums.turn(context).await.unwrap().expect("there always is something to ask");

    let of = |seed: u8| {
        let hotkey = signer(seed).hotkey();
        scored.entries.iter().find(|entry| entry.hotkey == hotkey).unwrap()
    };
    assert_eq!(scored.entries.len(), 3);
    let sum: u64 = drawn(seed).iter().sum();
    for (seed, status, value, kept) in [
        (2, EntryStatus::Passed, Some(Nano::ONE), Some(sum)),
        (3, EntryStatus::Failed, Some(Nano::ZERO), Some(sum + 1)),
        (4, EntryStatus::NoResponse, None, None),
    ] {
        let entry = of(seed);
        assert_eq!((&entry.status, entry.passed), (&status, seed == 2));
        assert_eq!(observed(entry), (POOL, &[value][..]));
        // What is published beside the entry has the hash that the entry names.
        let file = folder.read_answer(entry.hotkey, Format::Json).ok();
        assert_eq!(file, kept.map(|sum| sum.to_string().into_bytes()));
        assert_eq!(entry.video_sha256, file.map(|file| Digest::of(&file)));
    }
    let metadata = std::fs::read(folder.path().join("metadata.json")).unwrap();
    assert_eq!(scored.metadata_sha256, Digest::of(&metadata));
}

#[test]
fn its_record_pays_whoever_adds_up_and_nobody_else() {
    let record = PolicyRecord::parse(RECORD).unwrap();
    let pool: Name = POOL.parse().unwrap();
    let [right, wrong, silent] = [2, 3, 4].map(|seed| signer(seed).hotkey());
    let entry = |(miner, value): (Hotkey, Option<Nano>)| {
        let observations = vec![Observation { pool, values: vec![value], counts: Vec::new() }];
        MinerObservations { miner, passed: value == Some(Nano::ONE), observations }
    };
    let observed = [(right, Some(Nano::ONE)), (wrong, Some(Nano::ZERO)), (silent, None)];
    let id = FileId { task_id: TASK, producer: signer(1).hotkey() };
    let entries = observed.map(entry).to_vec();
    let file = TaskObservations::new(id, Digest::of(b"file"), START, START, entries);
    let neuron =
        |(hotkey, uid)| Miner { hotkey, uid: Uid(uid), commit_block: Some(BlockNumber(1)) };
    let snapshot = EpochSnapshot {
        block: BlockNumber(1080),
        miners: [(right, 2), (wrong, 3), (silent, 4)].map(neuron).to_vec(),
        owner: None,
        witnesses: Default::default(),
    };
    let outcome = policy_outcome(&record, &snapshot, &[&file]);
    assert_eq!(outcome.pools[0].scores.len(), 3, "all are observed: {outcome:?}");
    let weights = outcome.weights(&snapshot, ChainLimits::default()).unwrap();
    let all = WeightEntry { hotkey: right, uid: Uid(2), share: u16::MAX };
    assert_eq!(weights.entries, [all]);
}
