//! What a task's `metadata.json` says: everything that is needed to repeat it.

use std::collections::BTreeMap;

use leoma_protocol::verdict::Envelope;
use leoma_protocol::{BlockNumber, Digest, Hotkey, Netuid, Network, TaskId};
use leoma_storage::Challenge;
use serde::{Deserialize, Serialize};

use super::judging::Evidence;
use crate::corpus::Seed;

/// The version of the file.
pub(super) const SCHEMA: &str = "leoma.motion/1";

/// A task's `metadata.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// The task.
    pub(crate) task_id: TaskId,
    /// The subnet, or its mechanism's index.
    pub(crate) netuid: Netuid,
    /// The chain.
    pub(crate) genesis: Digest,
    /// Who asked.
    pub(crate) validator: Hotkey,
    /// The chain's head when the task was taken up.
    pub(crate) block: BlockNumber,
    /// What judged.
    pub(crate) judge: String,
    /// How long each miner had, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// The challenge, and how it was drawn.
    pub(crate) challenge: Proof,
    /// What values follow from, for each miner whose answer could be compared.
    pub(crate) evidence: BTreeMap<Hotkey, Evidence>,
}

/// How a challenge was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// The task's first block.
    pub(crate) seed: Seed,
    /// SHA-256 of the list that it was drawn from.
    pub(crate) list_sha256: Digest,
    /// How many challenges that list has.
    pub(crate) challenges: usize,
    /// The position that the seed draws.
    pub(crate) index: usize,
    /// The challenge there.
    pub(crate) challenge: Challenge,
}

impl Metadata {
    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be used, in words; whether another release wrote it, where that is why.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let malformed = |error| Unreadable::Malformed(format!("metadata.json: {error}"));
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
        if value["schema"] != SCHEMA {
            let schema = value["schema"].to_string();
            let shown: String = schema.chars().take(40).collect();
            return Err(Unreadable::Unknown(format!("metadata.json has schema {shown}")));
        }
        serde_json::from_value(value).map_err(malformed)
    }

    /// Whether it is what the producer of a file signed for.
    pub(super) fn is_of(&self, envelope: &Envelope) -> bool {
        let Network { genesis, netuid } = envelope.network;
        (self.task_id, self.validator) == (envelope.task_id, envelope.validator)
            && (self.genesis, self.netuid) == (genesis, netuid)
            && self.judge == envelope.judge
    }
}

/// Why metadata cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Another release wrote it.
    Unknown(String),
    /// It is not of its form.
    Malformed(String),
}
