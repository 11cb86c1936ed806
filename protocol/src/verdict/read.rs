//! Reading an untrusted verdict file.

use std::collections::HashSet;

use super::{Envelope, MAX_ENTRIES, MAX_FILE_BYTES, SignedEnvelope, VerdictEntry};
use crate::python_json::{JsonError, Value};
use crate::{Digest, FileId, Netuid, Network, Signature, TaskId};

/// What a file must state to count. The place where it was found decides this, never the file
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The task and the producer whose file was asked for.
    pub id: FileId,
    /// Our chain and subnet.
    pub network: Network,
    /// Digest of our consensus parameters.
    pub params: Digest,
    /// Whether a file without an envelope counts.
    pub accept_v1: bool,
}

/// A file whose signatures and binding were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedVerdict {
    /// Task and producer.
    pub id: FileId,
    /// The file's identity.
    pub digest: Digest,
    /// `None` in a file of the Python implementation.
    pub envelope: Option<SignedEnvelope>,
    /// At most one entry for each miner.
    pub entries: Vec<VerdictEntry>,
}

/// Why a verdict file does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than a verdict file can be.
    #[error("the file has {bytes} bytes, more than {MAX_FILE_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not JSON.
    #[error(transparent)]
    NotJson(#[from] JsonError),
    /// It is JSON of another shape.
    #[error("not a verdict file: {0}")]
    Shape(&'static str),
    /// It has no signature over the data.
    #[error("unsigned: no `signature` of 64 bytes in hexadecimal")]
    Unsigned,
    /// The producer did not sign the data.
    #[error("the signature over the data is not {expected}'s: tampered with, or signed by another")]
    BadSignature {
        /// Who should have signed.
        expected: crate::Hotkey,
    },
    /// It has no envelope, and such files do not count here.
    #[error("no envelope: the file is not bound to a task (written by the Python implementation?)")]
    NoEnvelope,
    /// The envelope has another shape.
    #[error("the envelope {0}")]
    EnvelopeShape(&'static str),
    /// The producer did not sign the envelope.
    #[error("the envelope's signature is not {expected}'s")]
    BadEnvelopeSignature {
        /// Who should have signed.
        expected: crate::Hotkey,
    },
    /// The envelope is for another chain or subnet.
    #[error("bound to subnet {netuid} of chain {}, not to ours", genesis.short())]
    WrongNetwork {
        /// Its chain.
        genesis: Digest,
        /// Its subnet.
        netuid: Netuid,
    },
    /// The envelope is for another task.
    #[error("bound to task {found}, not to task {expected}")]
    WrongTask {
        /// Its task.
        found: TaskId,
        /// The task it was found under.
        expected: TaskId,
    },
    /// The envelope is for another validator.
    #[error("bound to validator {found}, not to {expected}")]
    WrongValidator {
        /// Its validator.
        found: crate::Hotkey,
        /// The validator it was found under.
        expected: crate::Hotkey,
    },
    /// The envelope was made under other consensus parameters.
    #[error("made under consensus parameters {}, ours are {}", found.short(), expected.short())]
    WrongParams {
        /// Its parameters' digest.
        found: Digest,
        /// Ours.
        expected: Digest,
    },
    /// The envelope is for other data.
    #[error("the envelope is for other data")]
    WrongData,
    /// An entry cannot be counted.
    #[error("entry {index}: {reason}")]
    Entry {
        /// Its index in the data.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Checks an untrusted file against the place where it was found.
///
/// # Errors
/// The first [`Refusal`] that applies. A refused file does not count.
pub fn verify(bytes: &[u8], expected: &Expected) -> Result<VerifiedVerdict, Refusal> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Refusal::TooLarge { bytes: bytes.len() });
    }
    let file = Value::parse(bytes)?;
    let members = file.as_object().ok_or(Refusal::Shape("not an object"))?;
    let data = file.get("data").ok_or(Refusal::Shape("no `data`"))?;
    let elements = data.as_array().ok_or(Refusal::Shape("`data` is not an array"))?;
    if elements.len() > MAX_ENTRIES {
        return Err(Refusal::Shape("more than 1024 entries"));
    }
    let signature = file
        .get("signature")
        .and_then(Value::as_str)
        .and_then(Signature::from_hex)
        .ok_or(Refusal::Unsigned)?;
    let envelope = match file.get("envelope") {
        None | Some(Value::Null) if expected.accept_v1 => None,
        None | Some(Value::Null) => return Err(Refusal::NoEnvelope),
        Some(_) if members.len() != 3 => {
            return Err(Refusal::Shape("members besides signature, data and envelope"));
        }
        Some(value) => Some(Envelope::from_value(value).map_err(Refusal::EnvelopeShape)?),
    };
    let canonical = data.to_string();
    let data_sha256 = Digest::of(canonical.as_bytes());
    if !signature.verifies(&data_sha256.0, &expected.id.producer) {
        return Err(Refusal::BadSignature { expected: expected.id.producer });
    }
    let digest = match &envelope {
        Some((envelope, signature)) => {
            check_binding(envelope, signature, data_sha256, expected)?;
            envelope.digest()
        }
        None => Digest::of_parts(&[b"leoma:verdict-digest:1\0", &data_sha256.0]),
    };
    let entries = read_entries(elements)?;
    Ok(VerifiedVerdict {
        id: expected.id,
        digest,
        envelope: envelope.map(|(envelope, signature)| SignedEnvelope { envelope, signature }),
        entries,
    })
}

fn check_binding(
    envelope: &Envelope,
    signature: &Signature,
    data_sha256: Digest,
    expected: &Expected,
) -> Result<(), Refusal> {
    let Envelope { network, task_id, validator, params, .. } = *envelope;
    if validator != expected.id.producer {
        return Err(Refusal::WrongValidator { found: validator, expected: expected.id.producer });
    }
    if !envelope.is_signed(signature) {
        return Err(Refusal::BadEnvelopeSignature { expected: validator });
    }
    if network != expected.network {
        return Err(Refusal::WrongNetwork { genesis: network.genesis, netuid: network.netuid });
    }
    if task_id != expected.id.task_id {
        return Err(Refusal::WrongTask { found: task_id, expected: expected.id.task_id });
    }
    if params != expected.params {
        return Err(Refusal::WrongParams { found: params, expected: expected.params });
    }
    if envelope.data_sha256 != data_sha256 {
        return Err(Refusal::WrongData);
    }
    Ok(())
}

fn read_entries(elements: &[Value]) -> Result<Vec<VerdictEntry>, Refusal> {
    let mut seen = HashSet::with_capacity(elements.len());
    let mut entries = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let entry =
            VerdictEntry::from_value(element).map_err(|reason| Refusal::Entry { index, reason })?;
        if !seen.insert(entry.hotkey) {
            return Err(Refusal::Entry { index, reason: "a second entry for the same miner" });
        }
        entries.push(entry);
    }
    Ok(entries)
}
