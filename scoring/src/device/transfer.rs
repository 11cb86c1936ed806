//! Copies values to a device, as tensors, and back.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

/// A tensor of the given shape from values in row order.
pub(crate) fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of a tensor in row order, whatever type of float the backend uses.
pub(crate) fn read<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
