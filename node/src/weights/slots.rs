//! Whether slots still belong to the hotkeys that earned their weight.

use leoma_chain::Metagraph;
use leoma_protocol::{Hotkey, Uid};
use leoma_rotation::WeightVector;

/// A slot that changed hands since the epoch's boundary: its weight would go to a hotkey that did
/// not earn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedSlot {
    /// The slot.
    pub uid: Uid,
    /// Who earned its weight.
    pub earned_by: Hotkey,
    /// Who holds it now; `None` if the subnet has no such slot any more.
    pub holder: Option<Hotkey>,
}

impl std::fmt::Display for ChangedSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { uid, earned_by, .. } = self;
        write!(f, "uid {uid} changed hands: {earned_by} earned its weight, ")?;
        match self.holder {
            Some(holder) => write!(f, "{holder} holds it"),
            None => f.write_str("nobody holds it"),
        }
    }
}

/// The first slot of `weights` that has another holder in `metagraph`.
pub(super) fn changed_slot(weights: &WeightVector, metagraph: &Metagraph) -> Option<ChangedSlot> {
    weights.entries.iter().find_map(|entry| {
        let holder = metagraph.neurons.get(usize::from(entry.uid.0)).map(|neuron| neuron.hotkey);
        let (uid, earned_by) = (entry.uid, entry.hotkey);
        (holder != Some(earned_by)).then_some(ChangedSlot { uid, earned_by, holder })
    })
}
