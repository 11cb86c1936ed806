//! The weight setter: at each epoch boundary it reads what the epoch follows from, computes the
//! epoch as every validator does, and puts its weights on the chain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use leoma_chain::{ChainError, Head, Metagraph, Remedy};
use leoma_protocol::{BlockNumber, ConsensusParams, FileId, Hotkey};
use leoma_rotation::{
    AllowlistHistory, Certificates, Decision, EpochInputs, EpochSnapshot, Miner, Outcome, Readable,
    Reason, Slot, WindowRange, due_epoch, epoch,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::{CommitState, EpochRecord, EpochState, State, StateError};
use crate::verdicts::{Exchange, Library, report};

use super::kept_back::KeptBack;
use super::put::{Progress, Target, Weights, WeightsError};

/// Blocks after the boundary before an epoch is computed. By then the last files and attestations of
/// settled tasks have arrived, and the boundary is final on every node.
const COMPUTE_AFTER: u64 = 3;
/// How many peers' buckets are read at a time; the buckets have a bound of their own.
const CONCURRENT_READS: usize = 16;
/// The pause after an epoch's first failure; each further failure adds as much, up to the longest
/// pause. The epoch is tried until the next boundary: a rate limit of 100 blocks passes within an
/// epoch, and so do most outages.
const RETRY_PAUSE: Duration = Duration::from_secs(6);
/// The longest pause between two tries.
const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Why an epoch's weights were not set.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The weights are not on the chain.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The state could not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Too little could be read to know any weights.
    #[error("no weights are known: {0}")]
    Unknown(Reason),
}

/// Computes epochs and sets their weights.
#[derive(Debug)]
pub struct WeightSetter {
    /// The consensus constants.
    pub params: Arc<ConsensusParams>,
    /// Verified files.
    pub library: Library,
    /// What the mesh agreed on.
    pub agreement: Exchange,
    /// How weights get onto the chain.
    pub weights: Weights,
    /// The allowlists.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
}

/// How the last try to follow the commits went.
#[derive(Default)]
struct FollowUp {
    faults: u32,
    rests_until: Option<Instant>,
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
    /// [`StateError`] if the state cannot be read at the start: without it the last winner is
    /// unknown.
    pub async fn run(
        self,
        mut heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) -> Result<(), StateError> {
        let mut done = self.last_finished()?;
        let mut kept_back = KeptBack::new(self.weights.state.unpublished_files()?);
        let mut tries = 0;
        let mut commits = FollowUp::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = heads.changed() => if changed.is_err() { return Ok(()) },
            }
            let head = *heads.borrow_and_update();
            self.follow_commits(head, &mut commits).await;
            if self.agreement.may_sign() {
                let _first = kept_back.until.get_or_insert(head.number);
            }
            let Some(epoch_block) = due_epoch(&self.params, head.number, done) else { continue };
            let known = self.allowlists.borrow().at_block(epoch_block).is_some();
            if head.number.0 < epoch_block.0 + COMPUTE_AFTER || !known || !self.agreement.may_sign()
            {
                continue;
            }
            match self.epoch(epoch_block, head, &kept_back).await {
                Ok(()) => {
                    done = Some(epoch_block);
                    tries = 0;
                }
                Err(error) => {
                    tries += 1;
                    tracing::warn!(%epoch_block, %error, tries, "weights not set");
                    self.weights.metrics.weight_failures.inc();
                    if is_final(&error) {
                        if let Err(error) = give_up(&self.weights.state, epoch_block, &error) {
                            tracing::error!(%epoch_block, %error, "the refused epoch is not recorded");
                        }
                        done = Some(epoch_block);
                        tries = 0;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(pause_after(tries.max(1))) => {}
                    }
                }
            }
        }
    }

    /// Follows what was committed in earlier epochs. It rests after a fault, and logs a fault that
    /// repeats only once.
    async fn follow_commits(&self, head: Head, last: &mut FollowUp) {
        if last.rests_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        match self.weights.follow(head).await {
            Ok(()) => *last = FollowUp::default(),
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

    fn last_finished(&self) -> Result<Option<BlockNumber>, StateError> {
        let epochs = self.weights.state.epochs(8)?;
        Ok(epochs
            .iter()
            .find(|epoch| epoch.state != EpochState::Decided)
            .map(|epoch| epoch.epoch_block))
    }

    async fn epoch(
        &self,
        epoch_block: BlockNumber,
        now: Head,
        kept_back: &KeptBack,
    ) -> Result<(), EpochError> {
        // The process ended between a commit and its record: the commit is followed up, and the epoch
        // is not decided again.
        if self
            .weights
            .state
            .weight_commit(epoch_block)?
            .is_some_and(|commit| commit.state != CommitState::Prepared)
        {
            return Ok(self.weights.state.mark_epoch_committed(epoch_block)?);
        }
        let boundary =
            Head { number: epoch_block, hash: self.weights.chain.block_hash(epoch_block).await? };
        let metagraph = self.weights.chain.metagraph(boundary).await?;
        let history = Arc::clone(&self.allowlists.borrow());
        let readable = self.fetch_missing(&history, epoch_block).await;
        self.agreement.fetch_certified().await;
        let (outcome, decision) = self.decide(&metagraph, &history, readable, kept_back)?;
        let record = record_of(epoch_block, &decision, &outcome);
        self.weights.state.keep_epoch(&record)?;
        tracing::info!(
            %epoch_block, state = decision.state(), reason = %decision.reason(),
            winner = record.winner_hotkey.map(|hotkey| hotkey.to_string()), uid = record.uid.map(|uid| uid.0),
            tasks = outcome.window.len(), validators = outcome.active_validators.len(), "epoch decided"
        );
        for (id, reason) in &outcome.left_out {
            tracing::debug!(task = %id.task_id, producer = %id.producer, %reason, "file left out");
        }
        // What is missing may still arrive: a bucket comes back, or a peer is reached again.
        let reason = decision.reason();
        let weights = decision.weights().cloned().ok_or(EpochError::Unknown(reason))?;
        match self.weights.put(&Target { epoch_block, weights }, now).await? {
            Progress::Set => {
                self.weights.state.keep_epoch(&EpochRecord { state: EpochState::Set, ..record })?;
                self.weights.metrics.epochs_set.inc();
                self.weights
                    .metrics
                    .last_epoch_block
                    .set(i64::try_from(epoch_block.0).unwrap_or(i64::MAX));
            }
            Progress::Committed => self.weights.state.mark_epoch_committed(epoch_block)?,
        }
        let range = WindowRange::new(&self.params, &history, epoch_block);
        self.library.prune_before(range.oldest_task())?;
        Ok(())
    }

    fn decide(
        &self,
        metagraph: &Metagraph,
        history: &AllowlistHistory,
        readable: Readable,
        kept_back: &KeptBack,
    ) -> Result<(Outcome, Decision), StateError> {
        let snapshot = snapshot_of(metagraph);
        let certificates: Certificates = self.agreement.certificates(history);
        let evidence = self.agreement.evidence();
        let files = kept_back.applied_to(self.library.all(), &certificates);
        Ok(epoch(&EpochInputs {
            params: &self.params,
            history,
            snapshot: &snapshot,
            files: &files,
            certificates: &certificates,
            evidence: &evidence,
            readable,
            last_winner: self.weights.state.last_winner()?,
        }))
    }

    /// Fetches the wanted files that are not held from the buckets of their producers, and counts the
    /// validators whose files can be read.
    async fn fetch_missing(
        &self,
        history: &AllowlistHistory,
        epoch_block: BlockNumber,
    ) -> Readable {
        let Some(entry) = history.at_block(epoch_block) else {
            return Readable { readable: 0, listed: 0 };
        };
        let listed = entry.allowlist.validators();
        let range = WindowRange::new(&self.params, history, epoch_block);
        let mut fetching = Vec::new();
        for producers in range.wanted_files() {
            fetching.push(self.fetch_task(producers, range).boxed());
        }
        let reached: Vec<Vec<(Hotkey, bool)>> =
            stream::iter(fetching).buffer_unordered(CONCURRENT_READS).collect().await;
        // A validator is unreadable if each of its files that we looked for failed, and the mesh does
        // not reach it either. One that was not asked held nothing back.
        let connected: BTreeSet<Hotkey> = self.agreement.connected();
        let mut failed: BTreeMap<Hotkey, bool> = BTreeMap::new();
        for (producer, ok) in reached.into_iter().flatten() {
            let all_failed = failed.entry(producer).or_insert(true);
            *all_failed &= !ok;
        }
        let unreadable = |hotkey: &&Hotkey| {
            failed.get(*hotkey).copied().unwrap_or(false) && !connected.contains(*hotkey)
        };
        let readable = listed.len() - listed.iter().filter(unreadable).count();
        Readable { readable, listed: listed.len() }
    }

    /// Fetches the files of a task's producers in their order until one is held that is not too late
    /// to count; returns who was asked, and whether it could be read.
    async fn fetch_task(
        &self,
        producers: Vec<FileId>,
        range: WindowRange<'_>,
    ) -> Vec<(Hotkey, bool)> {
        let mut reached = Vec::new();
        for id in producers {
            if !self.library.holds(id) && id.producer != self.weights.signer.hotkey() {
                let found = self.agreement.fetch_from_bucket(id, None).await;
                reached.push((id.producer, found.is_some()));
            }
            if self.library.of(id).iter().any(|file| range.check_signed(file.signed_at).is_ok()) {
                break;
            }
        }
        reached
    }
}

/// A subnet at a block, as [`epoch`] takes it.
pub fn snapshot_of(metagraph: &Metagraph) -> EpochSnapshot {
    let miner = |neuron: &leoma_chain::Neuron| Miner {
        hotkey: neuron.hotkey,
        uid: neuron.uid,
        commit_block: metagraph.commitments.get(&neuron.hotkey).map(|commitment| commitment.block),
    };
    let owner = metagraph.owner;
    EpochSnapshot {
        block: metagraph.block,
        miners: metagraph.neurons.iter().map(miner).collect(),
        owner: metagraph.uid(&owner).map(|uid| Slot { hotkey: owner, uid }),
    }
}

fn record_of(epoch_block: BlockNumber, decision: &Decision, outcome: &Outcome) -> EpochRecord {
    EpochRecord {
        epoch_block,
        state: EpochState::Decided,
        winner_hotkey: decision.winner_to_remember(),
        uid: decision.weights().and_then(|weights| weights.heaviest()).map(|entry| entry.uid),
        reason: format!("{}: {}", decision.state(), decision.reason()),
        outcome: report::outcome_json(outcome).to_string(),
    }
}

/// Records that the epoch's weights will not be set, and why.
fn give_up(state: &State, epoch_block: BlockNumber, error: &EpochError) -> Result<(), StateError> {
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
    record.reason = format!("{} ({error})", record.reason);
    state.keep_epoch(&record)
}

/// Whether trying again within the epoch cannot help.
fn is_final(error: &EpochError) -> bool {
    match error {
        // The winner of the boundary does not get its slot back.
        EpochError::Weights(WeightsError::SlotChanged(_)) => true,
        EpochError::Weights(WeightsError::Submit(error)) => {
            error.rejection().is_some_and(|rejection| rejection.remedy() == Remedy::Operator)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Netuid, Network, Uid};

    use super::*;
    use crate::weights::ChangedSlot;

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
            reason: "known: won the window".to_owned(),
            outcome: "{}".to_owned(),
        };
        state.keep_epoch(&decided).unwrap();
        let changed = ChangedSlot { uid: Uid(6), earned_by: winner, holder: Some(newcomer) };
        let error = EpochError::Weights(WeightsError::SlotChanged(changed));
        assert!(is_final(&error));
        give_up(&state, BlockNumber(180), &error).unwrap();
        let record = state.epochs(1).unwrap().remove(0);
        assert_eq!(record.state, EpochState::Refused);
        assert_eq!(record.reason, format!("known: won the window ({changed})"));
        let until = BlockNumber(200);
        assert!(!is_final(&EpochError::Weights(WeightsError::TooSoon { until })));
    }
}
