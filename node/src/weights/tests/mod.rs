//! Weights in each mode against a fake chain, with slots that change hands.

mod fake_chain;
mod others;
mod witness;

use std::sync::{Arc, Mutex};

use leoma_chain::{
    Beacon, Call, Chain, ChainClient, ChainWeights, Connector, MemoryLog, Rejection, WeightMode,
};
use leoma_protocol::{BlockNumber, ConsensusSchedule, HotkeySigner, MemoryGuard, Netuid, Uid};
use leoma_rotation::{Allowlist, AllowlistHistory, Slot, WeightEntry, WeightVector};
use libp2p::metrics::Registry;
use sp_core::{Pair as _, sr25519};
use tokio::sync::watch;

use self::fake_chain::{Books, FakeChain, head, hotkey};
use super::failure::{EpochError, is_final};
use super::put::{Progress, Target, WEIGHTS_VERSION, Weights, WeightsError, commit_hash};
use super::slots::ChangedSlot;
use super::spans::Spans;
use crate::metrics::Metrics;
use crate::state::{CommitState, EpochRecord, EpochState, State, WeightCommit};

const NETUID: Netuid = Netuid(7);
const EPOCH: BlockNumber = BlockNumber(180);
/// Our own slot, and those of two miners.
const OWN: Uid = Uid(1);
const MINERS: [Uid; 2] = [Uid(2), Uid(3)];
/// Public key of drand's quicknet.
const QUICKNET: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
const MODES: [WeightMode; 3] = [
    WeightMode::Plain,
    WeightMode::CommitReveal { period: 1 },
    WeightMode::Timelocked { version: 4, period: 1 },
];

struct Validator {
    chain: Arc<FakeChain>,
    weights: Weights,
    state: State,
}

impl Validator {
    async fn new(mode: WeightMode) -> Self {
        let signer =
            HotkeySigner::new(sr25519::Pair::from_seed(&[5; 32]), Arc::new(MemoryGuard::default()));
        let mut holders = vec![hotkey(100), signer.hotkey()];
        holders.extend(MINERS.map(|uid| hotkey(uid.0 as u8)));
        let books = Books {
            head: EPOCH.0 + 3,
            index: 4,
            holders,
            last_update: 1,
            weights: Vec::new(),
            hashes: Vec::new(),
            timelocked: Vec::new(),
            plain: None,
            signed: None,
            sent: Vec::new(),
            is_cut: false,
            refuses: None,
            weights_version: 3,
            lacks: None,
        };
        let chain = Arc::new(FakeChain { mode, books: Mutex::new(books) });
        let node = Arc::clone(&chain);
        let connect: Connector = Box::new(move || {
            let node = Arc::clone(&node) as Arc<dyn Chain>;
            Box::pin(async move { Ok(node) })
        });
        let nodes = vec![("fake".to_owned(), connect)];
        let log = Arc::new(MemoryLog::default());
        let client = ChainClient::connect_through(nodes, NETUID, None, log).await.unwrap();
        let state = State::in_memory(client.network()).unwrap();
        let record = EpochRecord {
            epoch_block: EPOCH,
            state: EpochState::Decided,
            winner_hotkey: Some(hotkey(2)),
            uid: Some(MINERS[0]),
            reason: "known: won the window".to_owned(),
            outcome: "{}".to_owned(),
        };
        state.keep_epoch(&record).unwrap();
        let list = Allowlist::new(100, [signer.hotkey()]).unwrap();
        let (_, allowlists) = watch::channel(Arc::new(AllowlistHistory::since_genesis(list)));
        let weights = Weights {
            chain: client,
            signer,
            state: state.clone(),
            beacon: Beacon::new(hex::decode(QUICKNET).unwrap().try_into().unwrap()).unwrap(),
            spans: Spans { consensus: Arc::new(ConsensusSchedule::production()), allowlists },
            metrics: Metrics::register(&mut Registry::default()),
        };
        Self { chain, weights, state }
    }

    async fn put(&self, target: &Target) -> Result<Progress, WeightsError> {
        let now = head(self.chain.books().head);
        self.weights.put(target, now).await
    }

    fn sent(&self) -> Vec<Call> {
        self.chain.books().sent.clone()
    }

    fn commit(&self) -> Option<CommitState> {
        self.state.weight_commit(EPOCH).unwrap().map(|commit| commit.state)
    }

    fn epoch(&self) -> EpochRecord {
        self.state.epochs(1).unwrap().remove(0)
    }

    /// Lets the subnet's next epoch begin, and follows the commits in it.
    async fn follow_in_next_epoch(&self) {
        let now = {
            let mut books = self.chain.books();
            books.index += 1;
            head(books.head)
        };
        let _pause = self.weights.follow(now).await.unwrap();
    }
}

/// All weight on the first miner.
fn winner() -> Target {
    let slot = Slot { hotkey: hotkey(2), uid: MINERS[0] };
    Target { epoch_block: EPOCH, weights: WeightVector::whole(slot) }
}

fn whole(uid: Uid) -> ChainWeights {
    ChainWeights { uids: vec![uid], values: vec![u16::MAX], version_key: WEIGHTS_VERSION }
}

#[tokio::test]
async fn one_winner_is_one_uid_with_the_largest_weight_on_the_chain() {
    let plain = Validator::new(MODES[0]).await;
    assert_eq!(plain.put(&winner()).await.unwrap(), Progress::Set);
    assert_eq!(plain.sent(), [Call::SetWeights(whole(MINERS[0]))]);

    let committed = Validator::new(MODES[1]).await;
    assert_eq!(committed.put(&winner()).await.unwrap(), Progress::Committed);
    let salt = committed.state.weight_commit(EPOCH).unwrap().unwrap().salt;
    let own = committed.weights.signer.hotkey();
    let hash = commit_hash(&own, NETUID.0, &whole(MINERS[0]), &salt);
    committed.follow_in_next_epoch().await;
    let reveal = Call::RevealWeights { weights: whole(MINERS[0]), salt };
    assert_eq!(committed.sent(), [Call::CommitWeights { hash }, reveal]);
    assert_eq!(
        (committed.commit(), committed.epoch().state),
        (Some(CommitState::Revealed), EpochState::Set)
    );
}

#[tokio::test]
async fn a_commit_that_waits_is_looked_at_a_few_times_in_an_epoch() {
    for mode in [MODES[1], MODES[2]] {
        let validator = Validator::new(mode).await;
        let now = head(validator.chain.books().head);
        assert_eq!(validator.weights.follow(now).await.unwrap(), 1, "nothing waits");
        validator.put(&winner()).await.unwrap();
        let looks = 360 / validator.weights.follow(now).await.unwrap();
        assert!((10..=60).contains(&looks), "{looks} in an epoch of 360 blocks");
    }
}

#[tokio::test]
async fn the_version_is_ours_and_nothing_is_sent_to_a_subnet_that_demands_a_newer_one() {
    for mode in MODES {
        let validator = Validator::new(mode).await;
        validator.chain.books().weights_version = WEIGHTS_VERSION;
        validator.put(&winner()).await.unwrap();
        let validator = Validator::new(mode).await;
        validator.chain.books().weights_version = WEIGHTS_VERSION + 1;
        let error = validator.put(&winner()).await.unwrap_err();
        assert!(matches!(error, WeightsError::VersionTooOld { .. }), "{mode:?}: {error}");
        assert_eq!((validator.sent(), validator.commit()), (vec![], None), "{mode:?}");
    }
}

#[tokio::test]
async fn weights_that_were_refused_for_a_permit_or_stake_are_set_in_the_same_epoch() {
    for rejection in [Rejection::NoPermit, Rejection::StakeTooLow] {
        for mode in MODES {
            let validator = Validator::new(mode).await;
            validator.chain.books().refuses = Some(rejection.clone());
            for _ in 0..2 {
                let error = validator.put(&winner()).await.unwrap_err();
                let WeightsError::Submit(refused) = &error else { panic!("{error}") };
                assert_eq!(refused.rejection(), Some(&rejection), "{mode:?}");
                assert!(!is_final(&EpochError::Weights(error)), "{mode:?}: it is tried again");
            }
            assert!(validator.sent().is_empty(), "{mode:?}");
            validator.chain.books().refuses = None;
            let progress = match mode {
                WeightMode::Plain => Progress::Set,
                _ => Progress::Committed,
            };
            assert_eq!(validator.put(&winner()).await.unwrap(), progress, "{mode:?}");
            assert_eq!(validator.sent().len(), 1, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn several_shares_go_to_the_chain_in_one_vector() {
    let [first, second] = MINERS;
    let entries = vec![
        WeightEntry { hotkey: hotkey(2), uid: first, share: 100 },
        WeightEntry { hotkey: hotkey(3), uid: second, share: WeightVector::LARGEST },
    ];
    let target = Target { epoch_block: EPOCH, weights: WeightVector { entries } };
    let validator = Validator::new(MODES[0]).await;
    assert_eq!(validator.put(&target).await.unwrap(), Progress::Set);
    assert_eq!(validator.chain.books().weights, [(first, 100), (second, u16::MAX)]);
    // One slot that changed hands is enough to refuse all.
    let validator = Validator::new(MODES[0]).await;
    validator.chain.take_over(first);
    assert!(matches!(validator.put(&target).await, Err(WeightsError::SlotChanged(_))));
}

#[tokio::test]
async fn in_every_mode_nothing_is_sent_for_a_slot_that_changed_hands_since_the_boundary() {
    for mode in MODES {
        let validator = Validator::new(mode).await;
        let newcomer = validator.chain.take_over(MINERS[0]);
        let error = validator.put(&winner()).await.unwrap_err();
        let WeightsError::SlotChanged(changed) = error else { panic!("{mode:?}: {error}") };
        let expected = ChangedSlot { uid: MINERS[0], earned_by: hotkey(2), holder: Some(newcomer) };
        assert_eq!(changed, expected, "{mode:?}");
        let text = changed.to_string();
        assert!(text.contains(&newcomer.to_string()), "{text}");
        assert_eq!((validator.sent(), validator.commit()), (vec![], None), "{mode:?}");
    }
    let validator = Validator::new(MODES[0]).await;
    validator.chain.books().holders.truncate(2);
    let error = validator.put(&winner()).await.unwrap_err();
    assert!(error.to_string().contains("nobody holds it"), "{error}");
}

#[tokio::test]
async fn a_slot_that_changes_hands_after_the_submission_takes_nothing_back() {
    for mode in MODES {
        let validator = Validator::new(mode).await;
        let progress = validator.put(&winner()).await.unwrap();
        validator.chain.take_over(MINERS[0]);
        // As after a restart between the transaction and its record.
        assert_eq!(validator.put(&winner()).await.unwrap(), progress, "{mode:?}");
        assert_eq!(validator.sent().len(), 1, "{mode:?}");
    }
}

#[tokio::test]
async fn a_prepared_commit_is_given_up_once_its_slot_has_changed_hands() {
    for mode in &MODES[1..] {
        let validator = Validator::new(*mode).await;
        validator.chain.books().is_cut = true;
        validator.put(&winner()).await.unwrap_err();
        assert_eq!(validator.commit(), Some(CommitState::Prepared), "{mode:?}");
        validator.chain.books().is_cut = false;
        validator.chain.take_over(MINERS[0]);
        let error = validator.put(&winner()).await.unwrap_err();
        assert!(matches!(error, WeightsError::SlotChanged(_)), "{mode:?}: {error}");
        assert_eq!(validator.sent(), [], "{mode:?}");
        assert_eq!(validator.commit(), Some(CommitState::Replaced), "{mode:?}");
        assert_eq!(validator.epoch().state, EpochState::Refused, "{mode:?}");
    }
}

#[tokio::test]
async fn a5_a_commit_whose_round_the_chain_skipped_is_missed_and_the_next_one_is_made() {
    for is_kept in [true, false] {
        let validator = Validator::new(MODES[2]).await;
        assert_eq!(validator.put(&winner()).await.unwrap(), Progress::Committed);
        if !is_kept {
            validator.chain.books().timelocked.clear();
        }
        // Its epoch comes and goes, and nothing was opened.
        validator.follow_in_next_epoch().await;
        validator.follow_in_next_epoch().await;
        assert_eq!(validator.commit(), Some(CommitState::Missed), "{is_kept}");
        assert_eq!(validator.weights.metrics.reveals_missed.get(), 1);
        assert_eq!(validator.weights.metrics.epochs_refused.get(), 1);

        let epoch_block = BlockNumber(EPOCH.0 + 180);
        validator.chain.books().head += 180;
        let record = EpochRecord { epoch_block, state: EpochState::Decided, ..validator.epoch() };
        validator.state.keep_epoch(&record).unwrap();
        let next = Target { epoch_block, ..winner() };
        assert_eq!(validator.put(&next).await.unwrap(), Progress::Committed);
        assert_eq!(validator.sent().len(), 2, "one commit an epoch");
    }
}

#[tokio::test]
async fn a_commit_that_was_never_sent_is_missed_although_the_chain_has_equal_weights() {
    for mode in &MODES[1..] {
        let validator = Validator::new(*mode).await;
        validator.chain.books().is_cut = true;
        validator.put(&winner()).await.unwrap_err();
        let prepared = validator.state.weight_commit(EPOCH).unwrap().unwrap();
        assert_eq!(prepared.state, CommitState::Prepared, "{mode:?}");
        // A later epoch's commit shows that this one is sent no more.
        let (epoch_block, commit_epoch) = (BlockNumber(EPOCH.0 + 180), 7);
        let later = WeightCommit { epoch_block, commit_epoch, ..prepared };
        validator.state.keep_weight_commit(&later).unwrap();
        validator.chain.books().weights = vec![(MINERS[0], u16::MAX)];
        validator.chain.books().index = 6;
        validator.follow_in_next_epoch().await;
        assert_eq!(validator.commit(), Some(CommitState::Missed), "{mode:?}");
        assert_eq!(validator.epoch().state, EpochState::Refused, "{mode:?}");
        assert_eq!(validator.weights.metrics.epochs_set.get(), 0, "{mode:?}");
    }
}

#[tokio::test]
async fn a_slot_that_changes_hands_between_commit_and_reveal_is_not_paid() {
    for mode in &MODES[1..] {
        let validator = Validator::new(*mode).await;
        assert_eq!(validator.put(&winner()).await.unwrap(), Progress::Committed);
        validator.chain.take_over(MINERS[0]);
        if mode == &MODES[2] {
            // The chain opens it by itself.
            let mut books = validator.chain.books();
            books.timelocked.clear();
            books.weights = vec![(MINERS[0], u16::MAX)];
        }
        validator.follow_in_next_epoch().await;
        assert_eq!(validator.sent().len(), 1, "{mode:?}: no reveal");
        assert_eq!(validator.commit(), Some(CommitState::Replaced), "{mode:?}");
        let epoch = validator.epoch();
        assert_eq!(epoch.state, EpochState::Refused, "{mode:?}");
        assert!(epoch.reason.contains("lost its slot"), "{}", epoch.reason);
        assert_eq!(validator.weights.metrics.epochs_refused.get(), 1, "{mode:?}");
    }
}

#[tokio::test]
async fn weights_that_keep_us_active_take_the_place_of_no_epoch_that_may_still_be_set() {
    for mode in MODES {
        let validator = Validator::new(mode).await;
        let ended = EpochRecord { state: EpochState::Abstained, ..validator.epoch() };
        validator.state.keep_epoch(&ended).unwrap();
        let renew = async |block: u64| {
            validator.chain.books().head = block;
            validator.weights.renew(EPOCH, head(block)).await.unwrap()
        };
        validator.chain.books().weights = vec![(MINERS[1], u16::MAX)];
        assert!(!renew(4_000).await, "{mode:?}: they count for long enough");
        assert!(renew(4_400).await, "{mode:?}");

        let epoch_block = BlockNumber(4_320);
        let next = Target { epoch_block, ..winner() };
        validator.put(&next).await.unwrap();
        assert_eq!(validator.sent().len(), 2, "{mode:?}: both were sent");
        if mode == MODES[0] {
            assert_eq!(validator.chain.books().weights, [(MINERS[0], u16::MAX)]);
        } else {
            let commit = validator.state.weight_commit(epoch_block).unwrap().unwrap();
            assert_eq!(commit.weights, winner().weights, "{mode:?}");
        }
        validator.follow_in_next_epoch().await;
        assert_eq!(validator.epoch().state, EpochState::Abstained, "{mode:?}");
    }
}
