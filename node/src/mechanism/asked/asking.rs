//! Asking miners: a bounded number at a time, each in its own time.
//!
//! Whatever a miner does becomes a reply of its own. Only our own faults end a try:
//!
//! | seen | then |
//! |---|---|
//! | the turn ends before all have had their time | the try fails |
//! | this machine has no open file or no port left | the others are asked, and the try fails |
//! | no connection, or nothing in time, and nothing arrives from anybody after it | a control: does anyone take a connection who has replied, or was silent? |
//! | somebody does | our network works, and the replies stand |
//! | nobody does, or there is nobody to try | our network may be down, so the try fails |
//!
//! Replies are kept for the next try as they come. Silence is kept at the end, when it is certain
//! that it was the miner's; who could not be reached is always asked again.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use leoma_protocol::HotkeySigner;
use leoma_protocol::synapse::{Fields, Question, Target};
use leoma_storage::Format;
use leoma_synapse::{Answer, Dendrite, Outcome};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::reply::{Arrival, Reply, Said, milliseconds};
use crate::mechanism::TaskError;
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::on_disk::on_disk;
use crate::outbound::Reach;

/// Longest time in which one of the controls has to take a connection.
const CONTROL_TIME: Duration = Duration::from_secs(5);

/// Most bytes that questions and replies under way may have together: a fraction of the memory of a
/// machine that judges motion.
const BYTES_UNDER_WAY: usize = 1 << 30;

/// What asks for one process: it must be the only one of its hotkey, as its nonces rise.
///
/// # Errors
/// The client's TLS set-up.
pub(crate) fn dendrite(reach: Reach, signer: HotkeySigner) -> Result<Dendrite, reqwest::Error> {
    Dendrite::new(reach.axon_client(), signer, None, move |ip| reach.allows(ip))
}

/// How miners are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskRules {
    /// How many at a time.
    pub(crate) at_a_time: usize,
    /// Pause before a miner that could not be reached is asked once more, within its time.
    pub(crate) pause: Duration,
    /// Most bytes of a reply.
    pub(crate) reply_bytes: usize,
}

impl AskRules {
    /// How many miners are asked at a time: fewer than the operator allows where their questions
    /// and replies could take too much memory.
    pub(super) fn width(&self) -> usize {
        // Miners send the question back, so it is no longer than a reply.
        let each = self.reply_bytes.saturating_mul(2).max(1);
        self.at_a_time.min(BYTES_UNDER_WAY / each).max(1)
    }
}

/// One question to many miners.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    /// Who asks.
    pub(crate) dendrite: &'a Dendrite,
    /// What.
    pub(crate) question: &'a Question,
    /// How.
    pub(crate) rules: AskRules,
    /// Where replies are kept.
    pub(crate) folder: &'a TaskFolder,
    /// In which format answers are kept.
    pub(crate) format: Format,
}

/// A reply, and what it shows of our network.
struct Heard {
    reply: Reply,
    arrival: Arrival,
}

impl Asking<'_> {
    /// Asks those of `targets` that have not replied in an earlier try, until `deadline`. `read`
    /// takes the answer's bytes from the fields that a miner filled in, or says what is wrong with
    /// them. Replies are in the order of the miners' hotkeys, one for each target.
    ///
    /// # Errors
    /// [`TaskError::CutShort`], [`TaskError::Machine`] and [`TaskError::Unreached`]; what was
    /// replied stays in the folder.
    pub(crate) async fn run<R>(
        &self,
        targets: &[Target],
        deadline: impl Future<Output = ()>,
        read: R,
    ) -> Result<Vec<Reply>, TaskError>
    where
        R: Fn(&Fields) -> Result<Bytes, String> + Sync,
    {
        let format = self.format;
        let mut replies = on_disk(self.folder, move |folder| folder.kept_replies(format)).await?;
        replies.retain(|reply| targets.iter().any(|target| target.hotkey == reply.miner));
        let left: Vec<Target> = targets
            .iter()
            .filter(|target| replies.iter().all(|reply| reply.miner != target.hotkey))
            .copied()
            .collect();
        if !replies.is_empty() {
            tracing::info!(
                kept = replies.len(),
                left = left.len(),
                "some miners have replied in an earlier try"
            );
        }
        let width = self.rules.width();
        if width < self.rules.at_a_time.min(left.len()) {
            tracing::info!(
                width,
                reply_bytes = self.rules.reply_bytes,
                "fewer miners are asked at a time than allowed, because their replies can be long"
            );
        }
        let (mut cut, mut ours) = (left.len(), None);
        let (mut silent, mut unreached) = (Vec::new(), Vec::new());
        // Whether nothing has arrived since a miner was silent or could not be reached.
        let mut in_doubt = false;
        let read = &read;
        let asked = left.into_iter().map(|target| self.ask(target, read));
        let mut asking = stream::iter(asked).buffer_unordered(width);
        let mut deadline = std::pin::pin!(deadline.fuse());
        loop {
            let heard = tokio::select! {
                heard = asking.next() => heard,
                () = &mut deadline => break,
            };
            let Some(heard) = heard else { break };
            cut -= 1;
            let Heard { reply, arrival } = match heard {
                Ok(heard) => heard,
                // Those who are asked already shall not be asked again because of it.
                Err(error @ TaskError::Machine(_)) => {
                    ours = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            in_doubt = arrival != Arrival::Something;
            match arrival {
                Arrival::Something => {}
                Arrival::Nothing => silent.push(reply.clone()),
                Arrival::NoConnection => unreached.push(reply.miner),
            }
            replies.push(reply);
        }
        let of = targets.len();
        if cut > 0 {
            return Err(TaskError::CutShort { cut, of });
        }
        if let Some(error) = ours {
            return Err(error);
        }
        let controls = targets.iter().filter(|target| !unreached.contains(&target.hotkey));
        if in_doubt && !self.reaches_one_of(controls.copied().collect()).await {
            return Err(TaskError::Unreached { of });
        }
        let keep =
            move |folder: &TaskFolder| silent.iter().try_for_each(|reply| folder.keep_reply(reply));
        on_disk(self.folder, keep).await?;
        replies.sort_by_key(|reply| reply.miner);
        Ok(replies)
    }

    /// Whether one of these miners takes a connection now, and so shows that our network works.
    async fn reaches_one_of(&self, controls: Vec<Target>) -> bool {
        let time = CONTROL_TIME.min(self.question.timeout());
        let connecting = controls.into_iter().map(|target| self.dendrite.connects(target, time));
        let connected = stream::iter(connecting).buffer_unordered(self.rules.width());
        let any = connected.any(std::future::ready);
        timeout(time, any).await.unwrap_or(false)
    }

    async fn ask<R>(&self, target: Target, read: &R) -> Result<Heard, TaskError>
    where
        R: Fn(&Fields) -> Result<Bytes, String> + Sync,
    {
        let Answer { outcome, took } = self.answer(&target).await?;
        let (miner, took_ms) = (target.hotkey, milliseconds(took));
        let arrival = Arrival::of(&outcome);
        let said = match outcome {
            Outcome::Filled(fields) => match read(&fields) {
                Ok(answer) => {
                    let format = self.format;
                    let keep =
                        move |folder: &TaskFolder| folder.keep_answer(miner, format, &answer);
                    Said::Answer { sha256: on_disk(self.folder, keep).await? }
                }
                Err(reason) => Said::malformed(reason),
            },
            failed => Said::of_failure(&failed)
                .unwrap_or_else(|| Said::malformed("it says nothing that can be read")),
        };
        let reply = Reply { miner, took_ms, said };
        if arrival == Arrival::Something {
            let kept = reply.clone();
            on_disk(self.folder, move |folder| folder.keep_reply(&kept)).await?;
        }
        tracing::debug!(%miner, took_ms, said = ?reply.said, "a miner replied");
        Ok(Heard { reply, arrival })
    }

    /// Asks one miner, and once more after a pause if it could not be reached. The time runs on: a
    /// miner that hangs up after it has read the question gains nothing.
    async fn answer(&self, target: &Target) -> Result<Answer, TaskError> {
        let (begun, limit) = (Instant::now(), self.question.timeout());
        let first = self.once(target).await?;
        let is_lost = Arrival::of(&first.outcome) == Arrival::NoConnection;
        if !is_lost || begun.elapsed() + self.rules.pause >= limit {
            return Ok(first);
        }
        sleep(self.rules.pause).await;
        let outcome = match timeout_at(begun + limit, self.once(target)).await {
            Ok(answer) => answer?.outcome,
            Err(_) => Outcome::TimedOut,
        };
        Ok(Answer { outcome, took: begun.elapsed() })
    }

    /// One request. What this machine lacks is an error: the time that it costs is not the miner's.
    async fn once(&self, target: &Target) -> Result<Answer, TaskError> {
        let answer = self.dendrite.ask(self.question, target, self.rules.reply_bytes).await;
        match answer.outcome {
            Outcome::Ours(code) => Err(TaskError::Machine(std::io::Error::from_raw_os_error(code))),
            _ => Ok(answer),
        }
    }
}
