//! The consensus rules: from allowlists and verdicts to one winner and one weight vector.
//!
//! Everything here is a pure function: no I/O, no clock, no randomness, and no float in a decision.
//! A validator sets its weights by the same [`fn@epoch`] by which anyone recomputes them.
//!
//! | question | where |
//! |---|---|
//! | who is on the list, and since when | [`Allowlist`], [`AllowlistHistory`] |
//! | whose turn is it | [`Schedule`] |
//! | when are weights due | [`due_epoch`] |
//! | which tasks and files count | [`Certificates`], [`window`] |
//! | how good is a miner | [`fn@aggregate`], [`Rate`] |
//! | who wins | [`mod@rank`] |
//! | which weights are set | [`decision`], [`WeightVector`] |
//!
//! ```
//! use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Uid};
//! use leoma_rotation::{
//!     Allowlist, AllowlistHistory, Certificates, EpochInputs, EpochSnapshot, Miner, Readable, TaskVerdicts, Verdict,
//!     epoch,
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
//! let snapshot = EpochSnapshot { block: BlockNumber(720), miners, owner: None };
//! let (outcome, decision) = epoch(&EpochInputs {
//!     params: &params,
//!     history: &history,
//!     snapshot: &snapshot,
//!     files: &files,
//!     certificates: &Certificates::default(),
//!     evidence: &[],
//!     readable: Readable { readable: 2, listed: 2 },
//!     last_winner: None,
//! });
//! // Tasks 0 to 5 of block 720 / 100 - 2 have settled; alice passed 3 of 3, bob 2 of 3.
//! assert_eq!(outcome.window.len(), 6);
//! assert_eq!(outcome.ranks[0].rate.to_string(), "5/6");
//!
//! let winner = decision.weights().unwrap().entries[0];
//! assert_eq!((winner.hotkey, winner.uid, winner.share), (miner, Uid(7), 65535));
//! ```

mod aggregate;
mod allocation;
pub mod allowlist;
mod certificate;
pub mod decision;
mod due;
mod epoch;
mod history;
mod numbered;
mod outcome;
pub mod rank;
mod rate;
mod schedule;
mod snapshot;
mod verdicts;
pub mod window;

pub use aggregate::{Aggregates, MinerAggregate, ValidatorTally, aggregate};
pub use allocation::{WeightEntry, WeightVector};
pub use allowlist::{Allowlist, AllowlistError};
pub use certificate::{Attested, Certificates};
pub use decision::{Decision, Readable, Reason};
pub use due::due_epoch;
pub use epoch::{EpochInputs, epoch};
pub use history::{AllowlistHistory, Effective, OutOfOrder};
pub use outcome::Outcome;
pub use rank::{Ineligible, Ranked, Ranking, rank};
pub use rate::Rate;
pub use schedule::{Schedule, Turn};
pub use snapshot::{EpochSnapshot, Miner, Slot};
pub use verdicts::{TaskVerdicts, Verdict};
pub use window::{LeftOut, WindowRange};
