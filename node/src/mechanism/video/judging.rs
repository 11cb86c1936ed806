//! From an answer to a verdict: the scorer's measures and the judge's opinion.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use leoma_protocol::verdict::{AspectScores, EntryStatus, VerdictEntry};
use leoma_scoring::judge::JudgeThresholds;
use leoma_scoring::learned::TextModel;
use leoma_scoring::media::Ffmpeg;
use leoma_scoring::worker::{
    Patience, PoolOptions, ScorerOptions, ScorerPool, SourceClip, WorkerFault, WorkerProgram,
};
use leoma_scoring::{
    Aspects, Grade, JudgeChoice, JudgeError, JudgeRequest, Judgement, Measures, Outcome,
    ScoreFault, Scored, TaskType,
};

use tokio::sync::watch;

use super::answer::Answer;
use super::copies::Judged;
use super::memory::Memory;
use super::spool::Begun;
use crate::config::Config;
use crate::corpus::{Evidence, JudgeEvidence};
use crate::mechanism::TaskError;
use crate::metrics::Metrics;
use crate::miners::whose_fault::{Lost, Reply};
use crate::outbound::{Gemini, Reach};

/// The command that this program's scoring processes are started with.
pub(crate) const WORKER_COMMAND: &str = "score-worker";

/// The scorer and the judge.
#[derive(Clone)]
pub(crate) struct Judging {
    scorer: ScorerPool,
    choice: JudgeChoice,
    /// `None` where the metrics judge alone.
    gemini: Option<Arc<Gemini>>,
    id: Arc<str>,
    /// The part of `id` that names the metrics.
    metrics_id: Arc<str>,
    memory: Memory,
    /// Answers of our own task that are being judged.
    under_way: Arc<watch::Sender<usize>>,
}

/// Counts an answer that is being judged, until it is dropped.
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    fn begin(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|answers| *answers += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|answers| *answers -= 1);
    }
}

/// What became of a video.
#[derive(Clone, Debug)]
pub(super) enum Judgment {
    /// Its miner has an entry.
    Entry(Box<Judged>),
    /// It was lost with its scoring process, twice.
    Lost { kind: Lost, reason: WorkerFault },
    /// The judge had no usable answer about it. `entry` is its miner's if that is the video's doing.
    Silence { entry: Box<Judged>, error: JudgeError },
}

impl std::fmt::Debug for Judging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judging").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Judging {
    /// Starts the scoring processes, which refuse a device whose results differ from the CPU's, and
    /// sets up the judge.
    ///
    /// # Errors
    /// What is missing or unusable.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        Self::open_with(config, WorkerProgram::this([WORKER_COMMAND])).await
    }

    async fn open_with(config: &Config, program: WorkerProgram) -> anyhow::Result<Self> {
        config.judging.need_describer()?;
        if config.judging.task == TaskType::I2v && !config.judging.judge.asks_gemini() {
            tracing::warn!(
                "LEOMA_TASK is i2v and no judge is asked: an answer passes even if it only turns or moves its picture; see docs/judging.md"
            );
        }
        let gemini = gemini(config)?;
        let text_model = match config.judging.text_model.clone() {
            Some(folder) => {
                Some(tokio::task::spawn_blocking(move || TextModel::at(&folder)).await??)
            }
            None => None,
        };
        let size_tolerance = config.sampling.size_tolerance;
        let scoring = ScorerOptions {
            size_tolerance,
            task: config.judging.task,
            text_model,
            ..ScorerOptions::default()
        };
        let metrics = scoring.judge_id();
        let metrics_id = metrics.as_str().into();
        let options = PoolOptions { scoring, program, patience: Patience::default() };
        let scorer = ScorerPool::open(config.judging.device, options).await?;
        let id = match (config.judging.judge, &gemini) {
            (_, None) => metrics,
            (choice, Some(gemini)) => format!("{choice}:{metrics}+{}", gemini.id()),
        };
        let (choice, memory) = (config.judging.judge, Memory::new());
        tracing::info!(judge = %choice, because = config.why_this_judge, id, "judge opened");
        let under_way = Arc::default();
        Ok(Self { scorer, choice, gemini, id: id.into(), metrics_id, memory, under_way })
    }

    /// The name of scorer and judge in a verdict file's envelope.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The name of the scorer alone.
    pub(crate) fn metrics_id(&self) -> Arc<str> {
        Arc::clone(&self.metrics_id)
    }

    /// How many of our own task's answers are being judged.
    pub(crate) fn under_way(&self) -> watch::Receiver<usize> {
        self.under_way.subscribe()
    }

    /// What miners are given.
    pub(super) fn task(&self) -> TaskType {
        self.scorer.policy().task
    }

    /// The devices that score video.
    pub(crate) fn device(&self) -> String {
        let devices: Vec<String> = self.scorer.devices().iter().map(ToString::to_string).collect();
        devices.join(", ")
    }

    /// The scoring processes.
    pub(crate) fn scorer(&self) -> &ScorerPool {
        &self.scorer
    }

    /// The scorer's ffmpeg, for cutting clips.
    pub(super) fn ffmpeg(&self) -> &Ffmpeg {
        self.scorer.ffmpeg()
    }

    /// A task's clip, measured once for all answers.
    pub(super) async fn reference(&self, clip: &Bytes) -> Result<SourceClip, TaskError> {
        Ok(self.scorer.reference(clip.clone()).await?)
    }

    /// The prompt of a clip: Gemini's description, else one made from the measures.
    pub(super) async fn describe(
        &self,
        clip: &Bytes,
        reference: &SourceClip,
    ) -> Result<String, JudgeError> {
        match &self.gemini {
            Some(gemini) => gemini.describe(clip, self.task()).await,
            None => Ok(reference.description().to_owned()),
        }
    }

    /// Answers that are worth judging at a time.
    pub(super) fn at_a_time(&self) -> usize {
        self.scorer.clips_at_a_time()
    }

    /// Whether the scorer scores the source clip as it scores an answer: then this machine has the
    /// memory and the time that a clip needs.
    pub(super) async fn scores_the_source(&self, reference: &SourceClip, begun: &Begun) -> bool {
        let scored = self.scorer.score(reference, begun.clip.mp4.clone()).await;
        if let Err(fault) = &scored {
            tracing::warn!(%fault, "failed to score the source clip, too");
        }
        scored.is_ok()
    }

    /// Whether the judge takes the source clip, which is known to be good.
    ///
    /// # Errors
    /// It does not answer within this time.
    pub(super) async fn takes_the_source(
        &self,
        begun: &Begun,
        within: Duration,
    ) -> Result<bool, JudgeError> {
        let Some(gemini) = &self.gemini else { return Ok(true) };
        match gemini.judge(self.question(begun, &begun.clip.mp4), within).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_about_the_video() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Judges a miner's video in `file`. What is its own fault is an entry too. The judge has this
    /// time for an answer about it.
    ///
    /// # Errors
    /// A fault of ours that is not about this video alone.
    pub(super) async fn judge(
        &self,
        reference: &SourceClip,
        begun: &Begun,
        answer: &Answer,
        file: &Path,
        metrics: &Metrics,
        within: Duration,
    ) -> Result<Judgment, TaskError> {
        let _under_way = UnderWay::begin(&self.under_way);
        let disk = |source| TaskError::Disk { path: file.to_owned(), source };
        // Held until it is judged.
        let loaded = self.memory.load(file).await.map_err(disk)?;
        let video = &loaded.video;
        let started = Instant::now();
        let scored = match self.scorer.score(reference, video.clone()).await {
            Ok(scored) => scored,
            Err(ScoreFault::Worker(reason)) if reason.is_about_one_clip() => {
                tracing::warn!(miner = %answer.miner, %reason, "failed to score a video");
                return Ok(Judgment::Lost { kind: lost_by(&reason), reason });
            }
            Err(fault) => return Err(fault.into()),
        };
        metrics.score_seconds.observe(started.elapsed().as_secs_f64());
        let judgment = self.judged(begun, answer, video, scored, within).await?;
        if let Judgment::Entry(judged) = &judgment {
            let entry = &judged.entry;
            tracing::info!(miner = %entry.hotkey, passed = entry.passed, status = %entry.status, score = entry.score, reason = entry.reasoning, "answer judged");
        }
        Ok(judgment)
    }

    fn question<'a>(&self, begun: &'a Begun, video: &'a Bytes) -> JudgeRequest<'a> {
        JudgeRequest {
            prompt: begun.prompt.as_deref(),
            first_frame_png: self.task().gives_first_frame().then_some(&begun.clip.first_frame),
            video_mp4: video,
            thresholds: JudgeThresholds::SUBNET,
        }
    }

    async fn judged(
        &self,
        begun: &Begun,
        answer: &Answer,
        video: &Bytes,
        scored: Scored,
        within: Duration,
    ) -> Result<Judgment, TaskError> {
        let video_sha256 = Some(scored.video_sha256);
        let fingerprint = scored.fingerprint.map(|fingerprint| fingerprint.to_bytes());
        let judged = |entry: VerdictEntry, evidence| Judged {
            evidence: Some(evidence),
            ..Judged::of(answer, VerdictEntry { video_sha256, ..entry })
        };
        let entry = |entry, evidence| Judgment::Entry(Box::new(judged(entry, evidence)));
        let graded = |grade: &Grade, reasoning, confidence| VerdictEntry {
            fingerprint: fingerprint.clone(),
            ..graded_entry(answer, grade, reasoning, confidence)
        };
        let (grade, raw) = match scored.outcome {
            Outcome::Unusable { status, reason, raw } => {
                let unusable =
                    VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms);
                return Ok(entry(unusable, evidence(raw.as_ref(), None)));
            }
            Outcome::Usable { grade, raw } => (grade, raw),
        };
        let weaknesses = Aspects::weaknesses(&raw, &self.scorer.policy());
        let measured =
            if weaknesses.is_empty() { "no aspect is weak".to_owned() } else { weaknesses };
        let Some(gemini) = &self.gemini else {
            return Ok(entry(graded(&grade, measured, 100), evidence(Some(&raw), None)));
        };
        let asked = gemini.judge(self.question(begun, video), within).await;
        // A judge that is down is one error, found out at once: it does not answer about the source
        // clip either. One that fails with this video alone must not void the task for the others.
        // A slow judge must not seem healthy because it had more time for the source clip.
        if let Err(error @ JudgeError::Unreachable { .. }) = &asked
            && !self.takes_the_source(begun, within).await?
        {
            return Err(error.clone().into());
        }
        let judgement = match asked {
            Ok(judgement) => judgement,
            Err(error) if error.is_about_the_video() || is_silence(&error) => {
                let reason = format!("the judge did not grade this video: {error}");
                let ungraded = VerdictEntry {
                    fingerprint: fingerprint.clone(),
                    ..VerdictEntry::unusable(
                        answer.miner,
                        EntryStatus::Failed,
                        reason,
                        answer.latency_ms,
                    )
                };
                let ungraded = judged(ungraded, evidence(Some(&raw), None));
                // What the judge refuses to look at is this miner's video, unless it refuses the
                // source clip too: it must not void the task for the others.
                return Ok(match is_silence(&error) {
                    true => Judgment::Silence { entry: Box::new(ungraded), error },
                    false => {
                        Judgment::Entry(Box::new(Judged { refused_by_judge: true, ..ungraded }))
                    }
                });
            }
            Err(error) => return Err(error.into()),
        };
        let opinion = &judgement.answer;
        let grade = self.choice.grade(&grade, opinion, &self.scorer.policy());
        let reasoning = match self.choice {
            JudgeChoice::Both => format!("{measured}; {}", opinion.reasoning),
            _ => opinion.reasoning.clone(),
        };
        let confidence = opinion.confidence;
        let graded = graded(&grade, reasoning, confidence);
        Ok(entry(graded, evidence(Some(&raw), Some(judgement))))
    }
}

impl Judged {
    /// The result of an answer without evidence.
    pub(super) fn of(answer: &Answer, entry: VerdictEntry) -> Self {
        let model_revision = Some(answer.model_revision.clone());
        let entry = VerdictEntry { model_revision, ..entry };
        let commit_block = answer.commit_block;
        Self { entry, evidence: None, commit_block, refused_by_judge: false }
    }

    /// The result of a reply without a video.
    pub(super) fn without_video(answer: &Answer) -> Self {
        let (status, reason) = status_of(answer);
        Self::of(answer, VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms))
    }

    /// The result of a video that was lost with its scoring process, while others were scored.
    pub(super) fn lost(answer: &Answer, kind: Lost) -> Self {
        let reason = match kind {
            Lost::Crashed => "scoring this video ended the scoring process twice",
            Lost::Starved | Lost::Tools => {
                "scoring this video used up the scoring process's memory or time at two tries, and scoring the source clip did not"
            }
        };
        let (status, reason) = (EntryStatus::Undecodable, reason.to_owned());
        Self::of(answer, VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms))
    }
}

/// How a clip was lost, by the fault of its second process.
fn lost_by(reason: &WorkerFault) -> Lost {
    if reason.is_crash() {
        Lost::Crashed
    } else if reason.is_starvation() {
        Lost::Starved
    } else {
        Lost::Tools
    }
}

/// Whether the judge said nothing usable or nothing at all, or could not be shown the video: if
/// that happens with one video only, the video may be the cause.
const fn is_silence(error: &JudgeError) -> bool {
    matches!(
        error,
        JudgeError::NoAnswer { .. } | JudgeError::Copy { .. } | JudgeError::Unreachable { .. }
    )
}

/// The Gemini client, where the settings ask for one.
fn gemini(config: &Config) -> anyhow::Result<Option<Arc<Gemini>>> {
    if !config.judging.judge.asks_gemini() {
        return Ok(None);
    }
    let key = config.services.need_gemini_api_key()?;
    let services = &config.services;
    let client = Reach::new(services.local_network).api_client()?;
    let gemini = Gemini::new(client, &services.gemini_api_url, &services.gemini_model, key)?;
    Ok(Some(Arc::new(gemini)))
}

fn evidence(raw: Option<&Measures>, judgement: Option<Judgement>) -> Evidence {
    // NaN and infinity become null: the record is for people and for a later check.
    let measures = raw.and_then(|raw| serde_json::to_value(raw).ok());
    Evidence {
        measures,
        judge: judgement
            .map(|judgement| JudgeEvidence { model: judgement.model, raw: judgement.raw }),
    }
}

fn graded_entry(answer: &Answer, grade: &Grade, reasoning: String, confidence: u8) -> VerdictEntry {
    VerdictEntry {
        hotkey: answer.miner,
        passed: grade.passed,
        status: if grade.passed { EntryStatus::Passed } else { EntryStatus::Failed },
        confidence,
        reasoning,
        latency_ms: answer.latency_ms,
        model_revision: None,
        video_sha256: None,
        score: Some(grade.overall.tenths()),
        aspect_scores: Some(AspectScores {
            first_frame_fidelity: grade.aspects.first_frame_fidelity.tenths(),
            prompt_adherence: grade.aspects.prompt_adherence.tenths(),
            motion_quality: grade.aspects.motion_quality.tenths(),
            temporal_consistency: grade.aspects.temporal_consistency.tenths(),
            visual_quality: grade.aspects.visual_quality.tenths(),
            camera_composition: grade.aspects.camera_composition.tenths(),
        }),
        fingerprint: None,
        observations: Vec::new(),
    }
}

/// The status of a reply without a video in a verdict file.
fn status_of(answer: &Answer) -> (EntryStatus, String) {
    let status = match answer.replied.reply {
        Reply::Unreachable | Reply::BrokenOff | Reply::Empty => EntryStatus::NoResponse,
        Reply::Timeout => EntryStatus::Timeout,
        Reply::Status(_) => EntryStatus::HttpError,
        Reply::TooLarge | Reply::Video | Reply::NotVideo => EntryStatus::Undecodable,
    };
    (status, answer.replied.detail.clone())
}

#[cfg(test)]
mod tests;
