//! Which miners are valid: their commitment, their model's hash and their endpoint are checked
//! periodically.
//!
//! A faulty miner does not stop the check of the others. A service that is down makes no miner
//! invalid: its last known state stands for a while.
//!
//! | file | subject |
//! |---|---|
//! | `blacklist.rs` | miners that this operator does not ask |
//! | `whose_fault.rs` | whose fault it is that there is no answer |
//! | `chutes.rs` | the Chutes API, and the request for a video |
//! | `hugging_face.rs` | the model API |
//! | `lookups.rs` | one miner after the other |
//! | `table.rs` | all of them together |
//! | `validation.rs` | again and again |

mod blacklist;
mod chutes;
mod hugging_face;
mod lookups;
mod table;
mod validation;
pub(crate) mod whose_fault;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use leoma_protocol::{BlockNumber, Hotkey, Uid};
use serde::Serialize;

pub(crate) use blacklist::Blacklist;
pub(crate) use chutes::{Chute, ChutesClient, GenerateRequest, Replied};
pub(crate) use hugging_face::HuggingFaceClient;
pub(crate) use validation::MinerValidator;

/// What is known about one miner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MinerState {
    /// Its slot when it was checked.
    pub uid: Uid,
    /// The block of its newest commitment, or of its axon's announcement where miners need none.
    pub commit_block: BlockNumber,
    /// Whether it may be sampled.
    pub validity: Validity,
}

/// Whether a miner may be sampled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Validity {
    /// It may be sampled.
    Valid {
        /// Name of its endpoint.
        slug: String,
        /// The revision it committed and serves.
        model_revision: String,
        /// SHA-256 over its weight files' hashes.
        model_hash: String,
    },
    /// It may be sampled by requests to its axon, which the chain names.
    Served {
        /// The axon's address.
        address: SocketAddr,
    },
    /// It may not be sampled.
    Invalid {
        /// The reason, as other tools know it.
        reason: String,
    },
    /// Unknown: a service could not be asked, and there is no earlier result.
    Unknown {
        /// What failed.
        reason: String,
    },
}

/// The results of one check of all miners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MinerTable {
    /// The block the subnet was read at.
    pub block: BlockNumber,
    /// Each hotkey with a commitment, or with an axon where miners are asked through those.
    pub miners: BTreeMap<Hotkey, MinerState>,
}

impl MinerTable {
    /// The miners that may be sampled, in whatever way, sorted.
    pub(crate) fn admitted(&self) -> impl Iterator<Item = Hotkey> {
        let is_admitted = |miner: &MinerState| {
            matches!(miner.validity, Validity::Valid { .. } | Validity::Served { .. })
        };
        self.miners.iter().filter(move |(_, miner)| is_admitted(miner)).map(|(hotkey, _)| *hotkey)
    }

    /// The miners whose axons may be asked, sorted by hotkey.
    pub(crate) fn served(&self) -> impl Iterator<Item = (Hotkey, SocketAddr)> {
        self.miners.iter().filter_map(|(hotkey, miner)| match miner.validity {
            Validity::Served { address } => Some((*hotkey, address)),
            _ => None,
        })
    }

    /// The miners whose models may be sampled, sorted by hotkey: hotkey, endpoint, revision.
    pub(crate) fn valid(&self) -> impl Iterator<Item = (Hotkey, &str, &str)> {
        self.miners.iter().filter_map(|(hotkey, miner)| match &miner.validity {
            Validity::Valid { slug, model_revision, .. } => {
                Some((*hotkey, slug.as_str(), model_revision.as_str()))
            }
            _ => None,
        })
    }
}
