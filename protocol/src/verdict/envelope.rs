//! What binds a verdict file's data to one task, one validator, one network and one set of
//! parameters.

use crate::codec::{Decode, Encode};
use crate::python_json::Value;
use crate::signing::{Claim, Domain};
use crate::{BlockNumber, Digest, FileId, Hotkey, Netuid, Network, Signature, TaskId};

/// The envelope's format. A reader refuses a format that it does not know.
const ENVELOPE_SCHEMA: &str = "leoma.verdict/2";
/// Longest judge id.
const MAX_JUDGE_CHARS: usize = 128;

/// The envelope of a verdict file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// Chain and subnet.
    pub network: Network,
    /// The task that was sampled.
    pub task_id: TaskId,
    /// The validator that sampled and signed.
    pub validator: Hotkey,
    /// Digest of the [`crate::ConsensusParams`] in force.
    pub params: Digest,
    /// What judged: metric version, policy digest, model.
    pub judge: String,
    /// The chain's head when the file was signed.
    pub block: BlockNumber,
    /// SHA-256 of the data's canonical JSON.
    pub data_sha256: Digest,
    /// SHA-256 of the task's `metadata.json`, which holds what the verdicts follow from. `None` in
    /// files from before it was signed; their digests stay what they were.
    pub metadata_sha256: Option<Digest>,
}

/// An envelope with its signature, which proves what the producer stated without the file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedEnvelope {
    /// The envelope.
    pub envelope: Envelope,
    /// The producer's signature over it.
    pub signature: Signature,
}

impl SignedEnvelope {
    /// Task and producer.
    pub const fn file(&self) -> FileId {
        FileId { task_id: self.envelope.task_id, producer: self.envelope.validator }
    }

    /// The signature, to be checked with others.
    pub(crate) fn claim(&self) -> Claim {
        Claim {
            domain: Domain::VerdictEnvelope,
            payload: self.envelope.payload().into_bytes(),
            signature: self.signature,
            hotkey: self.envelope.validator,
        }
    }
}

impl Envelope {
    /// The file's identity: equal for two files exactly if they state the same, whatever their
    /// spacing and the random part of their signatures.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(&[b"leoma:verdict-digest:2\0", self.payload().as_bytes()])
    }

    /// What the envelope's signature covers: its canonical JSON without the signature.
    pub(super) fn payload(&self) -> String {
        Value::object(self.members()).to_string()
    }

    pub(super) fn is_signed(&self, signature: &Signature) -> bool {
        Domain::VerdictEnvelope.verify(self.payload().as_bytes(), signature, &self.validator)
    }

    fn members(&self) -> Vec<(&'static str, Value)> {
        let mut members = vec![
            ("schema", ENVELOPE_SCHEMA.into()),
            ("genesis", self.network.genesis.to_string().into()),
            ("netuid", u64::from(self.network.netuid.0).into()),
            ("task_id", self.task_id.0.into()),
            ("validator", self.validator.to_string().into()),
            ("params", self.params.to_string().into()),
            ("judge", self.judge.as_str().into()),
            ("block", self.block.0.into()),
            ("data_sha256", self.data_sha256.to_string().into()),
        ];
        members.extend(
            self.metadata_sha256.map(|sha256| ("metadata_sha256", sha256.to_string().into())),
        );
        members
    }

    pub(super) fn to_value(&self, signature: &Signature) -> Value {
        let mut members = self.members();
        members.push(("signature", signature.to_hex().into()));
        Value::object(members)
    }

    pub(super) fn from_value(value: &Value) -> Result<(Self, Signature), &'static str> {
        let members = value.as_object().ok_or("not an object")?;
        let text = |key| value.get(key).and_then(Value::as_str);
        let number = |key| value.get(key).and_then(Value::as_u64);
        let digest = |key| text(key).and_then(|text| text.parse::<Digest>().ok());
        if text("schema") != Some(ENVELOPE_SCHEMA) {
            return Err("`schema` is not leoma.verdict/2");
        }
        let netuid = number("netuid")
            .and_then(|number| u16::try_from(number).ok())
            .ok_or("`netuid` is not a subnet number")?;
        let envelope = Self {
            network: Network {
                genesis: digest("genesis").ok_or("`genesis` is not a hash")?,
                netuid: Netuid(netuid),
            },
            task_id: TaskId(number("task_id").ok_or("`task_id` is not a task number")?),
            validator: text("validator")
                .and_then(|text| text.parse().ok())
                .ok_or("`validator` is not an SS58 address")?,
            params: digest("params").ok_or("`params` is not a digest")?,
            judge: text("judge")
                .filter(|judge| judge.chars().count() <= MAX_JUDGE_CHARS)
                .ok_or("`judge` is not a text of at most 128 characters")?
                .to_owned(),
            block: BlockNumber(number("block").ok_or("`block` is not a block number")?),
            data_sha256: digest("data_sha256").ok_or("`data_sha256` is not a digest")?,
            metadata_sha256: match value.get("metadata_sha256") {
                None => None,
                Some(_) => {
                    Some(digest("metadata_sha256").ok_or("`metadata_sha256` is not a digest")?)
                }
            },
        };
        let signature = text("signature")
            .and_then(Signature::from_hex)
            .ok_or("`signature` is not 64 bytes in hexadecimal")?;
        // A member that the signature does not cover could hide something that looks signed.
        if members.len() != envelope.members().len() + 1 {
            return Err("has members that its schema does not know");
        }
        Ok((envelope, signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(metadata_sha256: Option<Digest>) -> Envelope {
        Envelope {
            network: Network { genesis: Digest([1; 32]), netuid: Netuid(99) },
            task_id: TaskId(7),
            validator: Hotkey::from_bytes([2; 32]),
            params: Digest([3; 32]),
            judge: "judge".into(),
            block: BlockNumber(701),
            data_sha256: Digest([4; 32]),
            metadata_sha256,
        }
    }

    #[test]
    fn a_file_without_signed_metadata_has_the_digest_that_it_had() {
        let without = envelope(None);
        let members: Vec<&str> = without.members().iter().map(|(name, _)| *name).collect();
        assert_eq!(
            members,
            [
                "schema",
                "genesis",
                "netuid",
                "task_id",
                "validator",
                "params",
                "judge",
                "block",
                "data_sha256"
            ]
        );
        let with = envelope(Some(Digest([5; 32])));
        assert!(with.payload().contains(&Digest([5; 32]).to_string()));
        assert_ne!(with.digest(), without.digest());
    }

    #[test]
    fn signed_metadata_is_read_back_and_must_be_a_digest() {
        let signature = Signature([6; 64]);
        for metadata_sha256 in [None, Some(Digest([5; 32]))] {
            let written = envelope(metadata_sha256).to_value(&signature);
            let (read, _) = Envelope::from_value(&written).unwrap();
            assert_eq!(read, envelope(metadata_sha256));
        }
        let written = envelope(Some(Digest([5; 32]))).to_value(&signature).to_string();
        let broken = written.replace(&Digest([5; 32]).to_string(), "no digest");
        let broken = Value::parse(broken.as_bytes()).unwrap();
        assert_eq!(Envelope::from_value(&broken).unwrap_err(), "`metadata_sha256` is not a digest");
    }
}
