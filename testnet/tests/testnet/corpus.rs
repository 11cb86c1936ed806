//! The owner's corpus and the proof of a task's clip, through the program and the S3 server.
//!
//! Needs the validator's program: `cargo build --workspace --bins`, beside this test or in
//! `LEOMA_BIN_DIR`.

use std::path::{Path, PathBuf};

use crate::cli::{self, NETUID, Said, source_settings};
use bytes::Bytes;
use leoma::corpus::{
    ClipProof, Corpus, Seed, SkipReason, Skipped, TaskClip, TaskMetadata, clip_of, videos_to_try,
};
use leoma_protocol::{BlockNumber, Digest, Hotkey, Netuid, TaskId};
use leoma_rotation::Allowlist;
use leoma_scoring::TaskType;
use leoma_scoring::media::{ClipShape, Ffmpeg};
use leoma_storage::{Key, OwnBucket, SourceBucket, TaskArtefacts};
use leoma_testnet::storage::{self, BucketKeys, Handle};
use leoma_testnet::{corpus, seed};
use serde_json::{Value, json};

/// Blocks of a task.
const INTERVAL: u64 = 10;
/// Limits of a listing as the settings have them.
const LISTED: (u64, u64) = (1 << 20, 200 << 20);

/// An S3 server with a source bucket and a sampler's bucket.
struct Bench {
    storage: Handle,
    source: BucketKeys,
    own: BucketKeys,
    folder: tempfile::TempDir,
}

fn sampler() -> Hotkey {
    Hotkey::from_bytes([7; 32])
}

async fn clips() -> Vec<PathBuf> {
    // Kept for the next run, and shared with the tests of the services.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    corpus::list(&corpus::make(&seed::Seed::new("services test"), cache).await.unwrap()).unwrap()
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (source, own) =
            (BucketKeys::generate("leoma-source"), BucketKeys::generate("leoma-own"));
        let config =
            storage::Config::new(folder.path().join("storage"), vec![source.clone(), own.clone()]);
        Self { storage: storage::spawn(config).await.unwrap(), source, own, folder }
    }

    fn source(&self) -> SourceBucket {
        SourceBucket::new(self.source.writer(self.storage.endpoint()).open().unwrap())
    }

    fn own(&self) -> OwnBucket {
        OwnBucket::new(self.own.writer(self.storage.endpoint()).open().unwrap(), sampler())
    }

    async fn leoma(&self, arguments: &[&str]) -> Said {
        let mut settings = source_settings(self.storage.endpoint(), &self.source);
        let path = std::env::var("PATH").unwrap();
        settings.extend([
            ("R2_OWN_BUCKET", self.own.bucket.as_str()),
            ("R2_OWN_WRITE_ACCESS_KEY", &self.own.write.access),
            ("R2_OWN_WRITE_SECRET_KEY", &self.own.write.secret),
            ("PATH", &path),
        ]);
        cli::leoma(self.folder.path(), &settings, arguments).await
    }

    async fn corpus(&self, arguments: &[&str], files: &[&Path]) -> Said {
        let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        self.leoma(&[&["corpus"], arguments, &files].concat()).await
    }

    /// Publishes a task's clip, with `change` made to its metadata.
    async fn publish(&self, task_id: TaskId, clip: &TaskClip, change: impl FnOnce(&mut Value)) {
        let metadata = TaskMetadata {
            task_id,
            netuid: Netuid(NETUID),
            genesis: genesis(),
            validator: sampler(),
            block: BlockNumber(task_id.0 * INTERVAL + 3),
            task: TaskType::default(),
            prompt: Some("a landscape".to_owned()),
            judge: "test".to_owned(),
            clip: clip.proof.clone(),
            evidence: Default::default(),
        };
        let mut metadata = serde_json::to_value(metadata).unwrap();
        change(&mut metadata);
        let artefacts = TaskArtefacts {
            metadata: metadata.to_string().into(),
            original_clip: clip.mp4.clone(),
            first_frame: clip.first_frame.clone(),
        };
        let _ = self.own().write_task(task_id, artefacts).await.unwrap();
    }

    /// Checks a task without a chain.
    async fn audit(&self, task_id: TaskId, more: &[&str]) -> Said {
        let allowlist = self.folder.path().join("allowlist.json");
        std::fs::write(&allowlist, Allowlist::new(INTERVAL, [sampler()]).unwrap().canonical_json())
            .unwrap();
        let (task, genesis, hash) =
            (task_id.to_string(), genesis().to_string(), seed_of(task_id).hash.to_string());
        let allowlist = allowlist.to_str().unwrap();
        let offline = [
            "audit",
            "--task",
            &task,
            "--genesis",
            &genesis,
            "--allowlist",
            allowlist,
            "--seed-hash",
            &hash,
        ];
        self.leoma(&[&offline, more].concat()).await
    }
}

fn genesis() -> Digest {
    Digest::of(b"genesis")
}

/// The seed of a task, whose block hashes to what this test says.
fn seed_of(task_id: TaskId) -> Seed {
    Seed { block: BlockNumber(task_id.0 * INTERVAL), hash: Digest::of(&task_id.0.to_be_bytes()) }
}

/// A change to a task's metadata.
type Lie<'a> = &'a dyn Fn(&mut Value);

/// Each step's outcome, in order.
fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    let steps = report["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn videos_are_looked_at_before_they_are_named_and_never_replaced() {
    let bench = Bench::start().await;
    let (source, clips) = (bench.source(), clips().await);
    bench.corpus(&["list"], &[]).await.says(true, &["no manifest"]);
    bench.corpus(&["verify"], &[]).await.says(false, &["no manifest to verify", "--adopt"]);

    let broken = bench.folder.path().join("broken.mp4");
    std::fs::write(&broken, &std::fs::read(&clips[0]).unwrap()[..100_000]).unwrap();
    let text = bench.folder.path().join("notes.txt");
    std::fs::write(&text, "no video").unwrap();
    let dry = bench.corpus(&["add", "--dry-run"], &[&clips[0]]).await;
    dry.says(true, &["1 videos would be added", "416x240 h264"]);
    assert_eq!(source.videos().await.unwrap(), []);
    let said = bench.corpus(&["add"], &[&clips[0], &broken, &text, &clips[1]]).await;
    said.says(
        false,
        &[
            "[2/4]",
            "refused: the MP4 is cut off",
            "does not end in .mp4",
            "2 videos added",
            "2 of 4",
        ],
    );
    let listed = bench.corpus(&["list", "--json"], &[]).await.json();
    let videos = listed["videos"].as_array().unwrap();
    assert_eq!((videos.len(), &listed["unnamed"]), (2, &json!([])));
    assert_eq!(videos[0]["sha256"], json!(Digest::of(&std::fs::read(&clips[0]).unwrap())));
    assert!(videos.iter().all(|video| !video["shots"].as_array().unwrap().is_empty()));
    bench.corpus(&["verify"], &[]).await.says(true, &["all 2 videos match the manifest"]);

    // The same again changes nothing, and another video under the same name is refused.
    bench
        .corpus(&["add"], &[&clips[0]])
        .await
        .says(true, &["already in the manifest", "nothing to add"]);
    let same_name = bench.folder.path().join(clips[0].file_name().unwrap());
    std::fs::copy(&clips[2], &same_name).unwrap();
    bench.corpus(&["add"], &[&same_name]).await.says(false, &["other bytes", "another name"]);
    assert_eq!(bench.corpus(&["list", "--json"], &[]).await.json(), listed);

    // Videos that the manifest lacks are reported, and adopted on request.
    let key: Key = "found/third.mp4".parse().unwrap();
    let third = Bytes::from(std::fs::read(&clips[2]).unwrap());
    let _ = source.add_video(&key, third).await.unwrap();
    bench.corpus(&["list"], &[]).await.says(true, &["1 videos not used", key.as_str()]);
    bench.corpus(&["add", "--adopt"], &[]).await.says(true, &["1 videos added"]);
    // Somebody overwrote it behind the tools' back.
    source.bucket().replace(&key, Bytes::from_static(b"other")).await.unwrap();
    let said = bench.corpus(&["verify", "--bytes-only"], &[]).await;
    said.says(false, &["unusable  found/third.mp4", "1 of 3", "leoma corpus remove"]);
    bench.leoma(&["corpus", "remove", key.as_str()]).await.says(true, &["names 2 videos"]);
    assert_eq!(bench.corpus(&["list", "--json"], &[]).await.json()["manifest"], listed["manifest"]);
    bench.storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_manifest_does_not_silently_drop_what_is_there() {
    let bench = Bench::start().await;
    let (source, clips) = (bench.source(), clips().await);
    let _ = source
        .add_video(&"old.mp4".parse().unwrap(), std::fs::read(&clips[0]).unwrap().into())
        .await
        .unwrap();
    bench
        .corpus(&["add"], &[&clips[1]])
        .await
        .says(false, &["holds 1 videos", "--adopt", "--leave-others"]);
    assert_eq!(source.manifest().await.unwrap(), None);
    bench
        .corpus(&["add", "--adopt"], &[&clips[1]])
        .await
        .says(true, &["2 videos added", "old.mp4 in the bucket"]);
    bench.storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clips_choice_is_made_again_from_the_buckets() {
    let bench = Bench::start().await;
    let (source, clips) = (bench.source(), clips().await);
    let ffmpeg = Ffmpeg::find().unwrap();
    bench.corpus(&["add"], &[&clips[0], &clips[1]]).await.says(true, &["2 videos added"]);
    let corpus = Corpus::read(&source, LISTED).await.unwrap();
    let cut = async |task: u64| {
        clip_of(seed_of(TaskId(task)), &corpus, &source, &ffmpeg, ClipShape::TASK).await.unwrap()
    };

    let clip = cut(1).await;
    bench.publish(TaskId(1), &clip, |_| {}).await;
    let said = bench.audit(TaskId(1), &["--json"]).await;
    let fetching = format!("fetching {}, {} bytes", clip.proof.key, clip.proof.source_bytes);
    assert!(said.errors.contains(&fetching), "{}", said.errors);
    let report = said.json();
    let steps = outcomes(&report);
    assert!(steps.iter().all(|(_, outcome)| *outcome == "pass"), "{report:#}");
    assert_eq!(steps.len(), 11);

    // Each lie is found by the step that looks for it.
    let other = seed_of(TaskId(1)).hash.to_string();
    let lies: [(u64, &str, Lie); 7] = [
        (2, "segment", &|metadata| {
            let start = metadata["clip"]["start_ms"].as_u64().unwrap();
            metadata["clip"]["start_ms"] = json!(start + 1);
        }),
        (3, "seed_hash", &|metadata| metadata["clip"]["seed"]["hash"] = json!(other)),
        (4, "seed_block", &|metadata| metadata["clip"]["seed"]["block"] = json!(41)),
        (5, "video", &|metadata| {
            let index = metadata["clip"]["index"].as_u64().unwrap();
            metadata["clip"]["index"] = json!(1 - index);
        }),
        (6, "shots", &|metadata| metadata["clip"]["shots"] = json!([[0, 12_000]])),
        (7, "clip", &|metadata| metadata["clip"]["clip_sha256"] = json!(other)),
        (8, "metadata", &|metadata| metadata["task_id"] = json!(9)),
    ];
    for (task, step, lie) in lies {
        bench.publish(TaskId(task), &cut(task).await, lie).await;
        let said = bench.audit(TaskId(task), &["--json"]).await;
        said.says(false, &["do not hold"]);
        let report: Value = serde_json::from_str(&said.output).unwrap();
        let found = outcomes(&report).contains(&(step, "fail"));
        assert!(found, "{step}: {report:#}");
    }

    // A video passed over without a reason, to come to the next one.
    let first = videos_to_try(seed_of(TaskId(10)).hash, 2).next().unwrap();
    let [passed_over, taken] = [first, 1 - first].map(|index| corpus.videos[index].clone());
    let only = Corpus { videos: vec![taken.clone()], ..corpus.clone() };
    let forged =
        clip_of(seed_of(TaskId(10)), &only, &source, &ffmpeg, ClipShape::TASK).await.unwrap();
    let mut skipping = TaskClip { proof: ClipProof { index: 1 - first, ..forged.proof }, ..forged };
    skipping.proof.skipped =
        vec![Skipped { index: first, key: passed_over.key, reason: SkipReason::NoShot }];
    // Another ffmpeg is no excuse: the manifest has the shots.
    skipping.proof.ffmpeg = "0.0".to_owned();
    bench.publish(TaskId(10), &skipping, |_| {}).await;
    bench
        .audit(TaskId(10), &[])
        .await
        .says(false, &["skipped      FAIL", "the manifest has a shot", "1 of 12 steps"]);

    // A corpus that grew, and a source that was removed, say nothing against the sampler.
    bench.corpus(&["add"], &[&clips[2]]).await.says(true, &["1 videos added"]);
    source.bucket().replace(&clip.proof.key, Bytes::from_static(b"pruned")).await.unwrap();
    let said = bench.audit(TaskId(1), &[]).await;
    said.says(
        true,
        &[
            "an earlier one than now",
            "source       cannot be checked",
            "nothing speaks against the clip",
        ],
    );
    bench.audit(TaskId(99), &[]).await.says(true, &["no metadata.json of task 99"]);
    bench.storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_videos_of_a_listing_are_passed_over_and_a_listing_that_changed_is_no_cheat() {
    let bench = Bench::start().await;
    let (source, clips) = (bench.source(), clips().await);
    let good: Key = "clips/b.mp4".parse().unwrap();
    let _ = source
        .add_video(&"clips/a.mp4".parse().unwrap(), Bytes::from(vec![0; 1_200_000]))
        .await
        .unwrap();
    let _ = source.add_video(&good, std::fs::read(&clips[0]).unwrap().into()).await.unwrap();
    // A task whose draw begins with the broken one.
    let task_id = (0..)
        .map(TaskId)
        .find(|task| videos_to_try(seed_of(*task).hash, 2).next() == Some(0))
        .unwrap();
    let corpus = Corpus::read(&source, LISTED).await.unwrap();
    let ffmpeg = Ffmpeg::find().unwrap();
    let clip = clip_of(seed_of(task_id), &corpus, &source, &ffmpeg, ClipShape::TASK).await.unwrap();
    assert_eq!((clip.proof.key.clone(), clip.proof.skipped.len()), (good, 1));
    assert!(matches!(clip.proof.skipped[0].reason, SkipReason::Unusable(_)));
    bench.publish(task_id, &clip, |_| {}).await;
    let said = bench.audit(task_id, &["--json"]).await;
    let passed_over = format!("looking at {}, which", clip.proof.skipped[0].key);
    assert!(said.errors.contains(&passed_over), "{}", said.errors);
    let report = said.json();
    assert!(outcomes(&report).iter().all(|(_, outcome)| *outcome == "pass"), "{report:#}");
    assert!(outcomes(&report).contains(&("skipped", "pass")));

    let _ = source
        .add_video(&"clips/c.mp4".parse().unwrap(), Bytes::from(vec![1; 1_200_000]))
        .await
        .unwrap();
    let said = bench.audit(task_id, &[]).await;
    said.says(
        true,
        &[
            "corpus       cannot be checked: the listing was of 2 videos",
            "segment      pass",
            "cut          pass",
        ],
    );
    bench.storage.stop().await;
}
