//! How a peer proves which validator it is.
//!
//! A libp2p peer id is an ed25519 key and a hotkey an sr25519 key, so the hotkey signs a statement
//! about the peer id. The statement names the chain, the subnet and the consensus parameters,
//! carries a sequence number and expires at a block, so that it proves nothing elsewhere or later.
//! Proof ([`Hello::verify`]), parameters and membership are separate questions: parameters change
//! by block, and membership is checked again whenever the allowlist changes.

use std::fmt;

use crate::codec::{
    self, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, impl_borrow_decode, wire,
};
use crate::messages::SignatureCheck;
use crate::signing::{Domain, HotkeySigner, Signature};
use crate::{BlockNumber, Digest, Hotkey, Netuid, Network};

/// Blocks for which a hello is valid: one hour at twelve seconds each. It is renewed after half of
/// them.
pub const HELLO_LIFETIME_BLOCKS: u64 = 300;
/// How many blocks two validators' heads may differ before a hello counts as valid for too long.
const HELLO_HEAD_SKEW_BLOCKS: u64 = 300;
/// Longest peer id: an inlined 36-byte ed25519 key with its multihash header has 38 bytes, and
/// libp2p allows 42.
const MAX_PEER_ID_BYTES: usize = 42;

/// A libp2p peer id as bytes, for code that does not link libp2p.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIdBytes {
    bytes: [u8; MAX_PEER_ID_BYTES],
    length: u8,
}

impl PeerIdBytes {
    /// The id with these bytes; `None` if there are none or more than 42.
    pub fn new(id: &[u8]) -> Option<Self> {
        let length = u8::try_from(id.len()).ok().filter(|length| *length > 0)?;
        let mut bytes = [0; MAX_PEER_ID_BYTES];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { bytes, length })
    }

    /// The multihash.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for PeerIdBytes {
    /// Base58, as libp2p writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.as_slice()).into_string())
    }
}

impl fmt::Debug for PeerIdBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for PeerIdBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PeerIdBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; MAX_PEER_ID_BYTES];
        let length = bs58::decode(&text).onto(&mut bytes[..]).map_err(serde::de::Error::custom)?;
        Self::new(&bytes[..length]).ok_or_else(|| serde::de::Error::custom("not a peer id"))
    }
}

impl Encode for PeerIdBytes {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_slice().encode(encoder)
    }
}

impl<Context> Decode<Context> for PeerIdBytes {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = Vec::<u8>::decode(decoder)?;
        Self::new(&bytes).ok_or(DecodeError::Other("a peer id has 1 to 42 bytes"))
    }
}
impl_borrow_decode!(PeerIdBytes);

/// A hotkey's statement about a peer id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Chain and subnet.
    pub network: Network,
    /// The validator.
    pub hotkey: Hotkey,
    /// The libp2p identity that it uses.
    pub peer: PeerIdBytes,
    /// Digest of the [`crate::ConsensusParams`] in force at its head.
    pub params: Digest,
    /// Grows with every hello of this hotkey, across restarts.
    pub seq: u64,
    /// The last block at which the hello is valid.
    pub expires: BlockNumber,
    /// The hotkey's signature over all of the above.
    pub signature: Signature,
}
wire!(Hello, 512);

/// What a hello is checked against.
#[derive(Clone, Copy, Debug)]
pub struct HelloContext<'a> {
    /// Our chain and subnet.
    pub network: Network,
    /// The peer id that the transport authenticated.
    pub peer: PeerIdBytes,
    /// Our chain head.
    pub head: BlockNumber,
    /// The highest sequence number seen from this hotkey.
    pub last_seq: Option<u64>,
    /// Remembers valid signatures.
    pub signatures: &'a SignatureCheck,
}

/// A release of this software, without its patch number: releases of one minor version understand
/// each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Release {
    /// The major version.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl Release {
    /// This build's.
    pub const OURS: Self = Self {
        major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: number(env!("CARGO_PKG_VERSION_MINOR")),
    };
}

const fn number(text: &str) -> u16 {
    match u16::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("cargo's version numbers are numbers"),
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why a hello was refused. The answer carries it, so that the other side's operator can read it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum HelloRefusal {
    /// It is for another chain.
    #[error("the hello is for chain {}, this mesh is on {}", theirs.short(), ours.short())]
    WrongChain {
        /// The hello's genesis hash.
        theirs: Digest,
        /// The refuser's.
        ours: Digest,
    },
    /// It is for another subnet.
    #[error("the hello is for subnet {theirs}, this mesh is subnet {ours}")]
    WrongNetuid {
        /// The hello's subnet.
        theirs: Netuid,
        /// The refuser's.
        ours: Netuid,
    },
    /// It is about a peer id other than the connection's.
    #[error("the hello is about peer {claimed}, the connection is with another")]
    WrongPeer {
        /// The peer id in the hello.
        claimed: PeerIdBytes,
    },
    /// The sender did not update before a switch of the consensus parameters.
    #[error("consensus parameters {} are outdated, update to {update_to} or later", theirs.short())]
    Outdated {
        /// The hello's digest.
        theirs: Digest,
        /// The refuser's.
        ours: Digest,
        /// The refuser's release, which knows the new parameters.
        update_to: Release,
    },
    /// The two sides have different consensus parameters, so they would compute different winners.
    /// The refuser does not know the hello's: it may be the one to update.
    #[error("consensus parameters {} are unknown to a validator that has {}: is it up to date?", theirs.short(), ours.short())]
    ParamsDiffer {
        /// The hello's digest.
        theirs: Digest,
        /// The refuser's.
        ours: Digest,
    },
    /// It expired.
    #[error("the hello expired at block {expires}, the head is {head}")]
    Expired {
        /// Its last block.
        expires: BlockNumber,
        /// The refuser's head.
        head: BlockNumber,
    },
    /// It is valid for longer than a hello may be.
    #[error("the hello is valid until block {expires}, too far after head {head}")]
    TooFarAhead {
        /// Its last block.
        expires: BlockNumber,
        /// The refuser's head.
        head: BlockNumber,
    },
    /// A newer hello of this hotkey was seen.
    #[error("the hello has sequence number {seq}, {newest} was seen before")]
    OlderSeq {
        /// Its sequence number.
        seq: u64,
        /// The newest sequence number seen from this hotkey.
        newest: u64,
    },
    /// The named hotkey did not sign it.
    #[error("the hello is not signed by {hotkey}")]
    BadSignature {
        /// The named hotkey.
        hotkey: Hotkey,
    },
    /// The hotkey is proven, but not on the allowlist.
    #[error("{hotkey} is not on the allowlist")]
    NotOnAllowlist {
        /// The proven hotkey.
        hotkey: Hotkey,
    },
    /// The peer misbehaved recently.
    #[error("banned")]
    Banned,
}

impl HelloRefusal {
    /// The reason in one word, for counting.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WrongChain { .. } => "wrong_chain",
            Self::WrongNetuid { .. } => "wrong_netuid",
            Self::WrongPeer { .. } => "wrong_peer",
            Self::Outdated { .. } => "outdated",
            Self::ParamsDiffer { .. } => "params_differ",
            Self::Expired { .. } => "expired",
            Self::TooFarAhead { .. } => "too_far_ahead",
            Self::OlderSeq { .. } => "older_seq",
            Self::BadSignature { .. } => "bad_signature",
            Self::NotOnAllowlist { .. } => "not_on_allowlist",
            Self::Banned => "banned",
        }
    }

    /// Whether an honest validator could have sent the hello: with an old allowlist, a lagging
    /// chain, or other parameters.
    pub const fn is_innocent(&self) -> bool {
        !matches!(self, Self::WrongPeer { .. } | Self::BadSignature { .. })
    }
}

/// The answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HelloAnswer {
    /// Accepted, with our own hello.
    Accepted(Hello),
    /// Refused.
    Refused(HelloRefusal),
}
wire!(HelloAnswer, 1024);

impl Hello {
    fn signed_part(&self) -> Vec<u8> {
        codec::payload(&(self.network, self.hotkey, self.peer, self.params, self.seq, self.expires))
    }

    /// Checks that the hotkey made this statement, about this connection, and that it is valid now.
    /// Does not check the allowlist and the consensus parameters.
    ///
    /// # Errors
    /// The first [`HelloRefusal`] that applies.
    pub fn verify(&self, context: &HelloContext<'_>) -> Result<(), HelloRefusal> {
        let HelloContext { network, peer, head, last_seq, signatures } = *context;
        if self.network.genesis != network.genesis {
            return Err(HelloRefusal::WrongChain {
                theirs: self.network.genesis,
                ours: network.genesis,
            });
        }
        if self.network.netuid != network.netuid {
            return Err(HelloRefusal::WrongNetuid {
                theirs: self.network.netuid,
                ours: network.netuid,
            });
        }
        if self.peer != peer {
            return Err(HelloRefusal::WrongPeer { claimed: self.peer });
        }
        if self.expires < head {
            return Err(HelloRefusal::Expired { expires: self.expires, head });
        }
        if self.expires.0 > head.0.saturating_add(HELLO_LIFETIME_BLOCKS + HELLO_HEAD_SKEW_BLOCKS) {
            return Err(HelloRefusal::TooFarAhead { expires: self.expires, head });
        }
        if !signatures.check(Domain::Hello, &self.signed_part(), &self.signature, &self.hotkey) {
            return Err(HelloRefusal::BadSignature { hotkey: self.hotkey });
        }
        // Checked after the signature, so that nobody else can cause this refusal.
        match last_seq {
            Some(newest) if self.seq < newest => {
                Err(HelloRefusal::OlderSeq { seq: self.seq, newest })
            }
            _ => Ok(()),
        }
    }
}

/// Everything in a hello except who signs it.
#[derive(Clone, Copy, Debug)]
pub struct HelloDraft {
    /// Chain and subnet.
    pub network: Network,
    /// Our libp2p identity.
    pub peer: PeerIdBytes,
    /// Digest of our consensus parameters.
    pub params: Digest,
    /// Higher than in every earlier hello.
    pub seq: u64,
    /// The last block at which the hello is valid.
    pub expires: BlockNumber,
}

impl HotkeySigner {
    /// Signs that a libp2p identity belongs to this hotkey.
    #[must_use]
    pub fn sign_hello(&self, draft: HelloDraft) -> Hello {
        let HelloDraft { network, peer, params, seq, expires } = draft;
        let mut hello = Hello {
            network,
            hotkey: self.hotkey(),
            peer,
            params,
            seq,
            expires,
            signature: Signature([0; 64]),
        };
        hello.signature = self.sign_domain(Domain::Hello, &hello.signed_part());
        hello
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::MemoryGuard;
    use crate::codec::Wire as _;

    fn signer() -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[3; 32]), Arc::new(MemoryGuard::default()))
    }

    fn network() -> Network {
        Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) }
    }

    fn peer(byte: u8) -> PeerIdBytes {
        PeerIdBytes::new(&[byte; 38]).unwrap()
    }

    fn draft() -> HelloDraft {
        HelloDraft {
            network: network(),
            peer: peer(1),
            params: Digest::of(b"p"),
            seq: 5,
            expires: BlockNumber(1200),
        }
    }

    fn refusal(hello: &Hello, change: impl FnOnce(&mut HelloContext<'_>)) -> Option<HelloRefusal> {
        let signatures = SignatureCheck::default();
        let mut context = HelloContext {
            network: network(),
            peer: peer(1),
            head: BlockNumber(1000),
            last_seq: Some(5),
            signatures: &signatures,
        };
        change(&mut context);
        hello.verify(&context).err()
    }

    #[test]
    fn a_good_hello_holds_and_each_wrong_one_is_refused_for_its_reason() {
        let hello = signer().sign_hello(draft());
        assert_eq!(refusal(&hello, |_| ()), None);
        let sign = |change: fn(&mut HelloDraft)| {
            let mut draft = draft();
            change(&mut draft);
            signer().sign_hello(draft)
        };
        type Refused = fn(&HelloRefusal) -> bool;
        let cases: Vec<(Hello, Refused)> = vec![
            (sign(|d| d.network.genesis = Digest::of(b"other")), |r| {
                matches!(r, HelloRefusal::WrongChain { .. })
            }),
            (sign(|d| d.network.netuid = Netuid(1)), |r| {
                matches!(r, HelloRefusal::WrongNetuid { .. })
            }),
            (sign(|d| d.peer = peer(2)), |r| matches!(r, HelloRefusal::WrongPeer { .. })),
            (sign(|d| d.expires = BlockNumber(999)), |r| matches!(r, HelloRefusal::Expired { .. })),
            (sign(|d| d.expires = BlockNumber(1_000_000)), |r| {
                matches!(r, HelloRefusal::TooFarAhead { .. })
            }),
            (sign(|d| d.seq = 4), |r| matches!(r, HelloRefusal::OlderSeq { seq: 4, newest: 5 })),
        ];
        for (hello, expected) in cases {
            let refusal = refusal(&hello, |_| ()).unwrap();
            assert!(expected(&refusal), "{refusal}");
        }
    }

    #[test]
    fn no_field_can_be_changed_after_signing() {
        let hello = signer().sign_hello(draft());
        let forged = Hello { expires: BlockNumber(1300), ..hello.clone() };
        assert!(matches!(refusal(&forged, |_| ()), Some(HelloRefusal::BadSignature { .. })));
        let forged = Hello { seq: 6, ..hello.clone() };
        assert!(matches!(refusal(&forged, |_| ()), Some(HelloRefusal::BadSignature { .. })));
        let forged = Hello { hotkey: Hotkey::from_bytes([9; 32]), ..hello };
        assert!(matches!(refusal(&forged, |_| ()), Some(HelloRefusal::BadSignature { .. })));
    }

    #[test]
    fn travels_within_its_limit() {
        let hello = signer()
            .sign_hello(HelloDraft { peer: PeerIdBytes::new(&[1; 42]).unwrap(), ..draft() });
        assert_eq!(Hello::from_wire(&hello.to_wire().unwrap()).unwrap(), hello);
        let answer = HelloAnswer::Accepted(hello);
        assert_eq!(HelloAnswer::from_wire(&answer.to_wire().unwrap()).unwrap(), answer);
    }

    #[test]
    fn peer_ids_are_written_as_libp2p_writes_them() {
        let text = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        let id: PeerIdBytes = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        assert_eq!(id.as_slice().len(), 38);
        assert_eq!(id.to_string(), text);
        assert!(serde_json::from_str::<PeerIdBytes>("\"0OIl\"").is_err());
        assert_eq!(PeerIdBytes::new(&[0; 43]), None);
        assert_eq!(PeerIdBytes::new(&[]), None);
    }
}
