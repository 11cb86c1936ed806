//! What the server shows, and where it comes from.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

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

/// A running validator, as far as HTTP shows it.
#[async_trait::async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
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
}

/// How far a validator's start has come.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Starting(&'static str),
    Running(Arc<dyn Source>),
}

/// A validator's start, told to the server step by step.
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
