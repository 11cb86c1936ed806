//! The corpus manifest: the source videos, the digest of each, and where clips may be cut from it.
//!
//! Canonical JSON, keys of objects and videos sorted, no spaces:
//! `{"version":1,"videos":[{"codec":"h264","duration_ms":12000,"height":480,"key":"clips/a.mp4","sha256":"…","shots":[[2000,8850]],"size":1234567,"width":832}]}`.
//! The source bucket holds it twice: the newest as `corpus/v1.json`, and each under its own hash
//! for good, so that a task can be checked against the corpus that it was made from.

use leoma_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::layout::Key;

/// The manifest version that is written and read. Its shots follow the subnet's scene rules and are
/// long enough for a clip.
pub const CORPUS_VERSION: u32 = 1;
/// Largest manifest that is read: 50 000 videos of 500 bytes.
pub(crate) const MAX_MANIFEST_BYTES: usize = 25 << 20;
/// Most videos of a corpus, listed or in a manifest.
pub(crate) const MAX_VIDEOS: usize = 50_000;
/// Most bytes of a source video: the scorer opens no larger one.
pub const MAX_VIDEO_BYTES: u64 = 200 << 20;
/// Most shots of a video. The two and a half minutes that are analysed hold at most 29 shots of a
/// clip's length.
const MAX_SHOTS: usize = 64;

/// A stretch without a cut and without its margins: the first usable millisecond, and the first one
/// after the last.
pub type Shot = [u64; 2];

/// A video as the subnet's owner found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestVideo {
    // Fields are written in this order, which has to be that of their names.
    /// Codec, such as `h264`.
    pub codec: String,
    /// Length of the video track in milliseconds, 0 where the file does not state it.
    pub duration_ms: u64,
    /// Height in pixels.
    pub height: u32,
    /// Its key in the source bucket.
    pub key: Key,
    /// How much moves by itself in each shot, in the order of `shots`: thousandths of a pixel per
    /// six frames of a clip. `None` where it was not measured, and every shot may be drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonrigid: Option<Vec<u32>>,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// The shots that a clip may be cut from, in ascending order, at least one.
    pub shots: Vec<Shot>,
    /// Its size in bytes.
    pub size: u64,
    /// Width in pixels.
    pub width: u32,
}

/// The corpus, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusManifest {
    videos: Vec<ManifestVideo>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It has too many bytes or videos.
    #[error("the corpus manifest has more than {limit} {what}")]
    TooLarge {
        /// `bytes` or `videos`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is not the JSON of a manifest.
    #[error("the corpus manifest cannot be parsed: {0}")]
    Json(#[from] serde_json::Error),
    /// It has an unknown version.
    #[error(
        "the corpus manifest has version {found}, this release reads {CORPUS_VERSION}: a newer release is needed"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// One of its videos is invalid.
    #[error("the corpus manifest's video `{key}` {reason}")]
    Video {
        /// Its key.
        key: Key,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is not in canonical form: the same content would have several hashes.
    #[error("the corpus manifest is not in canonical form: write it with `leoma corpus add`")]
    NotCanonical,
    /// Its hash is not the one in its name, or in a task's proof.
    #[error("the corpus manifest's sha256 is {found}, not {expected}")]
    OtherDigest {
        /// The hash of the bytes.
        found: Digest,
        /// The hash that was expected.
        expected: Digest,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<V> {
    version: u32,
    videos: V,
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u32,
}

impl CorpusManifest {
    /// A manifest of `videos` in any order.
    ///
    /// # Errors
    /// [`ManifestError::TooLarge`], [`ManifestError::Video`]; two videos with one key or with the
    /// same bytes among them.
    pub fn new(mut videos: Vec<ManifestVideo>) -> Result<Self, ManifestError> {
        if videos.len() > MAX_VIDEOS {
            return Err(ManifestError::TooLarge { what: "videos", limit: MAX_VIDEOS });
        }
        videos.sort_by(|a, b| a.key.cmp(&b.key));
        for video in &videos {
            video
                .check()
                .map_err(|reason| ManifestError::Video { key: video.key.clone(), reason })?;
        }
        if let Some(pair) = videos.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(ManifestError::Video {
                key: pair[0].key.clone(),
                reason: "is named twice",
            });
        }
        let mut seen = std::collections::HashSet::new();
        // A video that is listed twice would be drawn twice as often.
        if let Some(video) = videos.iter().find(|video| !seen.insert(video.sha256)) {
            return Err(ManifestError::Video {
                key: video.key.clone(),
                reason: "has the same bytes as another",
            });
        }
        let manifest = Self { videos };
        if manifest.canonical_json().len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { what: "bytes", limit: MAX_MANIFEST_BYTES });
        }
        Ok(manifest)
    }

    /// Parses a manifest, which must be in canonical form.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { what: "bytes", limit: MAX_MANIFEST_BYTES });
        }
        let OnlyVersion { version } = serde_json::from_slice(bytes)?;
        if version != CORPUS_VERSION {
            return Err(ManifestError::Version { found: version });
        }
        let written: Written<Vec<ManifestVideo>> = serde_json::from_slice(bytes)?;
        let manifest = Self::new(written.videos)?;
        if manifest.canonical_json().as_bytes() != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// Parses a manifest whose hash must be `expected`.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn verify(bytes: &[u8], expected: Digest) -> Result<Self, ManifestError> {
        let found = Digest::of(bytes);
        if found != expected {
            return Err(ManifestError::OtherDigest { found, expected });
        }
        Self::parse(bytes)
    }

    /// The manifest's canonical text.
    pub fn canonical_json(&self) -> String {
        let written = Written { version: CORPUS_VERSION, videos: &self.videos };
        // A struct of numbers and strings always serialises.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical_json().as_bytes())
    }

    /// The videos, sorted by key.
    pub fn videos(&self) -> &[ManifestVideo] {
        &self.videos
    }

    /// The video with this key.
    pub fn find(&self, key: &Key) -> Option<&ManifestVideo> {
        self.videos
            .binary_search_by(|video| video.key.cmp(key))
            .ok()
            .and_then(|index| self.videos.get(index))
    }
}

impl ManifestVideo {
    fn check(&self) -> Result<(), &'static str> {
        if self.size == 0 || self.size > MAX_VIDEO_BYTES {
            return Err("is empty or larger than 200 MiB");
        }
        if self.codec.len() > 32 || !self.codec.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a codec that is not a name");
        }
        let ordered = self.shots.iter().all(|[start, end]| start < end)
            && self.shots.windows(2).all(|pair| pair[0][1] <= pair[1][0]);
        if self.shots.is_empty() || self.shots.len() > MAX_SHOTS || !ordered {
            return Err("has no shots, too many, or some that overlap");
        }
        if self.nonrigid.as_ref().is_some_and(|measured| measured.len() != self.shots.len()) {
            return Err("does not have one measure of motion for each shot");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn video(key: &str, shots: Vec<Shot>) -> ManifestVideo {
        let sha256 = Digest::of(key.as_bytes());
        let key = key.parse().unwrap();
        ManifestVideo {
            codec: "h264".into(),
            duration_ms: 12_000,
            height: 480,
            key,
            nonrigid: None,
            sha256,
            shots,
            size: 7,
            width: 832,
        }
    }

    #[test]
    fn its_bytes_are_fixed() {
        let manifest = CorpusManifest::new(vec![
            video("b.mp4", vec![[2000, 9000]]),
            video("a.mp4", vec![[0, 1]]),
        ])
        .unwrap();
        let expected = format!(
            "{{\"version\":1,\"videos\":[{{\"codec\":\"h264\",\"duration_ms\":12000,\"height\":480,\"key\":\"a.mp4\",\
             \"sha256\":\"{}\",\"shots\":[[0,1]],\"size\":7,\"width\":832}},{{\"codec\":\"h264\",\"duration_ms\":12000,\
             \"height\":480,\"key\":\"b.mp4\",\"sha256\":\"{}\",\"shots\":[[2000,9000]],\"size\":7,\"width\":832}}]}}",
            Digest::of(b"a.mp4"),
            Digest::of(b"b.mp4")
        );
        assert_eq!(manifest.canonical_json(), expected);
        assert_eq!(
            CorpusManifest::verify(expected.as_bytes(), manifest.digest()).unwrap(),
            manifest
        );
        assert_eq!(manifest.find(&"b.mp4".parse().unwrap()).unwrap().shots, [[2000, 9000]]);
    }

    #[test]
    fn measures_of_motion_are_written_where_there_are_some() {
        let measured = ManifestVideo { nonrigid: Some(vec![81]), ..video("a.mp4", vec![[0, 1]]) };
        let manifest = CorpusManifest::new(vec![measured.clone()]).unwrap();
        let json = manifest.canonical_json();
        assert!(json.contains("\"key\":\"a.mp4\",\"nonrigid\":[81],\"sha256\""), "{json}");
        assert_eq!(CorpusManifest::parse(json.as_bytes()).unwrap(), manifest);
        let other = ManifestVideo { nonrigid: Some(vec![81, 2]), ..measured };
        let error = CorpusManifest::new(vec![other]).unwrap_err().to_string();
        assert!(error.contains("each shot"), "{error}");
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        let whole =
            CorpusManifest::new(vec![video("a.mp4", vec![[0, 1]])]).unwrap().canonical_json();
        for (bytes, part) in [
            (whole.replace(":1,\"videos\"", ":2,\"videos\""), "version 2"),
            (whole.replace("\"size\":7", "\"size\": 7"), "canonical"),
            (whole.replace("\"size\":7", "\"size\":0"), "`a.mp4` is empty"),
            (whole.replace("[[0,1]]", "[]"), "no shots"),
            (whole.replace("[[0,1]]", "[[0,5],[4,9]]"), "overlap"),
            (whole.replace("a.mp4", "../a.mp4"), "not an object key"),
            (whole.replace("\"width\":832", "\"width\":832,\"more\":1"), "unknown field"),
            (whole.replace('}', ""), "cannot be parsed"),
        ] {
            let error = CorpusManifest::parse(bytes.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{part:?}: {error}");
        }
        let twice = vec![video("a.mp4", vec![[0, 1]]), video("a.mp4", vec![[0, 1]])];
        assert!(CorpusManifest::new(twice).unwrap_err().to_string().contains("named twice"));
        let mut copy = video("b.mp4", vec![[0, 1]]);
        copy.sha256 = Digest::of(b"a.mp4");
        let error =
            CorpusManifest::new(vec![video("a.mp4", vec![[0, 1]]), copy]).unwrap_err().to_string();
        assert!(error.contains("same bytes"), "{error}");
        assert!(CorpusManifest::verify(whole.as_bytes(), Digest::of(b"other")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = CorpusManifest::parse(&bytes);
        }
    }
}
