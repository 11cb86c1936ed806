//! Witnesses against a fake chain.

use std::collections::BTreeSet;

use leoma_chain::PlainCommitment;
use leoma_protocol::{ConsensusSchedule, FileId, TaskId, Witness};
use leoma_rotation::{Allowlist, AllowlistHistory};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fake_chain::Lack;
use super::*;
use crate::state::{WitnessRecord, WitnessState};
use crate::weights::{Held, Spans, WitnessObstacle, Witnesses, witness_obstacle};

/// Of an interval of 40 blocks: tasks 0 to 2 have settled at block 180, and witnesses count from
/// block 172 on.
const INTERVAL: u64 = 40;
const FIRST: u64 = 172;

#[derive(Debug)]
struct Files(bool, BTreeSet<FileId>);

impl Held for Files {
    fn may_sign(&self) -> bool {
        self.0
    }

    fn files(&self, _: &AllowlistHistory) -> BTreeSet<FileId> {
        self.1.clone()
    }
}

struct Writer {
    chain: Arc<FakeChain>,
    state: State,
    heads: watch::Sender<leoma_chain::Head>,
    stop: CancellationToken,
    _keep: watch::Sender<Arc<AllowlistHistory>>,
    running: tokio::task::JoinHandle<Result<(), crate::state::StateError>>,
    held: FileId,
}

impl Writer {
    /// A validator that is alone on the list and holds the file of task 1.
    async fn start(validator: Validator, may_sign: bool) -> Self {
        let Validator { chain, weights, state } = validator;
        let own = weights.signer.hotkey();
        let list = Allowlist::new(INTERVAL, [own]).unwrap();
        let history = Arc::new(AllowlistHistory::since_genesis(list));
        let (keep, allowlists) = watch::channel(history);
        let held = FileId { task_id: TaskId(1), producer: own };
        chain.books().head = 160;
        let (heads, receiver) = watch::channel(head(160));
        let witnesses = Witnesses {
            chain: weights.chain.clone(),
            signer: weights.signer.clone(),
            spans: Spans { consensus: Arc::new(ConsensusSchedule::production()), allowlists },
            held: Arc::new(Files(may_sign, [held].into())),
            state: state.clone(),
            metrics: weights.metrics.clone(),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(witnesses.run(receiver, stop.clone()));
        Self { chain, state, heads, stop, _keep: keep, running, held }
    }

    /// The chain's head becomes `number`; waits until it was looked at.
    async fn at(&self, number: u64) {
        self.chain.books().head = number;
        self.heads.send_replace(head(number));
        // The loop runs on this thread, and its work on the disk elsewhere.
        for _ in 0..200 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn sent(&self) -> usize {
        self.chain.books().sent.len()
    }

    fn newest(&self) -> Option<WitnessRecord> {
        self.state.witnesses(1).unwrap().pop()
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_witness_of_what_is_held_is_written_once_in_its_span() {
    let writer = Writer::start(Validator::new(MODES[0]).await, true).await;
    writer.at(FIRST - 2).await;
    assert_eq!((writer.sent(), writer.newest()), (0, None), "it would be included too early");
    writer.at(FIRST - 1).await;
    writer.at(FIRST + 3).await;
    assert_eq!(writer.sent(), 1);
    let PlainCommitment { block, bytes } = writer.chain.books().plain.clone().unwrap();
    let witness = Witness::decode(&bytes).unwrap().unwrap();
    assert_eq!((block, witness.epoch_block), (BlockNumber(FIRST), EPOCH));
    assert_eq!(witness.held().collect::<Vec<_>>(), [(writer.held.task_id, 0)]);
    writer.at(180).await;
    assert_eq!(writer.newest().unwrap().state, WitnessState::Final);
    writer.end().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_within_the_span_and_what_is_missed_says_why() {
    let writer = Writer::start(Validator::new(MODES[0]).await, true).await;
    writer.chain.books().is_cut = true;
    writer.at(FIRST).await;
    let record = writer.newest().unwrap();
    assert_eq!((writer.sent(), record.state), (0, WitnessState::Prepared));
    assert!(!record.reason.is_empty());
    writer.chain.books().is_cut = false;
    // The lost transaction's time must be over first.
    writer.at(FIRST + 5).await;
    assert_eq!(writer.sent(), 1);
    writer.end().await;

    let silent = Writer::start(Validator::new(MODES[0]).await, false).await;
    silent.at(FIRST).await;
    silent.at(180).await;
    let record = silent.newest().unwrap();
    assert_eq!((silent.sent(), record.state), (0, WitnessState::Missed));
    assert!(record.reason.contains("another machine"), "{record:?}");
    silent.end().await;
}

#[tokio::test]
async fn a_witness_whose_boundary_cannot_be_read_does_not_hold_up_the_next_one() {
    let writer = Writer::start(Validator::new(MODES[0]).await, true).await;
    writer.chain.books().is_cut = true;
    writer.at(FIRST).await;
    writer.chain.books().is_cut = false;
    writer.chain.books().lacks = Some((EPOCH.0, Lack::NotReached));
    writer.at(EPOCH.0 + 20).await;
    let record = writer.newest().unwrap();
    assert_eq!((record.epoch_block, record.state), (EPOCH, WitnessState::Prepared));
    writer.at(EPOCH.0 + FIRST + 4).await;
    let newest = writer.state.witnesses(2).unwrap();
    let ends: Vec<_> = newest.iter().map(|one| (one.epoch_block.0, one.state)).collect();
    let next = (2 * EPOCH.0, WitnessState::Final);
    assert_eq!((writer.sent(), ends), (1, vec![next, (EPOCH.0, WitnessState::Missed)]));
    assert_eq!(writer.newest().unwrap().reason, "");
    writer.end().await;
}

#[tokio::test]
async fn after_a_restart_nothing_is_written_twice() {
    let validator = Validator::new(MODES[0]).await;
    let again = Validator {
        chain: Arc::clone(&validator.chain),
        weights: validator.weights.clone(),
        state: validator.state.clone(),
    };
    let writer = Writer::start(validator, true).await;
    writer.at(FIRST).await;
    assert_eq!(writer.sent(), 1);
    writer.end().await;
    let writer = Writer::start(again, true).await;
    writer.at(FIRST + 2).await;
    writer.at(181).await;
    assert_eq!((writer.sent(), writer.newest().unwrap().state), (1, WitnessState::Final));
    writer.end().await;
}

#[tokio::test]
async fn the_owners_and_a_miners_hotkey_do_not_witness() {
    let validator = Validator::new(MODES[0]).await;
    let now = head(validator.chain.books().head);
    let metagraph = validator.weights.chain.metagraph(now).await.unwrap();
    let own = validator.weights.signer.hotkey();
    assert_eq!(witness_obstacle(&metagraph, &own), None);
    assert_eq!(witness_obstacle(&metagraph, &hotkey(100)), Some(WitnessObstacle::Owner));
    assert_eq!(witness_obstacle(&metagraph, &hotkey(99)), Some(WitnessObstacle::NotRegistered));
    let text = leoma_protocol::MinerCommitment {
        model_name: format!("team/leoma-{own}"),
        model_revision: "a".repeat(40),
        chute_id: "b9a1c3d4-1111-2222-3333-444455556666".to_owned(),
    }
    .to_text();
    let mut metagraph = metagraph;
    let commitment = leoma_chain::Commitment { text, block: BlockNumber(3), count: 1 };
    metagraph.commitments.insert(own, commitment);
    assert_eq!(witness_obstacle(&metagraph, &own), Some(WitnessObstacle::Miner));
}
