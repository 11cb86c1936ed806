//! Buckets in S3 (R2), a folder or memory: the source bucket, a validator's own, and its peers'.
//!
//! Objects are written once ([`Bucket::create`]). Reads are bounded and never report a failure as
//! "no such object" ([`Bucket::get`]). Errors are sorted by what to do about them ([`StoreError`])
//! and hold no secrets.
//!
//! ```
//! use bytes::Bytes;
//! use leoma_protocol::TaskId;
//! use leoma_storage::{Bucket, Created, Key, StoreError, TaskKey, TaskObject};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StoreError> {
//! let bucket = Bucket::in_memory("example");
//! let key = Key::from(TaskKey::new(TaskId(7), TaskObject::Metadata));
//! assert_eq!(bucket.get(&key, 1024).await?, None);
//! assert_eq!(bucket.create(&key, Bytes::from_static(b"{}")).await?, Created::New);
//! assert_eq!(bucket.create(&key, Bytes::from_static(b"{}")).await?, Created::AlreadyThere);
//! assert!(matches!(bucket.create(&key, Bytes::from_static(b"[]")).await, Err(StoreError::Conflict { .. })));
//! # Ok(())
//! # }
//! ```

mod bucket;
mod challenges;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod corpus;
mod create;
mod endpoint;
mod error;
mod fault;
mod grant;
mod http;
mod layout;
mod listing;
mod own;
mod peers;
mod presigned;
mod retry;
mod scrub;
mod secret;
mod source;
mod static_peers;

pub use self::http::{NoPublicAddress, PublicResolver};
pub use bucket::{Bucket, ETag, Fetched, Polled};
pub use challenges::{
    Challenge, ChallengeFile, ChallengeList, ChallengesError, MAX_CHALLENGE_BYTES,
};
pub use config::{BucketConfig, ConfigError, DEFAULT_REGION, open_public};
pub use corpus::{
    CORPUS_VERSION, CorpusManifest, MAX_VIDEO_BYTES, ManifestError, ManifestVideo, Shot,
};
pub use create::Created;
pub use endpoint::{EndpointError, EndpointPolicy, is_public, service_address};
pub use error::{ObjectName, StoreError};
pub use grant::{Grant, GrantError, MAX_GRANT_BYTES};
pub use layout::{Format, Key, KeyError, TaskKey, TaskObject};
pub use listing::{Listing, ObjectInfo};
pub use own::{OwnBucket, TaskArtefacts};
pub use peers::{Granted, PeerBucket, PeerBuckets};
pub use retry::{Attempts, RetryPolicy};
pub use scrub::Cause;
pub use secret::{PresignedUrl, Secret};
pub use source::{SourceBucket, SourceVideo};
pub use static_peers::{StaticPeer, StaticPeerError, StaticPeers, StaticPeersError};
