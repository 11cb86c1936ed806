//! The verdict files that this validator has verified.
//!
//! Every file passes through here, whether it is our own or comes from a peer, a bucket or a
//! snapshot. It is verified for its task and producer and stored on disk before an epoch or a peer
//! sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use leoma_protocol::verdict::{self, Expected, Refusal};
use leoma_protocol::{ConsensusParams, Digest, FileId, Network, TaskId};
use leoma_rotation::TaskVerdicts;

use crate::state::{State, StateError, StoredFile};

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum LibraryError {
    /// It is not valid for its task and producer.
    #[error("verdict file of task {} by {} refused: {reason}", id.task_id, id.producer)]
    Refused { id: FileId, reason: Refusal },
    /// It is valid, but not the announced file.
    #[error("verdict file of task {} by {} has digest {}, announced was {}", id.task_id, id.producer, found.short(), announced.short())]
    OtherDigest { id: FileId, found: Digest, announced: Digest },
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

type Files = BTreeMap<(FileId, Digest), Arc<TaskVerdicts>>;

/// The verified files: what consensus needs in memory, all of it on disk.
#[derive(Clone, Debug)]
pub struct Library {
    state: State,
    params: Arc<ConsensusParams>,
    files: Arc<RwLock<Files>>,
}

impl Library {
    /// Opens the library on the files stored in `state`, and verifies each again, as the disk is not
    /// trusted.
    pub fn open(state: State, params: Arc<ConsensusParams>) -> Result<Self, StateError> {
        let library = Self { state, params, files: Arc::default() };
        for file in library.state.files_from(TaskId(0))? {
            match library.check(file.id, &file.bytes) {
                Ok(verdicts) => library.remember(verdicts),
                Err(error) => {
                    tracing::warn!(%error, "a stored verdict file is no longer valid, ignoring it")
                }
            }
        }
        Ok(library)
    }

    /// What a file must match to be valid.
    pub fn expected(&self, id: FileId) -> Expected {
        Expected {
            id,
            network: self.network(),
            params: self.params.digest(),
            accept_v1: self.params.accept_v1,
        }
    }

    /// Chain and subnet.
    pub const fn network(&self) -> Network {
        self.state.network()
    }

    fn check(&self, id: FileId, bytes: &[u8]) -> Result<TaskVerdicts, LibraryError> {
        let verified = verdict::verify(bytes, &self.expected(id))
            .map_err(|reason| LibraryError::Refused { id, reason })?;
        Ok(TaskVerdicts::from(&verified))
    }

    fn remember(&self, verdicts: TaskVerdicts) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert((verdicts.id, verdicts.digest), Arc::new(verdicts));
    }

    /// Verifies a file, stores it and returns its digest.
    ///
    /// # Errors
    /// [`LibraryError`]; nothing is stored then.
    pub fn take_in(
        &self,
        id: FileId,
        bytes: &[u8],
        announced: Option<Digest>,
    ) -> Result<Digest, LibraryError> {
        let verdicts = self.check(id, bytes)?;
        let found = verdicts.digest;
        if let Some(announced) = announced.filter(|announced| *announced != found) {
            return Err(LibraryError::OtherDigest { id, found, announced });
        }
        self.state.keep_file(&StoredFile { id, digest: found, bytes: bytes.to_vec() })?;
        self.remember(verdicts);
        Ok(found)
    }

    /// Stores our own file as signed and not yet published.
    pub fn take_in_own(&self, file: &StoredFile) -> Result<(), LibraryError> {
        let verdicts = self.check(file.id, &file.bytes)?;
        self.state.keep_own_file(file)?;
        self.remember(verdicts);
        Ok(())
    }

    /// Whether we hold any file of a task and producer.
    pub fn holds(&self, id: FileId) -> bool {
        !self.of(id).is_empty()
    }

    /// The files of a task and producer; more than one where the producer signed twice.
    pub fn of(&self, id: FileId) -> Vec<Arc<TaskVerdicts>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files
            .range((id, Digest([0; 32]))..=(id, Digest([u8::MAX; 32])))
            .map(|(_, file)| Arc::clone(file))
            .collect()
    }

    /// Whether we hold the file with this digest.
    pub fn holds_digest(&self, id: FileId, digest: Digest) -> bool {
        self.files.read().unwrap_or_else(PoisonError::into_inner).contains_key(&(id, digest))
    }

    /// All files, for an epoch's computation.
    pub fn all(&self) -> Vec<Arc<TaskVerdicts>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Deletes the files of tasks before `first`, on disk and in memory.
    pub fn prune_before(&self, first: TaskId) -> Result<(), StateError> {
        self.state.prune_before(first)?;
        self.files
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(id, _), _| id.task_id >= first);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::verdict::{SignedVerdict, VerdictDraft};
    use leoma_protocol::{BlockNumber, HotkeySigner, MemoryGuard, Netuid};
    use sp_core::{Pair as _, sr25519};

    fn network() -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(99) }
    }

    fn signed(task: u64) -> SignedVerdict {
        let signer =
            HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()));
        let draft = VerdictDraft {
            network: network(),
            task_id: TaskId(task),
            params: ConsensusParams::default().digest(),
            judge: "test".into(),
            block: BlockNumber(1),
            entries: vec![],
        };
        signer.sign_verdict_file(draft).unwrap()
    }

    #[test]
    fn files_are_checked_at_the_door_and_found_after_a_restart() {
        let state = State::in_memory(network()).unwrap();
        let params = Arc::new(ConsensusParams::default());
        let library = Library::open(state.clone(), Arc::clone(&params)).unwrap();
        let file = signed(7);
        let elsewhere = FileId { task_id: TaskId(8), ..file.id };
        assert!(matches!(
            library.take_in(elsewhere, &file.bytes, None),
            Err(LibraryError::Refused { .. })
        ));
        let other = Digest::of(b"other");
        assert!(matches!(
            library.take_in(file.id, &file.bytes, Some(other)),
            Err(LibraryError::OtherDigest { .. })
        ));
        assert!(!library.holds(file.id) && library.all().is_empty());
        assert_eq!(library.take_in(file.id, &file.bytes, Some(file.digest)).unwrap(), file.digest);
        let again = Library::open(state, params).unwrap();
        assert!(again.holds(file.id) && again.holds_digest(file.id, file.digest));
        again.prune_before(TaskId(8)).unwrap();
        assert!(!again.holds(file.id));
    }
}
