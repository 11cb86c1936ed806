//! The subnet at one block: neurons, permits, limits and commitments in a single runtime call.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use codec::Encode as _;
use leoma_protocol::{BlockNumber, Hotkey, Netuid, Uid};
use subxt::client::{OnlineClient, OnlineClientAtBlock};
use subxt::config::RpcConfigFor;
use subxt::config::substrate::SubstrateConfig;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::metadata::Metadata;
use subxt::rpcs::methods::legacy::LegacyRpcMethods;
use subxt::utils::H256;

use super::commitments::{Commitment, decode_registration};
use super::entries;
use crate::error::{ChainError, Result, causes, limited};
use crate::head::Head;

/// Fields of the selective metagraph that are asked for, by the indices of
/// `SelectiveMetagraphIndex`: owner hotkey, block, serving rate limit, hotkeys, axons, validator
/// permits, last updates, registration blocks, total stakes, commitments.
pub(crate) const FIELDS: [u16; 10] = [5, 7, 45, 52, 55, 57, 59, 66, 69, 73];
/// Keys in one page, the most that a node gives at once.
const PAGE: u32 = 1000;
/// Most pages of accounts whose commitments were revealed. They stay when their hotkey leaves;
/// nineteen full subnets of hotkeys are more than one is expected to see.
const MAX_PAGES: usize = 5;
/// Revealed commitments that are asked for in one request: ten of a kilobyte each, in hex, stay
/// below the largest answer.
const VALUES_AT_ONCE: usize = 256;

/// The announced address of a neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axon {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
}

/// One slot of the subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neuron {
    /// The slot.
    pub uid: Uid,
    /// The hotkey that holds it at this block.
    pub hotkey: Hotkey,
    /// Whether it may set weights.
    pub validator_permit: bool,
    /// Its effective stake: alpha and weighted TAO together, rao.
    pub stake: u64,
    /// The block of its last weights, 0 for never.
    pub last_update: BlockNumber,
    /// The block it registered at.
    pub registered_at: BlockNumber,
    /// Its announced address.
    pub axon: Option<Axon>,
    /// The block it was announced at, 0 for never.
    pub axon_block: BlockNumber,
}

/// A subnet at one block.
#[derive(Clone, Debug)]
pub struct Metagraph {
    /// The block it was read at.
    pub block: BlockNumber,
    /// The subnet owner's hotkey.
    pub owner: Hotkey,
    /// Blocks that must lie between two announcements of an address.
    pub serving_rate_limit: u64,
    /// Slots in the order of their uids.
    pub neurons: Vec<Neuron>,
    /// The newest commitment of each hotkey.
    pub commitments: BTreeMap<Hotkey, Commitment>,
}

impl Metagraph {
    /// The slot of a hotkey at this block.
    pub fn uid(&self, hotkey: &Hotkey) -> Option<Uid> {
        self.neuron(hotkey).map(|neuron| neuron.uid)
    }

    /// The neuron of a hotkey at this block.
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.neurons.iter().find(|neuron| neuron.hotkey == *hotkey)
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawAxon {
    block: u64,
    ip: u128,
    port: u16,
    ip_type: u8,
}

impl RawAxon {
    fn read(&self) -> Option<Axon> {
        let ip = match self.ip_type {
            4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(self.ip).ok()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.ip)),
            _ => return None,
        };
        (self.port != 0 && !ip.is_unspecified()).then_some(Axon { ip, port: self.port })
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawMetagraph {
    owner_hotkey: Option<[u8; 32]>,
    block: Option<u64>,
    serving_rate_limit: Option<u64>,
    hotkeys: Option<Vec<[u8; 32]>>,
    axons: Option<Vec<RawAxon>>,
    validator_permit: Option<Vec<bool>>,
    last_update: Option<Vec<u64>>,
    block_at_registration: Option<Vec<u64>>,
    total_stake: Option<Vec<u64>>,
    commitments: Option<Vec<([u8; 32], Vec<u8>)>>,
}

const WHAT: &str = "the metagraph";
pub(crate) const API: &str = "SubnetInfoRuntimeApi";
pub(crate) const METHOD: &str = "get_selective_metagraph";

/// A chain's storage and runtime APIs at one block.
type AtBlock = OnlineClientAtBlock<SubstrateConfig>;
/// Calls that subxt does not wrap.
type Rpc = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// Reads the subnet at a block. Independent requests are sent together: it takes one round trip, or
/// two where a timelocked commitment was revealed. `known` is the chain at some other block: storage
/// keys are encoded with its metadata, and again if the block turns out to be of another release.
pub(crate) async fn read(
    api: &OnlineClient<SubstrateConfig>,
    rpc: &Rpc,
    known: &AtBlock,
    netuid: Netuid,
    at: Head,
) -> Result<Metagraph> {
    let hash = H256(at.hash.0);
    let arguments = arguments(netuid);
    let name = format!("{API}_{METHOD}");
    let (client, answer, mut revealed) = tokio::try_join!(
        limited("a block", api.at_block_hash_and_number(hash, at.number.0)),
        limited(WHAT, rpc.state_call(&name, Some(&arguments), Some(hash))),
        revealed_keys(rpc, known, netuid, hash),
    )?;
    if client.spec_version() != known.spec_version() {
        revealed = revealed_keys(rpc, &client, netuid, hash).await?;
    }
    let mut metagraph = decode(client.metadata_ref(), &answer, netuid, at)?;
    for (hotkey, commitment) in revealed_commitments(rpc, &client, &revealed, hash).await? {
        metagraph.commitments.insert(hotkey, commitment);
    }
    Ok(metagraph)
}

/// Encodes the arguments of the runtime call.
pub(crate) fn arguments(netuid: Netuid) -> Vec<u8> {
    (netuid.0, FIELDS.to_vec()).encode()
}

/// Decodes the runtime's answer by the metadata of the block it was asked at.
pub(crate) fn decode(
    metadata: &Metadata,
    answer: &[u8],
    netuid: Netuid,
    at: Head,
) -> Result<Metagraph> {
    let failed = |reason: String| ChainError::Read { what: WHAT, reason };
    let method = metadata.runtime_api_trait_by_name(API).and_then(|api| api.method_by_name(METHOD));
    let method =
        method.ok_or_else(|| failed(format!("no runtime API {API}.{METHOD} on this chain")))?;
    let raw =
        Option::<RawMetagraph>::decode_as_type(&mut &*answer, method.output_ty(), metadata.types())
            .map_err(|error| failed(causes(&error)))?;
    let read = raw.ok_or(ChainError::NoSubnet { netuid })?.read(at);
    read.ok_or_else(|| {
        failed("a field that was asked for is missing, lists differ in length, or it is of another block".to_owned())
    })
}

impl RawMetagraph {
    fn read(self, at: Head) -> Option<Metagraph> {
        let hotkeys = self.hotkeys?;
        let (permits, updates, registered) =
            (self.validator_permit?, self.last_update?, self.block_at_registration?);
        let (axons, stakes) = (self.axons?, self.total_stake?);
        let lengths = [permits.len(), updates.len(), registered.len(), axons.len(), stakes.len()];
        if lengths.iter().any(|length| *length != hotkeys.len()) {
            return None;
        }
        if self.block? != at.number.0 {
            return None;
        }
        let mut neurons = Vec::with_capacity(hotkeys.len());
        for (index, hotkey) in hotkeys.into_iter().enumerate() {
            neurons.push(Neuron {
                uid: Uid(u16::try_from(index).ok()?),
                hotkey: Hotkey::from_bytes(hotkey),
                validator_permit: permits[index],
                stake: stakes[index],
                last_update: BlockNumber(updates[index]),
                registered_at: BlockNumber(registered[index]),
                axon: axons[index].read(),
                axon_block: BlockNumber(axons[index].block),
            });
        }
        let commitments = self.commitments?.into_iter().filter_map(|(account, registration)| {
            let hotkey = Hotkey::from_bytes(account);
            match decode_registration(&registration) {
                Ok(commitment) => Some((hotkey, commitment)),
                Err(error) => {
                    tracing::debug!(%hotkey, %error, "ignoring an unreadable commitment");
                    None
                }
            }
        });
        let commitments = commitments.collect();
        Some(Metagraph {
            block: at.number,
            owner: Hotkey::from_bytes(self.owner_hotkey?),
            serving_rate_limit: self.serving_rate_limit?,
            neurons,
            commitments,
        })
    }
}

const REVEALED: &str = "revealed commitments";

fn unreadable(reason: impl Into<String>) -> ChainError {
    ChainError::Read { what: REVEALED, reason: reason.into() }
}

/// The keys of a subnet's timelocked commitments that were revealed.
async fn revealed_keys(
    rpc: &Rpc,
    client: &AtBlock,
    netuid: Netuid,
    hash: H256,
) -> Result<Vec<Vec<u8>>> {
    let entry = client.storage().entry(entries::REVEALED_COMMITMENTS.address());
    let entry = entry.map_err(|error| unreadable(causes(&error)))?;
    let prefix = entry.iter_key((netuid.0,)).map_err(|error| unreadable(causes(&error)))?;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for _ in 0..MAX_PAGES {
        let after = keys.last().cloned();
        let page = limited(
            REVEALED,
            rpc.state_get_keys_paged(&prefix, PAGE, after.as_deref(), Some(hash)),
        )
        .await?;
        if !is_as_asked(&prefix, after.as_ref(), &page) {
            return Err(unreadable("the node lists keys that were not asked for, or more of them"));
        }
        let is_last = page.len() < PAGE as usize;
        keys.extend(page);
        if is_last {
            return Ok(keys);
        }
    }
    Err(unreadable(format!("more than {} of them", MAX_PAGES * PAGE as usize)))
}

/// Whether a node answered with the page that was asked for: keys under `prefix`, after the last one
/// of the page before, in order and not too many. Other keys could belong to another subnet or be
/// read twice.
fn is_as_asked(prefix: &[u8], after: Option<&Vec<u8>>, page: &[Vec<u8>]) -> bool {
    page.len() <= PAGE as usize
        && page.iter().all(|key| key.starts_with(prefix))
        && after.into_iter().chain(page).is_sorted_by(|one, next| one < next)
}

/// All revealed commitments of the subnet. A hotkey's newest one counts; its number is that of all.
async fn revealed_commitments(
    rpc: &Rpc,
    client: &AtBlock,
    keys: &[Vec<u8>],
    hash: H256,
) -> Result<Vec<(Hotkey, Commitment)>> {
    let asked = keys.chunks(VALUES_AT_ONCE).map(|keys| async move {
        let keys = keys.iter().map(Vec::as_slice);
        limited(REVEALED, rpc.state_query_storage_at(keys, Some(hash))).await
    });
    let answers = futures::future::try_join_all(asked).await?;
    let changes = answers.into_iter().flatten().flat_map(|answer| answer.changes);
    let mut values: HashMap<Vec<u8>, Vec<u8>> =
        changes.filter_map(|(key, value)| Some((key.0, value?.0))).collect();
    let read = |key: &Vec<u8>| {
        let account =
            key.last_chunk().copied().ok_or_else(|| unreadable("a key without account"))?;
        let value = values.remove(key).ok_or_else(|| unreadable("a value is missing"))?;
        let reveals = entries::REVEALED_COMMITMENTS
            .decode(client.metadata_ref(), &value)
            .map_err(unreadable)?;
        Ok(Commitment::newest_of(&reveals)
            .map(|commitment| (Hotkey::from_bytes(account), commitment)))
    };
    keys.iter().map(read).filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_keys_holds_what_was_asked_for_and_no_more() {
        let key = |text: &str| text.as_bytes().to_vec();
        for (after, page, is_right) in [
            (None, vec![], true),
            (None, vec![key("p1"), key("p2")], true),
            (Some(key("p1")), vec![key("p2")], true),
            (Some(key("p2")), vec![key("p2")], false),
            (Some(key("p2")), vec![key("p1")], false),
            (None, vec![key("p2"), key("p1")], false),
            (None, vec![key("p1"), key("p1")], false),
            (None, vec![key("p1"), key("q1")], false),
        ] {
            assert_eq!(is_as_asked(b"p", after.as_ref(), &page), is_right, "{after:?} {page:?}");
        }
        let page = |keys: u32| {
            (0..keys).map(|n| [b"p".as_slice(), &n.to_be_bytes()].concat()).collect::<Vec<_>>()
        };
        assert!(is_as_asked(b"p", None, &page(PAGE)) && !is_as_asked(b"p", None, &page(PAGE + 1)));
    }
}
