//! What liars and cuts cannot do: make two honest validators set different weights. Real meshes,
//! witnesses and weights on a real chain; whole processes go through the same in `chaos`.

use std::sync::Arc;

use leoma_protocol::{ConsensusSchedule, FileId};

use super::agreeing::{
    Double, EPOCH_BLOCKS, MINERS, Network, PATIENCE, Validator, draft, epoch_after,
};

const HONEST: [&str; 3] = ["first", "second", "third"];

/// Waits until a validator holds evidence about a file.
async fn until_proven(validator: &Validator, file: FileId) {
    let mut holdings = validator.agreement.mesh().holdings();
    let proven = holdings.wait_for(|now| now.equivocations.contains(&file));
    let _proven = tokio::time::timeout(PATIENCE, proven).await.expect("evidence").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_liar_with_two_files_for_two_half_meshes_gets_one_of_them_counted_or_none() {
    let network = Network::start(&["first", "second", "third", "liar"]).await;
    let first = Validator::start(&network, "first", None).await;
    let second = Validator::start(&network, "second", Some(first.address().await)).await;
    let third = Validator::start(&network, "third", None).await;
    // Two nodes of one hotkey, each with the validators of one half.
    let near = Double::start(&network, "liar", first.address().await).await;
    near.mesh.dial(second.address().await).await.unwrap();
    let far = Double::start(&network, "liar", third.address().await).await;
    near.until_met(&["first", "second"]).await;
    far.until_met(&["third"]).await;
    for validator in [&first, &second, &third] {
        validator.agreement.until_may_sign().await;
        validator.witness();
        validator.set_weights(network.source());
    }
    let task = network.turn_of("liar", first.next_task());
    first.until_block(draft(&network, task, &[]).block.0).await;
    let one = near.tell(draft(&network, task, &MINERS[..1])).await;
    let other = far.tell(draft(&network, task, &MINERS[1..])).await;
    assert!(one.id == other.id && one.digest != other.digest);

    // With the liar's vote the larger half certifies its file. The smaller one holds the other
    // file, and knows from the chain that it is not enough.
    first.until_certified(one.id).await;
    let epoch = epoch_after(task, EPOCH_BLOCKS);
    third.until_abstained(epoch).await;
    let winner = network.uid(MINERS[0]).await;
    assert_eq!([first.until_set(epoch).await, second.until_set(epoch).await], [winner; 2]);

    third.agreement.mesh().dial(first.address().await).await.unwrap();
    assert_eq!(third.until_set(epoch).await, winner);
    for name in HONEST {
        assert_eq!(network.weights_of(name).await, [(winner, u16::MAX)], "{name}");
    }
    for validator in [&first, &second, &third] {
        until_proven(validator, one.id).await;
    }
}

/// The next task whose first turn is one of these validators', and whose.
fn next_turn<'a>(network: &Network, of: &[(&'a Validator, &str)]) -> (u64, &'a Validator) {
    let turn = |(validator, name): &(&'a Validator, &str)| {
        (network.turn_of(name, validator.next_task()), *validator)
    };
    of.iter().map(turn).min_by_key(|(task, _)| *task).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_validator_cut_from_mesh_and_buckets_sets_nothing_from_an_old_window() {
    let network = Network::start(&["first", "second", "third", "fourth"]).await;
    let first = Validator::start(&network, "first", None).await;
    let bootnode = Some(first.address().await);
    let second = Validator::start(&network, "second", bootnode.clone()).await;
    let third = Validator::start(&network, "third", bootnode.clone()).await;
    let fourth = Validator::start(&network, "fourth", bootnode).await;
    let all = [(&first, "first"), (&second, "second"), (&third, "third"), (&fourth, "fourth")];
    for (validator, _) in all {
        validator.agreement.until_may_sign().await;
        validator.witness();
        validator.set_weights(network.source());
    }
    // The fourth one will be cut off.
    let (task, producer) = next_turn(&network, &all[..3]);
    // By this file alone the early miner wins.
    let known = producer.produce(draft(&network, task, &MINERS)).await;
    for (validator, _) in all {
        validator.until_certified(known).await;
    }
    fourth.lose_the_mesh().await;
    let (task, producer) = next_turn(&network, &all[..3]);
    let unknown = producer.produce(draft(&network, task, &MINERS[1..])).await;
    first.until_certified(unknown).await;

    let (epoch, winner) = (epoch_after(task, EPOCH_BLOCKS), network.uid(MINERS[1]).await);
    fourth.until_abstained(epoch).await;
    for (validator, _) in &all[..3] {
        assert_eq!(validator.until_set(epoch).await, winner);
    }

    // It comes back, and sets what the others did.
    let consensus = Arc::new(ConsensusSchedule::production());
    let fourth = fourth.update(&network, "fourth", &consensus, first.address().await).await;
    fourth.agreement.until_may_sign().await;
    fourth.set_weights(network.source());
    assert_eq!(fourth.until_set(epoch).await, winner);
    for name in ["first", "second", "third", "fourth"] {
        assert_eq!(network.weights_of(name).await, [(winner, u16::MAX)], "{name}");
    }
}
