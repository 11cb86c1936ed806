//! One worker of a pool: starts the process, works with it until it is lost, and starts another.

use super::fault::{FaultKind, WorkerFault};
use super::flights::Flights;
use super::frame::FrameFault;
use super::lane::{Lane, Stopped};
use super::message::{Ask, Opening, ScorerOptions, Tell};
use super::process::{Nursery, Process, STATUS_GRACE, WorkerProgram};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Progress of a warm-up is logged this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Keeps a process at work on one lane.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) lane: Lane,
    pub(super) options: ScorerOptions,
    pub(super) program: WorkerProgram,
    pub(super) nursery: Nursery,
    /// The device did not open when it was last tried.
    pub(super) is_device_gone: bool,
}

impl Driver {
    /// Works until the pool is stopped. `first` receives the result of the first start; a worker
    /// whose first start fails is given up.
    pub(super) async fn run(mut self, first: oneshot::Sender<Result<(), WorkerFault>>) {
        let stop = self.lane.shared.stop.clone();
        match self.start_or_stop().await {
            Err(Stopped) => {}
            Ok(Err(fault)) => drop(first.send(Err(fault))),
            Ok(Ok(process)) => {
                let _pool_is_gone = first.send(Ok(()));
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

    /// Works with `process` until it is lost, then pauses; without one, starts one. Returns the
    /// process to go on with.
    async fn live(&mut self, process: Option<Process>) -> Result<Option<Process>, Stopped> {
        let (fault, usable) = match process {
            Some(process) => {
                self.lane.shared.went_up();
                let lost = Flights::default().work(&mut self.lane, process).await;
                self.lane.shared.went_down();
                (lost?, true)
            }
            None => match self.start_or_stop().await? {
                Ok(process) => {
                    self.is_device_gone = false;
                    return Ok(Some(process));
                }
                Err(fault) => {
                    self.note_device(&fault);
                    for job in self.lane.held.drain(..) {
                        job.answer(Err(fault.clone()));
                    }
                    (fault, false)
                }
            },
        };
        self.lane.losses = self.lane.losses.saturating_add(1);
        self.lane.shared.count_restart();
        let pause = self.lane.patience.pause(self.lane.losses);
        tracing::warn!(device = %self.lane.device, reason = %fault, pause_ms = pause.as_millis(), "scoring process lost, starting another");
        self.rest(pause, (!usable).then_some(&fault)).await?;
        Ok(None)
    }

    /// Logs once what to do about a device that worked and no longer opens, as happens to
    /// containers whose host reloads its services.
    fn note_device(&mut self, fault: &WorkerFault) {
        if fault.is_no_device() && !std::mem::replace(&mut self.is_device_gone, true) {
            tracing::error!(device = %self.lane.device, "the device is gone, and nothing is scored on it: restart the container or the machine, or score with LEOMA_DEVICE=cpu");
        }
    }

    async fn start_or_stop(&self) -> Result<Result<Process, WorkerFault>, Stopped> {
        tokio::select! {
            () = self.lane.shared.stop.cancelled() => Err(Stopped),
            started = self.start() => Ok(started),
        }
    }

    /// Starts a process and waits until its device is open, tested and warm.
    async fn start(&self) -> Result<Process, WorkerFault> {
        let fault = |kind, reason| WorkerFault::Start { device: self.lane.device, kind, reason };
        let started = Process::start(&self.nursery, &self.program, self.lane.device).await;
        let mut process = started.map_err(|error| fault(FaultKind::Media, error.to_string()))?;
        tracing::info!(device = %self.lane.device, pid = process.id(), "scoring process started, testing its device");
        let began = Instant::now();
        match self.open(&mut process).await {
            Ok(()) => {
                let seconds = began.elapsed().as_secs_f32();
                tracing::info!(device = %self.lane.device, seconds, "scoring process ready: its device agrees with the CPU");
                Ok(process)
            }
            Err((kind, reason)) => {
                let how = process.end(STATUS_GRACE).await.how;
                Err(fault(
                    kind,
                    if kind == FaultKind::Media { format!("{reason} ({how})") } else { reason },
                ))
            }
        }
    }

    async fn open(&self, process: &mut Process) -> Result<(), (FaultKind, String)> {
        let opening = Opening {
            device: self.lane.device.to_string(),
            options: self.options.clone(),
            comparisons: self.lane.comparisons,
        };
        let broken = |reason: String| (FaultKind::Media, reason);
        process.ask(&Ask::Open(opening), &[]).await.map_err(|fault| broken(fault.to_string()))?;
        let mut logged = Instant::now();
        loop {
            let Ok(heard) = tokio::time::timeout(self.lane.patience.start, process.hear()).await
            else {
                let seconds = self.lane.patience.start.as_secs();
                return Err(broken(format!("no progress within {seconds} s")));
            };
            let (tell, _) =
                heard.unwrap_or(Err(FrameFault::Cut)).map_err(|fault| broken(fault.to_string()))?;
            match tell {
                Tell::Progress { done, of, what } => {
                    if logged.elapsed() >= PROGRESS_EVERY {
                        logged = Instant::now();
                        let percent = 100 * done / of.max(1);
                        tracing::info!(device = %self.lane.device, percent, last = what, "warming up");
                    }
                }
                Tell::Ready { policy } if policy == self.options.policy().digest() => return Ok(()),
                Tell::Ready { .. } => {
                    return Err(broken("it grades by another policy than this program".into()));
                }
                Tell::Fault { kind, reason, .. } => return Err((kind, reason)),
                Tell::Prepared { .. } | Tell::Scored { .. } => {
                    return Err(broken("it answered before it was asked".into()));
                }
            }
        }
    }

    /// Waits before the next start. Where no worker of the pool is up, jobs fail meanwhile instead
    /// of waiting.
    async fn rest(&self, pause: Duration, unusable: Option<&WorkerFault>) -> Result<(), Stopped> {
        let over = Instant::now() + pause;
        loop {
            let nobody = unusable.filter(|_| self.lane.shared.nobody_up());
            tokio::select! {
                () = self.lane.shared.stop.cancelled() => return Err(Stopped),
                () = tokio::time::sleep_until(over) => return Ok(()),
                job = self.lane.queue.next(), if nobody.is_some() => match (job, nobody) {
                    (Some(job), Some(fault)) => job.answer(Err(fault.clone())),
                    _ => return Err(Stopped),
                },
            }
        }
    }
}
