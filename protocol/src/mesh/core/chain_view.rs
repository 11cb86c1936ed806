//! What the core knows of the chain: what messages are checked against.

use std::sync::Arc;

use super::intervals::Intervals;
use crate::messages::{Allowlists, Context, SignatureCheck};
use crate::{BlockNumber, Digest, Hotkey, Network, TaskId};

/// Tasks ahead of our chain's current one that are admitted: heads differ by a few blocks.
const TASKS_AHEAD: u64 = 2;

#[derive(Debug)]
pub(super) struct ChainView {
    pub(super) network: Network,
    pub(super) params: Digest,
    pub(super) intervals: Intervals,
    pub(super) lookback_blocks: u64,
    pub(super) allowlists: Allowlists,
    pub(super) head: BlockNumber,
    pub(super) signatures: Arc<SignatureCheck>,
}

impl ChainView {
    pub(super) fn context(&self) -> Context<'_> {
        let newest = TaskId(self.intervals.newest_at(self.head).0 + TASKS_AHEAD);
        Context {
            network: self.network,
            allowlists: &self.allowlists,
            head: self.head,
            tasks: self.oldest_task(0)..=newest,
            signatures: &self.signatures,
        }
    }

    /// The task in which the lookback begins, or the one that is `further` blocks older.
    pub(super) fn oldest_task(&self, further: u64) -> TaskId {
        let back = self.lookback_blocks.saturating_add(further);
        self.intervals.task_at(BlockNumber(self.head.0.saturating_sub(back)))
    }

    pub(super) fn is_listed(&self, hotkey: &Hotkey) -> bool {
        self.allowlists.newest().contains(hotkey)
    }
}
