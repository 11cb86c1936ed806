//! Text to tokens, by the `tokenizer.json` that was published with a model.
//!
//! CLIP's is a byte-level pair encoding, SigLIP's a unigram model of pieces; Hugging Face's
//! `tokenizers` reads both.

use super::LearnedError;
use super::config::{Family, ModelConfig};
use super::weights::read_bounded;
use std::path::{Path, PathBuf};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

const REMEDY: &str = "it should be the tokenizer.json of a Hugging Face CLIP or SigLIP model";
/// SigLIP 2 has 256 thousand pieces in 34 MB.
const MAX_BYTES: u64 = 128 << 20;
/// Most bytes of a text that are used: tens of times what any model takes.
const MAX_TEXT_BYTES: usize = 1 << 14;

/// A model's tokenizer.
pub(super) struct Tokens {
    path: PathBuf,
    tokenizer: Tokenizer,
    family: Family,
    vocabulary: usize,
    length: usize,
    end_token: u32,
    pad_token: u32,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads `tokenizer.json` from `folder`.
    pub(super) fn load(folder: &Path, config: &ModelConfig) -> Result<Self, LearnedError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_bounded(&path, MAX_BYTES, REMEDY)?;
        let refused = |error: tokenizers::Error| LearnedError::Tokenizer {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(refused)?;
        // The padding token of `tokenizer.json` takes precedence. The length of a text comes from
        // the model.
        let pad_token = tokenizer.get_padding().map(|padding| padding.pad_id);
        let pad_token =
            pad_token.or_else(|| stated_pad(folder, &tokenizer)).unwrap_or(config.pad_token);
        let truncation =
            TruncationParams { max_length: config.text_length, ..TruncationParams::default() };
        tokenizer
            .with_padding(None::<PaddingParams>)
            .with_truncation(Some(truncation))
            .map_err(refused)?;
        let tokens = Self {
            path: path.clone(),
            tokenizer,
            family: config.family,
            vocabulary: config.vocabulary,
            length: config.text_length,
            end_token: config.end_token,
            pad_token,
        };
        // This finds the tokenizer of another model now and not at the first prompt.
        tokens.encode("a photo of a cat")?;
        Ok(tokens)
    }

    /// The tokens of a text, cut to the model's length with the end token kept, and the index of
    /// the token where its embedding is read.
    pub(super) fn encode(&self, text: &str) -> Result<(Vec<u32>, usize), LearnedError> {
        let refused = |reason: String| LearnedError::Tokenizer { path: self.path.clone(), reason };
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        let encoding =
            self.tokenizer.encode(text, true).map_err(|error| refused(error.to_string()))?;
        let mut tokens = encoding.get_ids().to_vec();
        tokens.truncate(self.length);
        let at = match self.family {
            Family::Clip => self.end_of(&tokens).ok_or_else(|| {
                refused(format!(
                    "it does not end a text with token {}, the eos_token_id",
                    self.end_token
                ))
            })?,
            // The model was trained on texts of full length without a mask, and is read at the last
            // token.
            Family::SigLip => {
                tokens.resize(self.length, self.pad_token);
                self.length - 1
            }
        };
        match tokens.iter().find(|token| **token as usize >= self.vocabulary) {
            None => Ok((tokens, at)),
            Some(token) => Err(refused(format!(
                "it gives token {token}, and the model's vocab_size is {}",
                self.vocabulary
            ))),
        }
    }

    /// The end token, where CLIP's embedding is read. Old configurations state 2 and mean the first
    /// occurrence of the largest token.
    fn end_of(&self, tokens: &[u32]) -> Option<usize> {
        let end = if self.end_token == 2 { tokens.iter().copied().max()? } else { self.end_token };
        tokens.iter().position(|token| *token == end)
    }
}

/// The padding token of `tokenizer_config.json`, if the file exists and states one.
fn stated_pad(folder: &Path, tokenizer: &Tokenizer) -> Option<u32> {
    let bytes = read_bounded(&folder.join("tokenizer_config.json"), MAX_BYTES, REMEDY).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let pad = config.get("pad_token")?;
    tokenizer.token_to_id(pad.as_str().or_else(|| pad.get("content")?.as_str())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(name: &str) -> Tokens {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("references/tables/learned").join(name);
        Tokens::load(&folder, &ModelConfig::read(&folder.join("config.json")).unwrap()).unwrap()
    }

    #[test]
    fn texts_have_the_tokens_that_transformers_gives_them() {
        for (name, table) in [
            ("clip", include_str!("../../references/tables/learned/clip.json")),
            ("siglip", include_str!("../../references/tables/learned/siglip.json")),
        ] {
            let (tokens, table): (_, serde_json::Value) =
                (tokens(name), serde_json::from_str(table).unwrap());
            for case in table["texts"].as_array().unwrap() {
                let wanted: Vec<u32> = serde_json::from_value(case["tokens"].clone()).unwrap();
                let (found, at) = tokens.encode(case["text"].as_str().unwrap()).unwrap();
                if name == "siglip" {
                    assert_eq!((found, at), (wanted, 15), "{}", case["text"]);
                } else {
                    // Not padded: what comes after the end token is never read.
                    assert_eq!(found, wanted[..found.len()], "{}", case["text"]);
                    assert_eq!(found[at], tokens.end_token, "{}", case["text"]);
                    assert!(!found[..at].contains(&tokens.end_token), "{}", case["text"]);
                }
            }
        }
    }

    #[test]
    fn a_text_too_long_keeps_its_end_token() {
        for (name, end) in [("clip", tokens("clip").end_token), ("siglip", 1)] {
            let tokens = tokens(name);
            let (short, _) = tokens
                .encode("a dog runs over the hill and sees a train that crosses the bridge")
                .unwrap();
            assert_eq!((short.len(), short[15]), (16, end), "{name}");
            // Cut within a character of three bytes, and long before the end.
            let (long, at) = tokens.encode(&"東".repeat(1 << 20)).unwrap();
            assert_eq!((long.len(), long[15], at), (16, end, 15), "{name}");
        }
    }

    #[test]
    fn old_configurations_mean_the_largest_token_by_2() {
        let mut tokens = tokens("clip");
        let wanted = tokens.encode("a cat").unwrap();
        tokens.end_token = 2;
        assert_eq!(tokens.encode("a cat").unwrap(), wanted);
    }
}
