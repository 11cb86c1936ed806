//! All entries of a task scored again, from its sampler's bucket alone.

use std::time::{Duration, Instant};

use leoma_protocol::verdict::{
    Envelope, Expected, MAX_FILE_BYTES, SignedEnvelope, VerdictEntry, VerifiedVerdict, verify,
};
use leoma_protocol::{Digest, FileId, Hotkey, Network, TaskId};
use leoma_scoring::TaskType;
use leoma_scoring::worker::{ScorerPool, SourceClip};
use leoma_storage::{Bucket, TaskKey, TaskObject};
use serde::Serialize;

use super::again::{Again, score_again};
use super::compare::Compared;
use super::known_judge::known_judge;
use super::published::{Objects, Published, Unread, read_task, read_video};
use crate::corpus::audit::{Copies, FileKind, check_copies};
use crate::corpus::{MAX_PROOF_BYTES, TaskMetadata};

/// Opens a scorer for tasks of this type whose metrics may have the id that an envelope names.
#[async_trait::async_trait]
pub(crate) trait Scorers: Sync {
    /// A scorer and its metrics' id for each that this machine has; the errors are this machine's.
    async fn scorer(
        &self,
        task: TaskType,
        judge: &str,
    ) -> anyhow::Result<Option<(ScorerPool, String)>>;
}

/// The result of checking a task's scores.
#[derive(Debug, Serialize)]
pub(crate) struct ScoresReport {
    /// The task.
    pub(crate) task_id: TaskId,
    /// Who sampled it.
    pub(crate) producer: Hotkey,
    /// Chain and subnet that its file is bound to.
    pub(crate) network: Network,
    /// The file's identity.
    pub(crate) digest: Digest,
    /// What judged.
    pub(crate) judge: String,
    /// What contradicts the envelope, or cannot be read, before any entry is looked at.
    pub(crate) task: Compared,
    /// Milliseconds to open the scorer, its self-test with them; `None` where nothing was scored.
    pub(crate) opened_ms: Option<u64>,
    /// Milliseconds to measure the clip and its opponents, once for all entries.
    pub(crate) clip_ms: Option<u64>,
    /// Each entry.
    pub(crate) entries: Vec<EntryReport>,
    /// Whether the entries are right about who copied whom.
    pub(crate) copies: Compared,
}

/// An entry beside its result.
#[derive(Debug, Serialize)]
pub(crate) struct EntryReport {
    /// The miner.
    pub(crate) miner: Hotkey,
    /// What the file says.
    pub(crate) claimed: Side,
    /// What was found here; `None` where nothing was scored.
    pub(crate) found: Option<Side>,
    /// Milliseconds to read the video and score it again.
    pub(crate) took_ms: u64,
    /// The two together.
    #[serde(flatten)]
    pub(crate) compared: Compared,
}

/// One side of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// The status.
    pub(crate) status: String,
    /// Whether it passes.
    pub(crate) passed: bool,
    /// Its overall score in points.
    pub(crate) score: Option<f64>,
}

impl ScoresReport {
    /// The report on a file of which nothing has been looked at.
    fn new(file: &VerifiedVerdict, envelope: &Envelope) -> Self {
        Self {
            task_id: file.id.task_id,
            producer: file.id.producer,
            network: envelope.network,
            digest: file.digest,
            judge: envelope.judge.clone(),
            task: Compared::Match,
            opened_ms: None,
            clip_ms: None,
            entries: Vec::new(),
            copies: Compared::Unchecked("the videos were not scored again".to_owned()),
        }
    }

    /// The results in order: of the task, of each entry, and of the copies.
    pub(crate) fn results(&self) -> impl Iterator<Item = &Compared> {
        let entries = self.entries.iter().map(|entry| &entry.compared);
        std::iter::once(&self.task).chain(entries).chain([&self.copies])
    }

    /// How many results differ.
    pub(crate) fn differing(&self) -> usize {
        self.results().filter(|result| matches!(result, Compared::Differs(_))).count()
    }
}

/// Reads a task's verdict file from its sampler's bucket and scores its entries, or that of one
/// `miner`, again. `progress` is told of each entry as it is done.
///
/// # Errors
/// The verdict file is not there or does not count, or this machine cannot score.
pub(crate) async fn audit_scores(
    bucket: &Bucket,
    task_id: TaskId,
    miner: Option<Hotkey>,
    scorers: &impl Scorers,
    mut progress: impl FnMut(usize, usize, &EntryReport),
) -> anyhow::Result<ScoresReport> {
    let file = read_file(bucket, task_id).await?;
    let Some(SignedEnvelope { envelope, .. }) = &file.envelope else {
        anyhow::bail!("the verdict file of task {task_id} has no envelope");
    };
    let mut report = ScoresReport::new(&file, envelope);
    let scoring = match read_task(bucket, envelope).await {
        Err(unread) => Err(unread_as(unread)),
        Ok(published) => prepare(published, scorers, &envelope.judge).await?,
    };
    let scoring = match scoring {
        Ok(scoring) => Some(scoring),
        Err(outcome) => {
            report.task = outcome;
            None
        }
    };
    report.opened_ms = scoring.as_ref().map(|scoring| millis(scoring.opened));
    report.clip_ms = scoring.as_ref().map(|scoring| millis(scoring.measured));
    let wanted: Vec<&VerdictEntry> = file
        .entries
        .iter()
        .filter(|entry| miner.is_none_or(|miner| entry.hotkey == miner))
        .collect();
    if wanted.is_empty() {
        anyhow::bail!("the verdict file of task {task_id} has no such entry");
    }
    // The entries as they are found here, to compare all of them for copies.
    let mut entries = file.entries.clone();
    for (index, entry) in wanted.iter().enumerate() {
        let begun = Instant::now();
        let again = match &scoring {
            Some(scoring) => scoring.again(bucket, entry).await,
            None => without_scorer(bucket, task_id, entry).await,
        };
        if let Some(print) = again.found.as_ref().and_then(|found| found.fingerprint.clone())
            && let Some(known) = entries.iter_mut().find(|known| known.hotkey == entry.hotkey)
            && known.fingerprint.is_some()
        {
            known.fingerprint = Some(print);
        }
        let row = EntryReport::new(entry, again, begun.elapsed());
        progress(index + 1, wanted.len(), &row);
        report.entries.push(row);
    }
    if let Some(scoring) = scoring {
        let kind = FileKind::of(file.envelope.is_some());
        report.copies = scoring.copies(entries, kind).await;
    }
    Ok(report)
}

/// The verdict file of the validator that the metadata names. It is bound to nothing but itself:
/// the report says to which chain and rules.
async fn read_file(bucket: &Bucket, task_id: TaskId) -> anyhow::Result<VerifiedVerdict> {
    let key = TaskKey::new(task_id, TaskObject::Metadata).into();
    let metadata = bucket.object(&key, MAX_PROOF_BYTES).await?;
    let metadata = metadata.ok_or_else(|| {
        anyhow::anyhow!("{} has no metadata.json of task {task_id}", bucket.name())
    })?;
    let metadata: TaskMetadata = serde_json::from_slice(&metadata)?;
    let network = Network { genesis: metadata.genesis, netuid: metadata.netuid };
    file_of(bucket, task_id, metadata.validator, network).await
}

/// The verdict file of a producer on a task. It is bound to nothing but itself: its parameters are
/// those that it states.
///
/// # Errors
/// When it is not there, or does not verify.
pub(crate) async fn file_of(
    bucket: &Bucket,
    task_id: TaskId,
    producer: Hotkey,
    network: Network,
) -> anyhow::Result<VerifiedVerdict> {
    let key = TaskKey::verdict(task_id, producer).into();
    let bytes = bucket.object(&key, MAX_FILE_BYTES as u64).await?;
    let bytes = bytes.ok_or_else(|| {
        anyhow::anyhow!("{} has no verdict file of task {task_id} by {producer}", bucket.name())
    })?;
    let stated: serde_json::Value = serde_json::from_slice(&bytes)?;
    let params = stated["envelope"]["params"].as_str().and_then(|params| params.parse().ok());
    let expected = Expected {
        id: FileId { task_id, producer },
        network,
        params: params.unwrap_or_default(),
        accept_v1: false,
    };
    Ok(verify(&bytes, &expected)?)
}

/// What entries are scored with.
struct Scoring {
    scorer: ScorerPool,
    choice: leoma_scoring::JudgeChoice,
    published: Published,
    source: SourceClip,
    /// How long it took to open the scorer, and to measure the clip.
    opened: Duration,
    measured: Duration,
}

async fn prepare(
    published: Published,
    scorers: &impl Scorers,
    judge: &str,
) -> anyhow::Result<Result<Scoring, Compared>> {
    let unknown = || Compared::Unchecked(format!("this release does not have the judge {judge}"));
    let begun = Instant::now();
    let Some((scorer, metrics)) = scorers.scorer(published.metadata.task, judge).await? else {
        return Ok(Err(unknown()));
    };
    let Some(choice) = known_judge(judge, &metrics) else { return Ok(Err(unknown())) };
    let (opened, begun) = (begun.elapsed(), Instant::now());
    let source = scorer.reference(published.clip.clone()).await?;
    let measured = begun.elapsed();
    let source = match &published.metadata.prompt {
        Some(prompt) => source.with_prompt(prompt),
        None => source,
    };
    Ok(Ok(Scoring { scorer, choice, published, source, opened, measured }))
}

impl Scoring {
    async fn again(&self, bucket: &Bucket, entry: &VerdictEntry) -> Again {
        let task = (&self.published, &self.source);
        let alone = std::future::ready(());
        let again = score_again(&self.scorer, self.choice, task, bucket, entry, alone).await;
        again.unwrap_or_else(|unread| Again::unchecked(unread.to_string()))
    }

    async fn copies(&self, entries: Vec<VerdictEntry>, kind: FileKind) -> Compared {
        let Some(print) = self.source.fingerprint().cloned() else {
            return Compared::Unchecked("the clip has no fingerprint here".to_owned());
        };
        let looked =
            tokio::task::spawn_blocking(move || check_copies(&entries, &print, kind)).await;
        match looked {
            Ok(Copies::Hold { unreadable: 0, .. }) => Compared::Match,
            Ok(Copies::Hold { unreadable, .. }) => {
                Compared::Unchecked(format!("{unreadable} copies have no fingerprint to tell by"))
            }
            Ok(Copies::Wrong { finding, .. }) => Compared::Differs(vec![finding]),
            Err(error) => Compared::Unchecked(error.to_string()),
        }
    }
}

/// An entry whose judge is not known: only its video's bytes can be checked.
async fn without_scorer(bucket: &Bucket, task_id: TaskId, entry: &VerdictEntry) -> Again {
    let compared = match read_video(bucket, task_id, entry).await {
        Err(unread) => unread_as(unread),
        Ok(None) => Compared::Unchecked("there was no video to score".to_owned()),
        Ok(Some(_)) => Compared::Unchecked("the video is the entry's, and was not scored".into()),
    };
    Again { compared, found: None }
}

fn unread_as(unread: Unread) -> Compared {
    match unread {
        Unread::Contradicts(reason) => Compared::Differs(vec![reason]),
        unread => Compared::Unchecked(unread.to_string()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl EntryReport {
    fn new(entry: &VerdictEntry, again: Again, took: Duration) -> Self {
        let points = |tenths: u16| f64::from(tenths) / 10.0;
        let found = again.found.map(|found| Side {
            status: found.status.to_string(),
            passed: found.grade.is_some_and(|grade| grade.passed),
            score: found.grade.map(|grade| grade.overall.as_f64()),
        });
        Self {
            miner: entry.hotkey,
            claimed: Side {
                status: entry.status.to_string(),
                passed: entry.passed,
                score: entry.score.map(points),
            },
            found,
            took_ms: millis(took),
            compared: again.compared,
        }
    }
}

#[cfg(test)]
mod tests;
