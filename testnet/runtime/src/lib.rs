//! A native FRAME runtime with the pallets of Bittensor's Subtensor that a validator talks to.
//!
//! It compiles to machine code, not to WebAssembly: a local node links it and runs it in place.
//! Calls, storage, events, errors and runtime APIs carry the live chain's names and types, so
//! production's client is used unchanged against it. [`RuntimeCall`] and [`RuntimeEvent`] stay at
//! the root of a crate of this name because Python clients find them by that path.
//!
//! ```
//! use codec::Decode;
//! use node_subtensor_runtime::{Genesis, apis::api};
//!
//! // A runtime API call: name, encoded arguments, encoded answer. Its state is that of the
//! // surrounding externalities.
//! let mut state = Genesis::default().storage().map(sp_io::TestExternalities::new)?;
//! let bytes = state.execute_with(|| api::dispatch("Core_version", &[])).ok_or("no such call")?;
//! assert_eq!(sp_version::RuntimeVersion::decode(&mut &bytes[..])?.spec_name, "node-subtensor");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "FRAME's macros write items at this level that cannot carry attributes"
)]

pub mod apis;
pub mod aura;
pub mod commitments;
pub mod drand;
pub mod executor;
mod genesis;
mod spec;
pub mod subtensor;
mod typed;

pub use genesis::{Endowment, Genesis, GenesisError};
pub use spec::{VERSION, version};
pub use subtensor::{NeuronGenesis, SubnetGenesis};
pub use typed::TYPED_IDS;

use codec::Encode;
use frame_support::derive_impl;
use frame_support::traits::{ConstU16, ConstU32, ConstU64};
use frame_support::weights::Weight;
use frame_support::weights::constants::WEIGHT_REF_TIME_PER_SECOND;
use frame_system::limits;
use sp_runtime::traits::{AccountIdLookup, BlakeTwo256};
use sp_runtime::{MultiAddress, MultiSignature, Perbill, generic};

/// Accounts are 32-byte public keys.
pub type AccountId = sp_runtime::AccountId32;
/// Balances in rao, 10⁻⁹ of a token.
pub type Balance = u64;
/// Block numbers.
pub type BlockNumber = u32;
/// Signatures, of which clients use sr25519.
pub type Signature = MultiSignature;
/// Block headers.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// Blocks.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// What a signer adds to a call, in the order it is encoded.
pub type TxExtension = (
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckMortality<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
    subtensor::SubtensorTransactionExtension<Runtime>,
);
/// A transaction or an inherent as it lies in a block.
pub type UncheckedExtrinsic =
    generic::UncheckedExtrinsic<MultiAddress<AccountId, ()>, RuntimeCall, Signature, TxExtension>;
/// Runs blocks and transactions against the surrounding externalities.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    Runtime,
    AllPalletsWithSystem,
>;

/// SS58 prefix of printed addresses.
pub const SS58_PREFIX: u16 = 42;
/// Blocks whose hashes transactions may refer to.
pub(crate) const BLOCK_HASH_COUNT: BlockNumber = 2_400;
/// Least balance of an account, rao.
pub(crate) const EXISTENTIAL_DEPOSIT: Balance = 500;

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask
    )]
    /// The runtime.
    #[derive(Debug)]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(2)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(3)]
    pub type Aura = crate::aura;
    #[runtime::pallet_index(5)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(7)]
    pub type SubtensorModule = crate::subtensor;
    #[runtime::pallet_index(18)]
    pub type Commitments = crate::commitments;
    #[runtime::pallet_index(26)]
    pub type Drand = crate::drand;
}

/// The version in force, for the system pallet.
#[derive(Debug)]
pub struct Version;

frame_support::parameter_types! {
    /// Two seconds of reference weight per block, three quarters of it for transactions.
    pub BlockWeights: limits::BlockWeights = limits::BlockWeights::with_sensible_defaults(
        Weight::from_parts(WEIGHT_REF_TIME_PER_SECOND.saturating_mul(2), u64::MAX),
        Perbill::from_percent(75),
    );
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type Block = Block;
    type BlockHashCount = ConstU32<BLOCK_HASH_COUNT>;
    type BlockWeights = BlockWeights;
    type AccountId = AccountId;
    type Lookup = AccountIdLookup<AccountId, ()>;
    type AccountData = pallet_balances::AccountData<Balance>;
    type Version = Version;
    type SS58Prefix = ConstU16<SS58_PREFIX>;
}

impl pallet_timestamp::Config for Runtime {
    type Moment = u64;
    type OnTimestampSet = ();
    type MinimumPeriod = ConstU64<1>;
    type WeightInfo = ();
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
    type Balance = Balance;
    type ExistentialDeposit = ConstU64<EXISTENTIAL_DEPOSIT>;
    type AccountStore = System;
}

impl aura::Config for Runtime {
    type SlotDuration = aura::ChosenSlot<Runtime>;
}

impl subtensor::Config for Runtime {
    type Currency = Balances;
    type Commitments = Runtime;
    type Drand = Drand;
}

impl commitments::Config for Runtime {
    type Subnets = Runtime;
    type Drand = Drand;
}

impl drand::Config for Runtime {}

impl commitments::Subnets<AccountId> for Runtime {
    fn can_commit(netuid: u16, who: &AccountId) -> bool {
        subtensor::Uids::<Runtime>::contains_key(netuid, who)
    }

    fn epoch(netuid: u16) -> u64 {
        subtensor::SubnetEpochIndex::<Runtime>::get(netuid)
    }
}

impl subtensor::CommitmentSource<AccountId> for Runtime {
    fn commitments(netuid: u16) -> Vec<(AccountId, Vec<u8>)> {
        commitments::CommitmentOf::<Runtime>::iter_prefix(netuid)
            .map(|(account, registration)| (account, registration.encode()))
            .collect()
    }
}
