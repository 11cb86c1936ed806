//! The consensus rules: from allowlists and verdicts to one winner and one weight vector.
//!
//! Everything here is a pure function: no I/O, no clock, no randomness, and no float in a decision.
//! A validator sets its weights by the same [`consensus`] with which anyone recomputes them.
//!
//! | question | where |
//! |---|---|
//! | who is on the list, and since when | [`Allowlist`], [`AllowlistHistory`] |
//! | whose turn is it | [`Schedule`] |
//! | when are weights due | [`due_epoch`] |
//! | which files count | [`Certificates`], [`window`] |
//! | how good is a miner | [`fn@aggregate`], [`Rate`] |
//! | who wins, and what is set | [`mod@rank`], [`decision`] |
//!
//! ```
//! use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Uid};
//! use leoma_rotation::decision::{EpochView, Readable, decide_weights};
//! use leoma_rotation::{
//!     Allowlist, AllowlistHistory, Certificates, ConsensusInput, EpochSnapshot, Miner, TaskVerdicts, Verdict, consensus,
//! };
//!
//! let [alice, bob, miner] = [1, 2, 3].map(|seed| Hotkey::from_bytes([seed; 32]));
//! let params = ConsensusParams::default();
//! let history = AllowlistHistory::since_genesis(Allowlist::new(100, [alice, bob]).unwrap());
//!
//! // Each task's primary judged the miner once; these stand for verified files.
//! let files: Vec<TaskVerdicts> = (0..6)
//!     .map(|task| {
//!         let task_id = task.into();
//!         let producer = history.schedule_of(task_id, &params).unwrap().primary(task_id).unwrap();
//!         let verdicts = vec![Verdict { miner, passed: task != 3 }];
//!         TaskVerdicts::new(FileId { task_id, producer }, Digest::of(b"the file"), verdicts)
//!     })
//!     .collect();
//!
//! let miners = vec![Miner { hotkey: miner, uid: Uid(7), commit_block: Some(BlockNumber(50)) }];
//! let snapshot = EpochSnapshot { block: BlockNumber(720), miners };
//! let outcome = consensus(&ConsensusInput {
//!     params: &params,
//!     history: &history,
//!     snapshot: &snapshot,
//!     files: &files,
//!     certificates: &Certificates::default(),
//!     evidence: &[],
//! });
//! // Tasks 0 to 5 of block 720 / 100 - 2 have settled; alice passed 3 of 3, bob 2 of 3.
//! assert_eq!(outcome.window.len(), 6);
//! assert_eq!(outcome.ranks[0].rate.to_string(), "5/6");
//!
//! let view = EpochView::Read { snapshot: &snapshot, outcome: &outcome, files: Readable { readable: 2, listed: 2 } };
//! let decision = decide_weights(&params, &view, None, Uid(0));
//! assert_eq!(decision.target().unwrap().weights(), (vec![7], vec![65535]));
//! ```

pub mod aggregate;
pub mod allowlist;
pub mod certificate;
pub mod decision;
mod due;
mod epoch;
mod history;
mod numbered;
pub mod policy;
pub mod rank;
mod rate;
mod schedule;
mod verdicts;
pub mod window;

pub use aggregate::{Aggregates, MinerAggregate, ValidatorTally, aggregate};
pub use allowlist::{Allowlist, AllowlistError};
pub use certificate::{Attested, Certificates};
pub use decision::{Decision, decide_weights};
pub use due::due_epoch;
pub use epoch::{ConsensusInput, EpochSnapshot, Miner, Outcome, Winner, consensus};
pub use history::{AllowlistHistory, Effective, OutOfOrder};
pub use policy::Policy;
pub use rank::{Ineligible, Ranked, Ranking, rank};
pub use rate::Rate;
pub use schedule::{Schedule, Turn};
pub use verdicts::{TaskVerdicts, Verdict};
pub use window::LeftOut;
