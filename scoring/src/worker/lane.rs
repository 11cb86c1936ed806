//! What outlives the processes of one worker: its device, its limits and its jobs.

use super::job::{Job, Queue};
use super::patience::Patience;
use super::shared::Shared;
use crate::device::Device;
use std::collections::VecDeque;
use std::sync::Arc;

/// One device's lane: the jobs that go to it, and how they are worked on.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) device: Device,
    pub(super) patience: Patience,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    /// Most comparisons on the device at a time.
    pub(super) comparisons: usize,
    /// Most clips in a process at a time.
    pub(super) clips: usize,
    /// Jobs that a lost process was working on. They are tried again one at a time.
    pub(super) held: VecDeque<Job>,
    /// Processes lost since a clip was last finished.
    pub(super) losses: u32,
}

/// The pool was stopped.
pub(super) struct Stopped;
