//! The configuration of the stand-ins.

use std::fmt;
use std::path::PathBuf;

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::miners::Role;

/// API keys that a service accepts.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys(Vec<String>);

impl Keys {
    pub(super) fn accept(&self, header: Option<&HeaderValue>) -> bool {
        header.is_some_and(|value| self.0.iter().any(|key| key.as_bytes() == value.as_bytes()))
    }

    pub(super) fn accept_bearer(&self, header: Option<&HeaderValue>) -> bool {
        let key = header.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        key.is_some_and(|key| self.0.iter().any(|known| known.as_bytes() == key))
    }
}

impl From<Vec<String>> for Keys {
    fn from(keys: Vec<String>) -> Self {
        Self(keys)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// One miner as the services know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerEntry {
    /// Name of its deployment, the first part of its address.
    pub slug: String,
    /// Its role.
    pub role: Role,
    /// Id of its deployment.
    pub chute_id: String,
    /// `owner/name` in the registry.
    pub model_name: String,
    /// Full commit hash.
    pub model_revision: String,
    /// Sha256 of each weight file.
    pub weights_sha256: Vec<String>,
}

/// The configuration of the stand-ins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServicesConfig {
    /// Keys of the Chutes API and its deployments.
    pub chutes_keys: Keys,
    /// Keys of the language model.
    pub gemini_keys: Keys,
    /// The miners.
    pub miners: Vec<MinerEntry>,
    /// Folder of source clips.
    pub corpus: PathBuf,
    /// Folder for working files.
    pub work: PathBuf,
    /// Videos encoded at the same time.
    pub encoders: usize,
}
