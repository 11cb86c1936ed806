//! The sizes of a text-image model, from the `config.json` beside its weights.

use super::weights::read_bounded;
use super::{ConfigFault, LearnedError};
use serde::Deserialize;
use std::path::Path;

const MAX_BYTES: u64 = 1 << 20;
const REMEDY: &str = "it should be the config.json of a Hugging Face CLIP or SigLIP model";

// No published model comes near these limits, except in the number of weights: the largest CLIP has
// 2.5 billion.
const MAX_WIDTH: usize = 8192;
const MAX_INNER_WIDTH: usize = 1 << 15;
const MAX_LAYERS: usize = 96;
const MAX_VOCABULARY: usize = 1 << 19;
const MAX_TEXT_LENGTH: usize = 1024;
const MAX_PICTURE_SIDE: usize = 1024;
const MAX_PATCHES: usize = 4096;
const MAX_WEIGHTS: u64 = 3_000_000_000;

/// The family of a model, which decides its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Clip,
    SigLip,
}

impl Family {
    /// Its name in `config.json`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::SigLip => "siglip",
        }
    }
}

/// The activation between a block's two feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// Exact, by the error function.
    Gelu,
    /// Approximate, by the hyperbolic tangent.
    GeluTanh,
}

/// Sizes of one tower's transformer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) width: usize,
    pub(super) inner_width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    /// Added to a variance before its root is taken.
    pub(super) epsilon: f32,
}

/// A model's sizes, each within its bounds.
#[derive(Debug, Clone)]
pub(super) struct ModelConfig {
    pub(super) family: Family,
    pub(super) text: Sizes,
    pub(super) vocabulary: usize,
    /// Tokens of a text, including the end token.
    pub(super) text_length: usize,
    /// CLIP: the token where a text's embedding is read.
    pub(super) end_token: u32,
    /// SigLIP: the padding token, unless the tokenizer states one.
    pub(super) pad_token: u32,
    pub(super) picture: Sizes,
    pub(super) picture_side: usize,
    pub(super) patch_side: usize,
    /// Values of an embedding.
    pub(super) embedding: usize,
}

#[derive(Deserialize)]
struct ModelFile {
    model_type: String,
    projection_dim: Option<usize>,
    #[serde(default)]
    text_config: TowerFile,
    #[serde(default)]
    vision_config: TowerFile,
}

#[derive(Deserialize, Default)]
struct TowerFile {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
    projection_size: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    num_channels: Option<usize>,
    vision_use_head: Option<bool>,
}

/// The defaults of `transformers`, which files may leave out.
struct Usual {
    text_width: usize,
    text_inner_width: usize,
    text_heads: usize,
    vocabulary: usize,
    text_length: usize,
    activation: &'static str,
    epsilon: f64,
    patch_side: usize,
}

const CLIP: Usual = Usual {
    text_width: 512,
    text_inner_width: 2048,
    text_heads: 8,
    vocabulary: 49408,
    text_length: 77,
    activation: "quick_gelu",
    epsilon: 1e-5,
    patch_side: 32,
};
const SIGLIP: Usual = Usual {
    text_width: 768,
    text_inner_width: 3072,
    text_heads: 12,
    vocabulary: 32000,
    text_length: 64,
    activation: "gelu_pytorch_tanh",
    epsilon: 1e-6,
    patch_side: 16,
};

impl ModelConfig {
    /// Reads and checks a `config.json`.
    pub(super) fn read(path: &Path) -> Result<Self, LearnedError> {
        let bytes = read_bounded(path, MAX_BYTES, REMEDY)?;
        let refused = |fault| LearnedError::Config { path: path.to_owned(), fault };
        let file: ModelFile =
            serde_json::from_slice(&bytes).map_err(|error| refused(ConfigFault::NotJson(error)))?;
        Self::from_file(&file).map_err(refused)
    }

    fn from_file(file: &ModelFile) -> Result<Self, ConfigFault> {
        let (family, usual) = match file.model_type.as_str() {
            "clip" => (Family::Clip, CLIP),
            "siglip" => (Family::SigLip, SIGLIP),
            other => return Err(unknown("model_type", other, "clip and siglip")),
        };
        let (text, picture) = (&file.text_config, &file.vision_config);
        if picture.num_channels.is_some_and(|channels| channels != 3) {
            return Err(unknown("num_channels", "not 3", "3"));
        }
        if picture.vision_use_head == Some(false) {
            return Err(unknown("vision_use_head", "false", "true"));
        }
        let text_width = text.hidden_size.unwrap_or(usual.text_width);
        let embedding = match family {
            Family::Clip => file.projection_dim.unwrap_or(512),
            Family::SigLip => text.projection_size.unwrap_or(text_width),
        };
        let config = Self {
            family,
            text: text.sizes(&usual, text_width, usual.text_inner_width, usual.text_heads)?,
            vocabulary: within(
                "vocab_size",
                text.vocab_size.unwrap_or(usual.vocabulary),
                MAX_VOCABULARY,
            )?,
            text_length: within(
                "max_position_embeddings",
                text.max_position_embeddings.unwrap_or(usual.text_length),
                MAX_TEXT_LENGTH,
            )?,
            end_token: text.eos_token_id.unwrap_or(49407),
            pad_token: text.pad_token_id.unwrap_or(1),
            picture: picture.sizes(&usual, picture.hidden_size.unwrap_or(768), 3072, 12)?,
            picture_side: within(
                "image_size",
                picture.image_size.unwrap_or(224),
                MAX_PICTURE_SIDE,
            )?,
            patch_side: within(
                "patch_size",
                picture.patch_size.unwrap_or(usual.patch_side),
                MAX_PICTURE_SIDE,
            )?,
            embedding: within("projection_dim", embedding, MAX_WIDTH)?,
        };
        config.check_together()?;
        Ok(config)
    }

    fn check_together(&self) -> Result<(), ConfigFault> {
        within("patch_size", self.patch_side, self.picture_side)?;
        within("the number of patches", self.patches(), MAX_PATCHES)?;
        if self.family == Family::SigLip && self.picture.width != self.embedding {
            return Err(ConfigFault::Disagree {
                field: "hidden_size of vision_config",
                value: self.picture.width,
                other: "a text's embedding",
                other_value: self.embedding,
            });
        }
        let [vocabulary, width, patch] =
            [self.vocabulary, self.text.width, self.patch_side].map(|side| side as u64);
        let tables = vocabulary * width + 3 * patch * patch * self.picture.width as u64;
        let weights = tables + self.text.weights() + self.picture.weights();
        if weights > MAX_WEIGHTS {
            return Err(ConfigFault::TooManyWeights { weights, limit: MAX_WEIGHTS });
        }
        Ok(())
    }

    /// Patches of a picture. Incomplete ones at the edges are left out.
    pub(super) fn patches(&self) -> usize {
        (self.picture_side / self.patch_side).pow(2)
    }
}

impl TowerFile {
    fn sizes(
        &self,
        usual: &Usual,
        width: usize,
        inner_width: usize,
        heads: usize,
    ) -> Result<Sizes, ConfigFault> {
        let sizes = Sizes {
            width: within("hidden_size", width, MAX_WIDTH)?,
            inner_width: within(
                "intermediate_size",
                self.intermediate_size.unwrap_or(inner_width),
                MAX_INNER_WIDTH,
            )?,
            layers: within("num_hidden_layers", self.num_hidden_layers.unwrap_or(12), MAX_LAYERS)?,
            heads: within("num_attention_heads", self.num_attention_heads.unwrap_or(heads), width)?,
            activation: match self.hidden_act.as_deref().unwrap_or(usual.activation) {
                "quick_gelu" => Activation::QuickGelu,
                "gelu" => Activation::Gelu,
                "gelu_pytorch_tanh" => Activation::GeluTanh,
                other => {
                    return Err(unknown(
                        "hidden_act",
                        other,
                        "quick_gelu, gelu and gelu_pytorch_tanh",
                    ));
                }
            },
            epsilon: self.layer_norm_eps.unwrap_or(usual.epsilon) as f32,
        };
        if !width.is_multiple_of(sizes.heads) {
            return Err(ConfigFault::Disagree {
                field: "hidden_size",
                value: width,
                other: "a multiple of num_attention_heads",
                other_value: sizes.heads,
            });
        }
        if !(1e-12..=1e-2).contains(&sizes.epsilon) {
            return Err(unknown("layer_norm_eps", &sizes.epsilon.to_string(), "1e-12 to 0.01"));
        }
        Ok(sizes)
    }
}

impl Sizes {
    /// The approximate number of weights.
    fn weights(&self) -> u64 {
        let [width, inner, layers] =
            [self.width, self.inner_width, self.layers].map(|size| size as u64);
        layers * (4 * width * width + 2 * width * inner)
    }
}

fn within(field: &'static str, value: usize, most: usize) -> Result<usize, ConfigFault> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigFault::OutOfRange { field, value, most })
    }
}

fn unknown(field: &'static str, value: &str, known: &'static str) -> ConfigFault {
    ConfigFault::Unknown { field, value: value.to_owned(), known }
}
