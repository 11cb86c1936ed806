//! Scoring entries of others' files again: one video at a time, behind our own task, and never for
//! longer than it can help. A file whose bytes are waited for holds up no other. What this machine
//! cannot do is reported as its own lack; bytes that the producer keeps back are not.

use std::sync::Arc;

use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::{Envelope, VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Hotkey};
use leoma_scoring::JudgeChoice;
use leoma_scoring::worker::{ScorerPool, SourceClip};
use leoma_storage::PeerBucket;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use super::rescoring::{Rescored, Rescoring};
use super::waiting::{FIRST_PAUSE, LAST_LOOK, LONGEST, Waiting};
use super::withheld::Followed;
use crate::corpus::audit::{Copies, FileKind, check_copies};
use crate::rescoring::{
    Again, Compared, Published, Unread, known_judge, read_task, read_video, score_again,
};

/// Files that are worked on at a time, most of them waiting for bytes. Two tasks are attested to at a
/// time, with a few producers each.
const FILES_AT_A_TIME: usize = 6;

/// Scores entries of others' files again with this validator's scoring processes.
#[derive(Debug)]
pub(crate) struct Rescorer {
    scorer: ScorerPool,
    /// The id of our metrics.
    metrics: Arc<str>,
    /// How many of our own task's answers are being judged.
    own_answers: watch::Receiver<usize>,
    waiting: Waiting,
    /// A clip and a video of at most 64 MiB are in memory for each.
    files: Semaphore,
    /// Whoever holds this place may keep the scoring processes busy.
    place: Semaphore,
}

/// What entries of one file are scored with.
struct Prepared {
    bucket: Followed<PeerBucket>,
    published: Published,
    source: SourceClip,
    choice: JudgeChoice,
}

impl Rescorer {
    /// `metrics` is the id of the metrics that `scorer` grades by, and `own_answers` counts our own
    /// task's answers under way, which go first.
    pub(crate) fn new(
        scorer: ScorerPool,
        metrics: Arc<str>,
        own_answers: watch::Receiver<usize>,
        waiting: Waiting,
    ) -> Self {
        let (files, place) = (Semaphore::new(FILES_AT_A_TIME), Semaphore::new(1));
        Self { scorer, metrics, own_answers, waiting, files, place }
    }

    /// Waits until no answer of our own task is being judged, nor any other file's. What it returns
    /// is held while something is.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let place = self.place.acquire().await.ok();
        let mut answers = self.own_answers.clone();
        let _ended = answers.wait_for(|answers| *answers == 0).await.is_err();
        place
    }

    /// What the entries are scored against, with the bucket that it was read from, as soon as it is
    /// there.
    async fn read(
        &self,
        file: &VerifiedVerdict,
        envelope: &Envelope,
        patience: BlockNumber,
    ) -> Result<(Followed<PeerBucket>, Published), Unread> {
        let mut pause = FIRST_PAUSE;
        loop {
            let read = self.read_now(file, envelope).await;
            if !self.waiting.may_ask_again(read.as_ref().err(), &mut pause, patience).await {
                return read;
            }
        }
    }

    async fn read_now(
        &self,
        file: &VerifiedVerdict,
        envelope: &Envelope,
    ) -> Result<(Followed<PeerBucket>, Published), Unread> {
        let bucket = self.waiting.buckets.get(&file.id.producer).ok_or(Unread::NoAccess)?;
        let published = read_task(&bucket, envelope).await?;
        Ok((Followed::new(bucket), published))
    }

    /// Reads what the entries are scored against, and measures the clip.
    async fn prepare(
        &self,
        file: &VerifiedVerdict,
        patience: BlockNumber,
        until: Instant,
    ) -> Result<Prepared, Rescored> {
        let lack = Rescored::NotChecked;
        let signed = file.envelope.as_ref().ok_or_else(|| lack("no envelope".to_owned()))?;
        let envelope = &signed.envelope;
        let choice = known_judge(&envelope.judge, &self.metrics).ok_or_else(|| {
            lack(format!("judged by {}, here is {}", envelope.judge, self.metrics))
        })?;
        let read = self.waiting.in_time(patience, until, self.read(file, envelope, patience)).await;
        let (bucket, published) = match read {
            Some(Ok(read)) => read,
            Some(Err(unread)) => return Err(self.waiting.unread(file, unread).await),
            None => {
                let again = timeout(LAST_LOOK, self.read_now(file, envelope)).await;
                let unread =
                    again.map_or_else(|_| Some(Unread::slow("metadata.json")), Result::err);
                return Err(self.waiting.out_of_time(file, unread).await);
            }
        };
        let measured = self.waiting.in_time(patience, until, async {
            let _turn = self.turn().await;
            self.scorer.reference(published.clip.clone()).await
        });
        let source = measured.await.ok_or(Rescored::OutOfTime)?;
        let source = source.map_err(|fault| lack(format!("the clip was not measured: {fault}")))?;
        let source = match &published.metadata.prompt {
            Some(prompt) => source.with_prompt(prompt),
            None => source,
        };
        Ok(Prepared { bucket, published, source, choice })
    }

    async fn entry(
        &self,
        prepared: &Prepared,
        file: &VerifiedVerdict,
        entry: &VerdictEntry,
        patience: BlockNumber,
    ) -> Rescored {
        let Prepared { bucket, published, source, choice } = prepared;
        let mut pause = FIRST_PAUSE;
        loop {
            let (task, turn) = ((published, source), self.turn());
            let again = score_again(&self.scorer, *choice, task, bucket, entry, turn).await;
            if !self.waiting.may_ask_again(again.as_ref().err(), &mut pause, patience).await {
                return match again {
                    Ok(again) => rescored(again),
                    Err(unread) => self.waiting.unread(file, unread).await,
                };
            }
        }
    }

    /// An entry for which no time was left: its producer is to blame if waiting for the video took
    /// the time, and the video still is not there.
    async fn late_entry(
        &self,
        prepared: &Prepared,
        file: &VerifiedVerdict,
        entry: &VerdictEntry,
    ) -> Rescored {
        if !prepared.bucket.is_awaited() {
            return Rescored::OutOfTime;
        }
        let look = read_video(&prepared.bucket, file.id.task_id, entry);
        let unread = timeout(LAST_LOOK, look).await;
        let unread = unread.map_or_else(|_| Some(Unread::slow("a video")), Result::err);
        self.waiting.out_of_time(file, unread).await
    }
}

fn rescored(again: Again) -> Rescored {
    match again.compared {
        Compared::Match | Compared::Boundary => Rescored::Agrees,
        Compared::Unchecked(lack) => Rescored::NotChecked(lack),
        Compared::Differs(differences) => {
            let nothing = Finding { passed: false, score: 0 };
            let finding = again.found.map_or(nothing, |found| found.finding());
            Rescored::Differs(finding, differences.join("; "))
        }
    }
}

/// The entry that contradicts the fingerprints about copies, as a result.
async fn false_copy(file: &VerifiedVerdict, source: &SourceClip) -> Option<(Hotkey, Rescored)> {
    let print = source.fingerprint()?.clone();
    let entries = file.entries.clone();
    let kind = FileKind::of(file.envelope.is_some());
    let looked = tokio::task::spawn_blocking(move || check_copies(&entries, &print, kind)).await;
    match looked {
        Ok(Copies::Wrong { miner, finding }) => {
            let entry = file.entries.iter().find(|entry| entry.hotkey == miner)?;
            // What is wrong is whose video it is, not how good.
            let score = entry.score.unwrap_or(0);
            let found = Finding { passed: !entry.passed, score };
            Some((miner, Rescored::Differs(found, finding)))
        }
        Ok(Copies::Hold { .. }) | Err(_) => None,
    }
}

#[async_trait::async_trait]
impl Rescoring for Rescorer {
    async fn rescore(
        &self,
        file: &VerifiedVerdict,
        drawn: &[&VerdictEntry],
        patience: BlockNumber,
    ) -> Vec<(Hotkey, Rescored)> {
        let all = |result: Rescored| {
            drawn.iter().map(|entry| (entry.hotkey, result.clone())).collect::<Vec<_>>()
        };
        let until = Instant::now() + LONGEST;
        let file_place = self.waiting.in_time(patience, until, self.files.acquire()).await;
        let Some(Ok(_file_place)) = file_place else { return all(Rescored::OutOfTime) };
        let prepared = match self.prepare(file, patience, until).await {
            Ok(prepared) => prepared,
            Err(result) => return all(result),
        };
        let mut results = Vec::with_capacity(drawn.len());
        for entry in drawn {
            let scored = self
                .waiting
                .in_time(patience, until, self.entry(&prepared, file, entry, patience))
                .await;
            let result = match scored {
                Some(result) => result,
                None => self.late_entry(&prepared, file, entry).await,
            };
            let stop = matches!(result, Rescored::Differs(..) | Rescored::Withheld(_));
            results.push((entry.hotkey, result));
            if stop {
                return results;
            }
        }
        results.extend(false_copy(file, &prepared.source).await);
        results
    }
}

#[cfg(test)]
mod tests;
