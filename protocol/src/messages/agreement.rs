//! Announcements of verdict files, attestations to them, and certificates.

use serde::{Deserialize, Serialize};

use super::{Context, MAX_VALIDATORS, MessageError};
use crate::codec::{self, Decode, Encode, wire};
use crate::signing::{Claim, Domain, HotkeySigner, NotSafe, Signature, SlotKind};
use crate::verdict::{MAX_FILE_BYTES, SignedVerdict};
use crate::{Digest, FileId, Hotkey, Network, quorum};

/// A producer's statement that its verdict file of a task exists, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// Chain and subnet.
    pub network: Network,
    /// Task and producer.
    pub file: FileId,
    /// The file's identity, see [`crate::verdict::Envelope::digest`].
    pub digest: Digest,
    /// The file's size in bytes.
    pub bytes_len: u64,
    /// The producer's signature over all of the above.
    pub signature: Signature,
}
wire!(Announcement, 256);

impl Announcement {
    fn signed_part(&self) -> Vec<u8> {
        codec::payload(&(self.network, self.file, self.digest, self.bytes_len))
    }

    /// The signature, to be checked with others.
    #[cfg(feature = "mesh")]
    pub(crate) fn claim(&self) -> Claim {
        let (domain, hotkey) = (Domain::Announcement, self.file.producer);
        Claim { domain, payload: self.signed_part(), signature: self.signature, hotkey }
    }

    /// Checks that the producer said this, about a task that counts.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        context.check_network(self.network)?;
        if self.bytes_len > MAX_FILE_BYTES as u64 {
            return Err(MessageError::Nonsense(
                "the announced file is larger than a verdict file may be",
            ));
        }
        context.check_producer(&self.file)?;
        context.check_signature(
            Domain::Announcement,
            &self.signed_part(),
            &self.signature,
            self.file.producer,
        )
    }
}

/// A validator's statement that it fetched and verified a file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attestation {
    /// Chain and subnet.
    pub network: Network,
    /// Task and producer.
    pub file: FileId,
    /// The file's identity.
    pub digest: Digest,
    /// The attester.
    pub attester: Hotkey,
    /// The attester's signature over all of the above.
    pub signature: Signature,
}
wire!(Attestation, 256);

impl Attestation {
    fn signed_part(&self) -> Vec<u8> {
        codec::payload(&(self.network, self.file, self.digest, self.attester))
    }

    /// The signature, to be checked with others.
    pub(crate) fn claim(&self) -> Claim {
        let (domain, hotkey) = (Domain::Attestation, self.attester);
        Claim { domain, payload: self.signed_part(), signature: self.signature, hotkey }
    }

    /// Checks that the attester said this, about a task that counts.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        context.check_network(self.network)?;
        context.check_task(self.file.task_id, self.attester)?;
        context.check_producer(&self.file)?;
        context.check_signature(
            Domain::Attestation,
            &self.signed_part(),
            &self.signature,
            self.attester,
        )
    }
}

/// Any number of attestations to one digest of one file, as a catch-up page carries them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tally {
    /// The digest attested to.
    pub digest: Digest,
    /// Attesters and their signatures, ascending, each once.
    pub votes: Vec<(Hotkey, Signature)>,
}

impl Tally {
    /// The attestations one by one.
    pub fn attestations(
        &self,
        network: Network,
        file: FileId,
    ) -> impl Iterator<Item = Attestation> + '_ {
        attestations(network, file, self.digest, &self.votes)
    }
}

fn attestations(
    network: Network,
    file: FileId,
    digest: Digest,
    votes: &[(Hotkey, Signature)],
) -> impl Iterator<Item = Attestation> + '_ {
    votes.iter().map(move |(attester, signature)| Attestation {
        network,
        file,
        digest,
        attester: *attester,
        signature: *signature,
    })
}

/// Proof that a [`quorum`] of the task's allowlist attested to one digest. Two certificates with
/// different digests for one file cannot exist while at most [`crate::faulty`] validators sign
/// twice, because two quorums share more than that.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Certificate {
    /// Chain and subnet.
    pub network: Network,
    /// Task and producer.
    pub file: FileId,
    /// The certified digest.
    pub digest: Digest,
    /// Attesters and their signatures, ascending, each once.
    #[serde(with = "votes_as_text")]
    pub votes: Vec<(Hotkey, Signature)>,
}
wire!(Certificate, 32 * 1024);

impl Certificate {
    /// Checks that enough validators of the task's allowlist signed. The sender need not be
    /// trusted.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        context.check_network(self.network)?;
        if self.votes.len() > MAX_VALIDATORS || !self.votes.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(MessageError::Nonsense("attesters are not ascending, each once"));
        }
        let admitted = self.attestations().filter(|vote| context.admits(&vote.file, vote.attester));
        context.signatures.prepare(admitted.map(|attestation| attestation.claim()));
        for attestation in self.attestations() {
            attestation.verify(context)?;
        }
        let need = quorum(context.allowlists.for_task(self.file.task_id).len());
        if self.votes.len() < need {
            return Err(MessageError::NoQuorum { have: self.votes.len(), need });
        }
        Ok(())
    }

    /// The attestations one by one.
    pub fn attestations(&self) -> impl Iterator<Item = Attestation> + '_ {
        attestations(self.network, self.file, self.digest, &self.votes)
    }
}

mod votes_as_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::{Hotkey, Signature};

    pub(super) fn serialize<S: Serializer>(
        votes: &[(Hotkey, Signature)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        votes
            .iter()
            .map(|(hotkey, signature)| (hotkey, signature.to_hex()))
            .collect::<Vec<_>>()
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(Hotkey, Signature)>, D::Error> {
        let votes = Vec::<(Hotkey, String)>::deserialize(from)?;
        let signature = |text: &str| {
            Signature::from_hex(text).ok_or_else(|| D::Error::custom("not a signature"))
        };
        votes.into_iter().map(|(hotkey, text)| Ok((hotkey, signature(&text)?))).collect()
    }
}

impl HotkeySigner {
    /// Announces this validator's own verdict file.
    ///
    /// # Errors
    /// [`NotSafe`] when another file of the same task was signed before, or the record cannot be
    /// read.
    pub fn sign_announcement(
        &self,
        network: Network,
        verdict: &SignedVerdict,
    ) -> Result<Announcement, NotSafe> {
        let file = FileId { task_id: verdict.id.task_id, producer: self.hotkey() };
        self.admit(SlotKind::VerdictFile, network, file, verdict.digest)?;
        let bytes_len = verdict.bytes.len() as u64;
        let mut message = Announcement {
            network,
            file,
            digest: verdict.digest,
            bytes_len,
            signature: Signature([0; 64]),
        };
        message.signature = self.sign_domain(Domain::Announcement, &message.signed_part());
        Ok(message)
    }

    /// Attests to a file that this validator fetched and verified.
    ///
    /// # Errors
    /// [`NotSafe`] when it attested to another digest for the same file before, or cannot know
    /// whether it did.
    pub fn sign_attestation(
        &self,
        network: Network,
        file: FileId,
        digest: Digest,
    ) -> Result<Attestation, NotSafe> {
        self.admit(SlotKind::Attestation, network, file, digest)?;
        let mut message = Attestation {
            network,
            file,
            digest,
            attester: self.hotkey(),
            signature: Signature([0; 64]),
        };
        message.signature = self.sign_domain(Domain::Attestation, &message.signed_part());
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::codec::Wire as _;
    use crate::messages::{Allowlists, SignatureCheck};
    use crate::{BlockNumber, ConsensusParams, ConsensusSchedule, MemoryGuard, Netuid, TaskId};

    fn signer(byte: u8) -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[byte; 32]), Arc::new(MemoryGuard::default()))
    }

    fn network() -> Network {
        Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) }
    }

    fn with_context<T>(members: u8, check: impl FnOnce(&Context<'_>) -> T) -> T {
        let allowlists = Allowlists::single(100, (1..=members).map(|byte| signer(byte).hotkey()));
        let signatures = SignatureCheck::default();
        check(&Context {
            network: network(),
            allowlists: &allowlists,
            consensus: &everybody_may_produce(),
            head: BlockNumber(1000),
            tasks: TaskId(5)..=TaskId(11),
            signatures: &signatures,
        })
    }

    /// Every validator has a turn at every task.
    fn everybody_may_produce() -> ConsensusSchedule {
        ConsensusSchedule::from(ConsensusParams { failover_grace: Some(1), ..Default::default() })
    }

    fn file() -> FileId {
        FileId { task_id: TaskId(10), producer: signer(1).hotkey() }
    }

    fn attest(byte: u8) -> Attestation {
        signer(byte).sign_attestation(network(), file(), Digest::of(b"file")).unwrap()
    }

    fn certificate(bytes: impl IntoIterator<Item = u8>) -> Certificate {
        let mut votes: Vec<_> =
            bytes.into_iter().map(attest).map(|a| (a.attester, a.signature)).collect();
        votes.sort_by_key(|vote| vote.0);
        Certificate { network: network(), file: file(), digest: Digest::of(b"file"), votes }
    }

    #[test]
    fn attestations_bind_network_file_digest_and_attester() {
        with_context(4, |context| {
            let good = attest(2);
            assert_eq!(good.verify(context), Ok(()));
            let bad = Attestation { digest: Digest::of(b"other"), ..good.clone() };
            assert!(matches!(bad.verify(context), Err(MessageError::BadSignature { .. })));
            let bad = Attestation { attester: signer(3).hotkey(), ..good.clone() };
            assert!(matches!(bad.verify(context), Err(MessageError::BadSignature { .. })));
            let bad =
                Attestation { network: Network { netuid: Netuid(1), ..network() }, ..good.clone() };
            assert_eq!(bad.verify(context), Err(MessageError::WrongNetwork));
            let old = FileId { task_id: TaskId(4), ..file() };
            let old = signer(2).sign_attestation(network(), old, Digest::of(b"file")).unwrap();
            assert!(matches!(old.verify(context), Err(MessageError::TaskOutOfRange { .. })));
            assert!(matches!(attest(9).verify(context), Err(MessageError::NotOnAllowlist { .. })));
        });
    }

    #[test]
    fn nobody_speaks_about_a_file_of_a_producer_without_a_turn() {
        let usual = ConsensusSchedule::from(ConsensusParams::default());
        with_context(9, |context| {
            let context = Context { consensus: &usual, ..context.clone() };
            let accepted = |byte| {
                let file = FileId { producer: signer(byte).hotkey(), ..file() };
                let said = signer(9).sign_attestation(network(), file, Digest::default()).unwrap();
                match said.verify(&context) {
                    Ok(()) => true,
                    Err(MessageError::NotScheduled { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!((1..=9).filter(|byte| accepted(*byte)).count(), 2, "two steps are reached");
        });
    }

    #[test]
    fn an_attestation_is_no_announcement() {
        let verdict = SignedVerdict { id: file(), digest: Digest::of(b"file"), bytes: vec![0; 10] };
        let announcement = signer(1).sign_announcement(network(), &verdict).unwrap();
        with_context(4, |context| {
            assert_eq!(announcement.verify(context), Ok(()));
            let forged = Announcement { signature: attest(1).signature, ..announcement };
            assert!(matches!(forged.verify(context), Err(MessageError::BadSignature { .. })));
        });
    }

    #[test]
    fn nobody_attests_to_two_digests_of_one_file() {
        let signer = signer(2);
        assert!(signer.sign_attestation(network(), file(), Digest::of(b"a")).is_ok());
        assert!(signer.sign_attestation(network(), file(), Digest::of(b"a")).is_ok());
        assert!(matches!(
            signer.sign_attestation(network(), file(), Digest::of(b"b")),
            Err(NotSafe::Conflict { .. })
        ));
    }

    #[test]
    fn a_certificate_needs_a_quorum_each_once() {
        with_context(4, |context| {
            assert_eq!(certificate([1, 2, 3]).verify(context), Ok(()));
            assert_eq!(
                certificate([1, 2]).verify(context),
                Err(MessageError::NoQuorum { have: 2, need: 3 })
            );
            assert!(matches!(
                certificate([1, 2, 2]).verify(context),
                Err(MessageError::Nonsense(_))
            ));
            assert!(matches!(
                certificate([1, 2, 9]).verify(context),
                Err(MessageError::NotOnAllowlist { .. })
            ));
            let mut forged = certificate([1, 2, 3]);
            forged.digest = Digest::of(b"other");
            assert!(matches!(forged.verify(context), Err(MessageError::BadSignature { .. })));
        });
    }

    #[test]
    fn the_largest_messages_fit_their_limits() {
        let verdict = SignedVerdict { id: file(), digest: Digest::of(b"file"), bytes: vec![0; 10] };
        assert!(signer(1).sign_announcement(network(), &verdict).unwrap().to_wire().is_ok());
        assert!(attest(1).to_wire().is_ok());
        let vote = (Hotkey::from_bytes([1; 32]), Signature([0; 64]));
        let full = Certificate { votes: vec![vote; MAX_VALIDATORS], ..certificate([1]) };
        assert_eq!(Certificate::from_wire(&full.to_wire().unwrap()).unwrap(), full);
    }

    #[test]
    fn certificates_survive_json() {
        let certificate = certificate([1, 2, 3]);
        let text = serde_json::to_string(&certificate).unwrap();
        assert_eq!(serde_json::from_str::<Certificate>(&text).unwrap(), certificate);
    }
}
