//! What the validator counts with: certificates, whom not to attest for, and who is connected.
//!
//! The core is the only owner; everybody else reads a snapshot. A certificate stays here as it was
//! when its quorum was reached, whoever attests later, so that every reader counts the same votes.
//! Only a change of its task's list changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain_view::ChainView;
use super::effect::Effect;
use super::mesh_event::{MeshEvent, Restored};
use crate::messages::{Certificate, Context, Evidence, MessageError};
use crate::{BlockNumber, FileId, Hotkey, TaskId};

/// Blocks for which holdings outlast the lookback. An epoch looks back from its boundary, not from
/// the head, and is computed up to an epoch of 180 blocks later; four times that is room for
/// retries.
const KEPT_BLOCKS: u64 = 720;
/// Blocks between two prunings.
const PRUNE_BLOCKS: u64 = 180;

/// A snapshot of what the validator counts with.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// The first certificate of each file, with the votes that made up its quorum.
    pub certificates: BTreeMap<FileId, Arc<Certificate>>,
    /// Files for which the producer signed two digests.
    pub equivocations: BTreeSet<FileId>,
    /// Files about which a dispute is proven.
    pub disputed: BTreeSet<FileId>,
    /// Connected validators that proved their hotkey.
    pub connected: BTreeSet<Hotkey>,
}

impl Holdings {
    /// What an earlier run stored. Certificates of tasks that the mesh still talks about are
    /// checked again, as a list that was heard of late may have changed them; older ones were
    /// settled then.
    pub(super) fn restore(restored: &Restored, context: &Context<'_>) -> Self {
        let mut holdings = Self::default();
        for certificate in &restored.certificates {
            match certificate.verify(context) {
                Ok(()) | Err(MessageError::TaskOutOfRange { .. }) => {
                    holdings.certified(certificate)
                }
                Err(error) => {
                    tracing::warn!(task = %certificate.file.task_id, %error, "a stored certificate does not hold any more, ignoring it");
                }
            }
        }
        restored.evidence.iter().for_each(|evidence| holdings.convicted(evidence));
        holdings
    }

    /// Whether there is evidence or a proven dispute against a producer. It is kept for a lookback.
    pub fn is_suspect(&self, producer: &Hotkey) -> bool {
        self.equivocations.union(&self.disputed).any(|file| file.producer == *producer)
    }

    fn certified(&mut self, certificate: &Certificate) {
        self.certificates.insert(certificate.file, Arc::new(certificate.clone()));
    }

    /// Only a producer loses its attestations by signing twice. An attester's votes count: two
    /// quorums share more validators than may lie.
    fn convicted(&mut self, evidence: &Evidence) {
        let key = evidence.key();
        if key.as_producer {
            self.equivocations.insert(key.file);
        }
    }

    /// Takes note of what the validator is told, and of who is connected then. Copies the snapshot
    /// only if it changes.
    pub(super) fn note(
        this: &mut Arc<Self>,
        told: &[Effect],
        members: impl Iterator<Item = Hotkey> + Clone,
    ) {
        for effect in told {
            match effect {
                Effect::Tell(MeshEvent::Certified(certificate)) => {
                    Arc::make_mut(this).certified(certificate);
                }
                Effect::Tell(MeshEvent::Evidence(evidence)) => {
                    Arc::make_mut(this).convicted(evidence);
                }
                Effect::Tell(MeshEvent::Disputed { dispute, proven: true }) => {
                    Arc::make_mut(this).disputed.insert(dispute.file);
                }
                Effect::Tell(MeshEvent::PeerUp { .. } | MeshEvent::PeerDown { .. }) => {
                    Arc::make_mut(this).connected = members.clone().collect();
                }
                _ => {}
            }
        }
    }

    /// The head from which on to prune next.
    pub(super) fn next_prune(head: BlockNumber) -> BlockNumber {
        BlockNumber(head.0.saturating_add(PRUNE_BLOCKS))
    }

    /// Drops what no epoch looks back on any more. Returns the oldest task that is kept.
    pub(super) fn prune(this: &mut Arc<Self>, chain: &ChainView) -> TaskId {
        let oldest = chain.oldest_kept(KEPT_BLOCKS);
        let is_old = |file: Option<&FileId>| file.is_some_and(|file| file.task_id < oldest);
        let first =
            [this.certificates.keys().next(), this.equivocations.first(), this.disputed.first()];
        if first.into_iter().any(is_old) {
            let this = Arc::make_mut(this);
            this.certificates.retain(|file, _| file.task_id >= oldest);
            this.equivocations.retain(|file| file.task_id >= oldest);
            this.disputed.retain(|file| file.task_id >= oldest);
        }
        oldest
    }
}
