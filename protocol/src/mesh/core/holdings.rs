//! What the validator counts with: certificates, equivocations, and who is connected.
//!
//! The core is the only owner; everybody else reads a snapshot. A certificate stays here as it was
//! when its quorum was reached, whoever attests later, so that every reader counts the same votes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain_view::ChainView;
use super::effect::Effect;
use super::mesh_event::{MeshEvent, Restored};
use crate::messages::{Certificate, Evidence};
use crate::{BlockNumber, FileId, Hotkey};

/// Blocks for which holdings outlast the lookback. An epoch looks back from its boundary, not from
/// the head, and is computed up to an epoch of 180 blocks later; four times that is room for
/// retries.
const KEPT_BLOCKS: u64 = 720;
/// Blocks between two prunings. None happens sooner after a start, because the core does not know
/// the earlier intervals yet, and without them it cannot tell how old a task is.
const PRUNE_BLOCKS: u64 = 180;

/// A snapshot of what the validator counts with.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// The first certificate of each file, with the votes that made up its quorum.
    pub certificates: BTreeMap<FileId, Arc<Certificate>>,
    /// Files for which the producer signed two digests.
    pub equivocations: BTreeSet<FileId>,
    /// Connected validators that proved their hotkey.
    pub connected: BTreeSet<Hotkey>,
}

impl Holdings {
    /// What an earlier run stored. It was verified then, and is not verified again: an attester may
    /// have left the allowlist since.
    pub(super) fn restore(restored: &Restored) -> Self {
        let mut holdings = Self::default();
        restored.certificates.iter().for_each(|certificate| holdings.certified(certificate));
        restored.evidence.iter().for_each(|evidence| holdings.convicted(evidence));
        holdings
    }

    fn certified(&mut self, certificate: &Certificate) {
        self.certificates.insert(certificate.file, Arc::new(certificate.clone()));
    }

    /// Only a producer loses its files by signing twice; an attester loses its vote, which the
    /// count of a certificate sees to.
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

    /// Drops what no epoch looks back on any more.
    pub(super) fn prune(this: &mut Arc<Self>, chain: &ChainView) {
        let oldest = chain.oldest_task(KEPT_BLOCKS);
        let is_old = |file: Option<&FileId>| file.is_some_and(|file| file.task_id < oldest);
        if is_old(this.certificates.keys().next()) || is_old(this.equivocations.first()) {
            let this = Arc::make_mut(this);
            this.certificates.retain(|file, _| file.task_id >= oldest);
            this.equivocations.retain(|file| file.task_id >= oldest);
        }
    }
}
