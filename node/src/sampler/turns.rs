//! Our turns: on each of them a task is sampled.

use std::sync::Arc;
use std::time::Instant;

use leoma_chain::Head;
use leoma_protocol::{FileId, Hotkey, TaskId};
use leoma_rotation::Turn;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clip::KnownCorpus;
use super::error::TaskError;
use super::parts::Sampler;
use super::publish::Finished;

/// Attempts at one task: a fault that outlasts two of them outlasts the turn.
const MAX_TRIES: u32 = 2;

impl Sampler {
    /// Runs until `stop`. An unfinished task is abandoned: nothing of it is signed before all of it
    /// is done, and a signed file is published at the next start.
    pub(crate) async fn run(self, mut heads: watch::Receiver<Head>, stop: CancellationToken) {
        let mut corpus = KnownCorpus::new(self.config.poll_interval);
        let mut tries: (TaskId, u32) = (TaskId(0), 0);
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.agreement.until_may_sign() => {}
        }
        self.publish_leftovers().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = heads.changed() => if changed.is_err() { return },
            }
            let head = *heads.borrow_and_update();
            let Some(turn) = self.our_turn(head) else { continue };
            if tries.0 != turn.task_id {
                tries = (turn.task_id, 0);
            }
            if tries.1 >= MAX_TRIES {
                continue;
            }
            tries.1 += 1;
            self.publish_leftovers().await;
            let started = Instant::now();
            tracing::info!(task = %turn.task_id, block = %head.number, failover_step = turn.failover_step, "sampling");
            let sampled = tokio::select! {
                sampled = self.sample(turn.task_id, &heads, &mut corpus) => sampled,
                () = stop.cancelled() => {
                    tracing::info!(task = %turn.task_id, "task abandoned; if it was signed, it is published at the next start");
                    return;
                }
            };
            match sampled {
                Ok(passed) => {
                    self.metrics.tasks_sampled.inc();
                    self.metrics.task_seconds.observe(started.elapsed().as_secs_f64());
                    tracing::info!(task = %turn.task_id, passed, seconds = started.elapsed().as_secs(), "task sampled");
                }
                Err(error) => {
                    self.metrics.tasks_failed.inc();
                    tracing::warn!(task = %turn.task_id, %error, attempt = tries.1, "task failed, no verdicts were signed");
                }
            }
        }
    }

    /// Our turn at `head`, unless the task was done by us or by an earlier producer in its order.
    fn our_turn(&self, head: Head) -> Option<Turn> {
        let history = Arc::clone(&self.allowlists.borrow());
        let own = self.signer.hotkey();
        let schedule = history.schedule_at(head.number, &self.params)?;
        let turn = schedule.turn(head.number, false).filter(|turn| turn.producer == own)?;
        let before: Vec<Hotkey> =
            schedule.producers(turn.task_id).take_while(|producer| *producer != own).collect();
        let id = |producer| FileId { task_id: turn.task_id, producer };
        let done = before.into_iter().chain([own]).any(|producer| self.library.holds(id(producer)));
        (!done && self.agreement.may_sign()).then_some(turn)
    }

    /// Samples a task; returns how many miners passed.
    async fn sample(
        &self,
        task_id: TaskId,
        heads: &watch::Receiver<Head>,
        corpus: &mut KnownCorpus,
    ) -> Result<usize, TaskError> {
        let begun_at = heads.borrow().number;
        let miners = Arc::clone(&self.miners.borrow());
        if miners.valid().next().is_none() {
            return Err(TaskError::NoMiners);
        }
        let clip = self.choose_clip(task_id, corpus).await?;
        let reference = self.judging.reference(&clip.mp4).await?;
        let prompt = match self.judging.task().gives_prompt() {
            true => Some(self.judging.describe(&clip.mp4, &reference).await?),
            false => None,
        };
        let asked = prompt.as_deref();
        let answers = self.ask_all(&miners, &clip, asked).await;
        let (entries, evidence) =
            self.judging.judge_all(&reference, &clip, asked, &answers, &self.metrics).await?;
        let passed = entries.iter().filter(|entry| entry.passed).count();
        let finished = Finished { task_id, begun_at, clip, prompt, answers, entries, evidence };
        self.publish(finished, heads).await?;
        Ok(passed)
    }
}
