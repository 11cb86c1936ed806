//! The Hugging Face model API: whether a revision exists, and the hash of its weights.

use leoma_protocol::Digest;
use leoma_storage::Secret;
use reqwest::Client;
use serde::Deserialize;

use super::chutes::path_url;
use super::whose_fault::Control;
use crate::config::ServicesConfig;
use crate::outbound::{Pace, Reach, Service, ServiceError, ask_paced};

/// Largest answer: a model with a thousand files stays below it.
const MAX_MODEL_BYTES: usize = 4 * 1024 * 1024;
const SERVICE: Service = Service {
    error_code: error_text,
    ..Service::api("the Hugging Face API", "HF_TOKEN", MAX_MODEL_BYTES)
};
/// Endings of weight files.
const WEIGHT_ENDINGS: [&str; 5] = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];
/// A model that everyone may read, and that has been there since 2019: what our token cannot read
/// of it is the token's fault.
const PUBLIC_MODEL: [&str; 2] = ["openai-community", "gpt2"];
/// `X-Error-Code` of what is wrong with a repository. It is also given, with 401, to those who may
/// not know that a repository exists.
const NAMED_ERRORS: [&str; 5] =
    ["RepoNotFound", "GatedRepo", "DisabledRepo", "RevisionNotFound", "EntryNotFound"];

/// A model at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// The commit hash that the revision resolves to.
    pub sha: String,
    /// SHA-256 of the sorted, concatenated LFS hashes of its weight files; `None` without weights,
    /// and where a hash is withheld.
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
struct ModelId {
    #[serde(rename = "id")]
    _id: String,
}

/// Where a large file's hash stands: under either name, or both.
#[derive(Default, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    oid: Option<String>,
}

impl Lfs {
    /// Its hash as text, or `None` where it names none.
    fn stated(&self) -> Option<&str> {
        self.sha256.as_deref().or(self.oid.as_deref())
    }
}

/// The 64 digits of a hash, or `None` for anything else, such as the 64 asterisks that are shown to
/// those who may not read a gated file.
fn hash_digits(stated: &str) -> Option<String> {
    let digits = stated.trim().strip_prefix("sha256:").unwrap_or(stated.trim());
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| digits.to_ascii_lowercase())
}

/// The service's own words from an error's body, `{"error": "…"}`.
fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Reply {
        error: String,
    }
    let reply: Option<Reply> = serde_json::from_slice(body).ok();
    reply.map(|reply| reply.error.chars().take(120).collect()).unwrap_or_default()
}

/// A client of the API.
#[derive(Clone, Debug)]
pub(crate) struct HuggingFaceClient {
    http: Client,
    reach: Reach,
    base: String,
    token: Option<Secret>,
    pace: Pace,
}

impl HuggingFaceClient {
    /// A client with the operator's address, token and pace.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn new(reach: Reach, config: &ServicesConfig) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reach.api_client()?,
            reach,
            base: config.hf_api_url.clone(),
            token: config.hf_token.clone(),
            pace: Pace::per_minute(config.hf_per_minute),
        })
    }

    /// Looks a model's revision up.
    pub(crate) async fn model(&self, name: &str, revision: &str) -> Result<Model, ServiceError> {
        let path =
            ["api", "models"].into_iter().chain(name.split('/')).chain(["revision", revision]);
        let body = self.get(path, Some("blobs=true")).await?;
        let info: ModelInfo = serde_json::from_slice(&body)
            .map_err(|_| ServiceError::unreadable(&SERVICE, "not JSON with sha and siblings"))?;
        let weights_hash = weights_hash(&info.siblings);
        Ok(Model { sha: info.sha, weights_hash })
    }

    /// Whether the service answers us, and accepts our token, for a model that everyone may read.
    pub(crate) async fn control(&self) -> Control {
        match self.get(["api", "models"].into_iter().chain(PUBLIC_MODEL), None).await {
            // A page from somebody else who answers in its place proves nothing.
            Ok(body) if serde_json::from_slice::<ModelId>(&body).is_ok() => Control::Accepted,
            Ok(_) => Control::Unreachable,
            Err(
                ServiceError::Unauthorised { status, .. } | ServiceError::Refused { status, .. },
            ) => Control::Refused(status),
            Err(_) => Control::Unreachable,
        }
    }

    /// Whether an error says what is wrong with the repository itself. Without a name it may also
    /// be about us, and with a token `RepoNotFound` may mean that the token is bad. One that
    /// (nearly) all repositories show is checked against the control all the same.
    pub(crate) fn is_named(&self, error: &ServiceError) -> bool {
        match error {
            ServiceError::Unauthorised { status, code, .. } => {
                NAMED_ERRORS.contains(&code.as_str()) && !(*status == 401 && self.token.is_some())
            }
            ServiceError::Refused { code, .. } => NAMED_ERRORS.contains(&code.as_str()),
            _ => false,
        }
    }

    async fn get<'a>(
        &self,
        path: impl Iterator<Item = &'a str>,
        query: Option<&str>,
    ) -> Result<bytes::Bytes, ServiceError> {
        let mut url =
            path_url(&self.base, path).ok_or_else(|| ServiceError::not_found(&SERVICE))?;
        url.set_query(query);
        self.reach
            .check(&url)
            .await
            .map_err(|error| ServiceError::out_of_reach(&SERVICE, &error))?;
        ask_paced(&SERVICE, &self.pace, || {
            let request = self.http.get(url.clone());
            match &self.token {
                Some(token) => request.bearer_auth(token.expose()),
                None => request,
            }
        })
        .await
    }
}

fn weights_hash(files: &[Sibling]) -> Option<Digest> {
    let stated = files
        .iter()
        .filter(|file| WEIGHT_ENDINGS.iter().any(|ending| file.rfilename.ends_with(ending)))
        .filter_map(|file| file.lfs.as_ref()?.stated());
    let mut hashes: Vec<String> = stated.map(hash_digits).collect::<Option<_>>()?;
    if hashes.is_empty() {
        return None;
    }
    hashes.sort_unstable();
    Some(Digest::of(hashes.concat().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(weights: &[(&str, serde_json::Value)]) -> Vec<Sibling> {
        let file = |(name, lfs): &(&str, serde_json::Value)| {
            serde_json::from_value(serde_json::json!({"rfilename": name, "lfs": lfs})).unwrap()
        };
        weights.iter().map(file).collect()
    }

    fn sha(digits: &str) -> serde_json::Value {
        serde_json::json!({"sha256": digits.repeat(32)})
    }

    #[test]
    fn the_weights_hash_ignores_order_and_other_files() {
        let one =
            files(&[("b.safetensors", sha("bb")), ("a.bin", sha("aa")), ("README.md", sha("cc"))]);
        let null = serde_json::Value::Null;
        let two = files(&[("x.pth", sha("aa")), ("y.ckpt", sha("bb")), ("config.json", null)]);
        let expected = Digest::of(["aa".repeat(32), "bb".repeat(32)].concat().as_bytes());
        assert_eq!(weights_hash(&one), Some(expected));
        assert_eq!(weights_hash(&one), weights_hash(&two));
        assert_eq!(weights_hash(&files(&[("README.md", sha("cc"))])), None);
    }

    #[test]
    fn h4_a_hash_is_the_same_under_every_name_and_spelling() {
        let digits = "aB".repeat(32);
        let expected = weights_hash(&files(&[("a.bin", sha("ab"))]));
        assert!(expected.is_some());
        for lfs in [
            serde_json::json!({"sha256": digits, "oid": digits, "size": 1, "pointerSize": 135}),
            serde_json::json!({"oid": digits}),
            serde_json::json!({"oid": format!("sha256:{digits}")}),
            serde_json::json!({"sha256": digits.to_uppercase()}),
            serde_json::json!({"sha256": null, "oid": digits}),
        ] {
            assert_eq!(weights_hash(&files(&[("a.bin", lfs.clone())])), expected, "{lfs}");
        }
        // A file that names no hash is like one outside of LFS.
        for lfs in [serde_json::json!({}), serde_json::Value::Null] {
            let two = files(&[("a.bin", sha("ab")), ("b.bin", lfs.clone())]);
            assert_eq!(weights_hash(&two), expected, "{lfs}");
            assert_eq!(weights_hash(&files(&[("a.bin", lfs)])), None);
        }
    }

    #[test]
    fn h3_a_withheld_hash_is_no_hash() {
        let hidden = || serde_json::json!({"sha256": "*".repeat(64)});
        assert_eq!(weights_hash(&files(&[("a.bin", hidden())])), None);
        assert_eq!(weights_hash(&files(&[("a.bin", hidden()), ("b.bin", sha("aa"))])), None);
    }
}
