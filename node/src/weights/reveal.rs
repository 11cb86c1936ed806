//! Committed weights: we reveal them or the chain opens them, and we read them back.

use leoma_chain::{Call, Head, Metagraph, Rejection, Remedy, WeightMode};
use leoma_protocol::Uid;

use crate::state::{CommitState, EpochState, State, WeightCommit};

use super::put::{NEIGHBOURING_EPOCHS, Weights, WeightsError, for_chain, heaviest_uid};
use super::slots::{ChangedSlot, changed_slot};

/// Looks at waiting commits in an epoch of the subnet, in the whole of which a reveal counts.
const LOOKS: u64 = 36;

/// Whether no further try of a reveal can help.
fn is_final(rejection: &Rejection) -> bool {
    rejection.remedy() == Remedy::Operator
        || matches!(rejection, Rejection::CommitRevealOff | Rejection::RevealExpired)
}

/// The chain at a block, as far as commits are concerned.
struct Now<'a> {
    head: Head,
    metagraph: &'a Metagraph,
    own: Uid,
}

impl Weights {
    /// Follows the commits that wait: reveals those that are due, and finds out what became of the
    /// others. Cheap if none waits. Returns the blocks after which it is worth looking again: a
    /// commit always waits where weights are committed, and each look costs requests.
    ///
    /// # Errors
    /// [`WeightsError`]; call again with a later block.
    pub async fn follow(&self, head: Head) -> Result<u64, WeightsError> {
        let mut open = self.state.on_disk(State::open_weight_commits).await?;
        let Some(newest) = open.last().map(|commit| commit.epoch_block) else { return Ok(1) };
        let demands = self.chain.hyperparameters(head).await?;
        let pause = (demands.epoch.tempo / LOOKS).max(1);
        let index = demands.epoch.index;
        let period = match demands.mode {
            WeightMode::CommitReveal { period } | WeightMode::Timelocked { period, .. } => period,
            // Commits were switched off since; those made before are due at the next epoch.
            WeightMode::Plain => 1,
        };
        let due = |commit: &WeightCommit| commit.commit_epoch.saturating_add(period);
        for commit in open.iter_mut().filter(|commit| commit.state == CommitState::Prepared) {
            // It may have been sent before a restart and included since, after its epoch.
            if let Some(epoch) = self.find(commit, head).await? {
                self.is_committed(commit, epoch).await?;
                (commit.commit_epoch, commit.state) = (epoch, CommitState::Committed);
            }
        }
        // A commit that was prepared for the newest epoch may still be sent, and may be included an
        // epoch late.
        open.retain(|commit| match commit.state {
            CommitState::Prepared => {
                commit.epoch_block < newest
                    && due(commit).saturating_add(NEIGHBOURING_EPOCHS) < index
            }
            _ => due(commit) <= index,
        });
        if open.is_empty() {
            return Ok(pause);
        }
        let metagraph = self.chain.metagraph(head).await?;
        let Some(own) = metagraph.uid(&self.signer.hotkey()) else { return Ok(pause) };
        let now = Now { head, metagraph: &metagraph, own };
        for (place, commit) in open.iter().enumerate() {
            let newer = &open[place + 1..];
            // Weights of one epoch replace each other: only the newest are worth a transaction.
            if newer.iter().any(|newer| due(newer) == due(commit)) {
                self.end(commit, CommitState::Superseded).await?;
                continue;
            }
            self.finish(commit, &now, newer, index > due(commit)).await?;
        }
        Ok(pause)
    }

    async fn finish(
        &self,
        commit: &WeightCommit,
        now: &Now<'_>,
        newer: &[WeightCommit],
        is_late: bool,
    ) -> Result<(), WeightsError> {
        let vector = |commit: &WeightCommit| for_chain(&commit.weights, commit.version_key);
        let weights = vector(commit);
        let changed = changed_slot(&commit.weights, now.metagraph);
        let waits = self.find(commit, now.head).await?.is_some();
        // One that never came onto the chain reveals nothing: equal weights are another commit's.
        let was_seen = commit.state != CommitState::Prepared;
        if is_late || !waits {
            let found = self.chain.weights(now.head, now.own).await?;
            if was_seen && !waits && found == weights.pairs() {
                return match changed {
                    Some(changed) => self.report_replaced(commit, changed).await,
                    None => self.end(commit, CommitState::Revealed).await,
                };
            }
            // Once newer weights are there, it cannot be told whether these were revealed before.
            if newer.iter().any(|newer| found == vector(newer).pairs()) {
                return self.end(commit, CommitState::Superseded).await;
            }
            let reason =
                if was_seen { "its epoch is over" } else { "it never came onto the chain" };
            return self.report_missed(commit, reason).await;
        }
        if commit.is_timelocked() {
            // The chain opens it as soon as it has the round.
            return Ok(());
        }
        if let Some(changed) = changed {
            return self.report_replaced(commit, changed).await;
        }
        let call = Call::RevealWeights { weights: weights.clone(), salt: commit.salt.clone() };
        match self.send(&call, now.head).await {
            Ok(hash) => {
                let uid = heaviest_uid(&commit.weights);
                tracing::info!(epoch_block = %commit.epoch_block, uid, transaction = %hash, "weights revealed");
            }
            Err(error) if error.rejection().is_some_and(is_final) => {
                return self.report_missed(commit, &error.to_string()).await;
            }
            Err(error) => return Err(error.into()),
        }
        self.read_back(now.own, &weights).await?;
        self.end(commit, CommitState::Revealed).await
    }

    async fn report_missed(&self, commit: &WeightCommit, reason: &str) -> Result<(), WeightsError> {
        tracing::error!(
            epoch_block = %commit.epoch_block, uid = heaviest_uid(&commit.weights), reason,
            "committed weights were not revealed; the next epoch's are committed as usual"
        );
        self.metrics.reveals_missed.inc();
        self.end(commit, CommitState::Missed).await
    }

    /// A slot changed hands between commit and reveal: its weight would go, or went, to somebody
    /// who did not win.
    async fn report_replaced(
        &self,
        commit: &WeightCommit,
        changed: ChangedSlot,
    ) -> Result<(), WeightsError> {
        let ChangedSlot { uid, earned_by, holder } = changed;
        tracing::error!(
            epoch_block = %commit.epoch_block, %uid, winner = %earned_by,
            holder = holder.map_or("nobody".to_owned(), |holder| holder.to_string()),
            "the winner lost its slot between commit and reveal"
        );
        self.metrics.reveals_missed.inc();
        self.end(commit, CommitState::Replaced).await
    }

    async fn end(&self, commit: &WeightCommit, state: CommitState) -> Result<(), WeightsError> {
        let ended = WeightCommit { state, ..commit.clone() };
        let reason = match state {
            CommitState::Revealed => None,
            CommitState::Superseded => Some("superseded by a newer commit"),
            CommitState::Replaced => Some("the winner lost its slot between commit and reveal"),
            _ => Some("not revealed in its epoch"),
        };
        // What a newer commit took the place of is on chain all the same, by that one.
        let is_lost = matches!(state, CommitState::Missed | CommitState::Replaced);
        let state = if reason.is_none() { EpochState::Set } else { EpochState::Refused };
        let kept = self.state.on_disk(move |database| {
            database.keep_weight_commit(&ended)?;
            database.finish_epoch(ended.epoch_block, state, reason)
        });
        kept.await?;
        if reason.is_none() {
            self.metrics.epochs_set.inc();
            self.metrics.weights_on_chain(commit.epoch_block);
        }
        if is_lost {
            self.metrics.epochs_refused.inc();
        }
        Ok(())
    }
}
