//! Pallet `Commitments`: a few bytes that each neuron publishes, replaced by the next ones.

mod data;
mod reveal;
#[cfg(test)]
mod tests;

pub use data::{Data, MAX_BIG_RAW};
pub use pallet::*;

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::BoundedVec;
use frame_support::traits::ConstU32;
use scale_info::TypeInfo;

/// Most fields of one commitment.
pub const MAX_FIELDS: u32 = 3;
/// Space that a call costs at least, bytes.
pub(crate) const MIN_CHARGE: u64 = 100;
/// Space that an account has per subnet and epoch, bytes.
pub(crate) const MAX_SPACE: u32 = 3_100;
/// Revealed fields kept of an account, the newest.
pub(crate) const MAX_REVEALED: usize = 10;

/// What an account commits to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CommitmentInfo {
    /// The fields.
    pub fields: BoundedVec<Data, ConstU32<MAX_FIELDS>>,
}

/// A stored commitment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Registration {
    /// Held deposit, always 0.
    pub deposit: u64,
    /// Block of the commitment.
    pub block: u32,
    /// What was committed.
    pub info: CommitmentInfo,
}

/// Space an account used in its last epoch of activity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct UsageTracker {
    /// Epoch the count belongs to.
    pub last_epoch: u64,
    /// Bytes charged in it.
    pub used_space: u64,
}

/// What this pallet asks of the subnets.
pub trait Subnets<AccountId> {
    /// Whether the account may commit on the subnet.
    fn can_commit(netuid: u16, who: &AccountId) -> bool;
    /// The subnet's epoch counter.
    fn epoch(netuid: u16) -> u64;
}

/// The pallet as FRAME expands it.
#[frame_support::pallet]
#[allow(clippy::expect_used, clippy::unwrap_used, reason = "the macro writes both")]
pub mod pallet {
    use super::{CommitmentInfo, Data, MAX_SPACE, MIN_CHARGE, Registration, Subnets, UsageTracker};
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_runtime::traits::UniqueSaturatedInto;
    use std::collections::BTreeSet;

    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// Who may commit, and when the space limit starts anew.
        type Subnets: Subnets<Self::AccountId>;
        /// The beacon whose pulses open timelocked fields.
        type Drand: crate::drand::PulseSource;
    }

    #[pallet::storage]
    pub type CommitmentOf<T: Config> =
        StorageDoubleMap<_, Identity, u16, Twox64Concat, T::AccountId, Registration, OptionQuery>;
    #[pallet::storage]
    pub type LastCommitment<T: Config> =
        StorageDoubleMap<_, Identity, u16, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// Revealed timelocked fields, oldest first, with the blocks in which they were revealed.
    #[pallet::storage]
    pub type RevealedCommitments<T: Config> = StorageDoubleMap<
        _,
        Identity,
        u16,
        Twox64Concat,
        T::AccountId,
        Vec<(Vec<u8>, u64)>,
        OptionQuery,
    >;
    /// Whose commitments have a timelocked field.
    #[pallet::storage]
    pub type TimelockedIndex<T: Config> =
        StorageValue<_, BTreeSet<(u16, T::AccountId)>, ValueQuery>;
    #[pallet::storage]
    pub type UsedSpaceOf<T: Config> =
        StorageDoubleMap<_, Identity, u16, Twox64Concat, T::AccountId, UsageTracker, OptionQuery>;
    #[pallet::storage]
    pub type MaxSpace<T: Config> = StorageValue<_, u32, ValueQuery, ConstU32<MAX_SPACE>>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A commitment was stored.
        Commitment {
            /// Subnet.
            netuid: u16,
            /// Account.
            who: T::AccountId,
        },
        /// A timelocked commitment was stored.
        TimelockCommitment {
            /// Subnet.
            netuid: u16,
            /// Account.
            who: T::AccountId,
            /// Round that decrypts it.
            reveal_round: u64,
        },
        /// A timelocked field was revealed.
        CommitmentRevealed {
            /// Subnet.
            netuid: u16,
            /// Account.
            who: T::AccountId,
        },
    }

    #[pallet::error]
    pub enum Error<T> {
        /// More than three fields.
        TooManyFieldsInCommitmentInfo,
        /// The account is not registered on the subnet.
        AccountNotAllowedCommit,
        /// The epoch's space is used up.
        SpaceLimitExceeded,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            Self::reveal_timelocked();
            Weight::zero()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Replaces the signing hotkey's commitment on `netuid`.
        #[pallet::call_index(0)]
        #[pallet::weight((Weight::from_parts(10_000, 0), DispatchClass::Normal, Pays::No))]
        pub fn set_commitment(
            origin: OriginFor<T>,
            netuid: u16,
            info: Box<CommitmentInfo>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            ensure!(T::Subnets::can_commit(netuid, &who), Error::<T>::AccountNotAllowedCommit);
            Self::charge_space(netuid, &who, &info)?;
            let block: u32 = frame_system::Pallet::<T>::block_number().unique_saturated_into();
            let reveal_round = info.fields.iter().find_map(|field| match field {
                Data::TimelockEncrypted { reveal_round, .. } => Some(*reveal_round),
                _ => None,
            });
            CommitmentOf::<T>::insert(
                netuid,
                &who,
                Registration { deposit: 0, block, info: *info },
            );
            LastCommitment::<T>::insert(netuid, &who, block);
            Self::index_timelocked(netuid, who.clone());
            Self::deposit_event(match reveal_round {
                Some(reveal_round) => Event::TimelockCommitment { netuid, who, reveal_round },
                None => Event::Commitment { netuid, who },
            });
            Ok(())
        }
    }

    impl<T: Config> Pallet<T> {
        fn charge_space(netuid: u16, who: &T::AccountId, info: &CommitmentInfo) -> DispatchResult {
            let epoch = T::Subnets::epoch(netuid);
            let mut usage = UsedSpaceOf::<T>::get(netuid, who).unwrap_or_default();
            if usage.last_epoch != epoch {
                usage = UsageTracker { last_epoch: epoch, used_space: 0 };
            }
            let needed = info
                .fields
                .iter()
                .fold(0, |sum: u64, field| sum.saturating_add(field.charged_len()));
            usage.used_space = usage.used_space.saturating_add(needed.max(MIN_CHARGE));
            ensure!(
                usage.used_space <= u64::from(MaxSpace::<T>::get()),
                Error::<T>::SpaceLimitExceeded
            );
            UsedSpaceOf::<T>::insert(netuid, who, usage);
            Ok(())
        }
    }
}
