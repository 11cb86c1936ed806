//! The subnet at one block: neurons, permits, limits and commitments in a single runtime call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use codec::Encode as _;
use leoma_protocol::{BlockNumber, Hotkey, Netuid, Uid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::SubstrateConfig;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::metadata::Metadata;
use subxt::utils::H256;

use super::commitments::{Commitment, PlainCommitment, Registration, Stored, UnreadableCommitment};
use super::entries::Reveals;
use super::reveals;
use super::values::Rpc;
use crate::error::{ChainError, Result, causes, limited};
use crate::head::Head;

/// Fields of the selective metagraph that are asked for, by the indices of
/// `SelectiveMetagraphIndex`: owner hotkey, block, least number of weights, largest weight, serving
/// rate limit, hotkeys, axons, validator permits, last updates, registration blocks, total stakes,
/// commitments.
pub(crate) const FIELDS: [u16; 12] = [5, 7, 24, 25, 45, 52, 55, 57, 59, 66, 69, 73];
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
    /// The least number of weights that a validator may set, or all neurons where there are fewer.
    pub min_weights: u16,
    /// The largest part of all weights, of 65535, that one weight may have; 65535 limits nothing.
    pub max_weight: u16,
    /// Blocks that must lie between two announcements of an address.
    pub serving_rate_limit: u64,
    /// Slots in the order of their uids.
    pub neurons: Vec<Neuron>,
    /// The newest commitment of each neuron and of the owner, whether it was made in the open or
    /// revealed. Validators' witnesses are not among them.
    pub commitments: BTreeMap<Hotkey, Commitment>,
    /// Hotkeys whose newest commitment cannot be read, and why.
    pub unreadable: BTreeMap<Hotkey, UnreadableCommitment>,
    /// What each account of the subnet's commitments says in the open, as it is stored; witnesses
    /// included.
    pub plain: BTreeMap<Hotkey, PlainCommitment>,
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
    min_allowed_weights: Option<u16>,
    max_weights_limit: Option<u16>,
    serving_rate_limit: Option<u64>,
    hotkeys: Option<Vec<[u8; 32]>>,
    axons: Option<Vec<RawAxon>>,
    validator_permit: Option<Vec<bool>>,
    last_update: Option<Vec<u64>>,
    block_at_registration: Option<Vec<u64>>,
    total_stake: Option<Vec<u64>>,
    commitments: Option<Vec<([u8; 32], Vec<u8>)>>,
}

/// The subnet's name, of the same runtime call.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawName {
    name: Option<Vec<u8>>,
}

/// The field of `SelectiveMetagraphIndex` that holds the name.
pub(crate) const NAME_FIELD: u16 = 1;
/// Longest name that is shown.
const MAX_NAME: usize = 64;

const WHAT: &str = "the metagraph";
pub(crate) const API: &str = "SubnetInfoRuntimeApi";
pub(crate) const METHOD: &str = "get_selective_metagraph";
/// The method for a mechanism: last updates are the mechanism's, all else is the subnet's.
pub(crate) const MECHANISM_METHOD: &str = "get_selective_mechagraph";

/// The runtime call for a subnet or one of its mechanisms. Mechanism 0 is read by the older call,
/// which every release has.
pub(crate) const fn method(index: Netuid) -> &'static str {
    if index.mecid() == 0 { METHOD } else { MECHANISM_METHOD }
}

/// Reads the subnet at a block: the runtime's answer, and the revealed commitments of the hotkeys
/// in it. Accounts that left the subnet are not requested, so they cost nothing. Reveals of the
/// `known` hotkeys, from an earlier read, are requested at once, so that one round trip is enough
/// if no hotkey is new.
pub(crate) async fn read(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    rpc: &Rpc,
    netuid: Netuid,
    at: Head,
    known: &BTreeSet<Hotkey>,
) -> Result<Metagraph> {
    let hash = H256(at.hash.0);
    let arguments = arguments(netuid, &FIELDS);
    let name = format!("{API}_{}", method(netuid));
    let (answer, mut reveals) = tokio::try_join!(
        limited(WHAT, rpc.state_call(&name, Some(&arguments), Some(hash))),
        reveals::read(rpc, client, netuid.subnet(), hash, known.iter().copied()),
    )?;
    let decoded = decode(client.metadata_ref(), &answer, netuid, at)?;
    let new: Vec<Hotkey> = decoded.asked().filter(|hotkey| !known.contains(hotkey)).collect();
    let new = new.into_iter();
    reveals.extend(reveals::read(rpc, client, netuid.subnet(), hash, new).await?);
    Ok(decoded.with_reveals(&reveals))
}

/// The runtime's answer: a metagraph that lacks what was revealed.
#[derive(Debug)]
pub(crate) struct Decoded {
    metagraph: Metagraph,
    registrations: BTreeMap<Hotkey, Registration>,
}

impl Decoded {
    /// The hotkeys whose commitments count: the neurons', and the owner's, which need not be one.
    pub(crate) fn asked(&self) -> impl Iterator<Item = Hotkey> {
        let Metagraph { neurons, owner, .. } = &self.metagraph;
        let is_neuron = neurons.iter().any(|neuron| neuron.hotkey == *owner);
        neurons.iter().map(|neuron| neuron.hotkey).chain((!is_neuron).then_some(*owner))
    }

    /// Adds the reveals, and decides which commitment of each hotkey is its newest.
    pub(crate) fn with_reveals(self, reveals: &BTreeMap<Hotkey, Reveals>) -> Metagraph {
        let (mut commitments, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
        for hotkey in self.asked() {
            let registration = self.registrations.get(&hotkey);
            let reveals = reveals.get(&hotkey).map_or(&[][..], Vec::as_slice);
            let stored = Stored { registration, reveals };
            // A list of validators is in force from its own block on.
            let newest = match hotkey == self.metagraph.owner {
                true => stored.newest_of_owner(),
                false => stored.newest_of_miner(),
            };
            match newest {
                None => {}
                Some(Ok(commitment)) => {
                    commitments.insert(hotkey, commitment);
                }
                Some(Err(error)) => {
                    unreadable.insert(hotkey, error);
                }
            }
        }
        Metagraph { commitments, unreadable, ..self.metagraph }
    }
}

/// The subnet's name at a block, empty where it has none.
pub(crate) async fn read_name(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    rpc: &Rpc,
    netuid: Netuid,
    at: Head,
) -> Result<String> {
    let call = format!("{API}_{}", method(netuid));
    let arguments = arguments(netuid, &[NAME_FIELD]);
    let hash = Some(H256(at.hash.0));
    let answer = limited(WHAT, rpc.state_call(&call, Some(&arguments), hash)).await?;
    decode_name(client.metadata_ref(), &answer, netuid)
}

/// Decodes the answer with the name.
pub(crate) fn decode_name(metadata: &Metadata, answer: &[u8], netuid: Netuid) -> Result<String> {
    let raw: RawName = decode_answer(metadata, answer, netuid)?;
    let text = String::from_utf8_lossy(&raw.name.unwrap_or_default()).into_owned();
    Ok(text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect())
}

/// Encodes the arguments of [`method`]'s call.
pub(crate) fn arguments(index: Netuid, fields: &[u16]) -> Vec<u8> {
    match index.mecid() {
        0 => (index.0, fields).encode(),
        mecid => (index.subnet().0, mecid, fields).encode(),
    }
}

/// Decodes the runtime's answer by the metadata of the block it was asked at.
pub(crate) fn decode(
    metadata: &Metadata,
    answer: &[u8],
    netuid: Netuid,
    at: Head,
) -> Result<Decoded> {
    let raw: RawMetagraph = decode_answer(metadata, answer, netuid)?;
    raw.read(at).ok_or_else(|| ChainError::Read {
        what: WHAT,
        reason: "a field that was asked for is missing, lists differ in length, or it is of another block".to_owned(),
    })
}

/// The struct in the runtime's answer, with the fields that `T` has.
fn decode_answer<T: DecodeAsType>(metadata: &Metadata, answer: &[u8], netuid: Netuid) -> Result<T> {
    let failed = |reason: String| ChainError::Read { what: WHAT, reason };
    let name = method(netuid);
    let method = metadata.runtime_api_trait_by_name(API).and_then(|api| api.method_by_name(name));
    let method =
        method.ok_or_else(|| failed(format!("no runtime API {API}.{name} on this chain")))?;
    Option::<T>::decode_as_type(&mut &*answer, method.output_ty(), metadata.types())
        .map_err(|error| failed(causes(&error)))?
        .ok_or(ChainError::NoSubnet { netuid })
}

impl RawMetagraph {
    fn read(self, at: Head) -> Option<Decoded> {
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
        let registrations: BTreeMap<_, _> = self
            .commitments?
            .into_iter()
            .map(|(account, bytes)| (Hotkey::from_bytes(account), Registration::decode(&bytes)))
            .collect();
        let plain = registrations
            .iter()
            .filter_map(|(hotkey, registration)| Some((*hotkey, registration.plain()?)))
            .collect();
        let metagraph = Metagraph {
            block: at.number,
            owner: Hotkey::from_bytes(self.owner_hotkey?),
            min_weights: self.min_allowed_weights?,
            max_weight: self.max_weights_limit?,
            serving_rate_limit: self.serving_rate_limit?,
            neurons,
            commitments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            plain,
        };
        Some(Decoded { metagraph, registrations })
    }
}
