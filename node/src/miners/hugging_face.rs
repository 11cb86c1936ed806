//! The Hugging Face model API: whether a revision exists, and the hash of its weights.

use leoma_protocol::Digest;
use leoma_storage::Secret;
use reqwest::Client;
use serde::Deserialize;

use super::chutes::path_url;
use crate::config::ServicesConfig;
use crate::outbound::{Service, ServiceError, ask};

/// Largest answer: a model with a thousand files stays below it.
const MAX_MODEL_BYTES: usize = 4 * 1024 * 1024;
const SERVICE: Service = Service::api("the Hugging Face API", "HF_TOKEN", MAX_MODEL_BYTES);
/// Endings of weight files.
const WEIGHT_ENDINGS: [&str; 5] = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];

/// A model at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// The commit hash that the revision resolves to.
    pub sha: String,
    /// SHA-256 of the sorted, concatenated LFS hashes of its weight files; `None` without weights.
    pub weights_hash: Option<Digest>,
}

#[derive(Deserialize)]
struct ModelInfo {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: String,
}

/// A client of the API.
#[derive(Clone, Debug)]
pub(crate) struct HuggingFaceClient {
    http: Client,
    base: String,
    token: Option<Secret>,
}

impl HuggingFaceClient {
    /// A client with the operator's address and token.
    pub(crate) fn new(http: Client, config: &ServicesConfig) -> Self {
        Self { http, base: config.hf_api_url.clone(), token: config.hf_token.clone() }
    }

    /// Looks a model's revision up.
    pub(crate) async fn model(&self, name: &str, revision: &str) -> Result<Model, ServiceError> {
        let path =
            ["api", "models"].into_iter().chain(name.split('/')).chain(["revision", revision]);
        let mut url =
            path_url(&self.base, path).ok_or_else(|| ServiceError::not_found(&SERVICE))?;
        url.set_query(Some("blobs=true"));
        let body = ask(&SERVICE, || {
            let request = self.http.get(url.clone());
            match &self.token {
                Some(token) => request.bearer_auth(token.expose()),
                None => request,
            }
        })
        .await?;
        let info: ModelInfo = serde_json::from_slice(&body)
            .map_err(|_| ServiceError::unreadable(&SERVICE, "not JSON with sha and siblings"))?;
        let weights_hash = weights_hash(&info.siblings);
        Ok(Model { sha: info.sha, weights_hash })
    }
}

fn weights_hash(files: &[Sibling]) -> Option<Digest> {
    let weights = files
        .iter()
        .filter(|file| WEIGHT_ENDINGS.iter().any(|ending| file.rfilename.ends_with(ending)));
    let mut hashes: Vec<&str> =
        weights.filter_map(|file| file.lfs.as_ref()).map(|lfs| lfs.sha256.as_str()).collect();
    if hashes.is_empty() {
        return None;
    }
    hashes.sort_unstable();
    Some(Digest::of(hashes.concat().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, sha: Option<&str>) -> Sibling {
        Sibling { rfilename: name.into(), lfs: sha.map(|sha| Lfs { sha256: sha.into() }) }
    }

    #[test]
    fn the_weights_hash_ignores_order_and_other_files() {
        let one = [
            file("b.safetensors", Some("bb")),
            file("a.bin", Some("aa")),
            file("README.md", Some("cc")),
        ];
        let two =
            [file("x.pth", Some("aa")), file("y.ckpt", Some("bb")), file("config.json", None)];
        assert_eq!(weights_hash(&one), Some(Digest::of(b"aabb")));
        assert_eq!(weights_hash(&one), weights_hash(&two));
        assert_eq!(weights_hash(&[file("README.md", Some("cc"))]), None);
    }
}
