//! When a subnet's epoch is due, and what it writes.

use super::pallet::*;

impl<T: Config> Pallet<T> {
    /// Runs the epoch of every subnet whose tempo has passed since its last one.
    pub(super) fn run_due_epochs() {
        let now = Self::block();
        let due: Vec<u16> = NetworksAdded::<T>::iter_keys()
            .filter(|netuid| {
                let tempo = u64::from(Tempo::<T>::get(netuid));
                tempo > 0 && now.saturating_sub(LastEpochBlock::<T>::get(netuid)) >= tempo
            })
            .collect();
        for netuid in due {
            LastEpochBlock::<T>::insert(netuid, now);
            SubnetEpochIndex::<T>::mutate(netuid, |epoch| *epoch = epoch.saturating_add(1));
        }
    }
}
