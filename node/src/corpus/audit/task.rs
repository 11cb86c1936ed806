//! The inputs and the result of a task's audit.

use leoma_protocol::{BlockNumber, Digest, Network, TaskId};
use leoma_scoring::media::Ffmpeg;
use leoma_storage::{Bucket, SourceBucket};
use serde::Serialize;

use super::super::proof::ClipProof;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It holds.
    Pass,
    /// It does not: this is not the choice that the seed makes.
    Fail,
    /// Something that is needed is not available. It says nothing against the sampler.
    Unchecked,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// Its name.
    pub step: &'static str,
    /// Its outcome.
    pub outcome: Verdict,
    /// What was found.
    pub finding: String,
}

impl Step {
    pub(crate) fn pass(step: &'static str, finding: impl Into<String>) -> Self {
        Self { step, outcome: Verdict::Pass, finding: finding.into() }
    }

    pub(crate) fn fail(step: &'static str, finding: impl Into<String>) -> Self {
        Self { step, outcome: Verdict::Fail, finding: finding.into() }
    }

    pub(crate) fn unchecked(step: &'static str, finding: impl Into<String>) -> Self {
        Self { step, outcome: Verdict::Unchecked, finding: finding.into() }
    }
}

/// Something that the audit compares with, or why it does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// It is known.
    Value(T),
    /// It is not.
    Unknown(String),
}

/// What a task is checked against.
#[derive(Debug)]
pub(crate) struct TaskAudit<'a> {
    /// The task.
    pub task_id: TaskId,
    /// Chain and subnet that it must be of.
    pub network: Network,
    /// The bucket of the validator that sampled it.
    pub bucket: &'a Bucket,
    /// The source bucket.
    pub source: &'a SourceBucket,
    /// The task's first block.
    pub start_block: Known<BlockNumber>,
    /// That block's hash.
    pub seed_hash: Known<Digest>,
    /// Smallest and largest video that the subnet takes from a listing.
    pub listed_bytes: (u64, u64),
    /// What looks at videos here.
    pub ffmpeg: Ffmpeg,
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AuditReport {
    /// The task.
    pub task_id: TaskId,
    /// The proof that was checked, where there is one.
    pub clip: Option<ClipProof>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl AuditReport {
    /// Number of steps with this outcome.
    pub(crate) fn count(&self, outcome: Verdict) -> usize {
        self.steps.iter().filter(|step| step.outcome == outcome).count()
    }
}
