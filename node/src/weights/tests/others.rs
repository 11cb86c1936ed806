//! What others have on chain, against a fake chain.

use super::fake_chain::Lack;
use super::*;
use crate::weights::Others;

#[tokio::test]
async fn an_epoch_that_cannot_be_read_hides_no_other_and_a_dropped_one_is_not_read_again() {
    let validator = Validator::new(MODES[0]).await;
    let newer = BlockNumber(EPOCH.0 + 180);
    let record = EpochRecord { epoch_block: newer, ..validator.epoch() };
    validator.state.keep_epoch(&record).unwrap();
    let (spans, state) = (&validator.weights.spans, validator.state.clone());
    let others = Others {
        chain: validator.weights.chain.clone(),
        consensus: Arc::clone(&spans.consensus),
        state: state.clone(),
        allowlists: spans.allowlists.clone(),
        hotkey: hotkey(99),
    };
    let is_seen = || {
        let epochs = state.epochs(2).unwrap();
        epochs.iter().map(|one| one.outcome.contains("weights_seen")).collect::<Vec<_>>()
    };
    let (now, mut done) = (head(newer.0 + 190), BlockNumber(0));
    validator.chain.books().lacks = Some((EPOCH.0, Lack::NotReached));
    others.read(now, &mut done).await.unwrap();
    assert_eq!((is_seen(), done), (vec![true, false], BlockNumber(0)), "the older one is left");
    validator.chain.books().lacks = Some((EPOCH.0, Lack::Pruned));
    others.read(now, &mut done).await.unwrap();
    assert_eq!((is_seen(), done), (vec![true, false], newer));
}
