//! Weights on a real chain in every mode, through restarts, lost connections and what others do.

mod chain_changes;
mod validator;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::chains::{self, Key};
use leoma::metrics::Metrics;
use leoma::state::{CommitState, SentTransactions, State};
use leoma::weights::{Progress, Target, Weights, WeightsError};
use leoma_chain::{
    Beacon, Call, Chain as _, ChainClient, Endpoint, Head, Nonces, Rejection, SubmitError,
    WeightMode,
};
use leoma_protocol::mesh::libp2p::metrics::Registry;
use leoma_protocol::{BlockNumber, Hotkey, HotkeySigner, MemoryGuard, Netuid, Uid};
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, Endowment, FaultProxy, GenesisConfig, SubnetGenesis,
    beacon_public_key,
};
use validator::Validator;

const NETUID: Netuid = Netuid(chains::NETUID);
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// Long enough for a busy machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Blocks of a subnet's epoch: time for a commit and its reveal, and for rounds of 3 s to pass.
const TEMPO: u16 = 60;
const MINER: Uid = Uid(3);

fn genesis(
    change: impl FnOnce(&mut SubnetGenesis<node_subtensor_runtime::AccountId>),
) -> GenesisConfig {
    let mut genesis = chains::genesis();
    genesis.subnets[0].tempo = TEMPO;
    genesis.subnets[0].weights_rate_limit = 5;
    change(&mut genesis.subnets[0]);
    genesis
}

async fn start(dir: &Path, genesis: GenesisConfig) -> ChainHandle {
    chain::spawn(ChainConfig {
        block_time: BLOCK_TIME,
        ..ChainConfig::new(dir.join("chain"), genesis)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_weights_are_set_once_and_not_before_the_rate_limit() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|subnet| subnet.weights_rate_limit = 100)).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Set);
    assert_eq!(validator.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Set);
    assert_eq!(validator.transactions().await, 1, "what is on chain is not sent again");
    // Another epoch's come too soon: the chain would refuse them, so nothing is sent.
    let head = validator.head().await.number.0;
    let refused = validator.put(head, Uid(4)).await.unwrap_err();
    assert!(matches!(refused, WeightsError::TooSoon { until } if until.0 > head), "{refused}");
    assert_eq!(validator.transactions().await, 1);
    validator.until_put(head, Uid(4)).await;
    assert_eq!(validator.on_chain(Uid(1)).await, [(Uid(4), u16::MAX)]);
}

/// How many requests each kind of work makes, for `docs/benchmarks.md`.
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_work_makes_few_requests_to_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let proxy = FaultProxy::start(&node.ws_url).await.unwrap();
    let mut before = 0;
    let mut made = |what: &str, most: u64| {
        let now = proxy.traffic().requests;
        println!("{what}: {} requests", now - before);
        assert!((1..=most).contains(&(now - before)), "{what}: {}", now - before);
        before = now;
    };
    let validator = Validator::start(dir.path(), "first", &[proxy.url()]).await;
    made("connecting", 12);
    let head = validator.head().await;
    made("the newest final block", 2);
    let _first = validator.chain.metagraph(head).await.unwrap();
    made("the subnet, at first", 6);
    let _second = validator.chain.metagraph(validator.head().await).await.unwrap();
    made("the subnet, and the newest final block", 6);
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Set);
    made("weights in plain mode", 30);
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Set);
    made("weights that are there already", 12);
    let signer = &validator.weights.signer;
    validator.chain.set_commitment(signer, "as long as a witness").await.unwrap();
    made("a witness", 20);
}

/// A subnet of two mechanisms.
fn two_mechanisms(commit_reveal_version: Option<u16>) -> GenesisConfig {
    let genesis = genesis(|subnet| {
        subnet.mechanisms = 2;
        subnet.commit_reveal = commit_reveal_version.is_some();
        // One hotkey's two transactions may share a number. The later one is sent again when the
        // life of the first try is over, which takes half of a usual epoch here.
        subnet.tempo = 5 * TEMPO;
    });
    GenesisConfig { commit_reveal_version: commit_reveal_version.unwrap_or(4), ..genesis }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hotkey_sets_two_mechanisms_weights_side_by_side_each_at_its_own_rate() {
    let dir = tempfile::tempdir().unwrap();
    let mut genesis = two_mechanisms(None);
    genesis.subnets[0].weights_rate_limit = 100;
    let node = start(dir.path(), genesis).await;
    let first = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    let second = Validator::of_mechanism(dir.path(), "first", &[&node.ws_url], 1).await;
    // At once: one hotkey's transactions share their numbers, and one of them comes too late.
    let both = tokio::join!(first.until_put(0, MINER), second.until_put(0, Uid(4)));
    assert_eq!(both, (Progress::Set, Progress::Set));
    assert_eq!(first.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
    assert_eq!(second.on_chain(Uid(1)).await, [(Uid(4), u16::MAX)]);
    assert_eq!(first.transactions().await, 2, "one of each");
    // What is there is read back, and the other's rate limit holds up nobody.
    assert_eq!(second.put(0, Uid(4)).await.unwrap(), Progress::Set);
    let head = second.head().await.number.0;
    let refused = second.put(head, MINER).await.unwrap_err();
    assert!(matches!(refused, WeightsError::TooSoon { until } if until.0 > head), "{refused}");
    second.until_put(head, MINER).await;
    assert_eq!(second.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
    let of = async |validator: &Validator| {
        let metagraph = validator.chain.metagraph(validator.head().await).await.unwrap();
        metagraph.neurons[1].last_update
    };
    assert!(of(&first).await < of(&second).await, "each has its own last update");
    let third = Validator::of_mechanism(dir.path(), "first", &[&node.ws_url], 2).await;
    let missing = third.put(0, MINER).await.unwrap_err().to_string();
    assert!(missing.contains("mechanism 2 of subnet 7"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn two_mechanisms_weights_are_committed_and_shown_side_by_side() {
    for version in [2, 4] {
        let dir = tempfile::tempdir().unwrap();
        let node = start(dir.path(), two_mechanisms(Some(version))).await;
        let first = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
        let second = Validator::of_mechanism(dir.path(), "first", &[&node.ws_url], 1).await;
        // Some blocks first, over which the chain's pace is measured: the round of the reveal
        // follows from it.
        first.until_block(20).await;
        let both = tokio::join!(first.until_put(0, MINER), second.until_put(0, Uid(4)));
        assert_eq!(both, (Progress::Committed, Progress::Committed), "version {version}");
        assert_eq!(second.on_chain(Uid(1)).await, []);
        let ended = tokio::join!(first.until_ended(0), second.until_ended(0));
        assert_eq!(ended, (CommitState::Revealed, CommitState::Revealed), "version {version}");
        assert_eq!(first.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
        assert_eq!(second.on_chain(Uid(1)).await, [(Uid(4), u16::MAX)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_commit_is_revealed_in_its_epoch_by_a_process_that_was_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let genesis =
        GenesisConfig { commit_reveal_version: 2, ..genesis(|subnet| subnet.commit_reveal = true) };
    let node = start(dir.path(), genesis).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    let demands = validator.chain.hyperparameters(validator.head().await).await.unwrap();
    assert_eq!(demands.mode, WeightMode::CommitReveal { period: 1 });
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Committed);
    assert_eq!(validator.on_chain(Uid(1)).await, []);
    assert_eq!(
        validator.put(0, MINER).await.unwrap(),
        Progress::Committed,
        "and not a second time"
    );
    drop(validator);
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Committed, "nor after a restart");
    assert_eq!(validator.until_ended(0).await, CommitState::Revealed);
    assert_eq!(validator.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
    assert_eq!(validator.transactions().await, 2, "a commit and a reveal");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_process_killed_between_writing_and_sending_commits_the_same_hash_once() {
    let dir = tempfile::tempdir().unwrap();
    let genesis =
        GenesisConfig { commit_reveal_version: 2, ..genesis(|subnet| subnet.commit_reveal = true) };
    let node = start(dir.path(), genesis).await;
    let proxy = FaultProxy::start(&node.ws_url).await.unwrap();
    let validator = Validator::start(dir.path(), "first", &[proxy.url()]).await;
    // Its commit goes out, and the connection breaks before the answer.
    proxy.cut_submissions(1);
    let lost = tokio::time::timeout(PATIENCE, validator.put(0, MINER)).await;
    assert!(!matches!(lost, Ok(Ok(_))), "{lost:?}");
    let written = validator.state.weight_commit(BlockNumber(0)).unwrap().unwrap();
    assert_eq!(written.state, CommitState::Prepared);
    drop(validator);
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    assert_eq!(validator.until_put(0, MINER).await, Progress::Committed);
    let commits = validator
        .chain
        .hash_commits(validator.head().await, validator.weights.signer.hotkey())
        .await
        .unwrap();
    assert_eq!(commits.len(), 1, "{commits:?}");
    assert_eq!(commits[0].hash.0[..], written.commit, "with the salt that was written first");
    assert_eq!(validator.until_ended(0).await, CommitState::Revealed);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_commit_whose_inclusion_nobody_saw_keeps_its_salt_and_is_revealed() {
    let dir = tempfile::tempdir().unwrap();
    let genesis =
        GenesisConfig { commit_reveal_version: 2, ..genesis(|subnet| subnet.commit_reveal = true) };
    let node = start(dir.path(), genesis).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    validator.until_block(2).await;
    validator.put_and_die(&node, 0, MINER).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    let written = validator.state.weight_commit(BlockNumber(0)).unwrap().unwrap();
    // Another winner meanwhile: what may be on its way is not written over.
    let waiting = tokio::time::timeout(PATIENCE, validator.put(0, Uid(4)))
        .await
        .expect("an answer")
        .unwrap_err();
    assert!(matches!(waiting, WeightsError::Submit(SubmitError::InFlight { .. })), "{waiting}");
    assert_eq!(validator.state.weight_commit(BlockNumber(0)).unwrap().unwrap(), written);
    assert_eq!(written.state, CommitState::Prepared);
    node.controls().resume_production().await.unwrap();
    // Its epoch is over, so it is not put again.
    assert_eq!(validator.until_ended(0).await, CommitState::Revealed);
    assert_eq!(validator.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
    assert_eq!(validator.transactions().await, 2, "a commit and a reveal");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_reveal_that_was_missed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let genesis =
        GenesisConfig { commit_reveal_version: 2, ..genesis(|subnet| subnet.commit_reveal = true) };
    let node = start(dir.path(), genesis).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    validator.put(0, MINER).await.unwrap();
    validator.until_block(3 * u64::from(TEMPO) + 2).await;
    assert_eq!(validator.until_ended(0).await, CommitState::Missed);
    assert_eq!(validator.weights.metrics.reveals_missed.get(), 1);
}

/// A full subnet: whoever registers takes the slot of a neuron.
async fn start_full(dir: &Path, commit_reveal: bool) -> ChainHandle {
    let full = genesis(|subnet| {
        subnet.commit_reveal = commit_reveal;
        subnet.max_allowed_uids = 5;
        subnet.immunity_period = 0;
        subnet.burn = 1;
    });
    let balances = vec![Endowment { account: Key::new("coldkey").account(), free: 1_000_000_000 }];
    start(dir, GenesisConfig { commit_reveal_version: 2, balances, ..full }).await
}

/// Without emission a newcomer gets the slot of the lowest uid but the owner's.
async fn register_newcomer(validator: &Validator) -> Hotkey {
    let coldkey = HotkeySigner::new(Key::new("coldkey").0, Arc::new(MemoryGuard::default()));
    let newcomer = Hotkey::from_bytes([9; 32]);
    validator.chain.submit(&coldkey, &Call::BurnedRegister { hotkey: newcomer }).await.unwrap();
    let metagraph = validator.chain.metagraph(validator.head().await).await.unwrap();
    assert_eq!(metagraph.uid(&newcomer), Some(Uid(1)));
    newcomer
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_winner_that_lost_its_slot_before_the_submission_is_told_and_nothing_is_sent() {
    for commit_reveal in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let node = start_full(dir.path(), commit_reveal).await;
        let validator = Validator::start(dir.path(), "second", &[&node.ws_url]).await;
        let newcomer = register_newcomer(&validator).await;
        let refused = validator.put(0, Uid(1)).await.unwrap_err();
        let WeightsError::SlotChanged(changed) = refused else { panic!("{refused}") };
        assert_eq!((changed.uid, changed.holder), (Uid(1), Some(newcomer)));
        assert_eq!(validator.transactions().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_winner_that_lost_its_slot_before_the_reveal_is_reported_and_not_paid() {
    let dir = tempfile::tempdir().unwrap();
    let node = start_full(dir.path(), true).await;
    let validator = Validator::start(dir.path(), "second", &[&node.ws_url]).await;
    validator.put(0, Uid(1)).await.unwrap();
    register_newcomer(&validator).await;
    assert_eq!(validator.until_ended(0).await, CommitState::Replaced);
    assert_eq!(validator.on_chain(Uid(2)).await, [], "nobody is paid who did not win");
}

#[tokio::test(flavor = "multi_thread")]
async fn timelocked_weights_are_opened_by_the_chain_also_where_its_clock_is_two_minutes_off() {
    let dir = tempfile::tempdir().unwrap();
    // Requests to a node are paced, so an epoch has to last longer than a commit takes.
    let genesis = genesis(|subnet| (subnet.commit_reveal, subnet.tempo) = (true, 3 * TEMPO));
    let config = ChainConfig {
        block_time: BLOCK_TIME,
        clock_skew: -120,
        ..ChainConfig::new(dir.path().join("c"), genesis)
    };
    let node = chain::spawn(config).await.unwrap();
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    // Some blocks first, over which the chain's pace is measured.
    validator.until_block(20).await;
    let demands = validator.chain.hyperparameters(validator.head().await).await.unwrap();
    assert_eq!(demands.mode, WeightMode::Timelocked { version: 4, period: 1 });
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Committed);
    assert_eq!(validator.on_chain(Uid(1)).await, []);
    drop(validator);
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    assert_eq!(validator.put(0, MINER).await.unwrap(), Progress::Committed);
    assert_eq!(validator.until_ended(0).await, CommitState::Revealed);
    assert_eq!(validator.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
    assert_eq!(validator.transactions().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_process_killed_before_inclusion_sends_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    validator.until_block(2).await;
    validator.put_and_die(&node, 0, MINER).await;
    let validator = Validator::start(dir.path(), "first", &[&node.ws_url]).await;
    let waiting = tokio::time::timeout(PATIENCE, validator.put(0, MINER))
        .await
        .expect("an answer")
        .unwrap_err();
    let WeightsError::Submit(SubmitError::InFlight { nonce, .. }) = waiting else {
        panic!("{waiting}")
    };
    assert_eq!(nonce, 0);
    node.controls().resume_production().await.unwrap();
    assert_eq!(validator.until_put(0, MINER).await, Progress::Set);
    assert_eq!(validator.transactions().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_nonce_that_another_process_took_is_told_and_the_weights_are_set_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let [one, other] = ["one", "other"].map(|folder| dir.path().join(folder));
    let one = Validator::start(&one, "first", &[&node.ws_url]).await;
    let other = Validator::start(&other, "first", &[&node.ws_url]).await;
    one.until_block(2).await;
    // Another process used the nonce that was asked for: while its transaction waits, and once it
    // is in a block.
    let endpoint = Endpoint::connect(&node.ws_url, NETUID).await.unwrap();
    let call = |text: &str| Call::SetCommitment { text: text.to_owned() };
    let signer = &one.weights.signer;
    let (first, second) = (
        endpoint.sign(signer, &call("first"), 0, 32).await.unwrap(),
        endpoint.sign(signer, &call("second"), 0, 32).await.unwrap(),
    );
    node.controls().stall_production().await.unwrap();
    let waiting = async {
        while one.nonces().await.next == 0 {
            tokio::time::sleep(BLOCK_TIME).await;
        }
        let refused = endpoint.send(&second).await.unwrap_err();
        assert_eq!(refused.rejection(), Some(&Rejection::NonceTaken), "{refused}");
        node.controls().resume_production().await.unwrap();
    };
    let (sent, ()) = tokio::join!(endpoint.send(&first), waiting);
    sent.unwrap();
    let refused = endpoint.send(&second).await.unwrap_err();
    assert_eq!(refused.rejection(), Some(&Rejection::NonceTaken), "{refused}");
    // Both processes set the weights of the same epoch at once, and neither gives up.
    let set = tokio::join!(one.until_put(0, MINER), other.until_put(0, MINER));
    assert_eq!(set, (Progress::Set, Progress::Set));
    assert_eq!(one.on_chain(Uid(1)).await, [(MINER, u16::MAX)]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a7_an_endpoint_that_dies_during_a_submission_costs_neither_the_epoch_nor_a_second_transaction()
 {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let proxy = FaultProxy::start(&node.ws_url).await.unwrap();
    let validator = Validator::start(dir.path(), "first", &[proxy.url(), &node.ws_url]).await;
    proxy.cut_submissions(1);
    let first = validator.put(0, MINER).await;
    assert!(first.is_err(), "{first:?}");
    assert_eq!(proxy.cuts_left(), 0);
    proxy.refuse();
    assert_eq!(validator.until_put(0, MINER).await, Progress::Set);
    proxy.heal();
    proxy.open();
    assert_eq!(validator.transactions().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn endpoints_that_lie_lag_or_fall_silent_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), genesis(|_| {})).await;
    let (liar, laggard) = (
        FaultProxy::start(&node.ws_url).await.unwrap(),
        FaultProxy::start(&node.ws_url).await.unwrap(),
    );
    let validator =
        Validator::start(dir.path(), "first", &[liar.url(), laggard.url(), &node.ws_url]).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut heads = validator.chain.follow_heads(stop.clone()).await.unwrap();
    validator.until_block(60).await;
    let truth = ChainClient::connect(&node.ws_url, NETUID).await.unwrap();
    liar.lie_about_past(true);
    laggard.lag(50);
    let number = BlockNumber(5);
    assert_eq!(
        validator.chain.block_hash(number).await.unwrap(),
        truth.block_hash(number).await.unwrap()
    );
    let dropped: Vec<bool> =
        validator.chain.endpoints().iter().map(|endpoint| endpoint.dropped).collect();
    assert_eq!(dropped, [true, false, false]);
    // Of the two that are left the newest head counts.
    let now = truth.head().await.unwrap().number;
    let moved = heads.wait_for(|head| head.number > now);
    tokio::time::timeout(PATIENCE, moved).await.expect("heads go on").unwrap();
    laggard.silence();
    let now = truth.head().await.unwrap().number;
    let moved = heads.wait_for(|head| head.number.0 > now.0 + 5);
    tokio::time::timeout(PATIENCE, moved).await.expect("heads go on").unwrap();
    assert_eq!(validator.until_put(0, MINER).await, Progress::Set);
    stop.cancel();
}
