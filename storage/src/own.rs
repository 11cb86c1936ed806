//! A validator's own bucket: its tasks' clips, the miners' answers, and its verdicts. Everything is
//! written once.

use bytes::Bytes;
use leoma_protocol::verdict::MAX_FILE_BYTES;
use leoma_protocol::{Hotkey, TaskId};

use crate::bucket::Bucket;
use crate::create::Created;
use crate::error::StoreError;
use crate::layout::{Key, TaskKey, TaskObject};

/// The object that [`OwnBucket::prove_create_once`] writes.
const PROBE: &str = "preflight/create-once";
/// Its bytes, where nothing was there before.
const PROBE_BYTES: &[u8] = b"first";
/// Bytes that the object never has.
const OTHER_BYTES: &[u8] = b"other than those that are there";
/// Most bytes that are read of it.
const MAX_PROBE: u64 = 64;

/// The objects that a task begins with.
#[derive(Clone, Debug)]
pub struct TaskArtefacts {
    /// `metadata.json`.
    pub metadata: Bytes,
    /// `original_clip.mp4`.
    pub original_clip: Bytes,
    /// `first_frame.png`.
    pub first_frame: Bytes,
}

/// A validator's own bucket.
#[derive(Clone, Debug)]
pub struct OwnBucket {
    bucket: Bucket,
    hotkey: Hotkey,
}

impl OwnBucket {
    /// `bucket` belongs to the validator `hotkey`.
    pub fn new(bucket: Bucket, hotkey: Hotkey) -> Self {
        Self { bucket, hotkey }
    }

    /// The bucket itself.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Writes the objects that a task begins with. `metadata.json` comes last: where it exists, the
    /// others do too. Before that it makes sure that the store still refuses to overwrite.
    ///
    /// # Errors
    /// As [`Bucket::create`] and [`prove_create_once`](Self::prove_create_once); a conflict means
    /// that the task was begun with another clip, and stops it.
    pub async fn write_task(
        &self,
        task_id: TaskId,
        artefacts: TaskArtefacts,
    ) -> Result<Created, StoreError> {
        let TaskArtefacts { metadata, original_clip, first_frame } = artefacts;
        let objects =
            [(TaskObject::OriginalClip, original_clip), (TaskObject::FirstFrame, first_frame)];
        self.write_begun(task_id, objects.into(), metadata).await
    }

    /// The same for the objects of any mechanism.
    ///
    /// # Errors
    /// As [`write_task`](Self::write_task).
    pub async fn write_begun(
        &self,
        task_id: TaskId,
        objects: Vec<(TaskObject, Bytes)>,
        metadata: Bytes,
    ) -> Result<Created, StoreError> {
        self.prove_no_overwrite().await?;
        for (object, bytes) in objects {
            let _ = self.write_object(task_id, object, bytes).await?;
        }
        self.write_object(task_id, TaskObject::Metadata, metadata).await
    }

    /// Writes one object of a task.
    ///
    /// # Errors
    /// As [`Bucket::create`].
    pub async fn write_object(
        &self,
        task_id: TaskId,
        object: TaskObject,
        bytes: Bytes,
    ) -> Result<Created, StoreError> {
        self.bucket.create(&TaskKey::new(task_id, object).into(), bytes).await
    }

    /// Writes a miner's answer.
    ///
    /// # Errors
    /// As [`Bucket::create`].
    pub async fn write_video(
        &self,
        task_id: TaskId,
        miner: Hotkey,
        video: Bytes,
    ) -> Result<Created, StoreError> {
        self.write_object(task_id, TaskObject::GeneratedVideo(miner), video).await
    }

    /// Writes our signed verdict file on `task_id`.
    ///
    /// # Errors
    /// As [`Bucket::create`]; [`StoreError::TooLarge`] for a file that no peer would read.
    pub async fn write_verdict(&self, task_id: TaskId, file: Bytes) -> Result<Created, StoreError> {
        let key = Key::from(TaskKey::verdict(task_id, self.hotkey));
        if file.len() > MAX_FILE_BYTES {
            return Err(StoreError::TooLarge {
                object: self.bucket.object(&key),
                limit: MAX_FILE_BYTES as u64,
            });
        }
        self.bucket.create(&key, file).await
    }

    /// Our verdict file on `task_id`, if there is one.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn verdict(&self, task_id: TaskId) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&TaskKey::verdict(task_id, self.hotkey).into(), MAX_FILE_BYTES as u64).await
    }

    /// A task's object, for a task that was interrupted and is resumed.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn read(
        &self,
        task_id: TaskId,
        object: TaskObject,
        max_bytes: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&TaskKey::new(task_id, object).into(), max_bytes).await
    }

    /// Proves that the bucket can be read and written, and that the store refuses a second,
    /// different write of an object. It leaves one small object behind and uses it again the next
    /// time.
    ///
    /// # Errors
    /// Any [`StoreError`]; [`StoreError::Misconfigured`] if the store accepted the second write.
    pub async fn prove_create_once(&self) -> Result<(), StoreError> {
        let key = probe_key(&self.bucket)?;
        let before = match self.bucket.get(&key, MAX_PROBE).await? {
            Some(bytes) => bytes,
            None => {
                let _ = self.bucket.create(&key, Bytes::from_static(PROBE_BYTES)).await?;
                Bytes::from_static(PROBE_BYTES)
            }
        };
        self.prove_no_overwrite().await?;
        match self.bucket.get(&key, MAX_PROBE).await? {
            Some(bytes) if bytes == before => Ok(()),
            _ => Err(probe_failed(&self.bucket, "the store does not return what was written")),
        }
    }

    /// Proves that the store refuses a second, different write of an object. Stores change: some
    /// began to ignore the condition after an upgrade.
    async fn prove_no_overwrite(&self) -> Result<(), StoreError> {
        let key = probe_key(&self.bucket)?;
        // Where nothing is there yet, the first put makes the object and the second one is the test.
        let other = Bytes::from_static(OTHER_BYTES);
        let second = match self.bucket.create(&key, other).await {
            Ok(Created::New) => self.bucket.create(&key, Bytes::from_static(PROBE_BYTES)).await,
            first => first,
        };
        match second {
            Err(StoreError::Conflict { .. }) => Ok(()),
            // An earlier put of these bytes succeeded, so they prove nothing: use other bytes.
            Ok(Created::AlreadyThere) => self.refuses(&key, PROBE_BYTES).await,
            Ok(Created::New) => Err(overwritten(&self.bucket)),
            Err(error) => Err(error),
        }
    }

    async fn refuses(&self, key: &Key, bytes: &'static [u8]) -> Result<(), StoreError> {
        match self.bucket.create(key, Bytes::from_static(bytes)).await {
            Err(StoreError::Conflict { .. }) => Ok(()),
            Ok(_) => Err(overwritten(&self.bucket)),
            Err(error) => Err(error),
        }
    }

    /// Proves that `reader`, an own bucket opened with the key that peers are given, can read what
    /// [`prove_create_once`](Self::prove_create_once) wrote, and that it cannot write: peers could
    /// otherwise publish in our name. Changes nothing, whatever the key allows.
    ///
    /// # Errors
    /// Any [`StoreError`]; [`StoreError::Misconfigured`] if the key can write.
    pub async fn prove_read_only(reader: &Bucket) -> Result<(), StoreError> {
        let key = probe_key(reader)?;
        let Some(bytes) = reader.get(&key, MAX_PROBE).await? else {
            return Err(probe_failed(reader, "the key does not read what the write key wrote"));
        };
        // The same bytes again: a key that may write would only learn that they are there.
        match reader.create(&key, bytes).await {
            Err(StoreError::PermissionDenied { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(probe_failed(reader, "the key that peers are given can write")),
        }
    }
}

fn probe_key(bucket: &Bucket) -> Result<Key, StoreError> {
    PROBE
        .to_owned()
        .try_into()
        .map_err(|error: crate::KeyError| probe_failed(bucket, &error.to_string()))
}

fn overwritten(bucket: &Bucket) -> StoreError {
    probe_failed(bucket, "the store overwrote an object in spite of If-None-Match")
}

fn probe_failed(bucket: &Bucket, reason: &str) -> StoreError {
    StoreError::Misconfigured {
        object: crate::ObjectName { bucket: bucket.name().to_owned(), key: PROBE.to_owned() },
        reason: reason.to_owned(),
        cause: crate::Cause::text(reason),
    }
}
