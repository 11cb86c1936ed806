//! Which attestations and which evidence an audit believes.

use leoma_protocol::messages::{Allowlists, Attestation, Context, EvidenceKey, SignatureCheck};
use leoma_protocol::{BlockNumber, Network, TaskId};
use leoma_rotation::{AllowlistHistory, Attested};
use serde::Deserialize;

use super::inputs::Refused;
use crate::verdicts::report::{AttestedFile, SignedAgreement};

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum AgreementFile {
    Signed(SignedAgreement),
    Rows(Vec<AttestedFile>),
}

/// What was attested, as far as it is believed.
#[derive(Default)]
pub(super) struct Believed {
    pub(super) attested: Vec<Attested>,
    pub(super) evidence: Vec<EvidenceKey>,
    /// Attestations without signatures.
    pub(super) on_trust: usize,
}

/// Checks the signatures of attestations and evidence. What fails joins `refused`, with the reason.
pub(super) fn believe(
    given: AgreementFile,
    network: Network,
    history: &AllowlistHistory,
    epoch_block: BlockNumber,
    refused: &mut Vec<Refused>,
) -> Believed {
    let (rows, evidence) = match given {
        AgreementFile::Signed(signed) => (signed.attestations, signed.evidence),
        AgreementFile::Rows(rows) => (rows, Vec::new()),
    };
    let mut allowlists = Allowlists::default();
    for entry in history.entries() {
        allowlists.set_from(entry.from_task, entry.allowlist.validators().iter().copied());
    }
    let signatures = SignatureCheck::default();
    let tasks = TaskId(0)..=TaskId(u64::MAX);
    let context = Context {
        network,
        allowlists: &allowlists,
        head: epoch_block,
        tasks,
        signatures: &signatures,
    };
    let mut believed = Believed::default();
    for row in rows {
        let name = format!("attestations to task {} of {}", row.task_id, row.producer);
        if row.signatures.is_empty() {
            let (file, digest) = (row.id(), row.digest);
            believed.on_trust += row.attesters.len();
            believed.attested.extend(row.attesters.iter().map(|attester| Attested {
                file,
                digest,
                attester: *attester,
            }));
            continue;
        }
        let Some(statements) = row.statements(network) else {
            let reason = "it does not have one well-formed signature for each attester".to_owned();
            refused.push(Refused { name, reason });
            continue;
        };
        for Attestation { file, digest, attester, .. } in
            statements.iter().filter(|one| match one.verify(&context) {
                Ok(()) => true,
                Err(reason) => {
                    refused.push(Refused {
                        name: name.clone(),
                        reason: format!("by {}: {reason}", one.attester),
                    });
                    false
                }
            })
        {
            believed.attested.push(Attested { file: *file, digest: *digest, attester: *attester });
        }
    }
    for evidence in evidence {
        let key = evidence.key();
        match evidence.verify(&context) {
            Ok(()) => believed.evidence.push(key),
            Err(reason) => {
                let name =
                    format!("evidence against {} for task {}", key.accused, key.file.task_id);
                refused.push(Refused { name, reason: reason.to_string() });
            }
        }
    }
    believed
}
