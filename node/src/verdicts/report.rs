//! An epoch's outcome and the validators' signed statements as JSON, for the state, for `/status` and
//! for `leoma audit`.

use leoma_protocol::messages::{Attestation, Evidence};
use leoma_protocol::{Digest, FileId, Hotkey, Network, Signature, TaskId};
use leoma_rotation::{LeftOut, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What `leoma mesh certificates` writes and `leoma audit --certificates` reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SignedAgreement {
    /// Attestations, by file and digest.
    pub attestations: Vec<AttestedFile>,
    /// Proof of two signed statements about one task.
    pub evidence: Vec<Evidence>,
}

/// The attestations to one digest of one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttestedFile {
    /// The task.
    pub task_id: TaskId,
    /// The producer of the file.
    pub producer: Hotkey,
    /// The digest.
    pub digest: Digest,
    /// The validators that attested to it.
    pub attesters: Vec<Hotkey>,
    /// Their signatures in the same order, in hexadecimal; empty where the attestations are taken on
    /// trust.
    #[serde(default)]
    pub signatures: Vec<String>,
}

impl SignedAgreement {
    /// Groups attestations that are sorted by file and digest.
    pub fn new(attestations: &[Attestation], evidence: Vec<Evidence>) -> Self {
        let of_one_digest = attestations.chunk_by(|a, b| (a.file, a.digest) == (b.file, b.digest));
        let row = |same: &[Attestation]| AttestedFile {
            task_id: same[0].file.task_id,
            producer: same[0].file.producer,
            digest: same[0].digest,
            attesters: same.iter().map(|one| one.attester).collect(),
            signatures: same.iter().map(|one| one.signature.to_hex()).collect(),
        };
        Self { attestations: of_one_digest.map(row).collect(), evidence }
    }
}

impl AttestedFile {
    /// Task and producer.
    pub const fn id(&self) -> FileId {
        FileId { task_id: self.task_id, producer: self.producer }
    }

    /// The attestations, to be verified; `None` where there is not exactly one signature for each
    /// attester.
    pub fn statements(&self, network: Network) -> Option<Vec<Attestation>> {
        if self.attesters.len() != self.signatures.len() {
            return None;
        }
        let statement = |(attester, signature): (&Hotkey, &String)| {
            let signature = Signature::from_hex(signature)?;
            Some(Attestation {
                network,
                file: self.id(),
                digest: self.digest,
                attester: *attester,
                signature,
            })
        };
        self.attesters.iter().zip(&self.signatures).map(statement).collect()
    }
}

/// The outcome as JSON. Rates are decimal numbers, for people; the decision uses exact fractions.
pub(crate) fn outcome_json(outcome: &Outcome) -> Value {
    let ranks: Vec<_> = outcome
        .ranks
        .iter()
        .map(|ranked| {
            json!({
                "rank": ranked.rank,
                "miner_hotkey": ranked.miner,
                "passed_count": ranked.passed,
                "pass_rate": ranked.rate.to_f64(),
                "block": ranked.commit_block,
            })
        })
        .collect();
    let left_out = |(id, reason): &(leoma_protocol::FileId, LeftOut)| json!({ "task_id": id.task_id, "producer": id.producer, "reason": reason.to_string() });
    json!({
        "epoch_block": outcome.epoch_block,
        "winner_hotkey": outcome.winner.map(|winner| winner.hotkey),
        "winner_uid": outcome.winner.map(|winner| winner.uid),
        "window": outcome.window.iter().map(|id| id.task_id).collect::<Vec<_>>(),
        "producers": outcome.window.iter().map(|id| id.producer).collect::<Vec<_>>(),
        "active_validators": outcome.active_validators,
        "required_distinct": outcome.required_distinct,
        "ranks": ranks,
        "ineligible": outcome.ineligible.iter().map(|(hotkey, why)| json!({ "miner_hotkey": hotkey, "reason": why.to_string() })).collect::<Vec<_>>(),
        "missing": outcome.missing.iter().map(|id| json!({ "task_id": id.task_id, "producer": id.producer })).collect::<Vec<_>>(),
        "left_out": outcome.left_out.iter().map(left_out).collect::<Vec<_>>(),
    })
}
