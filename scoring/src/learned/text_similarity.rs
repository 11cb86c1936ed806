//! How well an answer shows what the prompt says, where the operator provides a model of texts and
//! pictures.

use std::fmt;
use std::sync::Arc;

use burn::tensor::backend::Backend;

use crate::device::{Device, on_backend};
use crate::learned::{
    Embedding, LearnedError, TextImage, TextModel, rgb_pictures, sampled_frames, similarity,
};
use crate::media::Clip;

/// A model on a device.
#[derive(Debug)]
struct TextSimilarity<B: Backend> {
    model: TextImage<B>,
    device: B::Device,
}

/// Such a model, whatever the device.
pub(crate) trait PromptReader: fmt::Debug + Send + Sync {
    /// What frames sampled from those in `order` mean to the model. All other measures go by the
    /// same order: a frame that they do not see must not speak to the model either.
    fn pictures(&self, clip: &Clip, order: &[usize]) -> Result<Vec<Embedding>, LearnedError>;

    /// How well an answer and its source, whose pictures are given, show what a text says.
    fn likeness(
        &self,
        text: &str,
        answer: (&Clip, &[usize]),
        source: &[Embedding],
    ) -> Result<Likeness, LearnedError>;
}

/// Loads the model that was named to the validators, and no other one.
pub(crate) fn open(
    named: &TextModel,
    device: Device,
) -> Result<Arc<dyn PromptReader>, LearnedError> {
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
        Ok(Arc::new(TextSimilarity { model, device }))
    })
}

/// Likeness of two videos to one text, -1 to 1 each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Likeness {
    pub(crate) answer: f32,
    pub(crate) source: f32,
}

impl<B: Backend> PromptReader for TextSimilarity<B> {
    fn pictures(&self, clip: &Clip, order: &[usize]) -> Result<Vec<Embedding>, LearnedError> {
        let frames: Vec<usize> =
            sampled_frames(order.len()).into_iter().map(|moment| order[moment]).collect();
        let pictures = rgb_pictures(clip, &frames, &self.device);
        self.model.pictures(&pictures)
    }

    fn likeness(
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
