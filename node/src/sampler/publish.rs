//! Signing and publishing of verdicts. A crash at any point loses nothing and signs nothing twice.
//!
//! First the task's files are written to the spool folder. Then the verdicts are signed and stored in
//! the database, the file is announced, and everything goes to our bucket, the verdict file last. A
//! file that was signed and not published is published at the next start.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use leoma_chain::Head;
use leoma_protocol::verdict::{SignedVerdict, VerdictDraft, VerdictEntry};
use leoma_protocol::{BlockNumber, Hotkey, TaskId};
use leoma_storage::TaskArtefacts;
use tokio::sync::watch;

use super::answer::Answer;
use super::error::TaskError;
use super::parts::Sampler;
use crate::corpus::{Evidence, TaskClip, TaskMetadata};
use crate::state::StoredFile;

/// The results of a task.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) task_id: TaskId,
    /// The head when sampling began.
    pub(super) begun_at: BlockNumber,
    pub(super) clip: TaskClip,
    pub(super) prompt: Option<String>,
    pub(super) answers: Vec<Answer>,
    pub(super) entries: Vec<VerdictEntry>,
    pub(super) evidence: BTreeMap<Hotkey, Evidence>,
}

impl Sampler {
    pub(super) async fn publish(
        &self,
        finished: Finished,
        heads: &watch::Receiver<Head>,
    ) -> Result<(), TaskError> {
        let Finished { task_id, begun_at, clip, prompt, answers, entries, evidence } = finished;
        let network = self.library.network();
        let metadata = TaskMetadata {
            task_id,
            netuid: network.netuid,
            genesis: network.genesis,
            validator: self.signer.hotkey(),
            block: begun_at,
            task: self.judging.task(),
            prompt,
            judge: self.judging.id().to_owned(),
            clip: clip.proof.clone(),
            evidence,
        };
        let folder = self.spool.join(task_id.to_string());
        let disk = |source| TaskError::Disk { path: folder.clone(), source };
        write_spool(&folder, &metadata, &clip, &answers).map_err(disk)?;
        let draft = VerdictDraft {
            network,
            task_id,
            params: self.params.digest(),
            judge: self.judging.id().to_owned(),
            block: heads.borrow().number,
            entries,
        };
        // Another machine with our hotkey may have appeared while miners were asked.
        if !self.agreement.may_sign() {
            return Err(TaskError::Doubled);
        }
        let signed = self.signer.sign_verdict_file(draft)?;
        self.library.take_in_own(&StoredFile {
            id: signed.id,
            digest: signed.digest,
            bytes: signed.bytes.clone(),
        })?;
        if let Err(error) = self.upload(&signed).await {
            // Peers have the announced file from us over the mesh, so the task counts.
            tracing::warn!(task = %task_id, %error, "failed to upload the task to our bucket, will retry at our next turn");
        }
        Ok(())
    }

    /// Publishes the files that were signed and not published, because an earlier run ended or our
    /// bucket was down.
    pub(super) async fn publish_leftovers(&self) {
        let files = match self.state.unpublished_files() {
            Ok(files) => files,
            Err(error) => {
                return tracing::error!(%error, "failed to read the unpublished verdict files");
            }
        };
        for file in files {
            let signed = SignedVerdict { id: file.id, digest: file.digest, bytes: file.bytes };
            match self.upload(&signed).await {
                Ok(()) => {
                    tracing::info!(task = %signed.id.task_id, "published a verdict file that was signed earlier")
                }
                Err(error) => {
                    tracing::warn!(task = %signed.id.task_id, %error, "failed again to upload the task to our bucket, will retry at our next turn")
                }
            }
        }
    }

    async fn upload(&self, signed: &SignedVerdict) -> Result<(), TaskError> {
        let task_id = signed.id.task_id;
        let folder = self.spool.join(task_id.to_string());
        // Announced before the upload: with a bucket that is down or slow, peers would otherwise
        // compute an epoch without the file, and we with it.
        self.agreement.announce(signed).await;
        self.upload_objects(task_id, &folder, signed).await?;
        self.state.mark_published(signed.id)?;
        let _already_gone = std::fs::remove_dir_all(&folder);
        Ok(())
    }

    async fn upload_objects(
        &self,
        task_id: TaskId,
        folder: &Path,
        signed: &SignedVerdict,
    ) -> Result<(), TaskError> {
        let disk = |source| TaskError::Disk { path: folder.to_owned(), source };
        let artefacts = TaskArtefacts {
            metadata: std::fs::read(folder.join("metadata.json")).map_err(disk)?.into(),
            original_clip: std::fs::read(folder.join("original_clip.mp4")).map_err(disk)?.into(),
            first_frame: std::fs::read(folder.join("first_frame.png")).map_err(disk)?.into(),
        };
        let _ = self.own.write_task(task_id, artefacts).await?;
        for entry in std::fs::read_dir(folder.join("videos")).map_err(disk)? {
            let path = entry.map_err(disk)?.path();
            let miner: Option<Hotkey> =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let Some(miner) = miner {
                let video: Bytes = std::fs::read(&path).map_err(disk)?.into();
                let _ = self.own.write_video(task_id, miner, video).await?;
            }
        }
        let _ = self.own.write_verdict(task_id, signed.bytes.clone().into()).await?;
        Ok(())
    }
}

fn write_spool(
    folder: &Path,
    metadata: &TaskMetadata,
    clip: &TaskClip,
    answers: &[Answer],
) -> std::io::Result<()> {
    // An earlier attempt that was never signed may have left files.
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(folder.join("videos"))?;
    std::fs::write(folder.join("metadata.json"), serde_json::to_vec(metadata)?)?;
    std::fs::write(folder.join("original_clip.mp4"), &clip.mp4)?;
    std::fs::write(folder.join("first_frame.png"), &clip.first_frame)?;
    for answer in answers {
        if let Ok(video) = &answer.video {
            std::fs::write(folder.join("videos").join(format!("{}.mp4", answer.miner)), video)?;
        }
    }
    Ok(())
}
