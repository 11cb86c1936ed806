//! The witness: before each boundary we state on chain which certified files we hold.
//!
//! | when | what |
//! |---|---|
//! | in the blocks `[E − w, E)` | what we hold is written as our commitment, once, and followed until it is final; a failure is tried again in the next block |
//! | at the boundary's block | it is looked up there, and noted as final or missed |
//!
//! It shares one queue of transactions with weights: one at a time. Both live no longer than until
//! the other is due (`spans.rs`), so that one whose fate is unknown holds up the other only until
//! then. After a restart the chain is asked first, and nothing is written twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use leoma_chain::{Call, ChainClient, ChainError, Head, Metagraph, SubmitError};
use leoma_protocol::{BlockNumber, FileId, Hotkey, HotkeySigner, MinerCommitment, Witness};
use leoma_rotation::{AllowlistHistory, own_witness};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::state::{State, StateError, WitnessRecord, WitnessState};
use crate::verdicts::{Exchange, Library};

use super::spans::Spans;

/// Why a hotkey cannot write a witness. Its epochs count without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessObstacle {
    /// The only commitment of the subnet owner's hotkey is the allowlist.
    #[error(
        "this is the subnet owner's hotkey: its one commitment is the allowlist, so it cannot witness and counts as absent; validate with another hotkey"
    )]
    Owner,
    /// The hotkey is a miner's.
    #[error(
        "this hotkey's one commitment is a miner's model, which a witness would replace, so it does not witness and counts as absent; validate with another hotkey"
    )]
    Miner,
    /// Only registered hotkeys may commit.
    #[error("the hotkey is not registered on the subnet, so it cannot witness")]
    NotRegistered,
}

/// What keeps a hotkey from writing its witness, as the chain is at the block of `metagraph`.
pub fn witness_obstacle(metagraph: &Metagraph, hotkey: &Hotkey) -> Option<WitnessObstacle> {
    if metagraph.owner == *hotkey {
        return Some(WitnessObstacle::Owner);
    }
    if metagraph.uid(hotkey).is_none() {
        return Some(WitnessObstacle::NotRegistered);
    }
    let commitment = metagraph.commitments.get(hotkey);
    let is_miner = commitment
        .is_some_and(|commitment| MinerCommitment::parse(&commitment.text, hotkey).is_ok());
    is_miner.then_some(WitnessObstacle::Miner)
}

/// Why a witness is not on chain yet.
#[derive(Debug, thiserror::Error)]
enum WitnessError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Obstacle(#[from] WitnessObstacle),
    #[error("another machine may be running this hotkey, so nothing is signed")]
    Silent,
    #[error("it was sent and is not on chain yet")]
    NotSeen,
}

/// What a witness speaks of.
pub trait Held: Send + Sync + std::fmt::Debug {
    /// Whether we may sign: no other machine runs this hotkey.
    fn may_sign(&self) -> bool;
    /// The files that we hold together with their certificates.
    fn files(&self, history: &AllowlistHistory) -> BTreeSet<FileId>;
}

/// What this validator holds.
#[derive(Debug)]
pub struct HeldFiles {
    /// Verified files.
    pub library: Library,
    /// What the mesh agreed on.
    pub agreement: Exchange,
}

impl Held for HeldFiles {
    fn may_sign(&self) -> bool {
        self.agreement.may_sign()
    }

    fn files(&self, history: &AllowlistHistory) -> BTreeSet<FileId> {
        let certificates = self.agreement.certificates(history);
        let held =
            certificates.iter().filter(|(id, digest)| self.library.holds_digest(*id, *digest));
        held.map(|(id, _)| id).collect()
    }
}

/// Writes a witness before each boundary.
#[derive(Debug)]
pub struct Witnesses {
    /// The chain.
    pub chain: ChainClient,
    /// Our key.
    pub signer: HotkeySigner,
    /// When they are due.
    pub spans: Spans,
    /// What we hold.
    pub held: Arc<dyn Held>,
    /// Where witnesses are kept.
    pub state: State,
    /// The metrics for Prometheus.
    pub metrics: Metrics,
}

impl Witnesses {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`StateError`] if the state cannot be read at the start.
    pub async fn run(
        self,
        mut heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) -> Result<(), StateError> {
        // The epoch that is being witnessed, kept across restarts, and the one whose end was noted.
        let newest = self.state.on_disk(|state| state.witnesses(1)).await?.into_iter().next();
        let mut current = newest.filter(|record| record.state == WitnessState::Prepared);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = heads.changed() => if changed.is_err() { return Ok(()) },
            }
            let head = *heads.borrow_and_update();
            let due = self.spans.due(head.number);
            if let Some(record) = current.take_if(|record| record.epoch_block <= head.number) {
                // The node may never have that boundary again: the next witness does not wait for
                // it.
                current = self.conclude(record, due.is_some()).await;
            }
            let Some(epoch_block) = due else { continue };
            if current.as_ref().is_some_and(|record| record.state == WitnessState::Final) {
                continue;
            }
            let record = current.get_or_insert_with(|| WitnessRecord {
                epoch_block,
                bytes: Vec::new(),
                state: WitnessState::Prepared,
                reason: String::new(),
            });
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.advance(record, head) => {}
            }
        }
    }

    /// Brings a witness one step further, and keeps how far it has come.
    async fn advance(&self, record: &mut WitnessRecord, head: Head) {
        let reason = match self.write(record, head).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        if reason != record.reason && !reason.is_empty() {
            tracing::warn!(epoch_block = %record.epoch_block, reason, "witness not written yet");
        }
        record.reason = reason;
        self.keep(record).await;
    }

    async fn write(&self, record: &mut WitnessRecord, head: Head) -> Result<(), WitnessError> {
        let epoch_block = record.epoch_block;
        let metagraph = self.chain.metagraph(head).await?;
        if self.is_written(&metagraph, epoch_block) {
            record.state = WitnessState::Final;
            return Ok(());
        }
        let hotkey = self.signer.hotkey();
        if let Some(obstacle) = witness_obstacle(&metagraph, &hotkey) {
            return Err(obstacle.into());
        }
        if !self.held.may_sign() {
            return Err(WitnessError::Silent);
        }
        let fields = self.own(epoch_block).encode();
        record.bytes = fields.concat();
        // On disk before it is sent.
        let kept = record.clone();
        self.state.on_disk(move |state| state.keep_witness(&kept)).await?;
        let remaining = epoch_block.0.saturating_sub(head.number.0);
        let sent =
            self.chain.submit_within(&self.signer, &Call::Witness { fields }, remaining).await;
        let transaction = match sent {
            Ok(transaction) => transaction,
            // An earlier transaction was included; it may be this witness, sent before a restart.
            Err(SubmitError::Included { .. }) => return Err(WitnessError::NotSeen),
            Err(error) => return Err(error.into()),
        };
        let metagraph = self.chain.metagraph(self.chain.head().await?).await?;
        if !self.is_written(&metagraph, epoch_block) {
            return Err(WitnessError::NotSeen);
        }
        tracing::info!(%epoch_block, %transaction, "witness written");
        record.state = WitnessState::Final;
        Ok(())
    }

    fn mecid(&self) -> u8 {
        self.chain.network().netuid.mecid()
    }

    /// What we hold: files with their certificates.
    fn own(&self, epoch_block: BlockNumber) -> Witness {
        let history = Arc::clone(&self.spans.allowlists.borrow());
        let held = self.held.files(&history);
        let params = self.spans.consensus.at(epoch_block);
        own_witness(params, &history, epoch_block, |file| held.contains(file))
            .of_mechanism(self.mecid())
    }

    /// Whether our commitment is a witness of this epoch, included in its span.
    fn is_written(&self, metagraph: &Metagraph, epoch_block: BlockNumber) -> bool {
        let Some(found) = metagraph.plain.get(&self.signer.hotkey()) else { return false };
        let span = self.spans.of(epoch_block);
        let is_ours = matches!(
            Witness::decode_of(self.mecid(), &found.bytes),
            Some(Ok(witness)) if witness.epoch_block == epoch_block
        );
        is_ours && span.is_some_and(|span| span.contains(&found.block))
    }

    /// Looks the witness up at its boundary, and notes how it ended. Returns it where the boundary
    /// cannot be read yet; `is_last_look` ends it there too.
    async fn conclude(
        &self,
        mut record: WitnessRecord,
        is_last_look: bool,
    ) -> Option<WitnessRecord> {
        let number = record.epoch_block;
        // What was seen in a final block stays there.
        let unread = match record.state {
            WitnessState::Final => WitnessState::Final,
            _ => WitnessState::Missed,
        };
        let read = async {
            let hash = self.chain.block_hash(number).await?;
            self.chain.metagraph(Head { number, hash }).await
        };
        record.state = match read.await {
            Ok(metagraph) if self.is_written(&metagraph, number) => WitnessState::Final,
            Ok(_) => WitnessState::Missed,
            // The block is gone from ordinary nodes: the validator was down for long.
            Err(ChainError::Pruned { .. }) => unread,
            Err(error) => {
                tracing::debug!(epoch_block = %number, %error, "failed to look up our witness");
                if !is_last_look {
                    return Some(record);
                }
                if record.reason.is_empty() {
                    record.reason = error.to_string();
                }
                unread
            }
        };
        match record.state {
            WitnessState::Final => {
                record.reason.clear();
                self.metrics.witnesses_written.inc();
            }
            _ => {
                self.metrics.witnesses_missed.inc();
                let reason = if record.reason.is_empty() { "unknown" } else { &record.reason };
                tracing::warn!(epoch_block = %number, reason, "our witness is not on chain: this epoch counts without us");
            }
        }
        self.keep(&record).await;
        None
    }

    /// Keeps a witness. Its absence from the state costs a line on the status page at most.
    async fn keep(&self, record: &WitnessRecord) {
        let kept = record.clone();
        if let Err(error) = self.state.on_disk(move |state| state.keep_witness(&kept)).await {
            tracing::warn!(epoch_block = %record.epoch_block, %error, "failed to keep our witness");
        }
    }
}
