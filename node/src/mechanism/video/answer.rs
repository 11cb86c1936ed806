//! A miner's answer.

use leoma_protocol::{BlockNumber, Hotkey};

use crate::miners::Replied;
use crate::miners::whose_fault::Reply;

/// One miner's answer. A video is in the task's folder, never in memory with all others.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) miner: Hotkey,
    pub(super) model_revision: String,
    pub(super) commit_block: BlockNumber,
    /// The miner's own time to its last reply.
    pub(super) latency_ms: u64,
    pub(super) replied: Replied,
}

impl Answer {
    /// Whether there is something to score.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.replied.reply, Reply::Video | Reply::NotVideo)
    }
}
