//! Setting weights: the checks in the order the live chain makes them, then the stored vector.

use super::pallet::*;
use super::{MECHANISM_STRIDE, ROOT_NETUID};
use frame_support::ensure;
use sp_runtime::DispatchResult;
use sp_runtime::traits::UniqueSaturatedInto;
use std::collections::BTreeSet;

impl<T: Config> Pallet<T> {
    /// The current block.
    pub(super) fn block() -> u64 {
        frame_system::Pallet::<T>::block_number().unique_saturated_into()
    }

    /// Where a mechanism's weights, bonds and vectors are stored.
    pub fn storage_index(netuid: u16, mechanism: u8) -> u16 {
        MECHANISM_STRIDE.saturating_mul(u16::from(mechanism)).saturating_add(netuid)
    }

    /// Fails unless the subnet exists and has the mechanism.
    pub(super) fn ensure_mechanism(netuid: u16, mechanism: u8) -> DispatchResult {
        let known =
            NetworksAdded::<T>::get(netuid) && mechanism < MechanismCountCurrent::<T>::get(netuid);
        ensure!(known, Error::<T>::MechanismDoesNotExist);
        Ok(())
    }

    /// Whether `hotkey` carries enough stake to set weights; the subnet owner's hotkey always does.
    pub(crate) fn has_stake_for_weights(hotkey: &T::AccountId, netuid: u16) -> bool {
        TotalHotkeyAlpha::<T>::get(hotkey, netuid) >= StakeThreshold::<T>::get()
            || SubnetOwnerHotkey::<T>::try_get(netuid).as_ref() == Ok(hotkey)
    }

    /// Whether `uid` may set weights at block `now`; a uid that never did always may.
    pub(crate) fn passes_rate_limit(netuid: u16, mechanism: u8, uid: u16, now: u64) -> bool {
        let updates = LastUpdate::<T>::get(Self::storage_index(netuid, mechanism));
        let last = updates.get(usize::from(uid)).copied().unwrap_or(0);
        last == 0 || now.saturating_sub(last) >= WeightsSetRateLimit::<T>::get(netuid)
    }

    pub(super) fn do_set_weights(
        hotkey: T::AccountId,
        netuid: u16,
        mechanism: u8,
        uids: Vec<u16>,
        values: Vec<u16>,
        version_key: u64,
    ) -> DispatchResult {
        ensure!(!CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealEnabled);
        Self::store_weights(&hotkey, netuid, mechanism, uids, values, version_key, false)
    }

    /// The checks that plain and revealed weights share, then the write. A revealed vector was
    /// rate-limited when it was committed, and its commit already moved `LastUpdate`.
    pub(super) fn store_weights(
        hotkey: &T::AccountId,
        netuid: u16,
        mechanism: u8,
        uids: Vec<u16>,
        values: Vec<u16>,
        version_key: u64,
        revealed: bool,
    ) -> DispatchResult {
        ensure!(netuid != ROOT_NETUID, Error::<T>::CanNotSetRootNetworkWeights);
        ensure!(uids.len() == values.len(), Error::<T>::WeightVecNotEqualSize);
        Self::ensure_mechanism(netuid, mechanism)?;
        let neurons = SubnetworkN::<T>::get(netuid);
        ensure!(uids.len() <= usize::from(neurons), Error::<T>::UidsLengthExceedUidsInSubNet);
        let uid = Uids::<T>::get(netuid, hotkey).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        ensure!(
            Self::has_stake_for_weights(hotkey, netuid),
            Error::<T>::NotEnoughStakeToSetWeights
        );
        let required_key = WeightsVersionKey::<T>::get(netuid);
        ensure!(
            required_key == 0 || version_key >= required_key,
            Error::<T>::IncorrectWeightVersionKey
        );
        let now = Self::block();
        ensure!(
            revealed || Self::passes_rate_limit(netuid, mechanism, uid, now),
            Error::<T>::SettingWeightsTooFast
        );
        let self_weight = uids == [uid];
        let owner = SubnetOwnerHotkey::<T>::try_get(netuid).as_ref() == Ok(hotkey);
        let permitted =
            ValidatorPermit::<T>::get(netuid).get(usize::from(uid)).copied().unwrap_or(false);
        ensure!(self_weight || owner || permitted, Error::<T>::NeuronNoValidatorPermit);
        ensure!(
            uids.iter().collect::<BTreeSet<_>>().len() == uids.len(),
            Error::<T>::DuplicateUids
        );
        ensure!(uids.iter().all(|target| *target < neurons), Error::<T>::UidVecContainInvalidOne);
        let shortest = MinAllowedWeights::<T>::get(netuid).min(neurons);
        ensure!(
            self_weight || uids.len() >= usize::from(shortest),
            Error::<T>::WeightVecLengthIsLow
        );
        ensure!(
            self_weight || within_limit(&values, MaxWeightsLimit::<T>::get(netuid)),
            Error::<T>::MaxWeightExceeded
        );

        let index = Self::storage_index(netuid, mechanism);
        let stored: Vec<(u16, u16)> = uids.into_iter().zip(max_upscale(&values)).collect();
        Weights::<T>::insert(index, uid, stored);
        if !revealed {
            Self::touch(index, uid, now);
        }
        Self::deposit_event(Event::WeightsSet(index, uid));
        Ok(())
    }

    /// Records that `uid` acted at block `now`.
    pub(super) fn touch(index: u16, uid: u16, now: u64) {
        LastUpdate::<T>::mutate(index, |updates| {
            let at = usize::from(uid);
            if updates.len() <= at {
                updates.resize(at.saturating_add(1), 0);
            }
            updates[at] = now;
        });
    }
}

/// Scales `values` so that the largest becomes 65535, rounding halves up. All zero stays all zero.
pub(super) fn max_upscale(values: &[u16]) -> Vec<u16> {
    let largest = values.iter().copied().max().map_or(0, u32::from);
    let scale = |value: u16| {
        let doubled = u32::from(value).saturating_mul(u32::from(u16::MAX));
        // round(a / b) = floor((a + b/2) / b); a / b never exceeds 65535 because value <= largest.
        (doubled.saturating_add(largest / 2))
            .checked_div(largest)
            .unwrap_or(0)
            .min(u32::from(u16::MAX)) as u16
    };
    values.iter().copied().map(scale).collect()
}

/// Whether no value takes a share above `limit` / 65535 of the sum.
fn within_limit(values: &[u16], limit: u16) -> bool {
    if limit == u16::MAX {
        return true;
    }
    let sum: u64 = values.iter().copied().map(u64::from).sum();
    values.iter().all(|value| {
        u64::from(*value).saturating_mul(u64::from(u16::MAX))
            <= sum.saturating_mul(u64::from(limit))
    })
}
