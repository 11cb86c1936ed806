//! One task of ours, over all tries at it, from its seed to its signed file. What is done in
//! between is the mechanism's.

use std::sync::Arc;

use leoma_chain::Head;
use leoma_protocol::verdict::VerdictEntry;
use leoma_protocol::{FileId, Hotkey, TaskId};
use leoma_rotation::Schedule;
use tokio::sync::watch;
use tokio::time::Instant;

use super::budget::Budget;
use super::parts::Sampler;
use crate::corpus::Seed;
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::{TaskError, TurnContext, Turns, past};

/// A task of ours, and how far it has come.
#[derive(Debug)]
pub(super) struct OpenTurn {
    pub(super) task_id: TaskId,
    /// Tries that failed.
    pub(super) failures: u32,
    /// No try before this.
    pub(super) retry_at: Instant,
    /// The last failure, where it was our fault.
    pub(super) our_fault: Option<String>,
    /// Nothing more is tried.
    pub(super) given_up: bool,
    seed: Option<Seed>,
}

impl OpenTurn {
    pub(super) fn new(task_id: TaskId) -> Self {
        Self {
            task_id,
            failures: 0,
            retry_at: Instant::now(),
            our_fault: None,
            given_up: false,
            seed: None,
        }
    }
}

/// How a try that failed nowhere ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// Its file is signed; that many miners passed.
    Signed { passed: usize },
    /// The mechanism has nothing to do.
    NothingToDo,
    /// We stood in for an earlier producer, whose file has arrived meanwhile.
    Outrun,
}

impl Sampler {
    /// Samples a task.
    pub(super) async fn sample(
        &self,
        turn: &mut OpenTurn,
        mechanism: &mut dyn Turns,
        heads: &watch::Receiver<Head>,
    ) -> Result<Tried, TaskError> {
        let task_id = turn.task_id;
        let budget = self.budget(task_id);
        let signed_in_time = || heads.borrow().number <= budget.sign_until;
        if !signed_in_time() {
            return Err(TaskError::OutOfTime);
        }
        // Another try of the mechanism would write other files beside the draft, which names them.
        if let Some(draft) = self.kept_draft(task_id).await? {
            tracing::info!(task = %task_id, "signing the draft that an earlier try kept");
            let passed = count_passed(&draft.entries);
            self.publish_draft(draft).await?;
            return Ok(Tried::Signed { passed });
        }
        let seed = match turn.seed {
            Some(seed) => seed,
            None => self.seed(task_id).await?,
        };
        turn.seed = Some(seed);
        let folder = TaskFolder::new(&self.spool, task_id);
        let (network, validator) = (self.library.network(), self.signer.hotkey());
        let (ask_until, folder) = (budget.ask_until, &folder);
        let context = TurnContext { task_id, seed, network, validator, heads, ask_until, folder };
        let too_late = past(heads.clone(), budget.sign_until);
        // Nothing is signed yet, so a try may end here.
        let scored = tokio::select! {
            scored = in_time(mechanism.turn(context), too_late) => scored?,
            () = self.until_done_before_us(task_id, heads.clone()) => return Ok(Tried::Outrun),
        };
        let Some(scored) = scored else { return Ok(Tried::NothingToDo) };
        if scored.entries.is_empty() || !signed_in_time() {
            return Err(TaskError::OutOfTime);
        }
        let passed = count_passed(&scored.entries);
        self.publish(task_id, mechanism.judge_id(), scored, heads).await?;
        Ok(Tried::Signed { passed })
    }

    /// Waits for a file of the task by a producer that stands before us in its order. Whoever
    /// samples on after that costs every miner a second answer, and itself the time of its own next
    /// turn.
    async fn until_done_before_us(&self, task_id: TaskId, mut heads: watch::Receiver<Head>) {
        while !self.done_before_us(task_id) {
            if heads.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether a producer that stands before us in a task's order has made its file.
    pub(super) fn done_before_us(&self, task_id: TaskId) -> bool {
        let history = Arc::clone(&self.allowlists.borrow());
        let start = history.of_task(task_id).and_then(|entry| entry.allowlist.start_of(task_id));
        let params = self.consensus.at(start.unwrap_or_default());
        let Some(schedule) = history.schedule_of(task_id, params) else { return false };
        let own = self.signer.hotkey();
        is_done_before(&schedule, task_id, own, |file| self.library.holds(file))
    }

    pub(super) fn budget(&self, task_id: TaskId) -> Budget {
        let history = Arc::clone(&self.allowlists.borrow());
        let list = history.of_task(task_id).map(|entry| &entry.allowlist);
        let interval = list.map_or(1, |list| list.interval());
        let start = list.and_then(|list| list.start_of(task_id)).unwrap_or_default();
        let params = self.consensus.at(start);
        Budget::of(params.attestation_deadline(interval, task_id), interval)
    }

    /// What every choice of the task follows from: its first block.
    async fn seed(&self, task_id: TaskId) -> Result<Seed, TaskError> {
        let history = Arc::clone(&self.allowlists.borrow());
        let start = history.of_task(task_id).and_then(|entry| entry.allowlist.start_of(task_id));
        let block = start.unwrap_or_default();
        Ok(Seed { block, hash: self.chain.block_hash(block).await? })
    }
}

/// Whether the file of a producer before `own` is there.
fn is_done_before(
    schedule: &Schedule<'_>,
    task_id: TaskId,
    own: Hotkey,
    holds: impl Fn(FileId) -> bool,
) -> bool {
    let mut before = schedule.producers(task_id).take_while(|producer| *producer != own);
    before.any(|producer| holds(FileId { task_id, producer }))
}

/// A try of the mechanism, which ends where its file could not be signed any more: judging on would
/// only delay our next turn. What miners have sent stays on disk.
async fn in_time<T>(
    attempt: impl Future<Output = Result<T, TaskError>>,
    too_late: impl Future<Output = ()>,
) -> Result<T, TaskError> {
    tokio::select! {
        biased;
        done = attempt => done,
        () = too_late => Err(TaskError::Unfinished),
    }
}

fn count_passed(entries: &[VerdictEntry]) -> usize {
    entries.iter().filter(|entry| entry.passed).count()
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{BlockNumber, Digest};
    use leoma_rotation::Allowlist;

    use super::*;

    fn head(number: u64) -> Head {
        Head { number: BlockNumber(number), hash: Digest::of(b"h") }
    }

    #[tokio::test]
    async fn a_try_that_is_not_done_when_its_file_has_to_be_signed_ends_the_turn() {
        let budget = Budget { ask_until: BlockNumber(164), sign_until: BlockNumber(170) };
        let (blocks, heads) = watch::channel(head(169));
        let never = std::future::pending::<Result<(), _>>();
        let judging = in_time(never, past(heads.clone(), budget.sign_until));
        let mut judging = std::pin::pin!(judging);
        // It may use its last block up.
        blocks.send(head(170)).unwrap();
        assert!(futures::poll!(judging.as_mut()).is_pending());
        blocks.send(head(171)).unwrap();
        let error = judging.await.unwrap_err();
        assert!(matches!(error, TaskError::Unfinished), "{error}");
        assert!(error.ends_the_turn() && error.alarm().is_some(), "{error}");
        // What is done in that moment counts.
        let done = in_time(async { Ok(7) }, past(heads, budget.sign_until)).await;
        assert_eq!(done.unwrap(), 7);
    }

    #[test]
    fn only_the_file_of_an_earlier_producer_ends_a_try() {
        let list = Allowlist::new(100, (1..=4).map(|n| Hotkey::from_bytes([n; 32]))).unwrap();
        let schedule = Schedule::new(&list, Some(30));
        let order: Vec<Hotkey> = schedule.producers(TaskId(7)).collect();
        assert_eq!(order.len(), 4);
        for (place, own) in order.iter().enumerate() {
            for (other, producer) in order.iter().enumerate() {
                let held = FileId { task_id: TaskId(7), producer: *producer };
                let done = is_done_before(&schedule, TaskId(7), *own, |file| file == held);
                assert_eq!(done, other < place, "{other} before {place}");
            }
        }
    }
}
