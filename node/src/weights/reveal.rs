//! What becomes of committed weights: revealed by us or opened by the chain, and read back.

use leoma_chain::{Call, Head, Metagraph, Rejection, Remedy, WeightMode, WeightVector};
use leoma_protocol::Uid;

use crate::state::{CommitState, EpochState, WeightCommit};

use super::put::{NEIGHBOURING_EPOCHS, Weights, WeightsError};

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
    /// Follows the commits that wait: reveals what is due, and finds out what became of the rest.
    /// Cheap where none waits.
    ///
    /// # Errors
    /// [`WeightsError`]; to be called again with a later block.
    pub async fn follow(&self, head: Head) -> Result<(), WeightsError> {
        let mut open = self.state.open_weight_commits()?;
        let Some(newest) = open.last().map(|commit| commit.epoch_block) else { return Ok(()) };
        let demands = self.chain.hyperparameters(head).await?;
        let index = demands.epoch.index;
        let period = match demands.mode {
            WeightMode::CommitReveal { period } | WeightMode::Timelocked { period, .. } => period,
            // Switched off since: what was committed before is due at the next epoch all the same.
            WeightMode::Plain => 1,
        };
        let due = |commit: &WeightCommit| commit.commit_epoch.saturating_add(period);
        for commit in open.iter_mut().filter(|commit| commit.state == CommitState::Prepared) {
            // Sent before a restart and included since, its epoch being over.
            if let Some(epoch) = self.find(commit, head).await? {
                self.is_committed(commit, epoch)?;
                (commit.commit_epoch, commit.state) = (epoch, CommitState::Committed);
            }
        }
        // What was prepared for the newest epoch may yet be sent; and it may be included an epoch
        // late.
        open.retain(|commit| match commit.state {
            CommitState::Prepared => {
                commit.epoch_block < newest
                    && due(commit).saturating_add(NEIGHBOURING_EPOCHS) < index
            }
            _ => due(commit) <= index,
        });
        if open.is_empty() {
            return Ok(());
        }
        let metagraph = self.chain.metagraph(head).await?;
        let Some(own) = metagraph.uid(&self.signer.hotkey()) else { return Ok(()) };
        let now = Now { head, metagraph: &metagraph, own };
        for (place, commit) in open.iter().enumerate() {
            let newer = &open[place + 1..];
            // Weights of one epoch replace each other: only the newest are worth a transaction.
            if newer.iter().any(|newer| due(newer) == due(commit)) {
                self.end(commit, CommitState::Superseded)?;
                continue;
            }
            self.finish(commit, &now, newer, index > due(commit)).await?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        commit: &WeightCommit,
        now: &Now<'_>,
        newer: &[WeightCommit],
        is_late: bool,
    ) -> Result<(), WeightsError> {
        let vector = |commit: &WeightCommit| WeightVector::winner(commit.uid, commit.version_key);
        let weights = vector(commit);
        let holder =
            now.metagraph.neurons.get(usize::from(commit.uid.0)).map(|neuron| neuron.hotkey);
        let is_replaced = commit.holder.is_some() && holder != commit.holder;
        let waits = self.find(commit, now.head).await?.is_some();
        if is_late || !waits {
            let found = self.chain.weights(now.head, now.own).await?;
            if !waits && found == weights.pairs() {
                return if is_replaced {
                    self.report_replaced(commit, holder)
                } else {
                    self.end(commit, CommitState::Revealed)
                };
            }
            // What was revealed before can no longer be told once newer weights are there.
            if newer.iter().any(|newer| found == vector(newer).pairs()) {
                return self.end(commit, CommitState::Superseded);
            }
            return self.report_missed(commit, "its epoch is over");
        }
        if commit.is_timelocked() {
            // The chain opens it as soon as it has the round.
            return Ok(());
        }
        if is_replaced {
            return self.report_replaced(commit, holder);
        }
        let call = Call::RevealWeights { weights: weights.clone(), salt: commit.salt.clone() };
        match self.chain.submit(&self.signer, &call).await {
            Ok(hash) => {
                tracing::info!(epoch_block = %commit.epoch_block, uid = %commit.uid, transaction = %hash, "weights revealed");
            }
            Err(error) if error.rejection().is_some_and(is_final) => {
                return self.report_missed(commit, &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        self.read_back(now.own, &weights).await?;
        self.end(commit, CommitState::Revealed)
    }

    fn report_missed(&self, commit: &WeightCommit, reason: &str) -> Result<(), WeightsError> {
        tracing::error!(
            epoch_block = %commit.epoch_block, uid = %commit.uid, reason,
            "committed weights were not revealed; the next epoch's are committed as usual"
        );
        self.metrics.reveals_missed.inc();
        self.end(commit, CommitState::Missed)
    }

    /// The slot changed hands between commit and reveal: the weight would go to, or went to,
    /// somebody who did not win.
    fn report_replaced(
        &self,
        commit: &WeightCommit,
        holder: Option<leoma_protocol::Hotkey>,
    ) -> Result<(), WeightsError> {
        let text = |hotkey: Option<leoma_protocol::Hotkey>| {
            hotkey.map_or("nobody".to_owned(), |hotkey| hotkey.to_string())
        };
        tracing::error!(
            epoch_block = %commit.epoch_block, uid = %commit.uid, winner = text(commit.holder), holder = text(holder),
            "the winner lost its slot between commit and reveal"
        );
        self.metrics.reveals_missed.inc();
        self.end(commit, CommitState::Replaced)
    }

    fn end(&self, commit: &WeightCommit, state: CommitState) -> Result<(), WeightsError> {
        self.state.keep_weight_commit(&WeightCommit { state, ..commit.clone() })?;
        let reason = match state {
            CommitState::Revealed => None,
            CommitState::Superseded => Some("superseded by a newer commit"),
            CommitState::Replaced => Some("the winner lost its slot between commit and reveal"),
            _ => Some("not revealed in its epoch"),
        };
        let state = if reason.is_none() { EpochState::Set } else { EpochState::Refused };
        self.state.finish_epoch(commit.epoch_block, state, reason)?;
        if reason.is_none() {
            self.metrics.epochs_set.inc();
            self.metrics
                .last_epoch_block
                .set(i64::try_from(commit.epoch_block.0).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
