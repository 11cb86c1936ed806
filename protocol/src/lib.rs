//! What Leoma validators tell one another, and how it is signed.
//!
//! Identities ([`Hotkey`], [`Digest`], [`TaskId`]), the shared [`ConsensusParams`] by block
//! ([`ConsensusSchedule`]), signed verdict files ([`verdict`]), witnesses on chain ([`Witness`]),
//! JSON exactly as Python writes it ([`python_json`]), miner commitments, signed HTTP requests, the
//! requests of Bittensor's SDK ([`synapse`]), limits by address for whoever listens
//! ([`AddressLimit`]), prices as feeds and miners write them ([`market`]), and, with feature `mesh`,
//! the peer-to-peer mesh.
//!
//! ```
//! use std::sync::Arc;
//! use leoma_protocol::verdict::{self, Expected, VerdictDraft};
//! use leoma_protocol::{
//!     BlockNumber, ConsensusParams, Digest, HotkeySigner, MemoryGuard, Netuid, Network, TaskId,
//! };
//! use sp_core::{Pair, sr25519};
//!
//! let pair = sr25519::Pair::from_seed(&[1; 32]);
//! let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
//! let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
//! let params = ConsensusParams::default().digest();
//! let draft = VerdictDraft {
//!     network,
//!     task_id: TaskId(7),
//!     params,
//!     judge: "none".into(),
//!     block: BlockNumber(700),
//!     metadata_sha256: None,
//!     entries: vec![],
//! };
//! let file = signer.sign_verdict_file(draft).unwrap();
//! let expected = Expected { id: file.id, network, params, accept_v1: false };
//! assert_eq!(verdict::verify(&file.bytes, &expected).unwrap().digest, file.digest);
//! ```

mod address_limit;
mod allowlist_record;
pub mod codec;
mod commitment;
mod consensus_schedule;
mod grant;
pub mod hello;
mod hotkey;
mod ids;
pub mod market;
#[cfg(feature = "mesh")]
pub mod mesh;
pub mod messages;
mod nano;
mod params;
pub mod python_json;
mod quorum;
pub mod request;
mod signing;
pub mod synapse;
pub mod turns;
pub mod verdict;
mod witness;

pub use address_limit::{AddressLimit, AddressPermit, network_of};
pub use allowlist_record::{
    AllowlistRecord, MAX_PAST_ALLOWLISTS, MAX_RECORD_BYTES, PastAllowlist, RecordError,
    read_allowlist_record,
};
pub use commitment::{CommitmentError, MinerCommitment, check_commit_count};
pub use consensus_schedule::{ConsensusSchedule, ScheduleError};
pub use grant::{GrantBytes, MAX_GRANT_BYTES};
pub use hotkey::{Hotkey, HotkeyError, SS58_PREFIX};
pub use ids::{BlockNumber, Digest, DigestError, Netuid, TaskId, Uid};
pub use nano::Nano;
pub use params::{ConsensusParams, FileId, Fraction, Network};
pub use quorum::{faulty, quorum};
pub use signing::{
    HotkeySigner, MemoryGuard, NotAnExtrinsic, NotSafe, Safe, Signature, SigningGuard, SigningSlot,
    SlotKind,
};
pub use witness::{Witness, WitnessError};
