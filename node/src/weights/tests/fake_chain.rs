//! A fake chain.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use futures::stream::BoxStream;
use leoma_chain::{
    Call, Chain, ChainError, HashCommit, Head, Hyperparameters, Metagraph, Neuron, Nonces,
    PlainCommitment, Rejection, Signed, SubmitError, SubnetEpoch, TimelockedCommit, WeightMode,
};
use leoma_protocol::{BlockNumber, Digest, Hotkey, HotkeySigner, Uid};

use super::OWN;

pub(super) fn hotkey(seed: u8) -> Hotkey {
    Hotkey::from_bytes([seed; 32])
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) head: u64,
    /// The subnet's epoch.
    pub(super) index: u64,
    pub(super) holders: Vec<Hotkey>,
    pub(super) last_update: u64,
    pub(super) weights: Vec<(Uid, u16)>,
    pub(super) hashes: Vec<HashCommit>,
    pub(super) timelocked: Vec<TimelockedCommit>,
    /// Our commitment.
    pub(super) plain: Option<PlainCommitment>,
    /// What was signed last, and what was sent.
    pub(super) signed: Option<Call>,
    pub(super) sent: Vec<Call>,
    /// Whether transactions get lost on their way.
    pub(super) is_cut: bool,
    /// Why transactions are refused.
    pub(super) refuses: Option<Rejection>,
    /// What the subnet's owner demands.
    pub(super) weights_version: u64,
    /// A block that the node cannot give, and the error that it answers.
    pub(super) lacks: Option<(u64, Lack)>,
}

/// Why a node does not give a block.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lack {
    NotReached,
    Pruned,
}

/// A chain of which everything is final at once.
#[derive(Debug)]
pub(super) struct FakeChain {
    pub(super) mode: WeightMode,
    pub(super) books: Mutex<Books>,
}

impl FakeChain {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Gives the slot to a newcomer.
    pub(super) fn take_over(&self, uid: Uid) -> Hotkey {
        let newcomer = hotkey(200);
        self.books().holders[usize::from(uid.0)] = newcomer;
        newcomer
    }
}

pub(super) fn head(number: u64) -> Head {
    Head { number: BlockNumber(number), hash: Digest::of(&number.to_le_bytes()) }
}

#[async_trait::async_trait]
impl Chain for FakeChain {
    fn genesis(&self) -> Digest {
        Digest::default()
    }

    async fn head(&self) -> Result<Head, ChainError> {
        Ok(head(self.books().head))
    }

    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError> {
        Err(ChainError::Timeout { what: "heads" })
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Digest, ChainError> {
        match self.books().lacks {
            Some((lacked, Lack::NotReached)) if lacked == number.0 => {
                Err(ChainError::NotReached { number })
            }
            Some((lacked, Lack::Pruned)) if lacked == number.0 => {
                Err(ChainError::Pruned { what: "a block's hash" })
            }
            _ => Ok(head(number.0).hash),
        }
    }

    async fn has_block(&self, _: Head) -> Result<bool, ChainError> {
        Ok(true)
    }

    async fn timestamp(&self, at: Head) -> Result<u64, ChainError> {
        Ok(1_760_000_000_000 + 12_000 * at.number.0)
    }

    async fn metagraph(&self, at: Head) -> Result<Metagraph, ChainError> {
        let books = self.books();
        let neuron = |(uid, hotkey): (u16, &Hotkey)| Neuron {
            uid: Uid(uid),
            hotkey: *hotkey,
            validator_permit: Uid(uid) == OWN,
            stake: 1,
            last_update: BlockNumber(if Uid(uid) == OWN { books.last_update } else { 0 }),
            registered_at: BlockNumber(0),
            axon: None,
            axon_block: BlockNumber(0),
        };
        Ok(Metagraph {
            block: at.number,
            owner: books.holders[0],
            min_weights: 1,
            max_weight: u16::MAX,
            serving_rate_limit: 0,
            neurons: (0..).zip(&books.holders).map(neuron).collect(),
            commitments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            plain: books.plain.iter().map(|found| (books.holders[1], found.clone())).collect(),
        })
    }

    async fn hyperparameters(&self, _: Head) -> Result<Hyperparameters, ChainError> {
        let Books { index, weights_version, .. } = *self.books();
        Ok(Hyperparameters {
            mode: self.mode,
            weights_version,
            weights_rate_limit: 0,
            least_stake: 0,
            activity_cutoff: 5_000,
            epoch: SubnetEpoch { index, last_block: index * 360, tempo: 360, pending_at: 0 },
        })
    }

    async fn weights(&self, _: Head, _: Uid) -> Result<Vec<(Uid, u16)>, ChainError> {
        Ok(self.books().weights.clone())
    }

    async fn hash_commits(&self, _: Head, _: &Hotkey) -> Result<Vec<HashCommit>, ChainError> {
        Ok(self.books().hashes.clone())
    }

    async fn timelocked_commits(
        &self,
        _: Head,
        _: &Hotkey,
        epoch: u64,
    ) -> Result<Vec<TimelockedCommit>, ChainError> {
        let books = self.books();
        Ok(books.timelocked.iter().filter(|commit| commit.epoch == epoch).cloned().collect())
    }

    async fn newest_drand_round(&self, _: Head) -> Result<Option<u64>, ChainError> {
        Ok(None)
    }

    async fn registration_burn(&self, _: Head) -> Result<u64, ChainError> {
        Ok(1)
    }

    async fn free_balance(&self, _: Head, _: &Hotkey) -> Result<u64, ChainError> {
        Ok(1)
    }

    async fn nonces(&self, _: &Hotkey) -> Result<Nonces, ChainError> {
        let books = self.books();
        let number = books.sent.len() as u64;
        Ok(Nonces { at: BlockNumber(books.head), finalized: number, next: number })
    }

    async fn fee(&self, _: &Signed) -> Result<u64, ChainError> {
        Ok(0)
    }

    async fn sign(
        &self,
        _: &HotkeySigner,
        call: &Call,
        nonce: u64,
        _: u64,
    ) -> Result<Signed, SubmitError> {
        let mut books = self.books();
        books.signed = Some(call.clone());
        let valid_until = BlockNumber(books.head);
        Ok(Signed { what: call.name(), bytes: Vec::new(), nonce, valid_until })
    }

    async fn send(&self, _: &Signed) -> Result<Digest, SubmitError> {
        let mut books = self.books();
        books.head += 1;
        if books.is_cut {
            return Err(ChainError::Timeout { what: "inclusion" }.into());
        }
        let call = books.signed.take().unwrap();
        if let Some(rejection) = books.refuses.clone() {
            return Err(SubmitError::Rejected { what: call.name(), rejection });
        }
        let (epoch, block) = (books.index, BlockNumber(books.head));
        books.sent.push(call.clone());
        match call {
            Call::SetWeights(weights) => {
                (books.weights, books.last_update) = (weights.pairs(), block.0);
            }
            Call::CommitWeights { hash } => books.hashes.push(HashCommit { hash, epoch, block }),
            Call::RevealWeights { weights, .. } => {
                books.hashes.clear();
                books.weights = weights.pairs();
            }
            Call::CommitTimelockedWeights { commit, reveal_round, .. } => {
                books.timelocked.push(TimelockedCommit { commit, reveal_round, epoch });
            }
            Call::Witness { fields } => {
                books.plain = Some(PlainCommitment { block, bytes: fields.concat() });
            }
            other => panic!("{other:?}"),
        }
        Ok(Digest::default())
    }
}
