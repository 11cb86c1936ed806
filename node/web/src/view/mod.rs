//! What pages and answers are computed from.
//!
//! | file | subject |
//! |---|---|
//! | `snapshot.rs` | what the validator knows at one moment, as plain data |
//! | `index.rs` | [`View`]: a snapshot with its tallies and look-ups |
//! | `alarms.rs` | what an operator should look at, with the next step |

mod alarms;
mod index;
mod snapshot;

pub(crate) use alarms::HEAD_TOO_OLD_SECONDS;
pub use alarms::{Alarm, alarms};
pub use index::{Found, MinerTallies, Tally, View};
pub use snapshot::{
    Entry, Epoch, FileName, GossipedReport, HeldTo, HotkeyText, Link, Measure, Miner, Needed,
    OwnFaults, Rank, Snapshot, TaskFile, TaskRecord, Turn, Validator, Validity, Verdict,
    WeightsOnChain, Witnessed,
};
