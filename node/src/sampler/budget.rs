//! How many blocks a turn has.
//!
//! Peers attest to a task's file only until two intervals after its start, less two margins. So the
//! file has to be signed before, and asking has to end before that.

use leoma_protocol::BlockNumber;

/// Share of the interval that is kept for what follows the last answer, and again for peers to
/// fetch and check the file.
const RESERVE_SHARE: u64 = 16;

/// The last blocks of a turn's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Until here miners are asked.
    pub(crate) ask_until: BlockNumber,
    /// Until here the file is signed; later nobody would attest to it.
    pub(crate) sign_until: BlockNumber,
}

impl Budget {
    /// The budget of a task to which peers attest until `deadline`, with `interval` blocks for each
    /// task.
    pub(crate) fn of(deadline: BlockNumber, interval: u64) -> Self {
        let reserve = (interval / RESERVE_SHARE).max(1);
        let before = |blocks: u64| BlockNumber(deadline.0.saturating_sub(blocks));
        Self { ask_until: before(2 * reserve), sign_until: before(reserve) }
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{ConsensusParams, TaskId};

    use super::*;

    #[test]
    fn a_file_is_signed_while_peers_still_attest() {
        let params = ConsensusParams::default();
        let of = |interval, task| {
            Budget::of(params.attestation_deadline(interval, TaskId(task)), interval)
        };
        let budget = of(100, 7);
        assert_eq!(budget.ask_until, BlockNumber(700 + 176 - 12));
        assert_eq!(budget.sign_until, BlockNumber(700 + 176 - 6));
        for interval in 32..400 {
            let Budget { ask_until, sign_until } = of(interval, 9);
            assert!(ask_until < sign_until && sign_until.0 < 11 * interval, "{interval}");
            assert!(ask_until.0 >= 10 * interval, "{interval}: the task's own interval is whole");
        }
    }
}
