//! Announcing where a neuron can be reached.

use super::AxonInfo;
use super::pallet::*;
use frame_support::ensure;
use sp_runtime::DispatchResult;

const IPV4_LOOPBACK: u128 = 0x7f00_0001;
const IPV6_LOOPBACK: u128 = 1;

impl<T: Config> Pallet<T> {
    /// The checks of `serve_axon`; the pool makes the same ones.
    pub(super) fn check_axon(
        hotkey: &T::AccountId,
        netuid: u16,
        axon: &AxonInfo,
    ) -> Result<(), Error<T>> {
        ensure!(Uids::<T>::contains_key(netuid, hotkey), Error::<T>::HotKeyNotRegisteredInNetwork);
        ensure!(matches!(axon.ip_type, 4 | 6), Error::<T>::InvalidIpType);
        ensure!(Self::usable_address(axon), Error::<T>::InvalidIpAddress);
        ensure!(axon.port != 0, Error::<T>::InvalidPort);
        let limit = ServingRateLimit::<T>::get(netuid);
        let recent = Axons::<T>::get(netuid, hotkey).is_some_and(|last| {
            limit > 0 && last.block > 0 && axon.block.saturating_sub(last.block) < limit
        });
        ensure!(!recent, Error::<T>::ServingRateLimitExceeded);
        Ok(())
    }

    fn usable_address(axon: &AxonInfo) -> bool {
        let (last, loopback) = match axon.ip_type {
            4 => (u128::from(u32::MAX), IPV4_LOOPBACK),
            _ => (u128::MAX, IPV6_LOOPBACK),
        };
        axon.ip != 0 && axon.ip < last && (axon.ip != loopback || LoopbackAxonsAllowed::<T>::get())
    }

    pub(super) fn do_serve_axon(
        hotkey: T::AccountId,
        netuid: u16,
        axon: AxonInfo,
    ) -> DispatchResult {
        Self::check_axon(&hotkey, netuid, &axon)?;
        Axons::<T>::insert(netuid, &hotkey, axon);
        Self::deposit_event(Event::AxonServed(netuid, hotkey));
        Ok(())
    }
}
