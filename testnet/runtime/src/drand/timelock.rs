//! Opening what was encrypted to a round of the beacon.
//!
//! A ciphertext hides a key, under which the body is encrypted with AES-GCM, by identity-based
//! encryption: the identity is the round's hash, and the beacon's signature of the round is the
//! identity's secret.

use ark_serialize::{CanonicalDeserialize, CanonicalSerialize, SerializationError};
use ark_std::rand::rngs::OsRng;
use sp_io::hashing::sha2_256;
use timelock::block_ciphers::AESGCMBlockCipherProvider;
use timelock::engines::EngineBLS;
use timelock::engines::drand::TinyBLS381;
use timelock::ibe::fullident::{Ciphertext as HiddenKey, Identity};
use timelock::tlock::{TLECiphertext, tld, tle};

/// Number of a beacon's round, from 1.
pub type RoundNumber = u64;

/// A beacon's public key.
pub(super) type PublicKey = <TinyBLS381 as EngineBLS>::PublicKeyGroup;
/// A signature of a round.
pub(super) type Signature = <TinyBLS381 as EngineBLS>::SignatureGroup;

/// Bytes of a compressed point of G2.
const POINT: usize = 96;
/// Bytes of an AES-GCM nonce.
const NONCE: usize = 12;
/// Bytes of an AES-GCM tag, which is all there is of an empty body.
const TAG: usize = 16;

/// Why a ciphertext does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not laid out as a ciphertext.
    #[error("not a timelock ciphertext")]
    Malformed,
    /// The signature is not a point of its group.
    #[error("not a signature of a beacon")]
    Signature,
    /// It was encrypted to another round or under another key, or was changed.
    #[error("the signature does not open it")]
    Sealed,
}

/// Why nothing was encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key is not a point of its group.
    #[error("not the public key of a beacon: {0}")]
    Key(SerializationError),
    /// The cipher refused the text.
    #[error("the text cannot be encrypted")]
    Text,
    /// The result has no encoding.
    #[error("encoding a ciphertext: {0}")]
    Encoding(SerializationError),
}

/// What a ciphertext for a round is encrypted to.
pub(super) fn identity(round: RoundNumber) -> Identity {
    Identity::new(b"", &sha2_256(&round.to_be_bytes()))
}

/// Opens a ciphertext with the signature of its round.
///
/// # Errors
/// When the bytes are no ciphertext, or the signature is not that of the round it was encrypted to.
pub fn open(ciphertext: &[u8], signature: &[u8]) -> Result<Vec<u8>, OpenError> {
    let sealed = read(ciphertext).ok_or(OpenError::Malformed)?;
    let signature =
        Signature::deserialize_compressed(signature).map_err(|_| OpenError::Signature)?;
    tld::<TinyBLS381, AESGCMBlockCipherProvider>(sealed, signature).map_err(|_| OpenError::Sealed)
}

/// Encrypts `text` to a round of the beacon with this public key, with fresh randomness from the
/// system.
///
/// # Errors
/// When the key is not a beacon's public key.
pub fn seal(text: &[u8], round: RoundNumber, public_key: &[u8]) -> Result<Vec<u8>, SealError> {
    let key = PublicKey::deserialize_compressed(public_key).map_err(SealError::Key)?;
    let mut secret = [0; 32];
    ark_std::rand::RngCore::fill_bytes(&mut OsRng, &mut secret);
    let sealed =
        tle::<TinyBLS381, AESGCMBlockCipherProvider, _>(key, secret, text, identity(round), OsRng);
    let TLECiphertext { header: HiddenKey { u, v, w }, body, cipher_suite } =
        sealed.map_err(|_| SealError::Text)?;
    let mut bytes = Vec::new();
    u.serialize_compressed(&mut bytes).map_err(SealError::Encoding)?;
    for part in [&v[..], &w, &body, &cipher_suite] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// Reads a ciphertext as the live chain lays it out: a point, and four byte strings with their
/// lengths. The crate's own layout has no lengths for the first two.
///
/// The lengths inside the body are checked too. Anybody can commit any bytes, and the crate's
/// decoder sets aside as much memory as a length asks for. What follows the last string is ignored,
/// as there.
fn read(ciphertext: &[u8]) -> Option<TLECiphertext<TinyBLS381>> {
    let (point, mut rest) = ciphertext.split_at_checked(POINT)?;
    let (v, w) = (take(&mut rest)?.try_into().ok()?, take(&mut rest)?.try_into().ok()?);
    let (body, cipher_suite) = (take(&mut rest)?, take(&mut rest)?);
    let mut inside = body;
    let (text, nonce) = (take(&mut inside)?, take(&mut inside)?);
    let u = PublicKey::deserialize_compressed(point).ok()?;
    (text.len() >= TAG && nonce.len() == NONCE).then(|| TLECiphertext {
        header: HiddenKey { u, v, w },
        body: body.to_vec(),
        cipher_suite: cipher_suite.to_vec(),
    })
}

/// Takes a byte string off `rest`: its length in eight bytes, little-endian, then the bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<8>()?;
    let (bytes, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    *rest = after;
    Some(bytes)
}
