//! Learned metrics: networks whose weights the operator puts beside the validator, as safetensors
//! files.
//!
//! | network | measures | from |
//! |---|---|---|
//! | [`Lpips`] | how far two pictures are apart to a human eye | Zhang and others, 2018 |
//! | [`TextImage`], a CLIP or a SigLIP | how well pictures show what a text says | Radford and others, 2021; Zhai and others, 2023 |
//!
//! Everything runs on tensors of any backend, and nothing is downloaded. The operator's files are
//! trusted in their values, not in their form: every size is checked before memory is allocated,
//! and each fault of a file is a [`LearnedError`] that names the file.

mod colours;
mod config;
mod fault;
mod lpips;
#[cfg(test)]
#[path = "../../tests/scoring/support/weights.rs"]
mod models;
#[cfg(test)]
#[path = "../../tests/scoring/support/pictures.rs"]
mod pictures;
mod preparation;
mod product;
mod text_image;
mod text_model;
pub(crate) mod text_similarity;
mod tokens;
mod towers;
mod transformer;
mod weights;

pub(crate) use colours::{rgb_pictures, sampled_frames};
pub use fault::{ConfigFault, LearnedError};
pub use lpips::Lpips;
pub use text_image::{Embedding, TextImage, similarity};
pub use text_model::TextModel;

#[cfg(test)]
mod tests {
    use super::models::{published, save, table, weights};
    use super::*;
    use crate::device::{Device, DeviceChoice, on_backend};
    use burn::tensor::{Tensor, TensorData};
    use burn_flex::Flex;

    fn picture<B: burn::tensor::backend::Backend>(step: i64, device: &B::Device) -> Tensor<B, 4> {
        let byte = |index: i64| pictures::texture(index % 60 * 256 * step, index / 60 * 256);
        let values: Vec<f32> = (0..3 * 50 * 60).map(|index| byte(index) as f32 / 255.0).collect();
        Tensor::from_data(TensorData::new(values, [1, 3, 50, 60]), device)
    }

    /// Skipped where there is no CUDA device: the CPU's backend is the one compared with.
    #[test]
    fn judges_agree_on_the_scorers_own_device() {
        let device = Device::open(DeviceChoice::Auto).unwrap();
        if device == Device::Cpu {
            return println!("skipped: no CUDA device");
        }
        on_backend!(device, B, handle => agree_on::<B>(&handle));
    }

    fn agree_on<B: burn::tensor::backend::Backend>(device: &B::Device) {
        let cpu = Default::default();
        for name in ["clip", "siglip"] {
            let folder = published(name);
            let ours = TextImage::<B>::load(folder.path(), device).unwrap();
            let plain = TextImage::<Flex>::load(folder.path(), &cpu).unwrap();
            let text = ours
                .text("a photo of a cat")
                .unwrap()
                .cosine(&plain.text("a photo of a cat").unwrap());
            let [left, right] =
                [ours.pictures(&picture(1, device)), plain.pictures(&picture(1, &cpu))];
            let picture = left.unwrap()[0].cosine(&right.unwrap()[0]);
            assert!(text > 0.999_99 && picture > 0.999_99, "{name}: {text}, {picture}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lpips.safetensors");
        save(&weights(&table("lpips")), &path);
        let ours = Lpips::<B>::load(&path, device).unwrap();
        let plain = Lpips::<Flex>::load(&path, &cpu).unwrap();
        let left = ours.distance(&picture(1, device), &picture(2, device)).unwrap()[0];
        let right = plain.distance(&picture(1, &cpu), &picture(2, &cpu)).unwrap()[0];
        assert!((left - right).abs() < 1e-3 * right, "{left}, {right}");
    }
}
