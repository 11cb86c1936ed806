//! The corpus as the source bucket has it: the owner's manifest where there is one, else a listing.

use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::Digest;
use leoma_storage::{
    CorpusManifest, Key, ManifestError, ManifestVideo, SourceBucket, SourceVideo, StoreError,
};
use serde::{Deserialize, Serialize};

/// Time that one video may take to arrive: with this, five broken ones still leave a turn's first
/// half.
const VIDEO_TIMEOUT: Duration = Duration::from_secs(100);

/// Why there is no corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The bucket.
    #[error("cannot read the corpus: {0}")]
    Store(#[from] StoreError),
    /// The manifest.
    #[error("corpus/v1.json of the source bucket cannot be used: {0}")]
    Manifest(#[from] ManifestError),
}

/// Which list of videos a choice was made from. It may change while a task runs, so the choice
/// names the one it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CorpusId {
    /// The owner's manifest.
    Manifest {
        /// SHA-256 of it.
        sha256: Digest,
        /// Number of videos.
        videos: usize,
    },
    /// What the source bucket listed, where it has no manifest.
    Listing {
        /// Digest over keys and sizes.
        sha256: Digest,
        /// Number of videos.
        videos: usize,
        /// Smaller videos were passed over.
        min_bytes: u64,
        /// Larger videos were passed over.
        max_bytes: u64,
    },
}

/// Why a video could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum SkipReason {
    /// The bucket says that there is no such object.
    Missing,
    /// The bucket did not give it in time.
    Unreachable(String),
    /// Another size, or other bytes, than the corpus says.
    OtherBytes(String),
    /// It cannot be decoded or cut.
    Unusable(String),
    /// No shot is long enough.
    NoShot,
    /// Every shot that is long enough can be imitated by a pushed picture.
    NoChallenge,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not in the bucket"),
            Self::Unreachable(detail) => write!(f, "the bucket does not give it: {detail}"),
            Self::OtherBytes(detail) => {
                write!(f, "its bytes are not those of the corpus: {detail}")
            }
            Self::Unusable(detail) => write!(f, "it cannot be used: {detail}"),
            Self::NoShot => f.write_str("no shot in it is long enough for a clip"),
            Self::NoChallenge => f.write_str("nothing moves by itself in its shots"),
        }
    }
}

impl CorpusId {
    /// Number of videos.
    pub const fn videos(&self) -> usize {
        match self {
            Self::Manifest { videos, .. } | Self::Listing { videos, .. } => *videos,
        }
    }
}

/// What the bytes of a video must be, as far as the corpus says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256; a listing names none.
    pub sha256: Option<Digest>,
}

/// A video of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusVideo {
    /// Its key.
    pub key: Key,
    /// What its bytes must be.
    pub expected: Expectation,
    /// Its shots, where the corpus names them.
    pub shots: Option<Vec<[u64; 2]>>,
    /// How much moves by itself in each shot, where the corpus says it, as in
    /// [`ManifestVideo::nonrigid`].
    pub nonrigid: Option<Vec<u32>>,
}

/// The videos there are, sorted by key, and what to call this very list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// The list's name in a proof.
    pub id: CorpusId,
    /// The videos.
    pub videos: Vec<CorpusVideo>,
}

impl Corpus {
    /// Reads the corpus; where there is no manifest, videos outside of `bytes` (smallest and
    /// largest) are left out.
    ///
    /// # Errors
    /// [`CorpusError`]; a manifest that cannot be used is an error too, not a reason to choose from
    /// something else.
    pub async fn read(source: &SourceBucket, bytes: (u64, u64)) -> Result<Self, CorpusError> {
        match source.manifest().await? {
            Some(manifest) => Ok(Self::from(&CorpusManifest::parse(&manifest)?)),
            None => Ok(Self::listed(source.videos().await?, bytes)),
        }
    }

    /// The corpus of a listing.
    pub fn listed(mut listing: Vec<SourceVideo>, (min_bytes, max_bytes): (u64, u64)) -> Self {
        listing.retain(|video| (min_bytes..=max_bytes).contains(&video.size));
        listing.sort_by(|a, b| a.key.cmp(&b.key));
        // A key holds no control character, so no two listings give the same text.
        let lines: String =
            listing.iter().map(|video| format!("{}\n{}\n", video.key, video.size)).collect();
        let sha256 = Digest::of(lines.as_bytes());
        let id = CorpusId::Listing { sha256, videos: listing.len(), min_bytes, max_bytes };
        let video = |SourceVideo { key, size }| CorpusVideo {
            key,
            expected: Expectation { size, sha256: None },
            shots: None,
            nonrigid: None,
        };
        Self { id, videos: listing.into_iter().map(video).collect() }
    }
}

impl From<&CorpusManifest> for Corpus {
    fn from(manifest: &CorpusManifest) -> Self {
        let video = |video: &ManifestVideo| CorpusVideo {
            key: video.key.clone(),
            expected: Expectation { size: video.size, sha256: Some(video.sha256) },
            shots: Some(video.shots.clone()),
            nonrigid: video.nonrigid.clone(),
        };
        Self {
            id: CorpusId::Manifest { sha256: manifest.digest(), videos: manifest.videos().len() },
            videos: manifest.videos().iter().map(video).collect(),
        }
    }
}

impl CorpusVideo {
    /// The video's bytes, or why they cannot be used: one reason is that they did not arrive while
    /// a turn can wait.
    ///
    /// # Errors
    /// As [`Expectation::fetch`].
    pub async fn fetch(
        &self,
        source: &SourceBucket,
    ) -> Result<Result<Bytes, SkipReason>, StoreError> {
        let late = || SkipReason::Unreachable(format!("not within {} s", VIDEO_TIMEOUT.as_secs()));
        let fetched =
            tokio::time::timeout(VIDEO_TIMEOUT, self.expected.fetch(source, &self.key)).await;
        fetched.unwrap_or_else(|_| Ok(Err(late())))
    }
}

impl Expectation {
    /// The bytes of `key`, or why they cannot be used.
    ///
    /// # Errors
    /// [`StoreError`] when every other video would fail too: our keys or the bucket are wrong.
    pub async fn fetch(
        &self,
        source: &SourceBucket,
        key: &Key,
    ) -> Result<Result<Bytes, SkipReason>, StoreError> {
        match source.video(key, self.size).await {
            Ok(Some(bytes)) => Ok(self.check(&bytes).map(|()| bytes)),
            Ok(None) => Ok(Err(SkipReason::Missing)),
            Err(StoreError::TooLarge { .. }) => {
                Ok(Err(SkipReason::OtherBytes(format!("more than {} of them", self.size))))
            }
            Err(error) if error.is_transient() => {
                Ok(Err(SkipReason::Unreachable(error.to_string())))
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<(), SkipReason> {
        if bytes.len() as u64 != self.size {
            return Err(SkipReason::OtherBytes(format!(
                "{} of them, not {}",
                bytes.len(),
                self.size
            )));
        }
        let Some(sha256) = self.sha256 else { return Ok(()) };
        match Digest::of(bytes) {
            found if found == sha256 => Ok(()),
            found => Err(SkipReason::OtherBytes(format!("sha256 {found}, not {sha256}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_storage::Bucket;

    fn source() -> SourceBucket {
        SourceBucket::new(Bucket::in_memory("source"))
    }

    async fn add(source: &SourceBucket, key: &str, bytes: &'static [u8]) -> Key {
        let key: Key = key.parse().unwrap();
        let _ = source.add_video(&key, Bytes::from_static(bytes)).await.unwrap();
        key
    }

    #[tokio::test]
    async fn a_manifest_wins_over_the_listing_and_a_broken_one_is_no_listing() {
        let source = source();
        let key = add(&source, "b.mp4", b"12345").await;
        add(&source, "a.mp4", b"123456789").await;
        add(&source, "c.mp4", b"1").await;
        let listed = Corpus::read(&source, (2, 8)).await.unwrap();
        assert_eq!(
            listed.videos.iter().map(|video| video.key.as_str()).collect::<Vec<_>>(),
            ["b.mp4"]
        );
        let all = Corpus::read(&source, (1, 9)).await.unwrap();
        assert_ne!(listed.id, all.id);
        assert_eq!(all.id.videos(), 3);
        let video = ManifestVideo {
            codec: "h264".into(),
            duration_ms: 9000,
            height: 2,
            key: key.clone(),
            nonrigid: None,
            sha256: Digest::of(b"12345"),
            shots: vec![[0, 9000]],
            size: 5,
            width: 2,
        };
        let manifest = CorpusManifest::new(vec![video]).unwrap();
        source.write_manifest(&manifest).await.unwrap();
        let corpus = Corpus::read(&source, (1, 9)).await.unwrap();
        assert_eq!(corpus.id, CorpusId::Manifest { sha256: manifest.digest(), videos: 1 });
        assert_eq!(
            corpus.videos[0].fetch(&source).await.unwrap(),
            Ok(Bytes::from_static(b"12345"))
        );
        assert_eq!(
            source.manifest_version(&manifest.digest()).await.unwrap().unwrap(),
            manifest.canonical_json()
        );
        source.bucket().replace(&Key::corpus(), Bytes::from_static(b"[]")).await.unwrap();
        let error = Corpus::read(&source, (1, 9)).await.unwrap_err().to_string();
        assert!(error.contains("corpus/v1.json"), "{error}");
    }

    #[tokio::test]
    async fn a_video_that_is_not_what_the_corpus_says_has_a_reason() {
        let source = source();
        let key = add(&source, "a.mp4", b"12345").await;
        let sha256 = Some(Digest::of(b"54321"));
        let fetched = async |size, sha256, key: &Key| {
            Expectation { size, sha256 }.fetch(&source, key).await.unwrap()
        };
        assert!(fetched(5, None, &key).await.is_ok());
        assert!(matches!(fetched(5, sha256, &key).await, Err(SkipReason::OtherBytes(_))));
        assert!(matches!(fetched(4, None, &key).await, Err(SkipReason::OtherBytes(_))));
        assert!(matches!(fetched(6, None, &key).await, Err(SkipReason::OtherBytes(_))));
        assert_eq!(fetched(5, None, &"b.mp4".parse().unwrap()).await, Err(SkipReason::Missing));
    }
}
