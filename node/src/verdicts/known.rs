//! The certificates, evidence and connected peers that the mesh has reported.

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

/// A view of the mesh's state, shared by all parts of the exchange.
#[derive(Debug)]
pub(super) struct Known(RwLock<View>);

impl Known {
    /// Starts from what an earlier run left, with no peer connected.
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

    /// The tasks and producers with two files that the producer provably signed.
    pub(super) fn signed_twice(&self) -> Vec<FileId> {
        // An attester that signs twice only loses its vote: `certificates` leaves it out.
        let keys = self.view().evidence.iter().map(Evidence::key).collect::<Vec<_>>();
        keys.into_iter().filter(|key| key.as_producer).map(|key| key.file).collect()
    }

    pub(super) fn connected(&self) -> BTreeSet<Hotkey> {
        self.view().connected.clone()
    }

    /// Records whether a peer is connected; returns the number of connected peers.
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
