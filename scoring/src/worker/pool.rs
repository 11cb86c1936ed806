//! The validator's side: several workers that share one queue of clips.

use super::driver::Driver;
use super::fault::WorkerFault;
use super::message::ScorerOptions;
use super::process::{Nursery, WorkerProgram};
use super::serve::MOST_CLIPS;
use crate::device::{Device, DeviceChoice};
use crate::fingerprint::Fingerprint;
use crate::judge::grade::AspectPolicy;
use crate::media::{Ffmpeg, Limits, MediaFault, check_size};
use crate::scorer::{ScoreFault, Scored};
use bytes::Bytes;
use leoma_protocol::Digest;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Comparisons at a time on a CUDA device: one's small kernels leave gaps that another fills.
const CUDA_COMPARISONS: usize = 2;
/// Cores that one comparison of the CPU's loops keeps busy.
const CORES_OF_A_COMPARISON: usize = 8;

/// No prompt has more.
const MOST_PROMPT_CHARS: usize = 2000;

/// How long a pool waits for its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the next step of a start: the first kernel of each shape compiles.
    pub start: Duration,
    /// For a source clip. Its decoding alone may take the limits of two media processes.
    pub source: Duration,
    /// For an answer, as for a source.
    pub clip: Duration,
    /// Before the second start in a row that follows no clip done; doubled for each further one.
    /// The first comes at once.
    pub restart: Duration,
    /// The longest such pause.
    pub longest_restart: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let clip = 2 * Limits::ANSWER.wall + Duration::from_secs(60);
        Self {
            start: Duration::from_secs(300),
            source: clip,
            clip,
            restart: Duration::from_millis(500),
            longest_restart: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// Pause before another start after so many processes were lost without a clip done.
    pub(super) fn pause(&self, losses: u32) -> Duration {
        match losses {
            0 | 1 => Duration::ZERO,
            _ => self.restart.saturating_mul(1 << (losses - 2).min(16)).min(self.longest_restart),
        }
    }
}

/// A task's source clip, for as long as answers are compared with it. Workers prepare it when they
/// first need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceClip {
    pub(super) mp4: Bytes,
    pub(super) sha256: Digest,
    pub(super) prompt: Option<Arc<str>>,
    facts: Arc<SourceFacts>,
}

/// What a worker says of a source clip.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SourceFacts {
    pub(super) description: String,
    pub(super) fingerprint: Option<Fingerprint>,
}

impl SourceClip {
    /// The same with what miners were asked to show, for a model that reads it; cut where no prompt
    /// is as long.
    #[must_use]
    pub fn with_prompt(mut self, prompt: &str) -> Self {
        let prompt: String = prompt
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MOST_PROMPT_CHARS)
            .collect();
        self.prompt = Some(prompt.into());
        self
    }

    /// What moves in it, in 50 to 90 words.
    pub fn description(&self) -> &str {
        &self.facts.description
    }

    /// What it looks like, for telling replays; none from a worker that does not look.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.facts.fingerprint.as_ref()
    }

    /// Digest of the clip's file.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }
}

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

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Prepared(Arc<SourceFacts>),
    Scored(Box<Scored>),
}

/// A task and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: Task,
    /// Processes that it was lost with.
    pub(super) tries: u8,
    /// It is tried with nothing beside it.
    pub(super) alone: bool,
    answer: oneshot::Sender<Result<Done, WorkerFault>>,
}

impl Job {
    pub(super) fn answer(self, done: Result<Done, WorkerFault>) {
        let _asker_is_gone = self.answer.send(done);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

/// The queue that all workers take from.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Mutex<mpsc::Receiver<Job>>>);

impl Queue {
    /// The next job; `None` where there will be no other one. May be given up at any time.
    pub(super) async fn next(&self) -> Option<Job> {
        self.0.lock().await.recv().await
    }
}

/// What workers share with their pool.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) stop: CancellationToken,
    up: AtomicUsize,
    restarts: AtomicU64,
    peak_kib: AtomicU64,
}

impl Shared {
    pub(super) fn went_up(&self) {
        self.up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn went_down(&self) {
        self.up.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn nobody_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) == 0
    }

    pub(super) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_peak(&self, kib: u64) {
        self.peak_kib.fetch_max(kib, Ordering::Relaxed);
    }
}

/// What operators are told of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PoolCounts {
    /// Workers that there should be.
    pub workers: usize,
    /// Workers that are ready or at work.
    pub up: usize,
    /// Processes that were lost since the start, each followed by another one.
    pub restarts: u64,
    /// Most resident memory of any worker, in KiB, as of the last clip that it scored.
    pub peak_kib: u64,
}

/// How a pool is opened.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// How to grade.
    pub scoring: ScorerOptions,
    /// What workers run: a program whose main function ends in [`super::run`].
    pub program: WorkerProgram,
    /// How long to wait for them.
    pub patience: Patience,
}

/// Scores clips in worker processes, one for each device, which share one queue. Clones are the
/// same pool.
///
/// Of answers it holds nothing but references to the caller's bytes. In workers there are never
/// more than [`ScorerPool::clips_at_a_time`] of them.
#[derive(Debug, Clone)]
pub struct ScorerPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    devices: Vec<Device>,
    clips: usize,
    options: ScorerOptions,
    ffmpeg: Ffmpeg,
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    drivers: TaskTracker,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl ScorerPool {
    /// Starts a worker for each device that the choice names and waits until they are tested and
    /// warm. Those that cannot be used are left out, as long as one can. Needs a tokio runtime with
    /// time and I/O.
    ///
    /// # Errors
    /// ffmpeg or the device is missing, or no worker comes up. `Auto` then falls back to the CPU
    /// where it is for the device.
    pub async fn open(choice: DeviceChoice, options: PoolOptions) -> Result<Self, ScoreFault> {
        let devices = tokio::task::spawn_blocking(move || Device::list(choice))
            .await
            .map_err(|_| WorkerFault::Stopped)??;
        match Self::open_on(devices, options.clone()).await {
            Err(ScoreFault::Worker(fault))
                if choice == DeviceChoice::Auto && fault.is_no_device() =>
            {
                tracing::warn!(reason = %fault, "scoring on the cpu");
                Self::open_on(vec![Device::Cpu], options).await
            }
            opened => opened,
        }
    }

    /// [`ScorerPool::open`] with one worker for each of `devices`.
    ///
    /// # Errors
    /// As there.
    pub async fn open_on(devices: Vec<Device>, options: PoolOptions) -> Result<Self, ScoreFault> {
        let ffmpeg =
            tokio::task::spawn_blocking(Ffmpeg::find).await.map_err(|_| WorkerFault::Stopped)??;
        let nursery = Nursery::open().map_err(MediaFault::Read)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let clips = (cores / devices.len().max(1)).clamp(2, MOST_CLIPS);
        // A job for each place that may come free; who has more to ask waits outside.
        let (jobs, queue) = mpsc::channel(clips * devices.len().max(1));
        let (queue, shared) = (Queue(Arc::new(Mutex::new(queue))), Arc::new(Shared::default()));
        let drivers = TaskTracker::new();
        let mut starting = Vec::new();
        for device in devices {
            let comparisons = match device {
                Device::Cpu => cores.div_ceil(CORES_OF_A_COMPARISON),
                Device::Cuda { .. } => CUDA_COMPARISONS,
            };
            let driver = Driver {
                device,
                options: options.scoring.clone(),
                program: options.program.clone(),
                patience: options.patience,
                nursery: nursery.clone(),
                shared: Arc::clone(&shared),
                queue: queue.clone(),
                comparisons,
                clips,
                held: VecDeque::new(),
                losses: 0,
            };
            let (first, started) = oneshot::channel();
            drivers.spawn(driver.run(first));
            starting.push((device, started));
        }
        drivers.close();
        // From here on dropping this stops them.
        let mut inner = Inner {
            devices: Vec::new(),
            clips,
            options: options.scoring,
            ffmpeg,
            jobs,
            shared,
            drivers,
        };
        let mut fault = WorkerFault::Stopped;
        for (device, started) in starting {
            match started.await.unwrap_or(Err(WorkerFault::Stopped)) {
                Ok(()) => inner.devices.push(device),
                Err(reason) => {
                    tracing::error!(%device, %reason, "this device is left out");
                    fault = reason;
                }
            }
        }
        if inner.devices.is_empty() {
            return Err(fault.into());
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Prepares a task's source clip.
    ///
    /// # Errors
    /// The clip is unusable, which is our fault, or this machine failed.
    pub async fn reference(&self, clip_mp4: Bytes) -> Result<SourceClip, ScoreFault> {
        check_size(&clip_mp4, &Limits::ANSWER).map_err(ScoreFault::Reference)?;
        let (sha256, facts) = (Digest::of(&clip_mp4), Arc::default());
        let source = SourceClip { mp4: clip_mp4, sha256, prompt: None, facts };
        match self.ask(Task::Source(source.clone())).await? {
            Done::Prepared(facts) => Ok(SourceClip { facts, ..source }),
            Done::Scored(_) => Err(WorkerFault::Stopped.into()),
        }
    }

    /// Grades one answer.
    ///
    /// # Errors
    /// Only this machine's faults, after a second try on a fresh process.
    pub async fn score(
        &self,
        source: &SourceClip,
        answer_mp4: Bytes,
    ) -> Result<Scored, ScoreFault> {
        if let Err(defect) = check_size(&answer_mp4, &Limits::ANSWER) {
            return Ok(Scored::refused(&answer_mp4, &defect));
        }
        match self.ask(Task::Score { source: source.clone(), answer: answer_mp4 }).await? {
            Done::Scored(scored) => Ok(*scored),
            Done::Prepared(_) => Err(WorkerFault::Stopped.into()),
        }
    }

    async fn ask(&self, task: Task) -> Result<Done, WorkerFault> {
        let (answer, done) = oneshot::channel();
        let job = Job { task, tries: 0, alone: false, answer };
        tokio::select! {
            () = self.inner.shared.stop.cancelled() => return Err(WorkerFault::Stopped),
            sent = self.inner.jobs.send(job) => sent.map_err(|_| WorkerFault::Stopped)?,
        }
        tokio::select! {
            biased;
            done = done => done.unwrap_or(Err(WorkerFault::Stopped)),
            () = self.inner.shared.stop.cancelled() => Err(WorkerFault::Stopped),
        }
    }

    /// Stops the workers and waits until their processes have ended. What is asked for meanwhile
    /// and later fails.
    pub async fn close(&self) {
        self.inner.shared.stop.cancel();
        self.inner.drivers.wait().await;
    }

    /// Where it computes, a worker each.
    pub fn devices(&self) -> &[Device] {
        &self.inner.devices
    }

    /// Most clips that its workers have in hand at a time, decoded or being decoded.
    pub fn clips_at_a_time(&self) -> usize {
        self.inner.clips * self.inner.devices.len()
    }

    /// The ffmpeg that it uses.
    pub fn ffmpeg(&self) -> &Ffmpeg {
        &self.inner.ffmpeg
    }

    /// The numbers by which it grades.
    pub fn policy(&self) -> AspectPolicy {
        self.inner.options.policy()
    }

    /// What operators are told.
    pub fn counts(&self) -> PoolCounts {
        let shared = &self.inner.shared;
        PoolCounts {
            workers: self.inner.devices.len(),
            up: shared.up.load(Ordering::Relaxed),
            restarts: shared.restarts.load(Ordering::Relaxed),
            peak_kib: shared.peak_kib.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_starts_grow_and_stay_bounded() {
        let patience = Patience::default();
        let pauses: Vec<u128> = (0..6).map(|losses| patience.pause(losses).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 500, 1000, 2000, 4000]);
        assert_eq!(patience.pause(u32::MAX), patience.longest_restart);
    }
}
