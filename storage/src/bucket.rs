//! One bucket: bounded reads and presigned URLs. Listings are in `listing.rs`, writes in
//! `create.rs`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::Method;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{GetOptions, ObjectStore};

use crate::error::{ObjectName, StoreError};
use crate::fault::{Class, Fault};
use crate::layout::Key;
use crate::retry::RetryPolicy;
use crate::scrub::Scrubber;
use crate::secret::PresignedUrl;

/// Longest life of a presigned URL that S3 and R2 sign.
const MAX_PRESIGN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most memory that is reserved because a store claims a length. Beyond it, memory grows with the
/// bytes that arrive.
const MAX_RESERVE: u64 = 1 << 20;
/// A store's opaque mark of one version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

/// An object's bytes, and the mark of their version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The whole object.
    pub bytes: Bytes,
    /// Its version, if the store names one.
    pub etag: Option<ETag>,
}

/// The answer to a conditional read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// The store says that there is no such object.
    Absent,
    /// The object is the one whose ETag was given.
    Unchanged,
    /// The object has a version other than the given one, or none was given.
    Changed(Fetched),
}

/// A bucket in S3, a folder or memory. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) signer: Option<Arc<dyn Signer>>,
    pub(crate) name: String,
    /// The folder, if the bucket is one. A missing file is an absent object only while it exists.
    pub(crate) folder: Option<PathBuf>,
    /// Whether the store lists objects in the order of keys.
    pub(crate) ordered: bool,
    pub(crate) scrubber: Arc<Scrubber>,
    pub(crate) policy: RetryPolicy,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// A bucket in this process's memory, gone with its last clone. `name` is for errors and logs.
    pub fn in_memory(name: &str) -> Self {
        Self::over(Arc::new(InMemory::new()), format!("memory:{name}"))
    }

    /// A bucket over any store of the `object_store` crate. `name` is for errors and logs.
    pub(crate) fn over(store: Arc<dyn ObjectStore>, name: String) -> Self {
        Self {
            store,
            signer: None,
            name,
            folder: None,
            ordered: true,
            scrubber: Arc::new(Scrubber::default()),
            policy: RetryPolicy::default(),
        }
    }

    /// The same bucket with another retry policy.
    #[must_use]
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Its name in errors and logs, such as `s3://leoma-validator-7`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads an object of at most `max_bytes`. `None` only if the store itself says that there is
    /// no such object.
    ///
    /// # Errors
    /// Any [`StoreError`] but `Conflict` and `Full`; transient ones after retries.
    pub async fn get(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        match self.get_if_changed(key, max_bytes, None).await? {
            Polled::Changed(fetched) => Ok(Some(fetched.bytes)),
            Polled::Absent => Ok(None),
            Polled::Unchanged => {
                Err(self.wrong_answer(key, "\"not modified\" to an unconditional read"))
            }
        }
    }

    /// Reads an object of at most `max_bytes` unless it is still the one with `known` as its ETag:
    /// one cheap request per poll.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn get_if_changed(
        &self,
        key: &Key,
        max_bytes: u64,
        known: Option<&ETag>,
    ) -> Result<Polled, StoreError> {
        let path = self.path(key)?;
        self.attempt(self.object(key), max_bytes, || {
            self.read_once(&path, max_bytes, known).boxed()
        })
        .await
    }

    /// A URL that reads the object for `ttl` without keys. Whether the object exists is not
    /// checked.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] if `ttl` is over 7 days or the store is not S3.
    pub async fn presign_get(&self, key: &Key, ttl: Duration) -> Result<PresignedUrl, StoreError> {
        let refuse = |reason: &str| {
            Fault::new(Class::Misconfigured, reason).into_error(
                self.object(key),
                1,
                Duration::ZERO,
                0,
            )
        };
        if ttl > MAX_PRESIGN {
            return Err(refuse("presigned URLs live at most 7 days"));
        }
        let signer = self.signer.as_ref().ok_or_else(|| refuse("only S3 buckets presign URLs"))?;
        let path = self.path(key)?;
        let signed = signer.signed_url(Method::GET, &path, ttl).await;
        let fault = |error| {
            Fault::of(&error, &self.scrubber).into_error(self.object(key), 1, Duration::ZERO, 0)
        };
        Ok(PresignedUrl::new(signed.map_err(fault)?))
    }

    pub(crate) fn object(&self, key: &Key) -> ObjectName {
        ObjectName { bucket: self.name.clone(), key: key.to_string() }
    }

    pub(crate) fn path(&self, key: &Key) -> Result<Path, StoreError> {
        key.path().map_err(|error| {
            Fault::new(Class::Misconfigured, error.to_string()).into_error(
                self.object(key),
                0,
                Duration::ZERO,
                0,
            )
        })
    }

    fn wrong_answer(&self, key: &Key, answer: &str) -> StoreError {
        Fault::new(Class::Unavailable, format!("the store answered {answer}")).into_error(
            self.object(key),
            1,
            Duration::ZERO,
            0,
        )
    }

    /// Runs `operation` until it succeeds, fails for good, or the policy's bounds are reached.
    ///
    /// It takes boxed futures and not an async closure, because a future that awaits one is not
    /// known to be `Send`, and callers spawn theirs.
    pub(crate) async fn attempt<'a, T>(
        &self,
        object: ObjectName,
        limit: u64,
        mut operation: impl FnMut() -> BoxFuture<'a, Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        let mut attempts = self.policy.begin();
        loop {
            let time = attempts.start();
            let fault = match tokio::time::timeout(time, operation()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::new(Class::Timeout, "timed out"),
            };
            tracing::debug!(%object, attempt = attempts.made(), reason = fault.reason, "attempt failed");
            if !fault.may_pass(&mut attempts) || !attempts.pause(None).await {
                return Err(fault.into_error(object, attempts.made(), attempts.elapsed(), limit));
            }
        }
    }

    /// `Ok` if `error` means that the object does not exist. A missing folder does not mean that.
    fn unless_absent(&self, error: &object_store::Error) -> Result<(), Fault> {
        let fault = Fault::of(error, &self.scrubber);
        if fault.class != Class::Absent {
            return Err(fault);
        }
        match &self.folder {
            Some(folder) if !folder.is_dir() => {
                Err(Fault::new(Class::Misconfigured, "the bucket's folder does not exist"))
            }
            _ => Ok(()),
        }
    }

    /// One attempt at a read. Memory grows with the bytes that arrive, never with the length that a
    /// store claims.
    pub(crate) async fn read_once(
        &self,
        path: &Path,
        max_bytes: u64,
        known: Option<&ETag>,
    ) -> Result<Polled, Fault> {
        let options =
            GetOptions { if_none_match: known.map(|etag| etag.0.clone()), ..GetOptions::default() };
        let result = match self.store.get_opts(path, options).await {
            Ok(result) => result,
            Err(error) if Fault::of(&error, &self.scrubber).class == Class::NotModified => {
                return Ok(Polled::Unchanged);
            }
            Err(error) => return self.unless_absent(&error).map(|()| Polled::Absent),
        };
        let (claimed, etag) = (result.meta.size, result.meta.e_tag.clone().map(ETag));
        if claimed > max_bytes {
            return Err(too_large(max_bytes));
        }
        let mut bytes =
            BytesMut::with_capacity(usize::try_from(claimed.min(MAX_RESERVE)).unwrap_or_default());
        let mut stream = result.into_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.broken(&error, bytes.len() as u64, claimed))?;
            if (bytes.len() + chunk.len()) as u64 > max_bytes {
                return Err(too_large(max_bytes));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() as u64 != claimed {
            let reason = format!("truncated: {} of {claimed} bytes arrived", bytes.len());
            return Err(Fault::new(Class::Unavailable, reason));
        }
        Ok(Polled::Changed(Fetched { bytes: bytes.freeze(), etag }))
    }

    /// The fault of a body that broke off. Whatever error the client reports, the object is neither
    /// absent nor unchanged.
    fn broken(&self, error: &object_store::Error, arrived: u64, claimed: u64) -> Fault {
        let fault = Fault::of(error, &self.scrubber);
        let class = if fault.class == Class::Timeout { Class::Timeout } else { Class::Unavailable };
        let reason = format!("broke off after {arrived} of {claimed} bytes: {}", fault.reason);
        Fault { class, reason, cause: fault.cause }
    }
}

fn too_large(max_bytes: u64) -> Fault {
    Fault::new(Class::TooLarge, format!("larger than {max_bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers await these in spawned tasks.
    #[test]
    fn operations_move_between_threads() {
        fn sends<T: Send>(_: T) {}
        let bucket = Bucket::in_memory("test");
        let key = Key::allowlist();
        sends(bucket.get(&key, 1));
        sends(bucket.get_if_changed(&key, 1, None));
        sends(bucket.list(None, None, 1));
        sends(bucket.create(&key, Bytes::new()));
        sends(bucket.replace(&key, Bytes::new()));
        sends(bucket.presign_get(&key, Duration::ZERO));
    }

    #[tokio::test]
    async fn an_error_names_bucket_and_key() {
        let error = Bucket::in_memory("test")
            .presign_get(&Key::allowlist(), Duration::ZERO)
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with("memory:test/allowlist/v1.json: "), "{error}");
    }
}
