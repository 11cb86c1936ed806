//! What the server shows, and where it comes from.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// One line of `/readyz?verbose`.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
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
    fn readiness(&self) -> Vec<Check>;
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
pub enum Phase {
    /// It starts; the text names the step that is running.
    Starting(&'static str),
    /// It runs.
    Running(Arc<dyn Source>),
}
