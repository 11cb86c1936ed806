//! The subnet at one block: neurons, permits, limits and commitments in a single runtime call.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leoma_protocol::{BlockNumber, Hotkey, Uid};
use subxt::dynamic;
use subxt::ext::scale_decode::DecodeAsType;

use super::{ChainClient, ChainError, Commitment, Head, decode_registration, limited};

/// Fields of the selective metagraph that are asked for, by the indices of `SelectiveMetagraphIndex`: owner hotkey, block,
/// weights version, rate limit, serving rate limit, commit-reveal, hotkeys, axons, validator permits, last updates, registration blocks,
/// commitments.
const FIELDS: [u16; 12] = [5, 7, 26, 27, 45, 46, 52, 55, 57, 59, 66, 73];
/// Most revealed commitments read of one subnet: one per neuron, with room for hotkeys that left.
const MAX_REVEALED: usize = 1024;

/// Where a neuron says that it can be reached.
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
    /// Who holds it at this block.
    pub hotkey: Hotkey,
    /// Whether it may set weights.
    pub validator_permit: bool,
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
    /// Version that weights must carry.
    pub weights_version: u64,
    /// Blocks that must lie between two settings of weights.
    pub weights_rate_limit: u64,
    /// Blocks that must lie between two announcements of an address.
    pub serving_rate_limit: u64,
    /// Whether weights must be committed first and revealed later.
    pub commit_reveal: bool,
    /// Slots in the order of their uids.
    pub neurons: Vec<Neuron>,
    /// The newest commitment of each hotkey.
    pub commitments: BTreeMap<Hotkey, Commitment>,
    by_hotkey: HashMap<Hotkey, Uid>,
}

impl Metagraph {
    /// The slot of a hotkey at this block.
    #[must_use]
    pub fn uid(&self, hotkey: &Hotkey) -> Option<Uid> {
        self.by_hotkey.get(hotkey).copied()
    }

    /// The neuron of a hotkey at this block.
    #[must_use]
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.uid(hotkey).and_then(|uid| self.neurons.get(usize::from(uid.0)))
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
    weights_version: Option<u64>,
    weights_rate_limit: Option<u64>,
    serving_rate_limit: Option<u64>,
    commit_reveal_weights_enabled: Option<bool>,
    hotkeys: Option<Vec<[u8; 32]>>,
    axons: Option<Vec<RawAxon>>,
    validator_permit: Option<Vec<bool>>,
    last_update: Option<Vec<u64>>,
    block_at_registration: Option<Vec<u64>>,
    commitments: Option<Vec<([u8; 32], Vec<u8>)>>,
}

impl ChainClient {
    /// Reads the subnet at a block.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::NoSubnet`] where there is no such subnet.
    pub async fn metagraph(&self, at: Head) -> Result<Metagraph, ChainError> {
        const WHAT: &str = "the metagraph";
        let netuid = self.network.netuid;
        let client = self.at(at).await?;
        let call = dynamic::runtime_api_call::<_, Option<RawMetagraph>>(
            "SubnetInfoRuntimeApi",
            "get_selective_metagraph",
            (netuid.0, FIELDS.to_vec()),
        );
        let raw = limited(WHAT, client.runtime_apis().call(call)).await?.ok_or(ChainError::NoSubnet { netuid })?;
        let mut metagraph = raw.read(at).ok_or_else(|| ChainError::Read {
            what: WHAT,
            reason: "a field that was asked for is missing, or lists differ in length".to_owned(),
        })?;
        for (hotkey, commitment) in self.revealed_commitments(at).await? {
            metagraph.commitments.insert(hotkey, commitment);
        }
        Ok(metagraph)
    }

    /// Commitments that were timelocked and are now revealed. A hotkey's newest one counts, its number is that of all.
    async fn revealed_commitments(&self, at: Head) -> Result<Vec<(Hotkey, Commitment)>, ChainError> {
        const WHAT: &str = "revealed commitments";
        let client = self.at(at).await?;
        let address = dynamic::storage::<(u16, [u8; 32]), Vec<(Vec<u8>, u64)>>("Commitments", "RevealedCommitments");
        let mut entries = limited(WHAT, client.storage().iter(address, (self.network.netuid.0,))).await?;
        let mut revealed = Vec::new();
        while let Some(entry) = tokio::time::timeout(super::CALL_TIMEOUT, entries.next())
            .await
            .map_err(|_| ChainError::Timeout { what: WHAT })?
        {
            let read = |reason: String| ChainError::Read { what: WHAT, reason };
            let entry = entry.map_err(|error| read(super::causes(&error)))?;
            let key = entry.key_bytes();
            let account: [u8; 32] = key
                .get(key.len().saturating_sub(32)..)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| read("a key without account".to_owned()))?;
            let reveals = entry.value().decode().map_err(|error| read(error.to_string()))?;
            if let Some(commitment) = Commitment::newest_of(&reveals) {
                revealed.push((Hotkey::from_bytes(account), commitment));
            }
            if revealed.len() >= MAX_REVEALED {
                break;
            }
        }
        Ok(revealed)
    }
}

impl RawMetagraph {
    fn read(self, at: Head) -> Option<Metagraph> {
        let hotkeys = self.hotkeys?;
        let (permits, updates, registered) = (self.validator_permit?, self.last_update?, self.block_at_registration?);
        let axons = self.axons?;
        if [permits.len(), updates.len(), registered.len(), axons.len()].iter().any(|length| *length != hotkeys.len()) {
            return None;
        }
        if self.block.is_some_and(|block| block != at.number.0) {
            return None;
        }
        let mut neurons = Vec::with_capacity(hotkeys.len());
        for (index, hotkey) in hotkeys.into_iter().enumerate() {
            neurons.push(Neuron {
                uid: Uid(u16::try_from(index).ok()?),
                hotkey: Hotkey::from_bytes(hotkey),
                validator_permit: permits[index],
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
                    tracing::debug!(%hotkey, %error, "commitment passed over");
                    None
                }
            }
        });
        let commitments = commitments.collect();
        let by_hotkey = neurons.iter().map(|neuron| (neuron.hotkey, neuron.uid)).collect();
        Some(Metagraph {
            block: at.number,
            owner: Hotkey::from_bytes(self.owner_hotkey?),
            weights_version: self.weights_version?,
            weights_rate_limit: self.weights_rate_limit?,
            serving_rate_limit: self.serving_rate_limit?,
            commit_reveal: self.commit_reveal_weights_enabled?,
            neurons,
            commitments,
            by_hotkey,
        })
    }
}
