//! The runtime APIs: what `state_call` reaches, by name, through [`api::dispatch`].

use crate::subtensor::metagraph::{Metagraph, SelectiveMetagraph};
use crate::subtensor::neurons::{NeuronInfo, NeuronInfoLite};
use crate::subtensor::subnet_state::SubnetState;
use crate::typed::{TYPED_IDS, typed};
use crate::{AccountId, Block, Executive, Runtime, RuntimeCall, SubtensorModule, System, Version};
use codec::{Decode, Encode};
use frame_support::dispatch::{DispatchClass, GetDispatchInfo};
use frame_support::traits::Get;
use frame_support::weights::Weight;
use scale_info::TypeInfo;
use sp_core::OpaqueMetadata;
use sp_runtime::ExtrinsicInclusionMode;
use sp_runtime::traits::Block as BlockT;
use sp_runtime::transaction_validity::{TransactionSource, TransactionValidity};
use sp_version::RuntimeVersion;

/// What a transaction would cost; nothing, on this chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct RuntimeDispatchInfo {
    /// Weight it takes.
    pub weight: Weight,
    /// Class of the call.
    pub class: DispatchClass,
    /// Fee in rao.
    pub partial_fee: u64,
}

sp_api::decl_runtime_apis! {
    /// Next nonce of an account.
    pub trait AccountNonceApi {
        /// Nonce of the account's next transaction.
        fn account_nonce(account: AccountId) -> u32;
    }

    /// What the transaction pool asks.
    #[api_version(3)]
    pub trait TaggedTransactionQueue {
        /// Whether the transaction may go into a block, and which nonce it needs and gives.
        fn validate_transaction(
            source: TransactionSource,
            tx: Block::Extrinsic,
            block_hash: Block::Hash,
        ) -> TransactionValidity;
    }

    /// What a transaction costs.
    #[api_version(4)]
    pub trait TransactionPaymentApi {
        /// Weight and fee of a transaction.
        fn query_info(uxt: Block::Extrinsic, len: u32) -> RuntimeDispatchInfo;
    }

    /// Neurons one by one.
    pub trait NeuronInfoRuntimeApi {
        /// Every neuron of a subnet; none where there is no such subnet.
        fn get_neurons(netuid: u16) -> Vec<NeuronInfo<AccountId>>;
        /// One neuron.
        fn get_neuron(netuid: u16, uid: u16) -> Option<NeuronInfo<AccountId>>;
        /// Every neuron of a subnet without weights and bonds.
        fn get_neurons_lite(netuid: u16) -> Vec<NeuronInfoLite<AccountId>>;
        /// One neuron without weights and bonds.
        fn get_neuron_lite(netuid: u16, uid: u16) -> Option<NeuronInfoLite<AccountId>>;
    }

    /// Whole subnets in one call.
    pub trait SubnetInfoRuntimeApi {
        /// Every field of a subnet.
        fn get_metagraph(netuid: u16) -> Option<Metagraph<AccountId>>;
        /// Every field of a subnet as one mechanism has it.
        fn get_mechagraph(netuid: u16, mecid: u8) -> Option<Metagraph<AccountId>>;
        /// A subnet's columns.
        fn get_subnet_state(netuid: u16) -> Option<SubnetState<AccountId>>;
        /// The asked-for fields of a subnet.
        fn get_selective_metagraph(
            netuid: u16,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph<AccountId>>;
        /// The asked-for fields of a subnet as one mechanism has them.
        fn get_selective_mechagraph(
            netuid: u16,
            subid: u8,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph<AccountId>>;
    }
}

sp_api::impl_runtime_apis! {
    impl sp_api::Core<Block> for Runtime {
        fn version() -> RuntimeVersion {
            <Runtime as frame_system::Config>::Version::get()
        }

        fn execute_block(block: <Block as BlockT>::LazyBlock) {
            Executive::execute_block(block);
        }

        fn initialize_block(header: &<Block as BlockT>::Header) -> ExtrinsicInclusionMode {
            Executive::initialize_block(header)
        }
    }

    impl sp_api::Metadata<Block> for Runtime {
        fn metadata() -> OpaqueMetadata {
            OpaqueMetadata::new(Runtime::metadata().into())
        }

        fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
            let has_typed_ids = <Version as Get<RuntimeVersion>>::get().spec_version >= TYPED_IDS;
            Runtime::metadata_at_version(version).map(|metadata| match has_typed_ids {
                true => OpaqueMetadata::new(typed(&metadata)),
                false => metadata,
            })
        }

        fn metadata_versions() -> Vec<u32> {
            Runtime::metadata_versions()
        }
    }

    impl self::AccountNonceApi<Block> for Runtime {
        fn account_nonce(account: AccountId) -> u32 {
            System::account_nonce(account)
        }
    }

    impl self::TaggedTransactionQueue<Block> for Runtime {
        fn validate_transaction(
            source: TransactionSource,
            tx: <Block as BlockT>::Extrinsic,
            block_hash: <Block as BlockT>::Hash,
        ) -> TransactionValidity {
            Executive::validate_transaction(source, tx, block_hash)
        }
    }

    impl self::TransactionPaymentApi<Block> for Runtime {
        fn query_info(uxt: <Block as BlockT>::Extrinsic, _len: u32) -> RuntimeDispatchInfo {
            let info = <RuntimeCall as GetDispatchInfo>::get_dispatch_info(&uxt.function);
            RuntimeDispatchInfo { weight: info.call_weight, class: info.class, partial_fee: 0 }
        }
    }

    impl self::NeuronInfoRuntimeApi<Block> for Runtime {
        fn get_neurons(netuid: u16) -> Vec<NeuronInfo<AccountId>> {
            SubtensorModule::neurons(netuid)
        }

        fn get_neuron(netuid: u16, uid: u16) -> Option<NeuronInfo<AccountId>> {
            SubtensorModule::neuron(netuid, uid)
        }

        fn get_neurons_lite(netuid: u16) -> Vec<NeuronInfoLite<AccountId>> {
            SubtensorModule::neurons(netuid).into_iter().map(NeuronInfoLite::from).collect()
        }

        fn get_neuron_lite(netuid: u16, uid: u16) -> Option<NeuronInfoLite<AccountId>> {
            SubtensorModule::neuron(netuid, uid).map(NeuronInfoLite::from)
        }
    }

    impl self::SubnetInfoRuntimeApi<Block> for Runtime {
        fn get_metagraph(netuid: u16) -> Option<Metagraph<AccountId>> {
            SubtensorModule::metagraph(netuid, 0)
        }

        fn get_mechagraph(netuid: u16, mecid: u8) -> Option<Metagraph<AccountId>> {
            SubtensorModule::metagraph(netuid, mecid)
        }

        fn get_subnet_state(netuid: u16) -> Option<SubnetState<AccountId>> {
            SubtensorModule::subnet_state(netuid)
        }

        fn get_selective_metagraph(
            netuid: u16,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph<AccountId>> {
            SubtensorModule::selective_metagraph(netuid, 0, &metagraph_indexes)
        }

        fn get_selective_mechagraph(
            netuid: u16,
            subid: u8,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph<AccountId>> {
            SubtensorModule::selective_metagraph(netuid, subid, &metagraph_indexes)
        }
    }
}
