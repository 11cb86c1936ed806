//! Time travel and faults of the local chain, as clients see them.

use crate::chains::{
    self, Key, ask, commitment, follow, next, next_number, number, on_demand, refusal, signed,
    start, submit, watch,
};
use leoma_testnet::chain::{self, ChainConfig, ControlError, MAX_GROWTH, MAX_REORG};
use serde_json::{Value, json};
use std::time::Duration;
use subxt::dynamic;
use subxt::rpcs::{RpcClient, rpc_params};
use subxt::utils::AccountId32;

/// The runtime's version, and the next one.
const NOW: u32 = node_subtensor_runtime::VERSION.spec_version;
const LATER: u32 = NOW + 1;

#[tokio::test(flavor = "multi_thread")]
async fn finality_lags_stalls_and_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(ChainConfig { finality_lag: 3, ..on_demand(dir.path()) }).await;
    let controls = chain.controls();
    let mut finalized = follow(&rpc, "FinalizedHeads").await;
    assert_eq!(next_number(&mut finalized).await, 0);
    let heads = controls.step(5).await.unwrap();
    assert_eq!((heads.best.number, heads.finalized.number), (5, 2));
    assert_eq!(
        ask(&rpc, "chain_getFinalizedHead", rpc_params![]).await,
        json!(heads.finalized.hash)
    );
    assert_eq!(ask(&rpc, "chain_getBlockHash", rpc_params![]).await, json!(heads.best.hash));
    assert_eq!(controls.set_finality_lag(1).await.unwrap().finalized.number, 4);
    assert_eq!(
        controls.set_finality_lag(9).await.unwrap().finalized.number,
        4,
        "finality never shrinks"
    );
    controls.set_finality_lag(0).await.unwrap();
    controls.stall_finality().await.unwrap();
    assert_eq!(controls.step(100).await.unwrap().finalized.number, 5);
    assert_eq!(controls.resume_finality().await.unwrap().finalized.number, 105);
    let mut told = Vec::new();
    while told.last() != Some(&105) {
        told.push(next_number(&mut finalized).await);
    }
    assert_eq!(told, [1, 2, 4, 5, 105], "the blocks between two finalized heads are not told");
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_takes_a_transaction_back_and_the_next_block_includes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) =
        start(ChainConfig { finality_lag: 4, ..on_demand(dir.path()) }).await;
    let controls = chain.controls();
    controls.step(6).await.unwrap();
    let (mut new, mut all) = (follow(&rpc, "NewHeads").await, follow(&rpc, "AllHeads").await);
    assert_eq!((next_number(&mut new).await, next_number(&mut all).await), (6, 6));

    let transaction = signed(&client, &Key::new("miner"), &commitment("model"), 0, 64).await;
    let mut fates = watch(&rpc, &transaction).await;
    assert_eq!(next(&mut fates).await, json!("ready"));
    let before = controls.step(2).await.unwrap();
    let held = next(&mut fates).await["inBlock"].clone();
    assert_eq!(held, ask(&rpc, "chain_getBlockHash", rpc_params![7]).await);
    assert_eq!((next_number(&mut new).await, next_number(&mut new).await), (7, 8));

    let after = controls.reorg(3, 1).await.unwrap();
    assert_eq!(after.best.number, 9);
    assert_eq!(next(&mut fates).await, json!({ "retracted": held }));
    assert_eq!(next(&mut fates).await, json!("ready"));
    // The block that tips the scales is the new head; followers of all heads see each one.
    assert_eq!(next_number(&mut new).await, 9);
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        seen.push(next_number(&mut all).await);
    }
    assert_eq!(seen, [7, 8, 6, 7, 8, 9]);

    // Dropped blocks stay readable by hash; numbers follow the best chain.
    let dropped = ask(&rpc, "chain_getBlock", rpc_params![held.clone()]).await;
    assert_eq!(number(&dropped["block"]["header"]), 7);
    let holds = |block: &Value| {
        block["block"]["extrinsics"].as_array().unwrap().contains(&json!(transaction))
    };
    assert!(holds(&dropped));
    let replacing = ask(&rpc, "chain_getBlockHash", rpc_params![7]).await;
    assert_ne!(replacing, held);
    assert_ne!(ask(&rpc, "chain_getBlockHash", rpc_params![8]).await, json!(before.best.hash));
    let replacing = ask(&rpc, "chain_getBlock", rpc_params![replacing]).await;
    assert!(!holds(&replacing));

    let included = controls.step(1).await.unwrap().best.hash;
    assert_eq!(next(&mut fates).await, json!({ "inBlock": included }));
    controls.set_finality_lag(0).await.unwrap();
    assert_eq!(next(&mut fates).await, json!({ "finalized": included }));
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_final_cannot_be_reorganized() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(ChainConfig { finality_lag: 2, ..on_demand(dir.path()) }).await;
    let controls = chain.controls();
    controls.step(5).await.unwrap();
    let error = controls.reorg(3, 0).await.unwrap_err();
    assert!(matches!(error, ControlError::Depth { depth: 3, unfinalized: 2 }), "{error}");
    let error = refusal(&rpc, "testnet_reorg", rpc_params![0]).await;
    assert!(error.contains("not possible"), "{error}");
    // A fork of the same height.
    let heads = controls.reorg(2, 0).await.unwrap();
    assert_eq!((heads.best.number, heads.finalized.number), (5, 3));
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_and_finality_survive_a_restart_and_travel_in_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, copy) = (folder.path().join("chain"), folder.path().join("copy"));
    let (chain, _, rpc) = start(ChainConfig { finality_lag: 4, ..on_demand(&dir) }).await;
    chain.controls().step(9).await.unwrap();
    let dropped = ask(&rpc, "chain_getBlockHash", rpc_params![8]).await;
    chain.controls().reorg(2, 1).await.unwrap();
    chain.controls().stall_finality().await.unwrap();
    let heads = chain.controls().step(3).await.unwrap();
    assert_eq!((heads.best.number, heads.finalized.number), (13, 6));
    assert_eq!(chain::snapshot(&dir, &copy).unwrap(), heads, "a copy of a chain that runs");
    assert!(chain::snapshot(&dir, &copy).is_err(), "a copy is not overwritten");
    let snapshot = chain.controls().heads();
    chain.controls().step(1).await.unwrap();
    let stopped = chain.controls().heads();
    chain.stop().await.unwrap();

    for (dir, expected) in [(&dir, stopped), (&copy, snapshot)] {
        let (chain, _, rpc) = start(ChainConfig { finality_lag: 20, ..on_demand(dir) }).await;
        assert_eq!(chain.controls().heads(), expected);
        assert_ne!(ask(&rpc, "chain_getBlockHash", rpc_params![8]).await, dropped);
        assert_eq!(number(&ask(&rpc, "chain_getHeader", rpc_params![dropped.clone()]).await), 8);
        assert_eq!(chain.controls().reorg(5, 0).await.unwrap().best.number, expected.best.number);
        chain.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stepped_time_is_the_same_everywhere() {
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let config = ChainConfig { start_time: Some(1_800_000_000_000), ..on_demand(dir.path()) };
        let (chain, client, rpc) = start(config).await;
        let heads: chain::Heads = rpc.request("testnet_step", rpc_params![3]).await.unwrap();
        assert_eq!(heads.best.number, 3);
        assert_eq!(chains::timestamp(&client, 1).await, 1_800_000_000_000);
        assert_eq!(chains::timestamp(&client, 3).await, 1_800_000_024_000);
        let heads: chain::Heads = rpc.request("testnet_runTo", rpc_params![40]).await.unwrap();
        assert_eq!(heads.best.number, 40);
        let error = refusal(&rpc, "testnet_runTo", rpc_params![39]).await;
        assert!(error.contains("beyond block 39"), "{error}");
        // Another machine's clock is two minutes ahead: the next block jumps, later ones go on
        // evenly.
        chain.controls().set_clock_skew(120).await.unwrap();
        let heads = chain.controls().step(2).await.unwrap();
        let last = chains::timestamp(&client, 42).await;
        assert_eq!(last, 1_800_000_000_000 + 41 * 12_000 + 120_000);
        hashes.push(heads.best.hash);
        chain.stop().await.unwrap();
    }
    assert_eq!(hashes[0], hashes[1], "two runs make the same blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_block_clock_stops_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = ChainConfig {
        block_time: Duration::from_millis(50),
        clock_skew: -120,
        ..on_demand(dir.path())
    };
    let (chain, client, rpc) = start(config).await;
    let mut heads = follow(&rpc, "NewHeads").await;
    while next_number(&mut heads).await < 2 {}
    let stalled = chain.controls().stall_production().await.unwrap().best.number;
    let error = tokio::time::timeout(Duration::from_millis(500), async {
        while next_number(&mut heads).await <= stalled {}
    });
    assert!(error.await.is_err(), "no block comes while production is stalled");
    let stepped = chain.controls().step(1).await.unwrap().best.number;
    assert_eq!(stepped, stalled + 1, "steps work meanwhile");
    chain.controls().resume_production().await.unwrap();
    while next_number(&mut heads).await <= stepped {}
    let wall =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
            as u64;
    let behind = wall - chains::timestamp(&client, 1).await;
    assert!(
        behind >= 120_000,
        "a chain that starts two minutes late is late from block 1: {behind} ms"
    );
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_steers_a_chain_that_was_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(ChainConfig { controls: false, ..on_demand(dir.path()) }).await;
    for method in ["testnet_step", "testnet_reorg", "testnet_upgradeSpec", "testnet_heads"] {
        let error = refusal(&rpc, method, rpc_params![1]).await;
        assert!(error.contains("4100") && error.contains("--controls"), "{error}");
    }
    assert!(!ask(&rpc, "rpc_methods", rpc_params![]).await.to_string().contains("testnet_"));
    assert_eq!(chain.controls().step(1).await.unwrap().best.number, 1, "the process itself may");
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_upgrade_changes_version_and_metadata_and_refuses_old_signatures() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let mut versions = rpc
        .subscribe::<Value>(
            "state_subscribeRuntimeVersion",
            rpc_params![],
            "state_unsubscribeRuntimeVersion",
        )
        .await
        .unwrap();
    let before = chain.controls().step(1).await.unwrap().best.hash;
    let key = Key::new("miner");
    let old = signed(&client, &key, &commitment("old"), 0, 64).await;
    let waiting = signed(&client, &key, &commitment("next"), 1, 64).await;
    let mut fates = watch(&rpc, &waiting).await;
    assert_eq!(next(&mut fates).await, json!("future"));
    assert_eq!(next(&mut versions).await["specVersion"], NOW);
    let metadata = ask(&rpc, "state_getMetadata", rpc_params![]).await;

    assert_eq!(ask(&rpc, "testnet_upgradeSpec", rpc_params![]).await, json!(LATER));
    assert_eq!(ask(&rpc, "state_getRuntimeVersion", rpc_params![]).await["specVersion"], NOW);
    let upgraded = chain.controls().step(1).await.unwrap().best.hash;
    assert_eq!(next(&mut versions).await["specVersion"], LATER);
    let header = ask(&rpc, "chain_getHeader", rpc_params![upgraded]).await;
    assert_eq!(
        header["digest"]["logs"],
        json!(["0x08"]),
        "the block says that the runtime changed"
    );
    assert_ne!(ask(&rpc, "state_getMetadata", rpc_params![]).await, metadata);
    assert_eq!(
        ask(&rpc, "state_getMetadata", rpc_params![before]).await,
        metadata,
        "old blocks keep theirs"
    );
    assert_eq!(ask(&rpc, "state_getRuntimeVersion", rpc_params![before]).await["specVersion"], NOW);

    assert_eq!(
        next(&mut fates).await,
        json!("invalid"),
        "what waited was signed for the old version"
    );
    let error = submit(&rpc, &old).await.unwrap_err();
    assert!(error.contains("1010") && error.contains("bad signature"), "{error}");
    // The same client goes on, as it reads the version at each block.
    let new = signed(&client, &key, &commitment("new"), 0, 64).await;
    submit(&rpc, &new).await.unwrap();
    chain.controls().step(1).await.unwrap();
    assert_eq!(
        ask(&rpc, "system_accountNextIndex", rpc_params![key.account().to_string()]).await,
        json!(1)
    );
    chain.stop().await.unwrap();

    let (chain, _, rpc) = start(on_demand(dir.path())).await;
    assert_eq!(ask(&rpc, "state_getRuntimeVersion", rpc_params![]).await["specVersion"], LATER);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_a_reorg_took_back_comes_with_the_next_block() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(ChainConfig { finality_lag: 4, ..on_demand(dir.path()) }).await;
    let controls = chain.controls();
    let version = || async {
        ask(&rpc, "state_getRuntimeVersion", rpc_params![]).await["specVersion"].clone()
    };
    controls.step(2).await.unwrap();
    controls.upgrade_spec().await.unwrap();
    controls.step(1).await.unwrap();
    assert_eq!(version().await, LATER);
    controls.reorg(2, 1).await.unwrap();
    assert_eq!(version().await, NOW, "the fork's blocks hold nothing that was asked for");
    controls.step(1).await.unwrap();
    assert_eq!(version().await, LATER);
    // One that is still to come is not lost either.
    assert_eq!(controls.upgrade_spec().await.unwrap(), LATER + 1);
    controls.reorg(1, 1).await.unwrap();
    controls.step(1).await.unwrap();
    assert_eq!(version().await, LATER + 1);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_of_all_heads_see_every_block_of_the_longest_reorg() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) =
        start(ChainConfig { finality_lag: u32::MAX, ..on_demand(dir.path()) }).await;
    chain.controls().step(MAX_REORG).await.unwrap();
    let mut all = follow(&rpc, "AllHeads").await;
    assert_eq!(next_number(&mut all).await, MAX_REORG);
    chain.controls().reorg(MAX_REORG, MAX_GROWTH).await.unwrap();
    for expected in 1..=MAX_REORG + MAX_GROWTH {
        assert_eq!(next_number(&mut all).await, expected);
    }
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_states_are_discarded_and_blocks_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(on_demand(dir.path())).await;
    chain.controls().step(30).await.unwrap();
    let hash = |number: u32| ask(&rpc, "chain_getBlockHash", rpc_params![number]);
    let (old, kept) = (hash(24).await, hash(25).await);
    let number_key = "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac";
    assert_eq!(
        ask(&rpc, "state_getStorage", rpc_params![number_key, old.clone()]).await,
        json!("0x18000000")
    );

    let _: chain::Heads = rpc.request("testnet_setKeptStates", rpc_params![5]).await.unwrap();
    let error = refusal(&rpc, "state_getStorage", rpc_params![number_key, old.clone()]).await;
    let discarded = format!("State already discarded for {}", old.as_str().unwrap());
    assert!(
        error.contains("4003") && error.contains(&format!("UnknownBlock: {discarded}")),
        "{error}"
    );
    let error = refusal(&rpc, "state_call", rpc_params!["Core_version", "0x", old.clone()]).await;
    assert!(error.contains(&format!("Api called for an unknown Block: {discarded}")), "{error}");
    let unknown = format!("0x{}", "ab".repeat(32));
    let error = refusal(&rpc, "state_getStorage", rpc_params![number_key, unknown]).await;
    assert!(error.contains("4003") && error.contains("Header was not found"), "{error}");
    assert_eq!(number(&ask(&rpc, "chain_getHeader", rpc_params![old.clone()]).await), 24);
    assert_eq!(
        ask(&rpc, "state_getStorage", rpc_params![number_key, kept]).await,
        json!("0x19000000")
    );
    chain.stop().await.unwrap();

    // The journal still has the state, for a chain with a longer memory.
    let (chain, _, rpc) = start(on_demand(dir.path())).await;
    assert_eq!(
        ask(&rpc, "state_getStorage", rpc_params![number_key, old]).await,
        json!("0x18000000")
    );
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_gets_another_owner_and_a_round_of_the_beacon_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) = start(on_demand(dir.path())).await;
    let account = |name: &str| Key::new(name).account();
    let owner = async || {
        let entry = dynamic::storage::<(u16,), AccountId32>("SubtensorModule", "SubnetOwnerHotkey");
        let at = client.at_current_block().await.unwrap();
        at.storage().fetch(entry, (chains::NETUID,)).await.unwrap().decode().unwrap().0
    };
    chain.controls().step(1).await.unwrap();
    assert_eq!(owner().await, <[u8; 32]>::from(account("owner")));
    let second = rpc_params![chains::NETUID, account("second").to_string()];
    let _: chain::Heads = rpc.request("testnet_changeOwner", second).await.unwrap();
    chain.controls().step(1).await.unwrap();
    assert_eq!(owner().await, <[u8; 32]>::from(account("second")));

    let entry = dynamic::storage::<(), u64>("Drand", "LastStoredRound");
    let at = client.at_current_block().await.unwrap();
    let last = at.storage().fetch(entry, ()).await.unwrap().decode().unwrap();
    let _: chain::Heads = rpc.request("testnet_skipRound", rpc_params![last + 2]).await.unwrap();
    // Twelve seconds, and four rounds.
    chain.controls().step(1).await.unwrap();
    let at = client.at_current_block().await.unwrap();
    let mut stored = Vec::new();
    for round in last + 1..last + 5 {
        let pulses = dynamic::storage::<(u64,), dynamic::Value>("Drand", "Pulses");
        stored.push(at.storage().fetch(pulses, (round,)).await.is_ok());
    }
    assert_eq!(stored, [true, false, true, true]);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_gives_ids_types_of_their_own_in_the_newest_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _, rpc) = start(on_demand(dir.path())).await;
    let has_typed_ids = async |version: u32, at: Value| {
        let asked = format!("0x{}", hex::encode(version.to_le_bytes()));
        let call = rpc_params!["Metadata_metadata_at_version", asked, at];
        let answer = ask(&rpc, "state_call", call).await;
        answer.as_str().unwrap().contains(&hex::encode("typed_ids"))
    };
    chain.controls().step(1).await.unwrap();
    let before = ask(&rpc, "chain_getBlockHash", rpc_params![1]).await;
    let version = ask(&rpc, "testnet_upgradeToTypedIds", rpc_params![]).await;
    assert_eq!(version, json!(node_subtensor_runtime::TYPED_IDS));
    chain.controls().step(1).await.unwrap();
    assert!(has_typed_ids(16, Value::Null).await);
    assert!(!has_typed_ids(15, Value::Null).await, "older forms stay as they are");
    assert!(!has_typed_ids(16, before).await, "and so do blocks of before");
    let later = chain.controls().upgrade_spec().await.unwrap();
    assert_eq!(later, node_subtensor_runtime::TYPED_IDS + 1);
    chain.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_leaves_what_kept_states_need() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, client, rpc) =
        start(ChainConfig { kept_states: Some(16), ..on_demand(dir.path()) }).await;
    let key = Key::new("miner");
    submit(&rpc, &signed(&client, &key, &commitment("kept by every state"), 0, 64).await)
        .await
        .unwrap();
    // Enough blocks for several sweeps.
    chain.controls().step(3_000).await.unwrap();
    for block in [2_984, 2_992, 3_000] {
        let text = entries(&rpc, block).await.to_string();
        assert!(text.contains(&hex::encode("kept by every state")), "block {block}");
    }
    let before = entries(&rpc, 3_000).await;
    chain.stop().await.unwrap();
    let (chain, _, rpc) =
        start(ChainConfig { kept_states: Some(16), ..on_demand(dir.path()) }).await;
    assert_eq!(entries(&rpc, 3_000).await, before);
    chain.stop().await.unwrap();
}

/// Every key of a state with its value, page by page.
async fn entries(rpc: &RpcClient, block: u32) -> Value {
    let hash = ask(rpc, "chain_getBlockHash", rpc_params![block]).await;
    let (mut after, mut pages) = (Value::Null, Vec::new());
    loop {
        let keys =
            ask(rpc, "state_getKeysPaged", rpc_params!["0x", 1_000, after, hash.clone()]).await;
        let Some(last) = keys.as_array().unwrap().last().cloned() else {
            return Value::Array(pages);
        };
        after = last;
        pages.push(ask(rpc, "state_queryStorageAt", rpc_params![keys, hash.clone()]).await);
    }
}
