//! A neuron's stake, and what weights take.

use codec::Encode as _;
use leoma_protocol::{Netuid, Uid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::RpcConfigFor;
use subxt::config::substrate::SubstrateConfig;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::rpcs::methods::legacy::LegacyRpcMethods;
use subxt::utils::H256;

use super::error::{causes, limited};
use super::hyperparameters::Values;
use super::{ChainError, Head, entries};

const WHAT: &str = "the stake";
const API: &str = "SubnetInfoRuntimeApi";
const METHOD: &str = "get_selective_metagraph";
/// The field of the selective metagraph that holds what each slot's stake counts for: alpha, and TAO by its weight.
const TOTAL_STAKE: u16 = 69;

/// A neuron's stake on the subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stake {
    /// What it counts for, rao.
    pub total: u64,
    /// Less than this, and the chain refuses weights, rao.
    pub least: u64,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawStakes {
    total_stake: Option<Vec<u64>>,
}

pub(super) async fn read(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    rpc: &LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    netuid: Netuid,
    at: Head,
    uid: Uid,
) -> Result<Stake, ChainError> {
    let failed = |reason: String| ChainError::Read { what: WHAT, reason };
    let metadata = client.metadata_ref();
    let method = metadata.runtime_api_trait_by_name(API).and_then(|api| api.method_by_name(METHOD));
    let method = method.ok_or_else(|| failed(format!("no runtime API {API}.{METHOD} on this chain")))?;
    let arguments = (netuid.0, vec![TOTAL_STAKE]).encode();
    let name = format!("{API}_{METHOD}");
    let answer = limited(WHAT, rpc.state_call(&name, Some(&arguments), Some(H256(at.hash.0)))).await?;
    let raw = Option::<RawStakes>::decode_as_type(&mut &*answer, method.output_ty(), metadata.types());
    let raw = raw.map_err(|error| failed(causes(&error)))?.ok_or(ChainError::NoSubnet { netuid })?;
    let total = raw.total_stake.and_then(|stakes| stakes.get(usize::from(uid.0)).copied());
    let total = total.ok_or_else(|| failed(format!("none is told of uid {uid}")))?;
    let least = Values::new(client, "the least stake").get(entries::STAKE_THRESHOLD, ()).await?;
    Ok(Stake { total, least: least.unwrap_or(0) })
}
