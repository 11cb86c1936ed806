//! The source bucket: the corpus of videos that clips are cut from, the list of challenges, and the
//! allowlist of validators.

use bytes::Bytes;
use leoma_protocol::{Digest, MAX_RECORD_BYTES};

use crate::bucket::{Bucket, ETag, Polled};
use crate::challenges::{ChallengeFile, ChallengeList, MAX_LIST_BYTES};
use crate::corpus::{CorpusManifest, MAX_MANIFEST_BYTES, MAX_VIDEOS};
use crate::create::Created;
use crate::error::StoreError;
use crate::layout::Key;

/// Largest allowlist that is read: 4096 validators of 51 bytes, far beyond any subnet.
const MAX_ALLOWLIST_BYTES: u64 = 256 * 1024;
/// What a source video's key ends with.
const VIDEO_ENDING: &str = ".mp4";

/// A video of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceVideo {
    /// Its key in the source bucket.
    pub key: Key,
    /// Its size in bytes, by the store's listing.
    pub size: u64,
}

/// The source bucket.
#[derive(Clone, Debug)]
pub struct SourceBucket {
    bucket: Bucket,
}

impl SourceBucket {
    /// Takes `bucket` as the source bucket.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// The bucket itself.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The newest corpus manifest, if the owner made one. The caller checks its content.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn manifest(&self) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&Key::corpus(), MAX_MANIFEST_BYTES as u64).await
    }

    /// A corpus manifest by its hash. The caller checks that the bytes have this hash.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn manifest_version(&self, sha256: &Digest) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&Key::corpus_version(sha256), MAX_MANIFEST_BYTES as u64).await
    }

    /// Writes `manifest` as the newest and under its hash. Only the subnet's owner has the keys for
    /// this.
    ///
    /// # Errors
    /// As [`Bucket::create`] and [`Bucket::replace`].
    pub async fn write_manifest(&self, manifest: &CorpusManifest) -> Result<(), StoreError> {
        let bytes = Bytes::from(manifest.canonical_json());
        // Under its hash first, so that every manifest that a task names can be found again.
        let _new_or_there_already =
            self.bucket.create(&Key::corpus_version(&Digest::of(&bytes)), bytes.clone()).await?;
        self.bucket.replace(&Key::corpus(), bytes).await
    }

    /// The newest list of challenges, if the owner made one. The caller checks its content.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn challenges(&self) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&Key::challenges(), MAX_LIST_BYTES as u64).await
    }

    /// A list of challenges by its hash. The caller checks that the bytes have this hash.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn challenges_version(&self, sha256: &Digest) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&Key::challenges_version(sha256), MAX_LIST_BYTES as u64).await
    }

    /// Writes `list` as the newest and under its hash. Only the subnet's owner has the keys for
    /// this.
    ///
    /// # Errors
    /// As [`Bucket::create`] and [`Bucket::replace`].
    pub async fn write_challenges(&self, list: &ChallengeList) -> Result<(), StoreError> {
        let bytes = Bytes::from(list.canonical_json());
        // Under its hash first, so that every list that a task names can be found again.
        let _new_or_there_already = self
            .bucket
            .create(&Key::challenges_version(&Digest::of(&bytes)), bytes.clone())
            .await?;
        self.bucket.replace(&Key::challenges(), bytes).await
    }

    /// A file of a challenge. The caller checks that the bytes have its hash.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn challenge_file(&self, file: &ChallengeFile) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&file.key, file.size).await
    }

    /// The corpus of a bucket without a manifest: the videos among its first 50 000 objects, which
    /// are the keys that end in `.mp4`, sorted.
    ///
    /// # Errors
    /// As [`Bucket::list`].
    pub async fn videos(&self) -> Result<Vec<SourceVideo>, StoreError> {
        let listing = self.bucket.list(None, None, MAX_VIDEOS).await?;
        if listing.truncated || listing.unusable > 0 {
            tracing::warn!(
                bucket = self.bucket.name(),
                used = listing.objects.len(),
                unusable = listing.unusable,
                "the source bucket holds objects that are not used"
            );
        }
        let videos = listing
            .objects
            .into_iter()
            .filter(|object| object.key.as_str().ends_with(VIDEO_ENDING));
        Ok(videos.map(|object| SourceVideo { key: object.key, size: object.size }).collect())
    }

    /// A video of at most `max_bytes`.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn video(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(key, max_bytes).await
    }

    /// The allowlist's bytes, unless their ETag is still `known`. The caller checks that the chain
    /// commits to them.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn allowlist(&self, known: Option<&ETag>) -> Result<Polled, StoreError> {
        self.bucket.get_if_changed(&Key::allowlist(), MAX_ALLOWLIST_BYTES, known).await
    }

    /// Replaces the allowlist. Only the subnet's owner has the keys for this.
    ///
    /// # Errors
    /// As [`Bucket::replace`].
    pub async fn write_allowlist(&self, bytes: Bytes) -> Result<(), StoreError> {
        self.bucket.replace(&Key::allowlist(), bytes).await
    }

    /// An allowlist by its hash, as long as the bucket keeps it. The caller checks that the bytes
    /// have this hash.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn allowlist_version(&self, sha256: &Digest) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&Key::allowlist_version(sha256), MAX_ALLOWLIST_BYTES).await
    }

    /// Writes an allowlist under its hash. Only the subnet's owner has the keys for this.
    ///
    /// # Errors
    /// As [`Bucket::create`].
    pub async fn write_allowlist_version(
        &self,
        sha256: &Digest,
        bytes: Bytes,
    ) -> Result<Created, StoreError> {
        self.bucket.create(&Key::allowlist_version(sha256), bytes).await
    }

    /// The owner's record of past allowlists. The caller checks the owner's signature.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn allowlist_record(&self) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&Key::allowlist_record(), MAX_RECORD_BYTES as u64).await
    }

    /// Replaces the record of past allowlists. Only the subnet's owner has the keys for this.
    ///
    /// # Errors
    /// As [`Bucket::replace`].
    pub async fn write_allowlist_record(&self, bytes: Bytes) -> Result<(), StoreError> {
        self.bucket.replace(&Key::allowlist_record(), bytes).await
    }

    /// Adds a video to the corpus. Only the subnet's owner has the keys for this.
    ///
    /// # Errors
    /// As [`Bucket::create`].
    pub async fn add_video(&self, key: &Key, bytes: Bytes) -> Result<Created, StoreError> {
        self.bucket.create(key, bytes).await
    }
}
