//! One worker of a pool: starts the process, works with it until it is lost, and starts another.

use super::fault::WorkerFault;
use super::flights::Flights;
use super::frame::FrameFault;
use super::message::{Ask, FaultKind, Opening, ScorerOptions, Tell};
use super::pool::{Job, Patience, Queue, Shared};
use super::process::{Nursery, Process, WorkerProgram};
use crate::device::Device;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Progress of a warm-up is logged this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What a driver works with.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) device: Device,
    pub(super) options: ScorerOptions,
    pub(super) program: WorkerProgram,
    pub(super) patience: Patience,
    pub(super) nursery: Nursery,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    /// Comparisons at a time on the device.
    pub(super) comparisons: usize,
    /// Clips in hand at a time.
    pub(super) clips: usize,
    /// Jobs that a lost process had in hand, to be tried one at a time.
    pub(super) held: VecDeque<Job>,
    /// Processes lost since the last clip that was done.
    pub(super) losses: u32,
}

/// The pool was stopped.
pub(super) struct Stopped;

impl Driver {
    /// Works until the pool is stopped. `first` hears how the first start went; a worker that fails
    /// it is left out for good.
    pub(super) async fn run(mut self, first: oneshot::Sender<Result<(), WorkerFault>>) {
        let stop = self.shared.stop.clone();
        match self.start_or_stop().await {
            Err(Stopped) => {}
            Ok(Err(fault)) => drop(first.send(Err(fault))),
            Ok(Ok(process)) => {
                let _starter_is_gone = first.send(Ok(()));
                let mut process = Some(process);
                while let Ok(next) = self.live(process.take()).await {
                    process = next;
                    if stop.is_cancelled() {
                        break;
                    }
                }
            }
        }
    }

    /// Works with a process until it is lost, then rests; or starts one. Returns the process to go
    /// on with.
    async fn live(&mut self, process: Option<Process>) -> Result<Option<Process>, Stopped> {
        let (fault, usable) = match process {
            Some(process) => {
                self.shared.went_up();
                let lost = Flights::default().work(self, process).await;
                self.shared.went_down();
                (lost?, true)
            }
            None => match self.start_or_stop().await? {
                Ok(process) => return Ok(Some(process)),
                Err(fault) => {
                    for job in self.held.drain(..) {
                        job.answer(Err(fault.clone()));
                    }
                    (fault, false)
                }
            },
        };
        self.losses = self.losses.saturating_add(1);
        self.shared.count_restart();
        let pause = self.patience.pause(self.losses);
        tracing::warn!(device = %self.device, reason = %fault, pause_ms = pause.as_millis(), "scoring process lost, another one is started");
        self.rest(pause, (!usable).then_some(&fault)).await?;
        Ok(None)
    }

    async fn start_or_stop(&self) -> Result<Result<Process, WorkerFault>, Stopped> {
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(Stopped),
            started = self.start() => Ok(started),
        }
    }

    /// Starts a process and waits until its device is open, tested and warm.
    async fn start(&self) -> Result<Process, WorkerFault> {
        let fault = |kind, reason| WorkerFault::Start { device: self.device, kind, reason };
        let started = Process::start(&self.nursery, &self.program, self.device).await;
        let mut process = started.map_err(|error| fault(FaultKind::Media, error.to_string()))?;
        tracing::info!(device = %self.device, pid = process.id(), "opening and testing the scorer");
        let began = Instant::now();
        match self.open(&mut process).await {
            Ok(()) => {
                let seconds = began.elapsed().as_secs_f32();
                tracing::info!(device = %self.device, seconds, "the scorer computes what the CPU computes");
                Ok(process)
            }
            Err((kind, reason)) => {
                let how = process.end(false).await;
                Err(fault(
                    kind,
                    if kind == FaultKind::Media { format!("{reason} ({how})") } else { reason },
                ))
            }
        }
    }

    async fn open(&self, process: &mut Process) -> Result<(), (FaultKind, String)> {
        let opening = Opening {
            device: self.device.to_string(),
            options: self.options.clone(),
            comparisons: self.comparisons,
        };
        let broken = |reason: String| (FaultKind::Media, reason);
        process.ask(&Ask::Open(opening), &[]).await.map_err(|fault| broken(fault.to_string()))?;
        let mut logged = Instant::now();
        loop {
            let Ok(heard) = tokio::time::timeout(self.patience.start, process.hear()).await else {
                let seconds = self.patience.start.as_secs();
                return Err(broken(format!("no progress within {seconds} s")));
            };
            let (tell, _) =
                heard.unwrap_or(Err(FrameFault::Cut)).map_err(|fault| broken(fault.to_string()))?;
            match tell {
                Tell::Progress { done, of, what } => {
                    if logged.elapsed() >= PROGRESS_EVERY {
                        logged = Instant::now();
                        let percent = 100 * done / of.max(1);
                        tracing::info!(device = %self.device, percent, last = what, "warming up");
                    }
                }
                Tell::Ready { policy } if policy == self.options.policy().digest() => return Ok(()),
                Tell::Ready { .. } => {
                    return Err(broken("it would grade by another policy".into()));
                }
                Tell::Fault { kind, reason, .. } => return Err((kind, reason)),
                Tell::Prepared { .. } | Tell::Scored { .. } => {
                    return Err(broken("an answer to nothing".into()));
                }
            }
        }
    }

    /// Waits before the next start. Where no worker at all can be started, whoever waits for one is
    /// told so.
    async fn rest(&self, pause: Duration, unusable: Option<&WorkerFault>) -> Result<(), Stopped> {
        let over = Instant::now() + pause;
        loop {
            let nobody = unusable.filter(|_| self.shared.nobody_up());
            tokio::select! {
                () = self.shared.stop.cancelled() => return Err(Stopped),
                () = tokio::time::sleep_until(over) => return Ok(()),
                job = self.queue.next(), if nobody.is_some() => match (job, nobody) {
                    (Some(job), Some(fault)) => job.answer(Err(fault.clone())),
                    _ => return Err(Stopped),
                },
            }
        }
    }
}
