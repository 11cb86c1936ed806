//! The model of texts and pictures that an operator provides.

use super::LearnedError;
use super::config::ModelConfig;
use leoma_protocol::Digest;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The files that decide an embedding, and whether each is required. A missing optional file counts
/// as empty.
const FILES: [(&str, bool); 5] = [
    ("config.json", true),
    ("model.safetensors", true),
    ("tokenizer.json", true),
    ("preprocessor_config.json", false),
    ("tokenizer_config.json", false),
];

/// A folder with a CLIP or SigLIP model, and the identity of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextModel {
    /// The folder.
    pub folder: PathBuf,
    /// The model's family and the digest of its files, as part of a judge's id: `siglip:1f2e3d4c`.
    pub id: String,
}

impl TextModel {
    /// Reads the files once to identify them. Takes a second or two per gigabyte.
    ///
    /// # Errors
    /// A file is missing, or `config.json` describes no supported model.
    pub fn at(folder: &Path) -> Result<Self, LearnedError> {
        let config = ModelConfig::read(&folder.join("config.json"))?;
        let mut digests = Vec::with_capacity(FILES.len());
        for (name, needed) in FILES {
            digests.push(digest_of(&folder.join(name), needed)?);
        }
        let prefix: &[u8] = b"leoma:text-model:v1:";
        let parts: Vec<&[u8]> = std::iter::once(prefix)
            .chain(digests.iter().map(|digest| digest.0.as_slice()))
            .collect();
        let id = format!("{}:{}", config.family.name(), Digest::of_parts(&parts).short());
        Ok(Self { folder: folder.to_owned(), id })
    }
}

fn digest_of(path: &Path, needed: bool) -> Result<Digest, LearnedError> {
    let unreadable = |source| LearnedError::Unreadable {
        path: path.to_owned(),
        source,
        remedy: "it should be a folder as Hugging Face publishes a CLIP or SigLIP model",
    };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => {
            return Ok(Digest::of(b""));
        }
        opened => opened.map_err(unreadable)?,
    };
    Digest::of_reader(file).map_err(unreadable)
}
