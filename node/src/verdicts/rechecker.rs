//! Computing values of others' files again from what their producers published: for mechanisms whose
//! values follow from an answer by arithmetic alone. It costs no scoring process, so it never waits
//! for our own task.

use std::fmt;

use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::{Envelope, VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Hotkey};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::rescoring::{Owed, Rescored, Rescoring};
use super::waiting::{FIRST_PAUSE, LAST_LOOK, LONGEST, Waiting};
use super::withheld::{Awaited, Followed};
use crate::rescoring::{Objects, Unread};

/// Files that are worked on at a time; a few answers of each are in memory.
const FILES_AT_A_TIME: usize = 6;

/// What a mechanism brings.
#[async_trait::async_trait]
pub(crate) trait Recheck: Send + Sync + fmt::Debug + 'static {
    /// What all entries of a task are compared with.
    type Task: Send + Sync;

    /// The judge that all validators of the mechanism have.
    fn judge(&self) -> &'static str;

    /// As [`Rescoring::attest_until`].
    fn attest_until(&self, _envelope: &Envelope, _start: BlockNumber) -> Option<BlockNumber> {
        None
    }

    /// As [`Rescoring::owed`], in one try.
    ///
    /// # Errors
    /// [`Unread::Ours`].
    async fn owed(&self, _start: BlockNumber) -> Result<Owed, Unread> {
        Ok(Owed::AsSeen)
    }

    /// Reads it from the producer's bucket, held to what the producer signed.
    ///
    /// # Errors
    /// [`Unread`].
    async fn task(&self, bucket: &dyn Objects, envelope: &Envelope) -> Result<Self::Task, Unread>;

    /// The first entry of a file that differs, drawn or not, where the task is all that is needed to
    /// find it.
    fn false_entry(
        &self,
        _task: &Self::Task,
        _entries: &[VerdictEntry],
    ) -> Option<(Hotkey, Rescored)> {
        None
    }

    /// Computes one entry again.
    ///
    /// # Errors
    /// [`Unread`] where its answer could not be read.
    async fn entry(
        &self,
        task: &Self::Task,
        bucket: &dyn Objects,
        entry: &VerdictEntry,
    ) -> Result<Rescored, Unread>;
}

/// Computes entries of others' files again.
#[derive(Debug)]
pub(crate) struct Rechecker<R> {
    recheck: R,
    waiting: Waiting,
    files: Semaphore,
}

impl<R: Recheck> Rechecker<R> {
    pub(crate) fn new(recheck: R, waiting: Waiting) -> Self {
        Self { recheck, waiting, files: Semaphore::new(FILES_AT_A_TIME) }
    }

    /// Reads until that succeeds, or cannot succeed any more, or no time is left. Then the producer
    /// is to blame only if it is its bucket that has not given what was asked of it.
    async fn patiently<T, F>(
        &self,
        file: &VerifiedVerdict,
        (patience, until): (BlockNumber, Instant),
        awaited: &Awaited,
        read: impl Fn() -> F,
    ) -> Result<T, Rescored>
    where
        F: Future<Output = Result<T, Unread>>,
    {
        let work = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let done = read().await;
                let error = done.as_ref().err();
                if !self.waiting.may_ask_again(error, &mut pause, patience).await {
                    return done;
                }
            }
        };
        match self.waiting.in_time(patience, until, work).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(Unread::Unknown(release))) => Err(Rescored::Foreign(release)),
            Some(Err(unread)) => Err(self.waiting.unread(file, unread).await),
            None => {
                const WHAT: &str = "what the entries follow from";
                let unread = match timeout(LAST_LOOK, read()).await {
                    Ok(Ok(_)) => None,
                    Ok(Err(Unread::Unknown(release))) => return Err(Rescored::Foreign(release)),
                    Ok(Err(unread)) => Some(unread),
                    Err(_) if awaited.is_true() => Some(Unread::slow(WHAT)),
                    Err(_) => Some(Unread::Ours(format!("{WHAT} cannot be read here in time"))),
                };
                Err(self.waiting.out_of_time(file, unread).await)
            }
        }
    }
}

#[async_trait::async_trait]
impl<R: Recheck> Rescoring for Rechecker<R> {
    fn knows(&self, judge: &str) -> bool {
        judge == self.recheck.judge()
    }

    fn attest_until(&self, envelope: &Envelope, start: BlockNumber) -> Option<BlockNumber> {
        self.recheck.attest_until(envelope, start)
    }

    async fn owed(&self, start: BlockNumber, patience: BlockNumber) -> Owed {
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.recheck.owed(start).await;
            if !self.waiting.may_ask_again(found.as_ref().err(), &mut pause, patience).await {
                return found.unwrap_or_else(|unread| Owed::Unknown(unread.to_string()));
            }
        }
    }

    async fn rescore(
        &self,
        file: &VerifiedVerdict,
        drawn: &[&VerdictEntry],
        patience: BlockNumber,
    ) -> Vec<(Hotkey, Rescored)> {
        let all = |result: Rescored| {
            drawn.iter().map(|entry| (entry.hotkey, result.clone())).collect::<Vec<_>>()
        };
        let times = (patience, Instant::now() + LONGEST);
        let place = self.waiting.in_time(patience, times.1, self.files.acquire()).await;
        let Some(Ok(_place)) = place else { return all(Rescored::OutOfTime) };
        let Some(signed) = &file.envelope else {
            let nothing = Finding { passed: false, score: 0 };
            return all(Rescored::Differs(nothing, "the file has no envelope".to_owned()));
        };
        let awaited = Awaited::default();
        let read = async || {
            let bucket = self.waiting.buckets.get(&file.id.producer).ok_or(Unread::NoAccess)?;
            let bucket = Followed::noting(bucket, awaited.clone());
            let task = self.recheck.task(&bucket, &signed.envelope).await?;
            Ok((bucket, task))
        };
        let (bucket, task) = match self.patiently(file, times, &awaited, read).await {
            Ok(read) => read,
            Err(result) => return all(result),
        };
        if let Some(found) = self.recheck.false_entry(&task, &file.entries) {
            return vec![found];
        }
        let mut results = Vec::with_capacity(drawn.len());
        for entry in drawn {
            let read = || self.recheck.entry(&task, &bucket, entry);
            let result = self.patiently(file, times, &awaited, read).await;
            let result = result.unwrap_or_else(|result| result);
            let stop = matches!(
                result,
                Rescored::Differs(..) | Rescored::Withheld(_) | Rescored::Foreign(_)
            );
            results.push((entry.hotkey, result));
            if stop {
                break;
            }
        }
        results
    }
}

#[cfg(test)]
mod tests;
