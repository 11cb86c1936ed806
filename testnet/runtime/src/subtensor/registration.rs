//! Neurons joining a subnet, and the one that leaves when it is full.

use super::genesis::SubnetGenesis;
use super::pallet::*;
use super::terms::ROOT_NETUID;
use frame_support::ensure;
use frame_support::traits::fungible::{Inspect, Mutate};
use frame_support::traits::tokens::{Fortitude, Precision, Preservation};
use sp_runtime::DispatchResult;

impl<T: Config> Pallet<T> {
    /// Writes one subnet. `LastUpdate` stays zero, so that the first vector of each validator is
    /// never too fast.
    pub(super) fn found_subnet(subnet: &SubnetGenesis<T::AccountId>) {
        let netuid = subnet.netuid;
        NetworksAdded::<T>::insert(netuid, true);
        TotalNetworks::<T>::mutate(|total| *total = total.saturating_add(1));
        SubnetOwner::<T>::insert(netuid, &subnet.owner_coldkey);
        SubnetOwnerHotkey::<T>::insert(netuid, &subnet.owner_hotkey);
        Tempo::<T>::insert(netuid, subnet.tempo);
        CommitRevealWeightsEnabled::<T>::insert(netuid, subnet.commit_reveal);
        RevealPeriodEpochs::<T>::insert(netuid, subnet.reveal_period);
        WeightsSetRateLimit::<T>::insert(netuid, subnet.weights_rate_limit);
        WeightsVersionKey::<T>::insert(netuid, subnet.weights_version_key);
        ServingRateLimit::<T>::insert(netuid, subnet.serving_rate_limit);
        MaxAllowedUids::<T>::insert(netuid, subnet.max_allowed_uids);
        MaxAllowedValidators::<T>::insert(netuid, subnet.max_allowed_validators);
        ImmunityPeriod::<T>::insert(netuid, subnet.immunity_period);
        Burn::<T>::insert(netuid, subnet.burn);
        // Before the seats, which every mechanism has.
        if subnet.mechanisms != 1 {
            MechanismCountCurrent::<T>::insert(netuid, subnet.mechanisms);
        }
        for (uid, neuron) in (0_u16..).zip(&subnet.neurons) {
            Self::seat(netuid, uid, &neuron.hotkey, &neuron.coldkey);
            TotalHotkeyAlpha::<T>::insert(&neuron.hotkey, netuid, neuron.stake);
            ValidatorPermit::<T>::mutate(netuid, |permits| {
                put(permits, usize::from(uid), neuron.validator_permit)
            });
        }
    }

    /// Gives a subnet to a hotkey and the coldkey behind it, as a change of owner by conviction
    /// does: commitments, seats and stakes stay as they are.
    pub(crate) fn change_owner(netuid: u16, hotkey: &T::AccountId) {
        SubnetOwner::<T>::insert(netuid, Owner::<T>::get(hotkey));
        SubnetOwnerHotkey::<T>::insert(netuid, hotkey);
    }

    pub(super) fn do_burned_register(
        coldkey: T::AccountId,
        netuid: u16,
        hotkey: T::AccountId,
    ) -> DispatchResult {
        ensure!(netuid != ROOT_NETUID, Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(
            NetworkRegistrationAllowed::<T>::get(netuid),
            Error::<T>::SubNetRegistrationDisabled
        );
        ensure!(
            !Uids::<T>::contains_key(netuid, &hotkey),
            Error::<T>::HotKeyAlreadyRegisteredInSubNet
        );
        let owner = Owner::<T>::try_get(&hotkey).unwrap_or_else(|()| coldkey.clone());
        ensure!(owner == coldkey, Error::<T>::NonAssociatedColdKey);
        let burn = Burn::<T>::get(netuid);
        let spendable =
            T::Currency::reducible_balance(&coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(spendable >= burn, Error::<T>::NotEnoughBalanceToStake);
        let uid = Self::free_uid(netuid).ok_or(Error::<T>::NoNeuronIdAvailable)?;
        T::Currency::burn_from(
            &coldkey,
            burn,
            Preservation::Preserve,
            Precision::Exact,
            Fortitude::Polite,
        )?;
        Self::seat(netuid, uid, &hotkey, &coldkey);
        Self::deposit_event(Event::NeuronRegistered(netuid, uid, hotkey));
        Ok(())
    }

    /// The next unused uid or, on a full subnet, that of the neuron that earned least among those
    /// past their immunity (the oldest of equals); never the subnet owner's.
    fn free_uid(netuid: u16) -> Option<u16> {
        let neurons = SubnetworkN::<T>::get(netuid);
        if neurons < MaxAllowedUids::<T>::get(netuid) {
            return Some(neurons);
        }
        let now = Self::block();
        let immunity = u64::from(ImmunityPeriod::<T>::get(netuid));
        let emission = Emission::<T>::get(netuid);
        let owner = SubnetOwnerHotkey::<T>::get(netuid);
        (0..neurons)
            .filter(|uid| Keys::<T>::get(netuid, uid) != owner)
            .map(|uid| {
                (
                    emission.get(usize::from(uid)).copied().unwrap_or(0),
                    BlockAtRegistration::<T>::get(netuid, uid),
                    uid,
                )
            })
            .filter(|(_, registered, _)| now.saturating_sub(*registered) >= immunity)
            .min()
            .map(|(_, _, uid)| uid)
    }

    /// Puts `hotkey` on `uid`, removing whoever sat there, and clears what the epoch wrote for the
    /// seat. Weights that others gave to the uid stay, as on the live chain.
    pub(super) fn seat(netuid: u16, uid: u16, hotkey: &T::AccountId, coldkey: &T::AccountId) {
        if let Ok(previous) = Keys::<T>::try_get(netuid, uid) {
            Uids::<T>::remove(netuid, &previous);
            IsNetworkMember::<T>::remove(&previous, netuid);
            Axons::<T>::remove(netuid, &previous);
        } else {
            SubnetworkN::<T>::insert(netuid, uid.saturating_add(1));
        }
        let now = Self::block();
        if !Owner::<T>::contains_key(hotkey) {
            Owner::<T>::insert(hotkey, coldkey);
            OwnedHotkeys::<T>::mutate(coldkey, |owned| owned.push(hotkey.clone()));
            // A hotkey pays nothing and may hold nothing: this reference lets it keep a nonce all
            // the same.
            frame_system::Pallet::<T>::inc_sufficients(hotkey);
        }
        Keys::<T>::insert(netuid, uid, hotkey);
        Uids::<T>::insert(netuid, hotkey, uid);
        IsNetworkMember::<T>::insert(hotkey, netuid, true);
        BlockAtRegistration::<T>::insert(netuid, uid, now);
        let seat = usize::from(uid);
        ValidatorPermit::<T>::mutate(netuid, |entries| put(entries, seat, false));
        Active::<T>::mutate(netuid, |entries| put(entries, seat, true));
        Emission::<T>::mutate(netuid, |entries| put(entries, seat, 0));
        ValidatorTrust::<T>::mutate(netuid, |entries| put(entries, seat, 0));
        Dividends::<T>::mutate(netuid, |entries| put(entries, seat, 0));
        Consensus::<T>::mutate(netuid, |entries| put(entries, seat, 0));
        for mechanism in 0..MechanismCountCurrent::<T>::get(netuid) {
            let index = Self::storage_index(netuid, mechanism);
            LastUpdate::<T>::mutate(index, |entries| put(entries, seat, now));
            Incentive::<T>::mutate(index, |entries| put(entries, seat, 0));
            Weights::<T>::remove(index, uid);
            Bonds::<T>::remove(index, uid);
        }
    }
}

/// Sets entry `at`, growing the vector with defaults.
pub(super) fn put<V: Clone + Default>(entries: &mut Vec<V>, at: usize, value: V) {
    if entries.len() <= at {
        entries.resize(at.saturating_add(1), V::default());
    }
    entries[at] = value;
}
