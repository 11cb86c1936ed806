//! The local beacon: quicknet's clock and scheme with a key that everybody knows, so that a test
//! can sign any round.

use super::timelock::{PublicKey, RoundNumber, Signature, identity};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::PrimeField;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use sp_io::hashing::sha2_256;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use timelock::engines::EngineBLS;
use timelock::engines::drand::TinyBLS381;

/// Pulses written into one block at most, as many as a live node fetches at once; a chain that
/// stood still catches up over several blocks.
pub const MAX_PULSES_PER_BLOCK: u64 = 50;
/// When quicknet's round 1 was due, Unix seconds.
pub(crate) const GENESIS_TIME: u64 = 1_692_803_367;
/// Seconds from one of quicknet's rounds to the next.
pub const PERIOD: u64 = 3;

/// What the local beacon's key is made from. It is no secret, and must never sign anything but a
/// local chain's rounds.
pub(super) const SEED: &[u8] = b"leoma local drand beacon";
/// Signatures in G1 over the round's hash, as quicknet makes them.
pub(super) const SCHEME: &[u8] = b"bls-unchained-g1-rfc9380";
/// The beacon's name.
pub(super) const NAME: &[u8] = b"leoma-local";
/// Bytes of a compressed point of G2.
const PUBLIC_KEY_BYTES: usize = 96;

type Scalar = <TinyBLS381 as EngineBLS>::Scalar;

static SECRET: LazyLock<Scalar> =
    LazyLock::new(|| Scalar::from_be_bytes_mod_order(&sha2_256(SEED)));
static PUBLIC: LazyLock<[u8; PUBLIC_KEY_BYTES]> = LazyLock::new(|| {
    let key = <TinyBLS381 as EngineBLS>::PublicKeyGroupAffine::generator() * *SECRET;
    let mut bytes = [0; PUBLIC_KEY_BYTES];
    #[expect(clippy::expect_used, reason = "a compressed point of G2 takes these 96 bytes")]
    key.serialize_compressed(&mut bytes[..]).expect("a point of G2 fits");
    bytes
});

/// The local beacon's public key, a compressed point of G2: what is encrypted to one of its rounds
/// is encrypted under it.
pub fn public_key() -> [u8; PUBLIC_KEY_BYTES] {
    *PUBLIC
}

/// The newest round that is due at a time in Unix milliseconds; 0 before the first.
pub const fn round_at(now_ms: u64) -> RoundNumber {
    match (now_ms / 1_000).checked_sub(GENESIS_TIME) {
        Some(elapsed) => elapsed / PERIOD + 1,
        None => 0,
    }
}

/// Signatures of the newest rounds asked for: the node makes one, and the runtime checks it soon
/// after.
static RECENT: Mutex<BTreeMap<RoundNumber, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// The local beacon's signature of a round, a compressed point of G1.
pub(crate) fn signature_of(round: RoundNumber) -> Vec<u8> {
    // A panic while it was held leaves nothing half done.
    let recent = || RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(signature) = recent().get(&round) {
        return signature.clone();
    }
    let signature = sign(round);
    let mut recent = recent();
    recent.insert(round, signature.clone());
    if recent.len() > MAX_PULSES_PER_BLOCK as usize {
        recent.pop_first();
    }
    signature
}

fn sign(round: RoundNumber) -> Vec<u8> {
    let mut signature = Vec::new();
    #[expect(clippy::expect_used, reason = "a vector takes any number of bytes")]
    identity(round)
        .extract::<TinyBLS381>(*SECRET)
        .0
        .serialize_compressed(&mut signature)
        .expect("a vector grows");
    signature
}

/// The randomness that follows from a signature.
pub fn randomness(signature: &[u8]) -> [u8; 32] {
    sha2_256(signature)
}

/// Whether `signature` is that of `round` under `key`; `None` where one of them is no point of its
/// group.
#[must_use]
pub fn verify(key: &[u8], round: RoundNumber, signature: &[u8]) -> Option<bool> {
    // A round has one signature, and the local beacon's are at hand: no need for two pairings in
    // every block.
    if key == public_key() && signature == signature_of(round) {
        return Some(true);
    }
    let key = PublicKey::deserialize_compressed(key).ok()?;
    let signature = Signature::deserialize_compressed(signature).ok()?;
    let generator = PublicKey::from(<TinyBLS381 as EngineBLS>::PublicKeyGroupAffine::generator());
    let signed = TinyBLS381::pairing(generator.into_affine(), signature.into_affine());
    Some(
        signed
            == TinyBLS381::pairing(
                key.into_affine(),
                identity(round).public::<TinyBLS381>().into_affine(),
            ),
    )
}
