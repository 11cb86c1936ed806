//! Who gets which share of an epoch's weight.
//!
//! A uid names a slot, and a slot may have another holder in the next block. So each share carries
//! the hotkey that earned it, together with the hotkey's uid at the epoch block, all the way to the
//! chain: whoever submits the weights can see whether the slot has changed hands meanwhile.

use leoma_protocol::{Hotkey, Uid};
use serde::{Deserialize, Serialize};

use crate::snapshot::{EpochSnapshot, Slot};

/// One hotkey's part of a weight vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightEntry {
    /// Who gets it.
    pub hotkey: Hotkey,
    /// Its uid at the epoch block.
    pub uid: Uid,
    /// The weight, as the chain scales it: the largest of a vector is [`WeightVector::LARGEST`].
    pub share: u16,
}

/// The weights of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WeightVector {
    /// Ascending by uid, without shares of zero.
    pub entries: Vec<WeightEntry>,
}

impl WeightVector {
    /// The largest share of every vector.
    pub const LARGEST: u16 = u16::MAX;

    /// All weight on one slot.
    pub fn whole(slot: Slot) -> Self {
        let Slot { hotkey, uid } = slot;
        Self { entries: vec![WeightEntry { hotkey, uid, share: Self::LARGEST }] }
    }

    /// The entry with the largest share, of equal ones the first; `None` for no entries.
    pub fn heaviest(&self) -> Option<&WeightEntry> {
        self.entries.iter().rev().max_by_key(|entry| entry.share)
    }
}

/// All weight on the subnet owner, whose incentive the chain withholds; `None` if the owner's slot
/// is not known.
pub(crate) fn burn(snapshot: &EpochSnapshot) -> Option<WeightVector> {
    snapshot.owner.map(WeightVector::whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_entry_is_the_first_of_equals() {
        let entry = |uid, share| WeightEntry {
            hotkey: Hotkey::from_bytes([uid as u8; 32]),
            uid: Uid(uid),
            share,
        };
        let heaviest = |entries| WeightVector { entries }.heaviest().map(|entry| entry.uid.0);
        assert_eq!(heaviest(vec![]), None);
        assert_eq!(heaviest(vec![entry(3, 9)]), Some(3));
        assert_eq!(heaviest(vec![entry(1, 7), entry(2, 65535), entry(5, 65535)]), Some(2));
    }

    #[test]
    fn all_weight_is_one_entry_of_the_largest_share() {
        let slot = Slot { hotkey: Hotkey::from_bytes([7; 32]), uid: Uid(6) };
        let vector = WeightVector::whole(slot);
        let [entry] = vector.entries[..] else { panic!("one entry: {vector:?}") };
        assert_eq!((entry.hotkey, entry.uid, entry.share), (slot.hotkey, slot.uid, 65535));
    }
}
