//! One task, over all tries at it: from its challenge to its entries.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::verdict::VerdictEntry;
use leoma_protocol::{BlockNumber, Digest, Hotkey};
use leoma_scoring::motion::{Clip, LONGEST_SECONDS};
use leoma_storage::{Format, SourceBucket};
use leoma_synapse::Dendrite;
use serde::{Deserialize, Serialize};

use super::challenges::{ChallengeError, Files, drawn, newest, reference};
use super::judging::{Evidence, JUDGE, judge, observed};
use super::proof::{Metadata, Proof, SCHEMA};
use super::synapse::{answer, question, reply_bytes};
use crate::config::SamplingConfig;
use crate::corpus::Seed;
use crate::mechanism::asked::{Admission, Admitted, AskRules, Asking, Reply, Said, in_order};
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::on_disk::on_disk;
use crate::mechanism::{Scored, TaskError, TurnContext, Turns, past};

/// The names of the challenge's files in the folder and in the bucket.
const AUDIO: &str = "challenge.wav";
const ANIMATION: &str = "reference.bvh";

/// What motion works with.
#[derive(Debug)]
pub(crate) struct MotionParts {
    /// Limits.
    pub(crate) config: SamplingConfig,
    /// Where the challenges are.
    pub(crate) source: SourceBucket,
    /// Who asks.
    pub(crate) dendrite: Dendrite,
    /// Who is asked.
    pub(crate) admission: Admission,
}

/// Motion as a mechanism.
#[derive(Debug)]
pub(crate) struct Motion {
    parts: MotionParts,
}

/// What a task was begun with, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Begun {
    /// The head when the task was taken up.
    at: BlockNumber,
    /// Who is asked.
    miners: Admitted,
    proof: Proof,
}

/// A task that can be asked.
#[derive(Debug)]
struct Task {
    begun: Begun,
    audio: Bytes,
    reference: Clip,
}

/// What verdicts consist of.
#[derive(Default)]
struct Verdicts {
    entries: Vec<VerdictEntry>,
    evidence: BTreeMap<Hotkey, Evidence>,
}

impl Motion {
    pub(crate) const fn new(parts: MotionParts) -> Self {
        Self { parts }
    }

    /// How long each miner has. The value of its speed is always measured by the longest time.
    fn timeout(&self) -> Duration {
        self.parts.config.request_timeout.min(Duration::from_secs_f64(LONGEST_SECONDS))
    }

    /// The task's challenge and its miners: those of an earlier try or an earlier start, because
    /// answers belong to them.
    async fn begin(&self, context: &TurnContext<'_>) -> Result<Task, TaskError> {
        let seed = context.seed;
        let earlier =
            on_disk(context.folder, move |folder| Ok(begun_earlier(folder, seed))).await?;
        let (begun, files) = match earlier {
            Some(earlier) => earlier,
            None => self.begin_anew(context).await?,
        };
        let reference = reference(&begun.proof.challenge.animation.key, &files.animation)?;
        Ok(Task { begun, audio: files.audio, reference })
    }

    async fn begin_anew(&self, context: &TurnContext<'_>) -> Result<(Begun, Files), TaskError> {
        let miners = self.parts.admission.miners(context.seed).await?;
        let list = newest(&self.parts.source).await?;
        let challenges = list.challenges();
        let index = drawn(context.seed.hash, challenges.len()).ok_or(ChallengeError::None)?;
        let challenge = challenges.get(index).ok_or(ChallengeError::None)?.clone();
        let files = Files::read(&self.parts.source, &challenge).await?;
        // Before anybody is asked: a reference that cannot be compared with is no miner's fault.
        let _comparable = reference(&challenge.animation.key, &files.animation)?;
        let proof = Proof {
            seed: context.seed,
            list_sha256: list.digest(),
            challenges: challenges.len(),
            index,
            challenge,
        };
        let begun = Begun { at: context.heads.borrow().number, miners, proof };
        let (kept, written) = (begun.clone(), files.clone());
        on_disk(context.folder, move |folder| {
            let objects = [(AUDIO, written.audio), (ANIMATION, written.animation)];
            folder.begin_asking(&kept, &objects)
        })
        .await?;
        tracing::info!(task = %context.task_id, challenge = %begun.proof.challenge.audio.key, "challenge drawn");
        Ok((begun, files))
    }

    /// Writes what peers read beside the verdicts.
    async fn finish(
        &self,
        context: &TurnContext<'_>,
        begun: Begun,
        verdicts: Verdicts,
    ) -> Result<Scored, TaskError> {
        let Verdicts { entries, evidence } = verdicts;
        let metadata = Metadata {
            schema: SCHEMA.to_owned(),
            task_id: context.task_id,
            netuid: context.network.netuid,
            genesis: context.network.genesis,
            validator: context.validator,
            block: begun.at,
            judge: JUDGE.to_owned(),
            timeout_ms: u64::try_from(self.timeout().as_millis()).unwrap_or(u64::MAX),
            challenge: begun.proof,
            evidence,
        };
        let miners: Vec<Hotkey> = entries.iter().map(|entry| entry.hotkey).collect();
        let finish = move |folder: &TaskFolder| folder.finish_asking(&metadata, &miners);
        let metadata_sha256 = on_disk(context.folder, finish).await?;
        Ok(Scored { entries, metadata_sha256 })
    }
}

#[async_trait::async_trait]
impl Turns for Motion {
    fn judge_id(&self) -> &str {
        JUDGE
    }

    async fn turn(&mut self, context: TurnContext<'_>) -> Result<Option<Scored>, TaskError> {
        let Task { begun, audio, reference } = self.begin(&context).await?;
        let targets = in_order(&begun.miners, context.task_id);
        let question = question(&audio, self.timeout()).map_err(ChallengeError::from)?;
        let config = &self.parts.config;
        let asking = Asking {
            dendrite: &self.parts.dendrite,
            question: &question,
            rules: AskRules {
                at_a_time: config.concurrent_miners,
                pause: config.cold_start_pause,
                reply_bytes: reply_bytes(audio.len()),
            },
            folder: context.folder,
            format: Format::Bvh,
        };
        let deadline = past(context.heads.clone(), context.ask_until);
        let replies = asking.run(&targets, deadline, answer).await?;
        let judged = move |folder: &TaskFolder| verdicts(folder, &replies, &reference);
        let verdicts = on_disk(context.folder, judged).await?;
        self.finish(&context, begun, verdicts).await.map(Some)
    }
}

/// What the task was begun with earlier, if it is all there and follows from `seed`.
fn begun_earlier(folder: &TaskFolder, seed: Seed) -> Option<(Begun, Files)> {
    let begun: Begun = folder.begun_asking()?;
    let read = |name: &str| -> Option<Bytes> {
        Some(std::fs::read(folder.path().join(name)).ok()?.into())
    };
    let files = Files { audio: read(AUDIO)?, animation: read(ANIMATION)? };
    let challenge = &begun.proof.challenge;
    let is_whole = begun.proof.seed == seed
        && challenge.audio.sha256 == Digest::of(&files.audio)
        && challenge.animation.sha256 == Digest::of(&files.animation);
    is_whole.then_some((begun, files))
}

/// The entries of all miners, in the order of their replies, each answer read from the disk by
/// itself.
fn verdicts(folder: &TaskFolder, replies: &[Reply], reference: &Clip) -> std::io::Result<Verdicts> {
    let mut verdicts = Verdicts::default();
    for reply in replies {
        let entry = match &reply.said {
            Said::Answer { sha256 } => {
                let file = folder.read_answer(reply.miner, Format::Bvh)?;
                let judged = judge(&file, reply.took_ms, reference);
                let entry = judged.entry(reply.miner, reply.took_ms, *sha256);
                verdicts.evidence.extend(judged.evidence.map(|found| (reply.miner, found)));
                Some(entry)
            }
            Said::Failure { .. } => reply
                .failed_entry()
                .map(|entry| VerdictEntry { observations: observed(None), ..entry }),
        };
        verdicts.entries.extend(entry);
    }
    Ok(verdicts)
}
