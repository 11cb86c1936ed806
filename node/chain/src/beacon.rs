//! Encryption of weights to a round of the drand beacon, in the form that the chain opens.
//!
//! The weights are encrypted with AES-GCM under a fresh key. That key is encrypted to the hash of
//! the round as an identity (Boneh-Franklin, on BLS12-381); the beacon's signature of the round
//! decrypts it. Nobody has the signature before the round is due, and everybody has it afterwards.

use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _};
use ark_std::rand::RngCore as _;
use ark_std::rand::rngs::OsRng;
use codec::Encode as _;
use leoma_protocol::Hotkey;
use sha2::{Digest as _, Sha256};
use timelock::block_ciphers::AESGCMBlockCipherProvider;
use timelock::engines::EngineBLS;
use timelock::engines::drand::TinyBLS381;
use timelock::ibe::fullident::{Ciphertext, Identity};
use timelock::tlock::{TLECiphertext, tle};

use crate::submit::ChainWeights;

/// When round 1 of drand's quicknet was due, Unix seconds.
const GENESIS: u64 = 1_692_803_367;
/// Blocks from the start of the reveal epoch to the round, as the subnet's other tools choose it.
/// An earlier round could open a commit in the epoch in which it must stay closed.
const BLOCKS_INTO_EPOCH: u64 = 3;

type PublicKey = <TinyBLS381 as EngineBLS>::PublicKeyGroup;

/// Why weights cannot be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("LEOMA_DRAND_PUBLIC_KEY is not a drand public key, or the system gives no randomness")]
pub struct SealError;

/// A beacon with quicknet's clock.
#[derive(Clone)]
pub struct Beacon {
    public_key: [u8; 96],
}

impl std::fmt::Debug for Beacon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Beacon({}…)", hex::encode(&self.public_key[..4]))
    }
}

impl Beacon {
    /// Seconds from one round to the next.
    pub const PERIOD: u64 = 3;

    /// The beacon with this public key, a compressed point of G2; `None` if the bytes are not one.
    pub fn new(public_key: [u8; 96]) -> Option<Self> {
        PublicKey::deserialize_compressed(&public_key[..]).is_ok().then_some(Self { public_key })
    }

    /// The newest round at a time in Unix milliseconds.
    pub const fn round_at(now_ms: u64) -> u64 {
        (now_ms / 1000).saturating_sub(GENESIS) / Self::PERIOD + 1
    }

    /// The round to encrypt to, so that weights are opened in the epoch that begins in
    /// `blocks_until` blocks of `block_ms` each.
    pub const fn reveal_round(now_ms: u64, blocks_until: u64, block_ms: u64) -> u64 {
        let wait = blocks_until.saturating_add(BLOCKS_INTO_EPOCH).saturating_mul(block_ms);
        (now_ms.saturating_add(wait) / 1000).saturating_sub(GENESIS) / Self::PERIOD
    }

    /// Encrypts a hotkey's weights to a round.
    pub fn seal(
        &self,
        hotkey: &Hotkey,
        weights: &ChainWeights,
        round: u64,
    ) -> Result<Vec<u8>, SealError> {
        let uids: Vec<u16> = weights.uids.iter().map(|uid| uid.0).collect();
        let text =
            (hotkey.as_bytes().to_vec(), uids, &weights.values, weights.version_key).encode();
        let key = PublicKey::deserialize_compressed(&self.public_key[..]).map_err(|_| SealError)?;
        let identity = Identity::new(b"", &Sha256::digest(round.to_be_bytes()));
        let mut secret = [0; 32];
        OsRng.try_fill_bytes(&mut secret).map_err(|_| SealError)?;
        let sealed =
            tle::<TinyBLS381, AESGCMBlockCipherProvider, _>(key, secret, &text, identity, OsRng);
        let TLECiphertext { header: Ciphertext { u, v, w }, body, cipher_suite } =
            sealed.map_err(|_| SealError)?;
        // The chain reads a point and four byte strings with their lengths; the crate's own
        // encoding omits two of the lengths.
        let mut bytes = Vec::new();
        u.serialize_compressed(&mut bytes).map_err(|_| SealError)?;
        for part in [&v[..], &w, &body, &cipher_suite] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::Uid;
    use timelock::tlock::tld;

    /// Public key of drand's quicknet, and its signature of round 5 928 395.
    const QUICKNET: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
    const SIGNATURE: &str = "a5d07c0071b4e386b3ae09206522253c68fefe8490ad59ecc44a7dd0d0745be91da5779e2247a82403fbc0cb9a34cb61";
    const ROUND: u64 = 5_928_395;

    fn quicknet() -> Beacon {
        Beacon::new(hex::decode(QUICKNET).unwrap().try_into().unwrap()).unwrap()
    }

    fn open(sealed: &[u8]) -> Option<Vec<u8>> {
        let (point, mut rest) = sealed.split_at(96);
        let mut part = || {
            let (length, after) = rest.split_first_chunk::<8>().unwrap();
            let (part, after) = after.split_at(u64::from_le_bytes(*length) as usize);
            rest = after;
            part.to_vec()
        };
        let (v, w) = (part().try_into().unwrap(), part().try_into().unwrap());
        let (body, cipher_suite) = (part(), part());
        let header = Ciphertext { u: PublicKey::deserialize_compressed(point).unwrap(), v, w };
        let signature = hex::decode(SIGNATURE).unwrap();
        let signature =
            <TinyBLS381 as EngineBLS>::SignatureGroup::deserialize_compressed(&signature[..])
                .unwrap();
        tld::<TinyBLS381, AESGCMBlockCipherProvider>(
            TLECiphertext { header, body, cipher_suite },
            signature,
        )
        .ok()
    }

    #[test]
    fn drands_own_signature_opens_what_was_sealed_to_its_round_and_no_other() {
        let hotkey = Hotkey::from_bytes([7; 32]);
        let weights = ChainWeights { uids: vec![Uid(6)], values: vec![u16::MAX], version_key: 3 };
        let text = open(&quicknet().seal(&hotkey, &weights, ROUND).unwrap()).unwrap();
        let expected = (vec![7_u8; 32], vec![6_u16], vec![u16::MAX], 3_u64).encode();
        assert_eq!(text, expected);
        assert_eq!(open(&quicknet().seal(&hotkey, &weights, ROUND + 1).unwrap()), None);
        let one = quicknet().seal(&hotkey, &weights, ROUND).unwrap();
        assert_ne!(
            one,
            quicknet().seal(&hotkey, &weights, ROUND).unwrap(),
            "each with randomness of its own"
        );
    }

    #[test]
    fn rounds_follow_the_clock() {
        assert_eq!(Beacon::round_at(GENESIS * 1000), 1);
        assert_eq!(Beacon::round_at((GENESIS + 3) * 1000 - 1), 1);
        assert_eq!(Beacon::round_at((GENESIS + 3) * 1000), 2);
        // 360 blocks of 12 s and three more, from the genesis on.
        assert_eq!(Beacon::reveal_round(GENESIS * 1000, 360, 12_000), 363 * 12 / 3);
        assert_eq!(Beacon::reveal_round(0, 0, 0), 0);
    }

    #[test]
    fn a_key_that_is_no_point_is_refused() {
        assert!(Beacon::new([1; 96]).is_none());
    }
}
