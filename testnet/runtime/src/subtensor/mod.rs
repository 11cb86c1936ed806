//! Pallet `SubtensorModule`: subnets, their neurons, the weights validators set and the epoch that
//! scores them.
//!
//! Names, key hashers, value types, call arguments and errors are those of the live chain, so that
//! a client that reads by name cannot tell the difference. What a validator never meets (liquidity
//! pools, child keys, leases) is left out.

mod axons;
mod commit_reveal;
mod epoch;
mod extension;
mod fixed;
mod genesis;
mod hyperparameters;
pub mod metagraph;
pub mod neurons;
mod outcomes;
mod registration;
pub mod subnet_state;
mod terms;
#[cfg(test)]
mod tests;
mod timelocked;
mod weights;
pub mod yuma;

pub use extension::{InvalidCode, SubtensorTransactionExtension};
pub use genesis::{NeuronGenesis, SubnetGenesis};
pub use pallet::*;
pub use terms::{CommitmentSource, MAX_TIMELOCKED_BYTES, TimelockedCommit, TimelockedWeights};
pub(crate) use terms::{MECHANISM_STRIDE, ROOT_NETUID};
pub use timelocked::WeightsTlockPayload;

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::pallet_macros::import_section;
use scale_info::TypeInfo;

/// Where a neuron can be reached, as its hotkey announced it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct AxonInfo {
    /// Block of the announcement.
    pub block: u64,
    /// Software version of the neuron.
    pub version: u32,
    /// Address as an integer, IPv4 in the low 32 bits.
    pub ip: u128,
    /// Port.
    pub port: u16,
    /// 4 or 6.
    pub ip_type: u8,
    /// Protocol number, free to the subnet.
    pub protocol: u8,
    /// Free to the subnet.
    pub placeholder1: u8,
    /// Free to the subnet.
    pub placeholder2: u8,
}

/// How a subnet's epoch turns weights into emission; clients ask before they set weights.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo,
)]
pub enum EpochConsensus {
    /// Yuma consensus, the only one here.
    #[default]
    Yuma,
    /// None: one validator decides.
    Null,
}

/// The pallet as FRAME expands it.
#[import_section(hyperparameters::hyperparameters)]
#[import_section(outcomes::outcomes)]
#[frame_support::pallet]
#[allow(clippy::expect_used, clippy::unwrap_used, reason = "the macro writes both")]
#[allow(clippy::too_many_arguments, reason = "the live chain's argument lists")]
pub mod pallet {
    use super::{
        AxonInfo, CommitmentSource, EpochConsensus, SubnetGenesis, TimelockedCommit,
        TimelockedWeights,
    };
    use crate::drand::RoundNumber;
    use frame_support::pallet_prelude::*;
    use frame_support::traits::{ConstBool, ConstU8, ConstU16, ConstU64, fungible};
    use frame_system::pallet_prelude::*;
    use sp_core::H256;
    use sp_runtime::traits::TrailingZeroInput;

    /// Nothing is paid for these calls, and a local chain never fills its blocks.
    const FREE: (Weight, DispatchClass, Pays) =
        (Weight::from_parts(10_000, 0), DispatchClass::Normal, Pays::No);

    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// What registrations are paid in, rao.
        type Currency: fungible::Inspect<Self::AccountId, Balance = u64>
            + fungible::Mutate<Self::AccountId>;
        /// The commitments of a subnet, for the selective metagraph.
        type Commitments: CommitmentSource<Self::AccountId>;
        /// The beacon whose pulses open timelocked weights.
        type Drand: crate::drand::PulseSource;
    }

    /// What the live chain answers where nobody is stored: the account of zeros.
    #[pallet::type_value]
    pub fn NobodysAccount<T: Config>() -> T::AccountId {
        #[expect(clippy::expect_used, reason = "an account is 32 bytes, and any 32 bytes are one")]
        T::AccountId::decode(&mut TrailingZeroInput::zeroes()).expect("zeros are an account")
    }

    // ---- subnets

    #[pallet::storage]
    pub type NetworksAdded<T: Config> = StorageMap<_, Identity, u16, bool, ValueQuery>;
    #[pallet::storage]
    pub type TotalNetworks<T: Config> = StorageValue<_, u16, ValueQuery>;
    #[pallet::storage]
    pub type NetworkRegisteredAt<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    #[pallet::storage]
    pub type SubnetOwner<T: Config> =
        StorageMap<_, Identity, u16, T::AccountId, ValueQuery, NobodysAccount<T>>;
    #[pallet::storage]
    pub type SubnetOwnerHotkey<T: Config> =
        StorageMap<_, Identity, u16, T::AccountId, ValueQuery, NobodysAccount<T>>;
    #[pallet::storage]
    pub type SubnetworkN<T: Config> = StorageMap<_, Identity, u16, u16, ValueQuery>;
    #[pallet::type_value]
    pub fn DefaultTokenSymbol() -> Vec<u8> {
        "\u{1D70F}".as_bytes().to_vec()
    }
    #[pallet::storage]
    pub type TokenSymbol<T: Config> =
        StorageMap<_, Identity, u16, Vec<u8>, ValueQuery, DefaultTokenSymbol>;
    #[pallet::storage]
    pub type MechanismCountCurrent<T: Config> =
        StorageMap<_, Twox64Concat, u16, u8, ValueQuery, ConstU8<1>>;

    // ---- neurons

    #[pallet::storage]
    pub type Uids<T: Config> =
        StorageDoubleMap<_, Identity, u16, Blake2_128Concat, T::AccountId, u16, OptionQuery>;
    #[pallet::storage]
    pub type Keys<T: Config> = StorageDoubleMap<
        _,
        Identity,
        u16,
        Identity,
        u16,
        T::AccountId,
        ValueQuery,
        NobodysAccount<T>,
    >;
    #[pallet::storage]
    pub type Owner<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, ValueQuery, NobodysAccount<T>>;
    #[pallet::storage]
    pub type OwnedHotkeys<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, Vec<T::AccountId>, ValueQuery>;
    #[pallet::storage]
    pub type IsNetworkMember<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, u16, bool, ValueQuery>;
    #[pallet::storage]
    pub type BlockAtRegistration<T: Config> =
        StorageDoubleMap<_, Identity, u16, Identity, u16, u64, ValueQuery>;
    #[pallet::storage]
    pub type Axons<T: Config> =
        StorageDoubleMap<_, Identity, u16, Blake2_128Concat, T::AccountId, AxonInfo, OptionQuery>;
    /// Stake of a hotkey on a subnet, rao of that subnet's token.
    #[pallet::storage]
    pub type TotalHotkeyAlpha<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, u16, u64, ValueQuery>;

    // ---- what an epoch reads and writes; keyed by storage index, one entry per uid

    #[pallet::storage]
    pub type Weights<T: Config> =
        StorageDoubleMap<_, Identity, u16, Identity, u16, Vec<(u16, u16)>, ValueQuery>;
    #[pallet::storage]
    pub type Bonds<T: Config> =
        StorageDoubleMap<_, Identity, u16, Identity, u16, Vec<(u16, u16)>, ValueQuery>;
    #[pallet::storage]
    pub type LastUpdate<T: Config> = StorageMap<_, Identity, u16, Vec<u64>, ValueQuery>;
    #[pallet::storage]
    pub type Active<T: Config> = StorageMap<_, Identity, u16, Vec<bool>, ValueQuery>;
    #[pallet::storage]
    pub type ValidatorPermit<T: Config> = StorageMap<_, Identity, u16, Vec<bool>, ValueQuery>;
    #[pallet::storage]
    pub type Consensus<T: Config> = StorageMap<_, Identity, u16, Vec<u16>, ValueQuery>;
    #[pallet::storage]
    pub type Incentive<T: Config> = StorageMap<_, Identity, u16, Vec<u16>, ValueQuery>;
    #[pallet::storage]
    pub type Dividends<T: Config> = StorageMap<_, Identity, u16, Vec<u16>, ValueQuery>;
    #[pallet::storage]
    pub type ValidatorTrust<T: Config> = StorageMap<_, Identity, u16, Vec<u16>, ValueQuery>;
    /// Share of the subnet's emission that each uid earned in the last epoch, in parts of 10⁹
    /// (nothing is minted here).
    #[pallet::storage]
    pub type Emission<T: Config> = StorageMap<_, Identity, u16, Vec<u64>, ValueQuery>;
    #[pallet::storage]
    pub type LastEpochBlock<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    /// Block in which an epoch is due before its tempo is over; 0 where none is.
    #[pallet::storage]
    pub type PendingEpochAt<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    #[pallet::storage]
    pub type BlocksSinceLastStep<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    /// Spelled as on the live chain. The same as `LastEpochBlock`: no epoch fails here.
    #[pallet::storage]
    pub type LastMechansimStepBlock<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    #[pallet::storage]
    pub type SubnetEpochIndex<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    /// Never written: every subnet runs Yuma consensus.
    #[pallet::storage]
    pub type SubnetEpochConsensus<T: Config> =
        StorageMap<_, Identity, u16, EpochConsensus, ValueQuery>;
    /// Hashes committed and not yet revealed: (hash, commit epoch, commit block, first block after
    /// the reveal window as estimated at commit). Keyed by storage index and hotkey.
    #[pallet::storage]
    pub type WeightCommits<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        u16,
        Twox64Concat,
        T::AccountId,
        Vec<(H256, u64, u64, u64)>,
        OptionQuery,
    >;
    /// Timelocked commits not yet revealed, by storage index and commit epoch.
    #[pallet::storage]
    pub type TimelockedWeightCommits<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        u16,
        Twox64Concat,
        u64,
        Vec<TimelockedCommit<T::AccountId>>,
        ValueQuery,
    >;

    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Subnets with their neurons.
        pub subnets: Vec<SubnetGenesis<T::AccountId>>,
        /// Stake below which a hotkey may not set weights, rao.
        pub stake_threshold: u64,
        /// See [`LoopbackAxonsAllowed`].
        pub loopback_axons: bool,
        /// The version that timelocked commits must name; 0 leaves the live chain's.
        pub commit_reveal_version: u16,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            StakeThreshold::<T>::put(self.stake_threshold);
            LoopbackAxonsAllowed::<T>::put(self.loopback_axons);
            if self.commit_reveal_version != 0 {
                CommitRevealWeightsVersion::<T>::put(self.commit_reveal_version);
            }
            for subnet in &self.subnets {
                Pallet::<T>::found_subnet(subnet);
            }
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            Self::reveal_timelocked();
            Self::run_due_epochs();
            Weight::zero()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Stores the weights that the signing hotkey gives to `dests`.
        #[pallet::call_index(0)]
        #[pallet::weight(FREE)]
        pub fn set_weights(
            origin: OriginFor<T>,
            netuid: u16,
            dests: Vec<u16>,
            weights: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            Self::do_set_weights(ensure_signed(origin)?, netuid, 0, dests, weights, version_key)
        }

        /// Announces the signing hotkey's address.
        #[pallet::call_index(4)]
        #[pallet::weight(FREE)]
        pub fn serve_axon(
            origin: OriginFor<T>,
            netuid: u16,
            version: u32,
            ip: u128,
            port: u16,
            ip_type: u8,
            protocol: u8,
            placeholder1: u8,
            placeholder2: u8,
        ) -> DispatchResult {
            let hotkey = ensure_signed(origin)?;
            let block = Self::block();
            let axon = AxonInfo {
                block,
                version,
                ip,
                port,
                ip_type,
                protocol,
                placeholder1,
                placeholder2,
            };
            Self::do_serve_axon(hotkey, netuid, axon)
        }

        /// Registers `hotkey`; the signing coldkey pays the burn.
        #[pallet::call_index(7)]
        #[pallet::weight(FREE)]
        pub fn burned_register(
            origin: OriginFor<T>,
            netuid: u16,
            hotkey: T::AccountId,
        ) -> DispatchResult {
            Self::do_burned_register(ensure_signed(origin)?, netuid, hotkey)
        }

        /// Commits to the hash of a weight vector.
        #[pallet::call_index(96)]
        #[pallet::weight(FREE)]
        pub fn commit_weights(
            origin: OriginFor<T>,
            netuid: u16,
            commit_hash: H256,
        ) -> DispatchResult {
            Self::do_commit_weights(ensure_signed(origin)?, netuid, 0, commit_hash)
        }

        /// Reveals a committed vector and stores it.
        #[pallet::call_index(97)]
        #[pallet::weight(FREE)]
        pub fn reveal_weights(
            origin: OriginFor<T>,
            netuid: u16,
            uids: Vec<u16>,
            values: Vec<u16>,
            salt: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            Self::do_reveal_weights(
                ensure_signed(origin)?,
                netuid,
                0,
                uids,
                values,
                salt,
                version_key,
            )
        }

        /// Commits to an encrypted weight vector that the chain reveals once the pulse of
        /// `reveal_round` is there.
        #[pallet::call_index(113)]
        #[pallet::weight(FREE)]
        pub fn commit_timelocked_weights(
            origin: OriginFor<T>,
            netuid: u16,
            commit: TimelockedWeights,
            reveal_round: RoundNumber,
            commit_reveal_version: u16,
        ) -> DispatchResult {
            Self::do_commit_timelocked(
                ensure_signed(origin)?,
                netuid,
                0,
                commit,
                reveal_round,
                commit_reveal_version,
            )
        }

        /// [`Pallet::commit_weights`] for one mechanism.
        #[pallet::call_index(115)]
        #[pallet::weight(FREE)]
        pub fn commit_mechanism_weights(
            origin: OriginFor<T>,
            netuid: u16,
            mecid: u8,
            commit_hash: H256,
        ) -> DispatchResult {
            Self::do_commit_weights(ensure_signed(origin)?, netuid, mecid, commit_hash)
        }

        /// [`Pallet::reveal_weights`] for one mechanism.
        #[pallet::call_index(116)]
        #[pallet::weight(FREE)]
        pub fn reveal_mechanism_weights(
            origin: OriginFor<T>,
            netuid: u16,
            mecid: u8,
            uids: Vec<u16>,
            values: Vec<u16>,
            salt: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            Self::do_reveal_weights(
                ensure_signed(origin)?,
                netuid,
                mecid,
                uids,
                values,
                salt,
                version_key,
            )
        }

        /// [`Pallet::commit_timelocked_weights`] for one mechanism.
        #[pallet::call_index(118)]
        #[pallet::weight(FREE)]
        pub fn commit_timelocked_mechanism_weights(
            origin: OriginFor<T>,
            netuid: u16,
            mecid: u8,
            commit: TimelockedWeights,
            reveal_round: RoundNumber,
            commit_reveal_version: u16,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_commit_timelocked(
                who,
                netuid,
                mecid,
                commit,
                reveal_round,
                commit_reveal_version,
            )
        }

        /// [`Pallet::set_weights`] for one mechanism.
        #[pallet::call_index(119)]
        #[pallet::weight(FREE)]
        pub fn set_mechanism_weights(
            origin: OriginFor<T>,
            netuid: u16,
            mecid: u8,
            dests: Vec<u16>,
            weights: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            Self::do_set_weights(ensure_signed(origin)?, netuid, mecid, dests, weights, version_key)
        }
    }
}
