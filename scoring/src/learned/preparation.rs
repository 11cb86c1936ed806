//! Prepares pictures as in a text-image model's training: resizes, crops and normalises them.
//!
//! Resizing gives the same bytes as Pillow: a kernel that is widened by the scale, so that no pixel
//! is skipped, with weights of 22 bits, first over rows and then over columns, rounded to bytes
//! after each. It always runs on the CPU, so that no device rounds in its own way; a picture takes
//! no more than some million products.

use super::config::{Family, ModelConfig};
use super::weights::read_bounded;
use super::{ConfigFault, LearnedError};
use crate::device::transfer::{read, tensor};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::Deserialize;
use std::io;
use std::path::Path;

const REMEDY: &str =
    "it should be the preprocessor_config.json of a Hugging Face CLIP or SigLIP model";
const MAX_BYTES: u64 = 1 << 16;

/// OpenAI's values for the pictures that CLIP was trained on.
const CLIP_MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_DEVIATION: [f32; 3] = [0.26862954, 0.261_302_6, 0.275_777_1];

/// Fractional bits of a weight. They leave room in products with a byte for a sign and for kernels
/// that overshoot.
const POINT: u32 = 22;

/// A model's settings for preparing pictures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preparation {
    side: usize,
    /// For CLIP the shorter side becomes `side`, and the middle is cut out. For SigLIP both sides
    /// become `side`, whatever the proportions.
    crop: bool,
    kernel: Kernel,
    mean: [f32; 3],
    deviation: [f32; 3],
}

/// Pillow's numbers for them are 2 and 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Linear,
    /// Keys' cubic with a parameter of -1/2.
    Cubic,
}

#[derive(Deserialize)]
struct PreparationFile {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u32>,
}

impl Preparation {
    /// The family's settings, with the colours and the kernel of `preprocessor_config.json` if it
    /// exists.
    pub(super) fn load(folder: &Path, config: &ModelConfig) -> Result<Self, LearnedError> {
        let clip = config.family == Family::Clip;
        let mut preparation = Self {
            side: config.picture_side,
            crop: clip,
            kernel: Kernel::Cubic,
            mean: if clip { CLIP_MEAN } else { [0.5; 3] },
            deviation: if clip { CLIP_DEVIATION } else { [0.5; 3] },
        };
        let path = folder.join("preprocessor_config.json");
        let bytes = match read_bounded(&path, MAX_BYTES, REMEDY) {
            Ok(bytes) => bytes,
            Err(LearnedError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(preparation);
            }
            Err(error) => return Err(error),
        };
        let refused = |fault| LearnedError::Config { path: path.clone(), fault };
        let unknown =
            |field, value: String, known| refused(ConfigFault::Unknown { field, value, known });
        let file: PreparationFile =
            serde_json::from_slice(&bytes).map_err(|error| refused(ConfigFault::NotJson(error)))?;
        preparation.mean = file.image_mean.unwrap_or(preparation.mean);
        preparation.deviation = file.image_std.unwrap_or(preparation.deviation);
        if !preparation.mean.iter().all(|mean| (0.0..=1.0).contains(mean)) {
            return Err(unknown(
                "image_mean",
                format!("{:?}", preparation.mean),
                "three values from 0 to 1",
            ));
        }
        if !preparation.deviation.iter().all(|deviation| (0.01..=10.0).contains(deviation)) {
            return Err(unknown(
                "image_std",
                format!("{:?}", preparation.deviation),
                "three values from 0.01 to 10",
            ));
        }
        preparation.kernel = match file.resample {
            None => preparation.kernel,
            Some(2) => Kernel::Linear,
            Some(3) => Kernel::Cubic,
            Some(other) => {
                return Err(unknown("resample", other.to_string(), "2 (bilinear) and 3 (bicubic)"));
            }
        };
        Ok(preparation)
    }

    /// Prepares RGB `[n, 3, h, w]` from 0 to 1. Returns `[n, 3, side, side]`.
    pub(super) fn apply<B: Backend>(&self, pictures: Tensor<B, 4>) -> Tensor<B, 4> {
        let ([count, channels, height, width], device) = (pictures.dims(), pictures.device());
        let bytes: Vec<u8> =
            read(pictures).into_iter().map(|value| (value * 255.0).round() as u8).collect();
        let whole =
            |side: usize| if self.crop { side * self.side / height.min(width) } else { self.side };
        let across = Samples::new(self.kernel, width, whole(width), self.side);
        let down = Samples::new(self.kernel, height, whole(height), self.side);
        let mut values = Vec::with_capacity(count * channels * self.side * self.side);
        for (index, plane) in bytes.chunks_exact(height * width).enumerate() {
            let (mean, deviation) = (self.mean[index % channels], self.deviation[index % channels]);
            // Rows first. Each pass transposes, so that two passes restore the orientation.
            let resized = down.apply(&across.apply(plane));
            values.extend(
                resized.into_iter().map(|byte| (f32::from(byte) / 255.0 - mean) / deviation),
            );
        }
        tensor(values, [count, channels, self.side, self.side], &device)
    }
}

/// For each output sample: the index of its first input sample, and the weights of all of them.
struct Samples {
    from: usize,
    each: Vec<(usize, Vec<i32>)>,
}

impl Samples {
    /// For the middle `side` of the `to` samples that `from` samples are resized to.
    fn new(kernel: Kernel, from: usize, to: usize, side: usize) -> Self {
        let scale = from as f64 / to as f64;
        let widened = scale.max(1.0);
        let reach = kernel.reach() * widened;
        let first = (to - side) / 2;
        let one = |place: usize| {
            let middle = (place as f64 + 0.5) * scale;
            // Pillow rounds both ends to the nearest edge of a sample.
            let start = (middle - reach + 0.5).max(0.0) as usize;
            let end = ((middle + reach + 0.5) as usize).min(from);
            let weights: Vec<f64> = (start..end)
                .map(|sample| kernel.weight((sample as f64 - middle + 0.5) / widened))
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: f64| (weight / sum * f64::from(1 << POINT)).round() as i32;
            (start, weights.into_iter().map(fixed).collect())
        };
        // A picture of the right size is not resampled.
        let same = |place: usize| (place, vec![1 << POINT]);
        let places = first..first + side;
        Self {
            from,
            each: if from == to { places.map(same).collect() } else { places.map(one).collect() },
        }
    }

    /// Resizes each row of a plane and transposes the result.
    fn apply(&self, plane: &[u8]) -> Vec<u8> {
        let rows = plane.len() / self.from;
        let mut turned = Vec::with_capacity(self.each.len() * rows);
        for (start, weights) in &self.each {
            turned.extend(plane.chunks_exact(self.from).map(|row| {
                let products = row[*start..]
                    .iter()
                    .zip(weights)
                    .map(|(byte, weight)| i32::from(*byte) * weight);
                ((products.sum::<i32>() + (1 << (POINT - 1))) >> POINT).clamp(0, 255) as u8
            }));
        }
        turned
    }
}

impl Kernel {
    /// Its radius, in samples of the smaller picture.
    fn reach(self) -> f64 {
        match self {
            Self::Linear => 1.0,
            Self::Cubic => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Linear => (1.0 - x).max(0.0),
            Self::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Cubic => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pictures;
    use super::*;
    use base64::Engine as _;
    use burn_flex::Flex;
    use proptest::prelude::*;

    fn preparation(crop: bool) -> Preparation {
        // So that the normalised values equal the bytes.
        Preparation {
            side: 32,
            crop,
            kernel: Kernel::Cubic,
            mean: [0.0; 3],
            deviation: [1.0 / 255.0; 3],
        }
    }

    /// The pictures of `references/pictures.py`, in three colours.
    fn picture(height: usize, width: usize) -> Tensor<Flex, 4> {
        let value = |index: usize| {
            let (channel, row, column) =
                (index / (height * width), index / width % height, index % width);
            let byte = pictures::texture(
                column as i64 * 256 + 3_000_000 * channel as i64,
                row as i64 * 256,
            );
            byte as f32 / 255.0
        };
        tensor(
            (0..3 * height * width).map(value).collect(),
            [1, 3, height, width],
            &Default::default(),
        )
    }

    #[test]
    fn prepared_pictures_are_pillows_to_the_byte() {
        for (crop, table) in [
            (true, include_str!("../../references/tables/learned/clip.json")),
            (false, include_str!("../../references/tables/learned/siglip.json")),
        ] {
            let table: serde_json::Value = serde_json::from_str(table).unwrap();
            for case in table["pictures"].as_array().unwrap() {
                let [height, width] =
                    ["height", "width"].map(|side| case[side].as_u64().unwrap() as usize);
                let wanted = base64::engine::general_purpose::STANDARD
                    .decode(case["prepared"].as_str().unwrap());
                let found = read(preparation(crop).apply(picture(height, width)));
                let found: Vec<u8> = found.into_iter().map(|value| value.round() as u8).collect();
                assert_eq!(found, wanted.unwrap(), "{}", case["case"]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_size_is_prepared_and_a_plain_picture_stays_plain(
            height in 1_usize..90, width in 1_usize..90, level: u8, crop: bool, cubic: bool
        ) {
            let kernel = if cubic { Kernel::Cubic } else { Kernel::Linear };
            let plain = Tensor::<Flex, 4>::full([1, 3, height, width], f32::from(level) / 255.0, &Default::default());
            let found = read(Preparation { kernel, ..preparation(crop) }.apply(plain));
            prop_assert_eq!(found.len(), 3 * 32 * 32);
            prop_assert!(found.iter().all(|value| (value - f32::from(level)).abs() < 1e-3));
        }
    }
}
