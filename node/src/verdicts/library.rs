//! The verdict files that this validator has verified.
//!
//! Every file passes through here, whether it is our own or comes from a peer, a bucket or a
//! snapshot. It is verified for its task and producer and stored on disk before an epoch or a peer
//! sees it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};

use leoma_protocol::verdict::{self, Expected, Refusal, VerifiedVerdict};
use leoma_protocol::{BlockNumber, ConsensusSchedule, Digest, FileId, Network, TaskId};
use leoma_rotation::{AllowlistHistory, TaskObservations, TaskVerdicts};
use tokio::sync::watch;

use crate::state::{State, StateError, StoredFile};

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum LibraryError {
    /// It is not valid for its task and producer.
    #[error("verdict file of task {} by {} refused: {reason}", id.task_id, id.producer)]
    Refused { id: FileId, reason: Refusal },
    /// It is valid, but not the announced file.
    #[error("verdict file of task {} by {} has digest {}, but {} was announced", id.task_id, id.producer, found.digest.short(), announced.short())]
    OtherDigest { id: FileId, found: Box<VerifiedVerdict>, announced: Digest },
    /// No allowlist that we know makes the task, so nothing says what its file must state.
    #[error("no known allowlist makes task {}", id.task_id)]
    NoList { id: FileId },
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl LibraryError {
    /// Whether the reason lies with us, or with what we know, and not with whoever sent the file.
    pub const fn is_ours(&self) -> bool {
        match self {
            Self::NoList { .. } | Self::State(_) => true,
            // The sender has a schedule of parameters other than ours; one of the two must update.
            Self::Refused { reason, .. } => matches!(reason, Refusal::WrongParams { .. }),
            Self::OtherDigest { .. } => false,
        }
    }
}

/// What consensus reads of a file.
#[derive(Clone, Debug)]
struct Held {
    verdicts: Arc<TaskVerdicts>,
    /// `None` where no policy record is in force, whose folds would read them.
    observed: Option<Arc<TaskObservations>>,
}

type Files = BTreeMap<(FileId, Digest), Held>;

/// The verified files: what consensus needs in memory, all of it on disk.
#[derive(Clone, Debug)]
pub struct Library {
    state: State,
    consensus: Arc<ConsensusSchedule>,
    allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    files: Arc<RwLock<Files>>,
}

impl Library {
    /// Opens the library on the files stored in `state`, and verifies each again, as the disk is not
    /// trusted. One file after the other: all together may take gigabytes.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub fn open(
        state: State,
        consensus: Arc<ConsensusSchedule>,
        allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    ) -> Result<Self, StateError> {
        let library = Self { state, consensus, allowlists, files: Arc::default() };
        for (id, digest) in library.state.file_ids_from(TaskId(0))? {
            let Some(file) = library.state.file(id, Some(digest))? else { continue };
            match library.check(file.id, &file.bytes) {
                Ok(verified) => library.remember(&verified),
                Err(error) => {
                    tracing::warn!(%error, "a stored verdict file is no longer valid, ignoring it")
                }
            }
        }
        Ok(library)
    }

    /// What a file must match to be valid: the parameters are those in force at its task's first
    /// block. `None` for a task that no known allowlist makes.
    pub fn expected(&self, id: FileId) -> Option<Expected> {
        let params = self.consensus.at(self.start_of(id.task_id)?);
        Some(Expected {
            id,
            network: self.network(),
            params: params.digest(),
            accept_v1: params.accept_v1,
        })
    }

    /// The first block of a task; `None` if no known allowlist makes it.
    pub(super) fn start_of(&self, task: TaskId) -> Option<BlockNumber> {
        self.allowlists.borrow().of_task(task)?.allowlist.start_of(task)
    }

    /// The allowlists as they are known now.
    pub(super) fn history(&self) -> Arc<AllowlistHistory> {
        Arc::clone(&self.allowlists.borrow())
    }

    /// The consensus parameters by block.
    pub(super) fn consensus(&self) -> &ConsensusSchedule {
        &self.consensus
    }

    /// Chain and subnet.
    pub const fn network(&self) -> Network {
        self.state.network()
    }

    pub(super) fn check(&self, id: FileId, bytes: &[u8]) -> Result<VerifiedVerdict, LibraryError> {
        let expected = self.expected(id).ok_or(LibraryError::NoList { id })?;
        verdict::verify(bytes, &expected).map_err(|reason| LibraryError::Refused { id, reason })
    }

    fn remember(&self, verified: &VerifiedVerdict) {
        let start = self.start_of(verified.id.task_id).unwrap_or_default();
        let has_record = self.consensus.at(start).policy.is_some();
        let observed = has_record.then(|| Arc::new(TaskObservations::from_file(verified, start)));
        let held = Held { verdicts: Arc::new(TaskVerdicts::from(verified)), observed };
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert((verified.id, verified.digest), held);
    }

    /// Verifies a file, stores it and returns what it states.
    ///
    /// # Errors
    /// [`LibraryError`]; nothing is stored then.
    pub fn take_in(
        &self,
        id: FileId,
        bytes: &[u8],
        announced: Option<Digest>,
    ) -> Result<VerifiedVerdict, LibraryError> {
        let found = self.check(id, bytes)?;
        if let Some(announced) = announced.filter(|announced| *announced != found.digest) {
            return Err(LibraryError::OtherDigest { id, found: Box::new(found), announced });
        }
        self.state.keep_file(&StoredFile { id, digest: found.digest, bytes: bytes.to_vec() })?;
        self.remember(&found);
        Ok(found)
    }

    /// Stores our own file as signed and not yet published.
    ///
    /// # Errors
    /// [`LibraryError`]; nothing is stored then.
    pub fn take_in_own(&self, file: &StoredFile) -> Result<(), LibraryError> {
        let verified = self.check(file.id, &file.bytes)?;
        self.state.keep_own_file(file)?;
        self.remember(&verified);
        Ok(())
    }

    /// Whether we hold any file of a task and producer.
    pub fn holds(&self, id: FileId) -> bool {
        !self.of(id).is_empty()
    }

    /// The files of a task and producer; more than one where the producer signed twice.
    pub fn of(&self, id: FileId) -> Vec<Arc<TaskVerdicts>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.range(versions_of(id)).map(|(_, file)| Arc::clone(&file.verdicts)).collect()
    }

    /// The same files with what they observed, for a policy record; none where no record is in
    /// force.
    pub fn observed(&self, id: FileId) -> Vec<Arc<TaskObservations>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.range(versions_of(id)).filter_map(|(_, file)| file.observed.clone()).collect()
    }

    /// Whether we hold the file with this digest.
    pub fn holds_digest(&self, id: FileId, digest: Digest) -> bool {
        self.files.read().unwrap_or_else(PoisonError::into_inner).contains_key(&(id, digest))
    }

    /// All files.
    pub fn all(&self) -> Vec<Arc<TaskVerdicts>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().map(|file| Arc::clone(&file.verdicts)).collect()
    }

    /// All files with what they observed; none where no record is in force.
    pub fn all_observed(&self) -> Vec<Arc<TaskObservations>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().filter_map(|file| file.observed.clone()).collect()
    }

    /// Deletes the files of tasks before `first`, on disk and in memory.
    ///
    /// # Errors
    /// [`StateError`] when the disk cannot be written.
    pub fn prune_before(&self, first: TaskId) -> Result<(), StateError> {
        self.state.prune_before(first)?;
        self.files
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(id, _), _| id.task_id >= first);
        Ok(())
    }
}

/// The keys of all files of a task and producer.
fn versions_of(id: FileId) -> RangeInclusive<(FileId, Digest)> {
    (id, Digest([0; 32]))..=(id, Digest([u8::MAX; 32]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::verdict::{SignedVerdict, VerdictDraft};
    use leoma_protocol::{ConsensusParams, HotkeySigner, MemoryGuard, Netuid};
    use leoma_rotation::Allowlist;
    use sp_core::{Pair as _, sr25519};

    fn network() -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(99) }
    }

    fn signer() -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()))
    }

    fn signed(task: u64, params: &ConsensusParams) -> SignedVerdict {
        let draft = VerdictDraft {
            network: network(),
            task_id: TaskId(task),
            params: params.digest(),
            judge: "test".into(),
            block: BlockNumber(1),
            metadata_sha256: None,
            entries: vec![],
        };
        signer().sign_verdict_file(draft).unwrap()
    }

    fn library(state: &State, consensus: ConsensusSchedule) -> Library {
        let list = Allowlist::new(100, [signer().hotkey()]).unwrap();
        let history = AllowlistHistory::since_genesis(list);
        let (_, allowlists) = watch::channel(Arc::new(history));
        Library::open(state.clone(), Arc::new(consensus), allowlists).unwrap()
    }

    #[test]
    fn files_are_checked_at_the_door_and_found_after_a_restart() {
        let state = State::in_memory(network()).unwrap();
        let params = ConsensusParams::default();
        let one = library(&state, params.clone().into());
        let file = signed(7, &params);
        let elsewhere = FileId { task_id: TaskId(8), ..file.id };
        assert!(matches!(
            one.take_in(elsewhere, &file.bytes, None),
            Err(LibraryError::Refused { .. })
        ));
        let other = Digest::of(b"other");
        assert!(matches!(
            one.take_in(file.id, &file.bytes, Some(other)),
            Err(LibraryError::OtherDigest { .. })
        ));
        assert!(!one.holds(file.id) && one.all().is_empty());
        let taken = one.take_in(file.id, &file.bytes, Some(file.digest)).unwrap();
        assert_eq!(taken.digest, file.digest);
        let again = library(&state, params.into());
        assert!(again.holds(file.id) && again.holds_digest(file.id, file.digest));
        again.prune_before(TaskId(8)).unwrap();
        assert!(!again.holds(file.id));
    }

    #[test]
    fn what_files_observed_is_kept_only_where_a_record_reads_it() {
        let policy = Some(Digest::of(b"record"));
        for policy in [None, policy] {
            let params = ConsensusParams { policy, ..ConsensusParams::default() };
            let state = State::in_memory(network()).unwrap();
            let library = library(&state, params.clone().into());
            let file = signed(7, &params);
            library.take_in(file.id, &file.bytes, None).unwrap();
            assert_eq!((library.of(file.id).len(), library.all().len()), (1, 1));
            let observed = library.observed(file.id);
            assert_eq!(observed.len(), usize::from(policy.is_some()));
            assert_eq!(library.all_observed(), observed);
            assert!(observed.iter().all(|file| file.start == BlockNumber(700)));
        }
    }

    #[test]
    fn a_file_is_held_to_the_parameters_of_its_task_and_others_are_no_fault_of_the_bearer() {
        let state = State::in_memory(network()).unwrap();
        let [old, new] = [100, 50]
            .map(|window_tasks| ConsensusParams { window_tasks, ..ConsensusParams::default() });
        let switch = [(BlockNumber(0), old.clone()), (BlockNumber(750), new.clone())];
        let consensus = ConsensusSchedule::new(switch).unwrap();
        let library = library(&state, consensus);
        let taken = |task, params| {
            let file = signed(task, params);
            library.take_in(file.id, &file.bytes, None).map(|_| ())
        };
        // Task 7 begins at block 700, before the switch in its middle.
        taken(7, &old).unwrap();
        taken(8, &new).unwrap();
        let refused = taken(9, &old).unwrap_err();
        assert!(matches!(
            &refused,
            LibraryError::Refused { reason: Refusal::WrongParams { .. }, .. }
        ));
        assert!(refused.is_ours());
    }
}
