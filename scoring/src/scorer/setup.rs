//! Opening a scorer: its device, its ffmpeg, its policy, and its model of texts and pictures.

use super::fault::ScoreFault;
use super::permits::Permits;
use crate::device::{Device, DeviceChoice};
use crate::judge::grade::AspectPolicy;
use crate::learned::TextModel;
use crate::learned::text_similarity::{self, TextSimilarity};
use crate::media::Ffmpeg;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Decodes and grades. Everything here blocks: call it through `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Scorer {
    device: Device,
    ffmpeg: Ffmpeg,
    policy: AspectPolicy,
    comparisons: Arc<Permits>,
    pub(super) text_similarity: Option<Arc<dyn TextSimilarity>>,
}

impl Scorer {
    /// Finds ffmpeg and the device.
    ///
    /// # Errors
    /// ffmpeg is missing, or the device that was asked for cannot be used.
    pub fn open(choice: DeviceChoice, policy: AspectPolicy) -> Result<Self, ScoreFault> {
        let comparisons = Arc::new(Permits::new(usize::MAX));
        Ok(Self {
            device: Device::open(choice)?,
            ffmpeg: Ffmpeg::find()?,
            policy,
            comparisons,
            text_similarity: None,
        })
    }

    /// The same scorer with a model of texts and pictures, which measures how well answers show
    /// their prompts.
    ///
    /// # Errors
    /// A file of the model is missing or wrong, or the device has no room for it.
    pub fn with_text_model(mut self, named: &TextModel) -> Result<Self, ScoreFault> {
        let model = self.guarded(|| text_similarity::load(named, self.device))??;
        self.text_similarity = Some(model);
        Ok(self)
    }

    /// The same scorer with at most `at_a_time` comparisons on the device at once, which bounds the
    /// device's memory. Decoding is not limited.
    #[must_use]
    pub(crate) fn with_comparisons(self, at_a_time: usize) -> Self {
        Self { comparisons: Arc::new(Permits::new(at_a_time)), ..self }
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The ffmpeg that it uses.
    pub fn ffmpeg(&self) -> &Ffmpeg {
        &self.ffmpeg
    }

    /// The policy that it grades by.
    pub fn policy(&self) -> &AspectPolicy {
        &self.policy
    }

    /// Runs `work` on the device, and turns a panic into a fault: backends panic where a driver
    /// fails, and that must not take the validator down.
    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, ScoreFault> {
        let _permit = self.comparisons.take();
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or(panic.downcast_ref::<&str>().copied());
            ScoreFault::from_panic(self.device, text.unwrap_or("a panic without a message"))
        })
    }
}
