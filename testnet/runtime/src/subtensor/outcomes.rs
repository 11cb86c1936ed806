//! What a call can end in: the pallet's events and its errors, by the live chain's names.

use frame_support::pallet_macros::pallet_section;

/// Imported into the pallet.
#[pallet_section]
mod outcomes {
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// Weights were stored: storage index, uid.
        #[codec(index = 5)]
        WeightsSet(u16, u16),
        /// A neuron joined: netuid, uid, hotkey.
        #[codec(index = 6)]
        NeuronRegistered(u16, u16, T::AccountId),
        /// An address was announced: netuid, hotkey.
        #[codec(index = 28)]
        AxonServed(u16, T::AccountId),
        /// A weight hash was committed: hotkey, storage index, hash.
        #[codec(index = 79)]
        WeightsCommitted(T::AccountId, u16, H256),
        /// A committed vector was revealed: hotkey, storage index, hash.
        #[codec(index = 80)]
        WeightsRevealed(T::AccountId, u16, H256),
        /// A timelocked vector was committed: hotkey, storage index, hash of the ciphertext, round
        /// that opens it.
        #[codec(index = 108)]
        TimelockedWeightsCommitted(T::AccountId, u16, H256, u64),
        /// A timelocked vector was revealed and stored: storage index, hotkey.
        #[codec(index = 109)]
        TimelockedWeightsRevealed(u16, T::AccountId),
    }

    #[pallet::error]
    pub enum Error<T> {
        /// The IP version is neither 4 nor 6.
        InvalidIpType,
        /// The address is zero, broadcast or (where refused) loopback.
        InvalidIpAddress,
        /// The port is zero.
        InvalidPort,
        /// The hotkey has no uid on this subnet.
        HotKeyNotRegisteredInSubNet,
        /// The hotkey has no owner.
        HotKeyAccountNotExists,
        /// The hotkey has no uid on this subnet (serving).
        HotKeyNotRegisteredInNetwork,
        /// The hotkey belongs to another coldkey.
        NonAssociatedColdKey,
        /// The hotkey's stake is below `StakeThreshold`.
        NotEnoughStakeToSetWeights,
        /// The coldkey cannot pay the burn.
        NotEnoughBalanceToStake,
        /// The uid has no validator permit and the vector is not a single self-weight.
        NeuronNoValidatorPermit,
        /// Uids and values differ in length.
        WeightVecNotEqualSize,
        /// A uid appears twice.
        DuplicateUids,
        /// A uid is not on the subnet.
        UidVecContainInvalidOne,
        /// Fewer weights than `MinAllowedWeights`.
        WeightVecLengthIsLow,
        /// The hotkey already has a uid on this subnet.
        HotKeyAlreadyRegisteredInSubNet,
        /// One weight takes a larger share than `MaxWeightsLimit`.
        MaxWeightExceeded,
        /// `WeightsSetRateLimit` blocks have not passed.
        SettingWeightsTooFast,
        /// The version key is older than `WeightsVersionKey`.
        IncorrectWeightVersionKey,
        /// `ServingRateLimit` blocks have not passed.
        ServingRateLimitExceeded,
        /// More uids than the subnet has.
        UidsLengthExceedUidsInSubNet,
        /// The subnet takes no registrations.
        SubNetRegistrationDisabled,
        /// The root network takes no registrations of this kind.
        RegistrationNotPermittedOnRootSubnet,
        /// The root network takes no weights of this kind.
        CanNotSetRootNetworkWeights,
        /// The subnet is full and every neuron is immune.
        NoNeuronIdAvailable,
        /// There is no unrevealed commit.
        NoWeightsCommitFound,
        /// The revealed vector has another hash than the commit.
        InvalidRevealCommitHashNotMatch,
        /// The subnet takes committed weights only.
        CommitRevealEnabled,
        /// The subnet takes plain weights only.
        CommitRevealDisabled,
        /// The subnet has no such mechanism.
        MechanismDoesNotExist,
        /// There is no such subnet.
        SubnetNotExists,
        /// Ten commits wait for their reveal.
        TooManyUnrevealedCommits,
        /// The reveal epoch of this commit is over.
        ExpiredWeightCommit,
        /// The reveal epoch of this commit has not begun.
        RevealTooEarly,
        /// Uids, values and salt do not fit together.
        InputLengthsUnequal,
        /// `WeightsSetRateLimit` blocks have not passed (committing).
        CommittingWeightsTooFast,
        /// The commit names another version than `CommitRevealWeightsVersion`.
        IncorrectCommitRevealVersion,
        /// The pulse of the reveal round is there already, and so is a later one.
        InvalidRevealRound,
    }
}
