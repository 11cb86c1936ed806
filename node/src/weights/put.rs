//! Putting weights on the chain in the way that the subnet demands, and checking that they are
//! there.
//!
//! | mode | now | in a later subnet epoch |
//! |---|---|---|
//! | plain | set, read back | |
//! | commit-reveal | a salted hash is committed, found on chain | we reveal, and read the weights back |
//! | timelocked | a ciphertext is committed, found on chain | the chain opens it, we read the weights back |
//!
//! A commit is on disk before it is sent. After a restart nothing is done twice: the chain is
//! searched first. The mode is read from the chain each time, as the subnet's owner may change it.
//! Nothing is sent if a slot with weight has changed hands since the epoch's boundary.

use leoma_chain::{
    Beacon, Call, ChainClient, ChainError, ChainWeights, Head, Hyperparameters, Metagraph,
    Rejection, SealError, SubmitError, WeightMode,
};
use leoma_protocol::{BlockNumber, Digest, Hotkey, HotkeySigner, Uid};
use leoma_rotation::WeightVector;

use super::slots::{ChangedSlot, changed_slot};
use super::spans::Spans;
use crate::metrics::Metrics;
use crate::state::{CommitState, EpochState, State, StateError, WeightCommit};

/// The version of the rules by which we compute weights, sent with each transaction. A subnet's
/// owner shuts out older ones with `weights_version`. A release whose weights differ raises it. It
/// begins at what Bittensor's SDK 10.2.0 sends (1 000 000 · major + 1 000 · minor + patch), so that
/// an owner who demands that SDK of the Python validators does not shut us out.
pub const WEIGHTS_VERSION: u64 = 10_002_000;
/// Words of a salt: 128 bits that nobody guesses.
const SALT_WORDS: usize = 8;
/// The pace of the live chain, if it cannot be measured yet.
const USUAL_BLOCK_MS: u64 = 12_000;
/// Subnet epochs around ours in which an encrypted commit is looked for: it may be included just
/// after an epoch has turned.
pub(super) const NEIGHBOURING_EPOCHS: u64 = 1;

/// Why weights are not on the chain.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum WeightsError {
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain refused them.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The state could not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// They could not be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The rate limit has not passed; nothing was sent.
    #[error("the rate limit allows the next weights at block {until}")]
    TooSoon { until: BlockNumber },
    /// The subnet's owner accepts no weights of this release; nothing was sent.
    #[error(
        "the subnet accepts weights of version {demanded} or newer, and these are {WEIGHTS_VERSION}: install the newest release"
    )]
    VersionTooOld { demanded: u64 },
    /// The chain holds weights other than those that were set.
    #[error("read back uid {found:?} instead of uid {expected}")]
    NotSet {
        /// The slot that should have all weight.
        expected: Uid,
        found: Vec<Uid>,
    },
    /// A slot that should get weight belongs to another hotkey by now; nothing was sent.
    #[error("{0}")]
    SlotChanged(ChangedSlot),
    /// A commit that was included is not there.
    #[error("the commit of epoch {epoch_block} is not on the chain")]
    NotCommitted { epoch_block: BlockNumber },
}

/// How far weights have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Read back from the chain.
    Set,
    /// Committed; the reveal is to follow.
    Committed,
}

/// What is to be put on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The epoch's boundary.
    pub epoch_block: BlockNumber,
    /// Its weights.
    pub weights: WeightVector,
}

/// Puts weights on the chain.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The chain.
    pub chain: ChainClient,
    /// Our key.
    pub signer: HotkeySigner,
    /// Where commits are kept.
    pub state: State,
    /// The beacon that timelocked commits wait for.
    pub beacon: Beacon,
    /// When witnesses are due, which share our queue of transactions.
    pub spans: Spans,
    /// The metrics for Prometheus.
    pub metrics: Metrics,
}

/// What a commit's reveal must hash to.
///
/// Source: pallet `SubtensorModule`, `get_commit_hash`.
pub fn commit_hash(
    hotkey: &Hotkey,
    storage_index: u16,
    weights: &ChainWeights,
    salt: &[u16],
) -> Digest {
    let uids: Vec<u16> = weights.uids.iter().map(|uid| uid.0).collect();
    let text = codec::Encode::encode(&(
        hotkey.as_bytes(),
        storage_index,
        uids,
        &weights.values,
        salt,
        weights.version_key,
    ));
    Digest(sp_crypto_hashing::blake2_256(&text))
}

/// Weights as a call carries them.
pub(super) fn for_chain(weights: &WeightVector, version_key: u64) -> ChainWeights {
    let (uids, values) = weights.entries.iter().map(|entry| (entry.uid, entry.share)).unzip();
    ChainWeights { uids, values, version_key }
}

/// The slot with the most weight, for logs.
pub(super) fn heaviest_uid(weights: &WeightVector) -> Option<u16> {
    weights.heaviest().map(|entry| entry.uid.0)
}

impl Weights {
    /// Puts weights on the chain, or commits to them. `now` is a recent final block.
    ///
    /// # Errors
    /// [`WeightsError`]; trying again does nothing twice.
    pub async fn put(&self, target: &Target, now: Head) -> Result<Progress, WeightsError> {
        let hotkey = self.signer.hotkey();
        let demands = self.chain.hyperparameters(now).await?;
        let metagraph = self.chain.metagraph(now).await?;
        let Some(own) = metagraph.uid(&hotkey) else {
            let rejection = Rejection::NotRegistered;
            return Err(SubmitError::Rejected { what: "set_weights", rejection }.into());
        };
        match demands.mode {
            WeightMode::Plain => {
                self.set(target, &demands, &metagraph, own, now).await.map(|()| Progress::Set)
            }
            _ => self.commit(target, &demands, &metagraph, now).await.map(|()| Progress::Committed),
        }
    }

    async fn set(
        &self,
        target: &Target,
        demands: &Hyperparameters,
        metagraph: &Metagraph,
        own: Uid,
        now: Head,
    ) -> Result<(), WeightsError> {
        let weights = for_chain(&target.weights, WEIGHTS_VERSION);
        // After a restart between the transaction and its record the weights are on chain already,
        // and are not sent again.
        let updated = metagraph.neuron(&self.signer.hotkey()).map(|neuron| neuron.last_update);
        let is_fresh = updated.is_some_and(|block| block > target.epoch_block);
        if !(is_fresh && self.chain.weights(now, own).await? == weights.pairs()) {
            if let Some(changed) = changed_slot(&target.weights, metagraph) {
                return Err(WeightsError::SlotChanged(changed));
            }
            self.ensure_accepted(demands, metagraph, now)?;
            let hash = self.send(&Call::SetWeights(weights.clone()), now).await?;
            let uid = heaviest_uid(&target.weights);
            tracing::info!(epoch_block = %target.epoch_block, uid, transaction = %hash, "weights set");
        }
        self.read_back(own, &weights).await
    }

    /// Sends a transaction that does not outlive the blocks before the next witness.
    pub(super) async fn send(&self, call: &Call, now: Head) -> Result<Digest, SubmitError> {
        self.chain.submit_within(&self.signer, call, self.spans.life(now.number)).await
    }

    pub(super) async fn read_back(
        &self,
        own: Uid,
        weights: &ChainWeights,
    ) -> Result<(), WeightsError> {
        let found = self.chain.weights(self.chain.head().await?, own).await?;
        if found == weights.pairs() {
            return Ok(());
        }
        let expected = weights.uids.first().copied().unwrap_or(Uid(0));
        Err(WeightsError::NotSet {
            expected,
            found: found.into_iter().map(|(uid, _)| uid).collect(),
        })
    }

    /// Nothing is sent that the chain would refuse as outdated or for coming too soon.
    fn ensure_accepted(
        &self,
        demands: &Hyperparameters,
        metagraph: &Metagraph,
        now: Head,
    ) -> Result<(), WeightsError> {
        if demands.weights_version > WEIGHTS_VERSION {
            return Err(WeightsError::VersionTooOld { demanded: demands.weights_version });
        }
        let last = metagraph
            .neuron(&self.signer.hotkey())
            .map_or(BlockNumber(0), |neuron| neuron.last_update);
        let until = demands.weights_from(last);
        if now.number >= until { Ok(()) } else { Err(WeightsError::TooSoon { until }) }
    }

    async fn commit(
        &self,
        target: &Target,
        demands: &Hyperparameters,
        metagraph: &Metagraph,
        now: Head,
    ) -> Result<(), WeightsError> {
        let epoch_block = target.epoch_block;
        let known = self.state.on_disk(move |state| state.weight_commit(epoch_block)).await?;
        if known.as_ref().is_some_and(|known| known.state != CommitState::Prepared) {
            return Ok(());
        }
        if let Some(known) = &known {
            // It may have been sent before a restart, or before the connection broke. Until that is
            // known nothing takes its place: the salt of a hash on chain would be lost.
            self.chain.settle(&self.signer.hotkey()).await?;
            if let Some(epoch) = self.find(known, self.chain.head().await?).await? {
                return self.is_committed(known, epoch).await;
            }
        }
        if let Some(changed) = changed_slot(&target.weights, metagraph) {
            if let Some(known) = known {
                let replaced = WeightCommit { state: CommitState::Replaced, ..known };
                let kept = self.state.on_disk(move |state| {
                    state.finish_epoch(epoch_block, EpochState::Refused, None)?;
                    state.keep_weight_commit(&replaced)
                });
                kept.await?;
            }
            return Err(WeightsError::SlotChanged(changed));
        }
        self.ensure_accepted(demands, metagraph, now)?;
        let timelocked = matches!(demands.mode, WeightMode::Timelocked { .. });
        let newest_round =
            if timelocked { self.chain.newest_drand_round(now).await?.unwrap_or(0) } else { 0 };
        // A prepared commit is sent unchanged while it still says what it should: a new salt would
        // leave two hashes on chain.
        let reusable = known.filter(|known| {
            known.weights == target.weights
                && known.version_key == WEIGHTS_VERSION
                && known.is_timelocked() == timelocked
                && (!timelocked
                    || (known.commit_epoch == demands.epoch.index
                        && known.reveal_round > newest_round))
        });
        let commit = match reusable {
            Some(known) => known,
            None => {
                let made = self.make(target, demands, now, newest_round).await?;
                let kept = made.clone();
                self.state.on_disk(move |state| state.keep_weight_commit(&kept)).await?;
                made
            }
        };
        let call = match demands.mode {
            WeightMode::Timelocked { version, .. } => {
                let (commit, reveal_round) = (commit.commit.clone(), commit.reveal_round);
                Call::CommitTimelockedWeights { commit, reveal_round, version }
            }
            _ => Call::CommitWeights {
                hash: Digest(commit.commit.clone().try_into().unwrap_or_default()),
            },
        };
        let hash = self.send(&call, now).await?;
        let uid = heaviest_uid(&target.weights);
        tracing::info!(epoch_block = %target.epoch_block, uid, transaction = %hash, "weights committed");
        let epoch = self.find(&commit, self.chain.head().await?).await?;
        let epoch = epoch.ok_or(WeightsError::NotCommitted { epoch_block: target.epoch_block })?;
        self.is_committed(&commit, epoch).await
    }

    pub(super) async fn is_committed(
        &self,
        commit: &WeightCommit,
        commit_epoch: u64,
    ) -> Result<(), WeightsError> {
        let committed =
            WeightCommit { commit_epoch, state: CommitState::Committed, ..commit.clone() };
        Ok(self.state.on_disk(move |state| state.keep_weight_commit(&committed)).await?)
    }

    async fn make(
        &self,
        target: &Target,
        demands: &Hyperparameters,
        now: Head,
        newest_round: u64,
    ) -> Result<WeightCommit, WeightsError> {
        let hotkey = self.signer.hotkey();
        let weights = for_chain(&target.weights, WEIGHTS_VERSION);
        let mut commit = WeightCommit {
            epoch_block: target.epoch_block,
            weights: target.weights.clone(),
            version_key: WEIGHTS_VERSION,
            salt: Vec::new(),
            commit: Vec::new(),
            reveal_round: 0,
            commit_epoch: demands.epoch.index,
            state: CommitState::Prepared,
        };
        if let WeightMode::Timelocked { period, .. } = demands.mode {
            let (now_ms, block_ms) = self.chain.pace(now).await?;
            let block_ms = block_ms.unwrap_or(USUAL_BLOCK_MS);
            let blocks = demands.epoch.first_block_in(period.max(1)).saturating_sub(now.number.0);
            // A chain whose clock is behind has rounds already that are in its future: it would
            // refuse those.
            commit.reveal_round =
                Beacon::reveal_round(now_ms, blocks, block_ms).max(newest_round.saturating_add(1));
            let (beacon, round) = (self.beacon.clone(), commit.reveal_round);
            // Pairings take some milliseconds of a core.
            let sealed =
                tokio::task::spawn_blocking(move || beacon.seal(&hotkey, &weights, round)).await;
            commit.commit = sealed.map_err(|_| SealError)??;
        } else {
            commit.salt = (0..SALT_WORDS).map(|_| rand::random()).collect();
            let index = self.chain.network().netuid.0;
            commit.commit = commit_hash(&hotkey, index, &weights, &commit.salt).0.to_vec();
        }
        Ok(commit)
    }

    /// The subnet epoch in which a commit is on chain at a block and not revealed yet.
    pub(super) async fn find(
        &self,
        commit: &WeightCommit,
        at: Head,
    ) -> Result<Option<u64>, ChainError> {
        let hotkey = self.signer.hotkey();
        if !commit.is_timelocked() {
            let found = self.chain.hash_commits(at, hotkey).await?;
            return Ok(found
                .iter()
                .find(|found| found.hash.0[..] == commit.commit)
                .map(|found| found.epoch));
        }
        let first = commit.commit_epoch.saturating_sub(NEIGHBOURING_EPOCHS);
        for epoch in first..=commit.commit_epoch.saturating_add(NEIGHBOURING_EPOCHS) {
            let found = self.chain.timelocked_commits(at, hotkey, epoch).await?;
            if found.iter().any(|found| found.commit == commit.commit) {
                return Ok(Some(epoch));
            }
        }
        Ok(None)
    }
}
