//! Kills at each step after a task was signed: a process does the steps as far as one, and is killed
//! there with SIGKILL; a start on what it left goes on.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{Mesh, MeshConfig, Timing};
use leoma_protocol::messages::TaskList;
use leoma_protocol::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, Hotkey, HotkeySigner, Netuid, Network,
};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{BucketConfig, EndpointPolicy, PeerBuckets, TaskArtefacts};
use prometheus_client::registry::Registry;
use sp_core::{Pair as _, sr25519};

use super::*;
use crate::mechanism::folder::tidy;
use crate::metrics::Metrics;
use crate::state::{Books, StoredFile};
use crate::verdicts::Library;

const TASK: TaskId = TaskId(98);
const INTERVAL: u64 = 100;
/// In the middle of the task.
const HEAD: BlockNumber = BlockNumber(9_850);
/// Far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// After which step the process is killed.
const STEPS: [&str; 5] =
    ["signed and stored", "announced", "uploaded in part", "uploaded", "noted as uploaded"];

fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

/// What a start of the validator opens in its folder.
struct Started {
    state: State,
    signer: HotkeySigner,
    library: Library,
    publisher: Publisher,
    stop: CancellationToken,
    heads: watch::Sender<Head>,
}

async fn start(folder: &Path) -> Started {
    let pair = sr25519::Pair::from_seed(&[1; 32]);
    let hotkey: Hotkey = pair.public().into();
    let state = State::open(&folder.join("state"), network(), hotkey).unwrap();
    let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
    let consensus = Arc::new(ConsensusSchedule::from(ConsensusParams::default()));
    let list = Allowlist::new(INTERVAL, [hotkey]).unwrap();
    let (_, allowlists) = watch::channel(Arc::new(AllowlistHistory::since_genesis(list)));
    let library = Library::open(state.clone(), Arc::clone(&consensus), allowlists).unwrap();
    let lists = vec![TaskList { from: TaskId(0), interval: INTERVAL, validators: vec![hotkey] }];
    let key = Keypair::generate_ed25519();
    let mut config = MeshConfig::new(key, network(), consensus, lists, signer.clone());
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
    config.head = HEAD;
    let (tick, beacon_interval) = (Duration::from_millis(50), Duration::from_millis(300));
    config.timing = Timing { tick, beacon_interval, beacon_gap: 2 * tick, ..Timing::default() };
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (mesh, events) = Mesh::spawn(config).unwrap();
    let buckets = Arc::new(PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap());
    let (heads, followed) = watch::channel(Head { number: HEAD, hash: Digest::default() });
    let agreement = Exchange::new(
        mesh,
        signer.clone(),
        library.clone(),
        buckets,
        state.clone(),
        metrics,
        followed,
    );
    agreement.resume(TaskId(0)).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(agreement.clone().run(events, stop.clone()));
    let publisher = Publisher {
        own: own_bucket(folder, hotkey),
        agreement,
        state: state.clone(),
        spool: folder.join("tasks"),
        signed: Arc::default(),
        alarms: Alarms::default(),
    };
    Started { state, signer, library, publisher, stop, heads }
}

fn own_bucket(folder: &Path, hotkey: Hotkey) -> OwnBucket {
    std::fs::create_dir_all(folder.join("bucket")).unwrap();
    let bucket = BucketConfig {
        endpoint: format!("file://{}", folder.display()),
        bucket: "bucket".into(),
        region: "auto".into(),
        access_key: Default::default(),
        secret_key: Default::default(),
    };
    OwnBucket::new(bucket.open().unwrap(), hotkey)
}

/// The task's folder, as the sampler leaves it for the publisher.
fn spool(folder: &Path) {
    let task = folder.join("tasks").join(TASK.to_string());
    std::fs::create_dir_all(task.join("videos")).unwrap();
    for name in ["metadata.json", "original_clip.mp4", "first_frame.png"] {
        std::fs::write(task.join(name), name).unwrap();
    }
    let miner = Hotkey::from_bytes([9; 32]);
    std::fs::write(task.join("videos").join(format!("{miner}.mp4")), "a video").unwrap();
}

/// What is signed of the task.
fn draft() -> VerdictDraft {
    VerdictDraft {
        network: network(),
        task_id: TASK,
        params: ConsensusParams::default().digest(),
        judge: "test".into(),
        block: HEAD,
        metadata_sha256: Some(Digest::of(b"metadata.json")),
        entries: vec![],
    }
}

/// The steps as far as the one that the other process is told, which then waits to be killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that another test kills"]
async fn validator_worker_process() {
    let (Some(folder), Some(last)) =
        (std::env::var_os("LEOMA_TEST_FOLDER"), std::env::var("LEOMA_TEST_LAST_STEP").ok())
    else {
        return println!("skipped: j2_a_kill_at_any_step_of_publishing_… starts it");
    };
    let folder = Path::new(&folder);
    let Started { state, signer, library, publisher, stop: _stop, heads: _heads } =
        start(folder).await;
    let last = STEPS.iter().position(|step| *step == last).unwrap();
    spool(folder);
    let signed = signer.sign_verdict_file(draft()).unwrap();
    let (id, digest, bytes) = (signed.id, signed.digest, signed.bytes.clone());
    library.take_in_own(&StoredFile { id, digest, bytes }).unwrap();
    let task = TaskFolder::new(&publisher.spool, TASK);
    if last >= 1 {
        publisher.agreement.until_may_sign().await;
        publisher.agreement.announce(&signed).await;
    }
    if last == 2 {
        let read = |name: &str| Bytes::from(std::fs::read(task.path().join(name)).unwrap());
        let artefacts = TaskArtefacts {
            metadata: read("metadata.json"),
            original_clip: read("original_clip.mp4"),
            first_frame: read("first_frame.png"),
        };
        let _ = publisher.own.write_task(TASK, artefacts).await.unwrap();
    }
    if last >= 3 {
        publisher.upload_objects(&task, &signed).await.unwrap();
    }
    if last >= 4 {
        state.mark_published(id).unwrap();
    }
    std::fs::write(folder.join("reached"), signed.digest.to_string()).unwrap();
    std::future::pending::<()>().await;
}

/// Lets another process do the steps as far as `last`, and kills it.
fn kill_after(last: &str, folder: &Path) -> String {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sampler::publish::tests::validator_worker_process"])
        .env("LEOMA_TEST_FOLDER", folder)
        .env("LEOMA_TEST_LAST_STEP", last)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !folder.join("reached").exists() {
        assert!(begun.elapsed() < PATIENCE && process.try_wait().unwrap().is_none(), "{last}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL.
    process.kill().unwrap();
    process.wait().unwrap();
    std::fs::read_to_string(folder.join("reached")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn j2_a_kill_at_any_step_of_publishing_announces_and_uploads_the_same_file() {
    for last in STEPS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let digest = tokio::task::spawn_blocking(move || kill_after(last, &path)).await.unwrap();
        let Started { state, signer, publisher, stop, heads: _heads, .. } =
            start(folder.path()).await;
        let is_noted = last == "noted as uploaded";
        assert_eq!(state.unpublished_files().unwrap().len(), usize::from(!is_noted), "{last}");

        let (agreement, spool) = (publisher.agreement.clone(), publisher.spool.clone());
        tokio::spawn(publisher.run(stop.clone()));
        let begun = Instant::now();
        let attestations = loop {
            let attestations = agreement.mesh().attestations().await.unwrap();
            if !attestations.is_empty() && state.unpublished_files().unwrap().is_empty() {
                break attestations;
            }
            assert!(begun.elapsed() < PATIENCE, "{last}: {attestations:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(attestations.len(), 1, "{last}");
        assert_eq!(attestations[0].digest.to_string(), digest, "{last}");

        let own = own_bucket(folder.path(), signer.hotkey());
        let uploaded = own.verdict(TASK).await.unwrap().unwrap();
        let id = leoma_protocol::FileId { task_id: TASK, producer: signer.hotkey() };
        assert_eq!(uploaded, state.file(id, None).unwrap().unwrap().bytes, "{last}");
        let videos = folder.path().join("bucket").join(TASK.to_string()).join("generated_videos");
        assert_eq!(std::fs::read_dir(videos).unwrap().count(), 1, "{last}");
        let books = Books::read(&folder.path().join("state")).unwrap();
        let of_files: Vec<_> = books.files.values().collect();
        assert_eq!((of_files.len(), of_files[0].len()), (1, 1), "{last}: signed once");

        // What the process could not remove any more, the next turn does.
        tidy(&spool, &[TaskId(TASK.0 + 1)]).unwrap();
        assert!(!spool.join(TASK.to_string()).exists(), "{last}");
        stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_was_damaged_since_is_not_published_under_our_signature() {
    let folder = tempfile::tempdir().unwrap();
    let Started { signer, publisher, stop: _stop, heads: _heads, .. } = start(folder.path()).await;
    spool(folder.path());
    let signed = signer.sign_verdict_file(draft()).unwrap();
    let task = TaskFolder::new(&publisher.spool, TASK);
    std::fs::write(task.path().join("metadata.json"), "").unwrap();
    let error = publisher.upload_objects(&task, &signed).await.unwrap_err();
    assert!(error.to_string().contains("not the file that was signed"), "{error}");
    let own = own_bucket(folder.path(), signer.hotkey());
    assert!(own.verdict(TASK).await.unwrap().is_none());
    std::fs::write(task.path().join("metadata.json"), "metadata.json").unwrap();
    publisher.upload_objects(&task, &signed).await.unwrap();
    assert!(own.verdict(TASK).await.unwrap().is_some());
}
