//! Which validators work, as far as a process can tell that is connected to none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leoma_chain::Neuron;
use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey};
use leoma_web::view::Verdict;

/// Epochs for which a sign counts: a validator that works leaves one in each, and may be late once.
const EPOCHS: u64 = 2;

/// What everybody can see of the validators' work.
pub(super) struct Signs<'a> {
    pub(super) head: BlockNumber,
    pub(super) epoch_blocks: u64,
    pub(super) neurons: &'a [Neuron],
    /// The files that are held, each with what it says.
    pub(super) verdicts: &'a BTreeMap<(FileId, Digest), Arc<Verdict>>,
    /// Validators with a fresh report about the miners.
    pub(super) reporters: &'a BTreeSet<Hotkey>,
}

impl Signs<'_> {
    /// The validators that report now, or within the last two epochs set weights or signed a file.
    pub(super) fn seen(&self) -> BTreeSet<Hotkey> {
        // Block 0 stands for an unknown one.
        let since = self.head.0.saturating_sub(EPOCHS * self.epoch_blocks).max(1);
        let lately = since..=self.head.0;
        // A neuron that has set no weights yet has the block of its registration instead.
        let set_weights = self.neurons.iter().filter(|neuron| {
            neuron.last_update > neuron.registered_at && lately.contains(&neuron.last_update.0)
        });
        let signed = self.verdicts.iter().filter(|(_, verdict)| lately.contains(&verdict.block));
        let on_chain = set_weights.map(|neuron| neuron.hotkey);
        let in_buckets = signed.map(|((id, _), _)| id.producer);
        on_chain.chain(in_buckets).chain(self.reporters.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{TaskId, Uid};

    use super::*;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn neuron(seed: u8, registered_at: u64, last_update: u64) -> Neuron {
        Neuron {
            uid: Uid(u16::from(seed)),
            hotkey: hotkey(seed),
            validator_permit: true,
            stake: 0,
            last_update: BlockNumber(last_update),
            registered_at: BlockNumber(registered_at),
            axon: None,
            axon_block: BlockNumber(0),
        }
    }

    fn file(seed: u8, block: u64) -> ((FileId, Digest), Arc<Verdict>) {
        let id = FileId { task_id: TaskId(block / 100), producer: hotkey(seed) };
        ((id, Digest::of(b"file")), Arc::new(Verdict { block, ..Verdict::default() }))
    }

    #[test]
    fn a_validator_is_seen_by_weights_and_files_of_two_epochs_and_by_its_report() {
        let neurons = [neuron(1, 5, 640), neuron(2, 5, 639), neuron(3, 900, 900), neuron(4, 0, 0)];
        let verdicts = BTreeMap::from([file(5, 640), file(6, 639), file(7, 1001), file(8, 0)]);
        let reporters = BTreeSet::from([hotkey(9)]);
        let signs = Signs {
            head: BlockNumber(1000),
            epoch_blocks: 180,
            neurons: &neurons,
            verdicts: &verdicts,
            reporters: &reporters,
        };
        assert_eq!(signs.seen(), BTreeSet::from([1, 5, 9].map(hotkey)));
        // On a chain younger than that, unknown blocks are no sign either.
        let young = Signs { head: BlockNumber(100), ..signs };
        assert_eq!(young.seen(), reporters);
    }
}
