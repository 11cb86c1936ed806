//! What a subnet's owner and the chain decide about it, with the live chain's defaults.

use frame_support::pallet_macros::pallet_section;

/// Imported into the pallet.
#[pallet_section]
mod hyperparameters {
    #[pallet::storage]
    pub type Tempo<T: Config> = StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<360>>;
    #[pallet::storage]
    pub type MaxAllowedUids<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<4096>>;
    #[pallet::storage]
    pub type MaxAllowedValidators<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<128>>;
    #[pallet::storage]
    pub type ImmunityPeriod<T: Config> = StorageMap<
        _,
        Identity,
        u16,
        u16,
        ValueQuery,
        ConstU16<{ super::genesis::IMMUNITY_PERIOD }>,
    >;
    #[pallet::storage]
    pub type ActivityCutoff<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<5000>>;
    #[pallet::storage]
    pub type WeightsSetRateLimit<T: Config> = StorageMap<
        _,
        Identity,
        u16,
        u64,
        ValueQuery,
        ConstU64<{ super::genesis::WEIGHTS_RATE_LIMIT }>,
    >;
    #[pallet::storage]
    pub type WeightsVersionKey<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    #[pallet::storage]
    pub type MinAllowedWeights<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<1>>;
    #[pallet::storage]
    pub type MaxWeightsLimit<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<{ u16::MAX }>>;
    #[pallet::storage]
    pub type CommitRevealWeightsEnabled<T: Config> =
        StorageMap<_, Identity, u16, bool, ValueQuery, ConstBool<true>>;
    #[pallet::storage]
    pub type RevealPeriodEpochs<T: Config> = StorageMap<
        _,
        Twox64Concat,
        u16,
        u64,
        ValueQuery,
        ConstU64<{ super::genesis::REVEAL_PERIOD }>,
    >;
    #[pallet::type_value]
    pub fn DefaultCommitRevealVersion() -> u16 {
        4
    }
    #[pallet::storage]
    pub type CommitRevealWeightsVersion<T: Config> =
        StorageValue<_, u16, ValueQuery, DefaultCommitRevealVersion>;
    #[pallet::storage]
    pub type ServingRateLimit<T: Config> = StorageMap<
        _,
        Identity,
        u16,
        u64,
        ValueQuery,
        ConstU64<{ super::genesis::SERVING_RATE_LIMIT }>,
    >;
    #[pallet::storage]
    pub type Kappa<T: Config> = StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<32_767>>;
    #[pallet::storage]
    pub type BondsMovingAverage<T: Config> =
        StorageMap<_, Identity, u16, u64, ValueQuery, ConstU64<900_000>>;
    #[pallet::storage]
    pub type BondsPenalty<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, ConstU16<{ u16::MAX }>>;
    #[pallet::storage]
    pub type NetworkRegistrationAllowed<T: Config> =
        StorageMap<_, Identity, u16, bool, ValueQuery, ConstBool<true>>;
    #[pallet::storage]
    pub type Burn<T: Config> =
        StorageMap<_, Identity, u16, u64, ValueQuery, ConstU64<{ super::genesis::BURN }>>;
    /// Stake below which a hotkey may not set weights, rao.
    #[pallet::storage]
    pub type StakeThreshold<T: Config> = StorageValue<_, u64, ValueQuery>;
    /// Whether `serve_axon` takes 127.0.0.1 and ::1, which the live chain refuses. Only a local
    /// chain has this item.
    #[pallet::storage]
    pub type LoopbackAxonsAllowed<T: Config> = StorageValue<_, bool, ValueQuery>;
}
