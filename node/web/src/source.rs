//! What the server shows, and where it comes from.

use std::sync::Arc;

use bytes::Bytes;
use leoma_protocol::Hotkey;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::board::Board;
use crate::view::{TaskRecord, View};

/// One line of `/readyz?verbose`.
#[derive(Clone, Debug, Serialize)]
pub struct ReadyCheck {
    /// What is checked.
    pub name: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Why something cannot be shown now, in words for a reader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// One file of a task in its sampler's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Media {
    /// The task.
    pub task_id: u64,
    /// Who sampled it.
    pub producer: Hotkey,
    /// Which of its files.
    pub object: MediaObject,
}

/// Which of a task's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaObject {
    /// How the task was made, and what was measured, JSON.
    Metadata,
    /// The picture that miners were given, PNG.
    FirstFrame,
    /// The clip that it was taken from, MP4.
    Clip,
    /// A miner's answer, MP4.
    Answer(Hotkey),
    /// The sound that miners were sent, WAV.
    Sound,
    /// What their motions were compared with, BVH.
    Reference,
    /// A miner's motion, BVH.
    Motion(Hotkey),
}

/// What is known of a subnet: by a validator, or by `leoma api`.
#[async_trait::async_trait]
pub trait Subnet: Send + Sync + std::fmt::Debug {
    /// The newest view. It may be some seconds old, so that many requests cost one reading.
    ///
    /// # Errors
    /// Why there is none now.
    async fn view(&self) -> Result<Arc<View>, Unavailable>;
    /// The newest block, and each later one.
    fn heads(&self) -> watch::Receiver<u64>;
    /// What a task's sampler published beside its verdicts; `None` if its bucket holds nothing.
    ///
    /// # Errors
    /// Why it cannot be read now.
    async fn record(
        &self,
        task_id: u64,
        producer: Hotkey,
    ) -> Result<Option<Arc<TaskRecord>>, Unavailable>;
    /// A file of a task; `None` if its bucket does not hold it.
    ///
    /// # Errors
    /// Why it cannot be read now.
    async fn media(&self, media: Media) -> Result<Option<Bytes>, Unavailable>;
    /// A short-lived address at which anyone can read a file of a task; `None` where this process
    /// has no key that may sign one.
    async fn presign(&self, media: Media) -> Option<String>;
    /// The allowlist with this SHA-256, in hexadecimal, in its canonical form.
    fn allowlist(&self, digest: &str) -> Option<String>;
    /// What was posted here; `None` where nothing is kept.
    fn board(&self) -> Option<Arc<dyn Board>>;
}

/// A running process, as far as HTTP shows it to its operator.
#[async_trait::async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// What it knows of its subnet.
    fn subnet(&self) -> Arc<dyn Subnet>;
    /// The checks behind `/readyz`.
    fn readiness(&self) -> Vec<ReadyCheck>;
    /// The metrics in the OpenMetrics text format; calls never overlap.
    ///
    /// # Errors
    /// Why they could not be encoded.
    async fn metrics(&self) -> Result<String, std::fmt::Error>;
    /// The whole status.
    async fn status(&self) -> Value;
    /// The signed statements about verdict files, as JSON text.
    ///
    /// # Errors
    /// Why there are none now, in words.
    async fn agreement(&self) -> Result<String, String>;
    /// Every setting: name, value (never a secret's) and where it was found.
    fn settings(&self) -> Vec<[String; 3]>;
    /// Facts about this machine: what, and its value.
    fn machine(&self) -> Vec<[String; 2]>;
    /// The verdict file of a task by a producer, as it was signed; `None` where it is not held.
    async fn verdict(&self, task_id: u64, producer: &str) -> Option<Vec<u8>>;
}

/// How far the start has come.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Starting(&'static str),
    Running(Arc<dyn Source>),
}

/// A validator's start, reported to the server step by step.
#[derive(Debug)]
pub struct Start(watch::Sender<Phase>);

/// What the server follows to know how far the start has come.
#[derive(Clone, Debug)]
pub struct Progress(pub(crate) watch::Receiver<Phase>);

impl Start {
    /// A start in its first step, and its progress for [`serve`](crate::serve).
    pub fn new(step: &'static str) -> (Self, Progress) {
        let (sender, receiver) = watch::channel(Phase::Starting(step));
        (Self(sender), Progress(receiver))
    }

    /// Begins the next step, named as `/readyz` shows it: "connecting to the chain".
    pub fn step(&self, step: &'static str) {
        tracing::debug!(step, "starting");
        self.0.send_replace(Phase::Starting(step));
    }

    /// Ends the start: from now on `source` is shown.
    pub fn finish(self, source: impl Source + 'static) {
        self.0.send_replace(Phase::Running(Arc::new(source)));
    }
}
