//! Products of matrices in full 32 bits on every device.
//!
//! burn multiplies matrices on a CUDA device in units that round each factor to TensorFloat-32,
//! which has 10 bits after the point, and offers no way to choose. Its direct convolution adds in
//! 32 bits, so a product is written as one there: of pictures of one column, with a kernel of one
//! pixel. `docs/decisions/0042-full-32-bits.md` names the places in burn.

use crate::device::is_cpu;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// The product of `[rows, inner]` and `[inner, columns]`.
pub(super) fn product<B: Backend>(left: Tensor<B, 2>, right: Tensor<B, 2>) -> Tensor<B, 2> {
    if is_cpu::<B>() { left.matmul(right) } else { convolved(left, right) }
}

/// Products of `[count, heads, rows, inner]` and `[count, heads, inner, columns]`, matrix by
/// matrix.
pub(super) fn products<B: Backend>(left: Tensor<B, 4>, right: Tensor<B, 4>) -> Tensor<B, 4> {
    if is_cpu::<B>() { left.matmul(right) } else { convolved_in_groups(left, right) }
}

/// Each row is a picture of one pixel, with `inner` channels.
fn convolved<B: Backend>(left: Tensor<B, 2>, right: Tensor<B, 2>) -> Tensor<B, 2> {
    let ([rows, inner], [_, columns]) = (left.dims(), right.dims());
    let kernel = right.transpose().reshape([columns, inner, 1, 1]);
    let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
    conv2d(left.reshape([rows, inner, 1, 1]), kernel, None, options).reshape([rows, columns])
}

/// Each matrix is a group of the channels of one picture, and each of its rows a pixel.
fn convolved_in_groups<B: Backend>(left: Tensor<B, 4>, right: Tensor<B, 4>) -> Tensor<B, 4> {
    let ([count, heads, rows, inner], [_, _, _, columns]) = (left.dims(), right.dims());
    let groups = count * heads;
    let picture = left.swap_dims(2, 3).reshape([1, groups * inner, rows, 1]);
    let kernel = right.swap_dims(2, 3).reshape([groups * columns, inner, 1, 1]);
    let options = ConvOptions::new([1, 1], [0, 0], [1, 1], groups);
    conv2d(picture, kernel, None, options).reshape([count, heads, columns, rows]).swap_dims(2, 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::transfer::{read, tensor};
    use burn_flex::{Flex, FlexDevice};

    fn matrices<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<Flex, D> {
        let value = |index: usize| ((index * 37 + seed * 11) % 19) as f32 / 8.0 - 1.0;
        tensor((0..shape.iter().product::<usize>()).map(value).collect(), shape, &FlexDevice)
    }

    #[test]
    fn convolutions_give_the_products_of_matrices() {
        let (left, right) = (matrices([5, 7], 1), matrices([7, 3], 2));
        let want = read(left.clone().matmul(right.clone()));
        let same = |got: Vec<f32>, want: Vec<f32>| {
            assert_eq!(got.len(), want.len());
            assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-5));
        };
        same(read(convolved(left.clone(), right.clone())), want.clone());
        same(read(product(left, right)), want);
        let (left, right) = (matrices([2, 3, 5, 4], 3), matrices([2, 3, 4, 6], 4));
        let want = read(left.clone().matmul(right.clone()));
        same(read(convolved_in_groups(left.clone(), right.clone())), want.clone());
        same(read(products(left, right)), want);
    }
}
