//! When weights are due.

use leoma_protocol::{BlockNumber, ConsensusSchedule};

/// The epoch block that weights are now due for: the newest boundary up to `head`, unless
/// `last_set` shows that it is done. A boundary that was not seen, because the node was down or a
/// block arrived late, is still due; of several such boundaries only the newest is.
#[must_use]
pub fn due_epoch(
    consensus: &ConsensusSchedule,
    head: BlockNumber,
    last_set: Option<BlockNumber>,
) -> Option<BlockNumber> {
    let boundary = consensus.epoch_block(head);
    last_set.is_none_or(|last| last < boundary).then_some(boundary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_whose_block_was_never_seen_is_still_due() {
        let consensus = ConsensusSchedule::production();
        let due = |head, last: Option<u64>| {
            due_epoch(&consensus, BlockNumber(head), last.map(BlockNumber)).map(|block| block.0)
        };
        assert_eq!(due(359, Some(180)), None);
        assert_eq!(due(360, Some(180)), Some(360));
        // Block 360 was never looked at: the reference waited for `block % 180 == 0` and skipped
        // the epoch.
        assert_eq!(due(361, Some(180)), Some(360));
        assert_eq!(due(539, Some(180)), Some(360));
        assert_eq!(due(1000, Some(180)), Some(900));
        assert_eq!(due(400, None), Some(360));
        // A head that went back, as another RPC node may report it, makes nothing due again.
        assert_eq!(due(200, Some(360)), None);
    }
}
