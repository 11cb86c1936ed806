//! Asking miners: a bounded number at a time, each in its own time.
//!
//! Whatever a miner does becomes a reply of its own. Only two things end a try: nobody at all can be
//! reached, which may be our network's fault, or the turn ends before all have had their time.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use leoma_protocol::HotkeySigner;
use leoma_protocol::synapse::{Fields, Question, Target};
use leoma_storage::Format;
use leoma_synapse::{Answer, Dendrite, Outcome};
use tokio::time::{Instant, sleep, timeout_at};

use super::reply::{Reply, Said, is_unreached, milliseconds};
use crate::mechanism::TaskError;
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::on_disk::on_disk;
use crate::outbound::Reach;

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

/// A reply, and whether its miner could not be reached.
struct Heard {
    reply: Reply,
    unreached: bool,
}

impl Asking<'_> {
    /// Asks those of `targets` that have not replied in an earlier try, until `deadline`. `read`
    /// takes the answer's bytes from the fields that a miner filled in, or says what is wrong with
    /// them. Replies are in the order of the miners' hotkeys, one for each target.
    ///
    /// # Errors
    /// [`TaskError::CutShort`] and [`TaskError::Unreached`]; what was replied stays in the folder.
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
        let (mut unreached, mut cut) = (0, left.len());
        let read = &read;
        let asked = left.into_iter().map(|target| self.ask(target, read));
        let mut asking = stream::iter(asked).buffer_unordered(self.rules.at_a_time.max(1));
        let mut deadline = std::pin::pin!(deadline.fuse());
        loop {
            tokio::select! {
                heard = asking.next() => {
                    let Some(heard) = heard else { break };
                    let Heard { reply, unreached: lost } = heard?;
                    unreached += usize::from(lost);
                    cut -= 1;
                    replies.push(reply);
                }
                () = &mut deadline => break,
            }
        }
        let of = targets.len();
        if cut > 0 {
            return Err(TaskError::CutShort { cut, of });
        }
        if unreached == of {
            return Err(TaskError::Unreached { of });
        }
        replies.sort_by_key(|reply| reply.miner);
        Ok(replies)
    }

    async fn ask<R>(&self, target: Target, read: &R) -> Result<Heard, TaskError>
    where
        R: Fn(&Fields) -> Result<Bytes, String> + Sync,
    {
        let Answer { outcome, took } = self.answer(&target).await;
        let (miner, took_ms) = (target.hotkey, milliseconds(took));
        let unreached = is_unreached(&outcome);
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
        // Whoever could not be reached is asked again in the next try, or after a restart.
        if !unreached {
            let kept = reply.clone();
            on_disk(self.folder, move |folder| folder.keep_reply(&kept)).await?;
        }
        tracing::debug!(%miner, took_ms, said = ?reply.said, "a miner replied");
        Ok(Heard { reply, unreached })
    }

    /// Asks one miner, and once more after a pause if it could not be reached. The time runs on: a
    /// miner that hangs up after it has read the question gains nothing.
    async fn answer(&self, target: &Target) -> Answer {
        let (begun, limit) = (Instant::now(), self.question.timeout());
        let bytes = self.rules.reply_bytes;
        let first = self.dendrite.ask(self.question, target, bytes).await;
        if !is_unreached(&first.outcome) || begun.elapsed() + self.rules.pause >= limit {
            return first;
        }
        sleep(self.rules.pause).await;
        let again = self.dendrite.ask(self.question, target, bytes);
        let outcome = match timeout_at(begun + limit, again).await {
            Ok(answer) => answer.outcome,
            Err(_) => Outcome::TimedOut,
        };
        Answer { outcome, took: begun.elapsed() }
    }
}
