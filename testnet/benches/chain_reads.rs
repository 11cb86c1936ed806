//! What a validator reads of the chain at each epoch: metagraph and commitments of a full subnet,
//! by production's client from a local chain in this process.
//!
//! The limits are one round trip and 50 ms. Revealed commitments are asked for at the same time, by
//! the hotkeys of the read before. Round trips are counted by a proxy that holds each answer back
//! for longer than it takes to send all that is sent at once; times are taken without it. The
//! client sends only so many requests a second, so reads are given room.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "benchmark code")]

#[path = "../tests/testnet/chains.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod chains;

use std::time::{Duration, Instant};

use chains::{Key, NETUID};
use criterion::{Criterion, criterion_group, criterion_main};
use leoma_chain::{ChainClient, Head, Metagraph};
use leoma_protocol::Netuid;
use leoma_testnet::chain::{
    ChainConfig, ChainHandle, FaultProxy, GenesisConfig, beacon_public_key,
};
use node_subtensor_runtime::drand::{beacon, timelock};
use subxt::dynamic::{self, Value};
use tokio::runtime::Runtime;

/// A full subnet.
const NEURONS: usize = 256;
/// Rounds from the first block to the one that opens timelocked commitments: ten blocks, all commit
/// before.
const AHEAD: u64 = 40;
/// Transactions between two blocks.
const BATCH: usize = 64;
/// How long the proxy holds an answer back.
const DELAY: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_millis(50);
/// The client sends eight requests a second, and a read takes two.
const ROOM: Duration = Duration::from_millis(300);
/// What a miner commits: a model's repository and revision.
const TEXT: &str =
    r#"{"model":"someone/a-video-model","revision":"0123456789abcdef0123456789abcdef01234567"}"#;

/// A chain on which every neuron has committed.
struct Subnet {
    chain: ChainHandle,
    _dir: tempfile::TempDir,
}

impl Subnet {
    /// With `timelocked`, commitments are encrypted and the chain has revealed them since.
    async fn start(timelocked: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..NEURONS).map(|neuron| format!("neuron{neuron}")).collect();
        let neurons: Vec<_> =
            names.iter().enumerate().map(|(uid, name)| (&name[..], u64::from(uid < 64))).collect();
        let genesis =
            GenesisConfig { subnets: vec![chains::subnet(360, &neurons)], ..chains::genesis() };
        let config = ChainConfig { genesis: Some(genesis), ..chains::on_demand(dir.path()) };
        let (chain, client, rpc) = chains::start(config).await;
        chain.controls().step(1).await.unwrap();
        let round = beacon::round_at(chains::timestamp(&client, 1).await) + AHEAD;
        for names in names.chunks(BATCH) {
            for name in names {
                let call = commitment(timelocked.then_some(round));
                let transaction = chains::signed(&client, &Key::new(name), &call, 0, 64).await;
                chains::submit(&rpc, &transaction).await.unwrap();
            }
            chain.controls().step(1).await.unwrap();
        }
        chain.controls().step(20).await.unwrap();
        Self { chain, _dir: dir }
    }
}

/// Commits to the text, sealed to a round or bare.
fn commitment(round: Option<u64>) -> impl subxt::tx::Payload {
    let field = match round {
        Some(round) => {
            let sealed = timelock::seal(TEXT.as_bytes(), round, &beacon_public_key()).unwrap();
            let fields = [
                ("encrypted", Value::from_bytes(sealed)),
                ("reveal_round", Value::u128(round.into())),
            ];
            Value::named_variant("TimelockEncrypted", fields)
        }
        None => Value::unnamed_variant(format!("Raw{}", TEXT.len()), [Value::from_bytes(TEXT)]),
    };
    let info = Value::named_composite([("fields", Value::unnamed_composite([field]))]);
    dynamic::tx("Commitments", "set_commitment", (NETUID, info))
}

/// Production's client, which has read the subnet once.
async fn connect(url: &str) -> (ChainClient, Head) {
    let client = ChainClient::connect(url, Netuid(NETUID)).await.unwrap();
    let head = client.head().await.unwrap();
    read(&client, head).await;
    (client, head)
}

async fn read(client: &ChainClient, head: Head) -> Metagraph {
    let metagraph = client.metagraph(head).await.unwrap();
    assert_eq!((metagraph.neurons.len(), metagraph.commitments.len()), (NEURONS, NEURONS));
    assert!(metagraph.commitments.values().all(|commitment| commitment.text == TEXT));
    metagraph
}

/// Counts round trips, and fails if there is one more than expected.
async fn count(name: &str, subnet: &Subnet, expected: u64) {
    let proxy = FaultProxy::start(&subnet.chain.ws_url).await.unwrap();
    let (client, head) = connect(proxy.url()).await;
    proxy.delay(DELAY);
    let before = proxy.traffic();
    let started = Instant::now();
    read(&client, head).await;
    let (took, after) = (started.elapsed(), proxy.traffic());
    let (requests, round_trips) =
        (after.requests - before.requests, after.round_trips - before.round_trips);
    println!(
        "{name}: {requests} requests in {round_trips} round trips; \
         {took:.0?} where each answer is {DELAY:?} late"
    );
    assert_eq!(round_trips, expected, "round trips of {name}");
}

fn reads(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("metagraph_and_commitments");
    group.sample_size(10);
    for (name, timelocked, round_trips) in [("plain", false, 1), ("revealed", true, 1)] {
        let subnet = runtime.block_on(Subnet::start(timelocked));
        runtime.block_on(count(name, &subnet, round_trips));
        let (client, head) = runtime.block_on(connect(&subnet.chain.ws_url));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|reads| {
                runtime.block_on(async {
                    let mut took = Duration::ZERO;
                    for _ in 0..reads {
                        took += timed_read(&client, head).await;
                    }
                    took
                })
            });
        });
        if !timelocked {
            runtime.block_on(hold_to_limit(&client, head));
        }
        runtime.block_on(subnet.chain.stop()).unwrap();
    }
    group.finish();
}

/// How long one read takes that does not wait for its turn.
async fn timed_read(client: &ChainClient, head: Head) -> Duration {
    tokio::time::sleep(ROOM).await;
    let started = Instant::now();
    read(client, head).await;
    started.elapsed()
}

/// The median of some reads must be within the limit; the slowest tells more of what else the
/// machine does.
async fn hold_to_limit(client: &ChainClient, head: Head) {
    let mut times = Vec::new();
    for _ in 0..101 {
        times.push(timed_read(client, head).await);
    }
    times.sort_unstable();
    let (median, slowest) = (times[50], times[100]);
    println!("of 101: median {median:.1?}, slowest {slowest:.1?}; limit {LIMIT:?}");
    // Not of a build that is not optimised.
    assert!(median < LIMIT || cfg!(debug_assertions), "slower than the limit");
}

criterion_group!(benches, reads);
criterion_main!(benches);
