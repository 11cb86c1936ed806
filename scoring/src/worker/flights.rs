//! The clips that one process is working on.
//!
//! | what happens | the clip | other clips in the process | the process |
//! |---|---|---|---|
//! | the process ends, or breaks the protocol | tried again | tried again | replaced |
//! | a clip passes its deadline | tried again | put back | killed and replaced |
//! | a fault of device or arithmetic | tried again | put back | replaced: a CUDA context does not recover |
//! | too little device memory | tried again | put back | replaced; one comparison at a time from now on |
//! | a fault of ffmpeg, or an unusable source | fails | go on | goes on |
//!
//! A clip that comes back from a lost process is alone in the next one, so that a second loss tells
//! which clip causes it. "Put back" does not count as a try.

use super::fault::{FaultKind, WorkerFault};
use super::frame::FrameFault;
use super::job::{Done, Job, Task};
use super::lane::{Lane, Stopped};
use super::message::{Ask, KEPT_SOURCES, Tell, decode};
use super::process::{END_GRACE, Process, STATUS_GRACE};
use super::source_clip::SourceFacts;
use crate::device::Device;
use crate::fingerprint::Fingerprint;
use leoma_protocol::Digest;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Processes that a clip may be lost with before it fails.
const MOST_TRIES: u8 = 2;

/// A clip that the process is working on.
#[derive(Debug)]
struct Flight {
    job: Job,
    /// Its source is still being prepared.
    preparing: bool,
    patience: Duration,
    deadline: Instant,
}

/// The clips that a process is working on, and the sources that it has ready.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: HashMap<u64, Flight>,
    sources: VecDeque<(Digest, Arc<SourceFacts>)>,
    next_id: u64,
}

/// Why a process is given up.
struct Loss {
    fault: WorkerFault,
    /// The clip that caused it; none where it may have been any of them.
    guilty: Option<u64>,
}

enum Event {
    Heard(Option<Result<(Tell, Vec<u8>), FrameFault>>),
    Late(u64),
    Taken(Option<Job>),
}

impl Flights {
    /// Works until the process is lost, and returns why. Its clips are then held for the next
    /// process.
    pub(super) async fn work(
        mut self,
        lane: &mut Lane,
        mut process: Process,
    ) -> Result<WorkerFault, Stopped> {
        let stop = lane.shared.stop.clone();
        loop {
            // A worker that does not read its input must not delay the stop.
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => Err(None),
                step = self.step(lane, &mut process) => step.map_err(Some),
            };
            if let Err(loss) = step {
                let Some(mut loss) = loss else {
                    process.end(END_GRACE).await;
                    return Err(Stopped);
                };
                if let WorkerFault::Ended { reason, was_killed, .. } = &mut loss.fault {
                    let end = process.end(STATUS_GRACE).await;
                    let how = end.how;
                    *reason = if reason.is_empty() { how } else { format!("{reason} ({how})") };
                    *was_killed = end.was_killed;
                } else {
                    process.end(Duration::ZERO).await;
                }
                self.hold(lane, loss.guilty, &loss.fault);
                return Ok(loss.fault);
            }
        }
    }

    async fn step(&mut self, lane: &mut Lane, process: &mut Process) -> Result<(), Loss> {
        match self.next_event(lane, process).await {
            Event::Taken(Some(job)) => self.begin(lane, process, job).await,
            Event::Heard(Some(Ok((tell, body)))) => self.hear(lane, process, tell, &body).await,
            Event::Heard(Some(Err(fault))) => Err(ended(lane.device, fault.to_string())),
            Event::Heard(None) => Err(ended(lane.device, String::new())),
            Event::Late(id) => Err(self.late(lane.device, id)),
            // The queue ends with the pool, which stops this loop.
            Event::Taken(None) => std::future::pending().await,
        }
    }

    async fn next_event(&self, lane: &mut Lane, process: &mut Process) -> Event {
        if self.flights.is_empty()
            && let Some(job) = lane.held.pop_front()
        {
            return Event::Taken(Some(job));
        }
        // While a source is prepared no job is taken: the next one most likely needs that source
        // too. Nor is one taken beside a clip that is tried alone.
        let closed = self.flights.values().any(|flight| flight.preparing || flight.job.alone);
        let takes = !closed && lane.held.is_empty() && self.flights.len() < lane.clips;
        let late = self.flights.iter().map(|(id, flight)| (flight.deadline, *id)).min();
        tokio::select! {
            biased;
            heard = process.hear() => Event::Heard(heard),
            id = until(late) => Event::Late(id),
            job = lane.queue.next(), if takes => Event::Taken(job),
        }
    }

    /// Sends a job to the process, or its source first where that is not ready.
    async fn begin(&mut self, lane: &Lane, process: &mut Process, job: Job) -> Result<(), Loss> {
        if job.is_abandoned() {
            return Ok(());
        }
        let source = job.task.source().clone();
        let facts =
            self.sources.iter().find(|(known, _)| *known == source.sha256).map(|(_, facts)| facts);
        if let (Some(facts), Task::Source(_)) = (facts, &job.task) {
            let done = Done::Prepared(Arc::clone(facts));
            job.answer(Ok(done));
            return Ok(());
        }
        let ready = facts.is_some();
        let patience = if ready { lane.patience.clip } else { lane.patience.source };
        self.next_id += 1;
        let id = self.next_id;
        let flight =
            Flight { job, preparing: !ready, patience, deadline: Instant::now() + patience };
        self.flights.insert(id, flight);
        if ready {
            return self.ask_score(lane, process, id).await;
        }
        let ask = Ask::Source { id };
        let asked = tokio::time::timeout(patience, process.ask(&ask, &source.mp4)).await;
        self.asked(lane, id, asked)
    }

    async fn ask_score(&mut self, lane: &Lane, process: &mut Process, id: u64) -> Result<(), Loss> {
        let Some(flight) = self.flights.get(&id) else { return Ok(()) };
        let Task::Score { source, answer } = &flight.job.task else { return Ok(()) };
        let prompt = source.prompt.as_deref().map(str::to_owned);
        let ask = Ask::Score { id, source: source.sha256, prompt };
        let asked = tokio::time::timeout(flight.patience, process.ask(&ask, answer)).await;
        self.asked(lane, id, asked)
    }

    fn asked(
        &self,
        lane: &Lane,
        id: u64,
        asked: Result<Result<(), FrameFault>, tokio::time::error::Elapsed>,
    ) -> Result<(), Loss> {
        match asked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(ended(lane.device, fault.to_string())),
            Err(_) => Err(self.late(lane.device, id)),
        }
    }

    async fn hear(
        &mut self,
        lane: &mut Lane,
        process: &mut Process,
        tell: Tell,
        body: &[u8],
    ) -> Result<(), Loss> {
        let device = lane.device;
        let unasked = || ended(device, "it answered a request that was not sent".to_owned());
        match tell {
            Tell::Prepared { id, description } => {
                let facts = Arc::new(SourceFacts {
                    description,
                    fingerprint: Fingerprint::from_bytes(body),
                });
                let flight = self
                    .flights
                    .get_mut(&id)
                    .filter(|flight| flight.preparing)
                    .ok_or_else(unasked)?;
                flight.preparing = false;
                self.sources.push_back((flight.job.task.source().sha256, Arc::clone(&facts)));
                if self.sources.len() > KEPT_SOURCES {
                    self.sources.pop_front();
                }
                if matches!(flight.job.task, Task::Score { .. }) {
                    flight.patience = lane.patience.clip;
                    flight.deadline = Instant::now() + flight.patience;
                    return self.ask_score(lane, process, id).await;
                }
                self.finish(lane, id, Ok(Done::Prepared(facts)));
                Ok(())
            }
            Tell::Scored { id, peak_kib } => {
                let scoring = |flight: &&Flight| {
                    !flight.preparing && matches!(flight.job.task, Task::Score { .. })
                };
                self.flights.get(&id).filter(scoring).ok_or_else(unasked)?;
                let scored = decode(body).map_err(|fault| ended(device, fault.to_string()))?;
                lane.shared.saw_peak(peak_kib);
                self.finish(lane, id, Ok(Done::Scored(Box::new(scored))));
                Ok(())
            }
            Tell::Fault { id: Some(id), kind, reason } if self.flights.contains_key(&id) => {
                let fault = WorkerFault::Reported { device, kind, reason };
                if !kind.poisons() {
                    self.finish(lane, id, Err(fault));
                    return Ok(());
                }
                if kind == FaultKind::OutOfMemory && lane.comparisons > 1 {
                    tracing::warn!(%device, "the device ran out of memory, making one comparison at a time from now on");
                    lane.comparisons = 1;
                }
                Err(Loss { fault, guilty: Some(id) })
            }
            Tell::Fault { .. } | Tell::Ready { .. } | Tell::Progress { .. } => Err(unasked()),
        }
    }

    fn finish(&mut self, lane: &mut Lane, id: u64, done: Result<Done, WorkerFault>) {
        lane.losses = 0;
        if let Some(flight) = self.flights.remove(&id) {
            flight.job.answer(done);
        }
    }

    fn late(&self, device: Device, id: u64) -> Loss {
        let seconds = self.flights.get(&id).map_or(0, |flight| flight.patience.as_secs());
        Loss { fault: WorkerFault::Late { device, seconds }, guilty: Some(id) }
    }

    /// Holds the clips for the next process, but fails those that have had their tries.
    fn hold(&mut self, lane: &mut Lane, guilty: Option<u64>, fault: &WorkerFault) {
        let mut flights: Vec<(u64, Flight)> = self.flights.drain().collect();
        flights.sort_by_key(|(id, _)| *id);
        for (id, Flight { mut job, .. }) in flights {
            job.tries += u8::from(guilty.is_none_or(|guilty| guilty == id));
            job.alone = true;
            if job.tries >= MOST_TRIES {
                job.answer(Err(fault.clone()));
            } else {
                lane.held.push_back(job);
            }
        }
    }
}

fn ended(device: Device, reason: String) -> Loss {
    Loss { fault: WorkerFault::Ended { device, reason, was_killed: false }, guilty: None }
}

async fn until(late: Option<(Instant, u64)>) -> u64 {
    match late {
        Some((deadline, id)) => {
            tokio::time::sleep_until(deadline).await;
            id
        }
        None => std::future::pending().await,
    }
}
