//! A model of texts and pictures, which measures how well pictures show what a text says.

use super::LearnedError;
use super::config::{Family, ModelConfig};
use super::preparation::Preparation;
use super::tokens::Tokens;
use super::towers::{PictureTower, TextTower};
use super::weights::WeightFile;
use crate::device::transfer::read;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use std::path::Path;

const REMEDY: &str =
    "it should be the model.safetensors of a Hugging Face CLIP or SigLIP model, in one file";
/// Pictures that go through a tower together. More would take more memory and no less time.
const BATCH: usize = 8;
/// The largest published temperature is 100. Beyond these bounds 32 bits overflow.
const MAX_LOG_SCALE: f32 = 20.0;

/// A CLIP or SigLIP model with its weights on a device.
#[derive(Debug)]
pub struct TextImage<B: Backend> {
    text: TextTower<B>,
    pictures: PictureTower<B>,
    tokens: Tokens,
    preparation: Preparation,
    family: Family,
    scale: f64,
    bias: f64,
}

/// The embedding of a text or a picture, comparable only with others of the same model.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    values: Vec<f32>,
}

impl Embedding {
    /// Its values, of any length.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Cosine similarity to another embedding of the same model, -1 to 1; 0 where one of them is
    /// all zeros.
    pub fn cosine(&self, other: &Self) -> f64 {
        let product = |left: &[f32], right: &[f32]| -> f64 {
            left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
        };
        let lengths = product(&self.values, &self.values).sqrt()
            * product(&other.values, &other.values).sqrt();
        let cosine = product(&self.values, &other.values) / lengths;
        if cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { 0.0 }
    }
}

impl<B: Backend> TextImage<B> {
    /// Reads a model from a folder as Hugging Face publishes it:
    ///
    /// | file | holds |
    /// |---|---|
    /// | `config.json` | `model_type` `clip` or `siglip`, and the sizes |
    /// | `model.safetensors` | weights named as `CLIPModel` or `SiglipModel` names them |
    /// | `tokenizer.json` | the tokenizer, with its normalisation and its special tokens |
    /// | `preprocessor_config.json` | optional: `image_mean`, `image_std`, `resample` |
    /// | `tokenizer_config.json` | optional: `pad_token` |
    ///
    /// # Errors
    /// A file or a tensor is missing or malformed.
    pub fn load(folder: &Path, device: &B::Device) -> Result<Self, LearnedError> {
        let config = ModelConfig::read(&folder.join("config.json"))?;
        let tokens = Tokens::load(folder, &config)?;
        let preparation = Preparation::load(folder, &config)?;
        let path = folder.join("model.safetensors");
        let file = WeightFile::open(&path, REMEDY)?;
        let all = file.tensors(device);
        let scale = all.value("logit_scale")?;
        let bias = if config.family == Family::SigLip { all.value("logit_bias")? } else { 0.0 };
        if scale.abs() > MAX_LOG_SCALE {
            return Err(LearnedError::NotFinite { path, tensor: "logit_scale".to_owned() });
        }
        Ok(Self {
            text: TextTower::read(&all, &config)?,
            pictures: PictureTower::read(&all, &config)?,
            tokens,
            preparation,
            family: config.family,
            scale: f64::from(scale).exp(),
            bias: f64::from(bias),
        })
    }

    /// The embedding of a text. Text beyond the model's length, or beyond 16 KiB, is cut off.
    ///
    /// # Errors
    /// The tokenizer does not belong to the model.
    pub fn text(&self, text: &str) -> Result<Embedding, LearnedError> {
        let (tokens, at) = self.tokens.encode(text)?;
        Ok(Embedding { values: read(self.text.embed(&tokens, at)) })
    }

    /// The embedding of each picture. Pictures are RGB `[n, 3, h, w]` with values from 0 to 1, of
    /// any size.
    ///
    /// # Errors
    /// They are not colour pictures, or there are none.
    pub fn pictures(&self, pictures: &Tensor<B, 4>) -> Result<Vec<Embedding>, LearnedError> {
        let shape @ [count, channels, height, width] = pictures.dims();
        if channels != 3 || count * height * width == 0 {
            return Err(LearnedError::Pictures {
                shape,
                reason: "one or more of [3, h, w] are needed".to_owned(),
            });
        }
        let mut embeddings = Vec::with_capacity(count);
        for start in (0..count).step_by(BATCH) {
            let batch = pictures.clone().slice([start..count.min(start + BATCH)]);
            let batch = self.pictures.embed(self.preparation.apply(batch));
            let length = batch.dims()[1];
            embeddings.extend(
                read(batch)
                    .chunks_exact(length)
                    .map(|values| Embedding { values: values.to_vec() }),
            );
        }
        Ok(embeddings)
    }

    /// How well each picture fits a text, on the model's own scale: `logits_per_text` of
    /// `transformers`. CLIP's values compare texts or pictures with each other; the logistic
    /// function of SigLIP's is a probability.
    pub fn logits(&self, text: &Embedding, pictures: &[Embedding]) -> Vec<f64> {
        pictures.iter().map(|picture| text.cosine(picture) * self.scale + self.bias).collect()
    }

    /// The model's family, as `config.json` names it.
    pub fn family(&self) -> &'static str {
        self.family.name()
    }
}

/// Mean cosine similarity of `pictures` to `text`, -1 to 1; 0 without pictures. Each model uses
/// another small part of that range (CLIP's cosines are nearly all between 0.1 and 0.4), so a
/// threshold holds for one model's weights only.
pub fn similarity(text: &Embedding, pictures: &[Embedding]) -> f32 {
    let sum: f64 = pictures.iter().map(|picture| text.cosine(picture)).sum();
    (sum / pictures.len().max(1) as f64) as f32
}
