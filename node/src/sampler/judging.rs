//! From answers to verdicts: the scorer's measures, the judge's opinion, and the check for copies.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use leoma_protocol::Digest;
use leoma_protocol::verdict::{AspectScores, EntryStatus, VerdictEntry};
use leoma_scoring::judge::{ApiKey, GeminiConfig, GeminiJudge, JudgeThresholds};
use leoma_scoring::media::Ffmpeg;
use leoma_scoring::{
    AspectPolicy, Grade, Judge, JudgeError, JudgeRequest, Outcome, Reference, ScoreFault, Scored, Scorer,
};

use super::TaskError;
use super::ask::Answer;
use super::copies::{Judged, without_copies};
use crate::config::{Config, missing};
use crate::corpus::TaskClip;
use crate::metrics::Metrics;
use crate::miners::AnswerFault;

/// Most answers that are decoded and scored at a time; decoding is the bottleneck, and each takes a core and 200 MB.
const MAX_CONCURRENT_SCORES: usize = 8;

/// Scores and judges.
#[derive(Clone)]
pub struct Judging {
    scorer: Scorer,
    judge: Arc<dyn Judge>,
    id: Arc<str>,
}

impl std::fmt::Debug for Judging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judging").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Judging {
    /// Opens device and judge, and refuses a device that computes something else than the CPU.
    ///
    /// # Errors
    /// [`anyhow::Error`] with what is missing or wrong.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let choice = config.device;
        let policy = AspectPolicy { size_tolerance: config.sampling.size_tolerance, ..AspectPolicy::SUBNET };
        let scorer = tokio::task::spawn_blocking(move || {
            let scorer = Scorer::open(choice, policy)?;
            tracing::info!(device = %scorer.device(), "testing the scorer");
            let report = scorer.self_test()?;
            tracing::info!(device = %report.device, checks = report.checks.len(), "the scorer computes what the CPU computes");
            Ok::<_, ScoreFault>(scorer)
        })
        .await??;
        let key = config.services.gemini_api_key.as_ref().ok_or_else(|| missing("GEMINI_API_KEY"))?;
        let settings = GeminiConfig {
            base: config.services.gemini_api_url.clone(),
            model: config.services.gemini_model.clone(),
            ..GeminiConfig::new(ApiKey::new(key.expose()))
        };
        let judge: Arc<dyn Judge> = Arc::new(GeminiJudge::new(settings)?);
        let id = format!("metrics:{}+{}", scorer.policy().digest().short(), judge.id()).into();
        Ok(Self { scorer, judge, id })
    }

    /// What judges here, for envelopes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where video is scored.
    #[must_use]
    pub fn device(&self) -> String {
        self.scorer.device().to_string()
    }

    /// The ffmpeg that it uses, for cutting clips.
    pub(super) fn ffmpeg(&self) -> &Ffmpeg {
        self.scorer.ffmpeg()
    }

    /// The prompt of a clip.
    pub(super) async fn describe(&self, clip: &Bytes) -> Result<String, JudgeError> {
        self.judge.describe(clip).await
    }

    /// One entry for each answer, sorted by miner.
    pub(super) async fn judge_all(
        &self,
        clip: &TaskClip,
        prompt: &str,
        answers: &[Answer],
        metrics: &Metrics,
    ) -> Result<Vec<VerdictEntry>, TaskError> {
        let (scorer, source) = (self.scorer.clone(), clip.mp4.clone());
        let reference = Arc::new(tokio::task::spawn_blocking(move || scorer.reference(&source)).await??);
        let concurrent = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_CONCURRENT_SCORES);
        let mut scoring = Vec::with_capacity(answers.len());
        for answer in answers {
            scoring.push(self.judge_one(&reference, clip, prompt, answer, metrics).boxed());
        }
        let judged: Vec<Judged> = stream::iter(scoring).buffered(concurrent).try_collect().await?;
        Ok(tokio::task::spawn_blocking(move || without_copies(judged, reference.fingerprint())).await?)
    }

    async fn judge_one(
        &self,
        reference: &Arc<Reference>,
        clip: &TaskClip,
        prompt: &str,
        answer: &Answer,
        metrics: &Metrics,
    ) -> Result<Judged, TaskError> {
        let entry = match &answer.video {
            Err(fault) => {
                let (status, reason) = status_of(fault);
                VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms)
            }
            Ok(video) => {
                let started = Instant::now();
                let (scorer, reference, bytes) = (self.scorer.clone(), Arc::clone(reference), video.clone());
                let scored = tokio::task::spawn_blocking(move || scorer.score(&reference, &bytes)).await??;
                metrics.score_seconds.observe(started.elapsed().as_secs_f64());
                self.entry_of(clip, prompt, answer, video, scored).await?
            }
        };
        let entry = VerdictEntry { model_revision: Some(answer.model_revision.clone()), ..entry };
        tracing::info!(miner = %entry.hotkey, passed = entry.passed, status = %entry.status, score = entry.score, reason = entry.reasoning, "answer judged");
        Ok(Judged { entry, commit_block: answer.commit_block })
    }

    async fn entry_of(
        &self,
        clip: &TaskClip,
        prompt: &str,
        answer: &Answer,
        video: &Bytes,
        scored: Scored,
    ) -> Result<VerdictEntry, TaskError> {
        let video_sha256 = Some(scored.video_sha256);
        let grade = match scored.outcome {
            Outcome::Unusable { status, reason, .. } => {
                let entry = VerdictEntry::unusable(answer.miner, status, reason, answer.latency_ms);
                return Ok(VerdictEntry { video_sha256, ..entry });
            }
            Outcome::Usable { grade, .. } => grade,
        };
        let request = JudgeRequest {
            prompt,
            first_frame_png: &clip.first_frame,
            video_mp4: video,
            thresholds: JudgeThresholds::SUBNET,
        };
        let (grade, reasoning, confidence) = match self.judge.judge(request).await {
            Ok(opinion) => {
                let graded = grade.aspects.with_judge(&opinion, self.scorer.policy()).grade(self.scorer.policy());
                (graded, opinion.reasoning, opinion.confidence)
            }
            // What the judge refuses to look at is this miner's video: it must not void the task for the others.
            Err(error) if is_about_the_video(&error) => {
                let grade = Grade { passed: false, ..grade };
                (grade, format!("the judge did not grade this video: {error}"), 100)
            }
            Err(error) => return Err(error.into()),
        };
        let fingerprint = scored.fingerprint.map(|fingerprint| fingerprint.to_bytes());
        Ok(VerdictEntry { fingerprint, ..graded_entry(answer, video_sha256, &grade, reasoning, confidence) })
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

/// Whether the judge refused this very video. A key of ours that is refused has already failed the task's description.
fn is_about_the_video(error: &JudgeError) -> bool {
    match error {
        JudgeError::NoText { .. } | JudgeError::TooLarge { .. } => true,
        JudgeError::Refused { status, .. } => matches!(status, 400 | 413),
        JudgeError::Unreachable { .. } | JudgeError::Settings { .. } => false,
    }
}

fn status_of(fault: &AnswerFault) -> (EntryStatus, String) {
    match fault {
        AnswerFault::NoResponse(reason) => (EntryStatus::NoResponse, reason.clone()),
        AnswerFault::Timeout => (EntryStatus::Timeout, "no complete answer in time".to_owned()),
        AnswerFault::Http(status) => (EntryStatus::HttpError, format!("HTTP {status}")),
        AnswerFault::TooLarge => (EntryStatus::Undecodable, "more bytes than any clip needs".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{BlockNumber, Hotkey};

    #[test]
    fn a_video_that_the_judge_refuses_fails_alone_and_a_judge_that_is_down_fails_nobody() {
        let judge = || "judge".to_owned();
        let refused = |status| JudgeError::Refused { judge: judge(), status, code: String::new() };
        assert!(is_about_the_video(&JudgeError::TooLarge { judge: judge(), bytes: 20 << 20 }));
        assert!(is_about_the_video(&JudgeError::NoText { judge: judge(), reason: "SAFETY".into() }));
        assert!(is_about_the_video(&refused(400)) && is_about_the_video(&refused(413)));
        assert!(!is_about_the_video(&refused(403)) && !is_about_the_video(&refused(404)));
        let down = JudgeError::Unreachable { judge: judge(), attempts: 4, reason: "HTTP 500".into() };
        assert!(!is_about_the_video(&down));
    }

    #[test]
    fn every_fault_of_a_miner_has_its_status() {
        for (fault, status) in [
            (AnswerFault::NoResponse("x".into()), EntryStatus::NoResponse),
            (AnswerFault::Timeout, EntryStatus::Timeout),
            (AnswerFault::Http(500), EntryStatus::HttpError),
            (AnswerFault::TooLarge, EntryStatus::Undecodable),
        ] {
            assert_eq!(status_of(&fault).0, status);
        }
    }
    /// A scene of a task's length, or a printed reason why there is none.
    fn scene(folder: &std::path::Path, quality: u32) -> Option<Vec<u8>> {
        leoma_scoring::media::Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()?;
        let source = "testsrc2=s=1200x640:r=16,gblur=1,crop=832:480:x='60+n*3':y='80+20*sin(n/12)'";
        let path = folder.join(format!("{quality}.mp4"));
        let made = std::process::Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-threads", "2", "-f", "lavfi", "-i", source, "-frames:v", "81"])
            .args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-crf", &quality.to_string()])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
        Some(std::fs::read(path).unwrap())
    }

    /// Stands in for the judge, which likes everything, and for miners: `copy`, `padded` and `endless`.
    async fn stand_in(copy: Bytes, padded: Bytes) -> String {
        use axum::body::Body;
        use axum::extract::{DefaultBodyLimit, Path};
        use axum::routing::post;
        let grade = serde_json::json!({"overall_score": 90, "confidence": 80, "reasoning": "seen"}).to_string();
        let answer = serde_json::json!({"candidates": [{"content": {"parts": [{"text": grade}]}}]}).to_string();
        // Requests are read to their end: an early answer would break the connection off.
        let judge = move |_request: Bytes| std::future::ready(answer.clone());
        let miner = move |Path(slug): Path<String>, _request: Bytes| {
            let body = match slug.as_str() {
                "copy" => Body::from(copy.clone()),
                "padded" => Body::from(padded.clone()),
                _ => {
                    Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536]))))
                }
            };
            std::future::ready(body)
        };
        let router = axum::Router::new()
            .route("/v1beta/models/{call}", post(judge))
            .route("/generate/{slug}", post(miner))
            .layer(DefaultBodyLimit::disable());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_too_large_for_us_or_for_the_judge_fail_alone() {
        use crate::corpus::{ClipProof, CorpusId, PROOF_SCHEMA, Seed};
        use crate::miners::{ChutesClient, GenerateRequest};
        use leoma_scoring::media::{ClipShape, Limits};
        let folder = tempfile::tempdir().unwrap();
        let (Some(clip), Some(copy)) = (scene(folder.path(), 16), scene(folder.path(), 22)) else { return };
        // A box that players skip: the same pictures in more bytes than the judge takes, and fewer than we do.
        let padding = 20_u32 << 20;
        let padded = [&copy[..], &padding.to_be_bytes(), b"free", &vec![0; padding as usize - 8]].concat();
        assert!(padded.len() < Limits::ANSWER.file_bytes);
        let base = stand_in(copy.into(), padded.into()).await;
        let settings = [
            ("GEMINI_API_URL", base.clone()),
            ("GEMINI_API_KEY", "a-key".to_owned()),
            ("CHUTES_GENERATE_URL", format!("{base}/generate/{{slug}}")),
            ("LEOMA_DEVICE", "cpu".to_owned()),
        ];
        let environment = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let sources = crate::config::Sources { environment, ..Default::default() };
        let config = Config::load(&sources).unwrap();
        let judging = Judging::open(&config).await.unwrap();
        let first_frame: Bytes = judging.scorer.first_frame_png(&clip).unwrap().into();
        let shape = ClipShape::TASK;
        let proof = ClipProof {
            schema: PROOF_SCHEMA,
            seed: Seed { block: BlockNumber(0), hash: Digest::of(b"s") },
            corpus: CorpusId::Manifest { sha256: Digest::of(b"m"), videos: 1 },
            skipped: Vec::new(),
            index: 0,
            key: "clips/a.mp4".parse().unwrap(),
            source_sha256: Digest::of(b"v"),
            source_bytes: 1,
            shots: vec![[0, 6000]],
            shot: 0,
            start_ms: 0,
            offset_ms: 0,
            shape: [shape.fps, shape.frames, shape.width, shape.height],
            clip_sha256: Digest::of(&clip),
            first_frame_sha256: Digest::of(&first_frame),
            ffmpeg: "5.1".into(),
        };
        let clip = TaskClip { proof, mp4: clip.into(), first_frame };

        let chutes = ChutesClient::new(crate::services::client().unwrap(), &config.services);
        let request = GenerateRequest {
            prompt: "a pattern".into(),
            first_frame: clip.first_frame.clone(),
            fps: ClipShape::TASK.fps,
            frames: ClipShape::TASK.frames,
        };
        let mut answers = Vec::new();
        for (n, slug) in (1..).zip(["copy", "padded", "endless"]) {
            let patience = std::time::Duration::from_secs(300);
            let video = chutes.generate(slug, &request, patience, Limits::ANSWER.file_bytes).await;
            let (miner, commit_block) = (Hotkey::from_bytes([n; 32]), BlockNumber(n.into()));
            answers.push(Answer { miner, model_revision: "r".into(), commit_block, video, latency_ms: 1 });
        }
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let entries = judging.judge_all(&clip, "a pattern", &answers, &metrics).await.unwrap();
        let [copy, padded, endless] = &entries[..] else { panic!("an entry is missing: {entries:?}") };
        assert_eq!(copy.reasoning, "seen");
        assert!(copy.passed, "{copy:?}");
        assert!(!padded.passed && padded.reasoning.contains("more than judge"), "{padded:?}");
        assert_eq!(padded.status, EntryStatus::Failed);
        assert_eq!((endless.passed, &endless.status), (false, &EntryStatus::Undecodable));
    }
}
