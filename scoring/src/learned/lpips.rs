//! LPIPS: the distance of two pictures to a network that was trained on human judgements.
//!
//! Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a
//! perceptual metric", 2018, version 0.1 with AlexNet: what Python's `lpips.LPIPS(net="alex")(left,
//! right, normalize=True)` computes.

use super::LearnedError;
use super::weights::{Scope, WeightFile};
use crate::device::transfer::read;
use crate::metrics::frame;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};
use std::path::Path;

const REMEDY: &str = "it should be a safetensors file of lpips.LPIPS(net=\"alex\")";

/// Mean and spread of the colours, which are from -1 to 1.
const MEAN: [f32; 3] = [-0.030, -0.088, -0.188];
const DEVIATION: [f32; 3] = [0.458, 0.448, 0.450];
/// Prevents a division by zero where nothing is active.
const EPSILON: f32 = 1e-10;
/// The shortest side for which the last layers are not empty.
const MIN_SIDE: usize = 31;

/// One convolution of AlexNet's `features`. The output of the rectifier after it is compared.
struct Layer {
    /// Position in torchvision's `features`.
    index: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    /// Whether max pooling of 3x3 with a stride of 2 comes before.
    pool_first: bool,
}

const LAYERS: [Layer; 5] = [
    Layer { index: 0, channels: [3, 64], kernel: 11, stride: 4, padding: 2, pool_first: false },
    Layer { index: 3, channels: [64, 192], kernel: 5, stride: 1, padding: 2, pool_first: true },
    Layer { index: 6, channels: [192, 384], kernel: 3, stride: 1, padding: 1, pool_first: true },
    Layer { index: 8, channels: [384, 256], kernel: 3, stride: 1, padding: 1, pool_first: false },
    Layer { index: 10, channels: [256, 256], kernel: 3, stride: 1, padding: 1, pool_first: false },
];

/// LPIPS with its weights on a device.
#[derive(Debug)]
pub struct Lpips<B: Backend> {
    layers: Vec<Weights<B>>,
}

#[derive(Debug)]
struct Weights<B: Backend> {
    convolution: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    /// The weight of each channel's difference: `[1, channels, 1, 1]`.
    head: Tensor<B, 4>,
}

impl<B: Backend> Lpips<B> {
    /// Reads the weights from a safetensors file.
    ///
    /// | tensor | or | shape |
    /// |---|---|---|
    /// | `net.slice1.0.weight`, `.bias` | `features.0.weight`, `.bias` | 64, 3, 11, 11 |
    /// | `net.slice2.3.weight`, `.bias` | `features.3.weight`, `.bias` | 192, 64, 5, 5 |
    /// | `net.slice3.6.weight`, `.bias` | `features.6.weight`, `.bias` | 384, 192, 3, 3 |
    /// | `net.slice4.8.weight`, `.bias` | `features.8.weight`, `.bias` | 256, 384, 3, 3 |
    /// | `net.slice5.10.weight`, `.bias` | `features.10.weight`, `.bias` | 256, 256, 3, 3 |
    /// | `lin0.model.1.weight` to `lin4` | `lins.0.model.1.weight` to `lins.4` | 1, channels, 1, 1 |
    ///
    /// The left names are those of `lpips.LPIPS(net="alex").state_dict()`, the right ones those of
    /// torchvision's AlexNet and of the same heads in a list. Other tensors are ignored.
    ///
    /// # Errors
    /// The file or a tensor is missing or malformed.
    pub fn load(path: &Path, device: &B::Device) -> Result<Self, LearnedError> {
        let file = WeightFile::open(path, REMEDY)?;
        let all = file.tensors(device);
        let layers =
            LAYERS.iter().enumerate().map(|(place, layer)| Weights::read(&all, place, layer));
        Ok(Self { layers: layers.collect::<Result<_, _>>()? })
    }

    /// Distance of each pair of pictures, 0 for equal ones and mostly below 1. Both are RGB `[n, 3,
    /// h, w]` with values from 0 to 1 and sides of at least 31.
    ///
    /// # Errors
    /// The shapes differ, or are not those of colour pictures that are large enough.
    pub fn distance(
        &self,
        left: &Tensor<B, 4>,
        right: &Tensor<B, 4>,
    ) -> Result<Vec<f32>, LearnedError> {
        let shape @ [frames, channels, height, width] = left.dims();
        let refused = |reason: String| Err(LearnedError::Pictures { shape, reason });
        if right.dims() != shape {
            return refused(format!(
                "those they are compared with have the shape {:?}",
                right.dims()
            ));
        }
        if frames == 0 || channels != 3 || height.min(width) < MIN_SIDE {
            return refused(format!(
                "LPIPS needs one or more of [3, h, w] with sides of at least {MIN_SIDE}"
            ));
        }
        // One pair at a time, because the first layers of a batch would take gigabytes.
        let distances: Vec<_> =
            (0..frames).map(|index| self.pair(frame(left, index), frame(right, index))).collect();
        Ok(read(Tensor::cat(distances, 0)))
    }

    fn pair(&self, left: Tensor<B, 4>, right: Tensor<B, 4>) -> Tensor<B, 1> {
        let mut both = normalise(Tensor::cat(vec![left, right], 0));
        let mut distance = Tensor::zeros([1], &both.device());
        for (layer, weights) in LAYERS.iter().zip(&self.layers) {
            if layer.pool_first {
                both = max_pool2d(both, [3, 3], [2, 2], [0, 0], [1, 1], false);
            }
            let options = ConvOptions::new([layer.stride; 2], [layer.padding; 2], [1, 1], 1);
            both = relu(conv2d(
                both,
                weights.convolution.clone(),
                Some(weights.bias.clone()),
                options,
            ));
            let length = both.clone().square().sum_dim(1).sqrt() + EPSILON;
            let directions = both.clone() / length;
            let difference = (frame(&directions, 0) - frame(&directions, 1)).square();
            let weighted = conv2d(
                difference,
                weights.head.clone(),
                None,
                ConvOptions::new([1, 1], [0, 0], [1, 1], 1),
            );
            distance = distance + weighted.mean();
        }
        distance
    }
}

impl<B: Backend> Weights<B> {
    fn read(all: &Scope<'_, B>, place: usize, layer: &Layer) -> Result<Self, LearnedError> {
        let Layer { index, channels: [before, after], kernel, .. } = *layer;
        let slice = all.part(&format!("net.slice{}.{index}", place + 1));
        let features = all.part(&format!("features.{index}"));
        let layer = if features.has("weight") { features } else { slice };
        let listed = format!("lins.{place}.model.1.weight");
        let head = if all.has(&listed) { listed } else { format!("lin{place}.model.1.weight") };
        Ok(Self {
            convolution: layer.tensor("weight", [after, before, kernel, kernel])?,
            bias: layer.tensor("bias", [after])?,
            head: all.tensor(&head, [1, after, 1, 1])?,
        })
    }
}

/// Normalises values from 0 to 1 as in AlexNet's training.
fn normalise<B: Backend>(pictures: Tensor<B, 4>) -> Tensor<B, 4> {
    let colours = |values: [f32; 3]| {
        Tensor::<B, 4>::from_data(
            TensorData::new(values.to_vec(), [1, 3, 1, 1]),
            &pictures.device(),
        )
    };
    let (mean, deviation) = (colours(MEAN), colours(DEVIATION));
    (pictures * 2.0 - 1.0 - mean) / deviation
}
