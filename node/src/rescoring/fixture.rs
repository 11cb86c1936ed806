//! A task as its sampler publishes it, for tests: real videos, scored by real processes.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use leoma_protocol::verdict::{
    AspectScores, EntryStatus, Expected, SignedVerdict, VerdictDraft, VerdictEntry,
    VerifiedVerdict, verify,
};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, Hotkey, HotkeySigner, MemoryGuard, Netuid, Network,
    TaskId,
};
use leoma_scoring::calibration::continuation::{Course, Scene, SceneKind};
use leoma_scoring::media::{Clip, Ffmpeg};
use leoma_scoring::worker::{
    Patience, PoolOptions, ScorerOptions, ScorerPool, SourceClip, WorkerProgram,
};
use leoma_scoring::{Device, Outcome, Score, TaskType};
use leoma_storage::{Bucket, OwnBucket, TaskArtefacts};
use sp_core::{Pair as _, sr25519};

use crate::corpus::TaskMetadata;
use crate::mechanism::video::tests::a_clip;

/// The task that is published, unless another one is named.
pub(crate) const TASK: TaskId = TaskId(7);
/// Blocks of a task.
pub(crate) const INTERVAL: u64 = 100;
const SIZE: (usize, usize) = (256, 192);

/// The process that tests score in.
#[test]
#[ignore = "the process that another test scores in"]
fn worker_process() {
    use leoma_scoring::worker::{open_scorer, serve};
    let Ok(output) = std::fs::File::options().write(true).open("/proc/self/fd/3") else {
        return;
    };
    serve(&mut std::io::stdin().lock(), output, open_scorer).unwrap();
}

/// This very test program, running [`worker_process`] alone, whose frames do not go where the
/// test's own lines go.
fn this_test_as_worker() -> WorkerProgram {
    let test = std::env::current_exe().unwrap().display().to_string();
    let name = "rescoring::fixture::worker_process";
    let script =
        format!("exec 3>&1 1>&2; exec '{test}' --ignored --exact {name} --nocapture --quiet");
    WorkerProgram { path: "/bin/sh".into(), arguments: ["-c".into(), script.into()].into() }
}

/// A source clip, answers to it, and what scores them.
pub(crate) struct World {
    pub(crate) scorer: ScorerPool,
    pub(crate) metrics: String,
    pub(crate) clip: Bytes,
    source: SourceClip,
    /// A free continuation, and another scene.
    pub(crate) good: Bytes,
    pub(crate) bad: Bytes,
}

impl World {
    /// `None`, with a line that says why, where there is no ffmpeg.
    pub(crate) async fn new() -> Option<Self> {
        Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()?;
        let scoring = ScorerOptions::default();
        let metrics = scoring.judge_id();
        let program = this_test_as_worker();
        let options = PoolOptions { scoring, program, patience: Patience::default() };
        let scorer = ScorerPool::open_on(vec![Device::Cpu], options).await.unwrap();
        let scene = Scene::new(SceneKind::Things, 3, SIZE);
        let course = Course { speed: 0.9, turn: 8.0, uncovered: 9, ..Course::SOURCE };
        let free = scene.render(&course, 81);
        // Another task's clip: a spoilt copy of the good one would be found to be a copy.
        let neighbour = Scene::new(SceneKind::Crowd, 8, SIZE).render(&Course::SOURCE, 81);
        let clip = encoded(&scene.render(&Course::SOURCE, 81));
        let (good, bad) = (encoded(&free), encoded(&neighbour));
        let source = scorer.reference(clip.clone()).await.unwrap();
        Some(Self { scorer, metrics, clip, source, good, bad })
    }

    /// What an honest sampler writes of a video.
    pub(crate) async fn entry(&self, miner: u8, video: &Bytes) -> VerdictEntry {
        let scored = self.scorer.score(&self.source, video.clone()).await.unwrap();
        let (status, grade) = match scored.outcome {
            Outcome::Usable { grade, .. } if grade.passed => (EntryStatus::Passed, Some(grade)),
            Outcome::Usable { grade, .. } => (EntryStatus::Failed, Some(grade)),
            Outcome::Unusable { status, .. } => (status, None),
        };
        let aspects = grade.map(|grade| {
            let [first, prompt, motion, time, quality, camera] =
                grade.aspects.in_order().map(Score::tenths);
            AspectScores {
                first_frame_fidelity: first,
                prompt_adherence: prompt,
                motion_quality: motion,
                temporal_consistency: time,
                visual_quality: quality,
                camera_composition: camera,
            }
        });
        VerdictEntry {
            passed: grade.is_some_and(|grade| grade.passed),
            video_sha256: Some(scored.video_sha256),
            score: grade.map(|grade| grade.overall.tenths()),
            aspect_scores: aspects,
            fingerprint: grade.and(scored.fingerprint.map(|print| print.to_bytes())),
            ..VerdictEntry::unusable(hotkey(miner), status, String::new(), 1)
        }
    }

    /// What a producer says of its friend's bad video: that it is as good as the good one.
    pub(crate) async fn friends_entry(&self, miner: u8) -> VerdictEntry {
        let (bad, good) = (self.entry(miner, &self.bad).await, self.entry(miner, &self.good).await);
        let (passed, status) = (true, EntryStatus::Passed);
        VerdictEntry { passed, status, score: good.score.max(Some(760)), ..bad }
    }

    /// Publishes a task with these entries and their videos.
    pub(crate) async fn publish(
        &self,
        judge: &str,
        entries: &[(VerdictEntry, &Bytes)],
    ) -> PublishedTask {
        self.publish_in(&Bucket::in_memory("producer"), TASK, judge, entries).await
    }

    /// The same for one of several tasks in the bucket of one producer.
    pub(crate) async fn publish_in(
        &self,
        bucket: &Bucket,
        task_id: TaskId,
        judge: &str,
        entries: &[(VerdictEntry, &Bytes)],
    ) -> PublishedTask {
        let (signer, network, params) = (signer(1), network(), params().digest());
        let own = OwnBucket::new(bucket.clone(), signer.hotkey());
        let proof = a_clip(&self.clip, b"a picture").proof;
        let start = task_id.0 * INTERVAL;
        let metadata = TaskMetadata {
            task_id,
            netuid: network.netuid,
            genesis: network.genesis,
            validator: signer.hotkey(),
            block: BlockNumber(start),
            task: TaskType::Ti2v,
            prompt: Some("things move".into()),
            judge: judge.into(),
            clip: proof,
            evidence: Default::default(),
        };
        let metadata: Bytes = serde_json::to_vec(&metadata).unwrap().into();
        let draft = VerdictDraft {
            network,
            task_id,
            params,
            judge: judge.into(),
            block: BlockNumber(start + INTERVAL / 2),
            metadata_sha256: Some(Digest::of(&metadata)),
            entries: entries.iter().map(|(entry, _)| entry.clone()).collect(),
        };
        let signed = signer.sign_verdict_file(draft).unwrap();
        let artefacts = TaskArtefacts {
            metadata,
            original_clip: self.clip.clone(),
            first_frame: Bytes::from_static(b"a picture"),
        };
        let _ = own.write_task(task_id, artefacts).await.unwrap();
        for (entry, video) in entries {
            let _ = own.write_video(task_id, entry.hotkey, (*video).clone()).await.unwrap();
        }
        let _ = own.write_verdict(task_id, signed.bytes.clone().into()).await.unwrap();
        let expected = Expected { id: signed.id, network, params, accept_v1: false };
        let file = verify(&signed.bytes, &expected).unwrap();
        PublishedTask { bucket: bucket.clone(), file, signed }
    }
}

/// A task in its producer's bucket.
pub(crate) struct PublishedTask {
    pub(crate) bucket: Bucket,
    pub(crate) file: VerifiedVerdict,
    /// The same, as its producer announces it.
    pub(crate) signed: SignedVerdict,
}

/// The subnet that tasks are published on.
pub(crate) fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

/// Parameters under which every validator has a turn at every task, and fifty tasks are open for
/// attestations at a time.
pub(crate) fn params() -> ConsensusParams {
    ConsensusParams { failover_grace: Some(1), settle_margin: 50, ..ConsensusParams::default() }
}

pub(crate) fn signer(number: u8) -> HotkeySigner {
    let pair = sr25519::Pair::from_seed(&[number; 32]);
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

pub(crate) fn hotkey(number: u8) -> Hotkey {
    Hotkey::from_bytes([number; 32])
}

/// A clip as an MP4.
pub(crate) fn encoded(clip: &Clip) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let size = format!("{}x{}", clip.width(), clip.height());
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-r", "16"])
        .args(["-s", &size, "-i", "pipe:0", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-crf", "14", "-threads", "1"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = ffmpeg.stdin.take().unwrap();
    for frame in 0..clip.len() {
        let (blue, red) = clip.chroma(frame);
        for plane in [clip.luma(frame), blue, red] {
            input.write_all(plane).unwrap();
        }
    }
    drop(input);
    assert!(ffmpeg.wait().unwrap().success());
    std::fs::read(path).unwrap().into()
}
