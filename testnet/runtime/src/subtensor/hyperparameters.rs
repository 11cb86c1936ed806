//! What a subnet's owner and the chain decide about it, with the live chain's defaults.

use frame_support::pallet_macros::pallet_section;

/// Imported into the pallet.
#[pallet_section]
mod hyperparameters {
    #[pallet::type_value]
    pub fn DefaultTempo() -> u16 {
        360
    }
    #[pallet::storage]
    pub type Tempo<T: Config> = StorageMap<_, Identity, u16, u16, ValueQuery, DefaultTempo>;
    #[pallet::type_value]
    pub fn DefaultMaxAllowedUids() -> u16 {
        4096
    }
    #[pallet::storage]
    pub type MaxAllowedUids<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultMaxAllowedUids>;
    #[pallet::type_value]
    pub fn DefaultMaxAllowedValidators() -> u16 {
        128
    }
    #[pallet::storage]
    pub type MaxAllowedValidators<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultMaxAllowedValidators>;
    #[pallet::type_value]
    pub fn DefaultImmunityPeriod() -> u16 {
        super::genesis::IMMUNITY_PERIOD
    }
    #[pallet::storage]
    pub type ImmunityPeriod<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultImmunityPeriod>;
    #[pallet::type_value]
    pub fn DefaultActivityCutoff() -> u16 {
        5000
    }
    #[pallet::storage]
    pub type ActivityCutoff<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultActivityCutoff>;
    #[pallet::type_value]
    pub fn DefaultRateLimit() -> u64 {
        super::genesis::WEIGHTS_RATE_LIMIT
    }
    #[pallet::storage]
    pub type WeightsSetRateLimit<T: Config> =
        StorageMap<_, Identity, u16, u64, ValueQuery, DefaultRateLimit>;
    #[pallet::storage]
    pub type WeightsVersionKey<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery>;
    #[pallet::type_value]
    pub fn DefaultMinAllowedWeights() -> u16 {
        1
    }
    #[pallet::storage]
    pub type MinAllowedWeights<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultMinAllowedWeights>;
    #[pallet::type_value]
    pub fn DefaultMaxWeightsLimit() -> u16 {
        u16::MAX
    }
    #[pallet::storage]
    pub type MaxWeightsLimit<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultMaxWeightsLimit>;
    #[pallet::type_value]
    pub fn DefaultCommitReveal() -> bool {
        true
    }
    #[pallet::storage]
    pub type CommitRevealWeightsEnabled<T: Config> =
        StorageMap<_, Identity, u16, bool, ValueQuery, DefaultCommitReveal>;
    #[pallet::type_value]
    pub fn DefaultRevealPeriod() -> u64 {
        super::genesis::REVEAL_PERIOD
    }
    #[pallet::storage]
    pub type RevealPeriodEpochs<T: Config> =
        StorageMap<_, Twox64Concat, u16, u64, ValueQuery, DefaultRevealPeriod>;
    #[pallet::type_value]
    pub fn DefaultCommitRevealVersion() -> u16 {
        4
    }
    #[pallet::storage]
    pub type CommitRevealWeightsVersion<T: Config> =
        StorageValue<_, u16, ValueQuery, DefaultCommitRevealVersion>;
    #[pallet::type_value]
    pub fn DefaultServingRateLimit() -> u64 {
        super::genesis::SERVING_RATE_LIMIT
    }
    #[pallet::storage]
    pub type ServingRateLimit<T: Config> =
        StorageMap<_, Identity, u16, u64, ValueQuery, DefaultServingRateLimit>;
    #[pallet::type_value]
    pub fn DefaultKappa() -> u16 {
        32_767
    }
    #[pallet::storage]
    pub type Kappa<T: Config> = StorageMap<_, Identity, u16, u16, ValueQuery, DefaultKappa>;
    #[pallet::type_value]
    pub fn DefaultBondsMovingAverage() -> u64 {
        900_000
    }
    #[pallet::storage]
    pub type BondsMovingAverage<T: Config> =
        StorageMap<_, Identity, u16, u64, ValueQuery, DefaultBondsMovingAverage>;
    #[pallet::type_value]
    pub fn DefaultBondsPenalty() -> u16 {
        u16::MAX
    }
    #[pallet::storage]
    pub type BondsPenalty<T: Config> =
        StorageMap<_, Identity, u16, u16, ValueQuery, DefaultBondsPenalty>;
    #[pallet::type_value]
    pub fn DefaultRegistrationAllowed() -> bool {
        true
    }
    #[pallet::storage]
    pub type NetworkRegistrationAllowed<T: Config> =
        StorageMap<_, Identity, u16, bool, ValueQuery, DefaultRegistrationAllowed>;
    #[pallet::type_value]
    pub fn DefaultBurn() -> u64 {
        super::genesis::BURN
    }
    #[pallet::storage]
    pub type Burn<T: Config> = StorageMap<_, Identity, u16, u64, ValueQuery, DefaultBurn>;
    /// Stake below which a hotkey may not set weights, rao.
    #[pallet::storage]
    pub type StakeThreshold<T: Config> = StorageValue<_, u64, ValueQuery>;
    /// Whether `serve_axon` takes 127.0.0.1 and ::1, which the live chain refuses. Only a local
    /// chain has this item.
    #[pallet::storage]
    pub type LoopbackAxonsAllowed<T: Config> = StorageValue<_, bool, ValueQuery>;
}
