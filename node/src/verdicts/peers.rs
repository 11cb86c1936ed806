//! This validator's part in the agreement: it fetches what is announced, verifies it, attests to
//! it, and remembers what was certified and proven.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::mesh::{
    GrantBytes, KnownPeer, MeshError, MeshEvent, MeshHandle, Restored, Voice,
};
use leoma_protocol::messages::{Announcement, Certificate, Evidence};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{Digest, FileId, Hotkey, HotkeySigner, TaskId};
use leoma_rotation::{AllowlistHistory, Attested, Certificates};
use leoma_storage::{Granted, PeerBuckets};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::metrics::{FetchOutcome, FetchSource, Metrics};
use crate::state::{State, StateError, StoredFile};

use super::library::Library;
use super::report::SignedAgreement;

/// Announced files fetched at a time, each of at most 4 MiB.
const CONCURRENT_FETCHES: usize = 8;
/// Tries to get an announced file: its producer has it, so a miss is a fault that may pass.
const FETCH_TRIES: u32 = 5;
/// Pause after the first miss; doubled after each further one.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
/// Notes under which the mesh's own memory is kept.
const ADDRESS_BOOK_NOTE: &str = "mesh_address_book";
const SEQUENCE_NOTE: &str = "mesh_sequence";

#[derive(Debug, Default)]
struct Known {
    certificates: BTreeMap<FileId, Certificate>,
    evidence: Vec<Evidence>,
    connected: BTreeSet<Hotkey>,
}

/// What the mesh agreed on, and our own voice in it. Clones share one.
#[derive(Clone, Debug)]
pub struct Exchange {
    mesh: MeshHandle,
    signer: HotkeySigner,
    library: Library,
    buckets: Arc<PeerBuckets>,
    state: State,
    metrics: Metrics,
    known: Arc<RwLock<Known>>,
    fetches: Arc<Semaphore>,
    voice: watch::Receiver<Voice>,
}

/// What an earlier run left for the mesh, about tasks from `first` on.
///
/// # Errors
/// [`StateError`].
pub fn restore(state: &State, first: TaskId) -> Result<Restored, StateError> {
    let certificates = state.certificates_from(first)?;
    let evidence = state.evidence_from(first)?;
    let addresses: Vec<KnownPeer> = match state.note(ADDRESS_BOOK_NOTE)? {
        None => Vec::new(),
        // An address book can be learnt anew; a damaged one is no reason to stay away.
        Some(text) => serde_json::from_str(&text).unwrap_or_default(),
    };
    let sequence = match state.note(SEQUENCE_NOTE)? {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| StateError::Malformed { what: "hello sequence number" })?
        }
    };
    Ok(Restored {
        certificates: certificates
            .iter()
            .filter_map(|(.., bytes)| Certificate::from_wire(bytes).ok())
            .collect(),
        evidence: evidence.iter().filter_map(|bytes| Evidence::from_wire(bytes).ok()).collect(),
        addresses,
        sequence,
    })
}

impl Exchange {
    /// Our part in the mesh behind `mesh`, beginning with what `restored` holds.
    #[must_use]
    pub fn new(
        mesh: MeshHandle,
        signer: HotkeySigner,
        library: Library,
        buckets: Arc<PeerBuckets>,
        state: State,
        metrics: Metrics,
        restored: &Restored,
    ) -> Self {
        let known = Known {
            certificates: restored.certificates.iter().map(|one| (one.file, one.clone())).collect(),
            evidence: restored.evidence.clone(),
            connected: BTreeSet::new(),
        };
        let voice = mesh.voice();
        Self {
            mesh,
            signer,
            library,
            buckets,
            state,
            metrics,
            known: Arc::new(RwLock::new(known)),
            fetches: Arc::new(Semaphore::new(CONCURRENT_FETCHES)),
            voice,
        }
    }

    /// The certified digests, counted anew against `history`.
    #[must_use]
    pub fn certificates(&self, history: &AllowlistHistory) -> Certificates {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let attested = known.certificates.values().flat_map(|certificate| {
            let (file, digest) = (certificate.file, certificate.digest);
            certificate.votes.iter().map(move |(attester, _)| Attested {
                file,
                digest,
                attester: *attester,
            })
        });
        Certificates::count(history, attested)
    }

    /// Task and producer of each proven equivocation.
    #[must_use]
    pub fn evidence(&self) -> Vec<FileId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .evidence
            .iter()
            .map(Evidence::key)
            // Who attests twice loses its vote, which the count of certificates sees to; only a
            // producer loses its files.
            .filter(|key| key.as_producer)
            .map(|key| key.file)
            .collect()
    }

    /// What validators signed about the window's files, as far as we heard.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn signed(&self) -> Result<SignedAgreement, MeshError> {
        Ok(SignedAgreement::new(&self.mesh.attestations().await?, self.mesh.evidence().await?))
    }

    /// Peers that have proven their hotkey and are connected.
    #[must_use]
    pub fn connected(&self) -> BTreeSet<Hotkey> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).connected.clone()
    }

    /// Whether our hotkey speaks from here alone, as far as is known yet.
    #[must_use]
    pub fn voice(&self) -> Voice {
        *self.voice.borrow()
    }

    /// Whether verdicts, attestations and weights may be signed: not before it is known that no
    /// other machine does.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.voice() == Voice::Alone
    }

    /// Returns when [`Self::may_sign`] holds; never where our hotkey is alive elsewhere.
    pub async fn until_may_sign(&self) {
        let mut voice = self.voice.clone();
        if voice.wait_for(|voice| *voice == Voice::Alone).await.is_err() {
            // The mesh has ended, and we with it.
            std::future::pending::<()>().await;
        }
    }

    /// The mesh.
    #[must_use]
    pub const fn mesh(&self) -> &MeshHandle {
        &self.mesh
    }

    /// Attests to a file that we hold. A file that cannot be attested to any more counts all the
    /// same where it is certified by others.
    pub async fn attest(&self, id: FileId, digest: Digest) {
        if !self.may_sign() {
            return; // What is held by then is attested to when we may: see `speak_up`.
        }
        match self.mesh.attest(id, digest).await {
            Ok(_) => {}
            Err(MeshError::NotSafe(error)) => {
                tracing::warn!(task = %id.task_id, producer = %id.producer, %error, "not attested")
            }
            Err(error) => {
                tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "attestation not sent")
            }
        }
    }

    /// Announces our own file, attests to it and serves it to peers.
    pub async fn announce(&self, verdict: &SignedVerdict) {
        let (id, digest) = (verdict.id, verdict.digest);
        self.serve(id, digest, verdict.bytes.clone()).await;
        if !self.may_sign() {
            return tracing::warn!(task = %id.task_id, "not announced: nothing is signed while this hotkey may run elsewhere too");
        }
        match self.signer.sign_announcement(self.library.network(), verdict) {
            Ok(announcement) => match self.mesh.announce(announcement).await {
                Ok(published) => {
                    tracing::info!(task = %id.task_id, digest = digest.short(), ?published, "verdict file announced")
                }
                Err(error) => tracing::warn!(task = %id.task_id, %error, "announcement not sent"),
            },
            Err(error) => tracing::error!(task = %id.task_id, %error, "not announced"),
        }
        self.attest(id, digest).await;
    }

    async fn serve(&self, id: FileId, digest: Digest, bytes: Vec<u8>) {
        if let Err(error) = self.mesh.provide_verdict(id, digest, bytes).await {
            tracing::debug!(task = %id.task_id, %error, "file not served to peers");
        }
    }

    /// Serves the kept files of tasks from `first` on to peers, and speaks about them once we may.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn resume(&self, first: TaskId) -> Result<(), StateError> {
        for StoredFile { id, digest, bytes } in self.state.files_from(first)? {
            self.serve(id, digest, bytes).await;
        }
        let this = self.clone();
        tokio::spawn(async move {
            this.until_may_sign().await;
            if let Err(error) = this.speak_up(first).await {
                tracing::error!(%error, "kept files cannot be read, peers are not told of them again");
            }
        });
        Ok(())
    }

    /// Announces our own files again, as an announcement that waited for listeners when an earlier
    /// run ended is not on disk, and attests to all that we hold and whose certificate has not our
    /// word yet.
    async fn speak_up(&self, first: TaskId) -> Result<(), StateError> {
        tracing::info!("nobody else was heard to speak for this hotkey, signing from now on");
        let own = self.signer.hotkey();
        for StoredFile { id, digest, bytes } in self.state.files_from(first)? {
            if id.producer == own {
                self.announce(&SignedVerdict { id, digest, bytes }).await;
                continue;
            }
            let has_our_word = {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
                let certificate = known.certificates.get(&id);
                certificate.is_some_and(|certificate| {
                    certificate.votes.iter().any(|(attester, _)| *attester == own)
                })
            };
            if !has_our_word {
                self.attest(id, digest).await;
            }
        }
        Ok(())
    }

    /// Handles what the mesh tells until `stop`. What cannot be kept on disk, as when it is full,
    /// is still in memory and with the peers.
    pub async fn run(self, mut events: mpsc::Receiver<MeshEvent>, stop: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
            };
            if let Err(error) = self.handle(event) {
                tracing::error!(%error, "what the mesh told is not on disk");
            }
        }
    }

    fn handle(&self, event: MeshEvent) -> Result<(), StateError> {
        match event {
            MeshEvent::PeerUp { hotkey, .. } => self.connection(hotkey, true),
            MeshEvent::PeerDown { hotkey, .. } => self.connection(hotkey, false),
            MeshEvent::Announcement(announcement) => self.fetch_in_background(&announcement),
            MeshEvent::AttestationCounted { attestation, have, need } => {
                let (task, producer) = (attestation.file.task_id, attestation.file.producer);
                tracing::debug!(%task, %producer, attester = %attestation.attester, have, need, "attestation counted");
            }
            MeshEvent::Certified(certificate) => self.certified(certificate)?,
            MeshEvent::CertificateConflict { kept, other } => tracing::error!(
                task = %kept.file.task_id, producer = %kept.file.producer, kept = kept.digest.short(), other = other.digest.short(),
                "two certificates for one file: a third of the validators or more sign twice"
            ),
            MeshEvent::Evidence(evidence) => self.equivocated(evidence)?,
            MeshEvent::Grant { from, payload } => self.granted(from, &payload),
            MeshEvent::Doppelganger { hotkey, ours, peers } => {
                if ours {
                    tracing::error!(%hotkey, ?peers, "this hotkey runs elsewhere too: stop one of the two and restart; nothing is signed until then");
                } else {
                    tracing::warn!(%hotkey, ?peers, "a hotkey is alive under two peer ids");
                }
            }
            MeshEvent::Refused { peer, reason, by } => {
                tracing::info!(%peer, %reason, ?by, "hello refused")
            }
            MeshEvent::LinkReset { hotkey, .. } => {
                tracing::info!(%hotkey, "one-sided link cut, dialling anew")
            }
            MeshEvent::Banned { peer, hotkey } => {
                tracing::warn!(%peer, hotkey = hotkey.map(|hotkey| hotkey.to_string()), "peer banned for a while");
            }
            MeshEvent::Undelivered { topic } => {
                tracing::warn!(?topic, "nobody heard a message in time, peers get it by catch-up")
            }
            MeshEvent::AddressBook(book) => {
                let text = serde_json::to_string(&book)
                    .map_err(|_| StateError::Malformed { what: "address book" })?;
                self.state.set_note(ADDRESS_BOOK_NOTE, &text)?;
            }
            MeshEvent::Sequence(sequence) => {
                self.state.set_note(SEQUENCE_NOTE, &sequence.to_string())?
            }
            MeshEvent::MinerReport(_) => {}
        }
        Ok(())
    }

    fn connection(&self, hotkey: Hotkey, up: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if up {
            known.connected.insert(hotkey);
        } else {
            known.connected.remove(&hotkey);
        }
        let peers = known.connected.len();
        tracing::info!(%hotkey, peers, "peer {}", if up { "up" } else { "down" });
    }

    fn certified(&self, certificate: Certificate) -> Result<(), StateError> {
        let (id, digest) = (certificate.file, certificate.digest);
        let kept = certificate
            .to_wire()
            .map_or(Ok(()), |bytes| self.state.keep_certificate(id, digest, &bytes));
        tracing::info!(task = %id.task_id, producer = %id.producer, digest = digest.short(), attesters = certificate.votes.len(), "file certified");
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .certificates
            .insert(id, certificate);
        if !self.library.holds_digest(id, digest) {
            self.spawn_fetch(id, digest);
        }
        kept
    }

    fn equivocated(&self, evidence: Evidence) -> Result<(), StateError> {
        let key = evidence.key();
        let task_id = key.file.task_id;
        let kept = evidence
            .to_wire()
            .map_or(Ok(()), |bytes| self.state.keep_evidence(task_id, key.accused, &bytes));
        tracing::warn!(task = %task_id, validator = %key.accused, as_producer = key.as_producer, "validator signed twice");
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.evidence.contains(&evidence) {
            known.evidence.push(evidence);
        }
        drop(known);
        kept
    }

    fn granted(&self, from: Hotkey, payload: &GrantBytes) {
        match self.buckets.grant(from, payload.as_slice()) {
            Ok(Granted::Stored) => tracing::info!(%from, "bucket access granted"),
            Ok(Granted::StaticWins) => {
                tracing::debug!(%from, "bucket access granted, PEER_VALIDATORS wins")
            }
            Err(error) => tracing::warn!(%from, %error, "grant refused"),
        }
    }

    fn fetch_in_background(&self, announcement: &Announcement) {
        let (id, digest) = (announcement.file, announcement.digest);
        if !self.library.holds_digest(id, digest) {
            self.spawn_fetch(id, digest);
        }
    }

    fn spawn_fetch(&self, id: FileId, digest: Digest) {
        let this = self.clone();
        tokio::spawn(async move {
            // Closed only on drop, which this clone prevents.
            let Ok(_permit) = this.fetches.clone().acquire_owned().await else { return };
            let mut pause = FETCH_PAUSE;
            for attempt in 1..=FETCH_TRIES {
                if this.library.holds_digest(id, digest) || this.fetch_once(id, digest).await {
                    return;
                }
                if attempt < FETCH_TRIES {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
            tracing::warn!(task = %id.task_id, producer = %id.producer, digest = digest.short(), "announced file cannot be had");
        });
    }

    /// From any peer that holds the file, else from the producer's bucket, where it comes a little
    /// later than to peers.
    async fn fetch_once(&self, id: FileId, digest: Digest) -> bool {
        let accept = |bytes: &[u8]| self.library.take_in(id, bytes, Some(digest)).is_ok();
        match self.mesh.fetch_verdict(id, digest, accept).await {
            Ok(bytes) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Found);
                self.taken_in(id, digest, bytes, "mesh").await;
                true
            }
            Err(error) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Missing);
                tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "no peer has the file");
                self.fetch_from_bucket(id, Some(digest)).await == Some(true)
            }
        }
    }

    /// What follows from a new verified file: it is served to peers and attested to.
    async fn taken_in(&self, id: FileId, digest: Digest, bytes: Vec<u8>, source: &str) {
        self.metrics.files_taken_in.inc();
        tracing::info!(task = %id.task_id, producer = %id.producer, digest = digest.short(), source, "verdict file taken in");
        self.serve(id, digest, bytes).await;
        self.attest(id, digest).await;
    }

    /// Reads a producer's file from its bucket: whether there is one that counts and is the
    /// announced one, if one was; `None` when it cannot be told.
    pub async fn fetch_from_bucket(&self, id: FileId, announced: Option<Digest>) -> Option<bool> {
        let bucket = self.buckets.get(&id.producer)?;
        match bucket.verdict(id.task_id).await {
            Ok(None) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Missing);
                Some(false)
            }
            Ok(Some(bytes)) => match self.library.take_in(id, &bytes, announced) {
                Ok(digest) => {
                    self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Found);
                    self.taken_in(id, digest, bytes.to_vec(), "bucket").await;
                    Some(true)
                }
                Err(error) => {
                    self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Refused);
                    self.metrics.files_refused.inc();
                    tracing::warn!(%error, "file from a bucket left out");
                    Some(false)
                }
            },
            Err(error) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Failed);
                tracing::warn!(task = %id.task_id, producer = %id.producer, %error, "bucket cannot be read");
                None
            }
        }
    }

    /// Takes over what the mesh holds by now: an event may have been dropped while we were busy.
    pub async fn refresh(&self) {
        if let Ok(certificates) = self.mesh.certificates().await {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.certificates.extend(
                certificates.into_iter().map(|certificate| (certificate.file, certificate)),
            );
        }
        if let Ok(evidence) = self.mesh.evidence().await {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            for evidence in evidence {
                if !known.evidence.contains(&evidence) {
                    known.evidence.push(evidence);
                }
            }
        }
    }

    /// Gets the certified files that are not held, from buckets or peers.
    pub async fn fetch_certified(&self) {
        let missing: Vec<(FileId, Digest)> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let certified = known
                .certificates
                .values()
                .map(|certificate| (certificate.file, certificate.digest));
            certified.filter(|(id, digest)| !self.library.holds_digest(*id, *digest)).collect()
        };
        for (id, digest) in missing {
            self.fetch_once(id, digest).await;
        }
    }
}
