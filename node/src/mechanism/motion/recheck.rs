//! Others' entries computed again: their challenge is drawn again from the chain and the owner's
//! list, and each value follows from the published answer by arithmetic.

use bytes::Bytes;
use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::{Envelope, VerdictEntry};
use leoma_protocol::{BlockNumber, Digest, Nano, TaskId};
use leoma_scoring::motion::{Clip, MAX_BVH_BYTES, MAX_DISTANCE};
use leoma_storage::{ChallengeList, Format, SourceBucket, TaskObject};

use super::challenges::{drawn, reference};
use super::judging::{JUDGE, Judged, judge, tenths};
use super::proof::{Metadata, Proof, Unreadable};
use crate::corpus::MAX_PROOF_BYTES;
use crate::mechanism::asked::Admission;
use crate::rescoring::{Objects, Unread, read_object};
use crate::verdicts::{Owed, Recheck, Rescored};

/// How far two computations of one value may be apart, in parts of 10⁹: sines and exponentials of
/// two machines differ in their last place, far below this.
pub(super) const TOLERANCE: u64 = 2_000;
/// How near to the largest distance two machines may differ about a pass, as they may compute
/// distances on both sides of it. The value is the same there.
pub(super) const BOUNDARY: f64 = 1e-6;

/// The check of others' motion tasks.
#[derive(Debug)]
pub(crate) struct MotionRecheck {
    /// Where the owner's lists are.
    pub(crate) source: SourceBucket,
    /// The chain, which block a task begins with, and who must have an entry.
    pub(crate) admission: Admission,
}

/// What all entries of a task are compared with.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(super) metadata: Metadata,
    pub(super) clip: Clip,
}

impl MotionRecheck {
    /// Draws the challenge of a task again.
    ///
    /// # Errors
    /// [`Unread::Contradicts`] where it is another one, [`Unread::Ours`] where we cannot know it.
    async fn check_draw(&self, task: TaskId, proof: &Proof) -> Result<(), Unread> {
        let lack = |reason: String| Unread::Ours(reason);
        let start = {
            let history = self.admission.allowlists.borrow();
            let list = history.of_task(task).map(|entry| &entry.allowlist);
            list.and_then(|list| list.start_of(task))
        };
        let start = start.ok_or_else(|| lack("no known allowlist makes the task".to_owned()))?;
        let hash = self.admission.chain.hash(start).await;
        let hash = hash.map_err(|error| lack(error.to_string()))?;
        if (proof.seed.block, proof.seed.hash) != (start, hash) {
            return Err(Unread::Contradicts(format!(
                "the seed is block {} with hash {}, the task begins with block {start}, {hash}",
                proof.seed.block, proof.seed.hash
            )));
        }
        let list = read_list(&self.source, proof.list_sha256).await?;
        check_proof(proof, &list).map_err(Unread::Contradicts)
    }
}

/// The list with this hash.
///
/// # Errors
/// A list that the owner's bucket does not have is one that the producer made up, or one that we
/// cannot see; both are told.
pub(super) async fn read_list(
    source: &SourceBucket,
    sha256: Digest,
) -> Result<ChallengeList, Unread> {
    let read = source.challenges_version(&sha256).await;
    let bytes: Option<Bytes> =
        read.map_err(|error| Unread::Ours(format!("the source bucket: {error}")))?;
    let bytes = bytes.ok_or_else(|| {
        Unread::Contradicts(format!("the owner's bucket has no list of challenges {sha256}"))
    })?;
    if Digest::of(&bytes) != sha256 {
        return Err(Unread::Ours(format!("challenges/{sha256}.json has other bytes")));
    }
    ChallengeList::parse(&bytes).map_err(|error| Unread::Ours(error.to_string()))
}

/// Whether the seed draws this challenge from the list.
///
/// # Errors
/// What differs, in words.
pub(super) fn check_proof(proof: &Proof, list: &ChallengeList) -> Result<(), String> {
    let (known, index) = (list.challenges(), proof.index);
    let expected = drawn(proof.seed.hash, known.len());
    if proof.challenges != known.len() || expected != Some(index) {
        let expected = expected.map_or("none".to_owned(), |index| index.to_string());
        return Err(format!(
            "of {} challenges the seed draws {expected}, the proof has {index} of {}",
            known.len(),
            proof.challenges
        ));
    }
    match known.get(index) {
        Some(challenge) if *challenge == proof.challenge => Ok(()),
        _ => Err(format!("position {index} of the list is another challenge than the proof's")),
    }
}

/// Reads what all entries of a task are compared with, held to what the producer signed. The draw is
/// not checked.
///
/// # Errors
/// [`Unread`].
pub(super) async fn read_reference(
    bucket: &dyn Objects,
    envelope: &Envelope,
) -> Result<Reference, Unread> {
    let task = envelope.task_id;
    if envelope.judge != JUDGE {
        return Err(Unread::Unknown(format!("judged by {}, here is {JUDGE}", envelope.judge)));
    }
    let bytes = read_object(bucket, task, TaskObject::Metadata, MAX_PROOF_BYTES).await?;
    if envelope.metadata_sha256 != Some(Digest::of(&bytes)) {
        let finding = "metadata.json is not the one that the envelope names".to_owned();
        return Err(Unread::Contradicts(finding));
    }
    let metadata = Metadata::parse(&bytes).map_err(|unreadable| match unreadable {
        Unreadable::Unknown(reason) => Unread::Unknown(reason),
        Unreadable::Malformed(reason) => Unread::Contradicts(reason),
    })?;
    if !metadata.is_of(envelope) {
        return Err(Unread::Contradicts(
            "metadata.json has another task, validator, chain or judge than the envelope".into(),
        ));
    }
    let file = &metadata.challenge.challenge.animation;
    let most = MAX_BVH_BYTES as u64;
    let bytes = read_object(bucket, task, TaskObject::Reference(Format::Bvh), most).await?;
    if Digest::of(&bytes) != file.sha256 {
        return Err(Unread::Contradicts("reference.bvh is not the challenge's".to_owned()));
    }
    let clip = reference(&file.key, &bytes);
    let clip = clip.map_err(|error| Unread::Contradicts(error.to_string()))?;
    Ok(Reference { metadata, clip })
}

/// Computes an entry again from its published answer.
///
/// # Errors
/// [`Unread`] where the answer could not be read.
pub(super) async fn recheck_entry(
    clip: &Clip,
    task: TaskId,
    bucket: &dyn Objects,
    entry: &VerdictEntry,
) -> Result<Rescored, Unread> {
    let Some(signed) = entry.video_sha256 else {
        // A pass and a value have an answer behind them; a failure without one cannot be repeated.
        return Ok(match entry.passed || entry.has_values() {
            true => differs(None, "it has a value and no answer".to_owned()),
            false => Rescored::NotChecked("there was no answer".to_owned()),
        });
    };
    let object = TaskObject::Answer(entry.hotkey, Format::Bvh);
    let answer = read_object(bucket, task, object, MAX_BVH_BYTES as u64).await?;
    if Digest::of(&answer) != signed {
        return Err(Unread::Contradicts(format!(
            "the answer is sha256 {}, the entry says {signed}",
            Digest::of(&answer)
        )));
    }
    let (clip, took_ms) = (clip.clone(), entry.latency_ms);
    let judged = tokio::task::spawn_blocking(move || judge(&answer, took_ms, &clip)).await;
    let judged = judged.map_err(|error| Unread::Ours(error.to_string()))?;
    Ok(compare(entry, &judged))
}

/// Whether rounding may decide if an answer passes.
fn is_at_boundary(found: &Judged) -> bool {
    let distance = found.evidence.as_ref().map(|evidence| evidence.distance);
    distance.is_some_and(|distance| (distance - MAX_DISTANCE).abs() <= BOUNDARY)
}

/// An entry beside what its answer is worth.
pub(super) fn compare(entry: &VerdictEntry, found: &Judged) -> Rescored {
    let claimed = entry.observations.iter().find(|one| one.pool.as_str() == super::judging::POOL);
    let values = claimed.map_or(&[][..], |observed| &observed.values[..]);
    let is_alone = entry.observations.len() == 1
        && values.len() == 1
        && claimed.is_some_and(|observed| observed.counts.is_empty());
    let is_near = match (values.first().copied().flatten(), found.value) {
        (None, None) => true,
        (Some(one), Some(other)) => one.0.abs_diff(other.0) <= TOLERANCE,
        _ => false,
    };
    let shown = |value: Option<Nano>| value.map_or("nothing".to_owned(), |value| value.to_string());
    if !is_alone || !is_near {
        let claims: Vec<String> = values.iter().map(|value| shown(*value)).collect();
        let reason = format!(
            "its values are [{}], the answer is worth {}: {}",
            claims.join(", "),
            shown(found.value),
            found.reason
        );
        return differs(Some(found), reason);
    }
    if entry.passed != found.passed && !is_at_boundary(found) {
        let reason = format!("passed is {}, the answer is {}", entry.passed, found.reason);
        return differs(Some(found), reason);
    }
    Rescored::Agrees
}

fn differs(found: Option<&Judged>, reason: String) -> Rescored {
    let finding = Finding {
        passed: found.is_some_and(|found| found.passed),
        score: found.and_then(|found| found.value).map_or(0, tenths),
    };
    Rescored::Differs(finding, reason)
}

#[async_trait::async_trait]
impl Recheck for MotionRecheck {
    type Task = Reference;

    fn judge(&self) -> &'static str {
        JUDGE
    }

    async fn owed(&self, start: BlockNumber) -> Result<Owed, Unread> {
        self.admission.owed(start).await
    }

    async fn task(&self, bucket: &dyn Objects, envelope: &Envelope) -> Result<Reference, Unread> {
        let reference = read_reference(bucket, envelope).await?;
        self.check_draw(envelope.task_id, &reference.metadata.challenge).await?;
        Ok(reference)
    }

    async fn entry(
        &self,
        task: &Reference,
        bucket: &dyn Objects,
        entry: &VerdictEntry,
    ) -> Result<Rescored, Unread> {
        recheck_entry(&task.clip, task.metadata.task_id, bucket, entry).await
    }
}
