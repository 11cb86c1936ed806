//! A task's source clip, decoded and measured once for all answers.

use super::fault::{LEAST_SIDE, ScoreFault};
use super::motion_caption::motion_caption;
use super::setup::Scorer;
use crate::comparison::clip_features::{Features, View};
use crate::comparison::opponents::{Opponents, opponents};
use crate::comparison::replayed::Unknown;
use crate::device::{Device, on_backend};
use crate::fingerprint::Fingerprint;
use crate::judge::Outcome;
use crate::learned::Embedding;
use crate::media::{Clip, Limits, decode};
use crate::metrics::{Host, Kernels, Tensors};
use leoma_protocol::Digest;

/// A task's source clip, decoded and measured once for all answers.
#[derive(Debug, Clone)]
pub struct Reference {
    clip: Clip,
    pub(super) features: Features,
    /// What it shows and its first frame does not.
    pub(super) unknown: Unknown,
    /// What the task's opponents got.
    pub(super) opponents: Opponents,
    fingerprint: Fingerprint,
    /// Its frames as the model of texts and pictures sees them; empty without a model.
    pub(super) pictures: Vec<Embedding>,
    sha256: Digest,
}

impl Reference {
    /// SHA-256 of the clip's file.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The clip's fingerprint, by which a replay is recognised.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The decoded clip.
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// The clip's motion in 50 to 90 words: a prompt that needs no model.
    pub fn describe(&self) -> String {
        let rate = self.clip.info().fps.map(|rate| rate.numerator as f32 / rate.denominator as f32);
        motion_caption(&self.features, rate)
    }
}

/// A source clip's own numbers.
fn source_features<'a, K: Kernels<'a>>(kernels: &K, clip: &'a Clip) -> Features {
    let order: Vec<usize> = (0..clip.len()).collect();
    let view = View::of(kernels, clip, &order);
    Features::of(kernels, clip, &order, &view)
}

impl Scorer {
    /// Prepares a task's source clip.
    ///
    /// # Errors
    /// The clip is unusable, which is our fault, or this machine failed.
    pub fn reference(&self, clip_mp4: &[u8]) -> Result<Reference, ScoreFault> {
        self.prepared(decode(self.ffmpeg(), clip_mp4, &Limits::ANSWER)?, Digest::of(clip_mp4))
    }

    /// [`Scorer::reference`] of a decoded clip whose file has the digest `sha256`.
    ///
    /// # Errors
    /// As [`Scorer::reference`].
    pub fn prepared(&self, clip: Clip, sha256: Digest) -> Result<Reference, ScoreFault> {
        let (frames, width, height) = (clip.len(), clip.width(), clip.height());
        if frames < 2 || width.min(height) < LEAST_SIDE {
            return Err(ScoreFault::SmallReference { frames, width, height });
        }
        let features = self.guarded(|| match self.device() {
            Device::Cpu => source_features(&Host, &clip),
            device => {
                on_backend!(device, B, handle => source_features(&Tensors::<B>::new(handle), &clip))
            }
        })?;
        let fingerprint = Fingerprint::of(&clip, &clip);
        let every: Vec<usize> = (0..clip.len()).collect();
        let pictures = match &self.text_similarity {
            Some(model) => self.guarded(|| model.pictures(&clip, &every))??,
            None => Vec::new(),
        };
        let unknown = Unknown::of(&features.course);
        let opponents = Opponents::default();
        let mut reference =
            Reference { clip, features, unknown, opponents, fingerprint, pictures, sha256 };
        if self.policy().task.gives_first_frame() {
            reference.opponents = self.opponents(&reference)?;
        }
        Ok(reference)
    }

    /// Scores what anyone can make of the first frame, like answers.
    fn opponents(&self, reference: &Reference) -> Result<Opponents, ScoreFault> {
        let repeated = reference.unknown.repeated((&reference.clip, &reference.features.course));
        let mut found = Opponents::guessing(repeated);
        for clip in opponents(&reference.clip, &reference.features.camera) {
            let raw = self.compare(reference, &clip)?;
            let points = match self.outcome(raw) {
                Outcome::Usable { grade, .. } => grade.overall.as_f64() as f32,
                Outcome::Unusable { .. } => 0.0,
            };
            found.add(&raw, points);
        }
        Ok(found)
    }
}
