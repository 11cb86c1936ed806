//! The transformer encoder that both towers of both families share, with normalisation before
//! attention and before the feed-forward layers.
//!
//! Vaswani and others, "Attention is all you need", 2017; Radford and others, "Learning
//! transferable visual models from natural language supervision", 2021. Tensors are `[texts or
//! pictures, tokens, width]`.

use super::LearnedError;
use super::config::{Activation, Sizes};
use super::product::{product, products};
use super::weights::Scope;
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, sigmoid, softmax};
use burn::tensor::backend::Backend;

/// An affine map of the last dimension.
#[derive(Debug)]
pub(super) struct Linear<B: Backend> {
    /// `[from, to]`; files have it transposed.
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
}

impl<B: Backend> Linear<B> {
    /// Reads `weight` and `bias`.
    pub(super) fn read(scope: &Scope<'_, B>, from: usize, to: usize) -> Result<Self, LearnedError> {
        Ok(Self::new(scope.tensor("weight", [to, from])?, Some(scope.tensor("bias", [to])?)))
    }

    /// Reads `weight` alone.
    pub(super) fn read_plain(
        scope: &Scope<'_, B>,
        from: usize,
        to: usize,
    ) -> Result<Self, LearnedError> {
        Ok(Self::new(scope.tensor("weight", [to, from])?, None))
    }

    /// From a weight as files have it, `[to, from]`.
    pub(super) fn new(weight: Tensor<B, 2>, bias: Option<Tensor<B, 1>>) -> Self {
        Self { weight: weight.transpose(), bias }
    }

    pub(super) fn apply(&self, values: Tensor<B, 3>) -> Tensor<B, 3> {
        let [count, places, from] = values.dims();
        let to = self.weight.dims()[1];
        // As one product: a batch of products would repeat the weights.
        let product = product(values.reshape([count * places, from]), self.weight.clone());
        let sum = match &self.bias {
            Some(bias) => product + bias.clone().unsqueeze(),
            None => product,
        };
        sum.reshape([count, places, to])
    }
}

/// Layer normalisation: each token's values to mean 0 and variance 1, then scaled and shifted.
#[derive(Debug)]
pub(super) struct Normalisation<B: Backend> {
    scale: Tensor<B, 3>,
    shift: Tensor<B, 3>,
    epsilon: f32,
}

impl<B: Backend> Normalisation<B> {
    pub(super) fn read(scope: &Scope<'_, B>, sizes: &Sizes) -> Result<Self, LearnedError> {
        let part = |name| Ok(scope.tensor(name, [sizes.width])?.unsqueeze());
        Ok(Self { scale: part("weight")?, shift: part("bias")?, epsilon: sizes.epsilon })
    }

    pub(super) fn apply(&self, values: Tensor<B, 3>) -> Tensor<B, 3> {
        let centred = values.clone() - values.mean_dim(2);
        let deviation = (centred.clone().square().mean_dim(2) + self.epsilon).sqrt();
        centred / deviation * self.scale.clone() + self.shift.clone()
    }
}

/// Attention with several heads.
#[derive(Debug)]
pub(super) struct Attention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    out: Linear<B>,
    heads: usize,
}

impl<B: Backend> Attention<B> {
    fn read(scope: &Scope<'_, B>, sizes: &Sizes) -> Result<Self, LearnedError> {
        let part = |name| Linear::read(&scope.part(name), sizes.width, sizes.width);
        let [query, key, value, out] =
            [part("q_proj")?, part("k_proj")?, part("v_proj")?, part("out_proj")?];
        Ok(Self { query, key, value, out, heads: sizes.heads })
    }

    /// Reads PyTorch's own layout, where one tensor holds query, key and value.
    pub(super) fn read_joined(scope: &Scope<'_, B>, sizes: &Sizes) -> Result<Self, LearnedError> {
        let width = sizes.width;
        let weight = scope.tensor("in_proj_weight", [3 * width, width])?;
        let bias = scope.tensor("in_proj_bias", [3 * width])?;
        let part = |index: usize| {
            let rows = index * width..(index + 1) * width;
            Linear::new(
                weight.clone().slice([rows.clone(), 0..width]),
                Some(bias.clone().slice([rows])),
            )
        };
        let out = Linear::read(&scope.part("out_proj"), width, width)?;
        Ok(Self { query: part(0), key: part(1), value: part(2), out, heads: sizes.heads })
    }

    /// What each token of `asking` gathers from the tokens of `asked`. `mask` is added to the
    /// scores.
    pub(super) fn apply(
        &self,
        asking: Tensor<B, 3>,
        asked: Tensor<B, 3>,
        mask: Option<&Tensor<B, 4>>,
    ) -> Tensor<B, 3> {
        let [count, places, width] = asking.dims();
        let part = width / self.heads;
        let heads = |values: Tensor<B, 3>| {
            let places = values.dims()[1];
            values.reshape([count, places, self.heads, part]).swap_dims(1, 2)
        };
        let query = heads(self.query.apply(asking)) * (part as f32).powf(-0.5);
        let key = heads(self.key.apply(asked.clone()));
        let value = heads(self.value.apply(asked));
        let mut scores = products(query, key.swap_dims(2, 3));
        if let Some(mask) = mask {
            scores = scores + mask.clone();
        }
        let gathered = products(softmax(scores, 3), value);
        self.out.apply(gathered.swap_dims(1, 2).reshape([count, places, width]))
    }
}

/// The feed-forward part: two layers with an activation between.
#[derive(Debug)]
pub(super) struct Inner<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
    activation: Activation,
}

impl<B: Backend> Inner<B> {
    pub(super) fn read(scope: &Scope<'_, B>, sizes: &Sizes) -> Result<Self, LearnedError> {
        Ok(Self {
            first: Linear::read(&scope.part("fc1"), sizes.width, sizes.inner_width)?,
            second: Linear::read(&scope.part("fc2"), sizes.inner_width, sizes.width)?,
            activation: sizes.activation,
        })
    }

    pub(super) fn apply(&self, values: Tensor<B, 3>) -> Tensor<B, 3> {
        let inner = self.first.apply(values);
        self.second.apply(match self.activation {
            Activation::QuickGelu => inner.clone() * sigmoid(inner * 1.702),
            Activation::Gelu => gelu(inner),
            Activation::GeluTanh => gelu_tanh(inner),
        })
    }
}

/// Hendrycks and Gimpel, "Gaussian error linear units", 2016, the approximation. The cube is
/// written as products: a power of a negative base is not a number on some devices.
fn gelu_tanh<B: Backend>(values: Tensor<B, 3>) -> Tensor<B, 3> {
    let cube = values.clone() * values.clone() * values.clone();
    let inner = (cube * 0.044715 + values.clone()) * (2.0 / std::f32::consts::PI).sqrt();
    values * 0.5 * (inner.tanh() + 1.0)
}

/// A stack of blocks of attention and feed-forward layers, each applied to normalised values and
/// added to its input.
#[derive(Debug)]
pub(super) struct Encoder<B: Backend> {
    blocks: Vec<Block<B>>,
}

#[derive(Debug)]
struct Block<B: Backend> {
    first: Normalisation<B>,
    attention: Attention<B>,
    second: Normalisation<B>,
    inner: Inner<B>,
}

impl<B: Backend> Encoder<B> {
    /// Reads `layers.0` and so on.
    pub(super) fn read(scope: &Scope<'_, B>, sizes: &Sizes) -> Result<Self, LearnedError> {
        let block = |index: usize| {
            let scope = scope.part(&format!("layers.{index}"));
            Ok(Block {
                first: Normalisation::read(&scope.part("layer_norm1"), sizes)?,
                attention: Attention::read(&scope.part("self_attn"), sizes)?,
                second: Normalisation::read(&scope.part("layer_norm2"), sizes)?,
                inner: Inner::read(&scope.part("mlp"), sizes)?,
            })
        };
        Ok(Self { blocks: (0..sizes.layers).map(block).collect::<Result<_, _>>()? })
    }

    pub(super) fn apply(&self, values: Tensor<B, 3>, mask: Option<&Tensor<B, 4>>) -> Tensor<B, 3> {
        self.blocks.iter().fold(values, |values, block| {
            let normal = block.first.apply(values.clone());
            let values = values + block.attention.apply(normal.clone(), normal, mask);
            values.clone() + block.inner.apply(block.second.apply(values))
        })
    }
}
