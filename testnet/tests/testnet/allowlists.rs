//! A validator that joins after the allowlist changed, or was away meanwhile, learns under which
//! lists tasks were made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leoma::state::State;
use leoma::subnet::SubnetReader;
use leoma::subnet::allowlists::{PublishError, publish};
use leoma_chain::ChainClient;
use leoma_protocol::{BlockNumber, HotkeySigner, MemoryGuard, Netuid};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{BucketConfig, Key, Secret, SourceBucket};
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, GenesisConfig, NeuronGenesis, SubnetGenesis,
};
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

async fn start_chain(folder: &std::path::Path) -> (ChainHandle, ChainClient) {
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
    let config = ChainConfig { block_time: BLOCK_TIME, ..ChainConfig::new(folder, genesis) };
    let node = chain::spawn(config).await.unwrap();
    let client = ChainClient::connect(&node.ws_url, Netuid(NETUID)).await.unwrap();
    (node, client)
}

/// What a validator with an empty state makes of chain and bucket.
async fn joined(chain: &ChainClient, source: &SourceBucket) -> Arc<AllowlistHistory> {
    returned(State::in_memory(chain.network()).unwrap(), 1, chain, source).await
}

/// The same with a state of earlier, once it knows `least` lists.
async fn returned(
    state: State,
    least: usize,
    chain: &ChainClient,
    source: &SourceBucket,
) -> Arc<AllowlistHistory> {
    let (reader, history) = SubnetReader::new(chain.clone(), source.clone(), state).unwrap();
    let stop = CancellationToken::new();
    let heads = chain.follow_heads(stop.clone()).await.unwrap();
    let subnet = reader.start(history, heads, stop.clone()).await.unwrap();
    let mut allowlists = subnet.allowlists;
    let known = async {
        Arc::clone(&*allowlists.wait_for(|history| history.entries().len() >= least).await.unwrap())
    };
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
    let (_node, chain) = start_chain(folder.path()).await;
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
    let traveller = State::in_memory(chain.network()).unwrap();
    for names in [&["a", "b", "c"][..], &["a", "b"], &["b", "d"]] {
        publish(&source, &chain, &owner, &allowlist(names), LOOKBACK).await.unwrap();
        // Who was there all the time sees each of them as the newest.
        seen.push(lists(&*joined(&chain, &source).await).pop().unwrap());
        if seen.len() == 1 {
            assert_eq!(lists(&*returned(traveller.clone(), 1, &chain, &source).await), seen);
        }
        pass_a_task(&chain).await;
    }
    let late = joined(&chain, &source).await;
    assert_eq!(lists(&late), seen);
    assert_eq!(seen.len(), 3);
    assert_eq!(
        lists(&*returned(traveller, 3, &chain, &source).await),
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
    // A record that somebody else wrote, or of another time, changes nothing either.
    let record = source.allowlist_record().await.unwrap().unwrap();
    for bytes in [Bytes::from_static(b"not a record"), Bytes::from(forge(&record))] {
        source.write_allowlist_record(bytes).await.unwrap();
        assert_eq!(lists(&*joined(&chain, &source).await), seen[2..]);
    }
}

/// The record with an earlier block for its first list.
fn forge(record: &[u8]) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(record).unwrap();
    value["past"][0]["committed_at"] = 1.into();
    value.to_string().into_bytes()
}
