//! This validator's part in the exchange of verdict files.

use std::collections::BTreeSet;
use std::sync::Arc;

use leoma_protocol::mesh::{MeshError, MeshHandle, Voice};
use leoma_protocol::{FileId, Hotkey, HotkeySigner};
use leoma_rotation::{AllowlistHistory, Certificates};
use leoma_storage::PeerBuckets;
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use crate::state::State;

use super::known::Known;
use super::library::Library;
use super::report::SignedAgreement;

/// Announced files fetched at a time, each of at most 4 MiB.
const CONCURRENT_FETCHES: usize = 8;

/// Our part in the exchange of verdict files: it fetches, verifies and attests to them, and keeps
/// track of certificates and evidence. Clones share it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(super) mesh: MeshHandle,
    pub(super) signer: HotkeySigner,
    pub(super) library: Library,
    pub(super) buckets: Arc<PeerBuckets>,
    pub(super) state: State,
    pub(super) metrics: Metrics,
    pub(super) known: Known,
    pub(super) fetches: Arc<Semaphore>,
    pub(super) voice: watch::Receiver<Voice>,
}

impl Exchange {
    /// Our part in the exchange over `mesh`.
    pub fn new(
        mesh: MeshHandle,
        signer: HotkeySigner,
        library: Library,
        buckets: Arc<PeerBuckets>,
        state: State,
        metrics: Metrics,
    ) -> Self {
        let (known, voice) = (Known::new(mesh.holdings()), mesh.voice());
        let fetches = Arc::new(Semaphore::new(CONCURRENT_FETCHES));
        Self { mesh, signer, library, buckets, state, metrics, known, fetches, voice }
    }

    /// The certified digests, with the votes counted anew against `history`.
    pub fn certificates(&self, history: &AllowlistHistory) -> Certificates {
        self.known.certificates(history)
    }

    /// The tasks for which a producer provably signed two files.
    pub fn evidence(&self) -> Vec<FileId> {
        self.known.signed_twice()
    }

    /// The signed attestations and evidence about the window's files that we have received.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn signed(&self) -> Result<SignedAgreement, MeshError> {
        Ok(SignedAgreement::new(&self.mesh.attestations().await?, self.mesh.evidence().await?))
    }

    /// Connected peers that have proven their hotkey.
    pub fn connected(&self) -> BTreeSet<Hotkey> {
        self.known.connected()
    }

    /// Whether another machine runs our hotkey, as far as is known.
    pub fn voice(&self) -> Voice {
        *self.voice.borrow()
    }

    /// The mesh.
    pub const fn mesh(&self) -> &MeshHandle {
        &self.mesh
    }
}
