//! A whole subnet whose validators serve two mechanisms, each by a process of its own.

use std::time::Duration;

use leoma_protocol::{ConsensusParams, Netuid};
use leoma_testnet::launch::{EPOCH_BLOCKS, Mechanism, NETUID, Options, Subnet, ValidatorView};

/// Milliseconds of a block: two cores carry two processes of each validator.
const BLOCK_TIME: u64 = 700;
/// Time for two epochs of both, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(900);

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn every_validator_sets_the_same_weights_for_each_mechanism() {
    let options = Options {
        validators: 2,
        miners: 3,
        block_time: BLOCK_TIME,
        seed: "mechanisms".into(),
        mechanisms: vec![Mechanism::Video, Mechanism::T2v],
        ..Options::default()
    };
    let mut subnet = Subnet::start(options, |text| eprintln!("{text}")).await.unwrap();
    // An epoch is decided with one witness of two, so each one's first may come later.
    let has_witnessed = |validator: &ValidatorView| validator.status.witnesses > 0;
    let view = subnet.wait_until(LIMIT, |view| {
        let further = view.mechanisms.iter().flat_map(|further| &further.validators);
        view.epochs_agreed() >= 2 && view.validators.iter().chain(further).all(has_witnessed)
    });
    let view = view.await.unwrap_or_else(|error| panic!("{error}"));
    let report = subnet.report(&view, 2);
    assert!(report.succeeded(), "{}", report.table());
    // Each has its own epochs on the chain, so that no witness takes the other's place.
    let [further] = &report.mechanisms[..] else { panic!("one further mechanism") };
    let offset = ConsensusParams::epoch_offset_of(1, EPOCH_BLOCKS);
    for (validators, offset) in [(&report.validators, 0), (&further.validators, offset)] {
        for validator in validators {
            assert!(validator.witnesses > 0);
            let boundaries = validator.epochs.iter().map(|epoch| epoch.epoch_block);
            assert!(boundaries.clone().all(|block| block % EPOCH_BLOCKS == offset));
            assert!(boundaries.count() >= 2);
        }
    }
    assert_eq!(Netuid(NETUID).with_mechanism(1), Some(Netuid(NETUID + 4096)));
    subnet.stop().await;
}
