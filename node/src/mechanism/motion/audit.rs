//! A motion task repeated from the buckets, step by step, by anyone who can read them.
//!
//! | step | holds when | cannot be checked when |
//! |---|---|---|
//! | `metadata` | the file is there, of this task and this chain | it is gone |
//! | `seed_block` | the seed is the task's first block | the allowlist of the task is not known |
//! | `seed_hash` | the chain has this hash for it | no chain and no hash is given |
//! | `list` | the owner's bucket has the list that the draw names | the bucket cannot be read |
//! | `draw` | the seed draws this challenge from it | the list is not known |
//! | `verdicts` | the verdict file verifies, and names this metadata | it is gone |
//! | `reference` | `reference.bvh` is the challenge's | it is gone |
//! | `sound` | `challenge.wav` is the challenge's | it is gone |
//! | `value` | of each miner: its answer is worth what the entry says | there was no answer, or it is gone |

use leoma_protocol::verdict::{SignedEnvelope, VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Digest, Hotkey, Network, TaskId};
use leoma_storage::{
    Bucket, ChallengeFile, Format, MAX_CHALLENGE_BYTES, SourceBucket, TaskKey, TaskObject,
};
use serde::Serialize;

use super::proof::{Metadata, Proof, Unreadable};
use super::recheck::{Reference, check_proof, read_list, read_reference, recheck_entry};
use crate::corpus::MAX_PROOF_BYTES;
use crate::corpus::audit::{Known, Step, Verdict};
use crate::rescoring::{KeptBy, Unread, file_of, read_object};
use crate::verdicts::Rescored;

/// What the draw of a task is checked against.
#[derive(Debug)]
pub(crate) struct Draw {
    /// The source bucket.
    pub(crate) source: SourceBucket,
    /// The task's first block.
    pub(crate) start_block: Known<BlockNumber>,
    /// That block's hash.
    pub(crate) seed_hash: Known<Digest>,
    /// The chain and the mechanism that it must be of.
    pub(crate) network: Network,
}

/// What is checked.
#[derive(Debug)]
pub(crate) struct MotionAudit<'a> {
    /// The task.
    pub(crate) task_id: TaskId,
    /// The bucket of the validator that made it.
    pub(crate) bucket: &'a Bucket,
    /// What its draw is checked against; `None` where only values are checked.
    pub(crate) draw: Option<Draw>,
    /// Only this miner's entry.
    pub(crate) miner: Option<Hotkey>,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MotionReport {
    /// The task.
    pub(crate) task_id: TaskId,
    /// Who made it, where that is known.
    pub(crate) validator: Option<Hotkey>,
    /// The steps.
    pub(crate) steps: Vec<Step>,
}

impl MotionReport {
    /// How many steps have this outcome.
    pub(crate) fn count(&self, outcome: Verdict) -> usize {
        self.steps.iter().filter(|step| step.outcome == outcome).count()
    }
}

impl MotionAudit<'_> {
    /// Checks everything that can be checked.
    pub(crate) async fn run(&self) -> MotionReport {
        let mut steps = Vec::new();
        let metadata = match self.metadata().await {
            Ok((metadata, step)) => {
                steps.push(step);
                metadata
            }
            Err(step) => {
                let steps = vec![step];
                return MotionReport { task_id: self.task_id, validator: None, steps };
            }
        };
        if let Some(draw) = &self.draw {
            steps.extend(draw.steps(&metadata.challenge).await);
        }
        let network = Network { genesis: metadata.genesis, netuid: metadata.netuid };
        let file = file_of(self.bucket, self.task_id, metadata.validator, network).await;
        match file {
            Ok(file) => steps.extend(self.values(&file).await),
            Err(error) => steps.push(Step::unchecked("verdicts", format!("{error:#}"))),
        }
        MotionReport { task_id: self.task_id, validator: Some(metadata.validator), steps }
    }

    async fn metadata(&self) -> Result<(Metadata, Step), Step> {
        const NAME: &str = "metadata";
        let key = TaskKey::new(self.task_id, TaskObject::Metadata).into();
        let bytes = match self.bucket.get(&key, MAX_PROOF_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let name = self.bucket.name();
                let finding = format!("{name} has no metadata.json of task {}", self.task_id);
                return Err(Step::unchecked(NAME, finding));
            }
            Err(error) => return Err(Step::unchecked(NAME, error.to_string())),
        };
        let metadata = Metadata::parse(&bytes).map_err(|unreadable| match unreadable {
            Unreadable::Unknown(reason) => Step::unchecked(NAME, reason),
            Unreadable::Malformed(reason) => Step::fail(NAME, reason),
        })?;
        if metadata.task_id != self.task_id {
            return Err(Step::fail(NAME, format!("it is of task {}", metadata.task_id)));
        }
        let network = Network { genesis: metadata.genesis, netuid: metadata.netuid };
        if self.draw.as_ref().is_some_and(|draw| draw.network != network) {
            let Network { genesis, netuid } = network;
            return Err(Step::fail(NAME, format!("it is of subnet {netuid} on chain {genesis}")));
        }
        let finding = format!("task {} of {}", self.task_id, metadata.validator);
        Ok((metadata, Step::pass(NAME, finding)))
    }

    /// The steps of a verdict file.
    async fn values(&self, file: &VerifiedVerdict) -> Vec<Step> {
        let Some(SignedEnvelope { envelope, .. }) = &file.envelope else {
            return vec![Step::fail("verdicts", "the file has no envelope")];
        };
        let signed = format!("{} entries, digest {}", file.entries.len(), file.digest);
        let mut steps = vec![Step::pass("verdicts", signed)];
        let reference: Reference = match read_reference(self.bucket, envelope).await {
            Ok(reference) => reference,
            Err(unread) => {
                steps.push(step_of("reference", &unread));
                return steps;
            }
        };
        let challenge = &reference.metadata.challenge.challenge;
        let finding = format!("{}, {} frames", challenge.animation.key, reference.clip.frames());
        steps.push(Step::pass("reference", finding));
        steps.push(self.sound(&challenge.audio).await);
        let wanted = |entry: &&VerdictEntry| self.miner.is_none_or(|one| entry.hotkey == one);
        let mut wanted = file.entries.iter().filter(wanted).peekable();
        if wanted.peek().is_none() {
            steps.push(Step::unchecked("value", "the file has no such entry"));
        }
        for entry in wanted {
            steps.push(self.value(&reference, entry).await);
        }
        steps
    }

    /// Whether what miners were sent, as it is published, is what the list names.
    async fn sound(&self, listed: &ChallengeFile) -> Step {
        const NAME: &str = "sound";
        let object = TaskObject::Challenge(Format::Wav);
        match read_object(self.bucket, self.task_id, object, MAX_CHALLENGE_BYTES).await {
            Ok(sound) if Digest::of(&sound) == listed.sha256 => {
                Step::pass(NAME, listed.key.to_string())
            }
            Ok(_) => Step::fail(NAME, "challenge.wav is not the challenge's"),
            Err(unread) => step_of(NAME, &unread),
        }
    }

    async fn value(&self, reference: &Reference, entry: &VerdictEntry) -> Step {
        const NAME: &str = "value";
        let miner = entry.hotkey;
        match recheck_entry(&reference.clip, self.task_id, self.bucket, entry).await {
            Ok(Rescored::Agrees) => Step::pass(NAME, format!("{miner}: {}", worth(entry))),
            Ok(Rescored::Differs(_, reason) | Rescored::Withheld(reason)) => {
                Step::fail(NAME, format!("{miner}: {reason}"))
            }
            Ok(Rescored::NotChecked(reason) | Rescored::Foreign(reason)) => {
                Step::unchecked(NAME, format!("{miner}: {}: {reason}", entry.status))
            }
            Ok(Rescored::OutOfTime) => Step::unchecked(NAME, format!("{miner}: no time was left")),
            Err(unread) => {
                let Step { outcome, finding, .. } = step_of(NAME, &unread);
                Step { step: NAME, outcome, finding: format!("{miner}: {finding}") }
            }
        }
    }
}

/// What an entry says that its answer is worth.
fn worth(entry: &VerdictEntry) -> String {
    let mut values = entry.observations.iter().flat_map(|observed| &observed.values);
    let value = values.next().copied().flatten();
    value.map_or_else(|| entry.status.to_string(), |value| value.to_string())
}

/// What cannot be read says nothing against the validator, unless it contradicts what it signed.
fn step_of(name: &'static str, unread: &Unread) -> Step {
    match unread.kept_by() {
        KeptBy::Producer if matches!(unread, Unread::Contradicts(_)) => {
            Step::fail(name, unread.to_string())
        }
        _ => Step::unchecked(name, unread.to_string()),
    }
}

impl Draw {
    async fn steps(&self, proof: &Proof) -> Vec<Step> {
        let block = match &self.start_block {
            Known::Unknown(reason) => Step::unchecked("seed_block", reason.clone()),
            Known::Value(start) if *start == proof.seed.block => {
                Step::pass("seed_block", format!("block {start} is the task's first"))
            }
            Known::Value(start) => Step::fail(
                "seed_block",
                format!("the proof has block {}, the task begins with {start}", proof.seed.block),
            ),
        };
        let hash = match &self.seed_hash {
            Known::Unknown(reason) => Step::unchecked("seed_hash", reason.clone()),
            Known::Value(hash) if *hash == proof.seed.hash => {
                Step::pass("seed_hash", hash.to_string())
            }
            Known::Value(hash) => Step::fail(
                "seed_hash",
                format!("the chain has {hash}, the proof has {}", proof.seed.hash),
            ),
        };
        let mut steps = vec![block, hash];
        match read_list(&self.source, proof.list_sha256).await {
            Err(unread) => {
                steps.push(step_of("list", &unread));
                steps.push(Step::unchecked("draw", "the list is not known"));
            }
            Ok(list) => {
                let newest = self.source.challenges().await.ok().flatten();
                let is_newest =
                    newest.is_some_and(|newest| Digest::of(&newest) == proof.list_sha256);
                let age = if is_newest { "the newest" } else { "no longer the newest" };
                let number = list.challenges().len();
                let finding = format!("{} of {number} challenges, {age}", proof.list_sha256);
                steps.push(Step::pass("list", finding));
                steps.push(match check_proof(proof, &list) {
                    Ok(()) => Step::pass(
                        "draw",
                        format!("{} at {} of {number}", proof.challenge.audio.key, proof.index),
                    ),
                    Err(reason) => Step::fail("draw", reason),
                });
            }
        }
        steps
    }
}
