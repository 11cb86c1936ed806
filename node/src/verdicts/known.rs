//! Certificates, evidence and peers as this validator knows them: a view of what the mesh's core
//! holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use leoma_protocol::mesh::Restored;
use leoma_protocol::messages::{Certificate, Evidence};
use leoma_protocol::{Digest, FileId, Hotkey};
use leoma_rotation::{AllowlistHistory, Attested, Certificates};

#[derive(Debug, Default)]
struct View {
    certificates: BTreeMap<FileId, Certificate>,
    evidence: Vec<Evidence>,
    connected: BTreeSet<Hotkey>,
}

/// What is known now.
#[derive(Debug)]
pub(super) struct Known(RwLock<View>);

impl Known {
    /// What an earlier run knew; no peer is connected yet.
    pub(super) fn of(restored: &Restored) -> Self {
        let certificates =
            restored.certificates.iter().map(|one| (one.file, one.clone())).collect();
        let evidence = restored.evidence.clone();
        Self(RwLock::new(View { certificates, evidence, connected: BTreeSet::new() }))
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certified digests, with the votes counted anew against `history`.
    pub(super) fn certificates(&self, history: &AllowlistHistory) -> Certificates {
        let view = self.view();
        let attested = view.certificates.values().flat_map(|certificate| {
            let (file, digest) = (certificate.file, certificate.digest);
            certificate.votes.iter().map(move |(attester, _)| Attested {
                file,
                digest,
                attester: *attester,
            })
        });
        Certificates::count(history, attested)
    }

    /// The certified files as the mesh counted them.
    pub(super) fn certified(&self) -> Vec<(FileId, Digest)> {
        self.view().certificates.values().map(|one| (one.file, one.digest)).collect()
    }

    /// Whether the certificate of a file holds the vote of `attester`.
    pub(super) fn has_vote_of(&self, attester: Hotkey, file: FileId) -> bool {
        let view = self.view();
        let mut votes = view.certificates.get(&file).into_iter().flat_map(|one| &one.votes);
        votes.any(|(voter, _)| *voter == attester)
    }

    /// The files whose producer provably signed two for the task.
    pub(super) fn signed_twice(&self) -> Vec<FileId> {
        // An attester who signs twice only loses its vote, which `certificates` sees to.
        let keys = self.view().evidence.iter().map(Evidence::key).collect::<Vec<_>>();
        keys.into_iter().filter(|key| key.as_producer).map(|key| key.file).collect()
    }

    pub(super) fn connected(&self) -> BTreeSet<Hotkey> {
        self.view().connected.clone()
    }

    /// Notes that a peer is connected or not; returns how many are.
    pub(super) fn note_peer(&self, hotkey: Hotkey, up: bool) -> usize {
        let connected = &mut self.view_mut().connected;
        if up {
            connected.insert(hotkey);
        } else {
            connected.remove(&hotkey);
        }
        connected.len()
    }

    pub(super) fn add_certificates(&self, certificates: impl IntoIterator<Item = Certificate>) {
        self.view_mut().certificates.extend(certificates.into_iter().map(|one| (one.file, one)));
    }

    pub(super) fn add_evidence(&self, evidence: impl IntoIterator<Item = Evidence>) {
        let mut view = self.view_mut();
        for evidence in evidence {
            if !view.evidence.contains(&evidence) {
                view.evidence.push(evidence);
            }
        }
    }
}
