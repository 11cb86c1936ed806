//! An epoch whose counted files cannot be fetched is not decided from less. It is decided as soon
//! as they arrive, while it is the newest.

use leoma_protocol::Uid;

use super::agreeing::{EPOCH_BLOCKS, Network, Validator, draft, epoch_after};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn an_epoch_whose_counted_file_is_missing_is_decided_once_it_is_there() {
    let network = Network::start(&["first", "second", "third"]).await;
    // The first validator is alone. The others certify a file and witness it.
    let first = Validator::start(&network, "first", None).await;
    first.set_weights(network.source());
    let second = Validator::start(&network, "second", None).await;
    let third = Validator::start(&network, "third", Some(second.address().await)).await;
    for validator in [&first, &second, &third] {
        validator.agreement.until_may_sign().await;
    }
    let task = network.turn_of("second", second.next_task());
    // Nobody is asked, so the weight is burned.
    let mut empty = draft(&network, task, &[]);
    empty.entries.clear();
    let file = second.produce(empty).await;
    second.until_certified(file).await;
    third.until_certified(file).await;
    second.witness();
    third.witness();

    // It counts at the boundary, and the first one does not have it: no weights, and it goes on.
    let epoch = epoch_after(task, EPOCH_BLOCKS);
    first.until_abstained(epoch).await;

    // It reaches the others: the certificate comes by catch-up, and the file from either of them.
    first.agreement.mesh().dial(second.address().await).await.unwrap();
    assert_eq!(first.until_set(epoch).await, Uid(0));
    assert_eq!(network.weights_of("first").await, [(Uid(0), u16::MAX)]);
}
