//! How well an answer shows its prompt, where the operator provides a model of texts and pictures.

use crate::device::{Device, Engine};
use crate::learned::{
    Embedding, LearnedError, TextImage, TextModel, rgb_pictures, sampled_frames, similarity,
};
use crate::media::Clip;

/// A loaded model, and the device that it is on.
#[derive(Debug)]
pub(crate) struct TextSimilarity {
    model: TextImage<Engine>,
    device: Device,
}

/// Similarity of an answer and of its source to one text, -1 to 1 each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextScores {
    pub(crate) answer: f32,
    pub(crate) source: f32,
}

impl TextSimilarity {
    /// Loads the model, unless its files changed since it was identified.
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

    /// Embeddings of frames that are sampled from `order`. All other measures use the same order: a
    /// frame that they do not see must not reach the model either.
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

    /// How well an answer and its source, whose embeddings are given, show what a text says.
    pub(crate) fn compare(
        &self,
        text: &str,
        (answer, order): (&Clip, &[usize]),
        source: &[Embedding],
    ) -> Result<TextScores, LearnedError> {
        let text = self.model.text(text)?;
        Ok(TextScores {
            answer: similarity(&text, &self.pictures(answer, order)?),
            source: similarity(&text, source),
        })
    }
}
