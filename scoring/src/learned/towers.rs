//! The two towers of a text-image model: tokens or pictures in, embeddings out.
//!
//! CLIP as `transformers`' `CLIPModel` lays it out: Radford and others, 2021. SigLIP as
//! `SiglipModel`: Zhai, Mustafa, Kolesnikov, Beyer, "Sigmoid loss for language image pre-training",
//! 2023.

use super::LearnedError;
use super::config::{Family, ModelConfig};
use super::transformer::{Attention, Encoder, Inner, Linear, Normalisation};
use super::weights::Scope;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Int, Tensor, TensorData};

/// The text tower: tokens to an embedding.
#[derive(Debug)]
pub(super) struct TextTower<B: Backend> {
    tokens: Tensor<B, 2>,
    places: Tensor<B, 2>,
    encoder: Encoder<B>,
    last: Normalisation<B>,
    projection: Linear<B>,
    /// Whether a token sees only the tokens before it, as in CLIP.
    causal: bool,
}

impl<B: Backend> TextTower<B> {
    /// Reads `text_model` and, for CLIP, `text_projection`.
    pub(super) fn read(all: &Scope<'_, B>, config: &ModelConfig) -> Result<Self, LearnedError> {
        let scope = all.part("text_model");
        let (width, embedding) = (config.text.width, config.embedding);
        let embeddings = scope.part("embeddings");
        Ok(Self {
            tokens: embeddings.tensor("token_embedding.weight", [config.vocabulary, width])?,
            places: embeddings.tensor("position_embedding.weight", [config.text_length, width])?,
            encoder: Encoder::read(&scope.part("encoder"), &config.text)?,
            last: Normalisation::read(&scope.part("final_layer_norm"), &config.text)?,
            projection: match config.family {
                Family::Clip => Linear::read_plain(&all.part("text_projection"), width, embedding)?,
                Family::SigLip => Linear::read(&scope.part("head"), width, embedding)?,
            },
            causal: config.family == Family::Clip,
        })
    }

    /// The embedding of a text, `[1, embedding]`, read at token `at`. Tokens are below the
    /// vocabulary's size, and there are no more than the model's length.
    pub(super) fn embed(&self, tokens: &[u32], at: usize) -> Tensor<B, 2> {
        let (device, count) = (self.tokens.device(), tokens.len());
        let tokens: Vec<i32> = tokens.iter().map(|token| *token as i32).collect();
        let tokens = Tensor::<B, 1, Int>::from_data(TensorData::new(tokens, [count]), &device);
        let values = self.tokens.clone().select(0, tokens) + self.places.clone().slice([0..count]);
        let mask = self.causal.then(|| causal_mask(count, &device));
        let values = self.last.apply(self.encoder.apply(values.unsqueeze(), mask.as_ref()));
        let values = self.projection.apply(values.slice([0..1, at..at + 1]));
        let embedding = values.dims()[2];
        values.reshape([1, embedding])
    }
}

/// The causal mask, which is added before the softmax. It holds large numbers instead of infinity,
/// which some kernels subtract from itself.
fn causal_mask<B: Backend>(count: usize, device: &B::Device) -> Tensor<B, 4> {
    let value = |index: usize| if index % count > index / count { -1e9_f32 } else { 0.0 };
    let values: Vec<f32> = (0..count * count).map(value).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, count, count]), device)
}

/// The picture tower: pictures to embeddings.
#[derive(Debug)]
pub(super) struct PictureTower<B: Backend> {
    patches: Tensor<B, 4>,
    patch_bias: Option<Tensor<B, 1>>,
    places: Tensor<B, 3>,
    encoder: Encoder<B>,
    last: Normalisation<B>,
    pooling: Pooling<B>,
}

/// How the tokens of a picture become one embedding.
#[derive(Debug)]
enum Pooling<B: Backend> {
    /// CLIP: a class token before the others is read and projected.
    Class { class: Tensor<B, 3>, first: Normalisation<B>, projection: Linear<B> },
    /// SigLIP: a learned query attends to all tokens.
    Probe {
        probe: Tensor<B, 3>,
        attention: Attention<B>,
        normalisation: Normalisation<B>,
        inner: Inner<B>,
    },
}

impl<B: Backend> PictureTower<B> {
    /// Reads `vision_model` and, for CLIP, `visual_projection`.
    pub(super) fn read(all: &Scope<'_, B>, config: &ModelConfig) -> Result<Self, LearnedError> {
        let scope = all.part("vision_model");
        let (sizes, width, patch) = (&config.picture, config.picture.width, config.patch_side);
        let embeddings = scope.part("embeddings");
        let pooling = match config.family {
            Family::Clip => Pooling::Class {
                class: embeddings.tensor("class_embedding", [width])?.unsqueeze(),
                // The name is misspelt in every published file.
                first: Normalisation::read(&scope.part("pre_layrnorm"), sizes)?,
                projection: Linear::read_plain(
                    &all.part("visual_projection"),
                    width,
                    config.embedding,
                )?,
            },
            Family::SigLip => {
                let head = scope.part("head");
                Pooling::Probe {
                    probe: head.tensor("probe", [1, 1, width])?,
                    attention: Attention::read_joined(&head.part("attention"), sizes)?,
                    normalisation: Normalisation::read(&head.part("layernorm"), sizes)?,
                    inner: Inner::read(&head.part("mlp"), sizes)?,
                }
            }
        };
        let (bias, extra) = match config.family {
            Family::Clip => (None, 1),
            Family::SigLip => (Some(embeddings.tensor("patch_embedding.bias", [width])?), 0),
        };
        let places =
            embeddings.tensor("position_embedding.weight", [config.patches() + extra, width])?;
        Ok(Self {
            patches: embeddings.tensor("patch_embedding.weight", [width, 3, patch, patch])?,
            patch_bias: bias,
            places: places.unsqueeze(),
            encoder: Encoder::read(&scope.part("encoder"), sizes)?,
            last: Normalisation::read(&scope.part("post_layernorm"), sizes)?,
            pooling,
        })
    }

    /// Embeddings `[n, embedding]` of normalised pictures `[n, 3, side, side]`.
    pub(super) fn embed(&self, pictures: Tensor<B, 4>) -> Tensor<B, 2> {
        let [count, ..] = pictures.dims();
        let [width, _, patch, _] = self.patches.dims();
        let options = ConvOptions::new([patch, patch], [0, 0], [1, 1], 1);
        let patches = conv2d(pictures, self.patches.clone(), self.patch_bias.clone(), options);
        let values = patches.flatten::<3>(2, 3).swap_dims(1, 2);
        let places = |values: Tensor<B, 3>| values + self.places.clone();
        let pooled = match &self.pooling {
            Pooling::Class { class, first, projection } => {
                let class = class.clone().expand([count, 1, width]);
                let values = first.apply(places(Tensor::cat(vec![class, values], 1)));
                let values = self.encoder.apply(values, None).slice([0..count, 0..1]);
                projection.apply(self.last.apply(values))
            }
            Pooling::Probe { probe, attention, normalisation, inner } => {
                let values = self.last.apply(self.encoder.apply(places(values), None));
                let answer = attention.apply(probe.clone().expand([count, 1, width]), values, None);
                answer.clone() + inner.apply(normalisation.apply(answer))
            }
        };
        let embedding = pooled.dims()[2];
        pooled.reshape([count, embedding])
    }
}
