//! Learned judges: networks whose weights the operator puts beside the validator, as safetensors files.
//!
//! | judge | asks | from |
//! |---|---|---|
//! | [`Lpips`] | how far two pictures are apart to a human eye | Zhang and others, 2018 |
//! | [`TextImage`], a CLIP or a SigLIP | how well pictures show what a text says | Radford and others, 2021; Zhai and others, 2023 |
//!
//! Everything runs on tensors of any backend. Nothing is ever downloaded. Files are the operator's and trusted in what
//! they say, not in how they say it: every size is checked before anything is allocated, and what is wrong with a file is
//! one [`LearnedError`] that names it.
//!
//! ```no_run
//! use burn::backend::Flex;
//! use leoma_scoring::learned::{TextImage, rgb_pictures, sampled_frames, similarity};
//! # fn frames() -> leoma_scoring::media::Clip { unimplemented!() }
//!
//! # fn main() -> Result<(), leoma_scoring::learned::LearnedError> {
//! let (clip, device) = (frames(), Default::default());
//! let model = TextImage::<Flex>::load("/var/lib/leoma/siglip".as_ref(), &device)?;
//! let prompt = model.text("a harbour at dusk, the camera slowly moves in")?;
//! let pictures = rgb_pictures(&clip, &sampled_frames(clip.len()), &device);
//! println!("{}", similarity(&prompt, &model.pictures(&pictures)?));
//! # Ok(())
//! # }
//! ```

mod colours;
mod config;
mod fault;
mod lpips;
#[cfg(test)]
#[path = "../../tests/support/pictures.rs"]
mod pictures;
mod preparation;
mod text_image;
mod tokens;
mod towers;
mod transformer;
mod weights;

pub use colours::{SAMPLED_FRAMES, rgb_pictures, sampled_frames};
pub use fault::{ConfigFault, LearnedError};
pub use lpips::Lpips;
pub use text_image::{Embedding, TextImage, similarity};
