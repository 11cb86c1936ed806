//! Signing and publishing of verdicts. A crash at any point loses nothing and signs nothing twice.
//!
//! | step | a start after a crash before it |
//! |---|---|
//! | the task's files are in its folder | takes the task up where it was left, while the turn lasts |
//! | the draft is in the database | the same |
//! | its digest is recorded, it is signed, and the file is in the database | signs the draft |
//! | the file is announced | announces it |
//! | its objects are in our bucket, the verdict file last | uploads what is missing |
//! | the database says so, and the folder is removed | uploads again, which changes nothing |
//!
//! Uploading is the publisher's, beside the turns: a bucket that is down holds up no turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leoma_chain::Head;
use leoma_protocol::verdict::{SignedVerdict, VerdictDraft};
use leoma_protocol::{Digest, TaskId};
use leoma_storage::OwnBucket;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::parts::Sampler;
use crate::alarms::Alarms;
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::{Scored, TaskError};
use crate::state::State;
use crate::verdicts::Exchange;

/// Pause before files that could not be uploaded are tried again.
const RETRY_EVERY: Duration = Duration::from_secs(60);
/// The check of `/readyz` that fails while files wait for our bucket.
const ALARM: &str = "own_bucket";

impl Sampler {
    /// Makes a task's draft from the result of its mechanism, and publishes it.
    pub(super) async fn publish(
        &self,
        task_id: TaskId,
        judge: &str,
        scored: Scored,
        heads: &watch::Receiver<Head>,
    ) -> Result<(), TaskError> {
        let start = self.start_of(task_id).ok_or(TaskError::NotListed)?;
        let draft = VerdictDraft {
            network: self.library.network(),
            task_id,
            params: self.consensus.digest_at(start),
            judge: judge.to_owned(),
            block: heads.borrow().number,
            metadata_sha256: Some(scored.metadata_sha256),
            entries: scored.entries,
        };
        self.publish_draft(draft).await
    }

    /// Signs a draft, announces the file, and hands it to the publisher.
    pub(super) async fn publish_draft(&self, draft: VerdictDraft) -> Result<(), TaskError> {
        // Another machine with our hotkey may have appeared while miners were asked.
        if !self.agreement.may_sign() {
            return Err(TaskError::Doubled);
        }
        let signed = self.sign(draft).await?;
        // Before the upload: with a bucket that is down or slow, peers would otherwise attest late.
        self.agreement.announce(&signed).await;
        self.signed.notify_one();
        Ok(())
    }
}

/// Uploads signed files.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Our bucket.
    pub own: OwnBucket,
    /// Our part in the exchange of verdict files.
    pub agreement: Exchange,
    /// The database.
    pub state: State,
    /// Folder of the tasks that are not published yet.
    pub spool: PathBuf,
    /// Told of each file that was signed.
    pub signed: Arc<Notify>,
    /// What `/readyz` shows.
    pub alarms: Alarms,
}

impl Publisher {
    /// Runs until `stop`: files that an earlier run left first, then each as it is signed. Those
    /// that cannot be uploaded are tried again.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.agreement.until_may_sign() => {}
        }
        for signed in self.waiting().await {
            self.agreement.announce(&signed).await;
        }
        loop {
            let all_done = tokio::select! {
                () = stop.cancelled() => return,
                all_done = self.upload_all() => all_done,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.signed.notified() => {}
                () = tokio::time::sleep(RETRY_EVERY), if !all_done => {}
            }
        }
    }

    async fn waiting(&self) -> Vec<SignedVerdict> {
        match self.state.on_disk(State::unpublished_files).await {
            Ok(files) => files
                .into_iter()
                .map(|file| SignedVerdict { id: file.id, digest: file.digest, bytes: file.bytes })
                .collect(),
            Err(error) => {
                tracing::error!(%error, "failed to read the unpublished verdict files");
                Vec::new()
            }
        }
    }

    /// Uploads every file that waits. Returns whether none is left.
    async fn upload_all(&self) -> bool {
        let (mut left, mut last_error) = (0, None);
        for signed in self.waiting().await {
            let task = signed.id.task_id;
            match self.upload(&signed).await {
                Ok(()) => tracing::info!(%task, "task uploaded to our bucket"),
                Err(error) => {
                    tracing::warn!(%task, %error, retry_seconds = RETRY_EVERY.as_secs(), "failed to upload a task to our bucket");
                    left += 1;
                    last_error = Some(error);
                }
            }
        }
        match last_error {
            Some(error) => {
                self.alarms
                    .raise(ALARM, format!("{left} signed tasks wait for our bucket: {error}"));
            }
            None => self.alarms.clear(ALARM),
        }
        left == 0
    }

    async fn upload(&self, signed: &SignedVerdict) -> Result<(), TaskError> {
        let folder = TaskFolder::new(&self.spool, signed.id.task_id);
        self.upload_objects(&folder, signed).await?;
        let id = signed.id;
        self.state.on_disk(move |state| state.mark_published(id)).await?;
        let removed = folder.clone();
        let removed = tokio::task::spawn_blocking(move || removed.remove()).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(error.into())) {
            tracing::warn!(%error, folder = %folder.path().display(), "failed to remove the files of a published task");
        }
        Ok(())
    }

    async fn upload_objects(
        &self,
        folder: &TaskFolder,
        signed: &SignedVerdict,
    ) -> Result<(), TaskError> {
        let task_id = signed.id.task_id;
        let disk = |source| TaskError::Disk { path: folder.path().to_owned(), source };
        let read = async |path: PathBuf| -> Result<Bytes, TaskError> {
            Ok(tokio::fs::read(path).await.map_err(disk)?.into())
        };
        let path = folder.path().join("metadata.json");
        let metadata = read(path.clone()).await?;
        // Others would take another file under our signature for a lie.
        if signed_metadata(signed) != Some(Digest::of(&metadata)) {
            let source = std::io::Error::other("it is not the file that was signed");
            return Err(TaskError::Disk { path, source });
        }
        let mut begun = Vec::new();
        for (object, path) in folder.begun_objects().map_err(disk)? {
            begun.push((object, read(path).await?));
        }
        let _ = self.own.write_begun(task_id, begun, metadata).await?;
        for (object, path) in folder.answer_objects().map_err(disk)? {
            let _ = self.own.write_object(task_id, object, read(path).await?).await?;
        }
        let _ = self.own.write_verdict(task_id, signed.bytes.clone().into()).await?;
        Ok(())
    }
}

/// The hash of `metadata.json` that a verdict file of ours names.
fn signed_metadata(signed: &SignedVerdict) -> Option<Digest> {
    let file: serde_json::Value = serde_json::from_slice(&signed.bytes).ok()?;
    file["envelope"]["metadata_sha256"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
