//! The registry of models, as Hugging Face serves it.

use leoma_protocol::Digest;
use leoma_storage::Secret;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::known::KnownModel;
use super::lock::{Lock, LockedFile, is_commit};
use crate::config::ServicesConfig;
use crate::outbound::{Reach, Service, ServiceError, ask};

/// Largest answer about a commit.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Largest file that is pulled: the models here have at most 1.7 GB.
const MAX_FILE_BYTES: u64 = 16 << 30;
const SERVICE: Service = Service::api("the model registry", "HF_TOKEN", MAX_ANSWER_BYTES);

/// Why a request to the registry failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    /// It does not answer, or refuses.
    #[error(
        "{repository}: {source}; check HF_API_URL and the network, and for a gated model HF_TOKEN"
    )]
    Service { repository: String, source: ServiceError },
    /// Its answer is not one about a commit.
    #[error("{repository}: {reason}")]
    Answer { repository: String, reason: String },
    /// The commit lacks a file.
    #[error(
        "{repository} at {revision} has no {file}: \
         name another commit with --revision, or copy the folder with --from"
    )]
    NoFile { repository: String, revision: String, file: String },
    /// A file's bytes do not arrive.
    #[error("{file}: {reason}")]
    File {
        file: String,
        reason: String,
        /// Whether another try may end differently.
        passing: bool,
    },
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    oid: Option<String>,
    size: Option<u64>,
}

/// The registry.
#[derive(Debug)]
pub(crate) struct Hub {
    api: Client,
    files: Client,
    reach: Reach,
    base: String,
    token: Option<Secret>,
}

/// The bytes of a file from some place on.
#[derive(Debug)]
pub(super) struct Rest {
    /// How many bytes of the file come before.
    pub(super) from: u64,
    pub(super) response: Response,
}

impl Hub {
    /// A client with the operator's address and token.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn new(config: &ServicesConfig) -> Result<Self, reqwest::Error> {
        let reach = Reach::new(config.local_network);
        let (base, token) = (config.hf_api_url.clone(), config.hf_token.clone());
        Ok(Self { api: reach.api_client()?, files: reach.file_client()?, reach, base, token })
    }

    fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<Url> {
        let mut url: Url = self.base.parse().ok()?;
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        Some(url)
    }

    /// What a model's commit holds of the files that are needed. `revision` is a branch or a
    /// commit.
    ///
    /// # Errors
    /// [`HubError`]; the commit lacks a needed file, or states no usable size for one.
    pub(super) async fn commit(
        &self,
        model: &KnownModel,
        revision: &str,
    ) -> Result<Lock, HubError> {
        let repository = model.repository.to_owned();
        let answer = |reason: &str| HubError::Answer {
            repository: repository.clone(),
            reason: format!("the registry's answer {reason}"),
        };
        let name = ["api", "models"].into_iter().chain(model.repository.split('/'));
        let mut url = self
            .url(name.chain(["revision", revision]))
            .ok_or_else(|| answer("has no address: check HF_API_URL"))?;
        url.set_query(Some("blobs=true"));
        let refused = |source| HubError::Service { repository: repository.clone(), source };
        self.check(&url).await.map_err(refused)?;
        let body =
            ask(&SERVICE, || self.authorised(self.api.get(url.clone()))).await.map_err(refused)?;
        let commit: Commit = serde_json::from_slice(&body)
            .map_err(|_| answer("is not JSON with sha and siblings"))?;
        if !is_commit(&commit.sha) {
            return Err(answer("names no commit"));
        }
        let find = |file: &str| commit.siblings.iter().find(|sibling| sibling.rfilename == file);
        let mut files = Vec::new();
        for file in model.needed {
            let sibling = find(file).ok_or_else(|| HubError::NoFile {
                repository: repository.clone(),
                revision: commit.sha.clone(),
                file: (*file).to_owned(),
            })?;
            files.push(locked(sibling).ok_or_else(|| answer("states no usable size or sum"))?);
        }
        let optional = model.optional.iter().filter_map(|file| find(file));
        files.extend(optional.filter_map(locked));
        Ok(Lock::new(repository, commit.sha, files))
    }

    /// A file's bytes from `from` on, or from the start where the registry cannot skip.
    ///
    /// # Errors
    /// [`HubError::File`].
    pub(super) async fn file(
        &self,
        lock: &Lock,
        file: &LockedFile,
        from: u64,
    ) -> Result<Rest, HubError> {
        let failed =
            |reason: String, passing| HubError::File { file: file.name.clone(), reason, passing };
        let path = lock.repository.split('/').chain(["resolve", &lock.revision, &file.name]);
        let url = self.url(path).ok_or_else(|| failed("it has no address".to_owned(), false))?;
        self.check(&url).await.map_err(|error| failed(error.to_string(), false))?;
        let mut request = self.authorised(self.files.get(url));
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        // A file's address at its store may hold a key: it stays out of the error.
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let response = sent.map_err(|error| failed(error.to_string(), true))?;
        match response.status() {
            StatusCode::OK => Ok(Rest { from: 0, response }),
            StatusCode::PARTIAL_CONTENT if begins_at(&response, from) => {
                Ok(Rest { from, response })
            }
            StatusCode::PARTIAL_CONTENT => {
                Err(failed("other bytes came than were asked for".to_owned(), true))
            }
            status => {
                let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
                let passing = status.is_server_error() || busy.contains(&status);
                Err(failed(format!("the registry answered {status}"), passing))
            }
        }
    }

    async fn check(&self, url: &Url) -> Result<(), ServiceError> {
        self.reach.check(url).await.map_err(|error| ServiceError::out_of_reach(&SERVICE, &error))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }
}

fn begins_at(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// A file as the registry states it. Small files have no sum, large ones have to have one.
fn locked(sibling: &Sibling) -> Option<LockedFile> {
    let (size, sha256) = match &sibling.lfs {
        Some(lfs) => {
            let sum = lfs.sha256.as_deref().or(lfs.oid.as_deref())?;
            let sum: Digest = sum.strip_prefix("sha256:").unwrap_or(sum).parse().ok()?;
            (lfs.size.or(sibling.size)?, Some(sum))
        }
        None => (sibling.size?, None),
    };
    (size <= MAX_FILE_BYTES).then(|| LockedFile {
        name: sibling.rfilename.clone(),
        size,
        sha256,
        stated: sha256.is_some(),
    })
}
