use std::time::Duration;

use leoma_chain::Head;
use leoma_protocol::Digest;
use leoma_storage::{
    Bucket, BucketConfig, EndpointPolicy, Key, PeerBuckets, Secret, SourceBucket, TaskKey,
    TaskObject,
};
use tokio::time::sleep;

use super::*;
use crate::rescoring::fixture::{PublishedTask, TASK, World, hotkey};

/// What one validator finds of a task, and a sender that keeps its heads coming.
struct Validator {
    rescorer: Rescorer,
    heads: watch::Sender<Head>,
}

impl Validator {
    /// `bucket` is the producer's, where there is access to it.
    fn new(world: &World, task: &PublishedTask, bucket: Option<&Bucket>) -> Self {
        Self::beside(world, task, bucket, Bucket::in_memory("source"))
    }

    /// The same with a source bucket.
    fn beside(
        world: &World,
        task: &PublishedTask,
        bucket: Option<&Bucket>,
        subnet: Bucket,
    ) -> Self {
        let buckets = PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap();
        if let Some(bucket) = bucket {
            let _ = buckets.insert(task.file.id.producer, bucket.clone()).unwrap();
        }
        let head = Head { number: BlockNumber(710), hash: Digest::of(b"head") };
        let (heads, followed) = watch::channel(head);
        let (idle, own_answers) = watch::channel(0);
        // A sampler that is gone is idle.
        drop(idle);
        let metrics = world.metrics.as_str().into();
        let scorer = world.scorer.clone();
        let buckets = Arc::new(buckets);
        let waiting = Waiting { buckets, subnet: SourceBucket::new(subnet), heads: followed };
        let rescorer = Rescorer::new(scorer, metrics, own_answers, waiting);
        Self { rescorer, heads }
    }

    async fn finds(&self, task: &PublishedTask) -> Vec<(Hotkey, Rescored)> {
        let all: Vec<&VerdictEntry> = task.file.entries.iter().collect();
        let patience = BlockNumber(self.heads.borrow().number.0 + 1);
        self.rescorer.rescore(&task.file, &all, patience).await
    }
}

fn lack(results: &[(Hotkey, Rescored)]) -> &str {
    match &results[0].1 {
        Rescored::NotChecked(lack) => lack,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_validator_finds_a_friends_bad_video_and_an_honest_file_agrees() {
    let Some(world) = World::new().await else { return };
    let good = world.entry(10, &world.good).await;
    let honest = [(good.clone(), &world.good), (world.entry(11, &world.bad).await, &world.bad)];
    let friends = [(good, &world.good), (world.friends_entry(11).await, &world.bad)];
    let honest = world.publish(&world.metrics, &honest).await;
    let friends = world.publish(&world.metrics, &friends).await;
    for _ in 0..3 {
        let validator = Validator::new(&world, &honest, Some(&honest.bucket));
        let found = validator.finds(&honest).await;
        let agrees = |(_, result): &(Hotkey, Rescored)| *result == Rescored::Agrees;
        assert!(found.len() == 2 && found.iter().all(agrees), "{found:?}");
        let validator = Validator::new(&world, &friends, Some(&friends.bucket));
        let found = validator.finds(&friends).await;
        let (miner, result) = found.last().unwrap();
        let Rescored::Differs(finding, difference) = result else { panic!("{found:?}") };
        assert_eq!((*miner, finding.passed), (hotkey(11), false), "{difference}");
    }
}

fn withheld(results: &[(Hotkey, Rescored)]) -> &str {
    match &results[0].1 {
        Rescored::Withheld(missing) => missing,
        other => panic!("{other:?}"),
    }
}

/// A store that nobody runs.
fn unreachable_bucket() -> Bucket {
    let config = BucketConfig {
        endpoint: "http://127.0.0.1:9".to_owned(),
        bucket: "nobody".to_owned(),
        region: "auto".to_owned(),
        access_key: Secret::new("a"),
        secret_key: Secret::new("b"),
    };
    let attempts = leoma_storage::RetryPolicy { attempts: 1, ..Default::default() };
    config.open().unwrap().with_policy(attempts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_producer_keeps_back_is_withheld() {
    let Some(world) = World::new().await else { return };
    let entries = [(world.entry(10, &world.good).await, &world.good)];
    let task = world.publish(&world.metrics, &entries).await;
    let validator = Validator::new(&world, &task, None);
    assert_eq!(withheld(&validator.finds(&task).await), "no access to the bucket");
    let empty = Bucket::in_memory("empty");
    let validator = Validator::new(&world, &task, Some(&empty));
    assert_eq!(withheld(&validator.finds(&task).await), "7/metadata.json is not in the bucket");
    // All but the video.
    let partial = Bucket::in_memory("partial");
    for object in [TaskObject::Metadata, TaskObject::OriginalClip] {
        let key: Key = TaskKey::new(TASK, object).into();
        let bytes = task.bucket.get(&key, 1 << 26).await.unwrap().unwrap();
        let _ = partial.create(&key, bytes).await.unwrap();
    }
    let validator = Validator::new(&world, &task, Some(&partial));
    let found = validator.finds(&task).await;
    assert!(withheld(&found).ends_with(".mp4 is not in the bucket"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_bytes_are_waited_for_holds_up_no_other() {
    let Some(world) = World::new().await else { return };
    let entries = [(world.entry(10, &world.good).await, &world.good)];
    let task = world.publish(&world.metrics, &entries).await;
    let validator = Validator::new(&world, &task, Some(&task.bucket));
    // Its producer has granted nothing, and there is time to wait for that.
    let mut kept_back = task.file.clone();
    kept_back.id.producer = hotkey(99);
    let (all, patience): (Vec<&VerdictEntry>, _) =
        (task.file.entries.iter().collect(), BlockNumber(900));
    let waits = validator.rescorer.rescore(&kept_back, &all, patience);
    let scored = validator.rescorer.rescore(&task.file, &all, patience);
    tokio::select! {
        found = waits => panic!("{found:?}"),
        found = scored => assert_eq!(found, [(hotkey(10), Rescored::Agrees)]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_does_not_answer_is_held_against_its_owner_where_others_answer() {
    let Some(world) = World::new().await else { return };
    let entries = [(world.entry(10, &world.good).await, &world.good)];
    let task = world.publish(&world.metrics, &entries).await;
    let down = unreachable_bucket();
    let validator = Validator::new(&world, &task, Some(&down));
    assert_eq!(
        withheld(&validator.finds(&task).await),
        "failed to read 7/metadata.json: unavailable"
    );
    // Nothing answers: that is our network.
    let cut = Validator::beside(&world, &task, Some(&down), unreachable_bucket());
    assert_eq!(lack(&cut.finds(&task).await), "failed to read 7/metadata.json: unavailable");
    // Another peer's store answers, though the subnet's does not.
    let other = Validator::beside(&world, &task, Some(&down), unreachable_bucket());
    let _ =
        other.rescorer.waiting.buckets.insert(hotkey(77), Bucket::in_memory("a peer's")).unwrap();
    assert_eq!(withheld(&other.finds(&task).await), "failed to read 7/metadata.json: unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_is_not_here_is_a_lack_and_no_dispute() {
    let Some(world) = World::new().await else { return };
    let entries = [(world.entry(10, &world.good).await, &world.good)];
    let unknown = world.publish("metrics:of another release", &entries).await;
    let validator = Validator::new(&world, &unknown, Some(&unknown.bucket));
    assert!(lack(&validator.finds(&unknown).await).starts_with("judged by metrics:of another"));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_runs_out_is_the_producers_only_while_its_bytes_are_missing() {
    let Some(world) = World::new().await else { return };
    let entries = [(world.entry(10, &world.good).await, &world.good)];
    let task = world.publish(&world.metrics, &entries).await;
    let all: Vec<&VerdictEntry> = task.file.entries.iter().collect();
    let patience = BlockNumber(720);
    let reach = |validator: &Validator| {
        let heads = validator.heads.clone();
        async move {
            sleep(Duration::from_millis(300)).await;
            heads.send_replace(Head { number: BlockNumber(720), hash: Digest::of(b"late") });
        }
    };
    // It waits between two looks when the time ends, and the last look finds nothing either.
    let empty = Bucket::in_memory("empty");
    let validator = Validator::new(&world, &task, Some(&empty));
    let (found, ()) =
        tokio::join!(validator.rescorer.rescore(&task.file, &all, patience), reach(&validator));
    assert_eq!(withheld(&found), "7/metadata.json is not in the bucket");
    // Everything is there, but our own task's answers take all the time.
    let mut validator = Validator::new(&world, &task, Some(&task.bucket));
    let (busy, own_answers) = watch::channel(1);
    validator.rescorer.own_answers = own_answers;
    let (found, ()) =
        tokio::join!(validator.rescorer.rescore(&task.file, &all, patience), reach(&validator));
    assert_eq!(found[0].1, Rescored::OutOfTime);
    drop(busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_comes_after_the_announcement_is_waited_for() {
    let Some(world) = World::new().await else { return };
    let entries = [(world.entry(10, &world.good).await, &world.good)];
    let task = world.publish(&world.metrics, &entries).await;
    let late = Bucket::in_memory("late");
    let validator = Validator::new(&world, &task, Some(&late));
    let objects =
        [TaskObject::Metadata, TaskObject::OriginalClip, TaskObject::GeneratedVideo(hotkey(10))];
    let upload = async {
        sleep(Duration::from_millis(300)).await;
        for object in objects {
            let key: Key = TaskKey::new(TASK, object).into();
            let bytes = task.bucket.get(&key, 1 << 26).await.unwrap().unwrap();
            let _ = late.create(&key, bytes).await.unwrap();
        }
    };
    let all: Vec<&VerdictEntry> = task.file.entries.iter().collect();
    let rescore = validator.rescorer.rescore(&task.file, &all, BlockNumber(10_000));
    let (found, ()) = tokio::join!(rescore, upload);
    assert_eq!(found, [(hotkey(10), Rescored::Agrees)]);
}
