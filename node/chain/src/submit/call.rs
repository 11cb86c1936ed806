//! The transactions of validators, miners and the subnet's owner, by their names on the chain.

use std::net::IpAddr;

use leoma_protocol::{Digest, Hotkey, Netuid, Uid};
use subxt::dynamic::{self, Value};
use subxt::ext::scale_value::Composite;
use subxt::transactions::DynamicPayload;

use crate::error::SubmitError;
use crate::read::{Axon, encode_text_fields};

/// Version and protocol of an axon entry. Nothing reads them; the subnet's other tools write 4.
const AXON_VERSION: u32 = 1;
const AXON_PROTOCOL: u8 = 4;
/// Most fields of a commitment, and the longest field of kind `RawN`.
///
/// Source: pallet `Commitments`.
const MAX_FIELDS: usize = 3;
const MAX_RAW: usize = 128;

/// Weights as a call carries them, with what a reveal must repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainWeights {
    /// The slots.
    pub uids: Vec<Uid>,
    /// Their weights, in the same order.
    pub values: Vec<u16>,
    /// The subnet's weights version.
    pub version_key: u64,
}

impl ChainWeights {
    /// `(uid, weight)` each, as the chain stores them.
    pub fn pairs(&self) -> Vec<(Uid, u16)> {
        self.uids.iter().copied().zip(self.values.iter().copied()).collect()
    }

    pub(crate) fn plain_uids(&self) -> Vec<u16> {
        self.uids.iter().map(|uid| uid.0).collect()
    }
}

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Sets weights in the open.
    SetWeights(ChainWeights),
    /// Commits to the hash of weights, to be revealed by hand.
    CommitWeights {
        /// Blake2-256 of what the reveal will say.
        hash: Digest,
    },
    /// Reveals committed weights.
    RevealWeights {
        /// The weights.
        weights: ChainWeights,
        /// What was hashed with them.
        salt: Vec<u16>,
    },
    /// Commits to encrypted weights that the chain opens by itself.
    CommitTimelockedWeights {
        /// The ciphertext.
        commit: Vec<u8>,
        /// The drand round whose signature opens it.
        reveal_round: u64,
        /// The version of the scheme.
        version: u16,
    },
    /// Replaces the hotkey's commitment.
    SetCommitment {
        /// Its text.
        text: String,
    },
    /// Replaces the hotkey's commitment by a validator's witness.
    Witness {
        /// Its fields, at most 3 of at most 128 bytes.
        fields: Vec<Vec<u8>>,
    },
    /// Announces where the hotkey is reached.
    ServeAxon(Axon),
    /// Registers a hotkey; the signing coldkey pays.
    BurnedRegister {
        /// The hotkey.
        hotkey: Hotkey,
    },
}

impl Call {
    /// The call's name on the chain.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SetWeights(_) => "set_mechanism_weights",
            Self::CommitWeights { .. } => "commit_mechanism_weights",
            Self::RevealWeights { .. } => "reveal_mechanism_weights",
            Self::CommitTimelockedWeights { .. } => "commit_timelocked_mechanism_weights",
            Self::SetCommitment { .. } | Self::Witness { .. } => "set_commitment",
            Self::ServeAxon(_) => "serve_axon",
            Self::BurnedRegister { .. } => "burned_register",
        }
    }

    /// The call as the chain's metadata encodes it, by the names of pallet, call and arguments.
    /// Weights are for the mechanism that `index` names, all else for its subnet.
    ///
    /// # Errors
    /// [`SubmitError::TooLong`] for a commitment that does not fit.
    pub fn payload(&self, index: Netuid) -> Result<DynamicPayload<Composite<()>>, SubmitError> {
        let mut pallet = "SubtensorModule";
        let mut arguments = vec![("netuid", Value::from(index.subnet().0))];
        let mecid = ("mecid", Value::from(index.mecid()));
        match self {
            Self::SetWeights(weights) => arguments.extend([
                mecid,
                ("dests", numbers(weights.plain_uids())),
                ("weights", numbers(weights.values.iter().copied())),
                ("version_key", Value::from(weights.version_key)),
            ]),
            Self::CommitWeights { hash } => {
                arguments.extend([mecid, ("commit_hash", Value::from_bytes(hash.0))])
            }
            Self::RevealWeights { weights, salt } => arguments.extend([
                mecid,
                ("uids", numbers(weights.plain_uids())),
                ("values", numbers(weights.values.iter().copied())),
                ("salt", numbers(salt.iter().copied())),
                ("version_key", Value::from(weights.version_key)),
            ]),
            Self::CommitTimelockedWeights { commit, reveal_round, version } => arguments.extend([
                mecid,
                ("commit", Value::from_bytes(commit)),
                ("reveal_round", Value::from(*reveal_round)),
                ("commit_reveal_version", Value::from(*version)),
            ]),
            Self::SetCommitment { text } => {
                pallet = "Commitments";
                arguments.push((
                    "info",
                    encode_text_fields(text).ok_or(SubmitError::TooLong { length: text.len() })?,
                ));
            }
            Self::Witness { fields } => {
                pallet = "Commitments";
                arguments.push(("info", raw_fields(fields)?));
            }
            Self::ServeAxon(axon) => {
                let (ip, ip_type) = match axon.ip {
                    IpAddr::V4(ip) => (u128::from(u32::from(ip)), 4_u8),
                    IpAddr::V6(ip) => (u128::from(ip), 6),
                };
                arguments.extend([
                    ("version", Value::from(AXON_VERSION)),
                    ("ip", Value::from(ip)),
                    ("port", Value::from(axon.port)),
                    ("ip_type", Value::from(ip_type)),
                    ("protocol", Value::from(AXON_PROTOCOL)),
                    ("placeholder1", Value::from(0_u8)),
                    ("placeholder2", Value::from(0_u8)),
                ]);
            }
            Self::BurnedRegister { hotkey } => {
                arguments.push(("hotkey", Value::from_bytes(hotkey.as_bytes())))
            }
        }
        Ok(dynamic::tx(pallet, self.name(), Composite::named(arguments)))
    }
}

/// A `CommitmentInfo` of `RawN` fields.
fn raw_fields(fields: &[Vec<u8>]) -> Result<Value, SubmitError> {
    let fits = fields.len() <= MAX_FIELDS && fields.iter().all(|field| field.len() <= MAX_RAW);
    if !fits {
        return Err(SubmitError::TooLong { length: fields.iter().map(Vec::len).sum() });
    }
    let field = |bytes: &Vec<u8>| {
        Value::unnamed_variant(format!("Raw{}", bytes.len()), [Value::from_bytes(bytes)])
    };
    let fields = Value::unnamed_composite(fields.iter().map(field));
    Ok(Value::named_composite([("fields", fields)]))
}

fn numbers(numbers: impl IntoIterator<Item = u16>) -> Value {
    Value::unnamed_composite(numbers.into_iter().map(Value::from))
}
