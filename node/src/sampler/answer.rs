//! A miner's answer.

use bytes::Bytes;
use leoma_protocol::{BlockNumber, Hotkey};

use crate::miners::AnswerFault;

/// One miner's answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) miner: Hotkey,
    pub(super) model_revision: String,
    pub(super) commit_block: BlockNumber,
    pub(super) video: Result<Bytes, AnswerFault>,
    pub(super) latency_ms: u64,
}
