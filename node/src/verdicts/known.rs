//! Certificates, suspects and connected peers, as the mesh's core holds them.

use std::collections::BTreeSet;
use std::sync::Arc;

use leoma_protocol::mesh::Holdings;
use leoma_protocol::{Digest, FileId, Hotkey};
use leoma_rotation::Attested;
use tokio::sync::watch;

/// A view of the mesh's state, shared by all parts of the exchange.
#[derive(Clone, Debug)]
pub(super) struct Known(watch::Receiver<Arc<Holdings>>);

impl Known {
    pub(super) const fn new(holdings: watch::Receiver<Arc<Holdings>>) -> Self {
        Self(holdings)
    }

    fn now(&self) -> Arc<Holdings> {
        Arc::clone(&self.0.borrow())
    }

    /// The votes of all certificates.
    pub(super) fn votes(&self) -> Vec<Attested> {
        let now = self.now();
        let votes = now.certificates.values().flat_map(|certificate| {
            let (file, digest) = (certificate.file, certificate.digest);
            certificate.votes.iter().map(move |(attester, _)| Attested {
                file,
                digest,
                attester: *attester,
            })
        });
        votes.collect()
    }

    /// The certified files with their digests, ascending.
    pub(super) fn certified(&self) -> Vec<(FileId, Digest)> {
        self.now().certificates.values().map(|one| (one.file, one.digest)).collect()
    }

    /// Whether the certificate of a file holds the vote of `attester`.
    pub(super) fn has_vote_of(&self, attester: Hotkey, file: FileId) -> bool {
        let now = self.now();
        let mut votes = now.certificates.get(&file).into_iter().flat_map(|one| &one.votes);
        votes.any(|(voter, _)| *voter == attester)
    }

    /// Whether there is evidence or a proven dispute against a producer.
    pub(super) fn is_suspect(&self, producer: &Hotkey) -> bool {
        self.now().is_suspect(producer)
    }

    pub(super) fn connected(&self) -> BTreeSet<Hotkey> {
        self.now().connected.clone()
    }
}
