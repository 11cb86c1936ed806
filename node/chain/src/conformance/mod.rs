//! Checks what this project sends to the chain and reads from it, byte for byte, against the live
//! chain's own metadata.
//!
//! The bytes that production makes are compared with those of a second encoder, which shares no
//! code with subxt: it walks the type registry itself and hashes keys with other implementations.
//! Names that are newer than the kept metadata are listed with the reason and compared with the
//! local chain's runtime instead.
//!
//! A call, an entry or a field added without a case here fails to compile or fails a test.

mod calls;
mod encoder;
mod metagraph;
mod names;
mod storage;
mod typed;

use std::collections::HashMap;
use std::sync::Arc;

use codec::{Decode as _, Encode as _};
use frame_metadata::v16::RuntimeMetadataV16;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use node_subtensor_runtime::Genesis;
use node_subtensor_runtime::executor::{self, Nodes, Snapshot};
use subxt::OfflineClient;
use subxt::client::OfflineClientAtBlock;
use subxt::config::substrate::{SpecVersionForRange, SubstrateConfig};
use subxt::metadata::{ArcMetadata, Metadata};
use subxt::utils::H256;

/// The live chain as of spec 365; see `node/chain/tests/data/README.md`.
const FINNEY: &[u8] = include_bytes!("../../tests/data/finney-metadata.scale");
/// Stands for the hash of the first block.
const GENESIS: [u8; 32] = [0x2f; 32];
/// Version of the kept metadata, and that of its transactions.
const SPEC_VERSION: u32 = 365;
const TRANSACTION_VERSION: u32 = 1;

/// The local chain's first state.
struct State(HashMap<sp_core::H256, Vec<u8>>);

impl Nodes for State {
    fn node(&self, hash: &sp_core::H256) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(hash).cloned())
    }
}

/// A chain's metadata, as subxt reads it and as it is.
struct Chain {
    subxt: ArcMetadata,
    plain: RuntimeMetadataV16,
}

impl Chain {
    fn read(bytes: &[u8]) -> Self {
        let RuntimeMetadataPrefixed(_, plain) =
            RuntimeMetadataPrefixed::decode(&mut &bytes[..]).unwrap();
        let RuntimeMetadata::V16(plain) = plain else {
            panic!("not version 16, but {}", plain.version())
        };
        Self { subxt: Metadata::decode_from(bytes).unwrap().arc(), plain }
    }

    fn finney() -> Self {
        Self::read(FINNEY)
    }

    /// The local chain, whose pallets are those of a newer release.
    fn local() -> Self {
        let (header, nodes) = executor::genesis_block(&Genesis::default()).unwrap();
        let state = Snapshot::new(Arc::new(State(nodes.into_iter().collect())), header.state_root);
        let answer = state.call("Metadata_metadata_at_version", &16_u32.encode()).unwrap().unwrap();
        Self::read(&Option::<Vec<u8>>::decode(&mut &answer[..]).unwrap().unwrap())
    }

    /// What production builds transactions and keys with, without a node.
    fn client(&self) -> OfflineClientAtBlock<SubstrateConfig> {
        let versions = SpecVersionForRange {
            block_range: 0..u64::MAX,
            spec_version: SPEC_VERSION,
            transaction_version: TRANSACTION_VERSION,
        };
        let config = SubstrateConfig::builder()
            .set_genesis_hash(H256(GENESIS))
            .set_spec_version_for_block_ranges([versions])
            .set_metadata_for_spec_versions([(SPEC_VERSION, self.subxt.clone())])
            .build();
        OfflineClient::new_with_config(config).at_block(1_u64).unwrap()
    }
}
