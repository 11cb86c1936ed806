//! A validator that joins after the allowlist changed, or was away meanwhile, learns under which
//! lists tasks were made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leoma::state::State;
use leoma::subnet::allowlists::{PublishError, publish};
use leoma::subnet::{AllowlistsAt, SubnetReader};
use leoma_chain::ChainClient;
use leoma_protocol::{BlockNumber, HotkeySigner, MemoryGuard, Netuid};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{BucketConfig, Key, Polled, Secret, SourceBucket};
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, FaultProxy, GenesisConfig, NeuronGenesis, SubnetGenesis,
};
use node_subtensor_runtime::AccountId;
use sp_core::{Pair as _, sr25519};
use tokio_util::sync::CancellationToken;

const NETUID: u16 = 7;
const BLOCK_TIME: Duration = Duration::from_millis(100);
const LOOKBACK: u64 = 30_000;
/// Far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn signer(name: &str) -> HotkeySigner {
    let pair = sr25519::Pair::from_string(&format!("//{name}"), None).unwrap();
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

fn allowlist(names: &[&str]) -> Allowlist {
    Allowlist::new(5, names.iter().map(|name| signer(name).hotkey())).unwrap()
}

async fn start_chain(folder: &std::path::Path, block_time: Duration) -> (ChainHandle, ChainClient) {
    let account = |name: &str| (*signer(name).hotkey().as_bytes()).into();
    let (hotkey, coldkey) = (account("owner"), account("coldkey"));
    let subnet = SubnetGenesis::new(
        NETUID,
        account("coldkey"),
        account("owner"),
        360,
        vec![NeuronGenesis { hotkey, coldkey, stake: 0, validator_permit: false }],
    );
    let genesis = GenesisConfig {
        name: "test".to_owned(),
        subnets: vec![subnet],
        ..GenesisConfig::default()
    };
    let config = ChainConfig { block_time, ..ChainConfig::new(folder, genesis) };
    let node = chain::spawn(config).await.unwrap();
    let client = ChainClient::connect(&node.ws_url, Netuid(NETUID)).await.unwrap();
    (node, client)
}

/// The history that a validator with an empty state reads from chain and bucket.
async fn joined(chain: &ChainClient, source: &SourceBucket) -> Arc<AllowlistHistory> {
    let state = State::in_memory(chain.network()).unwrap();
    returned(state, |history| !history.entries().is_empty(), chain, source).await
}

/// The same with an earlier state, once `done` accepts its lists.
async fn returned(
    state: State,
    done: impl Fn(&AllowlistHistory) -> bool,
    chain: &ChainClient,
    source: &SourceBucket,
) -> Arc<AllowlistHistory> {
    let (reader, history) = SubnetReader::new(chain.clone(), source.clone(), state).unwrap();
    let stop = CancellationToken::new();
    let heads = chain.follow_heads(stop.clone()).await.unwrap();
    let first = chain.metagraph(chain.head().await.unwrap()).await.unwrap();
    let subnet = reader.start(first, history, heads, stop.clone());
    let mut allowlists = subnet.allowlists;
    let known = async { Arc::clone(&*allowlists.wait_for(|history| done(history)).await.unwrap()) };
    let history = tokio::time::timeout(PATIENCE, known).await.expect("an allowlist");
    stop.cancel();
    history
}

fn lists(history: &AllowlistHistory) -> Vec<(BlockNumber, Allowlist)> {
    history.entries().iter().map(|entry| (entry.committed_at, entry.allowlist.clone())).collect()
}

/// Blocks until the next commitment falls into another task.
async fn pass_a_task(chain: &ChainClient) {
    let from = chain.head().await.unwrap().number.0;
    while chain.head().await.unwrap().number.0 < from + 6 {
        tokio::time::sleep(BLOCK_TIME).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_late_knows_the_lists_that_others_saw_on_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (_node, chain) = start_chain(folder.path(), BLOCK_TIME).await;
    let empty = || Secret::new("");
    let config = BucketConfig {
        endpoint: "memory:".into(),
        bucket: "source".into(),
        region: "auto".into(),
        access_key: empty(),
        secret_key: empty(),
    };
    let source = SourceBucket::new(config.open().unwrap());
    let owner = signer("owner");
    let stranger = publish(&source, &chain, &signer("a"), &allowlist(&["a"]), LOOKBACK).await;
    assert!(matches!(stranger, Err(PublishError::NotOwner { .. })), "{stranger:?}");

    let mut seen = Vec::new();
    let [traveller, other_traveller] = [(); 2].map(|()| State::in_memory(chain.network()).unwrap());
    for names in [&["a", "b", "c"][..], &["a", "b"], &["b", "d"]] {
        publish(&source, &chain, &owner, &allowlist(names), LOOKBACK).await.unwrap();
        // Who was there all the time sees each of them as the newest.
        seen.push(lists(&*joined(&chain, &source).await).pop().unwrap());
        if seen.len() == 1 {
            for traveller in [&traveller, &other_traveller] {
                let history =
                    returned(traveller.clone(), |now| !now.entries().is_empty(), &chain, &source)
                        .await;
                assert_eq!(lists(&history), seen);
            }
        }
        pass_a_task(&chain).await;
    }
    let late = joined(&chain, &source).await;
    assert_eq!(lists(&late), seen);
    assert_eq!(seen.len(), 3);
    assert_eq!(
        lists(&*returned(traveller, |now| now.entries().len() == 3, &chain, &source).await),
        seen,
        "the middle one was missed"
    );
    let of_first_task = late.of_task(late.entries()[0].from_task).unwrap();
    assert_eq!(of_first_task.allowlist, allowlist(&["a", "b", "c"]));

    // Without the middle list nothing is known of the time before the newest: a gap would be filled
    // wrongly.
    let middle = Key::allowlist_version(&allowlist(&["a", "b"]).digest());
    source.bucket().replace(&middle, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(lists(&*joined(&chain, &source).await), seen[2..]);
    // The same holds for one that saw the first list and was away while the middle one was in
    // force; its epochs use the same history.
    let knows_newest = |now: &AllowlistHistory| lists(now).last() == seen.last();
    let (_, only_first) =
        SubnetReader::new(chain.clone(), source.clone(), other_traveller.clone()).unwrap();
    assert_eq!(lists(&only_first), seen[..1]);
    let at = AllowlistsAt { source: source.clone(), network: chain.network(), known_of: None };
    let now = chain.metagraph(chain.head().await.unwrap()).await.unwrap();
    assert_eq!(lists(&at.read(&now, &only_first).await.unwrap()), seen[2..]);
    let came_back = returned(other_traveller, knows_newest, &chain, &source).await;
    assert_eq!(lists(&came_back), seen[2..]);
    // A record that somebody else wrote, or of another time, changes nothing either.
    let record = source.allowlist_record().await.unwrap().unwrap();
    for bytes in [Bytes::from_static(b"not a record"), Bytes::from(forge(&record))] {
        source.write_allowlist_record(bytes).await.unwrap();
        assert_eq!(lists(&*joined(&chain, &source).await), seen[2..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_owners_space_is_used_up_the_block_is_named_from_which_there_is_some_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_node, chain) = start_chain(folder.path(), BLOCK_TIME).await;
    let source = SourceBucket::new(leoma_storage::Bucket::in_memory("source"));
    let (owner, list) = (signer("owner"), allowlist(&["a"]));
    // An epoch may begin between the last commitment that fits and the list.
    let error = loop {
        while chain.set_commitment(&owner, &"x".repeat(512)).await.is_ok() {}
        if let Err(error) = publish(&source, &chain, &owner, &list, LOOKBACK).await {
            break error;
        }
    };
    let PublishError::NoSpace { from, blocks } = error else { panic!("{error}") };
    assert!((1..=361).contains(&blocks), "{blocks}");
    let text = PublishError::NoSpace { from, blocks }.to_string();
    assert!(text.contains(&format!("from block {from} on")), "{text}");
    let in_bucket = source.allowlist(None).await.unwrap();
    assert!(!matches!(in_bucket, Polled::Changed(_)), "the bucket is not ahead of the chain");

    let stop = CancellationToken::new();
    let mut heads = chain.follow_heads(stop.clone()).await.unwrap();
    heads.wait_for(|head| head.number >= from).await.unwrap();
    publish(&source, &chain, &owner, &list, LOOKBACK).await.unwrap();
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn following_a_subnet_takes_few_requests() {
    /// Thirteen minutes of the live chain, and not a multiple of the blocks between two reads: none
    /// of these is under way at the end.
    const BLOCKS: u64 = 65;
    /// The live chain allows three requests a minute.
    const ALLOWED: u64 = 39;
    /// Slow enough that reading every few blocks is more than what is allowed: no read comes sooner
    /// than two seconds after another, however fast blocks are.
    const SECOND: Duration = Duration::from_secs(1);
    /// How much longer a block of the live chain takes.
    const SLOWER: u64 = 12;
    let folder = tempfile::tempdir().unwrap();
    let (node, chain) = start_chain(folder.path(), SECOND).await;
    let source = SourceBucket::new(leoma_storage::Bucket::in_memory("source"));
    publish(&source, &chain, &signer("owner"), &allowlist(&["a"]), LOOKBACK).await.unwrap();
    let proxy = FaultProxy::start(&node.ws_url).await.unwrap();
    let chain = ChainClient::connect(proxy.url(), Netuid(NETUID)).await.unwrap();
    let state = State::in_memory(chain.network()).unwrap();
    let (reader, history) = SubnetReader::new(chain.clone(), source, state).unwrap();
    let stop = CancellationToken::new();
    let mut heads = chain.follow_heads(stop.clone()).await.unwrap();
    let first = chain.metagraph(chain.head().await.unwrap()).await.unwrap();
    // What one read takes, of another block than the last.
    let head = *heads.wait_for(|head| head.number > first.block).await.unwrap();
    let before = proxy.traffic().requests;
    chain.metagraph(head).await.unwrap();
    let of_a_read = proxy.traffic().requests - before;
    let mut subnet = reader.start(first, history, heads.clone(), stop.clone());
    subnet.allowlists.wait_for(|history| !history.entries().is_empty()).await.unwrap();
    let mut metagraphs = subnet.metagraph.clone();
    metagraphs.mark_unchanged();
    let reads = tokio::spawn(async move {
        let mut reads = 0_u64;
        while metagraphs.changed().await.is_ok() {
            reads += 1;
        }
        reads
    });
    let (asked, from) = (proxy.traffic().requests, heads.borrow().number.0);
    heads.wait_for(|head| head.number.0 >= from + BLOCKS).await.unwrap();
    let requests = proxy.traffic().requests - asked;
    assert!(subnet.metagraph.borrow().block.0 > from, "it is read all the same");
    stop.cancel();
    let reads = reads.await.unwrap();
    // What is not part of a read may depend on time: there is more of it between slower blocks.
    let others = requests.saturating_sub(reads * of_a_read);
    let live = requests - others + others * SLOWER;
    assert!(
        (1..=ALLOWED).contains(&live),
        "{requests} requests, {reads} reads in {BLOCKS} blocks: {live} on the live chain"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a16_a_subnet_of_sixteen_thousand_neurons_is_read() {
    const NEURONS: u32 = 16_000;
    let folder = tempfile::tempdir().unwrap();
    // Deriving a key takes some milliseconds, so one coldkey owns them all.
    let [coldkey, owner] = ["coldkey", "owner"]
        .map(|name| -> AccountId { (*signer(name).hotkey().as_bytes()).into() });
    let neuron = |number: u32| {
        let mut hotkey = [0xa5; 32];
        hotkey[..4].copy_from_slice(&number.to_le_bytes());
        let (hotkey, coldkey) = (hotkey.into(), coldkey.clone());
        NeuronGenesis { hotkey, coldkey, stake: 0, validator_permit: false }
    };
    let neurons = (0..NEURONS).map(neuron).collect();
    let mut subnet = SubnetGenesis::new(NETUID, coldkey.clone(), owner, 360, neurons);
    subnet.max_allowed_uids = u16::try_from(NEURONS).unwrap();
    let genesis = GenesisConfig {
        name: "test".to_owned(),
        subnets: vec![subnet],
        ..GenesisConfig::default()
    };
    let block_time = Duration::from_secs(5);
    let config = ChainConfig { block_time, ..ChainConfig::new(folder.path(), genesis) };
    let node = chain::spawn(config).await.unwrap();
    let client = ChainClient::connect(&node.ws_url, Netuid(NETUID)).await.unwrap();
    for _ in 0..2 {
        let metagraph = client.metagraph(client.head().await.unwrap()).await.unwrap();
        assert_eq!(metagraph.neurons.len(), NEURONS as usize);
        assert_eq!(metagraph.neurons[15_999].uid.0, 15_999);
    }
}

/// The record with an earlier block for its first list.
fn forge(record: &[u8]) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(record).unwrap();
    value["past"][0]["committed_at"] = 1.into();
    value.to_string().into_bytes()
}
