//! Signing of our verdicts. A crash between the guard's record and the kept file leaves the task
//! signable: the draft is on disk before.

use leoma_protocol::verdict::{SignedVerdict, VerdictDraft};
use leoma_protocol::{BlockNumber, HotkeySigner, NotSafe, TaskId};

use super::parts::Sampler;
use crate::mechanism::TaskError;
use crate::state::{State, StateError, StoredFile};
use crate::verdicts::{Library, LibraryError};

impl Sampler {
    /// The first block of a task, which decides the parameters that it is made under; `None` for a
    /// task that no list makes.
    pub(super) fn start_of(&self, task_id: TaskId) -> Option<BlockNumber> {
        let history = self.allowlists.borrow();
        history.of_task(task_id)?.allowlist.start_of(task_id)
    }

    /// Signs a draft and keeps the file. The draft is kept first: its block is part of what is
    /// signed, and after a crash the task can only be signed as it was.
    pub(super) async fn sign(&self, draft: VerdictDraft) -> Result<SignedVerdict, TaskError> {
        let (signer, library) = (self.signer.clone(), self.library.clone());
        self.state.on_disk(move |state| sign(state, &signer, &library, draft)).await
    }

    /// The draft of a task that an earlier try kept and could not sign.
    pub(super) async fn kept_draft(
        &self,
        task_id: TaskId,
    ) -> Result<Option<VerdictDraft>, StateError> {
        self.state.on_disk(move |state| kept_draft(state, task_id)).await
    }

    /// Signs the drafts that an earlier run left because it ended before their files were kept.
    pub(super) async fn sign_leftovers(&self) {
        let drafts = match self.state.on_disk(State::drafts).await {
            Ok(drafts) => drafts,
            Err(error) => return tracing::error!(%error, "failed to read the kept drafts"),
        };
        for (task_id, bytes) in drafts {
            if !self.agreement.may_sign() {
                return;
            }
            let signed = match VerdictDraft::from_kept(self.library.network(), &bytes) {
                Some(draft) => self.sign(draft).await,
                None => Err(TaskError::State(StateError::Malformed { what: "draft" })),
            };
            match signed {
                Ok(signed) => {
                    tracing::info!(task = %task_id, "signed a draft that an earlier run left");
                    // The publisher may have looked for such files before this one was there.
                    self.agreement.announce(&signed).await;
                    self.signed.notify_one();
                }
                Err(error) if !is_lost(&error) => {
                    tracing::warn!(task = %task_id, %error, "failed to sign a draft that an earlier run left, will retry");
                }
                Err(error) => {
                    tracing::error!(task = %task_id, %error, "a draft that an earlier run left cannot be signed, giving it up");
                    let dropped = self.state.on_disk(move |state| state.drop_draft(task_id)).await;
                    if let Err(error) = dropped {
                        tracing::error!(task = %task_id, %error, "failed to delete a draft");
                    }
                }
            }
        }
    }
}

fn kept_draft(state: &State, task_id: TaskId) -> Result<Option<VerdictDraft>, StateError> {
    let drafts = state.drafts()?;
    let kept = drafts.iter().find(|(id, _)| *id == task_id);
    Ok(kept.and_then(|(_, bytes)| VerdictDraft::from_kept(state.network(), bytes)))
}

fn sign(
    state: &State,
    signer: &HotkeySigner,
    library: &Library,
    draft: VerdictDraft,
) -> Result<SignedVerdict, TaskError> {
    let (network, task_id) = (draft.network, draft.task_id);
    let kept = state.keep_draft(task_id, &draft.to_kept())?;
    let draft = VerdictDraft::from_kept(network, &kept).unwrap_or(draft);
    let signed = signer.sign_verdict_file(draft)?;
    let (id, digest, bytes) = (signed.id, signed.digest, signed.bytes.clone());
    library.take_in_own(&StoredFile { id, digest, bytes })?;
    state.drop_draft(task_id)?;
    Ok(signed)
}

/// Whether a draft can never be signed.
fn is_lost(error: &TaskError) -> bool {
    matches!(
        error,
        TaskError::State(StateError::Malformed { .. })
            | TaskError::Library(LibraryError::Refused { .. })
            | TaskError::NotSafe(
                NotSafe::Conflict { .. } | NotSafe::Sealed { .. } | NotSafe::Unreadable { .. },
            )
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use leoma_protocol::{ConsensusParams, ConsensusSchedule, Digest, Netuid, Network};
    use leoma_rotation::{Allowlist, AllowlistHistory};
    use sp_core::{Pair as _, sr25519};
    use tokio::sync::watch;

    use super::*;

    const TASK: TaskId = TaskId(7);

    /// What a start of the validator opens.
    struct Opened {
        state: State,
        signer: HotkeySigner,
        library: Library,
    }

    fn network() -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(99) }
    }

    fn open(folder: &Path) -> Opened {
        let pair = sr25519::Pair::from_seed(&[1; 32]);
        let hotkey = pair.public().into();
        let state = State::open(folder, network(), hotkey).unwrap();
        let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
        let history = AllowlistHistory::since_genesis(Allowlist::new(100, [hotkey]).unwrap());
        let (_, allowlists) = watch::channel(Arc::new(history));
        let consensus = Arc::new(ConsensusSchedule::production());
        let library = Library::open(state.clone(), consensus, allowlists).unwrap();
        Opened { state, signer, library }
    }

    fn draft(block: u64) -> VerdictDraft {
        VerdictDraft {
            network: network(),
            task_id: TASK,
            params: ConsensusParams::default().digest(),
            judge: "test".into(),
            block: BlockNumber(block),
            metadata_sha256: None,
            entries: vec![],
        }
    }

    /// The steps of signing one after the other, as far as `steps`: what a kill after them leaves.
    fn sign_as_far_as(steps: usize, opened: &Opened) -> Digest {
        let Opened { state, signer, library } = opened;
        // What another guard signs shows the digest without recording it.
        let elsewhere = HotkeySigner::new(
            sr25519::Pair::from_seed(&[1; 32]),
            Arc::new(leoma_protocol::MemoryGuard::default()),
        );
        let digest = elsewhere.sign_verdict_file(draft(710)).unwrap().digest;
        if steps > 0 {
            let _kept = state.keep_draft(TASK, &draft(710).to_kept()).unwrap();
        }
        if steps > 1 {
            let signed = signer.sign_verdict_file(draft(710)).unwrap();
            if steps > 2 {
                let (id, digest, bytes) = (signed.id, signed.digest, signed.bytes);
                library.take_in_own(&StoredFile { id, digest, bytes }).unwrap();
            }
        }
        if steps > 3 {
            state.drop_draft(TASK).unwrap();
        }
        digest
    }

    /// A try that follows would make another `metadata.json`, which a kept draft does not name.
    #[test]
    fn what_a_failed_try_kept_is_found_until_it_is_signed() {
        let folder = tempfile::tempdir().unwrap();
        let Opened { state, signer, library } = open(folder.path());
        assert!(kept_draft(&state, TASK).unwrap().is_none());
        let metadata_sha256 = Some(Digest::of(b"metadata"));
        let draft = VerdictDraft { metadata_sha256, ..draft(710) };
        let _kept = state.keep_draft(TASK, &draft.to_kept()).unwrap();
        assert!(kept_draft(&state, TaskId(TASK.0 + 1)).unwrap().is_none());
        let kept = kept_draft(&state, TASK).unwrap().unwrap();
        assert_eq!((kept.block, kept.metadata_sha256), (BlockNumber(710), metadata_sha256));
        let _signed = sign(&state, &signer, &library, kept).unwrap();
        assert!(kept_draft(&state, TASK).unwrap().is_none());
    }

    /// Whatever step of signing a kill comes after, the task is signed once: as the draft says, if
    /// there is one, although later blocks have come.
    #[test]
    fn j2_a_kill_at_any_step_of_signing_signs_nothing_twice_and_loses_nothing() {
        for steps in 0..=4 {
            let folder = tempfile::tempdir().unwrap();
            let first = sign_as_far_as(steps, &open(folder.path()));

            let Opened { state, signer, library } = open(folder.path());
            for (_, kept) in state.drafts().unwrap() {
                let draft = VerdictDraft::from_kept(network(), &kept).unwrap();
                let _signed = sign(&state, &signer, &library, draft).unwrap();
            }
            let id = leoma_protocol::FileId { task_id: TASK, producer: signer.hotkey() };
            if steps == 0 {
                // Nothing was begun: the turn goes on, and may sign at a later block.
                assert!(!library.holds(id));
                let _signed = sign(&state, &signer, &library, draft(720)).unwrap();
            } else {
                assert!(library.holds_digest(id, first), "after {steps} steps");
            }
            assert_eq!(library.of(id).len(), 1, "after {steps} steps");
            assert_eq!(state.unpublished_files().unwrap().len(), 1, "after {steps} steps");
            assert!(state.drafts().unwrap().is_empty());
            let again = sign(&state, &signer, &library, draft(730));
            assert!(
                matches!(again, Err(TaskError::NotSafe(NotSafe::Conflict { .. }))),
                "{again:?}"
            );
        }
    }
}
