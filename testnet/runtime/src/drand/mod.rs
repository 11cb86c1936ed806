//! Pallet `Drand`: the pulses of a randomness beacon. A pulse is the beacon's signature of its
//! round, and opens whatever was encrypted to that round.
//!
//! The live chain's nodes fetch quicknet's pulses over HTTP. A local chain has a beacon of its own
//! with quicknet's clock and a [key that everybody knows](beacon): its node writes the pulses of
//! the rounds that passed into each block.

pub mod beacon;
#[cfg(test)]
mod tests;
pub mod timelock;

pub use beacon::MAX_PULSES_PER_BLOCK;
pub use pallet::*;
pub use timelock::RoundNumber;

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::BoundedVec;
use frame_support::traits::ConstU32;
use scale_info::TypeInfo;
use sp_io::hashing::sha2_256;
use sp_runtime::MultiSigner;

/// A hash or a short name.
pub type BoundedHash = BoundedVec<u8, ConstU32<32>>;

/// Pulses kept, six hours of them: timelocked weights are revealed within an epoch or two of their
/// commit, which takes 72 minutes each on the live chain. (The live chain keeps a week's.)
pub const MAX_KEPT_PULSES: u64 = 7_200;

/// What a beacon is and how to check its pulses.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct BeaconConfiguration {
    /// Public key, a compressed point of G2.
    pub public_key: BoundedVec<u8, ConstU32<96>>,
    /// Seconds from one round to the next.
    pub period: u32,
    /// When round 1 was due, Unix seconds.
    pub genesis_time: u32,
    /// Hash of all this.
    pub hash: BoundedHash,
    /// Hash of those who hold the key.
    pub group_hash: BoundedHash,
    /// How it signs.
    pub scheme_id: BoundedHash,
    /// More about it.
    pub metadata: Metadata,
}

/// A beacon's name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Metadata {
    /// The name.
    pub beacon_id: BoundedHash,
}

/// What a beacon says in one round.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Pulse {
    /// The round.
    pub round: RoundNumber,
    /// sha256 of the signature.
    pub randomness: BoundedVec<u8, ConstU32<32>>,
    /// Signature of the round, a compressed point of G1.
    pub signature: BoundedVec<u8, ConstU32<144>>,
}

/// Pulses on their way into a block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct PulsesPayload<Public, BlockNumber> {
    /// Block in which they were fetched.
    pub block_number: BlockNumber,
    /// The pulses, one round after another.
    pub pulses: Vec<Pulse>,
    /// Who fetched them.
    pub public: Public,
}

/// What other pallets ask of this one.
pub trait PulseSource {
    /// The signature of a round, if its pulse is stored.
    fn signature(round: RoundNumber) -> Option<Vec<u8>>;
    /// The newest round stored; 0 before the first.
    fn last_stored_round() -> RoundNumber;
}

/// The pallet as FRAME expands it.
#[frame_support::pallet]
#[allow(clippy::expect_used, clippy::unwrap_used, reason = "the macro writes both")]
pub mod pallet {
    use super::{
        BeaconConfiguration, MAX_KEPT_PULSES, MAX_PULSES_PER_BLOCK, Pulse, PulsesPayload,
        RoundNumber, beacon,
    };
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_runtime::{MultiSignature, MultiSigner};

    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {}

    #[pallet::type_value]
    pub fn DefaultBeaconConfig() -> BeaconConfiguration {
        super::local_beacon()
    }
    #[pallet::storage]
    pub type BeaconConfig<T: Config> =
        StorageValue<_, BeaconConfiguration, ValueQuery, DefaultBeaconConfig>;
    #[pallet::storage]
    pub type Pulses<T: Config> = StorageMap<_, Blake2_128Concat, RoundNumber, Pulse, OptionQuery>;
    #[pallet::storage]
    pub type LastStoredRound<T: Config> = StorageValue<_, RoundNumber, ValueQuery>;
    #[pallet::storage]
    pub type OldestStoredRound<T: Config> = StorageValue<_, RoundNumber, ValueQuery>;

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// Pulses were stored.
        #[codec(index = 1)]
        NewPulse {
            /// Their rounds.
            rounds: Vec<RoundNumber>,
        },
    }

    #[pallet::error]
    pub enum Error<T> {
        /// Never returned; here for its place in the live chain's list.
        NoneValue,
        /// Never returned; here for its place in the live chain's list.
        StorageOverflow,
        /// Never returned; here for its place in the live chain's list.
        DrandConnectionFailure,
        /// The signature is not the beacon's, or the randomness not its hash.
        UnverifiedPulse,
        /// The round does not follow the last one stored.
        InvalidRoundNumber,
        /// The signature or the beacon's key is not a point of its group.
        PulseVerificationError,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Stores pulses, each of the round after the one before it; only the node that makes the
        /// block can call it.
        ///
        /// The first pulse may be of any round. So may one that comes after a gap of more rounds
        /// than are kept: a chain that stood still for so long need not write pulses that it would
        /// remove at once.
        #[pallet::call_index(0)]
        #[pallet::weight((Weight::from_parts(10_000, 0), DispatchClass::Operational, Pays::No))]
        pub fn write_pulse(
            origin: OriginFor<T>,
            pulses_payload: PulsesPayload<MultiSigner, BlockNumberFor<T>>,
            _signature: Option<MultiSignature>,
        ) -> DispatchResult {
            ensure_none(origin)?;
            ensure!(
                pulses_payload.pulses.len() as u64 <= MAX_PULSES_PER_BLOCK,
                Error::<T>::InvalidRoundNumber
            );
            let key = BeaconConfig::<T>::get().public_key;
            let mut last = LastStoredRound::<T>::get();
            let mut rounds = Vec::new();
            for pulse in pulses_payload.pulses {
                let round = pulse.round;
                let genuine = beacon::verify(&key, round, &pulse.signature);
                ensure!(
                    genuine.ok_or(Error::<T>::PulseVerificationError)?,
                    Error::<T>::UnverifiedPulse
                );
                ensure!(
                    pulse.randomness[..] == beacon::randomness(&pulse.signature),
                    Error::<T>::UnverifiedPulse
                );
                if last == 0 || round.saturating_sub(last) > MAX_KEPT_PULSES {
                    Self::anchor(round);
                } else {
                    ensure!(round == last.saturating_add(1), Error::<T>::InvalidRoundNumber);
                }
                Pulses::<T>::insert(round, pulse);
                last = round;
                rounds.push(round);
            }
            LastStoredRound::<T>::put(last);
            Self::prune(last);
            Self::deposit_event(Event::NewPulse { rounds });
            Ok(())
        }
    }

    impl<T: Config> Pallet<T> {
        /// Starts over at `round`.
        fn anchor(round: RoundNumber) {
            // No more than are kept, so one call removes them all.
            let _ = Pulses::<T>::clear(u32::MAX, None);
            OldestStoredRound::<T>::put(round);
        }

        /// Removes what is too old; as many as were added since the last time.
        fn prune(last: RoundNumber) {
            let oldest = last
                .saturating_sub(MAX_KEPT_PULSES.saturating_sub(1))
                .max(OldestStoredRound::<T>::get());
            for round in OldestStoredRound::<T>::get()..oldest {
                Pulses::<T>::remove(round);
            }
            OldestStoredRound::<T>::put(oldest);
        }
    }
}

impl<T: Config> PulseSource for Pallet<T> {
    fn signature(round: RoundNumber) -> Option<Vec<u8>> {
        Pulses::<T>::get(round).map(|pulse| pulse.signature.into_inner())
    }

    fn last_stored_round() -> RoundNumber {
        LastStoredRound::<T>::get()
    }
}

/// The local beacon as clients read of it.
fn local_beacon() -> BeaconConfiguration {
    let hash = |bytes: &[u8]| BoundedHash::truncate_from(bytes.to_vec());
    BeaconConfiguration {
        public_key: BoundedVec::truncate_from(beacon::public_key().to_vec()),
        period: beacon::PERIOD as u32,
        genesis_time: beacon::GENESIS_TIME as u32,
        hash: hash(&sha2_256(&beacon::public_key())),
        group_hash: hash(&sha2_256(beacon::SEED)),
        scheme_id: hash(beacon::SCHEME),
        metadata: Metadata { beacon_id: hash(beacon::NAME) },
    }
}

/// What the local beacon says in a round.
pub fn pulse(round: RoundNumber) -> Pulse {
    let signature = beacon::signature_of(round);
    let randomness = BoundedVec::truncate_from(beacon::randomness(&signature).to_vec());
    Pulse { round, randomness, signature: BoundedVec::truncate_from(signature) }
}

/// The call that puts `pulses` into the block `block_number`.
pub fn write<T: Config>(
    block_number: frame_system::pallet_prelude::BlockNumberFor<T>,
    pulses: Vec<Pulse>,
) -> Call<T> {
    let public = MultiSigner::Sr25519(sp_core::sr25519::Public::default());
    Call::write_pulse {
        pulses_payload: PulsesPayload { block_number, pulses, public },
        signature: None,
    }
}
