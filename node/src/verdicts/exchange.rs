//! This validator's part in the exchange of verdict files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use leoma_chain::Head;
use leoma_protocol::mesh::{MeshError, MeshHandle, Voice};
use leoma_protocol::messages::{MinerReportDraft, ReportedMiner};
use leoma_protocol::{BlockNumber, FileId, Hotkey, HotkeySigner, TaskId};
use leoma_rotation::{AllowlistHistory, Certificates};
use leoma_storage::PeerBuckets;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::miners::{MinerTable, Validity as Found};
use crate::state::State;

use super::fetches::Fetches;
use super::known::Known;
use super::library::Library;
use super::report::{CheckedFile, SignedAgreement, WITNESSED, WitnessedEpoch};
use super::rescoring::{Plausibility, Rescoring};
use super::validity::Validity;

/// Epochs among which the newest one with witnesses is looked for.
const SHOWN_EPOCHS: u32 = 8;

/// Our part in the exchange of verdict files: it fetches, verifies and attests to them. The mesh's
/// core decides what is certified and who is suspect. Clones share it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(super) mesh: MeshHandle,
    pub(super) signer: HotkeySigner,
    pub(super) library: Library,
    pub(super) buckets: Arc<PeerBuckets>,
    pub(super) state: State,
    pub(super) metrics: Metrics,
    pub(super) heads: watch::Receiver<Head>,
    pub(super) known: Known,
    pub(super) fetches: Fetches,
    pub(super) voice: watch::Receiver<Voice>,
    /// Whether the guard knows what peers have seen from us.
    pub(super) recognised: Arc<watch::Sender<bool>>,
    /// Empty where this process does not validate miners.
    pub(super) validity: Arc<watch::Sender<Validity>>,
    /// Files that passed our checks, for the operator; of the tasks that are still needed.
    pub(super) passed: Arc<Mutex<BTreeMap<FileId, Plausibility>>>,
    pub(super) rescoring: Option<Arc<dyn Rescoring>>,
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
        heads: watch::Receiver<Head>,
    ) -> Self {
        let (known, voice) = (Known::new(mesh.holdings()), mesh.voice());
        Self {
            mesh,
            signer,
            library,
            buckets,
            state,
            metrics,
            heads,
            known,
            fetches: Fetches::default(),
            voice,
            recognised: Arc::new(watch::Sender::new(false)),
            validity: Arc::new(watch::Sender::default()),
            passed: Arc::default(),
            rescoring: None,
        }
    }

    /// The same, with a judge that scores entries of others' files again.
    #[must_use]
    pub fn rescoring(self, rescoring: Arc<dyn Rescoring>) -> Self {
        Self { rescoring: Some(rescoring), ..self }
    }

    /// The certified digests, with the core's votes counted again by the lists of `history`: those
    /// of an epoch block may be newer than those that the core has.
    pub fn certificates(&self, history: &AllowlistHistory) -> Certificates {
        Certificates::count(history, self.known.votes())
    }

    /// The attestations, evidence and disputes that we have received, signed, and which files passed
    /// our own checks.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn signed(&self) -> Result<SignedAgreement, MeshError> {
        let (attestations, evidence) =
            (self.mesh.attestations().await?, self.mesh.evidence().await?);
        let mut signed = SignedAgreement::new(&attestations, evidence);
        signed.disputes = self.mesh.disputes().await?;
        signed.certified = self.known.certified();
        signed.witnessed = self.newest_witnessed().await;
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |(file, plausibility): (&FileId, &Plausibility)| CheckedFile {
            task_id: file.task_id,
            producer: file.producer,
            plausibility: plausibility.clone(),
        };
        signed.passed = passed.iter().map(row).collect();
        Ok(signed)
    }

    /// What the newest epoch with readable witnesses said. It is for people, so it may be missing.
    async fn newest_witnessed(&self) -> Option<WitnessedEpoch> {
        let epochs = self.state.on_disk(|state| state.epochs(SHOWN_EPOCHS)).await.ok()?;
        epochs.iter().find_map(|epoch| {
            let mut outcome: serde_json::Value = serde_json::from_str(&epoch.outcome).ok()?;
            serde_json::from_value(outcome.get_mut(WITNESSED)?.take()).ok()
        })
    }

    /// Takes note of a check of all miners, and tells the other validators. They count the reports;
    /// weights do not depend on them, so a failure is only logged.
    pub(crate) async fn miners_checked(&self, table: &MinerTable) {
        self.note_valid_miners(table.block, table.admitted());
        if !self.may_sign() {
            return;
        }
        let (network, block) = (self.library.network(), table.block);
        let draft = MinerReportDraft { network, block, miners: reported(table) };
        let report = self.signer.sign_miner_report(draft);
        if let Err(error) = self.mesh.publish(report.into()).await {
            tracing::debug!(%error, "failed to send the miner report");
        }
    }

    /// Takes note of a check of all miners at `block`, which found these valid. A file must have an
    /// entry for each that was valid without a break from the start of its task.
    pub fn note_valid_miners(&self, block: BlockNumber, valid: impl IntoIterator<Item = Hotkey>) {
        self.validity.send_modify(|validity| validity.checked(block, valid));
    }

    pub(super) fn note_passed(&self, file: FileId, plausibility: Plausibility) {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).insert(file, plausibility);
    }

    pub(super) fn forget_passed_before(&self, oldest: TaskId) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.retain(|file, _| file.task_id >= oldest);
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

/// What a report says of each miner. A miner whose services could not be asked is not mentioned.
fn reported(table: &MinerTable) -> Vec<ReportedMiner> {
    let miner = |(hotkey, state): (&Hotkey, &crate::miners::MinerState)| {
        let (valid, reason) = match &state.validity {
            Found::Valid { .. } | Found::Served { .. } => (true, String::new()),
            Found::Invalid { reason } => (false, reason.clone()),
            Found::Unknown { .. } => return None,
        };
        Some(ReportedMiner { hotkey: *hotkey, valid, reason })
    };
    table.miners.iter().filter_map(miner).collect()
}
