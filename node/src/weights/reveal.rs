//! What becomes of committed weights: revealed by us or opened by the chain, and read back.

use leoma_protocol::Uid;

use crate::chain::{Call, Head, Hyperparameters, Metagraph, WeightMode, WeightVector};
use crate::state::{CommitState, EpochState, WeightCommit};

use super::{Weights, WeightsError};

impl Weights {
    /// Follows the commits that wait: reveals what is due, and finds out what became of the rest. Cheap where none waits.
    ///
    /// # Errors
    /// [`WeightsError`]; to be called again with a later block.
    pub async fn follow(&self, now: Head) -> Result<(), WeightsError> {
        let open = self.state.open_weight_commits()?;
        if open.is_empty() {
            return Ok(());
        }
        let demands = self.chain.hyperparameters(now).await?;
        let period = match demands.mode {
            WeightMode::CommitReveal { period } | WeightMode::Timelocked { period, .. } => period,
            // Switched off since: what was committed before is due at the next epoch all the same.
            WeightMode::Plain => 1,
        };
        let due = |commit: &WeightCommit| commit.commit_epoch.saturating_add(period);
        if open.iter().all(|commit| due(commit) > demands.epoch.index) {
            return Ok(());
        }
        let metagraph = self.chain.metagraph(now).await?;
        let Some(own) = metagraph.uid(&self.signer.hotkey()) else { return Ok(()) };
        for commit in &open {
            if due(commit) > demands.epoch.index {
                continue;
            }
            // Weights of one epoch replace each other: only the newest are worth a transaction.
            let newer = open.iter().any(|other| {
                other.epoch_block > commit.epoch_block && due(other) <= demands.epoch.index.max(due(commit))
            });
            if newer {
                self.end(commit, CommitState::Superseded)?;
                continue;
            }
            let is_late = demands.epoch.index > due(commit);
            self.finish(commit, &demands, &metagraph, own, now, is_late).await?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        commit: &WeightCommit,
        demands: &Hyperparameters,
        metagraph: &Metagraph,
        own: Uid,
        now: Head,
        is_late: bool,
    ) -> Result<(), WeightsError> {
        let weights = WeightVector::winner(commit.uid, commit.version_key);
        let holder = metagraph.neurons.get(usize::from(commit.uid.0)).map(|neuron| neuron.hotkey);
        let is_replaced = commit.holder.is_some() && holder != commit.holder;
        let waits = self.find(commit, now).await?.is_some();
        if !waits && self.chain.weights(now, own).await? == weights.pairs() {
            if is_replaced {
                return self.report_replaced(commit, holder);
            }
            return self.end(commit, CommitState::Revealed);
        }
        if is_late || !waits {
            tracing::error!(
                epoch_block = %commit.epoch_block, uid = %commit.uid, subnet_epoch = demands.epoch.index,
                "committed weights were not revealed in their epoch; the next epoch's are committed as usual"
            );
            self.metrics.reveals_missed.inc();
            return self.end(commit, CommitState::Missed);
        }
        if commit.is_timelocked() {
            // The chain opens it as soon as it has the round.
            return Ok(());
        }
        if is_replaced {
            return self.report_replaced(commit, holder);
        }
        let call = Call::RevealWeights { weights: weights.clone(), salt: commit.salt.clone() };
        let hash = self.chain.submit(&self.signer, &call).await?;
        tracing::info!(epoch_block = %commit.epoch_block, uid = %commit.uid, transaction = %hash, "weights revealed");
        self.read_back(own, &weights).await?;
        self.end(commit, CommitState::Revealed)
    }

    /// The slot changed hands between commit and reveal: the weight would go to, or went to, somebody who did not win.
    fn report_replaced(
        &self,
        commit: &WeightCommit,
        holder: Option<leoma_protocol::Hotkey>,
    ) -> Result<(), WeightsError> {
        let text =
            |hotkey: Option<leoma_protocol::Hotkey>| hotkey.map_or("nobody".to_owned(), |hotkey| hotkey.to_string());
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
            self.metrics.last_epoch_block.set(i64::try_from(commit.epoch_block.0).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
