//! A read-only store over presigned URLs, for a peer's bucket to which there are no keys.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::Method;
use http::header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH};
use object_store::client::{HttpClient, HttpError, HttpRequestBody};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::layout::Key;
use crate::secret::PresignedUrl;

const STORE: &str = "presigned";

/// Reads the objects that there are URLs for. Access to all others is denied, which does not mean
/// that they are absent.
pub(crate) struct PresignedStore {
    client: HttpClient,
    urls: BTreeMap<Key, PresignedUrl>,
}

impl PresignedStore {
    pub(crate) fn new(client: HttpClient, urls: BTreeMap<Key, PresignedUrl>) -> Self {
        Self { client, urls }
    }

    fn url(&self, location: &Path) -> Result<&PresignedUrl> {
        let key = location.as_ref().parse::<Key>().ok();
        key.and_then(|key| self.urls.get(&key)).ok_or_else(|| Error::PermissionDenied {
            path: location.to_string(),
            source: "the grant has no URL for this object".into(),
        })
    }
}

impl fmt::Debug for PresignedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresignedStore").field("urls", &self.urls.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for PresignedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} presigned URLs", self.urls.len())
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: STORE, source: Box::new(source) }
}

fn read_only(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

#[derive(Debug, thiserror::Error)]
#[error("an answer without a readable {0}")]
struct MissingHeader(&'static str);

#[async_trait]
impl ObjectStore for PresignedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut request =
            http::Request::builder().method(Method::GET).uri(self.url(location)?.expose().as_str());
        if let Some(etag) = &options.if_none_match {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = request.body(HttpRequestBody::empty()).map_err(generic)?;
        let response = self.client.execute(request).await.map_err(generic)?;
        let header = |name| {
            response.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok())
        };
        let size = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let size: u64 = size.ok_or_else(|| generic(MissingHeader("Content-Length")))?;
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: Default::default(),
            size,
            e_tag: header(ETAG).map(ToOwned::to_owned),
            version: None,
        };
        let body =
            response.into_body().bytes_stream().map_err(|error: HttpError| generic(error)).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range: 0..size,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only("put"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only("put"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only("delete")) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(read_only("list")) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only("copy"))
    }
}
