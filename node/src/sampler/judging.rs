//! From answers to verdicts: the scorer's measures, the judge's opinion, and the check for copies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use leoma_protocol::verdict::{AspectScores, EntryStatus, VerdictEntry};
use leoma_protocol::{Digest, Hotkey};
use leoma_scoring::judge::JudgeThresholds;
use leoma_scoring::learned::TextModel;
use leoma_scoring::media::Ffmpeg;
use leoma_scoring::worker::{
    Patience, PoolOptions, ScorerOptions, ScorerPool, SourceClip, WorkerProgram,
};
use leoma_scoring::{
    Aspects, Grade, JudgeChoice, JudgeError, JudgeRequest, Judgement, Measures, Outcome, Scored,
    TaskType,
};

use super::answer::Answer;
use super::copies::{Judged, without_copies};
use super::error::TaskError;
use crate::config::Config;
use crate::corpus::{Evidence, JudgeEvidence, TaskClip};
use crate::metrics::Metrics;
use crate::miners::AnswerFault;
use crate::outbound::Gemini;

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
                "LEOMA_TASK is i2v and no judge is asked: an answer passes even if it only turns or moves its picture; see docs/scoring.md"
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
        let options = PoolOptions { scoring, program, patience: Patience::default() };
        let scorer = ScorerPool::open(config.judging.device, options).await?;
        let id = match (config.judging.judge, &gemini) {
            (_, None) => metrics,
            (choice, Some(gemini)) => format!("{choice}:{metrics}+{}", gemini.id()),
        };
        Ok(Self { scorer, choice: config.judging.judge, gemini, id: id.into() })
    }

    /// The name of scorer and judge in a verdict file's envelope.
    pub(crate) fn id(&self) -> &str {
        &self.id
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

    /// The entries of all answers, sorted by miner, and the evidence behind them.
    pub(super) async fn judge_all(
        &self,
        reference: &SourceClip,
        clip: &TaskClip,
        prompt: Option<&str>,
        answers: &[Answer],
        metrics: &Metrics,
    ) -> Result<(Vec<VerdictEntry>, BTreeMap<Hotkey, Evidence>), TaskError> {
        let prompted = prompt.map(|prompt| reference.clone().with_prompt(prompt));
        let reference = prompted.as_ref().unwrap_or(reference);
        let concurrent = self.scorer.clips_at_a_time();
        let mut scoring = Vec::with_capacity(answers.len());
        for answer in answers {
            scoring.push(self.judge_one(reference, clip, prompt, answer, metrics).boxed());
        }
        let mut judged: Vec<Judged> =
            stream::iter(scoring).buffered(concurrent).try_collect().await?;
        let evidence = judged
            .iter_mut()
            .filter_map(|judged| Some((judged.entry.hotkey, judged.evidence.take()?)))
            .collect();
        let source = reference.clone();
        let entries =
            tokio::task::spawn_blocking(move || without_copies(judged, source.fingerprint()))
                .await?;
        Ok((entries, evidence))
    }

    async fn judge_one(
        &self,
        reference: &SourceClip,
        clip: &TaskClip,
        prompt: Option<&str>,
        answer: &Answer,
        metrics: &Metrics,
    ) -> Result<Judged, TaskError> {
        let (entry, evidence) = match &answer.video {
            Err(fault) => {
                let (status, reason) = status_of(fault);
                (VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms), None)
            }
            Ok(video) => {
                let started = Instant::now();
                let scored = self.scorer.score(reference, video.clone()).await?;
                metrics.score_seconds.observe(started.elapsed().as_secs_f64());
                let (entry, evidence) = self.entry_of(clip, prompt, answer, video, scored).await?;
                (entry, Some(evidence))
            }
        };
        let entry = VerdictEntry { model_revision: Some(answer.model_revision.clone()), ..entry };
        tracing::info!(miner = %entry.hotkey, passed = entry.passed, status = %entry.status, score = entry.score, reason = entry.reasoning, "answer judged");
        Ok(Judged { entry, evidence, commit_block: answer.commit_block })
    }

    async fn entry_of(
        &self,
        clip: &TaskClip,
        prompt: Option<&str>,
        answer: &Answer,
        video: &Bytes,
        scored: Scored,
    ) -> Result<(VerdictEntry, Evidence), TaskError> {
        let video_sha256 = Some(scored.video_sha256);
        let fingerprint = scored.fingerprint.map(|fingerprint| fingerprint.to_bytes());
        let graded = |grade: &Grade, reasoning, confidence| VerdictEntry {
            fingerprint: fingerprint.clone(),
            ..graded_entry(answer, video_sha256, grade, reasoning, confidence)
        };
        let (grade, raw) = match scored.outcome {
            Outcome::Unusable { status, reason, raw } => {
                let entry = VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms);
                return Ok((VerdictEntry { video_sha256, ..entry }, evidence(raw.as_ref(), None)));
            }
            Outcome::Usable { grade, raw } => (grade, raw),
        };
        let weaknesses = Aspects::weaknesses(&raw, &self.scorer.policy());
        let measured =
            if weaknesses.is_empty() { "no aspect is weak".to_owned() } else { weaknesses };
        let Some(gemini) = &self.gemini else {
            return Ok((graded(&grade, measured, 100), evidence(Some(&raw), None)));
        };
        let request = JudgeRequest {
            prompt,
            first_frame_png: self.task().gives_first_frame().then_some(&clip.first_frame),
            video_mp4: video,
            thresholds: JudgeThresholds::SUBNET,
        };
        let judgement = match gemini.judge(request).await {
            Ok(judgement) => judgement,
            // What the judge refuses to look at is this miner's video: it must not void the task
            // for the others.
            Err(error) if error.is_about_the_video() => {
                let grade = Grade { passed: false, ..grade };
                let reasoning = format!("the judge did not grade this video: {error}");
                return Ok((graded(&grade, reasoning, 100), evidence(Some(&raw), None)));
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
        Ok((graded(&grade, reasoning, confidence), evidence(Some(&raw), Some(judgement))))
    }
}

/// The Gemini client, where the settings ask for one.
fn gemini(config: &Config) -> anyhow::Result<Option<Arc<Gemini>>> {
    if !config.judging.judge.asks_gemini() {
        return Ok(None);
    }
    let key = config.services.need_gemini_api_key()?;
    let services = &config.services;
    let client = crate::outbound::client()?;
    let gemini = Gemini::new(client, &services.gemini_api_url, &services.gemini_model, key)?;
    Ok(Some(Arc::new(gemini)))
}

fn evidence(raw: Option<&Measures>, judgement: Option<Judgement>) -> Evidence {
    // Numbers that are no number become null: the record is for people and for a second look.
    let measures = raw.and_then(|raw| serde_json::to_value(raw).ok());
    Evidence {
        measures,
        judge: judgement
            .map(|judgement| JudgeEvidence { model: judgement.model, raw: judgement.raw }),
    }
}

fn graded_entry(
    answer: &Answer,
    video_sha256: Option<Digest>,
    grade: &Grade,
    reasoning: String,
    confidence: u8,
) -> VerdictEntry {
    VerdictEntry {
        hotkey: answer.miner,
        passed: grade.passed,
        status: if grade.passed { EntryStatus::Passed } else { EntryStatus::Failed },
        confidence,
        reasoning,
        latency_ms: answer.latency_ms,
        model_revision: None,
        video_sha256,
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
    }
}

fn status_of(fault: &AnswerFault) -> (EntryStatus, String) {
    match fault {
        AnswerFault::NoResponse(reason) => (EntryStatus::NoResponse, reason.clone()),
        AnswerFault::Timeout => (EntryStatus::Timeout, "no complete answer in time".to_owned()),
        AnswerFault::Http(status) => (EntryStatus::HttpError, format!("HTTP {status}")),
        AnswerFault::TooLarge => {
            (EntryStatus::Undecodable, "more bytes than any clip needs".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
