//! Four validators get a change of the consensus parameters one by one: three before its block, one
//! after it. They agree in every epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leoma::state::State;
use leoma_protocol::{BlockNumber, ConsensusParams, ConsensusSchedule, Fraction, Uid};

use super::agreeing::{
    Build, INTERVAL, MINERS, Network, PATIENCE, Validator, draft, epoch_after, hotkey,
};

/// Half of production's: an epoch takes some 22 s.
const EPOCH_BLOCKS: u64 = 90;
/// Longer than a task is open for attestations.
const ATTESTED: Duration = Duration::from_secs(20);
const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

fn params() -> ConsensusParams {
    ConsensusParams { epoch_blocks: EPOCH_BLOCKS, ..ConsensusParams::default() }
}

/// From a block on, a later miner must be better by three quarters.
fn changed(from: BlockNumber) -> Arc<ConsensusSchedule> {
    let dominance = Fraction { numerator: 3, denominator: 4 };
    let new = ConsensusParams { dominance, ..params() };
    Arc::new(ConsensusSchedule::new([(BlockNumber(0), params()), (from, new)]).unwrap())
}

async fn join(network: &Network, validator: &Validator) {
    validator.agreement.until_may_sign().await;
    validator.witness();
    validator.set_weights(network.source());
}

/// Waits for the first epoch from `from` on that all set; returns it with its heaviest slot. No two
/// may set different weights in any from `compared` on.
async fn until_agreed(
    validators: [&Validator; 4],
    compared: BlockNumber,
    from: BlockNumber,
) -> (BlockNumber, Uid) {
    // On a busy machine several epochs in a row may lack witnesses, whose span is two seconds here.
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    loop {
        let set = validators.map(|validator| validator.set_epochs(compared));
        let mut all = BTreeMap::new();
        for (epoch, uid) in set.iter().flatten() {
            assert_eq!(*all.entry(*epoch).or_insert(*uid), *uid, "epoch {epoch}");
        }
        let by_all = |epoch| set.iter().all(|one| one.contains_key(epoch));
        let agreed = all.range(from..).find(|(epoch, _)| by_all(epoch));
        if let Some((epoch, uid)) = agreed {
            return (*epoch, *uid);
        }
        assert!(tokio::time::Instant::now() < deadline, "no agreement: {set:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Produces files of the next tasks, whoever has the turn, until all hold one that is certified.
///
/// A task is closed for attestations after seconds: on a busy machine the first may miss that.
async fn produce(
    network: &Network,
    validators: &[&Validator],
    consensus: &ConsensusSchedule,
    passed: &[&str],
) -> u64 {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let task = validators[0].next_task();
        let listed = network.list.validators();
        let turn = listed[usize::try_from(task).unwrap() % listed.len()];
        let producer = NAMES.iter().position(|name| hotkey(name) == turn).unwrap();
        let mut file = draft(network, task, passed);
        file.params = consensus.digest_at(BlockNumber(task * INTERVAL));
        let file = validators[producer].produce(file).await;
        let all_hold = async {
            for validator in validators {
                validator.until_certified(file).await;
            }
        };
        match tokio::time::timeout(ATTESTED, all_hold).await {
            Ok(()) => return task,
            Err(_) => eprintln!("task {task} was not certified in time"),
        }
        assert!(tokio::time::Instant::now() < deadline, "no file was certified");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn validators_that_update_one_by_one_across_a_change_agree_in_every_epoch() {
    let network = Network::start(&NAMES).await;
    let old = Arc::new(ConsensusSchedule::from(params()));
    let mut started: Vec<Validator> = Vec::new();
    for name in NAMES {
        let bootnode = match started.first() {
            Some(first) => Some(first.address().await),
            None => None,
        };
        let state = State::in_memory(network.client.network()).unwrap();
        let build = Build { state, consensus: Arc::clone(&old), bootnode };
        started.push(Validator::start_with(&network, name, build).await);
    }
    for validator in &started {
        join(&network, validator).await;
    }
    let [first, second, third, fourth] = started.try_into().ok().unwrap();
    let all = [&first, &second, &third, &fourth];
    produce(&network, &all, &old, &MINERS).await;
    let task = produce(&network, &all, &old, &MINERS[1..]).await;
    let epoch = epoch_after(task, EPOCH_BLOCKS);

    // Two have the change, two do not: nothing is different before its block.
    let switch = BlockNumber(epoch.0 + 2 * EPOCH_BLOCKS + 20);
    let new = changed(switch);
    let bootnode = fourth.address().await;
    let first = first.update(&network, NAMES[0], &new, bootnode.clone()).await;
    join(&network, &first).await;
    let second = second.update(&network, NAMES[1], &new, bootnode.clone()).await;
    join(&network, &second).await;
    let better = network.uid(MINERS[1]).await;
    let (agreed, winner) = until_agreed([&first, &second, &third, &fourth], epoch, epoch).await;
    assert_eq!(winner, better);
    assert!(agreed < switch);

    // A third one updates in time. The fourth is refused from the block on, and then updates, too.
    let third = third.update(&network, NAMES[2], &new, bootnode).await;
    join(&network, &third).await;
    first.until_block(switch.0).await;
    let alone = async {
        while !fourth.agreement.connected().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.expect("those who updated to leave the old one");
    let fourth = fourth.update(&network, NAMES[3], &new, first.address().await).await;
    join(&network, &fourth).await;
    let all = [&first, &second, &third, &fourth];
    let task = produce(&network, &all, &new, &MINERS).await;
    assert!(task * INTERVAL >= switch.0);

    // By the old parameters the later miner would still win. The epochs around the change are
    // compared, too.
    let earlier = network.uid(MINERS[0]).await;
    let (_, winner) = until_agreed(all, epoch, epoch_after(task, EPOCH_BLOCKS)).await;
    assert_eq!(winner, earlier);
}
