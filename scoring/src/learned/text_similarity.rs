//! How well an answer shows its prompt, where the operator provides a model of texts and pictures.

use std::fmt;
use std::sync::Arc;

use burn::tensor::backend::Backend;

use crate::device::{Device, on_backend};
use crate::learned::{
    Embedding, LearnedError, TextImage, TextModel, rgb_pictures, sampled_frames, similarity,
};
use crate::media::Clip;

/// A loaded model on some device.
pub(crate) trait TextSimilarity: fmt::Debug + Send + Sync {
    /// Embeddings of frames that are sampled from `order`. All other measures use the same order: a
    /// frame that they do not see must not reach the model either.
    fn pictures(&self, clip: &Clip, order: &[usize]) -> Result<Vec<Embedding>, LearnedError>;

    /// How well an answer and its source, whose embeddings are given, show what a text says.
    fn compare(
        &self,
        text: &str,
        answer: (&Clip, &[usize]),
        source: &[Embedding],
    ) -> Result<TextScores, LearnedError>;
}

/// The model, on one of burn's backends.
#[derive(Debug)]
struct OnBackend<B: Backend> {
    model: TextImage<B>,
    device: B::Device,
}

/// Loads the model, unless its files changed since it was identified.
pub(crate) fn load(
    named: &TextModel,
    device: Device,
) -> Result<Arc<dyn TextSimilarity>, LearnedError> {
    let found = TextModel::at(&named.folder)?;
    if found != *named {
        return Err(LearnedError::Replaced {
            folder: named.folder.clone(),
            was: named.id.clone(),
            is: found.id,
        });
    }
    on_backend!(device, B, device => {
        let model = TextImage::<B>::load(&named.folder, &device)?;
        Ok(Arc::new(OnBackend { model, device }))
    })
}

/// Similarity of an answer and of its source to one text, -1 to 1 each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextScores {
    pub(crate) answer: f32,
    pub(crate) source: f32,
}

impl<B: Backend> TextSimilarity for OnBackend<B> {
    fn pictures(&self, clip: &Clip, order: &[usize]) -> Result<Vec<Embedding>, LearnedError> {
        let frames: Vec<usize> =
            sampled_frames(order.len()).into_iter().map(|moment| order[moment]).collect();
        let pictures = rgb_pictures(clip, &frames, &self.device);
        self.model.pictures(&pictures)
    }

    fn compare(
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
