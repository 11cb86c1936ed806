//! The validator's side: several workers that share one queue of clips.

use super::driver::Driver;
use super::fault::WorkerFault;
use super::job::{Done, Job, Queue, Task};
use super::lane::Lane;
use super::message::{MOST_CLIPS, ScorerOptions};
use super::patience::Patience;
use super::process::{Nursery, WorkerProgram};
use super::shared::{PoolCounts, Shared};
use super::source_clip::SourceClip;
use crate::device::{Device, DeviceChoice};
use crate::judge::Scored;
use crate::judge::grade::AspectPolicy;
use crate::media::{Ffmpeg, Limits, MediaFault, Walls, check_size};
use crate::scorer::ScoreFault;
use bytes::Bytes;
use leoma_protocol::Digest;
use std::collections::VecDeque;
use std::sync::{Arc, Once};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// Comparisons at a time on a CUDA device: the small kernels of one leave gaps that another fills.
const CUDA_COMPARISONS: usize = 2;
/// Cores that one comparison on the CPU keeps busy.
const CORES_OF_A_COMPARISON: usize = 8;

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
/// The pool itself holds no more of answers than references to the caller's bytes. Its workers
/// never hold more than [`ScorerPool::clips_at_a_time`] of them.
#[derive(Debug, Clone)]
pub struct ScorerPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    devices: Vec<Device>,
    /// Why the CPU stands in for the device that was found.
    fallback: Option<String>,
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
    /// warm. Devices that cannot be used are left out, as long as one remains. Needs a tokio
    /// runtime with time and I/O.
    ///
    /// # Errors
    /// ffmpeg or the device is missing, or no worker comes up. `Auto` falls back to the CPU where
    /// the device is to blame.
    pub async fn open(choice: DeviceChoice, options: PoolOptions) -> Result<Self, ScoreFault> {
        let devices = tokio::task::spawn_blocking(move || Device::list(choice))
            .await
            .map_err(|_| WorkerFault::Stopped)??;
        match choice {
            DeviceChoice::Auto => Self::open_on_or_cpu(devices, options).await,
            DeviceChoice::Cuda { .. } | DeviceChoice::Cpu => Self::open_on(devices, options).await,
        }
    }

    /// [`ScorerPool::open_on`], or on the CPU where no worker comes up and the devices are to blame:
    /// they break, are too small, or compute something else than the CPU. [`PoolCounts::fallback`]
    /// then says why.
    ///
    /// # Errors
    /// As [`ScorerPool::open`].
    pub async fn open_on_or_cpu(
        devices: Vec<Device>,
        options: PoolOptions,
    ) -> Result<Self, ScoreFault> {
        match Self::open_on(devices, options.clone()).await {
            Err(ScoreFault::Worker(fault)) if fault.blames_device() => {
                tracing::error!(reason = %fault, "the GPU is not used, and the CPU scores instead: repair it, or accept the CPU with LEOMA_DEVICE=cpu");
                Self::opened(vec![Device::Cpu], Some(fault.to_string()), options).await
            }
            opened => opened,
        }
    }

    /// [`ScorerPool::open`] with one worker for each of `devices`, and on no other.
    ///
    /// # Errors
    /// As [`ScorerPool::open`].
    pub async fn open_on(devices: Vec<Device>, options: PoolOptions) -> Result<Self, ScoreFault> {
        Self::opened(devices, None, options).await
    }

    async fn opened(
        devices: Vec<Device>,
        fallback: Option<String>,
        options: PoolOptions,
    ) -> Result<Self, ScoreFault> {
        let ffmpeg =
            tokio::task::spawn_blocking(Ffmpeg::find).await.map_err(|_| WorkerFault::Stopped)??;
        tokio::task::spawn_blocking(report_walls).await.map_err(|_| WorkerFault::Stopped)?;
        // Fifteen short processes that only tell the operator something: nothing waits for them.
        let looked_at = ffmpeg.clone();
        drop(tokio::task::spawn_blocking(move || report_codecs(&looked_at)));
        let nursery = Nursery::open().map_err(MediaFault::Read)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let clips = (cores / devices.len().max(1)).clamp(2, MOST_CLIPS);
        // As many jobs as there are places for clips; further callers wait outside.
        let (jobs, queue) = Queue::new(clips * devices.len().max(1));
        let shared = Arc::new(Shared::default());
        let lane = |device| Lane {
            device,
            patience: options.patience,
            shared: Arc::clone(&shared),
            queue: queue.clone(),
            comparisons: match device {
                Device::Cpu => cores.div_ceil(CORES_OF_A_COMPARISON),
                Device::Cuda { .. } => CUDA_COMPARISONS,
            },
            clips,
            held: VecDeque::new(),
            losses: 0,
        };
        let drivers = TaskTracker::new();
        let mut starting = Vec::new();
        for device in devices {
            let driver = Driver {
                lane: lane(device),
                options: options.scoring.clone(),
                program: options.program.clone(),
                nursery: nursery.clone(),
                is_device_gone: false,
            };
            let (first, started) = oneshot::channel();
            drivers.spawn(driver.run(first));
            starting.push((device, started));
        }
        drivers.close();
        // Dropping this stops the workers.
        let options = options.scoring;
        let mut inner =
            Inner { devices: Vec::new(), fallback, clips, options, ffmpeg, jobs, shared, drivers };
        inner.devices = usable(starting).await?;
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
        let (job, done) = Job::new(task);
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

    /// Stops the workers and waits until their processes have ended. Calls that are under way, and
    /// later ones, fail.
    pub async fn close(&self) {
        self.inner.shared.stop.cancel();
        self.inner.drivers.wait().await;
    }

    /// The devices that it computes on, a worker each.
    pub fn devices(&self) -> &[Device] {
        &self.inner.devices
    }

    /// Most clips that its workers decode and compare at a time.
    pub fn clips_at_a_time(&self) -> usize {
        self.inner.clips * self.inner.devices.len()
    }

    /// The ffmpeg that it uses.
    pub fn ffmpeg(&self) -> &Ffmpeg {
        &self.inner.ffmpeg
    }

    /// The policy that it grades by.
    pub fn policy(&self) -> AspectPolicy {
        self.inner.options.policy()
    }

    /// Its figures for operators.
    pub fn counts(&self) -> PoolCounts {
        let fallback = self.inner.fallback.clone();
        PoolCounts { fallback, ..self.inner.shared.counts(self.inner.devices.len()) }
    }
}

/// Logs once at the start which walls stand around decoders, and which are missing.
fn report_walls() {
    let walls = Walls::standing();
    let missing = walls.missing();
    if missing.is_empty() {
        tracing::info!(%walls, "every wall of the decoders' jail stands");
    } else {
        tracing::warn!(%walls, missing = missing.join("; "), "the decoders' jail lacks walls");
    }
}

/// Logs once at the start which codecs of miners' videos are not decoded. No miner fails for that.
fn report_codecs(ffmpeg: &Ffmpeg) {
    static REPORTED: Once = Once::new();
    REPORTED.call_once(|| {
        let missing = ffmpeg.missing_codecs();
        if !missing.is_empty() {
            let missing = missing.join("; ");
            tracing::warn!(missing, "ffmpeg lacks decoders: a task with such a video is given up");
        }
    });
}

/// Whether a worker's first start succeeded.
type Started = oneshot::Receiver<Result<(), WorkerFault>>;

/// Waits for every worker and returns the devices that came up, or the last fault where none did.
async fn usable(starting: Vec<(Device, Started)>) -> Result<Vec<Device>, WorkerFault> {
    let mut devices = Vec::new();
    let mut fault = WorkerFault::Stopped;
    for (device, started) in starting {
        match started.await.unwrap_or(Err(WorkerFault::Stopped)) {
            Ok(()) => devices.push(device),
            Err(reason) => {
                tracing::error!(%device, %reason, "scoring without this device");
                fault = reason;
            }
        }
    }
    if devices.is_empty() { Err(fault) } else { Ok(devices) }
}
