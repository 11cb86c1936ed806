//! Our turns: on each of them a task is sampled.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use leoma_chain::Head;
use leoma_protocol::{BlockNumber, FileId, TaskId};
use leoma_rotation::Turn;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::parts::Sampler;
use super::turn::{OpenTurn, Tried};
use crate::alarms::Alarms;
use crate::mechanism::folder::tidy;
use crate::mechanism::{TURN, TaskError, Turns};
use crate::metrics::{Fault, Metrics};
use crate::state::{State, StateError};

/// Pause before a task is tried again; it doubles with each failure.
const RETRY_PAUSE: Duration = Duration::from_secs(15);
/// The longest such pause: a fault that is over must not cost the turn.
const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(240);

impl Sampler {
    /// Runs until `stop`. An unfinished task is abandoned: nothing of it is signed before all of it
    /// is done. What miners have sent stays on disk for the next start.
    pub(crate) async fn run(
        self,
        mut mechanism: Box<dyn Turns>,
        mut heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) {
        let mut open: Option<OpenTurn> = None;
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.agreement.until_may_sign() => {}
        }
        self.sign_leftovers().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = heads.changed() => if changed.is_err() { return },
            }
            let head = *heads.borrow_and_update();
            if let Some(turn) = open.take_if(|turn| self.is_over(turn.task_id, head.number)) {
                self.told().of_end(&turn);
            }
            let Some(ours) = self.our_turn(head) else { continue };
            let mut turn = match open.take() {
                Some(turn) if turn.task_id == ours.task_id => turn,
                _ => {
                    self.tidy(ours.task_id).await;
                    OpenTurn::new(ours.task_id)
                }
            };
            if !turn.given_up && turn.retry_at <= Instant::now() {
                tracing::info!(task = %turn.task_id, block = %head.number, failover_step = ours.failover_step, attempt = turn.failures + 1, "sampling");
                let sampled = tokio::select! {
                    sampled = self.try_turn(&mut turn, mechanism.as_mut(), &heads) => sampled,
                    () = stop.cancelled() => {
                        tracing::info!(task = %turn.task_id, "task abandoned; if it was signed, it is published at the next start");
                        return;
                    }
                };
                if sampled {
                    continue;
                }
            }
            open = Some(turn);
        }
    }

    /// Makes one try. Returns whether it succeeded.
    async fn try_turn(
        &self,
        turn: &mut OpenTurn,
        mechanism: &mut dyn Turns,
        heads: &watch::Receiver<Head>,
    ) -> bool {
        let started = Clock::now();
        match self.sample(turn, mechanism, heads).await {
            Ok(Tried::NothingToDo) => {
                tracing::info!(task = %turn.task_id, "the mechanism has nothing to do in this turn");
                turn.given_up = true;
                false
            }
            Ok(Tried::Outrun) => {
                tracing::info!(task = %turn.task_id, "the file of an earlier producer arrived, so ours is not needed");
                turn.given_up = true;
                false
            }
            Ok(Tried::Signed { passed }) => {
                self.told().of_success();
                self.metrics.task_seconds.observe(started.elapsed().as_secs_f64());
                tracing::info!(task = %turn.task_id, passed, seconds = started.elapsed().as_secs(), "task sampled");
                true
            }
            Err(error) => {
                turn.failures += 1;
                let pause = pause_after(turn.failures);
                turn.retry_at = Instant::now() + pause;
                tracing::warn!(task = %turn.task_id, %error, attempt = turn.failures, retry_seconds = pause.as_secs(), "task failed, no verdicts were signed");
                self.told().of_failure(turn, &error);
                false
            }
        }
    }

    /// Whether the blocks in which a task of ours can be begun are over.
    fn is_over(&self, task_id: TaskId, head: BlockNumber) -> bool {
        let history = self.allowlists.borrow();
        let list = history.of_task(task_id).map(|entry| &entry.allowlist);
        let end = list.and_then(|list| list.start_of(TaskId(task_id.0.checked_add(1)?)));
        end.is_none_or(|end| head >= end)
    }

    const fn told(&self) -> Told<'_> {
        Told { alarms: &self.alarms, metrics: &self.metrics }
    }

    /// Our turn at `head`, unless the task was done by us or by an earlier producer in its order.
    fn our_turn(&self, head: Head) -> Option<Turn> {
        let history = Arc::clone(&self.allowlists.borrow());
        let own = self.signer.hotkey();
        let schedule = history.schedule_at(head.number, self.consensus.at(head.number))?;
        let turn = schedule.turn(head.number, false).filter(|turn| turn.producer == own)?;
        let id = FileId { task_id: turn.task_id, producer: own };
        let done = self.library.holds(id) || self.done_before_us(turn.task_id);
        (!done && self.agreement.may_sign()).then_some(turn)
    }

    /// Removes what earlier turns that were given up left behind.
    async fn tidy(&self, current: TaskId) {
        let needed = match self.state.on_disk(move |state| with_folders(state, current)).await {
            Ok(needed) => needed,
            Err(error) => {
                return tracing::error!(%error, "failed to read the unpublished verdict files");
            }
        };
        let spool = self.spool.clone();
        let tidied = tokio::task::spawn_blocking(move || tidy(&spool, &needed)).await;
        if let Err(error) = tidied.unwrap_or_else(|error| Err(error.into())) {
            tracing::warn!(%error, folder = %self.spool.display(), "failed to remove the files of earlier tasks");
        }
    }
}

/// What operators are told of our turns, beside the log.
struct Told<'a> {
    alarms: &'a Alarms,
    metrics: &'a Metrics,
}

impl Told<'_> {
    fn of_success(&self) {
        for alarm in TaskError::ALARMS {
            self.alarms.clear(alarm);
        }
        self.metrics.tasks_sampled.inc();
    }

    /// A failed try, and the end of the turn where that was its last.
    fn of_failure(&self, turn: &mut OpenTurn, error: &TaskError) {
        self.metrics.tasks_failed.inc();
        let alarm = error.alarm();
        if let Some(alarm) = alarm {
            self.metrics.our_fault(Fault(alarm));
        }
        if error.ends_the_turn() {
            // If an earlier try failed, that is why there was no time left.
            turn.our_fault.get_or_insert_with(|| error.to_string());
            self.of_end(turn);
            turn.given_up = true;
        } else {
            if let Some(alarm) = alarm {
                self.alarms.raise(alarm, error.to_string());
            }
            turn.our_fault = alarm.map(|_| error.to_string());
        }
    }

    /// A turn that ends without a file. It is nobody's fault where nothing of ours failed last.
    fn of_end(&self, turn: &OpenTurn) {
        let (false, Some(reason)) = (turn.given_up, &turn.our_fault) else { return };
        let task = turn.task_id;
        self.metrics.turns_given_up.inc();
        self.alarms.raise(TURN, format!("task {task} was given up: {reason}"));
        tracing::error!(%task, reason, tries = turn.failures, "turn given up, nothing was signed");
    }
}

/// The tasks whose folders are needed: the current one, and those that wait to be signed or
/// published.
fn with_folders(state: &State, current: TaskId) -> Result<Vec<TaskId>, StateError> {
    let signed = state.unpublished_files()?.into_iter().map(|file| file.id.task_id);
    let drafts = state.drafts()?.into_iter().map(|(task_id, _)| task_id);
    Ok(signed.chain(drafts).chain([current]).collect())
}

fn pause_after(failures: u32) -> Duration {
    (RETRY_PAUSE * 2_u32.pow(failures.saturating_sub(1).min(8))).min(LONGEST_RETRY_PAUSE)
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, Netuid, Network};

    use super::*;
    use crate::miners::whose_fault::OurFault;

    #[test]
    fn a_turn_that_ends_without_a_file_is_named_once_with_its_reason_until_one_succeeds() {
        let (alarms, metrics) = (
            Alarms::default(),
            Metrics::register(&mut prometheus_client::registry::Registry::default()),
        );
        let told = Told { alarms: &alarms, metrics: &metrics };
        let detail = |name| {
            alarms.checks().into_iter().find(|check| check.name == name).map(|check| check.detail)
        };
        let cut = TaskError::CutShort { cut: 2, of: 3 };
        let mut turn = OpenTurn::new(TaskId(7));
        told.of_failure(&mut turn, &cut);
        assert!(turn.given_up);
        let said = detail(TURN).unwrap();
        assert!(said.contains("task 7") && said.contains("2 of 3 miners"), "{said}");
        told.of_end(&turn);
        assert_eq!(metrics.turns_given_up.get(), 1);

        // What failed before is the reason, not the time that it cost.
        let judge: TaskError = OurFault::Judge.into();
        let mut turn = OpenTurn::new(TaskId(8));
        told.of_failure(&mut turn, &judge);
        assert!(!turn.given_up && detail("judge").is_some());
        told.of_failure(&mut turn, &TaskError::OutOfTime);
        assert!(detail(TURN).unwrap().contains(&judge.to_string()));
        assert_eq!((metrics.turns_given_up.get(), metrics.tasks_failed.get()), (2, 3));

        // A subnet without miners is not a fault of ours.
        let mut turn = OpenTurn::new(TaskId(9));
        told.of_failure(&mut turn, &TaskError::NoMiners);
        told.of_end(&turn);
        assert_eq!(metrics.turns_given_up.get(), 2);

        told.of_success();
        assert!(alarms.checks().is_empty());
    }

    #[test]
    fn the_folder_of_a_draft_stays_for_the_start_that_signs_it() {
        let network = Network { genesis: Digest::default(), netuid: Netuid(1) };
        let state = State::in_memory(network).unwrap();
        let _kept = state.keep_draft(TaskId(3), b"a draft").unwrap();
        assert_eq!(with_folders(&state, TaskId(9)).unwrap(), [TaskId(3), TaskId(9)]);
    }

    #[test]
    fn pauses_between_tries_grow_and_stay_shorter_than_a_turn() {
        assert_eq!(pause_after(1), RETRY_PAUSE);
        assert_eq!(pause_after(3), RETRY_PAUSE * 4);
        assert_eq!(pause_after(u32::MAX), LONGEST_RETRY_PAUSE);
    }
}
