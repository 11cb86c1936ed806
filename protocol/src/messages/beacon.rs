//! A validator's regular sign of life.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Context, MAX_VALIDATORS, MessageError};
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

/// A validator that a beacon's sender hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Heard {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Whether the sender is connected to it and knows its subscriptions, and so sends to it
    /// directly. If two connected validators do not both say so of each other, their link is
    /// broken.
    pub linked: bool,
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
    /// The validators that the sender heard recently, ascending, each once.
    pub heard: Vec<Heard>,
    /// Where the sender can be dialled.
    pub addresses: Vec<Address>,
    /// A summary of the certificates, attestations and evidence that the sender holds. A receiver
    /// that holds others asks for a page.
    pub inventory: Digest,
    /// The sender's signature over all of the above.
    pub signature: Signature,
}
wire!(Beacon, 16 * 1024);

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
        if self.heard.len() > MAX_VALIDATORS || !self.heard.is_sorted_by(|a, b| a.hotkey < b.hotkey)
        {
            return Err(MessageError::Nonsense("validators heard are not ascending, each once"));
        }
        if self.addresses.len() > MAX_BEACON_ADDRESSES {
            return Err(MessageError::Nonsense("too many addresses"));
        }
        let latest = context.head.0.saturating_add(2 * BEACON_LIFETIME_BLOCKS);
        if self.expires < context.head || self.expires.0 > latest {
            return Err(MessageError::Expired { expires: self.expires, head: context.head });
        }
        context.check_member(self.sender)?;
        context.check_signature(Domain::Beacon, &self.signed_part(), &self.signature, self.sender)
    }

    /// What the sender says about `hotkey`; `None` if it does not hear it.
    pub fn mention(&self, hotkey: &Hotkey) -> Option<Heard> {
        let index = self.heard.binary_search_by(|heard| heard.hotkey.cmp(hotkey)).ok()?;
        self.heard.get(index).copied()
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
    /// The validators that we hear; sorted here.
    pub heard: Vec<Heard>,
    /// Where we listen; those beyond [`MAX_BEACON_ADDRESSES`] are left out.
    pub addresses: Vec<Address>,
    /// A summary of what we hold.
    pub inventory: Digest,
}

impl HotkeySigner {
    /// Signs a beacon.
    #[must_use]
    pub fn sign_beacon(&self, draft: BeaconDraft) -> Beacon {
        let BeaconDraft { network, peer, head, seq, mut heard, mut addresses, inventory } = draft;
        heard.sort_by_key(|heard| heard.hotkey);
        heard.dedup_by_key(|heard| heard.hotkey);
        heard.truncate(MAX_VALIDATORS);
        addresses.truncate(MAX_BEACON_ADDRESSES);
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
    use crate::{MemoryGuard, Netuid, TaskId};

    fn signer() -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[1; 32]), Arc::new(MemoryGuard::default()))
    }

    fn beacon(heard: usize, addresses: usize) -> Beacon {
        let heard = (0..heard).rev().map(|n| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            Heard { hotkey: Hotkey::from_bytes(bytes), linked: n % 2 == 0 }
        });
        signer().sign_beacon(BeaconDraft {
            network: Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) },
            peer: PeerIdBytes::new(&[1; 38]).unwrap(),
            head: BlockNumber(1000),
            seq: 1,
            heard: heard.collect(),
            addresses: vec![
                Address::new("/dns/".to_owned() + &"a".repeat(MAX_ADDRESS_BYTES - 5))
                    .unwrap();
                addresses
            ],
            inventory: Digest::default(),
        })
    }

    #[test]
    fn the_largest_beacon_fits_and_is_found_good() {
        let beacon = beacon(MAX_VALIDATORS, MAX_BEACON_ADDRESSES);
        assert_eq!(Beacon::from_wire(&beacon.to_wire().unwrap()).unwrap(), beacon);
        let allowlists = Allowlists::single([signer().hotkey()]);
        let signatures = SignatureCheck::default();
        let mut context = Context {
            network: beacon.network,
            allowlists: &allowlists,
            head: BlockNumber(1000),
            tasks: TaskId(0)..=TaskId(0),
            signatures: &signatures,
        };
        assert_eq!(beacon.verify(&context), Ok(()));
        context.head = BlockNumber(1051);
        assert!(matches!(beacon.verify(&context), Err(MessageError::Expired { .. })));
        context.head = BlockNumber(900);
        assert!(matches!(beacon.verify(&context), Err(MessageError::Expired { .. })));
        context.head = BlockNumber(1000);
        let forged = Beacon { seq: 2, ..beacon };
        assert!(matches!(forged.verify(&context), Err(MessageError::BadSignature { .. })));
    }

    #[test]
    fn mentions_are_found() {
        let beacon = beacon(5, 0);
        for heard in &beacon.heard {
            assert_eq!(beacon.mention(&heard.hotkey), Some(*heard));
        }
        assert_eq!(beacon.mention(&Hotkey::from_bytes([255; 32])), None);
    }

    #[test]
    fn addresses_are_bounded_and_printable() {
        assert!(Address::new("/ip4/127.0.0.1/tcp/1").is_some());
        assert!(Address::new("").is_none());
        assert!(Address::new("a b").is_none());
        assert!(Address::new("a".repeat(MAX_ADDRESS_BYTES + 1)).is_none());
    }
}
