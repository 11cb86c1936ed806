//! What the chain does under a validator that sets weights: upgrades, another owner, a round that
//! is skipped, nodes that differ, a fork.

use leoma::state::CommitState;
use leoma::weights::{Progress, WeightsError};
use leoma_chain::{Head, Rejection, SubmitError};
use leoma_protocol::{BlockNumber, Hotkey, Uid};
use leoma_testnet::chain::{self, ChainConfig, FaultProxy, GenesisConfig};

use super::validator::Validator;
use super::{BLOCK_TIME, MINER, PATIENCE, TEMPO, genesis, start};
use crate::chains::{self, Key};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn an_upgrade_of_the_chain_under_us_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    assert_eq!(validator.until_put(0, MINER).await, Progress::Set);
    let before = validator.head().await;
    node.controls().upgrade_spec().await.unwrap();
    validator.until_block(before.number.0 + 8).await;
    let head = validator.head().await;
    assert_eq!(validator.chain.metagraph(head).await.unwrap().neurons.len(), 5);
    assert_eq!(
        validator.chain.metagraph(before).await.unwrap().neurons.len(),
        5,
        "and blocks of before are readable"
    );
    assert_eq!(validator.until_put(head.number.0, Uid(4)).await, Progress::Set);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a14_an_upgrade_that_gives_ids_types_of_their_own_changes_nothing_in_any_mode() {
    for version in [None, Some(2), Some(4)] {
        let dir = tempfile::tempdir().unwrap();
        let genesis = genesis(|subnet| {
            // Requests to a node are paced, so an epoch has to last longer than a commit takes.
            (subnet.commit_reveal, subnet.tempo) = (version.is_some(), 3 * TEMPO);
        });
        let genesis = GenesisConfig { commit_reveal_version: version.unwrap_or(4), ..genesis };
        let node = start(dir.path(), genesis).await;
        let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
        // Some blocks first, over which the chain's pace is measured.
        validator.until_block(20).await;
        let put = if version.is_some() { Progress::Committed } else { Progress::Set };
        assert_eq!(validator.until_put(0, MINER).await, put, "{version:?}");
        let before = validator.head().await;
        node.controls().upgrade_to_typed_ids().await.unwrap();
        validator.until_block(before.number.0 + 8).await;
        for head in [before, validator.head().await] {
            assert_eq!(validator.chain.metagraph(head).await.unwrap().neurons.len(), 5);
        }
        // What was committed before is revealed after, and another epoch's weights are put.
        let next = validator.head().await.number.0;
        for (epoch_block, uid) in [(0, MINER), (next, Uid(4))] {
            if epoch_block == next {
                assert_eq!(validator.until_put(next, uid).await, put, "{version:?}");
            }
            if version.is_some() {
                let ended = validator.until_ended(epoch_block).await;
                assert_eq!(ended, CommitState::Revealed, "{version:?}");
            }
            assert_eq!(validator.on_chain(Uid(1)).await, [(uid, u16::MAX)], "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a17_an_owner_change_under_us_is_read_and_weights_are_set_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    assert_eq!(validator.until_put(0, MINER).await, Progress::Set);
    let owner_at = async |head: Head| validator.chain.metagraph(head).await.unwrap().owner;
    let hotkey = |name: &str| Hotkey::from_bytes(Key::new(name).account().into());
    let before = validator.head().await;
    assert_eq!(owner_at(before).await, hotkey("owner"));
    node.controls().change_owner(chains::NETUID, Key::new("second").account()).await.unwrap();
    // Reading the owner took some blocks.
    validator.until_block(validator.head().await.number.0 + 8).await;
    let head = validator.head().await;
    assert_eq!(owner_at(head).await, hotkey("second"));
    assert_eq!(owner_at(before).await, hotkey("owner"), "and blocks of before keep theirs");
    assert_eq!(validator.until_put(head.number.0, Uid(4)).await, Progress::Set);
    assert_eq!(validator.on_chain(Uid(1)).await, [(Uid(4), u16::MAX)]);
}

/// What the chain skips never opens, so that the epoch is lost and said to be, and no other one is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a5_weights_sealed_to_a_round_that_the_chain_skips_are_missed_and_the_next_are_revealed() {
    let dir = tempfile::tempdir().unwrap();
    // Requests to a node are paced, so an epoch has to last longer than a commit takes.
    let genesis = genesis(|subnet| (subnet.commit_reveal, subnet.tempo) = (true, 3 * TEMPO));
    let node = start(dir.path(), genesis).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    // Some blocks first, over which the chain's pace is measured.
    validator.until_block(20).await;
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Committed);
    let sealed = validator.state.weight_commit(BlockNumber(0)).unwrap().unwrap();
    node.controls().skip_round(sealed.reveal_round).await.unwrap();
    assert_eq!(validator.until_ended(0).await, CommitState::Missed);
    assert_eq!(validator.weights.metrics.reveals_missed.get(), 1);
    assert_eq!(validator.on_chain(Uid(1)).await, []);
    let next = validator.head().await.number.0;
    assert_eq!(validator.until_put(next, Uid(4)).await, Progress::Committed);
    assert_eq!(validator.until_ended(next).await, CommitState::Revealed);
    assert_eq!(validator.on_chain(Uid(1)).await, [(Uid(4), u16::MAX)]);
    assert_eq!(validator.transactions().await, 2, "one commit an epoch");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn an_endpoint_on_the_old_runtime_is_waited_out_or_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let config = ChainConfig {
        block_time: 5 * BLOCK_TIME,
        ..ChainConfig::new(dir.path().join("c"), genesis(|_| {}))
    };
    let node = chain::spawn(config).await.unwrap();
    let laggard = FaultProxy::start(&node.ws_url).await.unwrap();
    let validator = Validator::start(dir.path(), "first", &[laggard.url(), &node.ws_url]).await;
    validator.until_block(12).await;
    // Not so far behind that it is asked last: it signs for the runtime that it knows.
    laggard.lag(10);
    node.controls().upgrade_spec().await.unwrap();
    let first = validator.put(0, MINER).await.unwrap_err();
    assert!(
        matches!(
            &first,
            WeightsError::Submit(SubmitError::Rejected { rejection: Rejection::Outdated, .. })
        ),
        "{first}"
    );
    assert_eq!(validator.until_put(0, MINER).await, Progress::Set);
    assert_eq!(validator.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);

    // One that did not go along with an upgrade stays behind, and is asked last.
    laggard.lag(40);
    node.controls().upgrade_spec().await.unwrap();
    let head = validator.head().await.number.0;
    assert_eq!(validator.until_put(head, Uid(4)).await, Progress::Set);
    assert_eq!(validator.on_chain(Uid(1)).await, [(Uid(4), u16::MAX)]);
    let behind = &validator.chain.endpoints()[0];
    assert!(!behind.dropped && behind.lag.is_some_and(|blocks| blocks > 10), "{behind:?}");
    laggard.heal();
    assert_eq!(validator.transactions().await, 2, "one of each");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_stalled_finality_and_a_fork_over_the_boundary_are_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = ChainConfig {
        finality_lag: 3,
        block_time: BLOCK_TIME,
        ..ChainConfig::new(dir.path().join("c"), genesis(|_| {}))
    };
    let node = chain::spawn(config).await.unwrap();
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    validator.until_block(5).await;
    node.controls().stall_finality().await.unwrap();
    let stalled = node.controls().heads();
    let boundary = u64::from(stalled.finalized.number) + 4;
    let grown = async {
        while u64::from(node.controls().heads().best.number) < boundary + 100 {
            tokio::time::sleep(BLOCK_TIME).await;
        }
    };
    tokio::time::timeout(PATIENCE, grown).await.expect("a hundred blocks");
    assert_eq!(validator.head().await.number.0, u64::from(stalled.finalized.number));
    // The boundary's block is replaced by another one before it is final.
    let rpc = subxt::rpcs::RpcClient::from_insecure_url(&node.ws_url).await.unwrap();
    let at_boundary =
        || chains::ask(&rpc, "chain_getBlockHash", subxt::rpcs::rpc_params![boundary]);
    let replaced = at_boundary().await;
    let depth = node.controls().heads().best.number - stalled.finalized.number;
    node.controls().reorg(depth, 1).await.unwrap();
    assert_ne!(at_boundary().await, replaced);
    node.controls().resume_finality().await.unwrap();
    validator.until_block(boundary).await;
    let hash = validator.chain.block_hash(BlockNumber(boundary)).await.unwrap();
    assert_eq!(at_boundary().await, format!("0x{}", hex::encode(hash.0)));
    let at = Head { number: BlockNumber(boundary), hash };
    assert_eq!(validator.chain.metagraph(at).await.unwrap().block, BlockNumber(boundary));
    assert_eq!(validator.until_put(boundary, MINER).await, Progress::Set);
    assert_eq!(validator.transactions().await, 1);
}
