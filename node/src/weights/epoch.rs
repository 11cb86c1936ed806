//! The weight setter: at each epoch boundary it reads what the epoch follows from, fetches the files
//! that count, computes the epoch as every validator does, and puts its weights on the chain.
//!
//! It sets the weights that follow from the boundary or none. What may still change, such as a file
//! that cannot be fetched, is tried again until the next boundary; what follows from the chain alone is
//! not.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use leoma_chain::Head;
use leoma_protocol::{BlockNumber, ConsensusSchedule, FileId};
use leoma_rotation::{
    AllowlistHistory, Certificates, Counted, Decision, EpochInputs, Outcome, PolicyRecord,
    RecordEpoch, WindowRange, due_epoch, epoch, record_epoch,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::{CommitState, EpochRecord, EpochState, State, StateError};
use crate::subnet::{AllowlistsAt, SubnetError};
use crate::verdicts::{Exchange, Library, report};

use super::boundary::Boundary;
use super::failure::{EpochError, is_final};
use super::put::{Progress, Target, Weights};

/// How many counted files are fetched at a time; buckets and peers have bounds of their own.
const CONCURRENT_FETCHES: usize = 16;
/// The pause after an epoch's first failure; each further failure adds as much, up to the longest
/// pause. The epoch is tried until the next boundary: a rate limit of 100 blocks passes within an
/// epoch, and so do most outages.
const RETRY_PAUSE: Duration = Duration::from_secs(6);
/// The longest pause between two tries.
const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(60);
/// Epochs among which the newest one with weights is looked for at the start.
const EPOCHS_LOOKED_AT: u32 = 60;
/// Blocks for which decided epochs are kept with their outcomes: ten days of the live chain.
const KEPT_BLOCKS: u64 = 72_000;

/// Computes epochs and sets their weights.
#[derive(Debug)]
pub struct WeightSetter {
    /// The consensus constants by block.
    pub consensus: Arc<ConsensusSchedule>,
    /// The policy record that pays; `None` for video's rule, which the constants alone state.
    pub record: Option<Arc<PolicyRecord>>,
    /// Verified files.
    pub library: Library,
    /// What the mesh agreed on.
    pub agreement: Exchange,
    /// How weights get onto the chain.
    pub weights: Weights,
    /// The allowlists as they are followed.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// The allowlists as they were at a boundary.
    pub allowlists_at: AllowlistsAt,
}

/// How the last try to follow the commits went.
#[derive(Default)]
struct FollowUp {
    next: BlockNumber,
    faults: u32,
    rests_until: Option<Instant>,
    complaint: String,
}

/// The epoch that is being worked on.
#[derive(Default)]
struct Attempt {
    tries: u32,
    /// What the chain says at the boundary, once it was read: it does not change.
    boundary: Option<Boundary>,
    /// The last failure, which is not logged again.
    complaint: String,
}

/// The pause after that many failures in a row. All validators meet the same fault at the same
/// block, and must not come back at the same moment.
fn pause_after(failures: u32) -> Duration {
    RETRY_PAUSE
        .saturating_mul(failures)
        .min(LONGEST_RETRY_PAUSE)
        .mul_f64(rand::random_range(0.75..1.25))
}

impl WeightSetter {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`StateError`] if the state cannot be read at the start: an epoch could be decided again.
    pub async fn run(
        self,
        mut heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) -> Result<(), StateError> {
        let mut done = self.last_finished().await?;
        let known = self.weights.state.on_disk(|state| state.epochs(EPOCHS_LOOKED_AT)).await?;
        if let Some(epoch_block) = last_with_weights(&known) {
            self.weights.metrics.weights_on_chain(epoch_block);
        }
        let (mut begun, mut attempt) = (None, Attempt::default());
        let mut ended = None;
        let mut commits = FollowUp::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = heads.changed() => if changed.is_err() { return Ok(()) },
            }
            let head = *heads.borrow_and_update();
            self.follow_commits(head, &mut commits).await;
            let Some(epoch_block) = due_epoch(&self.consensus, head.number, done) else { continue };
            if begun != Some(epoch_block) {
                ended = begun.replace(epoch_block);
                attempt = Attempt::default();
                self.forget_before(epoch_block).await;
            }
            if !self.agreement.may_sign() {
                continue;
            }
            // Not before the epoch ends: one that lacks a file may still get it, and set its own
            // weights.
            if let Some(ended) = ended.take() {
                self.keep_active(ended, head).await;
            }
            match self.epoch(epoch_block, head, &mut attempt).await {
                Ok(()) => done = Some(epoch_block),
                Err(error) => {
                    if self.failed(epoch_block, &error, &mut attempt).await {
                        done = Some(epoch_block);
                        continue;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(pause_after(attempt.tries)) => {}
                    }
                }
            }
        }
    }

    /// Follows what was committed in earlier epochs. It rests after a fault, and logs a fault that
    /// repeats only once.
    async fn follow_commits(&self, head: Head, last: &mut FollowUp) {
        if head.number < last.next || last.rests_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        match self.weights.follow(head).await {
            Ok(pause) => {
                let next = BlockNumber(head.number.0.saturating_add(pause));
                *last = FollowUp { next, ..FollowUp::default() };
            }
            Err(error) => {
                last.faults += 1;
                last.rests_until = Some(Instant::now() + pause_after(last.faults));
                let text = error.to_string();
                if text != last.complaint {
                    tracing::warn!(%error, "failed to follow committed weights");
                    last.complaint = text;
                }
            }
        }
    }

    /// The newest epoch that needs nothing more.
    async fn last_finished(&self) -> Result<Option<BlockNumber>, StateError> {
        let epochs = self.weights.state.on_disk(|state| state.epochs(8)).await?;
        let finished = |epoch: &&EpochRecord| {
            !matches!(epoch.state, EpochState::Decided | EpochState::Abstained)
        };
        Ok(epochs.iter().find(finished).map(|epoch| epoch.epoch_block))
    }

    /// Forgets what neither this epoch nor a later one looks at, whether or not weights are set.
    async fn forget_before(&self, epoch_block: BlockNumber) {
        let history = Arc::clone(&self.allowlists.borrow());
        let params = self.consensus.at(epoch_block);
        let first = WindowRange::new(params, &history, epoch_block).oldest_task();
        let oldest = BlockNumber(epoch_block.0.saturating_sub(KEPT_BLOCKS));
        let library = self.library.clone();
        let forgotten = self.weights.state.on_disk(move |state| {
            library.prune_before(first)?;
            state.prune_epochs_before(oldest)
        });
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "failed to forget old verdict files and epochs");
        }
    }

    /// Notes a failure. Returns whether the epoch is done with it.
    async fn failed(
        &self,
        epoch_block: BlockNumber,
        error: &EpochError,
        attempt: &mut Attempt,
    ) -> bool {
        attempt.tries += 1;
        self.weights.metrics.weight_failures.inc();
        let text = error.to_string();
        if text != attempt.complaint {
            tracing::warn!(%epoch_block, %error, tries = attempt.tries, "weights not set");
            attempt.complaint = text;
        }
        let is_final = is_final(error);
        if is_final && !matches!(error, EpochError::Abstained(_)) {
            self.weights.metrics.epochs_refused.inc();
            let reason = error.to_string();
            let given_up =
                self.weights.state.on_disk(move |state| give_up(state, epoch_block, &reason)).await;
            if let Err(error) = given_up {
                tracing::error!(%epoch_block, %error, "failed to record the refused epoch");
            }
        }
        is_final
    }

    async fn epoch(
        &self,
        epoch_block: BlockNumber,
        now: Head,
        attempt: &mut Attempt,
    ) -> Result<(), EpochError> {
        let state = &self.weights.state;
        // The process ended between a commit and its record: the commit is followed up, and the epoch
        // is not decided again.
        let commit = state.on_disk(move |state| state.weight_commit(epoch_block)).await?;
        if commit.is_some_and(|commit| commit.state != CommitState::Prepared) {
            state.on_disk(move |state| state.mark_epoch_committed(epoch_block)).await?;
            self.weights.metrics.weights_on_chain(epoch_block);
            return Ok(());
        }
        let boundary = match attempt.boundary.take() {
            Some(boundary) => boundary,
            None => self.read_boundary(epoch_block).await?,
        };
        let boundary = attempt.boundary.insert(boundary);
        let found = self.decide(boundary).await;
        let record = record_of(epoch_block, &found, boundary.counted.as_ref().ok());
        let RecordEpoch { outcome, decision, .. } = found;
        if attempt.complaint.is_empty() || decision.weights().is_some() {
            log_decision(&record, &outcome);
        }
        let kept = record.clone();
        state.on_disk(move |state| state.keep_epoch(&kept)).await?;
        let Some(weights) = decision.weights().cloned() else {
            self.weights.metrics.epochs_abstained.inc();
            return Err(EpochError::Abstained(decision.reason()));
        };
        // Fetching may have taken minutes: slots, spans and the epoch are taken as they are now.
        let newest = self.weights.chain.head().await?;
        let now = if newest.number > now.number { newest } else { now };
        if self.consensus.at(now.number).epoch_block(now.number) > epoch_block {
            return Err(EpochError::Over);
        }
        match self.weights.put(&Target { epoch_block, weights }, now).await? {
            Progress::Set => {
                let set = EpochRecord { state: EpochState::Set, ..record };
                state.on_disk(move |state| state.keep_epoch(&set)).await?;
                self.weights.metrics.epochs_set.inc();
            }
            Progress::Committed => {
                state.on_disk(move |state| state.mark_epoch_committed(epoch_block)).await?;
            }
        }
        self.weights.metrics.weights_on_chain(epoch_block);
        Ok(())
    }

    async fn read_boundary(&self, epoch_block: BlockNumber) -> Result<Boundary, SubnetError> {
        let known = Arc::clone(&self.allowlists.borrow());
        let (chain, consensus) = (&self.weights.chain, &self.consensus);
        Boundary::read(chain, &self.allowlists_at, consensus, &known, epoch_block).await
    }

    /// Fetches what counts and is not held, and computes the epoch.
    async fn decide(&self, boundary: &Boundary) -> RecordEpoch {
        let wanted = boundary.counted.as_ref().map_or(&[][..], |counted| &counted.files);
        self.fetch(wanted, &self.agreement.certificates(&boundary.history)).await;
        // Certificates may have arrived meanwhile.
        let certificates = self.agreement.certificates(&boundary.history);
        let Boundary { params, history, snapshot, limits, .. } = boundary;
        let certificates = &certificates;
        match &self.record {
            None => {
                let files: Vec<_> = wanted.iter().flat_map(|id| self.library.of(*id)).collect();
                let inputs = EpochInputs { params, history, snapshot, files: &files, certificates };
                let (outcome, decision) = epoch(&inputs);
                RecordEpoch { outcome, paid: None, decision }
            }
            Some(record) => {
                let files: Vec<_> =
                    wanted.iter().flat_map(|id| self.library.observed(*id)).collect();
                let inputs = EpochInputs { params, history, snapshot, files: &files, certificates };
                record_epoch(&inputs, record, *limits)
            }
        }
    }

    /// Fetches counted files that are not held, from peers, else from their producers' buckets. A
    /// file whose certificate has not arrived cannot be told from a forged one; the mesh's catch-up
    /// brings the certificate.
    async fn fetch(&self, wanted: &[FileId], certificates: &Certificates) {
        let missing = wanted.iter().filter_map(|id| Some((*id, certificates.get(id)?)));
        let missing = missing.filter(|(id, digest)| !self.library.holds_digest(*id, *digest));
        stream::iter(missing)
            .for_each_concurrent(CONCURRENT_FETCHES, |(id, digest)| async move {
                let _found = self.agreement.fetch_once(id, digest).await;
            })
            .await;
    }

    /// Sends again what we have on chain, if we would soon count as inactive. `epoch_block` is an
    /// epoch that has ended. A failure is only logged: there are many epochs left to try in.
    async fn keep_active(&self, epoch_block: BlockNumber, now: Head) {
        match self.weights.renew(epoch_block, now).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(%epoch_block, "sent our weights again, unchanged, to stay active");
            }
            Err(error) => {
                tracing::warn!(%epoch_block, %error, "failed to send our weights again before the activity cutoff");
            }
        }
    }
}

fn log_decision(record: &EpochRecord, outcome: &Outcome) {
    tracing::info!(
        epoch_block = %record.epoch_block, reason = record.reason,
        winner = record.winner_hotkey.map(|hotkey| hotkey.to_string()), uid = record.uid.map(|uid| uid.0),
        tasks = outcome.window.len(), validators = outcome.active_validators.len(), "epoch decided"
    );
    for (id, reason) in &outcome.left_out {
        tracing::debug!(task = %id.task_id, producer = %id.producer, %reason, "file left out");
    }
    for id in &outcome.missing {
        tracing::debug!(task = %id.task_id, producer = %id.producer, "file that counts is missing");
    }
}

fn record_of(
    epoch_block: BlockNumber,
    RecordEpoch { outcome, paid, decision }: &RecordEpoch,
    counted: Option<&Counted>,
) -> EpochRecord {
    let state = match decision {
        Decision::Set { .. } => EpochState::Decided,
        Decision::Abstain { .. } => EpochState::Abstained,
    };
    let mut shown = report::outcome_json(outcome);
    if let Some(paid) = paid {
        shown["paid"] = report::paid_json(paid);
    }
    shown["weights"] = json!(decision.weights());
    shown["witnesses"] = json!(counted.map(|counted| &counted.fresh));
    let witnessed = |counted| report::WitnessedEpoch::new(epoch_block, counted);
    shown[report::WITNESSED] = json!(counted.map(witnessed));
    let winner = outcome.winner.filter(|_| decision.weights().is_some());
    EpochRecord {
        epoch_block,
        state,
        winner_hotkey: winner.map(|winner| winner.hotkey),
        uid: decision.weights().and_then(|weights| weights.heaviest()).map(|entry| entry.uid),
        reason: format!("{}: {}", decision.state(), decision.reason()),
        outcome: shown.to_string(),
    }
}

/// The newest epoch whose weights are on the chain, openly or committed. `epochs` are newest first.
fn last_with_weights(epochs: &[EpochRecord]) -> Option<BlockNumber> {
    let mut on_chain = epochs
        .iter()
        .filter(|epoch| matches!(epoch.state, EpochState::Set | EpochState::Committed));
    on_chain.next().map(|epoch| epoch.epoch_block)
}

/// Records that the epoch's weights will not be set, and why.
fn give_up(state: &State, epoch_block: BlockNumber, reason: &str) -> Result<(), StateError> {
    let known = state.epochs(8)?.into_iter().find(|epoch| epoch.epoch_block == epoch_block);
    let mut record = known.unwrap_or(EpochRecord {
        epoch_block,
        state: EpochState::Refused,
        winner_hotkey: None,
        uid: None,
        reason: String::new(),
        outcome: "{}".to_owned(),
    });
    record.state = EpochState::Refused;
    record.reason = format!("{} ({reason})", record.reason);
    state.keep_epoch(&record)
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Hotkey, Netuid, Network, Uid};

    use super::*;
    use crate::weights::{ChangedSlot, WeightsError};

    #[test]
    fn an_epoch_whose_slot_changed_hands_is_refused_with_the_reason_and_not_tried_again() {
        let network = Network { genesis: Digest::default(), netuid: Netuid(1) };
        let state = State::in_memory(network).unwrap();
        let [winner, newcomer] = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let decided = EpochRecord {
            epoch_block: BlockNumber(180),
            state: EpochState::Decided,
            winner_hotkey: Some(winner),
            uid: Some(Uid(6)),
            reason: "set: won the window".to_owned(),
            outcome: "{}".to_owned(),
        };
        state.keep_epoch(&decided).unwrap();
        let changed = ChangedSlot { uid: Uid(6), earned_by: winner, holder: Some(newcomer) };
        let error = EpochError::Weights(WeightsError::SlotChanged(changed));
        assert!(is_final(&error));
        give_up(&state, BlockNumber(180), &error.to_string()).unwrap();
        let record = state.epochs(1).unwrap().remove(0);
        assert_eq!(record.state, EpochState::Refused);
        assert_eq!(record.reason, format!("set: won the window ({changed})"));
        let until = BlockNumber(200);
        assert!(!is_final(&EpochError::Weights(WeightsError::TooSoon { until })));
    }

    #[test]
    fn after_a_restart_the_newest_committed_or_set_epoch_is_the_last_with_weights() {
        let network = Network { genesis: Digest::default(), netuid: Netuid(1) };
        let state = State::in_memory(network).unwrap();
        assert_eq!(last_with_weights(&state.epochs(EPOCHS_LOOKED_AT).unwrap()), None);
        let states = [EpochState::Set, EpochState::Committed, EpochState::Refused];
        for (number, epoch_state) in (1..).zip(states) {
            let record = EpochRecord {
                epoch_block: BlockNumber(number * 180),
                state: epoch_state,
                winner_hotkey: None,
                uid: None,
                reason: String::new(),
                outcome: "{}".to_owned(),
            };
            state.keep_epoch(&record).unwrap();
        }
        let epochs = state.epochs(EPOCHS_LOOKED_AT).unwrap();
        assert_eq!(last_with_weights(&epochs), Some(BlockNumber(360)));
    }
}
