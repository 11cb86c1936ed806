//! How well an answer shows what the prompt says, where the operator provides a model of texts and
//! pictures.

use crate::device::{Device, Engine};
use crate::learned::{
    Embedding, LearnedError, TextImage, TextModel, rgb_pictures, sampled_frames, similarity,
};
use crate::media::Clip;

/// A model on the device, and which one.
#[derive(Debug)]
pub(crate) struct TextSimilarity {
    model: TextImage<Engine>,
    device: Device,
}

/// Likeness of two videos to one text, -1 to 1 each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Likeness {
    pub(crate) answer: f32,
    pub(crate) source: f32,
}

impl TextSimilarity {
    /// Loads the model that was named to the validators, and no other one.
    pub(crate) fn load(named: &TextModel, device: Device) -> Result<Self, LearnedError> {
        let found = TextModel::at(&named.folder)?;
        if found != *named {
            return Err(LearnedError::Replaced {
                folder: named.folder.clone(),
                was: named.id.clone(),
                is: found.id,
            });
        }
        Ok(Self { model: TextImage::load(&named.folder, &device.handle())?, device })
    }

    /// What frames sampled from those in `order` mean to the model. All other measures go by the
    /// same order: a frame that they do not see must not speak to the model either.
    pub(crate) fn pictures(
        &self,
        clip: &Clip,
        order: &[usize],
    ) -> Result<Vec<Embedding>, LearnedError> {
        let frames: Vec<usize> =
            sampled_frames(order.len()).into_iter().map(|moment| order[moment]).collect();
        let pictures = rgb_pictures(clip, &frames, &self.device.handle());
        self.model.pictures(&pictures)
    }

    /// How well an answer and its source, whose pictures are given, show what a text says.
    pub(crate) fn likeness(
        &self,
        text: &str,
        (answer, order): (&Clip, &[usize]),
        source: &[Embedding],
    ) -> Result<Likeness, LearnedError> {
        let text = self.model.text(text)?;
        Ok(Likeness {
            answer: similarity(&text, &self.pictures(answer, order)?),
            source: similarity(&text, source),
        })
    }
}
