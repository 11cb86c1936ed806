//! When a subnet's epoch is due, what it reads and what it writes.

use super::pallet::*;
use super::yuma;

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
            Self::run_epoch(netuid, now);
        }
    }

    fn run_epoch(netuid: u16, now: u64) {
        for mechanism in 0..MechanismCountCurrent::<T>::get(netuid) {
            let index = Self::storage_index(netuid, mechanism);
            let outcome = yuma::epoch(&Self::epoch_input(netuid, index, now));
            Incentive::<T>::insert(index, &outcome.incentive);
            for (uid, bonds) in (0_u16..).zip(&outcome.bonds) {
                Bonds::<T>::insert(index, uid, bonds);
            }
            // A subnet has one set of these; its first mechanism decides them.
            if mechanism == 0 {
                Active::<T>::insert(netuid, outcome.active);
                Consensus::<T>::insert(netuid, outcome.consensus);
                Dividends::<T>::insert(netuid, outcome.dividends);
                ValidatorTrust::<T>::insert(netuid, outcome.validator_trust);
                ValidatorPermit::<T>::insert(netuid, outcome.permits);
                Emission::<T>::insert(netuid, outcome.emission);
            }
        }
        LastEpochBlock::<T>::insert(netuid, now);
        SubnetEpochIndex::<T>::mutate(netuid, |epoch| *epoch = epoch.saturating_add(1));
    }

    fn epoch_input(netuid: u16, index: u16, now: u64) -> yuma::Input {
        let permits = ValidatorPermit::<T>::get(netuid);
        let updates = LastUpdate::<T>::get(index);
        let neuron = |uid: u16| {
            let seat = usize::from(uid);
            yuma::NeuronInput {
                stake: TotalHotkeyAlpha::<T>::get(Keys::<T>::get(netuid, uid), netuid),
                permit: permits.get(seat).copied().unwrap_or(false),
                last_update: updates.get(seat).copied().unwrap_or(0),
                registered: BlockAtRegistration::<T>::get(netuid, uid),
                weights: Weights::<T>::get(index, uid),
                bonds: Bonds::<T>::get(index, uid),
            }
        };
        yuma::Input {
            now,
            activity_cutoff: u64::from(ActivityCutoff::<T>::get(netuid)),
            kappa: Kappa::<T>::get(netuid),
            bonds_moving_average: BondsMovingAverage::<T>::get(netuid),
            bonds_penalty: BondsPenalty::<T>::get(netuid),
            max_validators: MaxAllowedValidators::<T>::get(netuid),
            owner: Uids::<T>::get(netuid, SubnetOwnerHotkey::<T>::get(netuid)),
            neurons: (0..SubnetworkN::<T>::get(netuid)).map(neuron).collect(),
        }
    }
}
