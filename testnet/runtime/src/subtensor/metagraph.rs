//! The metagraph as one runtime call: everything a client wants to know of a subnet, or the fields
//! it asks for.
//!
//! The order of the fields is the wire format, and a field's place is the index that
//! `get_selective_metagraph` takes.

use super::pallet::*;
use super::{AxonInfo, CommitmentSource};
use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;

/// Most field indices one request may name; there are 74 fields, a longer list can only repeat.
pub(crate) const MAX_INDICES: usize = 256;

/// What a neuron's owner says about it; no call writes one here, so lists of them hold `None`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(missing_docs, reason = "free text, named by its field")]
pub struct ChainIdentityV2 {
    pub name: Vec<u8>,
    pub url: Vec<u8>,
    pub github_repo: Vec<u8>,
    pub image: Vec<u8>,
    pub discord: Vec<u8>,
    pub description: Vec<u8>,
    pub additional: Vec<u8>,
}

/// What a subnet's owner says about it; no call writes one here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(missing_docs, reason = "free text, named by its field")]
pub struct SubnetIdentityV3 {
    pub subnet_name: Vec<u8>,
    pub github_repo: Vec<u8>,
    pub subnet_contact: Vec<u8>,
    pub subnet_url: Vec<u8>,
    pub discord: Vec<u8>,
    pub description: Vec<u8>,
    pub logo_url: Vec<u8>,
    pub additional: Vec<u8>,
}

/// A fixed-point number as the live chain encodes it; the type of `moving_price` has 32 fractional
/// bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct FixedI128 {
    /// The number times 2³².
    pub bits: i128,
}

/// A subnet while its metagraph is assembled.
struct View<T: Config> {
    netuid: u16,
    /// Where the mechanism's own columns are stored.
    index: u16,
    uids: std::ops::Range<u16>,
    hotkeys: Vec<T::AccountId>,
    owner_hotkey: T::AccountId,
    owner_coldkey: T::AccountId,
}

impl<T: Config> View<T> {
    fn open(netuid: u16, mechanism: u8) -> Option<Self> {
        if mechanism >= MechanismCountCurrent::<T>::get(netuid) {
            return None;
        }
        let owner_hotkey = SubnetOwnerHotkey::<T>::try_get(netuid).ok()?;
        let owner_coldkey = SubnetOwner::<T>::try_get(netuid).ok()?;
        let uids = 0..SubnetworkN::<T>::get(netuid);
        let hotkeys = uids.clone().map(|uid| Keys::<T>::get(netuid, uid)).collect();
        let index = Pallet::<T>::storage_index(netuid, mechanism);
        Some(Self { netuid, index, uids, hotkeys, owner_hotkey, owner_coldkey })
    }

    fn per_uid<V>(&self, read: impl Fn(u16) -> V) -> Vec<V> {
        self.uids.clone().map(read).collect()
    }

    /// A stored vector, cut or filled up to one entry per uid.
    fn column<V: Clone + Default>(&self, mut stored: Vec<V>) -> Vec<V> {
        stored.resize(self.uids.len(), V::default());
        stored
    }

    fn compact_column<V: Clone + Default>(&self, stored: Vec<V>) -> Vec<Compact<V>> {
        self.column(stored).into_iter().map(Compact).collect()
    }

    fn stake(&self) -> Vec<u64> {
        self.hotkeys.iter().map(|hotkey| TotalHotkeyAlpha::<T>::get(hotkey, self.netuid)).collect()
    }

    fn coldkeys(&self) -> Vec<T::AccountId> {
        self.hotkeys.iter().map(Owner::<T>::get).collect()
    }

    fn axons(&self) -> Vec<AxonInfo> {
        self.hotkeys
            .iter()
            .map(|hotkey| Axons::<T>::get(self.netuid, hotkey).unwrap_or_default())
            .collect()
    }

    fn validators(&self) -> Vec<Compact<u16>> {
        let permits = self.column(ValidatorPermit::<T>::get(self.netuid));
        self.uids
            .clone()
            .zip(permits)
            .filter(|(_, permitted)| *permitted)
            .map(|(uid, _)| Compact(uid))
            .collect()
    }

    fn commitments(&self) -> Vec<(T::AccountId, Vec<Compact<u8>>)> {
        let compact =
            |(account, bytes): (_, Vec<u8>)| (account, bytes.into_iter().map(Compact).collect());
        T::Commitments::commitments(self.netuid).into_iter().map(compact).collect()
    }

    fn last_step(&self) -> u64 {
        LastEpochBlock::<T>::get(self.netuid)
    }
}

/// Writes both forms of the metagraph from one list, so that their order cannot differ.
macro_rules! metagraph {
    (
        both: $( $index:literal $field:ident : $kind:ty = $read:expr; )*
        selective: $( $extra_index:literal $extra:ident : $extra_kind:ty = $extra_read:expr; )*
    ) => {
        /// Every field of a subnet.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        #[allow(missing_docs, reason = "fields carry the live chain's names")]
        pub struct Metagraph<AccountId> {
            pub netuid: Compact<u16>,
            $( pub $field: $kind, )*
        }

        /// The fields of a subnet that were asked for.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        #[allow(missing_docs, reason = "fields carry the live chain's names")]
        pub struct SelectiveMetagraph<AccountId> {
            pub netuid: Compact<u16>,
            $( pub $field: Option<$kind>, )*
            $( pub $extra: Option<$extra_kind>, )*
        }

        impl<T: Config> Pallet<T> {
            /// The whole metagraph as one mechanism has it; `None` where there is no such subnet or
            /// mechanism.
            pub fn metagraph(netuid: u16, mechanism: u8) -> Option<Metagraph<T::AccountId>> {
                let view = View::<T>::open(netuid, mechanism)?;
                Some(Metagraph {
                    netuid: Compact(netuid),
                    $( $field: Self::reader($read)(&view), )*
                })
            }

            /// The metagraph's fields with the given indices; `None` where there is no such subnet
            /// or mechanism. Unknown indices are ignored.
            pub(crate) fn selective_metagraph(
                netuid: u16,
                mechanism: u8,
                indices: &[u16],
            ) -> Option<SelectiveMetagraph<T::AccountId>> {
                let view = View::<T>::open(netuid, mechanism)?;
                let asked = &indices[..indices.len().min(MAX_INDICES)];
                Some(SelectiveMetagraph {
                    netuid: Compact(netuid),
                    $( $field: asked.contains(&$index).then(|| Self::reader($read)(&view)), )*
                    $( $extra: asked.contains(&$extra_index).then(|| Self::reader($extra_read)(&view)), )*
                })
            }
        }
    };
}

impl<T: Config> Pallet<T> {
    /// Lets the list below write a reader as a closure without naming its argument's type.
    fn reader<V>(read: impl Fn(&View<T>) -> V) -> impl Fn(&View<T>) -> V {
        read
    }
}

metagraph! {
    both:
    1 name: Vec<Compact<u8>> = |_| Vec::new();
    2 symbol: Vec<Compact<u8>> = |view|
        TokenSymbol::<T>::get(view.netuid).into_iter().map(Compact).collect();
    3 identity: Option<SubnetIdentityV3> = |_| None;
    4 network_registered_at: Compact<u64> = |view|
        Compact(NetworkRegisteredAt::<T>::get(view.netuid));
    5 owner_hotkey: AccountId = |view| view.owner_hotkey.clone();
    6 owner_coldkey: AccountId = |view| view.owner_coldkey.clone();
    7 block: Compact<u64> = |_| Compact(Self::block());
    8 tempo: Compact<u16> = |view| Compact(Tempo::<T>::get(view.netuid));
    9 last_step: Compact<u64> = |view| Compact(view.last_step());
    10 blocks_since_last_step: Compact<u64> = |view|
        Compact(Self::block().saturating_sub(view.last_step()));
    11 subnet_emission: Compact<u64> = |_| Compact(0);
    12 alpha_in: Compact<u64> = |_| Compact(0);
    13 alpha_out: Compact<u64> = |view|
        Compact(view.stake().iter().fold(0_u64, |sum, stake| sum.saturating_add(*stake)));
    14 tao_in: Compact<u64> = |_| Compact(0);
    15 alpha_out_emission: Compact<u64> = |_| Compact(0);
    16 alpha_in_emission: Compact<u64> = |_| Compact(0);
    17 tao_in_emission: Compact<u64> = |_| Compact(0);
    18 pending_alpha_emission: Compact<u64> = |_| Compact(0);
    19 pending_root_emission: Compact<u64> = |_| Compact(0);
    20 subnet_volume: Compact<u128> = |_| Compact(0);
    21 moving_price: FixedI128 = |_| FixedI128 { bits: 0 };
    22 rho: Compact<u16> = |_| Compact(10);
    23 kappa: Compact<u16> = |view| Compact(Kappa::<T>::get(view.netuid));
    24 min_allowed_weights: Compact<u16> = |view| Compact(MinAllowedWeights::<T>::get(view.netuid));
    25 max_weights_limit: Compact<u16> = |view| Compact(MaxWeightsLimit::<T>::get(view.netuid));
    26 weights_version: Compact<u64> = |view| Compact(WeightsVersionKey::<T>::get(view.netuid));
    27 weights_rate_limit: Compact<u64> = |view|
        Compact(WeightsSetRateLimit::<T>::get(view.netuid));
    28 activity_cutoff: Compact<u16> = |view| Compact(ActivityCutoff::<T>::get(view.netuid));
    29 max_validators: Compact<u16> = |view| Compact(MaxAllowedValidators::<T>::get(view.netuid));
    30 num_uids: Compact<u16> = |view| Compact(view.uids.end);
    31 max_uids: Compact<u16> = |view| Compact(MaxAllowedUids::<T>::get(view.netuid));
    32 burn: Compact<u64> = |view| Compact(Burn::<T>::get(view.netuid));
    33 difficulty: Compact<u64> = |_| Compact(0);
    34 registration_allowed: bool = |view| NetworkRegistrationAllowed::<T>::get(view.netuid);
    35 pow_registration_allowed: bool = |_| false;
    36 immunity_period: Compact<u16> = |view| Compact(ImmunityPeriod::<T>::get(view.netuid));
    37 min_difficulty: Compact<u64> = |_| Compact(0);
    38 max_difficulty: Compact<u64> = |_| Compact(0);
    39 min_burn: Compact<u64> = |view| Compact(Burn::<T>::get(view.netuid));
    40 max_burn: Compact<u64> = |view| Compact(Burn::<T>::get(view.netuid));
    41 adjustment_alpha: Compact<u64> = |_| Compact(0);
    42 adjustment_interval: Compact<u16> = |_| Compact(0);
    43 target_regs_per_interval: Compact<u16> = |_| Compact(0);
    44 max_regs_per_block: Compact<u16> = |_| Compact(u16::MAX);
    45 serving_rate_limit: Compact<u64> = |view| Compact(ServingRateLimit::<T>::get(view.netuid));
    46 commit_reveal_weights_enabled: bool = |view|
        CommitRevealWeightsEnabled::<T>::get(view.netuid);
    47 commit_reveal_period: Compact<u64> = |view|
        Compact(RevealPeriodEpochs::<T>::get(view.netuid));
    48 liquid_alpha_enabled: bool = |_| false;
    49 alpha_high: Compact<u16> = |_| Compact(58_982);
    50 alpha_low: Compact<u16> = |_| Compact(45_875);
    51 bonds_moving_avg: Compact<u64> = |view| Compact(BondsMovingAverage::<T>::get(view.netuid));
    52 hotkeys: Vec<AccountId> = |view| view.hotkeys.clone();
    53 coldkeys: Vec<AccountId> = |view| view.coldkeys();
    54 identities: Vec<Option<ChainIdentityV2>> = |view| view.per_uid(|_| None);
    55 axons: Vec<AxonInfo> = |view| view.axons();
    56 active: Vec<bool> = |view| view.column(Active::<T>::get(view.netuid));
    57 validator_permit: Vec<bool> = |view| view.column(ValidatorPermit::<T>::get(view.netuid));
    58 pruning_score: Vec<Compact<u16>> = |view| view.per_uid(|_| Compact(u16::MAX));
    59 last_update: Vec<Compact<u64>> = |view|
        view.compact_column(LastUpdate::<T>::get(view.index));
    60 emission: Vec<Compact<u64>> = |view| view.compact_column(Emission::<T>::get(view.netuid));
    61 dividends: Vec<Compact<u16>> = |view| view.compact_column(Dividends::<T>::get(view.netuid));
    62 incentives: Vec<Compact<u16>> = |view| view.compact_column(Incentive::<T>::get(view.index));
    63 consensus: Vec<Compact<u16>> = |view| view.compact_column(Consensus::<T>::get(view.netuid));
    64 trust: Vec<Compact<u16>> = |view| view.per_uid(|_| Compact(0));
    65 rank: Vec<Compact<u16>> = |view| view.per_uid(|_| Compact(0));
    66 block_at_registration: Vec<Compact<u64>> =
        |view| view.per_uid(|uid| Compact(BlockAtRegistration::<T>::get(view.netuid, uid)));
    67 alpha_stake: Vec<Compact<u64>> = |view| view.compact_column(view.stake());
    68 tao_stake: Vec<Compact<u64>> = |view| view.per_uid(|_| Compact(0));
    69 total_stake: Vec<Compact<u64>> = |view| view.compact_column(view.stake());
    70 tao_dividends_per_hotkey: Vec<(AccountId, Compact<u64>)> = |_| Vec::new();
    71 alpha_dividends_per_hotkey: Vec<(AccountId, Compact<u64>)> = |_| Vec::new();
    selective:
    72 validators: Vec<Compact<u16>> = |view| view.validators();
    73 commitments: Vec<(AccountId, Vec<Compact<u8>>)> = |view| view.commitments();
}
