//! What the core knows of the chain: what messages are checked against.

use std::sync::Arc;

use crate::hello::HELLO_LIFETIME_BLOCKS;
use crate::messages::{Allowlists, Context, MessageError, SignatureCheck};
use crate::{BlockNumber, ConsensusSchedule, Digest, Hotkey, Network, TaskId};

/// Tasks ahead of our chain's current one that are admitted: heads differ by a few blocks.
const TASKS_AHEAD: u64 = 2;
/// A head that is further back than this replaces one that was made up; a smaller step back is
/// another node's lag. `leoma_chain` goes back to older heads in the same way.
const REWIND_BLOCKS: u64 = 300;
/// Most blocks by which one new head advances what is forgotten. A chain node may claim any head:
/// this leaves half an hour of the live chain to find out the node before made-up heads cost us a
/// lookback.
const FORGET_STEP: u64 = 200;

#[derive(Debug)]
pub(super) struct ChainView {
    pub(super) network: Network,
    pub(super) consensus: Arc<ConsensusSchedule>,
    pub(super) allowlists: Allowlists,
    pub(super) head: BlockNumber,
    /// The block that decides what is forgotten: the head, or a block on the way to it.
    pub(super) horizon: BlockNumber,
    pub(super) signatures: Arc<SignatureCheck>,
}

impl ChainView {
    /// Takes in a head. Returns whether it is new: one that is a little behind is another node's.
    pub(super) fn advance(&mut self, head: BlockNumber) -> bool {
        let goes_back = head.0.saturating_add(REWIND_BLOCKS) < self.head.0;
        if head <= self.head && !goes_back {
            return false;
        }
        self.head = head;
        self.horizon = head.min(BlockNumber(self.horizon.0.saturating_add(FORGET_STEP)));
        true
    }

    pub(super) fn context(&self) -> Context<'_> {
        let newest = self.allowlists.newest_task_at(self.head).0.saturating_add(TASKS_AHEAD);
        let newest = TaskId(newest);
        Context {
            network: self.network,
            allowlists: &self.allowlists,
            consensus: &self.consensus,
            head: self.head,
            tasks: self.oldest_task_at(self.head, 0)..=newest,
            signatures: &self.signatures,
        }
    }

    /// The oldest task that is kept: the one in which the lookback begins, or `further` blocks
    /// older.
    pub(super) fn oldest_kept(&self, further: u64) -> TaskId {
        self.oldest_task_at(self.horizon, further)
    }

    fn oldest_task_at(&self, head: BlockNumber, further: u64) -> TaskId {
        let back = self.consensus.at(head).lookback_blocks.saturating_add(further);
        self.allowlists.oldest_task_after(BlockNumber(head.0.saturating_sub(back)))
    }

    pub(super) fn is_listed(&self, hotkey: &Hotkey) -> bool {
        self.allowlists.newest().contains(hotkey)
    }

    /// Whether we may still attest to files of a task. After its deadline the past is frozen: what
    /// an epoch counts must not be certified while validators witness it.
    pub(super) fn check_in_time(&self, task: TaskId) -> Result<(), MessageError> {
        let interval =
            self.allowlists.interval_of(task).ok_or(MessageError::TaskOutOfRange { task })?;
        let start = BlockNumber(task.0.saturating_mul(interval));
        let until = self.consensus.at(start).attestation_deadline(interval, task);
        if self.head <= until {
            Ok(())
        } else {
            Err(MessageError::TooLate { task, until, head: self.head })
        }
    }

    /// Whether a hello may carry these parameters: they are in force within a hello's life of our
    /// head. Heads differ, and a hello outlives the block it was signed at.
    pub(super) fn accepts_params(&self, digest: Digest) -> bool {
        let first = BlockNumber(self.head.0.saturating_sub(HELLO_LIFETIME_BLOCKS));
        let last = BlockNumber(self.head.0.saturating_add(HELLO_LIFETIME_BLOCKS));
        self.consensus.is_in_force(digest, first, last)
    }

    /// Whether these parameters are in force at some block, as far as this build knows.
    pub(super) fn knows_params(&self, digest: Digest) -> bool {
        self.consensus.is_in_force(digest, BlockNumber(0), BlockNumber(u64::MAX))
    }
}
