//! Pallet `Aura`, as much of it as clients read: how long a slot takes. The node's clock makes the
//! blocks; nothing here does.

pub use pallet::*;

/// The pallet as FRAME expands it.
#[frame_support::pallet]
#[allow(clippy::expect_used, clippy::unwrap_used, reason = "the macro writes both")]
pub mod pallet {
    use frame_support::pallet_prelude::*;

    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config {
        /// Milliseconds of a block. Clients foretell from it when a future block will be.
        #[pallet::constant]
        type SlotDuration: Get<u64>;
    }

    #[pallet::type_value]
    pub fn DefaultSlotMilliseconds() -> u64 {
        12_000
    }
    /// What genesis says of the chain's block time; the live chain's where it says nothing. Only a
    /// local chain has this item.
    #[pallet::storage]
    pub type SlotMilliseconds<T: Config> =
        StorageValue<_, u64, ValueQuery, DefaultSlotMilliseconds>;

    /// The constant's value, which here each chain chooses: metadata is made from the state.
    #[derive(Debug)]
    pub struct ChosenSlot<T>(PhantomData<T>);

    impl<T: Config> Get<u64> for ChosenSlot<T> {
        fn get() -> u64 {
            SlotMilliseconds::<T>::get()
        }
    }

    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Milliseconds of a block; 0 leaves the live chain's.
        pub slot_milliseconds: u64,
        #[serde(skip)]
        /// Ties the document to the runtime.
        pub _config: PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            if self.slot_milliseconds != 0 {
                SlotMilliseconds::<T>::put(self.slot_milliseconds);
            }
        }
    }
}
