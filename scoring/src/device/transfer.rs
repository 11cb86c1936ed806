//! Copies values to a device, as tensors, and back, and counts what is copied.
//!
//! Each copy waits for the bus, and each read-back for all that the device has to do before. The
//! metrics copy in no other way. Models of texts and pictures are not counted.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor, TensorData};
use serde::Serialize;
use std::cell::Cell;

/// Bytes of a value on a device.
const VALUE_BYTES: u64 = 4;

thread_local! {
    /// What this thread has copied. A comparison runs on one thread, so that those beside it do not
    /// count.
    static COPIED: Cell<Transfers> = const { Cell::new(Transfers::NONE) };
}

/// Copies between the CPU's memory and a device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Transfers {
    /// Copies to the device, constants included.
    pub uploads: u64,
    /// Bytes of these copies.
    pub uploaded_bytes: u64,
    /// Copies back.
    pub read_backs: u64,
}

impl Transfers {
    const NONE: Self = Self { uploads: 0, uploaded_bytes: 0, read_backs: 0 };

    /// What `work` returns, and what it copies on this thread.
    pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let before = COPIED.get();
        let result = work();
        let after = COPIED.get();
        let copied = Self {
            uploads: after.uploads - before.uploads,
            uploaded_bytes: after.uploaded_bytes - before.uploaded_bytes,
            read_backs: after.read_backs - before.read_backs,
        };
        (result, copied)
    }
}

fn count_upload(bytes: u64) {
    let copied = COPIED.get();
    COPIED.set(Transfers {
        uploads: copied.uploads + 1,
        uploaded_bytes: copied.uploaded_bytes + bytes,
        ..copied
    });
}

/// A tensor of the given shape from values in row order.
pub(crate) fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    count_upload(VALUE_BYTES * values.len() as u64);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Pictures `[planes, 1, height, width]` from planes of that many bytes; a byte `b` stands for
/// `b / 255`. Bytes are copied, a quarter of what their values would be, and divided on the device.
pub(crate) fn pictures<B: Backend>(
    planes: &[&[u8]],
    height: usize,
    width: usize,
    device: &B::Device,
) -> Tensor<B, 4> {
    let bytes = planes.concat();
    count_upload(bytes.len() as u64);
    let data = TensorData::new(bytes, [planes.len(), 1, height, width]);
    Tensor::<B, 4, Int>::from_data(data, (device, DType::U8)).float() / 255.0
}

/// The values of a tensor in row order, whatever type of float the backend uses.
pub(crate) fn read<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    let copied = COPIED.get();
    COPIED.set(Transfers { read_backs: copied.read_backs + 1, ..copied });
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_flex::{Flex, FlexDevice};

    #[test]
    fn pictures_are_copied_as_bytes_and_are_the_same_as_their_values() {
        let bytes: Vec<u8> = (0..=255).collect();
        let (upper, lower) = bytes.split_at(128);
        let (values, copied) =
            Transfers::during(|| read(pictures::<Flex>(&[upper, lower], 8, 16, &FlexDevice)));
        let want: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        assert!(values.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-7));
        assert_eq!((values.len(), copied.uploaded_bytes, copied.uploads), (256, 256, 1));
    }

    #[test]
    fn copies_are_counted_there_and_back_on_the_thread_that_makes_them() {
        let copy = || read(tensor::<Flex, 2>(vec![1.0; 6], [2, 3], &FlexDevice));
        copy();
        let (values, copied) = Transfers::during(|| {
            std::thread::scope(|scope| drop(scope.spawn(copy).join()));
            copy()
        });
        assert_eq!(values, [1.0; 6]);
        assert_eq!(copied, Transfers { uploads: 1, uploaded_bytes: 24, read_backs: 1 });
    }
}
