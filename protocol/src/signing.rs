//! Signing with the hotkey: one named method and one domain for each kind of statement, and the
//! guard against signing twice.
//!
//! There is no public `sign(bytes)`. A [`HotkeySigner`] makes hellos, attestations, verdict files
//! or signed requests, and no input can turn one into another.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sp_core::{Pair as _, sr25519};

use crate::{Digest, FileId, Hotkey, Netuid, Network, TaskId};

/// An sr25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, crate::codec::Encode, crate::codec::Decode)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// `0x` and 128 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        format!("0x{}", hex::encode(self.0))
    }

    /// Reads 128 hexadecimal digits with or without `0x`.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Whether `hotkey` signed exactly `message`.
    pub(crate) fn verifies(&self, message: &[u8], hotkey: &Hotkey) -> bool {
        sr25519::Pair::verify(&sr25519::Signature::from_raw(self.0), message, &hotkey.public())
    }
}

/// The context of sr25519 signatures on Substrate chains; `sp_core` does not export its constant.
const SIGNING_CONTEXT: &[u8] = b"substrate";

/// A signature and everything that it is checked against.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) domain: Domain,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Signature,
    pub(crate) hotkey: Hotkey,
}

/// Whether every claim holds, for less work than checking each by itself. Does not say which one
/// fails.
///
/// True exactly when [`Domain::verify`] is true for each, except with a chance of one in 2^128. A
/// single check compares `sB - hA` with the encoded `R`. This one decodes every `R`, which fails
/// unless it is the element's only encoding, and compares the sums of both sides, each claim
/// multiplied by a random number of 128 bits. Ristretto's group has prime order: no cofactor can
/// make the two checks differ, and there is no point of small order that a multiple would erase. A
/// signer must not know the random numbers, or it could choose two wrong `s` that cancel. So they
/// come from the system's randomness, never from the claims alone (`verify_batch_deterministic`
/// does not even cover `s`).
pub(crate) fn all_hold(claims: &[&Claim]) -> bool {
    let mut signatures = Vec::with_capacity(claims.len());
    let mut keys = Vec::with_capacity(claims.len());
    for claim in claims {
        let signature = schnorrkel::Signature::from_bytes(&claim.signature.0);
        let key = schnorrkel::PublicKey::from_bytes(claim.hotkey.as_bytes());
        let (Ok(signature), Ok(key)) = (signature, key) else { return false };
        signatures.push(signature);
        keys.push(key);
    }
    let context = schnorrkel::signing_context(SIGNING_CONTEXT);
    let transcripts =
        claims.iter().map(|claim| context.bytes(&claim.domain.message(&claim.payload)));
    schnorrkel::verify_batch(transcripts, &signatures, &keys, false).is_ok()
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// What a signature is for. The signature covers the domain's name, so it is valid for one purpose
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    VerdictEnvelope,
    // A build without the mesh still checks the mesh's messages in files.
    Hello,
    Announcement,
    Attestation,
    Dispute,
    Beacon,
    MinerReport,
    AllowlistRecord,
}

impl Domain {
    const fn prefix(self) -> &'static str {
        match self {
            Self::VerdictEnvelope => "leoma:verdict-envelope:1",
            Self::Hello => "leoma:hello:1",
            Self::Announcement => "leoma:announcement:1",
            Self::Attestation => "leoma:attestation:1",
            Self::Dispute => "leoma:dispute:1",
            Self::Beacon => "leoma:beacon:1",
            Self::MinerReport => "leoma:miner-report:1",
            Self::AllowlistRecord => "leoma:allowlist-record:1",
        }
    }

    /// The bytes to sign: the domain's name, a zero byte, and the payload.
    fn message(self, payload: &[u8]) -> Vec<u8> {
        [self.prefix().as_bytes(), &[0], payload].concat()
    }

    pub(crate) fn verify(self, payload: &[u8], signature: &Signature, hotkey: &Hotkey) -> bool {
        signature.verifies(&self.message(payload), hotkey)
    }
}

/// A kind of statement that is signed once only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// This validator's verdict file of a task; the subject is the validator itself.
    VerdictFile,
    /// This validator's attestation to a producer's file; the subject is the producer.
    Attestation,
}

impl SlotKind {
    /// A stable name for databases and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerdictFile => "verdict_file",
            Self::Attestation => "attestation",
        }
    }
}

/// A statement that may be signed with one digest only, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SigningSlot {
    /// The kind of statement.
    pub kind: SlotKind,
    /// The subnet.
    pub netuid: Netuid,
    /// The task.
    pub task_id: TaskId,
    /// The producer of the file.
    pub subject: Hotkey,
}

/// The guard's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Safe {
    /// Nothing was signed in this slot before; the digest is now recorded.
    New,
    /// The same digest was signed before, and may be again.
    Same,
}

/// Why a statement must not be signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSafe {
    /// Another digest was signed in this slot: a second one would be equivocation.
    #[error(
        "{} for task {} of {} was already signed with digest {signed}, refusing {refused}",
        slot.kind.name(), slot.task_id, slot.subject
    )]
    Conflict {
        /// The slot.
        slot: SigningSlot,
        /// The digest on record.
        signed: Digest,
        /// The digest that was asked for.
        refused: Digest,
    },
    /// Nothing new may be signed about the task: peers have seen statements of ours that this
    /// machine does not know.
    #[error(
        "{} for task {} of {} refused: peers have seen statements of ours that this machine's state does not know, so it may have been signed already",
        slot.kind.name(), slot.task_id, slot.subject
    )]
    Sealed {
        /// The slot.
        slot: SigningSlot,
    },
    /// Every reader would refuse the file.
    #[error("the entry of {subject} cannot be signed: {reason}")]
    Unreadable {
        /// Whose entry.
        subject: Hotkey,
        /// What its readers refuse.
        reason: &'static str,
    },
    /// The record could not be read or written. Nothing is signed without it.
    #[error("the record of signed digests is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Remembers the digest that was signed in each slot. It must check and record in one atomic step
/// that survives a crash.
pub trait SigningGuard: Send + Sync + fmt::Debug {
    /// Records `digest` in `slot`, or says why it must not be signed.
    ///
    /// # Errors
    /// [`NotSafe::Conflict`] when another digest is on record, [`NotSafe::Unavailable`] when the
    /// record cannot be used.
    fn admit(&self, slot: SigningSlot, digest: Digest) -> Result<Safe, NotSafe>;
}

/// A guard that forgets on exit, for tests and one-shot tools. A validator keeps its record in a
/// database.
#[derive(Debug, Default)]
pub struct MemoryGuard(Mutex<HashMap<SigningSlot, Digest>>);

impl SigningGuard for MemoryGuard {
    fn admit(&self, slot: SigningSlot, digest: Digest) -> Result<Safe, NotSafe> {
        let mut signed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match signed.get(&slot) {
            None => {
                signed.insert(slot, digest);
                Ok(Safe::New)
            }
            Some(on_record) if *on_record == digest => Ok(Safe::Same),
            Some(on_record) => Err(NotSafe::Conflict { slot, signed: *on_record, refused: digest }),
        }
    }
}

/// Signs for one hotkey. Cloning shares the key and the guard.
#[derive(Clone)]
pub struct HotkeySigner {
    pair: Arc<sr25519::Pair>,
    guard: Arc<dyn SigningGuard>,
}

impl fmt::Debug for HotkeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotkeySigner").field("hotkey", &self.hotkey()).finish_non_exhaustive()
    }
}

impl HotkeySigner {
    /// A signer for `pair` that asks `guard` before every once-only statement.
    pub fn new(pair: sr25519::Pair, guard: Arc<dyn SigningGuard>) -> Self {
        Self { pair: Arc::new(pair), guard }
    }

    /// The public key.
    pub fn hotkey(&self) -> Hotkey {
        self.pair.public().into()
    }

    /// Signs a chain transaction's payload.
    ///
    /// # Errors
    /// Refuses a payload that could be one of our own messages. Those begin with `leoma:`, a
    /// transaction with a pallet's index.
    pub fn sign_extrinsic(&self, payload: &[u8]) -> Result<Signature, NotAnExtrinsic> {
        if payload.starts_with(b"leoma:") {
            return Err(NotAnExtrinsic);
        }
        Ok(Signature(self.pair.sign(payload).0))
    }

    pub(crate) fn sign_domain(&self, domain: Domain, payload: &[u8]) -> Signature {
        Signature(self.pair.sign(&domain.message(payload)).0)
    }

    /// Signs a digest without a domain, as the Python implementation signs verdicts.
    pub(crate) fn sign_v1_digest(&self, digest: &Digest) -> Signature {
        Signature(self.pair.sign(&digest.0).0)
    }

    /// Signs a request's text without a domain, as the Python implementation signs requests. It
    /// begins with a digest in hexadecimal, as none of our other messages does.
    pub(crate) fn sign_request_text(&self, text: &str) -> Signature {
        Signature(self.pair.sign(text.as_bytes()).0)
    }

    /// Signs a text of Bittensor's SDK, which has no domain. `synapse::signed` alone writes such
    /// texts: they begin with a number, so none can be read as a message of ours.
    pub(crate) fn sign_synapse_text(&self, text: &str) -> Signature {
        Signature(self.pair.sign(text.as_bytes()).0)
    }

    /// Asks the guard before a once-only statement about `file` is signed.
    pub(crate) fn admit(
        &self,
        kind: SlotKind,
        network: Network,
        file: FileId,
        digest: Digest,
    ) -> Result<(), NotSafe> {
        let FileId { task_id, producer } = file;
        let slot = SigningSlot { kind, netuid: network.netuid, task_id, subject: producer };
        match self.guard.admit(slot, digest)? {
            Safe::New | Safe::Same => Ok(()),
        }
    }
}

/// A transaction payload that begins like one of the mesh's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refusing to sign a transaction payload that begins with `leoma:`")]
pub struct NotAnExtrinsic;

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[7; 32]), Arc::new(MemoryGuard::default()))
    }

    #[test]
    fn a_signature_holds_in_its_domain_only() {
        let signer = signer();
        let signature = signer.sign_domain(Domain::Hello, b"payload");
        assert!(Domain::Hello.verify(b"payload", &signature, &signer.hotkey()));
        assert!(!Domain::Attestation.verify(b"payload", &signature, &signer.hotkey()));
        assert!(!Domain::Hello.verify(b"payloae", &signature, &signer.hotkey()));
    }

    fn claim(number: u8) -> Claim {
        let signer = HotkeySigner::new(
            sr25519::Pair::from_seed(&[number; 32]),
            Arc::new(MemoryGuard::default()),
        );
        let payload = vec![number; 100];
        let signature = signer.sign_domain(Domain::Attestation, &payload);
        Claim { domain: Domain::Attestation, payload, signature, hotkey: signer.hotkey() }
    }

    fn holds(claim: &Claim) -> bool {
        claim.domain.verify(&claim.payload, &claim.signature, &claim.hotkey)
    }

    fn hold_together(claims: &[Claim]) -> bool {
        all_hold(&claims.iter().collect::<Vec<_>>())
    }

    #[test]
    fn claims_hold_together_when_each_holds() {
        let good: Vec<Claim> = (1..=20).map(claim).collect();
        assert!(hold_together(&good) && hold_together(&good[..1]) && hold_together(&[]));
        for index in [0, 9, 19] {
            let spoils: [fn(&mut Claim); 5] = [
                |claim| claim.domain = Domain::Hello,
                |claim| claim.payload[3] ^= 1,
                |claim| claim.signature.0[40] ^= 1,
                |claim| claim.signature.0 = [0xff; 64],
                |claim| claim.hotkey = signer().hotkey(),
            ];
            for spoil in spoils {
                let mut claims = good.clone();
                spoil(&mut claims[index]);
                assert!(!holds(&claims[index]) && !hold_together(&claims));
            }
        }
    }

    #[test]
    fn two_wrongs_that_cancel_each_other_do_not_hold_together() {
        // One `s` too large by one, the other too small by one: a sum without random factors would
        // not notice.
        let low_byte = 32;
        let good = (1..=200).map(claim).collect::<Vec<_>>();
        let fits = |claim: &&Claim| (1..255).contains(&claim.signature.0[low_byte]);
        let mut pair: Vec<Claim> = good.iter().filter(fits).take(2).cloned().collect();
        pair[0].signature.0[low_byte] += 1;
        pair[1].signature.0[low_byte] -= 1;
        assert!(!holds(&pair[0]) && !holds(&pair[1]));
        for _ in 0..20 {
            assert!(!hold_together(&pair));
        }
    }

    #[test]
    fn transaction_signing_refuses_our_own_messages() {
        assert!(signer().sign_extrinsic(&Domain::Hello.message(b"x")).is_err());
        assert!(signer().sign_extrinsic(&[7, 0, 1]).is_ok());
    }

    #[test]
    fn ten_concurrent_digests_for_one_slot_leave_one() {
        let guard = Arc::new(MemoryGuard::default());
        let subject = signer().hotkey();
        let slot = SigningSlot {
            kind: SlotKind::Attestation,
            netuid: Netuid(99),
            task_id: TaskId(3),
            subject,
        };
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10u8)
                .map(|n| {
                    let guard = Arc::clone(&guard);
                    scope.spawn(move || usize::from(guard.admit(slot, Digest([n; 32])).is_ok()))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let text = format!("{:?}", signer());
        assert!(text.contains(&signer().hotkey().to_string()));
        assert!(!text.contains(&hex::encode([7; 32])));
    }
}
