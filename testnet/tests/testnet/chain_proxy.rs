//! The faulty endpoint, each fault as a client meets it.

use crate::chains::{
    self, Key, ask, commitment, follow, next_number, number, on_demand, signed, start, submit,
};
use leoma_testnet::chain::{FaultProxy, Traffic};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use subxt::rpcs::{RpcClient, rpc_params};

/// Long enough that a chain beside it would have answered many times.
const SILENCE: Duration = Duration::from_millis(700);

async fn connect(proxy: &FaultProxy) -> RpcClient {
    RpcClient::from_insecure_url(proxy.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_a_client_notices_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, _) = start(on_demand(dir.path())).await;
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let client = chains::Client::from_insecure_url(proxy.url()).await.unwrap();
    let mut blocks = client.stream_blocks().await.unwrap();
    assert_eq!(blocks.next().await.unwrap().unwrap().number(), 0);
    chain.controls().step(2).await.unwrap();
    assert_eq!(blocks.next().await.unwrap().unwrap().number(), 1);
    assert_eq!(proxy.connections(), 1);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_dropped_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, _) = start(on_demand(dir.path())).await;
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let client = connect(&proxy).await;
    ask(&client, "system_name", rpc_params![]).await;
    proxy.drop_connections();
    assert!(client.request::<Value>("system_name", rpc_params![]).await.is_err());
    let client = connect(&proxy).await;
    proxy.refuse();
    assert!(client.request::<Value>("system_name", rpc_params![]).await.is_err());
    assert!(RpcClient::from_insecure_url(proxy.url()).await.is_err());
    proxy.open();
    ask(&connect(&proxy).await, "system_name", rpc_params![]).await;
    // A chain that came back elsewhere is found at the same address.
    let other = tempfile::tempdir().unwrap();
    let (second, _, _) = start(on_demand(other.path())).await;
    chain.stop().await.unwrap();
    proxy.retarget(&second.ws_url);
    ask(&connect(&proxy).await, "system_name", rpc_params![]).await;
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_keeps_the_socket_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, _) = start(on_demand(dir.path())).await;
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let client = connect(&proxy).await;
    let mut heads = follow(&client, "NewHeads").await;
    assert_eq!(next_number(&mut heads).await, 0);
    proxy.silence();
    chain.controls().step(1).await.unwrap();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.request::<Value>("system_name", rpc_params![]).await }
    });
    assert!(tokio::time::timeout(SILENCE, heads.next()).await.is_err(), "no head comes through");
    assert!(
        tokio::time::timeout(SILENCE, RpcClient::from_insecure_url(proxy.url())).await.is_err(),
        "no greeting"
    );
    assert!(!asking.is_finished(), "neither an answer nor an error");
    proxy.open();
    assert!(asking.await.unwrap().is_ok());
    assert_eq!(next_number(&mut heads).await, 1);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_cut_off_and_still_included() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let key = Key::new("miner");
    proxy.cut_submissions(1);
    let cut = connect(&proxy).await;
    let transaction = signed(&client, &key, &commitment("one"), 0, 64).await;
    let error =
        cut.request::<Value>("author_submitExtrinsic", rpc_params![transaction]).await.unwrap_err();
    assert!(
        !matches!(error, subxt::rpcs::Error::User(_)),
        "the chain's answer does not come through: {error:?}"
    );
    assert!(
        cut.request::<Value>("system_name", rpc_params![]).await.is_err(),
        "the connection is closed"
    );
    assert_eq!(proxy.cuts_left(), 0);
    // The connection closed when the transaction was handed on, which may be before the pool has
    // it.
    let pending = async {
        while ask(&rpc, "author_pendingExtrinsics", rpc_params![]).await == json!([]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), pending)
        .await
        .expect("the transaction reaches the pool");
    chain.controls().step(1).await.unwrap();
    let again = connect(&proxy).await;
    assert_eq!(
        ask(&again, "system_accountNextIndex", rpc_params![key.account().to_string()]).await,
        json!(1)
    );
    submit(&again, &signed(&client, &key, &commitment("two"), 1, 64).await).await.unwrap();
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_wrong_about_the_past_only() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(on_demand(dir.path())).await;
    chain.controls().step(5).await.unwrap();
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let liar = connect(&proxy).await;
    proxy.lie_about_past(true);
    let truth = ask(&rpc, "chain_getBlockHash", rpc_params![[0, 1, 4, 5, 6]]).await;
    let lies = ask(&liar, "chain_getBlockHash", rpc_params![[0, 1, 4, 5, 6]]).await;
    for (place, lied) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        assert_eq!(truth[place] != lies[place], lied, "{place}");
    }
    assert_ne!(
        ask(&liar, "chain_getBlockHash", rpc_params![3]).await,
        ask(&rpc, "chain_getBlockHash", rpc_params![3]).await
    );
    assert_eq!(ask(&liar, "chain_getBlockHash", rpc_params![]).await, truth[3]);
    proxy.heal();
    assert_eq!(ask(&liar, "chain_getBlockHash", rpc_params![1]).await, truth[1]);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_endpoint_serves_the_past() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(on_demand(dir.path())).await;
    chain.controls().set_finality_lag(2).await.unwrap();
    chain.controls().step(50).await.unwrap();
    let key = Key::new("miner");
    let client = chains::Client::from_insecure_url(&chain.ws_url).await.unwrap();
    submit(&rpc, &signed(&client, &key, &commitment("model"), 0, 64).await).await.unwrap();
    chain.controls().step(10).await.unwrap();
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    proxy.lag(50);
    let late = connect(&proxy).await;
    assert_eq!(number(&ask(&late, "chain_getHeader", rpc_params![]).await), 10);
    let hash = |number: u32| ask(&rpc, "chain_getBlockHash", rpc_params![number]);
    assert_eq!(ask(&late, "chain_getBlockHash", rpc_params![]).await, hash(10).await);
    assert_eq!(ask(&late, "chain_getFinalizedHead", rpc_params![]).await, hash(8).await);
    assert_eq!(
        ask(&late, "chain_getBlockHash", rpc_params![11]).await,
        json!(null),
        "it knows no later block"
    );
    assert_eq!(ask(&late, "chain_getBlockHash", rpc_params![9]).await, hash(9).await);
    let number_key = "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac";
    assert_eq!(ask(&late, "state_getStorage", rpc_params![number_key]).await, json!("0x0a000000"));
    let address = key.account().to_string();
    assert_eq!(ask(&late, "system_accountNextIndex", rpc_params![address.clone()]).await, json!(0));
    assert_eq!(ask(&rpc, "system_accountNextIndex", rpc_params![address]).await, json!(1));
    let mut new = follow(&late, "NewHeads").await;
    let mut finalized = follow(&late, "FinalizedHeads").await;
    assert_eq!((next_number(&mut new).await, next_number(&mut finalized).await), (10, 8));
    chain.controls().step(1).await.unwrap();
    assert_eq!((next_number(&mut new).await, next_number(&mut finalized).await), (11, 9));
    // Production's client believes it.
    let client = chains::Client::from_insecure_url(proxy.url()).await.unwrap();
    assert_eq!(client.at_current_block().await.unwrap().block_number(), 9);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_the_round_trips_they_take_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, _) = start(on_demand(dir.path())).await;
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let client = connect(&proxy).await;
    assert_eq!(proxy.traffic(), Traffic::default());
    proxy.delay(SILENCE);
    tokio::join!(
        ask(&client, "system_name", rpc_params![]),
        ask(&client, "system_version", rpc_params![])
    );
    assert_eq!(proxy.traffic(), Traffic { requests: 2, round_trips: 1 });
    ask(&client, "system_name", rpc_params![]).await;
    assert_eq!(proxy.traffic(), Traffic { requests: 3, round_trips: 2 });
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_late() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, _) = start(on_demand(dir.path())).await;
    let proxy = FaultProxy::start(&chain.ws_url).await.unwrap();
    let client = connect(&proxy).await;
    proxy.delay(SILENCE);
    let started = Instant::now();
    let both = tokio::join!(
        ask(&client, "system_name", rpc_params![]),
        ask(&client, "system_version", rpc_params![])
    );
    assert!(started.elapsed() >= SILENCE, "{both:?}");
    proxy.delay(Duration::ZERO);
    ask(&client, "system_name", rpc_params![]).await;
    chain.stop().await.unwrap();
}
