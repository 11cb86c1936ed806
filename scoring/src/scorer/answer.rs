//! From an MP4 to a verdict's numbers.

use super::motion_caption::motion_caption;
use super::permits::Permits;
use super::self_test::{SelfTestFault, SelfTestReport, self_test};
use super::synthetic_clips::source_and_answer;
use crate::comparison::clip_features::{Features, View, visible, warping_error};
use crate::comparison::compare::{Measures, Side, Visibility, compare};
use crate::comparison::resample::{frames_at_times_of, resized};
use crate::device::{Device, DeviceChoice, DeviceFault, on_backend};
use crate::fingerprint::Fingerprint;
use crate::judge::grade::AspectPolicy;
use crate::judge::grade::{Aspects, Grade};
use crate::learned::text_similarity::{PromptReader, open};
use crate::learned::{Embedding, LearnedError, TextModel};
use crate::media::{
    Clip, ClipShape, Ffmpeg, FfmpegMissing, Limits, MediaError, MediaFault, SceneRules, Segment,
    VideoDefect, VideoInfo, cut_clip, decode, decode_if, first_frame_png, one_shot_segments,
};
use crate::metrics::{Host, Kernels, Tensors};
use crate::worker::WorkerFault;
use leoma_protocol::Digest;
use leoma_protocol::verdict::EntryStatus;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The shortest side of a source: what the coarsest scale of multi-scale similarity can hold, and
/// what registration may cut off before.
const LEAST_SIDE: usize = 176 + 4;

/// What went wrong on our side. None of these may touch a miner's record.
#[derive(Debug, thiserror::Error)]
pub enum ScoreFault {
    /// ffmpeg, its process or this machine.
    #[error(transparent)]
    Media(#[from] MediaFault),
    /// ffmpeg is not installed.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegMissing),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceFault),
    /// The arithmetic failed in the middle; on CUDA the context is then unusable and the process
    /// has to start again.
    #[error("scoring on {device} failed: {reason}")]
    Arithmetic {
        /// Where.
        device: Device,
        /// What the backend said.
        reason: String,
    },
    /// The device has too little memory for what is on it at a time.
    #[error("{device} ran out of memory: {reason}")]
    OutOfMemory {
        /// Where.
        device: Device,
        /// What the backend said.
        reason: String,
    },
    /// The operator's model of texts and pictures.
    #[error(transparent)]
    Learned(#[from] LearnedError),
    /// This program itself: a panic outside the arithmetic.
    #[error("scoring broke off: {reason}")]
    Broken {
        /// What it said.
        reason: String,
    },
    /// The scoring process could not be brought to an answer.
    #[error(transparent)]
    Worker(#[from] WorkerFault),
    /// The device computes something else than the CPU.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFault),
    /// The task's own clip cannot be used.
    #[error("the source clip cannot be used: {0}")]
    Reference(VideoDefect),
    /// The task's own clip is too small or too short to compare anything with.
    #[error(
        "the source clip has {frames} frames of {width}x{height}: at least 2 of {LEAST_SIDE}x{LEAST_SIDE} are needed"
    )]
    SmallReference {
        /// Frames.
        frames: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
}

impl ScoreFault {
    /// A backend says in words only that it has no memory left: as an allocation that failed, or by
    /// the driver's name for it.
    fn from_panic(device: Device, text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let signs = ["out of memory", "out-of-memory", "out_of_memory", "can't allocate buffer"];
        let reason = text.chars().take(300).collect();
        if signs.iter().any(|sign| lower.contains(sign)) {
            Self::OutOfMemory { device, reason }
        } else {
            Self::Arithmetic { device, reason }
        }
    }
}

impl From<MediaError> for ScoreFault {
    /// For videos of our own making, whose defects are our fault too.
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Video(defect) => Self::Reference(defect),
            MediaError::Fault(fault) => Self::Media(fault),
        }
    }
}

/// A task's source clip, decoded and measured once for all answers.
#[derive(Debug, Clone)]
pub struct Reference {
    clip: Clip,
    features: Features,
    visibility: Visibility,
    fingerprint: Fingerprint,
    /// What its frames mean to the model of texts and pictures; none without one.
    pictures: Vec<Embedding>,
    sha256: Digest,
}

impl Reference {
    /// Digest of the clip's file.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The clip's own fingerprint, by which a replay of it is known.
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

/// What came of one answer.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Digest of the answer's bytes.
    pub video_sha256: Digest,
    /// What it is worth.
    pub outcome: Outcome,
    /// For finding copies; none where nothing was decoded.
    pub fingerprint: Option<Fingerprint>,
}

/// How the reason for a `duplicate` begins that is no other miner's video but the source clip.
pub const SOURCE_ITSELF: &str = "the source clip itself";

/// Either a grade or the reason for having none.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The video was graded; it may still have failed.
    Usable {
        /// Aspects, overall score and whether it passed, before any judge.
        grade: Grade,
        /// The raw numbers behind them, for publication.
        raw: Measures,
    },
    /// The video cannot be graded, by its sender's doing.
    Unusable {
        /// `undecodable`, `wrong_resolution`, `too_short`, `frozen`, or `duplicate` for the source
        /// clip itself.
        status: EntryStatus,
        /// Why, in one line.
        reason: String,
        /// The raw numbers, where it came to numbers.
        raw: Option<Measures>,
    },
}

impl Scored {
    /// What comes of bytes that are refused before anything is decoded.
    pub(crate) fn refused(answer_mp4: &[u8], defect: &VideoDefect) -> Self {
        Self {
            video_sha256: Digest::of(answer_mp4),
            outcome: Outcome::defect(defect),
            fingerprint: None,
        }
    }
}

impl Outcome {
    /// What a video with this defect gets.
    pub fn defect(defect: &VideoDefect) -> Self {
        let status = match defect {
            VideoDefect::WrongSize { .. } | VideoDefect::TooManyPixels { .. } => {
                EntryStatus::WrongResolution
            }
            VideoDefect::TooShort { .. } | VideoDefect::NoFrames => EntryStatus::TooShort,
            _ => EntryStatus::Undecodable,
        };
        Self::Unusable { status, reason: defect.to_string(), raw: None }
    }
}

/// A source clip's own numbers.
fn source_features<'a, K: Kernels<'a>>(kernels: &K, clip: &'a Clip) -> (Features, Visibility) {
    let order: Vec<usize> = (0..clip.len()).collect();
    let view = View::of(kernels, clip, &order);
    let features = Features::of(kernels, clip, &order, &view);
    let visible = visible(kernels, clip, &features.flow);
    let warping_error = warping_error(kernels, &view, &features.flow, &visible);
    (features, Visibility { visible, warping_error })
}

/// An answer's numbers against its source.
fn measure<'a, K: Kernels<'a>>(
    kernels: &K,
    reference: &'a Reference,
    answer: &'a Clip,
    order: &[usize],
) -> Measures {
    let every: Vec<usize> = (0..reference.clip.len()).collect();
    let view = View::of(kernels, answer, order);
    let features = Features::of(kernels, answer, order, &view);
    let source_view = View::of(kernels, &reference.clip, &every);
    let answer = Side { clip: answer, view, features: &features };
    let source = Side { clip: &reference.clip, view: source_view, features: &reference.features };
    compare(kernels, (&source, &answer), order[0], &reference.visibility)
}

/// Decodes and grades. Everything here blocks: call it through `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Scorer {
    device: Device,
    ffmpeg: Ffmpeg,
    policy: AspectPolicy,
    comparisons: Arc<Permits>,
    words: Option<Arc<dyn PromptReader>>,
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
            words: None,
        })
    }

    /// The same with a model of texts and pictures, which then says how well answers show their
    /// prompts.
    ///
    /// # Errors
    /// A file of the model is missing or wrong, or the device has no room for it.
    pub fn with_text_model(mut self, named: &TextModel) -> Result<Self, ScoreFault> {
        self.words = Some(self.guarded(|| open(named, self.device))??);
        Ok(self)
    }

    /// The same with at most so many comparisons on the device at a time: what bounds its memory.
    /// Decoding is not held up.
    #[must_use]
    pub fn with_comparisons(self, at_a_time: usize) -> Self {
        Self { comparisons: Arc::new(Permits::new(at_a_time)), ..self }
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The ffmpeg that it uses.
    pub fn ffmpeg(&self) -> &Ffmpeg {
        &self.ffmpeg
    }

    /// The numbers by which it grades.
    pub fn policy(&self) -> &AspectPolicy {
        &self.policy
    }

    /// Runs every metric on a synthetic clip on the device and on the CPU, and compares. It also
    /// warms the device up.
    ///
    /// # Errors
    /// [`ScoreFault::SelfTest`] names the first metric that differs; such a device must not score.
    pub fn self_test(&self) -> Result<SelfTestReport, ScoreFault> {
        self.self_test_with(&mut |_, _, _| {})
    }

    fn self_test_with(
        &self,
        progress: &mut dyn FnMut(usize, usize, &str),
    ) -> Result<SelfTestReport, ScoreFault> {
        let tested = self.guarded(|| {
            on_backend!(self.device, B, handle => self_test::<B>(self.device, &handle, progress))
        })?;
        Ok(tested?)
    }

    /// [`Scorer::self_test`], and on CUDA a comparison of a task's shape: the first kernel of each
    /// shape compiles. `progress` hears of steps done, how many there are, and the last one.
    ///
    /// # Errors
    /// As there.
    pub fn warm_up(
        &self,
        progress: &mut dyn FnMut(usize, usize, &str),
    ) -> Result<SelfTestReport, ScoreFault> {
        let clips = match self.device {
            // Nothing is compiled for the CPU.
            Device::Cpu => None,
            Device::Cuda { .. } => source_and_answer(ClipShape::TASK),
        };
        let shapes = if clips.is_some() { 2 } else { 0 };
        let report =
            self.self_test_with(&mut |done, of, metric| progress(done, of + shapes, metric))?;
        if let Some([source, answer]) = clips {
            let (done, of) = (report.checks.len() + 1, report.checks.len() + shapes);
            let reference = self.prepared(source, Digest::of(b"synthetic"))?;
            progress(done, of, "a source of the task's shape");
            self.measure(&reference, answer)?;
            progress(of, of, "an answer of the task's shape");
        }
        Ok(report)
    }

    /// Prepares a task's source clip.
    ///
    /// # Errors
    /// The clip is unusable, which is our fault, or this machine failed.
    pub fn reference(&self, clip_mp4: &[u8]) -> Result<Reference, ScoreFault> {
        self.prepared(decode(&self.ffmpeg, clip_mp4, &Limits::ANSWER)?, Digest::of(clip_mp4))
    }

    /// [`Scorer::reference`] of a clip that is decoded already; `sha256` is its file's.
    pub(crate) fn prepared(&self, clip: Clip, sha256: Digest) -> Result<Reference, ScoreFault> {
        let (frames, width, height) = (clip.len(), clip.width(), clip.height());
        if frames < 2 || width.min(height) < LEAST_SIDE {
            return Err(ScoreFault::SmallReference { frames, width, height });
        }
        let (features, visibility) = self.guarded(|| match self.device {
            Device::Cpu => source_features(&Host, &clip),
            device => {
                on_backend!(device, B, handle => source_features(&Tensors::<B>::new(handle), &clip))
            }
        })?;
        let fingerprint = Fingerprint::of(&clip, &clip);
        let pictures = match &self.words {
            Some(words) => {
                self.guarded(|| words.pictures(&clip, &(0..clip.len()).collect::<Vec<_>>()))??
            }
            None => Vec::new(),
        };
        Ok(Reference { clip, features, visibility, fingerprint, pictures, sha256 })
    }

    /// Grades one answer.
    ///
    /// # Errors
    /// Only this machine's faults; whatever is wrong with the video is an [`Outcome::Unusable`].
    pub fn score(&self, reference: &Reference, answer_mp4: &[u8]) -> Result<Scored, ScoreFault> {
        self.score_prompted(reference, None, answer_mp4)
    }

    /// [`Scorer::score`] of an answer to a prompt, which counts where there is a model that reads
    /// it.
    ///
    /// # Errors
    /// As there.
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
        if let (Some(words), Some(prompt)) = (&self.words, prompt) {
            let order = frames_at_times_of(&answer, &reference.clip);
            let likeness =
                self.guarded(|| words.likeness(prompt, (&answer, &order), &reference.pictures))??;
            (raw.text_similarity, raw.source_text_similarity) =
                (Some(likeness.answer), Some(likeness.source));
        }
        let fingerprint = Some(Fingerprint::of(&answer, &reference.clip));
        Ok(Scored { video_sha256, outcome: self.outcome(raw), fingerprint })
    }

    /// The raw numbers of a decoded answer, at the size and the times of the source.
    ///
    /// # Errors
    /// Only this machine's faults.
    pub fn measure(&self, reference: &Reference, answer: Clip) -> Result<Measures, ScoreFault> {
        let answer = resized(answer, reference.clip.width(), reference.clip.height());
        self.compare(reference, &answer)
    }

    fn compare(&self, reference: &Reference, answer: &Clip) -> Result<Measures, ScoreFault> {
        let order = frames_at_times_of(answer, &reference.clip);
        self.guarded(|| match self.device {
            Device::Cpu => measure(&Host, reference, answer, &order),
            device => on_backend!(device, B, handle => {
                measure(&Tensors::<B>::new(handle), reference, answer, &order)
            }),
        })
    }

    /// What measures are worth.
    pub fn outcome(&self, raw: Measures) -> Outcome {
        let thousandths = |limit: i32| limit as f32 / 1000.0;
        let source_moves = raw.source_displacement >= thousandths(self.policy.frozen_source);
        let same_picture = raw.first_ms_ssim >= thousandths(self.policy.frozen_likeness);
        let still = (same_picture
            && raw.displacement < thousandths(self.policy.frozen_displacement))
            || raw.longest_hold >= thousandths(self.policy.frozen_hold);
        if source_moves && still {
            let reason = format!(
                "the video changes {:.0} % as much as the source and stands still for {:.0} % of its steps",
                raw.displacement * 100.0,
                raw.longest_hold * 100.0
            );
            return Outcome::Unusable { status: EntryStatus::Frozen, reason, raw: Some(raw) };
        }
        if self.policy.forbid_replay
            && source_moves
            && raw.replay_detail >= thousandths(self.policy.replay_detail)
        {
            let reason = format!(
                "{SOURCE_ITSELF}: fine detail is like the source's by {:.3}",
                raw.replay_detail
            );
            return Outcome::Unusable { status: EntryStatus::Duplicate, reason, raw: Some(raw) };
        }
        Outcome::Usable {
            grade: Aspects::from_measures(&raw, &self.policy).grade(&self.policy),
            raw,
        }
    }

    /// Decodes an answer, refusing its size before and its length after.
    pub(crate) fn decode_answer(
        &self,
        reference: &Reference,
        answer_mp4: &[u8],
    ) -> Result<Clip, MediaError> {
        let source = &reference.clip;
        let (width, height) = (source.width(), source.height());
        let tolerance = self.policy.size_tolerance;
        let check_size = |got: (u32, u32)| {
            let near = |got: u32, want: usize| (got as usize).abs_diff(want) <= tolerance as usize;
            let want = (width as u32, height as u32);
            let fits = near(got.0, width) && near(got.1, height);
            if fits { Ok(()) } else { Err(VideoDefect::WrongSize { got, want, tolerance }) }
        };
        let accept = |info: &VideoInfo| check_size((info.width, info.height));
        let answer = decode_if(&self.ffmpeg, answer_mp4, &Limits::ANSWER, accept)?;
        // The decoder may find another size than the index claims.
        check_size((answer.width() as u32, answer.height() as u32))?;
        let min_frames = (source.len() * usize::from(self.policy.min_frames)).div_ceil(100);
        let min_duration_ms = source.duration_ms() * u64::from(self.policy.min_duration) / 100;
        let (frames, duration_ms) = (answer.len(), answer.duration_ms());
        // Without a stated rate there is no duration to hold against anyone; the frames are
        // compared one by one.
        let too_brief = answer.info().fps.is_some() && duration_ms < min_duration_ms;
        if frames < min_frames || too_brief {
            return Err(
                VideoDefect::TooShort { frames, duration_ms, min_frames, min_duration_ms }.into()
            );
        }
        Ok(resized(answer, width, height))
    }

    /// Backends panic where a driver fails; that must not take the validator down.
    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, ScoreFault> {
        let _turn = self.comparisons.take();
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or(panic.downcast_ref::<&str>().copied());
            ScoreFault::from_panic(self.device, text.unwrap_or("a panic without a message"))
        })
    }

    /// [`one_shot_segments`] for a task's clip.
    ///
    /// # Errors
    /// As there.
    pub fn one_shot_segments(
        &self,
        source: &[u8],
        rules: &SceneRules,
    ) -> Result<Vec<Segment>, MediaError> {
        one_shot_segments(
            &self.ffmpeg,
            source,
            rules,
            ClipShape::TASK.duration_ms(),
            &Limits::SOURCE,
        )
    }

    /// [`cut_clip`] from a source video.
    ///
    /// # Errors
    /// As there.
    pub fn cut_clip(
        &self,
        source: &[u8],
        start_ms: u64,
        shape: &ClipShape,
    ) -> Result<Vec<u8>, MediaError> {
        cut_clip(&self.ffmpeg, source, start_ms, shape, &Limits::SOURCE)
    }

    /// [`first_frame_png`] of a task's clip.
    ///
    /// # Errors
    /// As there.
    pub fn first_frame_png(&self, clip_mp4: &[u8]) -> Result<Vec<u8>, MediaError> {
        first_frame_png(&self.ffmpeg, clip_mp4, &Limits::ANSWER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_without_memory_is_told_from_one_that_failed() {
        let device = Device::Cuda { index: 0 };
        for text in [
            "called `Result::unwrap()` on an `Err` value: can't allocate buffer of size: 134217728",
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "An out-of-memory error happened during launch",
        ] {
            assert!(
                matches!(ScoreFault::from_panic(device, text), ScoreFault::OutOfMemory { .. }),
                "{text}"
            );
        }
        let fault = ScoreFault::from_panic(device, "CUDA_ERROR_ILLEGAL_ADDRESS");
        assert!(matches!(fault, ScoreFault::Arithmetic { .. }));
    }
}
