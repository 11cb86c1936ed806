//! Writing and signing a verdict file.

use super::{Envelope, VerdictEntry, observation};
use crate::python_json::Value;
use crate::signing::{Domain, HotkeySigner, NotSafe, SlotKind};
use crate::{BlockNumber, Digest, FileId, Network, TaskId};

/// Everything that a verdict file states, before it is signed.
#[derive(Clone, Debug)]
pub struct VerdictDraft {
    /// Chain and subnet.
    pub network: Network,
    /// The task that was sampled.
    pub task_id: TaskId,
    /// Digest of the consensus parameters in force.
    pub params: Digest,
    /// What judged, at most 128 characters.
    pub judge: String,
    /// The chain's head now. An epoch that follows too soon does not count the file.
    pub block: BlockNumber,
    /// SHA-256 of the task's `metadata.json`, where there is one.
    pub metadata_sha256: Option<Digest>,
    /// One entry for each valid miner, in any order. They are written sorted by hotkey.
    pub entries: Vec<VerdictEntry>,
}

impl VerdictDraft {
    /// The draft as it is kept on disk. [`VerdictDraft::from_kept`] gives back one with the same
    /// digest.
    pub fn to_kept(&self) -> Vec<u8> {
        let value = Value::object([
            ("task_id", self.task_id.0.into()),
            ("params", self.params.to_string().into()),
            ("judge", self.judge.as_str().into()),
            ("block", self.block.0.into()),
            (
                "metadata_sha256",
                self.metadata_sha256.map_or(Value::Null, |sha256| sha256.to_string().into()),
            ),
            ("data", Value::Array(self.entries.iter().map(VerdictEntry::to_value).collect())),
        ]);
        value.to_string().into_bytes()
    }

    /// Reads a draft that was kept; `None` if it is damaged.
    pub fn from_kept(network: Network, bytes: &[u8]) -> Option<Self> {
        let value = Value::parse(bytes).ok()?;
        let number = |key| value.get(key).and_then(Value::as_u64);
        let text = |key| value.get(key).and_then(Value::as_str);
        let entries = value.get("data")?.as_array()?.iter().map(VerdictEntry::from_value);
        Some(Self {
            network,
            task_id: TaskId(number("task_id")?),
            params: text("params")?.parse().ok()?,
            judge: text("judge")?.to_owned(),
            block: BlockNumber(number("block")?),
            metadata_sha256: match value.get("metadata_sha256") {
                None | Some(Value::Null) => None,
                Some(sha256) => Some(sha256.as_str()?.parse().ok()?),
            },
            entries: entries.collect::<Result<_, _>>().ok()?,
        })
    }
}

/// A signed verdict file. Keep exactly these bytes: signatures are randomised, so signing again
/// gives other bytes with the same digest.
#[derive(Clone, Debug)]
pub struct SignedVerdict {
    /// Task and producer.
    pub id: FileId,
    /// The file's identity, see [`Envelope::digest`].
    pub digest: Digest,
    /// The file.
    pub bytes: Vec<u8>,
}

impl HotkeySigner {
    /// Signs a verdict file twice: once as the Python tools check it, and once for the envelope.
    ///
    /// # Errors
    /// [`NotSafe`] if an entry has observations that readers refuse, if this validator already
    /// signed other verdicts for the task, or if the record of what it signed is unavailable.
    pub fn sign_verdict_file(&self, draft: VerdictDraft) -> Result<SignedVerdict, NotSafe> {
        let VerdictDraft { network, task_id, params, judge, block, metadata_sha256, mut entries } =
            draft;
        for entry in &entries {
            observation::check(&entry.observations)
                .map_err(|reason| NotSafe::Unreadable { subject: entry.hotkey, reason })?;
        }
        entries.sort_by_key(|entry| entry.hotkey);
        let data = Value::Array(entries.iter().map(VerdictEntry::to_value).collect());
        let data_sha256 = Digest::of(data.to_string().as_bytes());
        let validator = self.hotkey();
        let envelope = Envelope {
            network,
            task_id,
            validator,
            params,
            judge,
            block,
            data_sha256,
            metadata_sha256,
        };
        let digest = envelope.digest();
        let id = FileId { task_id, producer: validator };
        self.admit(SlotKind::VerdictFile, network, id, digest)?;
        let envelope_signature =
            self.sign_domain(Domain::VerdictEnvelope, envelope.payload().as_bytes());
        let file = Value::object([
            ("signature", self.sign_v1_digest(&data_sha256).to_hex().into()),
            ("data", data),
            ("envelope", envelope.to_value(&envelope_signature)),
        ]);
        Ok(SignedVerdict { id, digest, bytes: file.to_string().into_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::verdict::{AspectScores, EntryStatus};
    use crate::{Hotkey, MemoryGuard, Netuid};

    #[test]
    fn observations_that_readers_refuse_are_not_signed() {
        use crate::Nano;
        use crate::verdict::{MAX_COUNTS, MAX_POOLS, MAX_VALUES, Observation};
        let signer =
            HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()));
        let name = |text: &str| text.parse().unwrap();
        let sign = |task: u64, observations: Vec<Observation>| {
            let hotkey = Hotkey::from_bytes([7; 32]);
            let entry = VerdictEntry::unusable(hotkey, EntryStatus::Timeout, String::new(), 9);
            signer.sign_verdict_file(VerdictDraft {
                network: Network { genesis: Digest::of(b"g"), netuid: Netuid(99) },
                task_id: TaskId(task),
                params: Digest::of(b"params"),
                judge: "test".into(),
                block: BlockNumber(701),
                metadata_sha256: None,
                entries: vec![VerdictEntry { observations, ..entry }],
            })
        };
        let of = |pool: &str, values: usize, counts: usize| Observation {
            pool: name(pool),
            values: vec![Some(Nano(1)); values],
            counts: (0..counts).map(|count| (name(&format!("c{count:02}")), 1)).collect(),
        };
        let pools = |number: usize| {
            (0..number).map(|pool| of(&format!("p{pool:02}"), 1, 0)).collect::<Vec<_>>()
        };
        let most = vec![of("a", MAX_VALUES, MAX_COUNTS)];
        for (task, observations) in [pools(MAX_POOLS), most].into_iter().enumerate() {
            let signed = sign(task as u64, observations.clone()).unwrap();
            let file = Value::parse(&signed.bytes).unwrap();
            let entry = &file.get("data").unwrap().as_array().unwrap()[0];
            assert_eq!(VerdictEntry::from_value(entry).unwrap().observations, observations);
        }
        let mut twice = of("a", 1, 2);
        twice.counts[1].0 = twice.counts[0].0;
        let mut descending = of("a", 1, 2);
        descending.counts.reverse();
        for (observations, why) in [
            (pools(MAX_POOLS + 1), "16 observations"),
            (vec![of("a", 1, 0), of("a", 1, 0)], "one pool"),
            (vec![of("a", MAX_VALUES + 1, 0)], "64 values"),
            (vec![of("a", 0, MAX_COUNTS + 1)], "8 counts"),
            (vec![twice], "each once"),
            (vec![descending], "ascending"),
        ] {
            let refused = sign(9, observations).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        // A refusal takes no slot.
        assert!(sign(9, Vec::new()).is_ok());
    }

    #[test]
    fn a_kept_draft_is_signed_with_the_same_digest_and_a_damaged_one_is_none() {
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let [one, other] = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let unusable = |hotkey| {
            VerdictEntry::unusable(hotkey, EntryStatus::Timeout, "no \"answer\" in 60 s…".into(), 9)
        };
        let aspects = AspectScores { motion_quality: 835, ..AspectScores::default() };
        let scored = VerdictEntry {
            passed: true,
            status: EntryStatus::Passed,
            model_revision: Some("a".repeat(40)),
            video_sha256: Some(Digest::of(b"video")),
            score: Some(731),
            aspect_scores: Some(aspects),
            fingerprint: Some(vec![0, 255, 7]),
            ..unusable(other)
        };
        let draft = VerdictDraft {
            network,
            task_id: TaskId(7),
            params: Digest::of(b"params"),
            judge: "test".into(),
            block: BlockNumber(701),
            metadata_sha256: Some(Digest::of(b"metadata")),
            entries: vec![scored, unusable(one)],
        };
        let bytes = draft.to_kept();
        let signer =
            HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()));
        let signed = signer.sign_verdict_file(draft).unwrap();
        let kept = VerdictDraft::from_kept(network, &bytes).unwrap();
        assert_eq!(signer.sign_verdict_file(kept).unwrap().digest, signed.digest);
        assert!(VerdictDraft::from_kept(network, &bytes[..bytes.len() - 1]).is_none());
    }
}
