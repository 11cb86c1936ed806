//! Setting weights: at each epoch boundary, fold the same files into the same winner and put all
//! weight on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use leoma_chain::{ChainClient, ChainError, Head, Metagraph, Remedy};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, TaskId, Uid,
};
use leoma_rotation::weights::{EpochView, Readable, Reason};
use leoma_rotation::window::WindowRange;
use leoma_rotation::{
    AllowlistHistory, Certificates, ConsensusInput, Decision, EpochSnapshot, Miner, Outcome,
    TaskVerdicts, consensus, decide_weights, due_epoch,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::state::{CommitState, EpochRecord, EpochState, State, StateError, StoredFile};
use crate::verdicts::{Exchange, Library, report};

use super::put::{Progress, Target, Weights, WeightsError};

/// Blocks after the boundary before an epoch is computed: files and attestations of settled tasks
/// that are still on their way get there, and the boundary is final on every node.
const COMPUTE_AFTER: u64 = 3;
/// Reads of peers' buckets at a time; the buckets have a bound of their own.
const CONCURRENT_READS: usize = 16;
/// Pause after the first failure before the epoch is tried again; each further one adds as much, up
/// to the longest. It is tried until the next boundary: a rate limit of 100 blocks passes within an
/// epoch, and so do most outages.
const RETRY_PAUSE: Duration = Duration::from_secs(6);
/// Longest pause between two tries.
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
    /// The chain.
    pub chain: ChainClient,
    /// Our key.
    pub signer: HotkeySigner,
    /// The consensus constants.
    pub params: Arc<ConsensusParams>,
    /// Verified files.
    pub library: Library,
    /// What the mesh agreed on.
    pub agreement: Exchange,
    /// What was decided before.
    pub state: State,
    /// How weights get onto the chain.
    pub weights: Weights,
    /// The allowlists.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// What Prometheus is told.
    pub metrics: Metrics,
}

/// Own files that an earlier run signed and perhaps told nobody of: it ended before they were in
/// our bucket. Others have them from this run at the earliest, so that they count as if it had
/// signed them when it began to speak, unless they are certified.
#[derive(Debug)]
struct KeptBack {
    files: BTreeSet<(FileId, Digest)>,
    /// The head when this run began to speak.
    until: Option<BlockNumber>,
}

impl KeptBack {
    fn new(unpublished: Vec<StoredFile>) -> Self {
        Self {
            files: unpublished.into_iter().map(|file| (file.id, file.digest)).collect(),
            until: None,
        }
    }

    fn applied_to(
        &self,
        files: Vec<Arc<TaskVerdicts>>,
        certificates: &Certificates,
    ) -> Vec<Arc<TaskVerdicts>> {
        let Some(until) = self.until else { return files };
        let told = |file: Arc<TaskVerdicts>| {
            let certified = certificates.get(&file.id) == Some(file.digest);
            if certified || !self.files.contains(&(file.id, file.digest)) {
                return file;
            }
            let mut file = TaskVerdicts::clone(&file);
            file.signed_at = file.signed_at.max(until);
            Arc::new(file)
        };
        files.into_iter().map(told).collect()
    }
}

/// How following the commits went last.
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
    /// [`StateError`] when the state cannot be read at the start: without it the last winner is
    /// unknown.
    pub async fn run(
        self,
        mut heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) -> Result<(), StateError> {
        let mut done = self.last_finished()?;
        let mut kept_back = KeptBack::new(self.state.unpublished_files()?);
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
                    self.metrics.weight_failures.inc();
                    if is_final(&error) {
                        if let Err(error) = self.give_up(epoch_block, &error) {
                            tracing::error!(%epoch_block, %error, "the epoch's end is not recorded");
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

    /// Sees to what was committed in earlier epochs. After a fault it rests, and says each only
    /// once.
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
                    tracing::warn!(%error, "committed weights cannot be followed now");
                    last.complaint = text;
                }
            }
        }
    }

    fn last_finished(&self) -> Result<Option<BlockNumber>, StateError> {
        let epochs = self.state.epochs(8)?;
        Ok(epochs
            .iter()
            .find(|epoch| epoch.state != EpochState::Decided)
            .map(|epoch| epoch.epoch_block))
    }

    fn give_up(&self, epoch_block: BlockNumber, error: &EpochError) -> Result<(), StateError> {
        let known =
            self.state.epochs(8)?.into_iter().find(|epoch| epoch.epoch_block == epoch_block);
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
        self.state.keep_epoch(&record)
    }

    async fn epoch(
        &self,
        epoch_block: BlockNumber,
        now: Head,
        kept_back: &KeptBack,
    ) -> Result<(), EpochError> {
        // Stopped between a commit and its record: what was committed is followed up, and not
        // decided anew.
        if self
            .state
            .weight_commit(epoch_block)?
            .is_some_and(|commit| commit.state != CommitState::Prepared)
        {
            return Ok(self.state.mark_epoch_committed(epoch_block)?);
        }
        let boundary =
            Head { number: epoch_block, hash: self.chain.block_hash(epoch_block).await? };
        let metagraph = self.chain.metagraph(boundary).await?;
        let history = Arc::clone(&self.allowlists.borrow());
        self.agreement.refresh().await;
        let readable = self.fetch_missing(&history, epoch_block).await;
        self.agreement.fetch_certified().await;
        let (outcome, decision) = self.decide(&metagraph, &history, readable, kept_back)?;
        let record = record_of(epoch_block, &decision, &outcome);
        self.state.keep_epoch(&record)?;
        tracing::info!(
            %epoch_block, state = decision.state(), reason = %decision.reason(),
            winner = record.winner_hotkey.map(|hotkey| hotkey.to_string()), uid = record.uid.map(|uid| uid.0),
            tasks = outcome.window.len(), validators = outcome.active_validators.len(), "epoch decided"
        );
        for (id, reason) in &outcome.left_out {
            tracing::debug!(task = %id.task_id, producer = %id.producer, %reason, "file left out");
        }
        // What is missing may yet be had: a bucket comes back, a peer is reached again.
        let target = decision.target().ok_or(EpochError::Unknown(decision.reason()))?;
        match self.weights.put(Target { epoch_block, uid: target.uid() }, now).await? {
            Progress::Set => {
                self.state.keep_epoch(&EpochRecord { state: EpochState::Set, ..record })?;
                self.metrics.epochs_set.inc();
                self.metrics.last_epoch_block.set(i64::try_from(epoch_block.0).unwrap_or(i64::MAX));
            }
            Progress::Committed => self.state.mark_epoch_committed(epoch_block)?,
        }
        let oldest = epoch_block.0.saturating_sub(self.params.lookback_blocks);
        if let Some(entry) = history.at_block(epoch_block) {
            self.library.prune_before(TaskId(oldest / entry.allowlist.interval().max(1)))?;
        }
        Ok(())
    }

    fn decide(
        &self,
        metagraph: &Metagraph,
        history: &AllowlistHistory,
        files: Readable,
        kept_back: &KeptBack,
    ) -> Result<(Outcome, Decision), StateError> {
        let snapshot = snapshot_of(metagraph);
        let certificates: Certificates = self.agreement.certificates(history);
        let evidence = self.agreement.evidence();
        let all = kept_back.applied_to(self.library.all(), &certificates);
        let input = ConsensusInput {
            params: &self.params,
            history,
            snapshot: &snapshot,
            files: &all,
            certificates: &certificates,
            evidence: &evidence,
        };
        let outcome = consensus(&input);
        let burn_uid = metagraph.uid(&metagraph.owner).unwrap_or(Uid(0));
        let view = EpochView::Read { snapshot: &snapshot, outcome: &outcome, files };
        let decision = decide_weights(&self.params, &view, self.state.last_winner()?, burn_uid);
        Ok((outcome, decision))
    }

    /// Fetches the window's files that are not held, from the buckets of those scheduled to produce
    /// them, and counts the validators whose files can be read.
    async fn fetch_missing(
        &self,
        history: &AllowlistHistory,
        epoch_block: BlockNumber,
    ) -> Readable {
        let Some(entry) = history.at_block(epoch_block) else {
            return Readable { readable: 0, listed: 0 };
        };
        let listed = entry.allowlist.validators();
        let wanted = wanted_files(&self.params, history, epoch_block);
        let mut fetching = Vec::with_capacity(wanted.len());
        let range = WindowRange::new(&self.params, history, epoch_block);
        for producers in wanted {
            fetching.push(self.fetch_task(producers, range).boxed());
        }
        let reached: Vec<Vec<(Hotkey, bool)>> =
            stream::iter(fetching).buffer_unordered(CONCURRENT_READS).collect().await;
        // Unreadable is who failed us and is not reachable over the mesh either; who was not asked
        // held nothing back.
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

    /// Gets the first file that there is of a task's producers, in their order, and that is not too
    /// late to count; says who could be read.
    async fn fetch_task(&self, producers: Vec<FileId>, range: WindowRange) -> Vec<(Hotkey, bool)> {
        let mut reached = Vec::new();
        for id in producers {
            if !self.library.holds(id) && id.producer != self.signer.hotkey() {
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

/// The window's tasks, newest first, each with those scheduled to produce it, in order.
fn wanted_files(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    epoch_block: BlockNumber,
) -> Vec<Vec<FileId>> {
    let Some(entry) = history.at_block(epoch_block) else { return Vec::new() };
    let newest =
        (epoch_block.0 / entry.allowlist.interval().max(1)).checked_sub(params.settle_margin);
    let Some(newest) = newest else { return Vec::new() };
    let oldest = newest.saturating_sub(u64::from(params.window_tasks) - 1);
    let producers = |task_id| {
        let schedule = history.schedule_of(task_id, params)?;
        Some(schedule.producers(task_id).map(|producer| FileId { task_id, producer }).collect())
    };
    (oldest..=newest).rev().filter_map(|task| producers(TaskId(task))).collect()
}

/// The miners of a subnet at a block, as consensus takes them.
#[must_use]
pub fn snapshot_of(metagraph: &Metagraph) -> EpochSnapshot {
    let miner = |neuron: &leoma_chain::Neuron| Miner {
        hotkey: neuron.hotkey,
        uid: neuron.uid,
        commit_block: metagraph.commitments.get(&neuron.hotkey).map(|commitment| commitment.block),
    };
    EpochSnapshot { block: metagraph.block, miners: metagraph.neurons.iter().map(miner).collect() }
}

fn record_of(epoch_block: BlockNumber, decision: &Decision, outcome: &Outcome) -> EpochRecord {
    EpochRecord {
        epoch_block,
        state: EpochState::Decided,
        winner_hotkey: decision.winner_to_remember(),
        uid: decision.target().map(|target| target.uid()),
        reason: format!("{}: {}", decision.state(), decision.reason()),
        outcome: report::outcome_json(outcome).to_string(),
    }
}

/// Whether trying again within the epoch cannot help.
fn is_final(error: &EpochError) -> bool {
    let EpochError::Weights(WeightsError::Submit(error)) = error else { return false };
    error.rejection().is_some_and(|rejection| rejection.remedy() == Remedy::Operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_told_nobody_counts_from_this_run_on() {
        let file = |task: u64| {
            let id = FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) };
            let mut file = TaskVerdicts::new(id, Digest::of(&task.to_le_bytes()), Vec::new());
            file.signed_at = BlockNumber(100 * task);
            Arc::new(file)
        };
        let stored = |task: u64| StoredFile {
            id: file(task).id,
            digest: file(task).digest,
            bytes: Vec::new(),
        };
        let mut kept_back = KeptBack::new(vec![stored(1), stored(2), stored(9)]);
        let certificates = Certificates::from_iter([(file(2).id, file(2).digest)]);
        let blocks = |kept_back: &KeptBack| -> Vec<u64> {
            let files = kept_back.applied_to([1, 2, 3, 9].map(file).into(), &certificates);
            files.iter().map(|file| file.signed_at.0).collect()
        };
        assert_eq!(blocks(&kept_back), [100, 200, 300, 900]);
        kept_back.until = Some(BlockNumber(800));
        // The second is certified, the third was published, the last says itself that it is later.
        assert_eq!(blocks(&kept_back), [800, 200, 300, 900]);
    }
}
