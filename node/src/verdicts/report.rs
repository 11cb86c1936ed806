//! An epoch's outcome and the validators' signed statements as JSON, for the state, for `/status` and
//! for `leoma audit`.

use leoma_protocol::messages::{Attestation, Dispute, Evidence};
use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey, Network, Signature, TaskId};
use leoma_rotation::{Counted, LeftOut, Outcome, PolicyOutcome, PoolOutcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rescoring::Plausibility;

/// What `leoma mesh certificates` writes and `leoma audit --certificates` reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SignedAgreement {
    /// Attestations, by file and digest.
    pub attestations: Vec<AttestedFile>,
    /// Proof of two signed statements about one task.
    pub evidence: Vec<Evidence>,
    /// Validators' reasons for not attesting.
    #[serde(default)]
    pub disputes: Vec<Dispute>,
    /// The certified digest of each certified file, as this validator counted.
    #[serde(default)]
    pub certified: Vec<(FileId, Digest)>,
    /// Files that passed this validator's own checks.
    #[serde(default)]
    pub passed: Vec<CheckedFile>,
    /// The newest epoch's witnesses; `None` where this process sets no weights.
    #[serde(default)]
    pub witnessed: Option<WitnessedEpoch>,
}

/// What the newest epoch's witnesses said, as this validator read them from the chain.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WitnessedEpoch {
    /// The epoch block.
    pub epoch_block: BlockNumber,
    /// The listed validators with a fresh witness.
    pub fresh: Vec<Hotkey>,
    /// How many witnesses a file needs.
    pub required: usize,
    /// Who witnesses which file.
    pub files: Vec<WitnessedFile>,
}

/// Who witnesses a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WitnessedFile {
    /// The task.
    pub task_id: TaskId,
    /// The producer of the file.
    pub producer: Hotkey,
    /// The validators that say they hold it with its certificate.
    pub by: Vec<Hotkey>,
    /// Whether the file speaks for its task in the epoch's window.
    pub counted: bool,
}

impl WitnessedEpoch {
    /// What the witnesses at `epoch_block` say.
    pub fn new(epoch_block: BlockNumber, counted: &Counted) -> Self {
        let row = |(id, by): (&FileId, &Vec<Hotkey>)| WitnessedFile {
            task_id: id.task_id,
            producer: id.producer,
            by: by.clone(),
            counted: counted.files.contains(id),
        };
        Self {
            epoch_block,
            fresh: counted.fresh.clone(),
            required: counted.required,
            files: counted.witnesses.iter().map(row).collect(),
        }
    }
}

/// The name under which an epoch's stored outcome holds its [`WitnessedEpoch`].
pub(crate) const WITNESSED: &str = "witnessed";

/// A file that passed a validator's own checks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckedFile {
    /// The task.
    pub task_id: TaskId,
    /// The producer of the file.
    pub producer: Hotkey,
    /// Whether entries were scored again, which, and why not.
    #[serde(flatten)]
    pub plausibility: Plausibility,
}

/// The attestations to one digest of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        Self { attestations: of_one_digest.map(row).collect(), evidence, ..Self::default() }
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

/// What a policy record pays, as JSON: each pool's scores, and each miner's share of the whole, the
/// oldest commitment first. Decimal numbers, for people; weights follow from exact fractions.
pub(crate) fn paid_json(paid: &PolicyOutcome) -> Value {
    let pool = |pool: &PoolOutcome| {
        let scores = pool.scores.iter();
        let scores =
            scores.map(|(miner, score)| json!({ "miner_hotkey": miner, "score": score.to_f64() }));
        json!({ "name": pool.name.as_str(), "scores": scores.collect::<Vec<_>>() })
    };
    let shares = paid.shares_f64().into_iter();
    let shares = shares.map(|(miner, share)| json!({ "miner_hotkey": miner, "share": share }));
    json!({
        "pools": paid.pools.iter().map(pool).collect::<Vec<_>>(),
        "shares": shares.collect::<Vec<_>>(),
    })
}
