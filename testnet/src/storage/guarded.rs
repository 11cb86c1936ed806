//! `s3s-fs` with what it lacks: conditional puts that are atomic, digests that are checked before
//! anything is written, keys that stay in their bucket, `If-None-Match` on reads, and a full disk
//! that says so.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::{RwLock, Semaphore};

/// Largest object: a source clip has at most 200 MB.
const MAX_OBJECT_BYTES: usize = 256 * 1024 * 1024;
/// Uploads that are held in memory at a time, to be checked before anything is written.
const MAX_UPLOADS: usize = 8;
/// Locks that the keys share: enough that unrelated keys rarely wait for each other.
const LOCKS: usize = 64;
/// Longest name of a file on Linux's file systems.
const MAX_FILE_NAME: usize = 255;
/// What `s3s-fs` puts around bucket and key, both in base64, in the names of its own files.
const SIDECAR_NAME: usize = ".bucket-.object-.metadata.json".len();

/// The buckets under one folder.
#[derive(Debug)]
pub(super) struct GuardedFs {
    inner: FileSystem,
    root: PathBuf,
    /// A put of a key excludes other puts and the start of reads of it.
    locks: Vec<RwLock<()>>,
    uploads: Semaphore,
}

impl GuardedFs {
    pub(super) fn new(root: &Path) -> Result<Self, s3s_fs::Error> {
        Ok(Self {
            inner: FileSystem::new(root)?,
            root: root.to_owned(),
            locks: (0..LOCKS).map(|_| RwLock::new(())).collect(),
            uploads: Semaphore::new(MAX_UPLOADS),
        })
    }

    fn lock(&self, bucket: &str, key: &str) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        (bucket, key).hash(&mut hasher);
        &self.locks[hasher.finish() as usize % LOCKS]
    }

    /// Only files are objects; `s3s-fs` would open a folder too.
    fn must_exist(&self, bucket: &str, key: &str) -> S3Result<()> {
        if self.root.join(bucket).join(key).is_file() { Ok(()) } else { Err(s3_error!(NoSuchKey)) }
    }
}

/// A key must name a file inside its bucket's folder: `s3s-fs` keeps paths inside the common root
/// only.
fn check_key(bucket: &str, key: &str) -> S3Result<()> {
    if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) || key.contains('\0') {
        return Err(s3_error!(InvalidArgument, "the key has an empty, `.` or `..` segment"));
    }
    let base64 = |text: &str| (text.len() * 4).div_ceil(3);
    let longest = key.split('/').map(str::len).max().unwrap_or_default();
    if longest > MAX_FILE_NAME || SIDECAR_NAME + base64(bucket) + base64(key) > MAX_FILE_NAME {
        return Err(s3_error!(KeyTooLongError));
    }
    Ok(())
}

fn check_prefix(prefix: Option<&str>) -> S3Result<()> {
    if prefix.is_some_and(|prefix| prefix.split('/').any(|segment| matches!(segment, "." | ".."))) {
        return Err(s3_error!(InvalidArgument, "the prefix has a `.` or `..` segment"));
    }
    Ok(())
}

/// The whole body, or an error that leaves nothing behind.
async fn collect(body: Option<StreamingBlob>, announced: Option<i64>) -> S3Result<Bytes> {
    let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?;
        if bytes.len() + chunk.len() > MAX_OBJECT_BYTES {
            return Err(s3_error!(EntityTooLarge));
        }
        bytes.extend_from_slice(&chunk);
    }
    if announced.is_some_and(|announced| usize::try_from(announced) != Ok(bytes.len())) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(bytes.freeze())
}

/// Compares the digests that the client sent with those of the bytes that arrived.
fn check_digests(input: &PutObjectInput, bytes: &[u8]) -> S3Result<()> {
    if let Some(expected) = &input.content_md5
        && BASE64_STANDARD.decode(expected).ok().as_deref() != Some(Md5::checksum(bytes).as_ref())
    {
        return Err(s3_error!(BadDigest, "Content-MD5 does not match"));
    }
    let mut hasher = ChecksumHasher {
        crc32: input.checksum_crc32.as_ref().map(|_| Default::default()),
        crc32c: input.checksum_crc32c.as_ref().map(|_| Default::default()),
        sha1: input.checksum_sha1.as_ref().map(|_| Default::default()),
        sha256: input.checksum_sha256.as_ref().map(|_| Default::default()),
        crc64nvme: input.checksum_crc64nvme.as_ref().map(|_| Default::default()),
    };
    hasher.update(bytes);
    let found = hasher.finalize();
    let same = found.checksum_crc32 == input.checksum_crc32
        && found.checksum_crc32c == input.checksum_crc32c
        && found.checksum_sha1 == input.checksum_sha1
        && found.checksum_sha256 == input.checksum_sha256
        && found.checksum_crc64nvme == input.checksum_crc64nvme;
    if same { Ok(()) } else { Err(s3_error!(BadDigest, "a checksum does not match")) }
}

/// Takes the checksums that came after the body into the input.
fn take_trailers(request: &mut S3Request<PutObjectInput>) {
    let Some(trailers) = request.trailing_headers.take().and_then(|trailers| trailers.take())
    else {
        return;
    };
    let text = |name: &str| {
        trailers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
    };
    let input = &mut request.input;
    input.checksum_crc32 = text("x-amz-checksum-crc32").or(input.checksum_crc32.take());
    input.checksum_crc32c = text("x-amz-checksum-crc32c").or(input.checksum_crc32c.take());
    input.checksum_sha1 = text("x-amz-checksum-sha1").or(input.checksum_sha1.take());
    input.checksum_sha256 = text("x-amz-checksum-sha256").or(input.checksum_sha256.take());
    input.checksum_crc64nvme = text("x-amz-checksum-crc64nvme").or(input.checksum_crc64nvme.take());
}

/// A full disk is 507, not one of many 500s: clients must not hammer it.
fn name_full_disk(error: S3Error) -> S3Error {
    let source = error.source().map(|source| source as &(dyn Error + 'static));
    let full = std::iter::successors(source, |error: &&(dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
    if !full {
        return error;
    }
    let mut named =
        S3Error::with_message(S3ErrorCode::Custom("InsufficientStorage".into()), "no space left");
    named.set_status_code(axum::http::StatusCode::INSUFFICIENT_STORAGE);
    named
}

/// `If-None-Match` and `If-Match` of reads.
fn check_conditions(
    etag: Option<&ETag>,
    none_match: &Option<ETagCondition>,
    matches: &Option<ETagCondition>,
) -> S3Result<()> {
    let holds = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => etag.is_some_and(|etag| etag.value() == wanted.value()),
    };
    if matches.as_ref().is_some_and(|condition| !holds(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if none_match.as_ref().is_some_and(holds) { Err(s3_error!(NotModified)) } else { Ok(()) }
}

#[async_trait::async_trait]
impl S3 for GuardedFs {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        check_key(&request.input.bucket, &request.input.key)?;
        if matches!(request.input.if_none_match, Some(ETagCondition::ETag(_))) {
            return Err(s3_error!(NotImplemented, "If-None-Match takes `*` only"));
        }
        let _upload = self.uploads.acquire().await;
        let bytes = collect(request.input.body.take(), request.input.content_length).await?;
        take_trailers(&mut request);
        check_digests(&request.input, &bytes)?;
        // All that were sent are checked; one that was only announced has nothing to be compared
        // with.
        request.input.checksum_algorithm = None;
        request.input.content_length = i64::try_from(bytes.len()).ok();
        request.input.body = Some(StreamingBlob::from(Body::from(bytes)));
        let _exclusive = self.lock(&request.input.bucket, &request.input.key).write().await;
        self.inner.put_object(request).await.map_err(name_full_disk)
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        check_key(&bucket, &key)?;
        let none_match = request.input.if_none_match.clone();
        let matches = request.input.if_match.clone();
        let _shared = self.lock(&bucket, &key).read().await;
        self.must_exist(&bucket, &key)?;
        let response = self.inner.get_object(request).await?;
        check_conditions(response.output.e_tag.as_ref(), &none_match, &matches)?;
        Ok(response)
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        check_key(&bucket, &key)?;
        let none_match = request.input.if_none_match.clone();
        let matches = request.input.if_match.clone();
        let _shared = self.lock(&bucket, &key).read().await;
        self.must_exist(&bucket, &key)?;
        let response = self.inner.head_object(request).await?;
        check_conditions(response.output.e_tag.as_ref(), &none_match, &matches)?;
        Ok(response)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        check_key(&bucket, &key)?;
        let _exclusive = self.lock(&bucket, &key).write().await;
        if self.must_exist(&bucket, &key).is_err() {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        self.inner.delete_object(request).await
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        check_prefix(request.input.prefix.as_deref())?;
        self.inner.list_objects(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        check_prefix(request.input.prefix.as_deref())?;
        self.inner.list_objects_v2(request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.inner.head_bucket(request).await
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.inner.get_bucket_location(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, change: impl FnOnce(&mut PutObjectInput)) -> S3Request<PutObjectInput> {
        let mut input = PutObjectInput {
            bucket: "leoma-one".to_owned(),
            key: key.to_owned(),
            body: Some(StreamingBlob::from(Body::from(Bytes::from_static(b"bytes")))),
            ..Default::default()
        };
        change(&mut input);
        S3Request {
            input,
            method: axum::http::Method::PUT,
            uri: Default::default(),
            headers: Default::default(),
            extensions: Default::default(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        }
    }

    fn server() -> (tempfile::TempDir, GuardedFs) {
        let folder = tempfile::tempdir().unwrap();
        for bucket in ["leoma-one", "leoma-two"] {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        let server = GuardedFs::new(folder.path()).unwrap();
        (folder, server)
    }

    #[tokio::test]
    async fn a_key_does_not_lead_into_another_bucket() {
        let (folder, server) = server();
        for key in ["../leoma-two/key", "a/../../leoma-two/key", "/etc/passwd", "a//b", "./a", "a/"]
        {
            let error = server.put_object(put(key, |_| {})).await.unwrap_err();
            assert_eq!(error.code(), &S3ErrorCode::InvalidArgument, "{key}");
        }
        assert!(std::fs::read_dir(folder.path().join("leoma-two")).unwrap().next().is_none());
        let error = server.put_object(put(&"k".repeat(200), |_| {})).await.unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::KeyTooLongError);
    }

    #[tokio::test]
    async fn a_wrong_digest_leaves_nothing() {
        let (folder, server) = server();
        let wrong = "AAAAAAAAAAAAAAAAAAAAAA==".to_owned();
        let requests = [
            put("key", |input| input.content_md5 = Some(wrong.clone())),
            put("key", |input| input.checksum_sha256 = Some(wrong.clone())),
            put("key", |input| input.checksum_crc32 = Some(wrong.clone())),
            put("key", |input| input.content_length = Some(6)),
        ];
        for request in requests {
            assert!(server.put_object(request).await.is_err());
            assert!(std::fs::read_dir(folder.path().join("leoma-one")).unwrap().next().is_none());
        }
        let right = BASE64_STANDARD.encode(Md5::checksum(b"bytes"));
        server.put_object(put("key", |input| input.content_md5 = Some(right))).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join("leoma-one/key")).unwrap(), b"bytes");
    }

    #[tokio::test]
    async fn a_full_disk_is_named() {
        let error =
            name_full_disk(S3Error::internal_error(io::Error::from(io::ErrorKind::StorageFull)));
        assert_eq!(error.status_code().unwrap().as_u16(), 507);
        let error = name_full_disk(S3Error::internal_error(io::Error::other("x")));
        assert_eq!(error.code(), &S3ErrorCode::InternalError);
    }
}
