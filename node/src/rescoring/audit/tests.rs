use super::super::fixture::{TASK, World, hotkey};
use super::*;
use leoma_storage::Key;

/// The scorer of a test, whatever the task.
struct Here<'a>(&'a World);

#[async_trait::async_trait]
impl Scorers for Here<'_> {
    async fn scorer(
        &self,
        _: TaskType,
        judge: &str,
    ) -> anyhow::Result<Option<(ScorerPool, String)>> {
        let World { scorer, metrics, .. } = self.0;
        let known = known_judge(judge, metrics).is_some();
        Ok(known.then(|| (scorer.clone(), metrics.clone())))
    }
}

async fn audited(world: &World, bucket: &Bucket, miner: Option<Hotkey>) -> ScoresReport {
    audit_scores(bucket, TASK, miner, &Here(world), |_, _, _| {}).await.unwrap()
}

fn differences(result: &Compared) -> String {
    match result {
        Compared::Differs(differences) => differences.join("; "),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_task_matches_and_each_falsehood_is_named() {
    let Some(world) = World::new().await else { return };
    let (good, bad) = (world.entry(10, &world.good).await, world.entry(11, &world.bad).await);
    let timeout = VerdictEntry::unusable(
        hotkey(12),
        leoma_protocol::verdict::EntryStatus::Timeout,
        String::new(),
        1,
    );
    let none = bytes::Bytes::new();
    let honest = [(good.clone(), &world.good), (bad.clone(), &world.bad), (timeout.clone(), &none)];
    let task = world.publish(&world.metrics, &honest).await;
    let report = audited(&world, &task.bucket, None).await;
    assert_eq!(report.differing(), 0, "{report:?}");
    assert_eq!((&report.task, &report.copies), (&Compared::Match, &Compared::Match));
    // How long it took is in the JSON; this scorer knows the clip already.
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["opened_ms"].is_u64() && json["clip_ms"].is_u64(), "{json:#}");
    let took = |entry: usize| json["entries"][entry]["took_ms"].as_u64();
    assert!(took(0) > Some(0) && took(2).is_some(), "{json:#}");
    let outcomes: Vec<&Compared> = report.entries.iter().map(|row| &row.compared).collect();
    assert!(matches!(outcomes[..], [Compared::Match, Compared::Match, Compared::Unchecked(_)]));

    // A falsified score, a falsified fingerprint, a video that was replaced.
    let mut richer = good.clone();
    richer.score = richer.score.map(|score| score.saturating_sub(50));
    let mut printed = bad.clone();
    let print = printed.fingerprint.as_mut().unwrap();
    print[40] = print[40].wrapping_add(60);
    let other = VerdictEntry { hotkey: hotkey(12), ..good.clone() };
    let lies = [(richer, &world.good), (printed, &world.bad), (other, &world.bad)];
    let task = world.publish(&world.metrics, &lies).await;
    let report = audited(&world, &task.bucket, None).await;
    let of = |index: usize| differences(&report.entries[index].compared);
    assert!(of(0).starts_with("overall "), "{}", of(0));
    assert_eq!(of(1), "the fingerprint is of another video");
    assert!(of(2).starts_with("the video is sha256"), "{}", of(2));
    assert!(differences(&report.copies).contains("sent one video"), "{report:?}");
    let one = audited(&world, &task.bucket, Some(hotkey(11))).await;
    assert_eq!(one.entries.len(), 1);

    // Metadata that was replaced after it was signed.
    let key: Key = TaskKey::new(TASK, TaskObject::Metadata).into();
    let metadata = task.bucket.get(&key, 1 << 20).await.unwrap().unwrap();
    let other = String::from_utf8(metadata.to_vec()).unwrap().replace("things move", "all else");
    task.bucket.replace(&key, other.into()).await.unwrap();
    let report = audited(&world, &task.bucket, None).await;
    assert!(differences(&report.task).contains("the envelope says"), "{report:?}");

    // What is not here or not known says nothing against anybody.
    let task = world.publish("metrics:of another release", &honest[..1]).await;
    let report = audited(&world, &task.bucket, None).await;
    assert_eq!(report.differing(), 0, "{report:?}");
    assert!(matches!(&report.task, Compared::Unchecked(why) if why.contains("another release")));
}
