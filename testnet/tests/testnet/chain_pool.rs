//! The pool's answers in the words and codes that clients of other nodes know.

use crate::chains::{
    Key, ask, commitment, next, on_demand, set_weights, signed, start, submit, watch,
};
use leoma_testnet::chain::ChainConfig;
use serde_json::json;
use subxt::rpcs::rpc_params;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let key = Key::new("miner");
    let transaction = signed(&client, &key, &commitment("model"), 0, 64).await;
    submit(&rpc, &transaction).await.unwrap();
    let error = submit(&rpc, &transaction).await.unwrap_err();
    assert!(error.contains("1013") && error.contains("Already Imported"), "{error}");
    chain.controls().step(1).await.unwrap();
    let error = submit(&rpc, &transaction).await.unwrap_err();
    assert!(error.contains("1012") && error.contains("temporarily banned"), "{error}");
    // Other bytes of the same nonce are judged.
    let late = signed(&client, &key, &commitment("late"), 0, 64).await;
    let error = submit(&rpc, &late).await.unwrap_err();
    assert!(error.contains("1010") && error.contains("Transaction is outdated"), "{error}");
    let error = submit(&rpc, &late).await.unwrap_err();
    assert!(error.contains("1012"), "a refused transaction is banned as well: {error}");
    // Half an hour later the bytes are judged again.
    chain.controls().step(150).await.unwrap();
    let error = submit(&rpc, &late).await.unwrap_err();
    assert!(error.contains("1010"), "{error}");
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_nonce_goes_to_the_higher_priority() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let key = Key::new("first");
    chain.controls().step(20).await.unwrap();
    // Weights gain priority with every block since the last ones; a commitment has none.
    let weak = signed(&client, &key, &commitment("weak"), 0, 64).await;
    let strong = signed(&client, &key, &set_weights(&[3], &[1], 0), 0, 64).await;
    let weak_again = signed(&client, &key, &commitment("again"), 0, 64).await;
    let mut weak = watch(&rpc, &weak).await;
    assert_eq!(next(&mut weak).await, json!("ready"));
    let mut strong = watch(&rpc, &strong).await;
    assert_eq!(next(&mut strong).await, json!("ready"));
    assert!(next(&mut weak).await["usurped"].is_string());
    let error = submit(&rpc, &weak_again).await.unwrap_err();
    assert!(error.contains("1014") && error.contains("Priority is too low: ("), "{error}");
    assert!(
        error.contains("too low priority to replace another transaction already in the pool"),
        "{error}"
    );
    let included = chain.controls().step(1).await.unwrap().best.hash;
    assert_eq!(next(&mut strong).await, json!({ "inBlock": included }));
    assert_eq!(next(&mut strong).await, json!({ "finalized": included }));
    // The rate limit, at the pool.
    let again = signed(&client, &key, &set_weights(&[4], &[1], 0), 1, 64).await;
    let error = submit(&rpc, &again).await.unwrap_err();
    assert!(error.contains("1010") && error.contains("Custom error: 6"), "{error}");
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_waits_as_future_until_it_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let key = Key::new("miner");
    let mut second = watch(&rpc, &signed(&client, &key, &commitment("second"), 1, 64).await).await;
    assert_eq!(next(&mut second).await, json!("future"));
    chain.controls().step(2).await.unwrap();
    let first = signed(&client, &key, &commitment("first"), 0, 64).await;
    submit(&rpc, &first).await.unwrap();
    assert_eq!(next(&mut second).await, json!("ready"));
    assert_eq!(
        ask(&rpc, "account_nextIndex", rpc_params![key.account().to_string()]).await,
        json!(2)
    );
    let block = chain.controls().step(1).await.unwrap().best.hash;
    assert_eq!(next(&mut second).await, json!({ "inBlock": block }));
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_era_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let key = Key::new("miner");
    chain.controls().step(1).await.unwrap();
    // Nonce 1 waits for a nonce 0 that never comes.
    let waiting = signed(&client, &key, &commitment("waits"), 1, 8).await;
    let never_sent = signed(&client, &key, &commitment("late"), 0, 8).await;
    let mut fates = watch(&rpc, &waiting).await;
    assert_eq!(next(&mut fates).await, json!("future"));
    chain.controls().step(6).await.unwrap();
    assert_eq!(
        ask(&rpc, "author_pendingExtrinsics", rpc_params![]).await.as_array().unwrap().len(),
        1
    );
    chain.controls().step(20).await.unwrap();
    assert_eq!(next(&mut fates).await, json!("invalid"));
    assert_eq!(ask(&rpc, "author_pendingExtrinsics", rpc_params![]).await, json!([]));
    // The era's first block is another one by now, so that the signature does not fit.
    let error = submit(&rpc, &never_sent).await.unwrap_err();
    assert!(error.contains("1010") && error.contains("bad signature"), "{error}");
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_when_finality_does_not_come() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) =
        start(ChainConfig { finality_lag: u32::MAX, ..on_demand(dir.path()) }).await;
    let transaction = signed(&client, &Key::new("miner"), &commitment("model"), 0, 64).await;
    let mut fates = watch(&rpc, &transaction).await;
    assert_eq!(next(&mut fates).await, json!("ready"));
    let block = chain.controls().step(1).await.unwrap().best.hash;
    assert_eq!(next(&mut fates).await, json!({ "inBlock": block }));
    chain.controls().step(513).await.unwrap();
    assert_eq!(next(&mut fates).await, json!({ "finalityTimeout": block }));
    chain.stop().await.unwrap();
}
