//! What a worker does with the clips that it is given.

use super::message::Opening;
use crate::device::DeviceChoice;
use crate::judge::Scored;
use crate::scorer::{Reference, ScoreFault, Scorer};

/// What a worker does with clips: it scores them with a [`Scorer`], or fails as a test wants.
pub trait Work: Send + Sync + 'static {
    /// A source clip, ready for comparisons.
    type Source: Send + Sync + 'static;

    /// Prepares a source clip.
    ///
    /// # Errors
    /// As [`Scorer::reference`].
    fn source(&self, mp4: &[u8]) -> Result<Self::Source, ScoreFault>;

    /// Scores an answer.
    ///
    /// # Errors
    /// As [`Scorer::score_prompted`].
    fn score(
        &self,
        source: &Self::Source,
        prompt: Option<&str>,
        mp4: &[u8],
    ) -> Result<Scored, ScoreFault>;

    /// A source clip's motion in words; empty in tests.
    fn describe(&self, _source: &Self::Source) -> String {
        String::new()
    }

    /// Bytes of a source clip's [`crate::Fingerprint`]; empty in tests.
    fn fingerprint(&self, _source: &Self::Source) -> Vec<u8> {
        Vec::new()
    }
}

impl Work for Scorer {
    type Source = Reference;

    fn source(&self, mp4: &[u8]) -> Result<Reference, ScoreFault> {
        self.reference(mp4)
    }

    fn score(
        &self,
        source: &Reference,
        prompt: Option<&str>,
        mp4: &[u8],
    ) -> Result<Scored, ScoreFault> {
        self.score_prompted(source, prompt, mp4)
    }

    fn describe(&self, source: &Reference) -> String {
        source.describe()
    }

    fn fingerprint(&self, source: &Reference) -> Vec<u8> {
        source.fingerprint().to_bytes()
    }
}

/// Is called after each step of an opening: with steps done, steps in all, and the step's name.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, &str);

/// Opens the device, compares its results with the CPU's, and warms it up.
///
/// # Errors
/// The device cannot be used or differs from the CPU, or ffmpeg is missing.
pub fn open_scorer(opening: &Opening, progress: Progress<'_>) -> Result<Scorer, ScoreFault> {
    let choice: DeviceChoice = opening.device.parse()?;
    let mut scorer =
        Scorer::open(choice, opening.options.policy())?.with_comparisons(opening.comparisons);
    if let Some(model) = &opening.options.text_model {
        scorer = scorer.with_text_model(model)?;
    }
    scorer.warm_up(progress)?;
    Ok(scorer)
}
