//! From the findings about each miner to the table of all.

use std::collections::{BTreeMap, HashMap};

use leoma_protocol::{BlockNumber, Hotkey, Uid};

use super::{MinerState, MinerTable, Validity};

/// Finishes a check: an unknown miner keeps its previous result while `keeps` says so, and of equal
/// models only the earliest commitment is valid.
#[must_use]
pub(super) fn check_table(
    block: BlockNumber,
    mut miners: BTreeMap<Hotkey, MinerState>,
    previous: &MinerTable,
    keeps: impl Fn(&Hotkey) -> bool,
) -> MinerTable {
    for (hotkey, miner) in &mut miners {
        if let Validity::Unknown { .. } = miner.validity
            && keeps(hotkey)
            && let Some(known) =
                previous.miners.get(hotkey).filter(|known| known.commit_block == miner.commit_block)
        {
            miner.validity = known.validity.clone();
        }
    }
    let mut earliest: HashMap<String, (BlockNumber, Uid)> = HashMap::new();
    for miner in miners.values() {
        if let Validity::Valid { model_hash, .. } = &miner.validity {
            let claim = (miner.commit_block, miner.uid);
            earliest
                .entry(model_hash.clone())
                .and_modify(|first| *first = (*first).min(claim))
                .or_insert(claim);
        }
    }
    for miner in miners.values_mut() {
        if let Validity::Valid { model_hash, .. } = &miner.validity
            && let Some((_, uid)) =
                earliest.get(model_hash).filter(|first| **first != (miner.commit_block, miner.uid))
        {
            miner.validity =
                Validity::Invalid { reason: format!("duplicate_model:earliest_uid={uid}") };
        }
    }
    MinerTable { block, miners }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(uid: u16, commit_block: u64, hash: &str) -> MinerState {
        let validity = Validity::Valid {
            slug: "s".into(),
            model_revision: "r".into(),
            model_hash: hash.into(),
        };
        MinerState { uid: Uid(uid), commit_block: BlockNumber(commit_block), validity }
    }

    fn hotkey(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    #[test]
    fn the_earliest_commitment_of_a_model_stays_and_copies_go() {
        let miners = BTreeMap::from([
            (hotkey(1), valid(1, 50, "same")),
            (hotkey(2), valid(2, 20, "same")),
            (hotkey(3), valid(3, 20, "same")),
            (hotkey(4), valid(4, 90, "other")),
        ]);
        let table = check_table(BlockNumber(100), miners, &MinerTable::default(), |_| true);
        assert_eq!(
            table.valid().map(|(hotkey, ..)| hotkey).collect::<Vec<_>>(),
            [hotkey(2), hotkey(4)]
        );
        let copy = Validity::Invalid { reason: "duplicate_model:earliest_uid=2".into() };
        assert_eq!(table.miners[&hotkey(1)].validity, copy);
        assert_eq!(table.miners[&hotkey(3)].validity, copy);
    }

    #[test]
    fn a_service_that_is_down_changes_nothing_about_known_miners_for_a_while() {
        let previous = check_table(
            BlockNumber(1),
            BTreeMap::from([(hotkey(1), valid(1, 5, "h"))]),
            &MinerTable::default(),
            |_| true,
        );
        let down = |commit_block| MinerState {
            uid: Uid(1),
            commit_block: BlockNumber(commit_block),
            validity: Validity::Unknown { reason: "down".into() },
        };
        let checked = |commit_block, keeps: bool| {
            let miners = BTreeMap::from([(hotkey(1), down(commit_block))]);
            check_table(BlockNumber(2), miners, &previous, |_| keeps)
        };
        assert_eq!(checked(5, true).miners[&hotkey(1)], valid(1, 5, "h"));
        // A new commitment was never checked: it does not inherit the old one's validity.
        assert_eq!(checked(9, true).valid().count(), 0);
        // Nor does an old commitment keep its validity for ever.
        assert_eq!(checked(5, false).miners[&hotkey(1)], down(5));
    }
}
