//! Decodes, compares and grades an answer.

use super::fault::ScoreFault;
use super::reference::Reference;
use super::setup::Scorer;
use crate::comparison::Measures;
use crate::comparison::clip_features::{Features, View};
use crate::comparison::measures::{Side, compare};
use crate::comparison::resample::{frames_at_times_of, resized};
use crate::device::{Device, on_backend};
use crate::fingerprint::Fingerprint;
use crate::judge::{Outcome, Scored, gates};
use crate::media::{Clip, Limits, MediaError, VideoInfo, decode_if};
use crate::metrics::{Host, Kernels, Tensors};
use leoma_protocol::Digest;

impl Scorer {
    /// Grades one answer.
    ///
    /// # Errors
    /// Only this machine's faults; whatever is wrong with the video is an [`Outcome::Unusable`].
    pub fn score(&self, reference: &Reference, answer_mp4: &[u8]) -> Result<Scored, ScoreFault> {
        self.score_prompted(reference, None, answer_mp4)
    }

    /// [`Scorer::score`] of an answer to a prompt. The prompt counts only with a model that reads
    /// it.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub fn score_prompted(
        &self,
        reference: &Reference,
        prompt: Option<&str>,
        answer_mp4: &[u8],
    ) -> Result<Scored, ScoreFault> {
        let answer = match self.decode_answer(reference, answer_mp4) {
            Ok(answer) => answer,
            Err(MediaError::Fault(fault)) => return Err(fault.into()),
            Err(MediaError::Video(defect)) => return Ok(Scored::refused(answer_mp4, &defect)),
        };
        let video_sha256 = Digest::of(answer_mp4);
        let mut raw = self.compare(reference, &answer)?;
        if let (Some(model), Some(prompt)) = (&self.text_similarity, prompt) {
            let order = frames_at_times_of(&answer, reference.clip());
            let scores =
                self.guarded(|| model.compare(prompt, (&answer, &order), &reference.pictures))??;
            (raw.text_similarity, raw.source_text_similarity) =
                (Some(scores.answer), Some(scores.source));
        }
        let fingerprint = Some(Fingerprint::of(&answer, reference.clip()));
        Ok(Scored { video_sha256, outcome: self.outcome(raw), fingerprint })
    }

    /// The raw numbers of a decoded answer, at the size and the times of the source.
    ///
    /// # Errors
    /// Only this machine's faults.
    pub fn measure(&self, reference: &Reference, answer: Clip) -> Result<Measures, ScoreFault> {
        let answer = resized(answer, reference.clip().width(), reference.clip().height());
        self.compare(reference, &answer)
    }

    pub(super) fn compare(
        &self,
        reference: &Reference,
        answer: &Clip,
    ) -> Result<Measures, ScoreFault> {
        let order = frames_at_times_of(answer, reference.clip());
        let measured = self.guarded(|| match self.device() {
            Device::Cpu => measure(&Host, reference, answer, &order),
            device => on_backend!(device, B, handle => {
                measure(&Tensors::<B>::new(handle), reference, answer, &order)
            }),
        })?;
        Ok(reference.opponents.against(measured))
    }

    /// The outcome that measures lead to.
    pub fn outcome(&self, raw: Measures) -> Outcome {
        Outcome::of(raw, self.policy())
    }

    /// Decodes an answer, refusing its size before and its length after.
    pub(super) fn decode_answer(
        &self,
        reference: &Reference,
        answer_mp4: &[u8],
    ) -> Result<Clip, MediaError> {
        let (source, policy) = (reference.clip(), self.policy());
        let accept =
            |info: &VideoInfo| gates::check_size((info.width, info.height), source, policy);
        let answer = decode_if(self.ffmpeg(), answer_mp4, &Limits::ANSWER, accept)?;
        // The decoder may find another size than the index claims.
        gates::check_size((answer.width() as u32, answer.height() as u32), source, policy)?;
        gates::check_length(&answer, source, policy)?;
        let answer = resized(answer, source.width(), source.height());
        Ok(answer.with_likely_colours(policy.task.gives_first_frame().then_some(source)))
    }
}

/// An answer's numbers against its source.
fn measure<'a, K: Kernels<'a>>(
    kernels: &K,
    reference: &'a Reference,
    answer: &'a Clip,
    order: &[usize],
) -> Measures {
    let view = View::of(kernels, answer, order);
    let features = Features::of(kernels, answer, order, &view);
    let answer = Side { clip: answer, features: &features };
    let source = Side { clip: reference.clip(), features: &reference.features };
    compare((source, answer), order[0], &reference.unknown)
}
