//! Neurons one by one, as older clients ask for them: whole, or "lite" without weights and bonds.

use super::AxonInfo;
use super::pallet::*;
use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;

/// Where a neuron serves its telemetry; no call writes one here, so it is all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(missing_docs, reason = "fields carry the live chain's names")]
pub struct PrometheusInfo {
    pub block: u64,
    pub version: u32,
    pub ip: u128,
    pub port: u16,
    pub ip_type: u8,
}

/// Writes both forms of a neuron from one list, so that their order cannot differ.
macro_rules! neuron_info {
    (
        both { $( $field:ident : $kind:ty, )* }
        whole { $( $extra:ident : $extra_kind:ty, )* }
        both { $( $last:ident : $last_kind:ty, )* }
    ) => {
        /// A neuron with its weights and bonds.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        #[allow(missing_docs, reason = "fields carry the live chain's names")]
        pub struct NeuronInfo<AccountId> {
            $( pub $field: $kind, )*
            $( pub $extra: $extra_kind, )*
            $( pub $last: $last_kind, )*
        }

        /// A neuron without its weights and bonds.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        #[allow(missing_docs, reason = "fields carry the live chain's names")]
        pub struct NeuronInfoLite<AccountId> {
            $( pub $field: $kind, )*
            $( pub $last: $last_kind, )*
        }

        impl<AccountId> From<NeuronInfo<AccountId>> for NeuronInfoLite<AccountId> {
            fn from(whole: NeuronInfo<AccountId>) -> Self {
                Self { $( $field: whole.$field, )* $( $last: whole.$last, )* }
            }
        }
    };
}

neuron_info! {
    both {
    hotkey: AccountId,
    coldkey: AccountId,
    uid: Compact<u16>,
    netuid: Compact<u16>,
    active: bool,
    axon_info: AxonInfo,
    prometheus_info: PrometheusInfo,
    stake: Vec<(AccountId, Compact<u64>)>,
    rank: Compact<u16>,
    emission: Compact<u64>,
    incentive: Compact<u16>,
    consensus: Compact<u16>,
    trust: Compact<u16>,
    validator_trust: Compact<u16>,
    dividends: Compact<u16>,
    last_update: Compact<u64>,
    validator_permit: bool,
    }
    whole {
    weights: Vec<(Compact<u16>, Compact<u16>)>,
    bonds: Vec<(Compact<u16>, Compact<u16>)>,
    }
    both {
    pruning_score: Compact<u16>,
    }
}

impl<T: Config> Pallet<T> {
    /// Every neuron of a subnet in the order of their uids.
    pub fn neurons(netuid: u16) -> Vec<NeuronInfo<T::AccountId>> {
        (0..SubnetworkN::<T>::get(netuid)).filter_map(|uid| Self::neuron(netuid, uid)).collect()
    }

    /// One neuron; `None` where there is no such subnet or uid. Vectors that mechanisms have of
    /// their own are the first mechanism's.
    pub fn neuron(netuid: u16, uid: u16) -> Option<NeuronInfo<T::AccountId>> {
        fn at<V: Copy + Default>(stored: &[V], uid: u16) -> V {
            stored.get(usize::from(uid)).copied().unwrap_or_default()
        }
        fn compact(pairs: Vec<(u16, u16)>) -> Vec<(Compact<u16>, Compact<u16>)> {
            let pairs = pairs.into_iter().filter(|(_, value)| *value > 0);
            pairs.map(|(uid, value)| (Compact(uid), Compact(value))).collect()
        }
        let hotkey = Keys::<T>::try_get(netuid, uid).ok()?;
        let coldkey = Owner::<T>::get(&hotkey);
        Some(NeuronInfo {
            uid: Compact(uid),
            netuid: Compact(netuid),
            active: at(&Active::<T>::get(netuid), uid),
            axon_info: Axons::<T>::get(netuid, &hotkey).unwrap_or_default(),
            prometheus_info: PrometheusInfo::default(),
            stake: vec![(coldkey.clone(), Compact(TotalHotkeyAlpha::<T>::get(&hotkey, netuid)))],
            rank: Compact(0),
            emission: Compact(at(&Emission::<T>::get(netuid), uid)),
            incentive: Compact(at(&Incentive::<T>::get(netuid), uid)),
            consensus: Compact(at(&Consensus::<T>::get(netuid), uid)),
            trust: Compact(0),
            validator_trust: Compact(at(&ValidatorTrust::<T>::get(netuid), uid)),
            dividends: Compact(at(&Dividends::<T>::get(netuid), uid)),
            last_update: Compact(at(&LastUpdate::<T>::get(netuid), uid)),
            validator_permit: at(&ValidatorPermit::<T>::get(netuid), uid),
            weights: compact(Weights::<T>::get(netuid, uid)),
            bonds: compact(Bonds::<T>::get(netuid, uid)),
            pruning_score: Compact(u16::MAX),
            hotkey,
            coldkey,
        })
    }
}
