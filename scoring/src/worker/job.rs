//! What a pool asks of its workers, and the queue that it waits in.

use super::fault::WorkerFault;
use super::source_clip::{SourceClip, SourceFacts};
use crate::judge::Scored;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};

/// What is asked of a worker.
#[derive(Debug)]
pub(super) enum Task {
    Source(SourceClip),
    Score { source: SourceClip, answer: Bytes },
}

impl Task {
    pub(super) fn source(&self) -> &SourceClip {
        match self {
            Self::Source(source) | Self::Score { source, .. } => source,
        }
    }
}

/// The result of a [`Task`].
#[derive(Debug)]
pub(super) enum Done {
    Prepared(Arc<SourceFacts>),
    Scored(Box<Scored>),
}

/// A task, and the channel on which its caller waits.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: Task,
    /// How many processes were lost while they worked on it.
    pub(super) tries: u8,
    /// Its process works on nothing else meanwhile.
    pub(super) alone: bool,
    answer: oneshot::Sender<Result<Done, WorkerFault>>,
}

impl Job {
    /// A new job, and where its result arrives.
    pub(super) fn new(task: Task) -> (Self, oneshot::Receiver<Result<Done, WorkerFault>>) {
        let (answer, done) = oneshot::channel();
        (Self { task, tries: 0, alone: false, answer }, done)
    }

    pub(super) fn answer(self, done: Result<Done, WorkerFault>) {
        let _caller_is_gone = self.answer.send(done);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

/// The queue that all workers take from.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Mutex<mpsc::Receiver<Job>>>);

impl Queue {
    /// A queue with room for `length` jobs, and its entry.
    pub(super) fn new(length: usize) -> (mpsc::Sender<Job>, Self) {
        let (jobs, queue) = mpsc::channel(length);
        (jobs, Self(Arc::new(Mutex::new(queue))))
    }

    /// The next job; `None` once the pool is gone. Cancelling the call loses no job.
    pub(super) async fn next(&self) -> Option<Job> {
        self.0.lock().await.recv().await
    }
}
