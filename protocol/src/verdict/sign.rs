//! Writing and signing a verdict file.

use super::{Envelope, VerdictEntry};
use crate::python_json::Value;
use crate::signing::{Domain, HotkeySigner, NotSafe, SlotKind};
use crate::{BlockNumber, Digest, FileId, Network, TaskId};

/// Everything that a verdict file states, before it is signed.
#[derive(Clone, Debug)]
pub struct VerdictDraft {
    /// Chain and subnet.
    pub network: Network,
    /// The task that was sampled.
    pub task_id: TaskId,
    /// Digest of the consensus parameters in force.
    pub params: Digest,
    /// What judged, at most 128 characters.
    pub judge: String,
    /// The chain's head now. An epoch that follows too soon does not count the file.
    pub block: BlockNumber,
    /// One entry for each valid miner, in any order. They are written sorted by hotkey.
    pub entries: Vec<VerdictEntry>,
}

/// A signed verdict file. Keep exactly these bytes: signatures are randomised, so signing again
/// gives other bytes with the same digest.
#[derive(Clone, Debug)]
pub struct SignedVerdict {
    /// Task and producer.
    pub id: FileId,
    /// The file's identity, see [`Envelope::digest`].
    pub digest: Digest,
    /// The file.
    pub bytes: Vec<u8>,
}

impl HotkeySigner {
    /// Signs a verdict file twice: once as the Python tools check it, and once for the envelope.
    ///
    /// # Errors
    /// [`NotSafe`] if this validator already signed other verdicts for the task, or the record of
    /// what it signed is unavailable.
    pub fn sign_verdict_file(&self, draft: VerdictDraft) -> Result<SignedVerdict, NotSafe> {
        let VerdictDraft { network, task_id, params, judge, block, mut entries } = draft;
        entries.sort_by_key(|entry| entry.hotkey);
        let data = Value::Array(entries.iter().map(VerdictEntry::to_value).collect());
        let data_sha256 = Digest::of(data.to_string().as_bytes());
        let validator = self.hotkey();
        let envelope = Envelope { network, task_id, validator, params, judge, block, data_sha256 };
        let digest = envelope.digest();
        let id = FileId { task_id, producer: validator };
        self.admit(SlotKind::VerdictFile, network, id, digest)?;
        let envelope_signature =
            self.sign_domain(Domain::VerdictEnvelope, envelope.payload().as_bytes());
        let file = Value::object([
            ("signature", self.sign_v1_digest(&data_sha256).to_hex().into()),
            ("data", data),
            ("envelope", envelope.to_value(&envelope_signature)),
        ]);
        Ok(SignedVerdict { id, digest, bytes: file.to_string().into_bytes() })
    }
}
