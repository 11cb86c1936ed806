//! A validator's regular sign of life.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Context, ListDigest, MAX_VALIDATORS, MessageError};
use crate::codec::{self, Decode, DecodeError, Decoder, Encode, impl_borrow_decode, wire};
use crate::hello::PeerIdBytes;
use crate::signing::{Domain, HotkeySigner, Signature};
use crate::{BlockNumber, Digest, Hotkey, Network};

/// Blocks for which a beacon is valid. Beacons come every few seconds, so this only prevents
/// replays, and leaves room for validators whose heads differ.
const BEACON_LIFETIME_BLOCKS: u64 = 50;
/// Most addresses in a beacon: two transports on a public, a private and a v6 address, and two to
/// spare.
pub const MAX_BEACON_ADDRESSES: usize = 8;
/// Longest address as text: a DNS name of at most 253 characters, and the protocol parts around it.
const MAX_ADDRESS_BYTES: usize = 320;

/// A libp2p multiaddress as text, of at most 320 bytes. It may be one that cannot be dialled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode)]
#[serde(try_from = "String")]
pub struct Address(String);

impl Address {
    /// The address with this text; `None` if it is empty, too long, or not printable ASCII.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && text.len() <= MAX_ADDRESS_BYTES && printable).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or("not an address")
    }
}

impl<C> Decode<C> for Address {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::try_from(String::decode(decoder)?).map_err(DecodeError::Other)
    }
}
impl_borrow_decode!(Address);

/// What a beacon says of one validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether the sender heard it recently.
    pub heard: bool,
    /// Whether the sender is connected to it and knows its subscriptions, and so sends to it
    /// directly. If two connected validators do not both say so of each other, their link is
    /// broken.
    pub linked: bool,
}

/// Whom the sender of a beacon hears: two bits for each validator, in the order of the allowlist
/// whose digest is given.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HeardMap {
    /// The list.
    pub list: ListDigest,
    /// Four validators a byte, the lowest bits first: heard, then linked.
    bits: Vec<u8>,
}

impl HeardMap {
    /// The map over a list of `validators` validators.
    pub fn new(list: ListDigest, validators: impl IntoIterator<Item = Heard>) -> Self {
        let mut bits = Vec::new();
        for (place, said) in validators.into_iter().take(MAX_VALIDATORS).enumerate() {
            if place % 4 == 0 {
                bits.push(0);
            }
            if let Some(byte) = bits.last_mut() {
                *byte |= (u8::from(said.heard) | u8::from(said.linked) << 1) << (place % 4 * 2);
            }
        }
        Self { list, bits }
    }

    /// What is said of the validator at `place` of the list.
    pub fn at(&self, place: usize) -> Heard {
        let bits = self.bits.get(place / 4).map_or(0, |byte| byte >> (place % 4 * 2));
        Heard { heard: bits & 1 == 1, linked: bits & 2 == 2 }
    }
}

/// A validator's regular sign of life: whom it hears, its chain head, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Beacon {
    /// Chain and subnet.
    pub network: Network,
    /// The validator.
    pub sender: Hotkey,
    /// The libp2p identity that it uses. A hotkey with two of them is running twice.
    pub peer: PeerIdBytes,
    /// The sender's chain head.
    pub head: BlockNumber,
    /// Grows with every beacon, across restarts.
    pub seq: u64,
    /// The last block at which the beacon is valid.
    pub expires: BlockNumber,
    /// The validators that the sender heard recently.
    pub heard: HeardMap,
    /// Where the sender can be dialled; `None` if that is as it said before.
    pub addresses: Option<Vec<Address>>,
    /// A summary of the certificates, attestations, evidence and disputes that the sender holds. A
    /// receiver that holds others asks for a page.
    pub inventory: Digest,
    /// The sender's signature over all of the above.
    pub signature: Signature,
}
wire!(Beacon, 4 * 1024);

impl Beacon {
    fn signed_part(&self) -> Vec<u8> {
        codec::payload(&(
            (self.network, self.sender, self.peer, self.head, self.seq, self.expires),
            (&self.heard, &self.addresses, self.inventory),
        ))
    }

    /// Checks that the sender said this, and recently.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        context.check_network(self.network)?;
        if self.heard.bits.len() > MAX_VALIDATORS.div_ceil(4) {
            return Err(MessageError::Nonsense("more validators heard than a list can have"));
        }
        if self.addresses.as_ref().is_some_and(|all| all.len() > MAX_BEACON_ADDRESSES) {
            return Err(MessageError::Nonsense("too many addresses"));
        }
        let latest = context.head.0.saturating_add(2 * BEACON_LIFETIME_BLOCKS);
        if self.expires < context.head || self.expires.0 > latest {
            return Err(MessageError::Expired { expires: self.expires, head: context.head });
        }
        context.check_member(self.sender)?;
        context.check_signature(Domain::Beacon, &self.signed_part(), &self.signature, self.sender)
    }
}

/// Everything in a beacon except who signs it.
#[derive(Clone, Debug)]
pub struct BeaconDraft {
    /// Chain and subnet.
    pub network: Network,
    /// Our libp2p identity.
    pub peer: PeerIdBytes,
    /// Our chain head.
    pub head: BlockNumber,
    /// Higher than in every earlier beacon.
    pub seq: u64,
    /// The validators that we hear.
    pub heard: HeardMap,
    /// Where we listen, if that is to be said; those beyond [`MAX_BEACON_ADDRESSES`] are left out.
    pub addresses: Option<Vec<Address>>,
    /// A summary of what we hold.
    pub inventory: Digest,
}

impl HotkeySigner {
    /// Signs a beacon.
    #[must_use]
    pub fn sign_beacon(&self, draft: BeaconDraft) -> Beacon {
        let BeaconDraft { network, peer, head, seq, heard, mut addresses, inventory } = draft;
        if let Some(addresses) = &mut addresses {
            addresses.truncate(MAX_BEACON_ADDRESSES);
        }
        let expires = BlockNumber(head.0.saturating_add(BEACON_LIFETIME_BLOCKS));
        let signature = Signature([0; 64]);
        let sender = self.hotkey();
        let mut beacon = Beacon {
            network,
            sender,
            peer,
            head,
            seq,
            expires,
            heard,
            addresses,
            inventory,
            signature,
        };
        beacon.signature = self.sign_domain(Domain::Beacon, &beacon.signed_part());
        beacon
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::codec::Wire as _;
    use crate::messages::{Allowlists, SignatureCheck};
    use crate::{ConsensusParams, ConsensusSchedule, MemoryGuard, Netuid, TaskId};

    fn signer() -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()))
    }

    fn said(place: usize) -> Heard {
        Heard { heard: place.is_multiple_of(2), linked: place.is_multiple_of(3) }
    }

    fn beacon(validators: usize, addresses: Option<usize>) -> Beacon {
        let address =
            Address::new("/dns/".to_owned() + &"a".repeat(MAX_ADDRESS_BYTES - 5)).unwrap();
        signer().sign_beacon(BeaconDraft {
            network: Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) },
            peer: PeerIdBytes::new(&[1; 38]).unwrap(),
            head: BlockNumber(1000),
            seq: 1,
            heard: HeardMap::new([3; 8], (0..validators).map(said)),
            addresses: addresses.map(|count| vec![address; count]),
            inventory: Digest::default(),
        })
    }

    #[test]
    fn the_largest_beacon_fits_and_is_found_good() {
        let beacon = beacon(MAX_VALIDATORS, Some(MAX_BEACON_ADDRESSES));
        assert_eq!(Beacon::from_wire(&beacon.to_wire().unwrap()).unwrap(), beacon);
        let allowlists = Allowlists::single(100, [signer().hotkey()]);
        let mut context = Context {
            network: beacon.network,
            allowlists: &allowlists,
            consensus: &ConsensusSchedule::from(ConsensusParams::default()),
            head: BlockNumber(1000),
            tasks: TaskId(0)..=TaskId(0),
            signatures: &SignatureCheck::default(),
        };
        assert_eq!(beacon.verify(&context), Ok(()));
        context.head = BlockNumber(1051);
        assert!(matches!(beacon.verify(&context), Err(MessageError::Expired { .. })));
        context.head = BlockNumber(900);
        assert!(matches!(beacon.verify(&context), Err(MessageError::Expired { .. })));
        context.head = BlockNumber(1000);
        let forged = Beacon { seq: 2, ..beacon.clone() };
        assert!(matches!(forged.verify(&context), Err(MessageError::BadSignature { .. })));
        let mut endless = beacon;
        endless.heard.bits.push(0);
        assert!(matches!(endless.verify(&context), Err(MessageError::Nonsense(_))));
    }

    #[test]
    fn what_is_said_of_each_validator_is_read_back() {
        for validators in [0, 1, 3, 4, 5, 64, MAX_VALIDATORS] {
            let beacon = beacon(validators, None);
            for place in 0..validators {
                assert_eq!(beacon.heard.at(place), said(place), "{place} of {validators}");
            }
            assert_eq!(beacon.heard.at(validators + 4), Heard::default());
        }
    }

    #[test]
    fn a_beacon_of_a_mesh_of_64_takes_300_bytes() {
        assert!(beacon(64, None).to_wire().unwrap().len() <= 300);
        assert!(beacon(MAX_VALIDATORS, None).to_wire().unwrap().len() <= 350);
    }

    #[test]
    fn addresses_are_bounded_and_printable() {
        assert!(Address::new("/ip4/127.0.0.1/tcp/1").is_some());
        assert!(Address::new("").is_none());
        assert!(Address::new("a b").is_none());
        assert!(Address::new("a".repeat(MAX_ADDRESS_BYTES + 1)).is_none());
    }
}
