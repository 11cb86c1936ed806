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
//! | which files are certified | [`Certificates`] |
//! | what to state on chain about what we hold | [`own_witness`], [`witness_span`] |
//! | which tasks and files count | [`fn@counted`], [`window`] |
//! | how good is a miner | [`fn@aggregate`], [`Rate`] |
//! | who wins | [`mod@rank`] |
//! | which weights are set | [`decision`], [`WeightVector`] |
//! | what a policy record sets | [`PolicyRecord`], [`policy_outcome`], [`record_epoch`] |
//!
//! ```
//! use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Uid};
//! use leoma_rotation::{
//!     Allowlist, AllowlistHistory, EpochInputs, EpochSnapshot, Miner, TaskVerdicts, Verdict,
//!     WitnessCommitment, counted, epoch, own_witness,
//! };
//!
//! let [alice, bob, miner] = [1, 2, 3].map(|seed| Hotkey::from_bytes([seed; 32]));
//! let params = ConsensusParams::default();
//! let history = AllowlistHistory::since_genesis(Allowlist::new(100, [alice, bob]).unwrap());
//!
//! // Each task's primary judged the miner once, and both validators attested to the file.
//! let files: Vec<TaskVerdicts> = (0..6)
//!     .map(|task| {
//!         let task_id = task.into();
//!         let producer = history.schedule_of(task_id, &params).unwrap().primary(task_id).unwrap();
//!         let verdicts = vec![Verdict { miner, passed: task != 3 }];
//!         TaskVerdicts::new(FileId { task_id, producer }, Digest::of(b"the file"), verdicts)
//!     })
//!     .collect();
//! let certificates = files.iter().map(|file| (file.id, file.digest)).collect();
//!
//! // Shortly before the epoch both say on chain what they hold.
//! let block = BlockNumber(720);
//! let held = |id: &FileId| files.iter().any(|file| file.id == *id);
//! let witness = own_witness(&params, &history, block, held);
//! let committed = WitnessCommitment { committed_at: BlockNumber(710), witness };
//! let snapshot = EpochSnapshot {
//!     block,
//!     miners: vec![Miner { hotkey: miner, uid: Uid(7), commit_block: Some(BlockNumber(50)) }],
//!     owner: None,
//!     witnesses: [(alice, committed.clone()), (bob, committed)].into(),
//! };
//!
//! // Tasks 0 to 5 of block 720 / 100 - 2 have settled; alice passed 3 of 3, bob 2 of 3.
//! assert_eq!(counted(&params, &history, &snapshot).unwrap().files.len(), 6);
//! let (outcome, decision) = epoch(&EpochInputs {
//!     params: &params,
//!     history: &history,
//!     snapshot: &snapshot,
//!     files: &files,
//!     certificates: &certificates,
//! });
//! assert_eq!(outcome.ranks[0].rate.to_string(), "5/6");
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
mod fold;
mod history;
mod limits;
mod numbered;
mod observed;
mod outcome;
mod policy;
pub mod rank;
mod rate;
pub mod record;
mod record_epoch;
mod schedule;
mod score;
mod shares;
mod snapshot;
mod verdicts;
pub mod window;
mod witness;

pub use aggregate::{Aggregates, MinerAggregate, ValidatorTally, aggregate};
pub use allocation::{WeightEntry, WeightVector};
pub use allowlist::{Allowlist, AllowlistError};
pub use certificate::{Attested, Certificates};
pub use decision::{Decision, Reason};
pub use due::due_epoch;
pub use epoch::{EpochInputs, epoch, uncertified_epoch};
pub use history::{AllowlistHistory, Effective, OutOfOrder};
pub use limits::ChainLimits;
pub use observed::{MinerObservations, TaskObservations};
pub use outcome::Outcome;
pub use policy::{PolicyOutcome, PoolOutcome, Unallocated, policy_outcome, truths};
pub use rank::{Ineligible, Ranked, Ranking, rank};
pub use rate::Rate;
pub use record::{PolicyError, PolicyRecord};
pub use record_epoch::{RecordEpoch, record_epoch, uncertified_record_epoch};
pub use schedule::{Schedule, Turn};
pub use score::Score;
pub use snapshot::{EpochSnapshot, Miner, Slot, WitnessCommitment};
pub use verdicts::{TaskVerdicts, Verdict};
pub use window::{Counted, LeftOut, WindowRange, counted};
pub use witness::{attestation_deadline, own_witness, witness_span};
