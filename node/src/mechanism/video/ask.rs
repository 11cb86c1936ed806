//! Asking miners for their videos, while those that have come are judged.
//!
//! A miner whose fault may have been an outage is asked once more when all others have had their
//! turn. Only then is it decided whose the remaining faults are, for all miners at once.

use std::collections::BTreeSet;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use leoma_protocol::{BlockNumber, Digest, Hotkey, TaskId};
use rand::seq::IteratorRandom as _;

use super::answer::Answer;
use super::course::{Course, KnownGood};
use super::done::Done;
use super::judging::Judgment;
use super::requests::{Asked, Endpoints, Requests, Rules, Start};
use crate::mechanism::TaskError;
use crate::mechanism::folder::TaskFolder;
use crate::miners::MinerTable;
use crate::miners::whose_fault::{Control, Reply, needs_control, unexplained_fault, whose};

/// Whether a control shows by itself that a fault is ours.
fn is_ours(control: Control) -> bool {
    !matches!(control, Control::Accepted | Control::Unknown)
}

/// Miners that are asked for a control.
const MOST_CONTROLS: usize = 3;

/// What these miners reply to a control.
async fn controls_of<E: Endpoints>(endpoints: &E, slugs: &[String]) -> Vec<Reply> {
    futures::future::join_all(slugs.iter().map(|slug| endpoints.control(slug))).await
}

/// A control of our account: by miners that are known to answer, or else by strangers.
async fn account_control<E: Endpoints>(
    endpoints: &E,
    known: Vec<String>,
    strangers: Vec<String>,
) -> Control {
    match known.is_empty() {
        true => Control::of_strangers(&controls_of(endpoints, &strangers).await),
        false => Control::of_all(&controls_of(endpoints, &known).await, None),
    }
}

/// The valid miners, in an order that differs from task to task: a turn that is too short cuts off
/// the last ones.
pub(super) fn in_order(table: &MinerTable, task_id: TaskId) -> Vec<Asked> {
    let commit_block = |miner| {
        table.miners.get(&miner).map_or_else(BlockNumber::default, |state| state.commit_block)
    };
    let asked = |(miner, slug, revision): (Hotkey, &str, &str)| Asked {
        miner,
        slug: slug.to_owned(),
        model_revision: revision.to_owned(),
        commit_block: commit_block(miner),
    };
    let mut miners: Vec<Asked> = table.valid().map(asked).collect();
    miners.sort_by_cached_key(|asked| {
        Digest::of_parts(&[&task_id.0.to_be_bytes(), asked.miner.as_bytes()])
    });
    miners
}

/// One try at asking and judging.
pub(super) struct Round<'a, E> {
    pub(super) endpoints: &'a E,
    pub(super) rules: Rules,
    pub(super) folder: &'a TaskFolder,
    /// Miners that have answered, for a control.
    pub(super) known: &'a mut KnownGood,
}

impl<E: Endpoints> Round<'_, E> {
    /// Asks those of `miners` that are not done, until all have had their time or `deadline`, and
    /// judges each video as it comes. What was done stays in `done`, whatever happens.
    ///
    /// # Errors
    /// A fault of ours, or a turn that ended too early; then nothing is known about the miners that
    /// are not done.
    pub(super) async fn run<J, F>(
        &mut self,
        miners: Vec<Asked>,
        done: &mut Done,
        deadline: impl Future<Output = ()>,
        judge: J,
    ) -> Result<(), TaskError>
    where
        J: Fn(Answer) -> F,
        F: Future<Output = Result<Judgment, TaskError>>,
    {
        done.keep_only(&miners);
        let mut course = Course::begin(&miners, done);
        let requests = Requests::begin(self.endpoints, self.rules, self.folder);
        let left = miners.into_iter().filter(|asked| course.left.contains(&asked.miner));
        let mut asking: FuturesUnordered<_> =
            left.map(|asked| requests.ask(asked, Start::default())).collect();
        let mut judging = FuturesUnordered::new();
        let (mut broken, mut control) = (None, None);
        let mut may_ask_again = true;
        let mut may_control = true;
        let mut controls = FuturesUnordered::new();
        let mut deadline = std::pin::pin!(deadline.fuse());
        loop {
            while broken.is_none() && judging.len() < self.rules.judged_at_a_time {
                let Some(answer) = course.waiting.pop_front() else { break };
                let (miner, judgment) = (answer.miner, judge(answer));
                judging.push(async move { (miner, judgment.await) });
            }
            if may_control && course.is_hopeless(&requests) {
                may_control = false;
                let (known, others) = (self.known_to_answer(&course), strangers(&course));
                controls.push(account_control(self.endpoints, known, others));
                course.refusing.clear();
            }
            tokio::select! {
                Some((miner, judgment)) = judging.next() => match judgment {
                    Ok(judgment) => drop(done.judged.insert(miner, judgment)),
                    // The others' videos still come, so that the next try has them.
                    Err(error) => broken = Some(error),
                },
                Some(asked) = asking.next() => {
                    let (answer, one) = asked?;
                    course.take_in(answer, one, done, self.known);
                }
                // Wakes the check above: a miner that is limited has its final reply much later.
                () = requests.refused(), if !asking.is_empty() => {}
                Some(said) = controls.next(), if !asking.is_empty() => {
                    // Without a control the others decide: those who refuse may be a few who
                    // answer before anybody can have made a video.
                    if is_ours(said) && course.is_hopeless(&requests) {
                        asking.clear();
                        may_ask_again = false;
                        control = Some(said);
                    }
                }
                () = &mut deadline, if !asking.is_empty() => {
                    asking.clear();
                    may_ask_again = false;
                    // There will be no file: its reason must not wait until all is judged.
                    if !course.left.is_empty() {
                        judging.clear();
                        course.waiting.clear();
                    }
                }
                else => break,
            }
            if asking.is_empty() && std::mem::take(&mut may_ask_again) {
                let again = course.asked_again(self.rules).into_iter();
                asking.extend(again.map(|(asked, start)| requests.ask(asked, start)));
            }
            if asking.is_empty() && broken.is_some() {
                break;
            }
        }
        let cut = self.decide(course, control, done).await?;
        broken.or(cut).map_or(Ok(()), Err)
    }

    /// Decides whose the faults are, now that all are known. Returns the turn's end, where that cut
    /// off miners: then no fault is decided.
    async fn decide(
        &self,
        course: Course,
        control: Option<Control>,
        done: &mut Done,
    ) -> Result<Option<TaskError>, TaskError> {
        let control = match control {
            Some(said) => said,
            None if needs_control(&course.seen()) => self.ask_control(&course).await,
            None => Control::Unknown,
        };
        let (cut, of) = (course.left.len(), course.miners.len());
        if let Err(fault) = whose(&course.seen(), cut, control) {
            done.keep_videos();
            return Err(fault.into());
        }
        if cut > 0 {
            done.keep_videos();
            return Ok(Some(TaskError::CutShort { cut, of }));
        }
        done.answers.extend(course.faults.into_iter().map(|(answer, _)| (answer.miner, answer)));
        Ok(None)
    }

    /// Asks miners that have answered before and show no fault now, to see how the service treats
    /// others.
    async fn ask_control(&self, course: &Course) -> Control {
        let replies = controls_of(self.endpoints, &self.known_to_answer(course)).await;
        Control::of_all(&replies, unexplained_fault(&course.seen()))
    }

    /// A few miners that have answered before and show no fault now.
    fn known_to_answer(&self, course: &Course) -> Vec<String> {
        let failed: BTreeSet<Hotkey> =
            course.faults.iter().map(|(answer, _)| answer.miner).collect();
        let others = course.miners.values().filter(|asked| !failed.contains(&asked.miner));
        let others: BTreeSet<&String> = others.map(|asked| &asked.slug).collect();
        let known = self.known.slugs().filter(|known| others.contains(known));
        known.cloned().choose_multiple(&mut rand::rng(), MOST_CONTROLS)
    }
}

/// A few miners that have said nothing in this round: whoever refuses us first on purpose does not
/// choose them. The API would be no control, as it describes chutes to accounts that may not use
/// them.
fn strangers(course: &Course) -> Vec<String> {
    let is_silent = |miner: &&Hotkey| !course.refusing.contains_key(*miner);
    let silent = course.left.iter().filter(is_silent);
    let slugs = silent.filter_map(|miner| Some(course.miners.get(miner)?.slug.clone()));
    slugs.choose_multiple(&mut rand::rng(), MOST_CONTROLS)
}
