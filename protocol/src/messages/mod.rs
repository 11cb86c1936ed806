//! What validators tell one another by gossip. Every message is signed by a hotkey, has a size
//! limit, and is checked.
//!
//! | message | says | topic |
//! |---|---|---|
//! | [`Announcement`] | this is my verdict file of a task | `verdict` |
//! | [`Attestation`] | I fetched and verified that file | `attestation` |
//! | [`Certificate`] | a quorum of the allowlist did | none: assembled or fetched |
//! | [`Dispute`] | I fetched that file and do not attest to it, for this reason | `dispute` |
//! | [`Evidence`] | this validator signed two digests for one file | `evidence` |
//! | [`Beacon`] | I am here, I hear these validators, dial me there | `beacon` |
//! | [`MinerReport`] | I found these miners valid | `miner-report` |

mod agreement;
mod allowlists;
mod beacon;
mod context;
mod dispute;
mod evidence;
mod miner_report;
mod topic;

pub use agreement::{Announcement, Attestation, Certificate, Tally};
pub use allowlists::{Allowlist, Allowlists, ListDigest, MAX_ALLOWLISTS, MAX_VALIDATORS, TaskList};
pub use beacon::{Address, Beacon, BeaconDraft, Heard, HeardMap, MAX_BEACON_ADDRESSES};
pub use context::{Context, MessageError, SignatureCheck};
pub use dispute::{Dispute, DisputeDraft, DisputeKey, DisputeReason, Finding};
pub use evidence::{Evidence, EvidenceKey, FileStatement};
pub use miner_report::{MinerReport, MinerReportDraft, MinerTally, ReportedMiner, tally};
#[cfg(feature = "mesh")]
pub(crate) use topic::Pace;
pub use topic::{Gossip, MAX_TOPIC_VERSIONS, TOPIC_VERSIONS, Topic};
