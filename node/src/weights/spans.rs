//! When witnesses are due, and how long other transactions may live so that none is in their way.

use std::ops::Range;
use std::sync::Arc;

use leoma_protocol::{BlockNumber, ConsensusSchedule};
use leoma_rotation::{AllowlistHistory, witness_span};
use tokio::sync::watch;

/// Blocks for which a transaction of weights stays valid: enough to be included, and less than a
/// rate limit.
const USUAL_LIFE: u64 = 32;

/// The blocks before each boundary in which witnesses count.
#[derive(Clone, Debug)]
pub struct Spans {
    /// The consensus constants by block.
    pub consensus: Arc<ConsensusSchedule>,
    /// The allowlists as they are followed.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
}

impl Spans {
    /// The epoch that a witness made at `head` would speak of, if it would be included in that
    /// epoch's span: it comes into a later block.
    pub(super) fn due(&self, head: BlockNumber) -> Option<BlockNumber> {
        let epoch_block = self.next_epoch(head);
        let span = self.of(epoch_block)?;
        // Long tasks have long spans, in which another mechanism's boundary may lie.
        let undisturbed = self.consensus.at(epoch_block).undisturbed_blocks();
        let first = span.start.max(BlockNumber(epoch_block.0.saturating_sub(undisturbed)));
        (first..span.end).contains(&BlockNumber(head.0.saturating_add(1))).then_some(epoch_block)
    }

    /// The span of an epoch; `None` before the first allowlist.
    pub(super) fn of(&self, epoch_block: BlockNumber) -> Option<Range<BlockNumber>> {
        let history = Arc::clone(&self.allowlists.borrow());
        witness_span(self.consensus.at(epoch_block), &history, epoch_block)
    }

    /// Blocks that a transaction of weights made at `head` may live. One whose fate is unknown
    /// holds up the next one until its life ends, so it ends before the next span begins. Within a
    /// span it is as short as the chain allows.
    pub(super) fn life(&self, head: BlockNumber) -> u64 {
        let span = self.of(self.next_epoch(head));
        span.map_or(USUAL_LIFE, |span| span.start.0.saturating_sub(head.0).min(USUAL_LIFE))
    }

    /// The first epoch block after `head`.
    fn next_epoch(&self, head: BlockNumber) -> BlockNumber {
        let boundary = self.consensus.at(head).next_epoch_block(head);
        // Past a change of the length, boundaries are multiples of the new one.
        let within = self.consensus.epoch_block(boundary);
        if within > head { within } else { boundary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::{ConsensusParams, Hotkey};
    use leoma_rotation::Allowlist;

    fn spans_of(interval: u64, params: ConsensusParams) -> Spans {
        let list = Allowlist::new(interval, [Hotkey::from_bytes([1; 32])]).unwrap();
        let history = Arc::new(AllowlistHistory::since_genesis(list));
        let (_, allowlists) = watch::channel(history);
        Spans { consensus: Arc::new(params.into()), allowlists }
    }

    #[test]
    fn a_witness_is_written_after_the_boundary_of_any_other_mechanism() {
        for interval in [16, 100, 400, 1440] {
            for mecid in 0..16 {
                let usual = ConsensusParams::default();
                let offset = ConsensusParams::epoch_offset_of(mecid, usual.epoch_blocks);
                let spans = spans_of(interval, ConsensusParams { epoch_offset: offset, ..usual });
                let ours = |head: &u64| spans.due(BlockNumber(*head)).is_some();
                let due: Vec<u64> = (3600..3780).filter(ours).collect();
                assert!(due.len() >= 8, "{interval}, mechanism {mecid}: {due:?}");
                for other in (0..16).filter(|other| *other != mecid) {
                    let other = 3600 + ConsensusParams::epoch_offset_of(other, 180);
                    // The witness comes into a block after the head.
                    let disturbs = due.iter().any(|head| {
                        *head + 1 < other
                            && spans.due(BlockNumber(*head)) > Some(BlockNumber(other))
                    });
                    assert!(!disturbs, "{interval}, mechanism {mecid} and the one at {other}");
                }
            }
        }
    }

    #[test]
    fn a_transaction_of_weights_is_over_before_the_next_witness_is_due() {
        let spans = spans_of(100, ConsensusParams::default());
        let span = spans.of(BlockNumber(360)).unwrap();
        assert_eq!(span, BlockNumber(348)..BlockNumber(360));
        for head in 180..348 {
            let life = spans.life(BlockNumber(head));
            assert!(head + life <= span.start.0 && life <= USUAL_LIFE, "{head}: {life}");
        }
        assert_eq!([200, 316, 320, 344].map(|head| spans.life(BlockNumber(head))), [32, 32, 28, 4]);
        assert_eq!(spans.life(BlockNumber(350)), 0, "within the span: as short as can be");
        assert_eq!(spans.life(BlockNumber(360)), USUAL_LIFE, "the next one");
    }
}
