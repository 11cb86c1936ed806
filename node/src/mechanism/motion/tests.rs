//! Whole motion tasks, with real axons on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leoma_chain::Head;
use leoma_protocol::synapse::{Fields, Refusal};
use leoma_protocol::verdict::{EntryStatus, VerdictDraft, VerdictEntry};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, Hotkey, HotkeySigner, MemoryGuard, Nano, Netuid, Network,
    TaskId,
};
use leoma_rotation::Allowlist;
use leoma_scoring::motion::MAX_DISTANCE;
use leoma_storage::{Bucket, Challenge, ChallengeFile, ChallengeList, OwnBucket, SourceBucket};
use leoma_synapse::{Axon, AxonLimits, Call, Forward};
use sp_core::{Pair as _, sr25519};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::audit::{Draw, MotionAudit, MotionReport};
use super::judging::{Evidence, Judged};
use super::recheck::{BOUNDARY, TOLERANCE, compare, read_reference};
use super::synapse::CLASS;
use super::*;
use crate::config::{Config, Sources};
use crate::corpus::Seed;
use crate::corpus::audit::{Known, Verdict};
use crate::mechanism::asked::dendrite;
use crate::mechanism::asked::fixture::FixedSubnet;
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::{Scored, TaskError, TurnContext, Turns as _};
use crate::outbound::Reach;
use crate::rescoring::{Objects, Unread};
use crate::verdicts::{Recheck as _, Rescored};

const TASK: TaskId = TaskId(7);
const START: BlockNumber = BlockNumber(700);
const REFERENCE: &str = include_str!("../../../../vectors/motion/ref.bvh");
const BENT: &str = include_str!("../../../../vectors/motion/bent.bvh");
const SAME: &str = include_str!("../../../../vectors/motion/same.bvh");

fn signer(seed: u8) -> HotkeySigner {
    let pair = sr25519::Pair::from_seed(&[seed; 32]);
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

fn seed() -> Seed {
    Seed { block: START, hash: Digest::of(b"the task's first block") }
}

/// Answers with a text, after some time, and counts.
#[derive(Clone)]
struct Dances {
    animation: String,
    after: Duration,
    asked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Forward for Dances {
    async fn forward(&self, _call: Call) -> Result<Fields, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.after).await;
        Ok(Fields::from([("animation_output", self.animation.as_str().into())]))
    }
}

struct World {
    source: SourceBucket,
    motion: Motion,
    subnet: Arc<FixedSubnet>,
    heads: watch::Sender<Head>,
    folder: TaskFolder,
    _spool: tempfile::TempDir,
    _axons: Vec<DropGuard>,
}

/// Two challenges with the same motion and other sound.
async fn publish(source: &SourceBucket) {
    let mut challenges = Vec::new();
    for name in ["one", "two"] {
        let upload = async |ending: &str, bytes: &'static [u8]| {
            let key: leoma_storage::Key = format!("challenges/{name}.{ending}").parse().unwrap();
            let bytes = Bytes::from_static(bytes);
            let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
            let _ = source.bucket().create(&key, bytes).await.unwrap();
            ChallengeFile { key, sha256, size }
        };
        let audio = upload("wav", name.as_bytes()).await;
        challenges.push(Challenge { animation: upload("bvh", REFERENCE.as_bytes()).await, audio });
    }
    source.write_challenges(&ChallengeList::new(challenges).unwrap()).await.unwrap();
}

impl World {
    /// A subnet whose miners, from hotkey 2 on, answer so after so long.
    async fn new(miners: &[(&str, Duration)]) -> (Self, Vec<Arc<AtomicUsize>>) {
        let source = SourceBucket::new(Bucket::in_memory("source"));
        publish(&source).await;
        let (mut served, mut counts, mut axons) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (animation, after)) in (2..).zip(miners) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let asked = Arc::default();
            let dances = Dances {
                animation: (*animation).to_owned(),
                after: *after,
                asked: Arc::clone(&asked),
            };
            let limits = AxonLimits::default();
            let axon = Axon::new(signer(number), limits, |_| Ok(())).route(CLASS, dances);
            let stop = CancellationToken::new();
            tokio::spawn(axon.serve(listener, stop.clone()));
            served.push((signer(number).hotkey(), address));
            counts.push(asked);
            axons.push(stop.drop_guard());
        }
        let environment = [("REQUEST_TIMEOUT", "5"), ("COLD_START_PAUSE", "0")];
        let environment =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
        let subnet = FixedSubnet::new(seed().hash, served);
        let motion = Motion::new(MotionParts {
            config: config.sampling,
            source: source.clone(),
            dendrite: dendrite(Reach::new(true), signer(1)).unwrap(),
            admission: subnet.admission(validators()),
        });
        let spool = tempfile::tempdir().unwrap();
        let folder = TaskFolder::new(spool.path(), TASK);
        let (heads, _) = watch::channel(Head { number: START, hash: seed().hash });
        let world = Self { source, motion, subnet, heads, folder, _spool: spool, _axons: axons };
        (world, counts)
    }

    async fn turn(&mut self, seed: Seed) -> Result<Scored, TaskError> {
        let heads = self.heads.subscribe();
        let context = TurnContext {
            task_id: TASK,
            seed,
            network: network(),
            validator: signer(1).hotkey(),
            heads: &heads,
            ask_until: BlockNumber(760),
            folder: &self.folder,
        };
        Ok(self.motion.turn(context).await?.expect("there always is something to do"))
    }

    /// The bucket of the producer that publishes these entries.
    async fn published(&self, scored: Scored) -> (Bucket, leoma_protocol::verdict::SignedVerdict) {
        let bucket = Bucket::in_memory("producer");
        let own = OwnBucket::new(bucket.clone(), signer(1).hotkey());
        let read = |path: std::path::PathBuf| Bytes::from(std::fs::read(path).unwrap());
        let begun = self.folder.begun_objects().unwrap().into_iter();
        let begun = begun.map(|(object, path)| (object, read(path))).collect();
        let metadata = read(self.folder.path().join("metadata.json"));
        let _ = own.write_begun(TASK, begun, metadata).await.unwrap();
        for (object, path) in self.folder.answer_objects().unwrap() {
            let _ = own.write_object(TASK, object, read(path)).await.unwrap();
        }
        let draft = VerdictDraft {
            network: network(),
            task_id: TASK,
            params: ConsensusParams::default().digest(),
            judge: self.motion.judge_id().to_owned(),
            block: START,
            metadata_sha256: Some(scored.metadata_sha256),
            entries: scored.entries,
        };
        let signed = signer(1).sign_verdict_file(draft).unwrap();
        let _ = own.write_verdict(TASK, signed.bytes.clone().into()).await.unwrap();
        (bucket, signed)
    }

    async fn audit(&self, bucket: &Bucket, hash: Digest) -> MotionReport {
        let draw = Draw {
            source: self.source.clone(),
            start_block: Known::Value(START),
            seed_hash: Known::Value(hash),
            network: network(),
        };
        MotionAudit { task_id: TASK, bucket, draw: Some(draw), miner: None }.run().await
    }

    fn recheck(&self, hash: Digest) -> MotionRecheck {
        let admission = FixedSubnet::new(hash, Vec::new()).admission(validators());
        MotionRecheck { source: self.source.clone(), admission }
    }
}

fn validators() -> Allowlist {
    Allowlist::new(100, [signer(1).hotkey()]).unwrap()
}

fn of(entries: &[VerdictEntry], seed: u8) -> &VerdictEntry {
    let hotkey: Hotkey = signer(seed).hotkey();
    entries.iter().find(|entry| entry.hotkey == hotkey).unwrap()
}

fn value(entry: &VerdictEntry) -> Option<i64> {
    let [observed] = &entry.observations[..] else { panic!("one observation: {entry:?}") };
    let [value] = observed.values[..] else { panic!("one value: {entry:?}") };
    assert_eq!(observed.pool.as_str(), "motion");
    value.map(|value| value.0)
}

const SOON: Duration = Duration::ZERO;

#[tokio::test]
async fn every_kind_of_answer_has_its_entry_and_an_audit_finds_the_same_values() {
    let truncated = &SAME[..SAME.len() - 9];
    let not_a_number = SAME.replacen("0.0 90.0", "NaN 90.0", 1);
    let far = SAME.replace("OFFSET -1 4 -0.5", "OFFSET -90000 4 -0.5");
    let (mut world, _) = World::new(&[
        (SAME, SOON),
        (BENT, SOON),
        (truncated, SOON),
        (&not_a_number, SOON),
        ("", SOON),
        (SAME, Duration::from_secs(30)),
        (&far, SOON),
    ])
    .await;
    let scored = world.turn(seed()).await.unwrap();
    let entries = &scored.entries;
    assert_eq!(entries.len(), 7);
    let (same, bent) = (of(entries, 2), of(entries, 3));
    assert!(same.passed && bent.passed && value(same) > value(bent));
    // A little below the value of an answer that takes no time.
    assert!((885_000_000..=886_737_799).contains(&value(same).unwrap()), "{same:?}");
    assert_eq!(same.score.unwrap(), 887);
    assert!(bent.reasoning.starts_with("58.684 "), "{bent:?}");
    for (seed, status, reason) in [
        (4, EntryStatus::Malformed, "ends after"),
        (5, EntryStatus::Malformed, "`NaN`"),
        (6, EntryStatus::Malformed, "no animation"),
        (7, EntryStatus::Timeout, "in time"),
    ] {
        let entry = of(entries, seed);
        assert_eq!((&entry.status, entry.passed, value(entry)), (&status, false, None));
        assert!(entry.reasoning.contains(reason), "{entry:?}");
    }
    let far = of(entries, 8);
    assert_eq!((&far.status, far.passed), (&EntryStatus::Failed, false));
    assert!((256_000_000..257_000_000).contains(&value(far).unwrap()), "{far:?}");

    let (bucket, signed) = world.published(scored).await;
    let report = world.audit(&bucket, seed().hash).await;
    assert_eq!(report.count(Verdict::Fail), 0, "{report:?}");
    // Who gave no answer cannot be repeated.
    assert_eq!(report.count(Verdict::Unchecked), 2, "{report:?}");
    assert_eq!(report.steps.iter().filter(|step| step.step == "value").count(), 7);
    assert_eq!(report.validator, Some(signed.id.producer));
    let other = world.audit(&bucket, Digest::of(b"another hash")).await;
    let failed = other.steps.iter().find(|step| step.outcome == Verdict::Fail).unwrap();
    assert_eq!(failed.step, "seed_hash");
}

#[tokio::test]
async fn a_kill_in_the_middle_of_asking_asks_nobody_again_who_has_answered() {
    let (mut world, asked) = World::new(&[(SAME, SOON), (SAME, Duration::from_millis(2500))]).await;
    let half = tokio::time::timeout(Duration::from_millis(1500), world.turn(seed())).await;
    assert!(half.is_err(), "the slow one has not answered yet");
    let kept = world.folder.path().join(format!("kept/{}.json", signer(2).hotkey()));
    assert!(kept.exists());
    // The list has another challenge by now, which changes nothing for the task that was begun.
    let challenges = ChallengeList::parse(&world.source.challenges().await.unwrap().unwrap());
    let fewer = challenges.unwrap().challenges()[..1].to_vec();
    world.source.write_challenges(&ChallengeList::new(fewer).unwrap()).await.unwrap();
    // Nor do axons that have left since its first block.
    let served = world.subnet.replace(Vec::new());
    let scored = world.turn(seed()).await.unwrap();
    assert_eq!(scored.entries.len(), 2);
    assert!(scored.entries.iter().all(|entry| entry.passed), "{:?}", scored.entries);
    let counts: Vec<usize> = asked.iter().map(|asked| asked.load(Ordering::Relaxed)).collect();
    assert_eq!(counts, [1, 2]);
    let (bucket, _) = world.published(scored).await;
    let report = world.audit(&bucket, seed().hash).await;
    assert_eq!((report.count(Verdict::Fail), report.count(Verdict::Unchecked)), (0, 0));
    // Another first block, as after a fork: begun again.
    let other = Seed { hash: Digest::of(b"another fork"), ..seed() };
    let _nobody = world.subnet.replace(served);
    let _scored = world.turn(other).await.unwrap();
    assert_eq!(asked[0].load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_falsified_value_or_draw_is_found_by_peers_and_named_by_an_audit() {
    let (mut world, _) = World::new(&[(BENT, SOON), (SAME, SOON)]).await;
    let mut scored = world.turn(seed()).await.unwrap();
    // A friend's value, a little too high.
    let friend = signer(2).hotkey();
    let entry = scored.entries.iter_mut().find(|entry| entry.hotkey == friend).unwrap();
    let honest = value(entry).unwrap();
    let raised = Nano(honest + TOLERANCE as i64 + 1);
    entry.observations[0].values = vec![Some(raised)];
    let (bucket, signed) = world.published(scored).await;
    let report = world.audit(&bucket, seed().hash).await;
    let failed: Vec<_> = report.steps.iter().filter(|step| step.outcome == Verdict::Fail).collect();
    assert_eq!((failed.len(), failed[0].step), (1, "value"));
    let finding = &failed[0].finding;
    for part in [friend.to_string(), raised.to_string(), Nano(honest).to_string()] {
        assert!(finding.contains(&part), "{finding}");
    }

    let expected = leoma_protocol::verdict::Expected {
        id: signed.id,
        network: network(),
        params: ConsensusParams::default().digest(),
        accept_v1: false,
    };
    let file = leoma_protocol::verdict::verify(&signed.bytes, &expected).unwrap();
    let envelope = &file.envelope.as_ref().unwrap().envelope;
    let recheck = world.recheck(seed().hash);
    let objects: &dyn Objects = &bucket;
    let task = recheck.task(objects, envelope).await.unwrap();
    for entry in &file.entries {
        let found = recheck.entry(&task, objects, entry).await.unwrap();
        match entry.hotkey == friend {
            true => assert!(matches!(found, Rescored::Differs(..)), "{found:?}"),
            false => assert_eq!(found, Rescored::Agrees),
        }
        // A pass without an answer, and an answer of other bytes.
        let without = VerdictEntry { video_sha256: None, ..entry.clone() };
        let found = recheck.entry(&task, objects, &without).await.unwrap();
        assert!(matches!(found, Rescored::Differs(..)), "{found:?}");
        // A value beside a failure without an answer, and a count that nothing was counted for.
        let status = EntryStatus::Timeout;
        let silent = VerdictEntry { passed: false, status, ..without };
        let found = recheck.entry(&task, objects, &silent).await.unwrap();
        assert!(matches!(found, Rescored::Differs(..)), "{found:?}");
        let mut counted = entry.clone();
        counted.observations[0].counts = vec![("bonus".parse().unwrap(), 5)];
        let found = recheck.entry(&task, objects, &counted).await.unwrap();
        assert!(matches!(found, Rescored::Differs(..)), "{found:?}");
        let other = VerdictEntry { video_sha256: Some(Digest::of(b"x")), ..entry.clone() };
        let found = recheck.entry(&task, objects, &other).await.unwrap_err();
        assert!(matches!(found, Unread::Contradicts(_)), "{found:?}");
    }
    // On another chain the seed would be another.
    let elsewhere = world.recheck(Digest::of(b"another hash"));
    let found = elsewhere.task(objects, envelope).await.unwrap_err();
    assert!(matches!(&found, Unread::Contradicts(why) if why.contains("seed")), "{found:?}");
    // Whoever names a judge that is not known here is not accused.
    let judge = leoma_protocol::verdict::Envelope { judge: "motion/2".into(), ..envelope.clone() };
    let found = read_reference(objects, &judge).await.unwrap_err();
    assert!(matches!(found, Unread::Unknown(_)), "{found:?}");
}

#[test]
fn machines_may_differ_about_a_pass_only_where_rounding_decides_it() {
    let judged = |distance: f64| Judged {
        passed: distance <= MAX_DISTANCE,
        value: Some(Nano(256_000_000)),
        reason: "by distance".to_owned(),
        evidence: Some(Evidence { frames: 9, distance, correctness: 0.1, speed: 0.6 }),
    };
    let agrees = |said: f64, found: f64| {
        let entry = judged(said).entry(signer(2).hotkey(), 40, Digest::of(b"answer"));
        compare(&entry, &judged(found)) == Rescored::Agrees
    };
    let (below, above) = (MAX_DISTANCE - BOUNDARY / 2.0, MAX_DISTANCE + BOUNDARY / 2.0);
    assert!(agrees(below, above) && agrees(above, below) && agrees(MAX_DISTANCE, above));
    let (near, far) = (MAX_DISTANCE - BOUNDARY * 3.0, MAX_DISTANCE + BOUNDARY * 3.0);
    assert!(!agrees(near, far) && !agrees(far, near));
    // The boundary excuses no value.
    let mut entry = judged(below).entry(signer(2).hotkey(), 40, Digest::of(b"answer"));
    entry.observations[0].values = vec![Some(Nano(256_000_000 + TOLERANCE as i64 + 1))];
    assert!(matches!(compare(&entry, &judged(above)), Rescored::Differs(..)));
}

#[tokio::test]
async fn a_reference_of_the_producers_own_choice_is_found() {
    let (mut world, _) = World::new(&[(SAME, SOON)]).await;
    // The producer's own list, which is not in the owner's bucket.
    let honest = world.source.clone();
    let own = SourceBucket::new(Bucket::in_memory("forged"));
    publish(&own).await;
    let list = ChallengeList::parse(&own.challenges().await.unwrap().unwrap()).unwrap();
    let few = ChallengeList::new(list.challenges()[..1].to_vec()).unwrap();
    own.write_challenges(&few).await.unwrap();
    world.source = own.clone();
    world.motion = Motion::new(MotionParts {
        config: Config::load(&Sources::default()).unwrap().sampling,
        source: own,
        dendrite: dendrite(Reach::new(true), signer(1)).unwrap(),
        admission: world.subnet.admission(validators()),
    });
    let scored = world.turn(seed()).await.unwrap();
    let (bucket, _) = world.published(scored).await;
    world.source = honest;
    let report = world.audit(&bucket, seed().hash).await;
    let failed = report.steps.iter().find(|step| step.outcome == Verdict::Fail).unwrap();
    assert_eq!(failed.step, "list");
    assert!(failed.finding.contains("has no list of challenges"), "{failed:?}");
}

#[tokio::test]
async fn another_sound_than_the_challenges_is_named_by_an_audit() {
    let (mut world, _) = World::new(&[(SAME, SOON)]).await;
    let scored = world.turn(seed()).await.unwrap();
    std::fs::write(world.folder.path().join("challenge.wav"), "another sound").unwrap();
    let (bucket, _) = world.published(scored).await;
    let report = world.audit(&bucket, seed().hash).await;
    let failed: Vec<_> = report.steps.iter().filter(|step| step.outcome == Verdict::Fail).collect();
    assert_eq!((failed.len(), failed[0].step), (1, "sound"), "{report:?}");
}

#[tokio::test]
async fn what_keeps_us_from_asking_is_never_a_miners_fault() {
    let (mut world, asked) = World::new(&[(SAME, SOON)]).await;
    let error = |result: Result<Scored, TaskError>| result.unwrap_err();
    // A file of the drawn challenge has other bytes than the list says.
    let list = ChallengeList::parse(&world.source.challenges().await.unwrap().unwrap()).unwrap();
    let mut challenges = list.challenges().to_vec();
    for challenge in &mut challenges {
        challenge.animation.sha256 = Digest::of(b"other bytes");
    }
    world.source.write_challenges(&ChallengeList::new(challenges).unwrap()).await.unwrap();
    let found = error(world.turn(seed()).await);
    assert!(found.to_string().contains("other bytes") && found.alarm() == Some("buckets"));
    // One that is no skeleton with the names of a reference.
    let key: leoma_storage::Key = "challenges/bad.bvh".parse().unwrap();
    let bytes = Bytes::from_static(SAME.as_bytes());
    let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
    let _ = world.source.bucket().create(&key, bytes).await.unwrap();
    let mut challenges = list.challenges().to_vec();
    for challenge in &mut challenges {
        challenge.animation = ChallengeFile { key: key.clone(), sha256, size };
    }
    world.source.write_challenges(&ChallengeList::new(challenges).unwrap()).await.unwrap();
    let found = error(world.turn(seed()).await);
    assert!(found.to_string().contains("bad.bvh: the skeleton has no joint hips_JNT"), "{found}");
    world.source.write_challenges(&ChallengeList::new(Vec::new()).unwrap()).await.unwrap();
    let found = error(world.turn(seed()).await);
    assert!(found.to_string().contains("no challenges"), "{found}");
    assert_eq!(asked[0].load(Ordering::Relaxed), 0, "nobody was asked");
    let _before = world.subnet.replace(Vec::new());
    assert!(matches!(error(world.turn(seed()).await), TaskError::NoMiners));
}
