//! What validators tell one another by gossip. Every message is signed by a hotkey, has a size
//! limit, and is checked.
//!
//! | message | says | topic |
//! |---|---|---|
//! | [`Announcement`] | this is my verdict file of a task | `verdict` |
//! | [`Attestation`] | I fetched and verified that file | `attestation` |
//! | [`Certificate`] | more than two thirds of the allowlist did | none: assembled or fetched |
//! | [`Evidence`] | this validator signed two digests for one file | `evidence` |
//! | [`Beacon`] | I am here, I hear these validators, dial me there | `beacon` |
//! | [`MinerReport`] | I found these miners valid | `miner-report` |

mod agreement;
mod beacon;
mod context;
mod evidence;
mod miner_report;
mod topic;

pub use agreement::{Announcement, Attestation, Certificate, Tally};
pub use beacon::{Address, Beacon, BeaconDraft, Heard, MAX_BEACON_ADDRESSES};
pub use context::{
    Allowlist, Allowlists, Context, MAX_VALIDATORS, MessageError, SignatureCheck, quorum,
};
pub use evidence::{Evidence, EvidenceKey};
pub use miner_report::{MinerReport, MinerReportDraft, ReportedMiner};
#[cfg(feature = "mesh")]
pub(crate) use topic::Pace;
pub use topic::{Gossip, Topic};
