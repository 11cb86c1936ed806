//! What a node of the chain can be asked.

use futures::stream::BoxStream;
use leoma_protocol::{BlockNumber, Digest, Hotkey, HotkeySigner, Uid};

use crate::error::{ChainError, Result, SubmitError};
use crate::head::Head;
use crate::read::{Hyperparameters, Metagraph};
use crate::submit::Call;

/// A transaction count of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonces {
    /// The final block at which they were read.
    pub at: BlockNumber,
    /// Transactions in final blocks.
    pub finalized: u64,
    /// The next free nonce, counting those that wait in the node's pool.
    pub next: u64,
}

/// A signed transaction that was not sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Its call's name.
    pub what: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its nonce.
    pub nonce: u64,
    /// The last block that may hold it.
    pub valid_until: BlockNumber,
}

/// A hash of weights that waits for its reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCommit {
    /// The hash.
    pub hash: Digest,
    /// The subnet epoch it was made in.
    pub epoch: u64,
    /// The block it was made at.
    pub block: BlockNumber,
}

/// Encrypted weights that wait for their round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelockedCommit {
    /// The ciphertext.
    pub commit: Vec<u8>,
    /// The round that opens it.
    pub reveal_round: u64,
    /// The subnet epoch it was made in.
    pub epoch: u64,
}

/// A node of the chain. [`ChainClient`](super::ChainClient) checks several of them against each
/// other.
#[async_trait::async_trait]
pub trait Chain: Send + Sync + std::fmt::Debug {
    /// Hash of the first block.
    fn genesis(&self) -> Digest;
    /// Whether the connection is open. A lost one does not come back.
    fn is_connected(&self) -> bool {
        true
    }
    /// The newest final block.
    async fn head(&self) -> Result<Head>;
    /// The stream of final blocks; it ends with the connection.
    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>>;
    /// The hash of the block at a height; an error if the chain has not reached it.
    async fn block_hash(&self, number: BlockNumber) -> Result<Digest>;
    /// Whether there is a header of this height with this hash.
    async fn has_block(&self, block: Head) -> Result<bool>;
    /// The chain's clock at a block, Unix milliseconds.
    async fn timestamp(&self, at: Head) -> Result<u64>;
    /// The subnet at a block: owner, neurons, commitments.
    async fn metagraph(&self, at: Head) -> Result<Metagraph>;
    /// The subnet's rules for weights at a block.
    async fn hyperparameters(&self, at: Head) -> Result<Hyperparameters>;
    /// The weights of a slot at a block, `(uid, weight)` each, as the chain scaled them.
    async fn weights(&self, at: Head, uid: Uid) -> Result<Vec<(Uid, u16)>>;
    /// Hashes of weights that a hotkey has committed and not revealed.
    async fn hash_commits(&self, at: Head, hotkey: &Hotkey) -> Result<Vec<HashCommit>>;
    /// Encrypted weights that a hotkey committed in a subnet epoch and that the chain has not
    /// opened.
    async fn timelocked_commits(
        &self,
        at: Head,
        hotkey: &Hotkey,
        epoch: u64,
    ) -> Result<Vec<TimelockedCommit>>;
    /// The newest drand round whose signature the chain stores; `None` where it stores none.
    async fn newest_drand_round(&self, at: Head) -> Result<Option<u64>>;
    /// The cost of a registration on the subnet at a block, in rao.
    async fn registration_burn(&self, at: Head) -> Result<u64>;
    /// An account's free balance at a block, in rao.
    async fn free_balance(&self, at: Head, account: &Hotkey) -> Result<u64>;
    /// An account's transaction counts.
    async fn nonces(&self, account: &Hotkey) -> Result<Nonces>;
    /// Signs a call with a nonce. It can be included within about `blocks` blocks.
    async fn sign(
        &self,
        signer: &HotkeySigner,
        call: &Call,
        nonce: u64,
        blocks: u64,
    ) -> Result<Signed, SubmitError>;
    /// What a transaction would cost its signer now, in rao, as the chain itself says.
    async fn fee(&self, transaction: &Signed) -> Result<u64>;
    /// Sends a transaction and waits until it is in a final block; its hash.
    async fn send(&self, transaction: &Signed) -> Result<Digest, SubmitError>;
}
