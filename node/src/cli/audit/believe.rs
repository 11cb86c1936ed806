//! Which attestations an audit believes: those whose signature holds.

use leoma_protocol::messages::{Allowlists, Context, SignatureCheck};
use leoma_protocol::{BlockNumber, ConsensusSchedule, Network, TaskId};
use leoma_rotation::{AllowlistHistory, Attested};

use crate::verdicts::report::AttestedFile;

/// Something that does not count, with the reason.
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) reason: String,
}

/// What was attested, as far as it is believed.
#[derive(Default)]
pub(super) struct Believed {
    pub(super) attested: Vec<Attested>,
    pub(super) refused: Vec<Refused>,
}

/// Checks the signatures of attestations.
pub(super) fn believe(
    rows: &[AttestedFile],
    network: Network,
    history: &AllowlistHistory,
    consensus: &ConsensusSchedule,
    epoch_block: BlockNumber,
) -> Believed {
    let allowlists = Allowlists::new(history.task_lists());
    let signatures = SignatureCheck::default();
    let tasks = TaskId(0)..=TaskId(u64::MAX);
    let context = Context {
        network,
        allowlists: &allowlists,
        consensus,
        head: epoch_block,
        tasks,
        signatures: &signatures,
    };
    let mut believed = Believed::default();
    for row in rows {
        // Tasks after the epoch's do not matter here.
        if history.of_task(row.task_id).is_none() {
            continue;
        }
        let name = format!("attestations to task {} of {}", row.task_id, row.producer);
        let mut refuse = |reason: String| {
            let name = name.clone();
            believed.refused.push(Refused { name, reason });
        };
        let Some(statements) = row.statements(network) else {
            refuse("it does not have one well-formed signature for each attester".to_owned());
            continue;
        };
        for one in statements {
            match one.verify(&context) {
                Ok(()) => believed.attested.push(Attested {
                    file: one.file,
                    digest: one.digest,
                    attester: one.attester,
                }),
                Err(reason) => refuse(format!("by {}: {reason}", one.attester)),
            }
        }
    }
    believed
}
