//! Proof that a validator signed two digests for one file.

use serde::{Deserialize, Serialize};

use super::{Announcement, Attestation, Context, MessageError};
use crate::codec::{Decode, Encode, Wire as _, wire};
use crate::signing::Claim;
use crate::verdict::SignedEnvelope;
use crate::{Digest, FileId, Hotkey};

/// A producer's signed statement that its file of a task has some digest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FileStatement {
    /// It announced the file to the mesh.
    Announced(Announcement),
    /// It put the file into its bucket, or handed it to a peer.
    Published(SignedEnvelope),
}

impl FileStatement {
    /// Task and producer.
    pub const fn file(&self) -> FileId {
        match self {
            Self::Announced(announcement) => announcement.file,
            Self::Published(signed) => signed.file(),
        }
    }

    /// The file's identity.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Announced(announcement) => announcement.digest,
            Self::Published(signed) => signed.envelope.digest(),
        }
    }

    #[cfg(feature = "mesh")]
    pub(crate) fn claim(&self) -> Claim {
        match self {
            Self::Announced(announcement) => announcement.claim(),
            Self::Published(signed) => signed.claim(),
        }
    }

    fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        match self {
            Self::Announced(announcement) => announcement.verify(context),
            Self::Published(signed) => {
                context.check_network(signed.envelope.network)?;
                context.check_producer(&signed.file())?;
                let Claim { domain, payload, signature, hotkey } = signed.claim();
                context.check_signature(domain, &payload, &signature, hotkey)
            }
        }
    }
}

/// Two signed statements of which an honest validator makes only one. It needs no other proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Evidence {
    /// A producer stated two digests for its file of one task. No honest validator attests to its
    /// files for a lookback.
    Files(Box<[FileStatement; 2]>),
    /// A validator attested to two digests of one file.
    Attestations(Box<[Attestation; 2]>),
}
wire!(Evidence, 1664);

/// What evidence is about. One piece is kept for each.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
pub struct EvidenceKey {
    /// Who signed twice.
    pub accused: Hotkey,
    /// The file that was signed for twice.
    pub file: FileId,
    /// Whether the accused signed twice as the file's producer, with announcements, or as an
    /// attester.
    pub as_producer: bool,
}

impl Evidence {
    /// Evidence from two statements of a producer, in their canonical order.
    pub fn from_files(one: FileStatement, other: FileStatement) -> Self {
        let pair = if one.digest() <= other.digest() { [one, other] } else { [other, one] };
        Self::Files(Box::new(pair))
    }

    /// Evidence from two attestations, in their canonical order.
    pub fn from_attestations(one: Attestation, other: Attestation) -> Self {
        let pair = if one.digest <= other.digest { [one, other] } else { [other, one] };
        Self::Attestations(Box::new(pair))
    }

    /// Who signed twice, and for which file.
    pub fn key(&self) -> EvidenceKey {
        match self {
            Self::Files(pair) => {
                let file = pair[0].file();
                EvidenceKey { accused: file.producer, file, as_producer: true }
            }
            Self::Attestations(pair) => {
                EvidenceKey { accused: pair[0].attester, file: pair[0].file, as_producer: false }
            }
        }
    }

    /// Both signatures, to be checked with others.
    #[cfg(feature = "mesh")]
    pub(crate) fn claims(&self) -> [Claim; 2] {
        match self {
            Self::Files(pair) => [pair[0].claim(), pair[1].claim()],
            Self::Attestations(pair) => [pair[0].claim(), pair[1].claim()],
        }
    }

    /// Checks that the accused signed both statements, and that they contradict each other.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        let (same_subject, ordered) = match self {
            Self::Files(pair) => {
                let [one, other] = &**pair;
                (one.file() == other.file(), one.digest() < other.digest())
            }
            Self::Attestations(pair) => {
                let [one, other] = &**pair;
                let same = one.file == other.file && one.attester == other.attester;
                (same, one.digest < other.digest)
            }
        };
        if !same_subject {
            return Err(MessageError::Nonsense("the two statements are about different things"));
        }
        if !ordered {
            return Err(MessageError::Nonsense("the two digests are not different and ascending"));
        }
        match self {
            Self::Files(pair) => pair.iter().try_for_each(|statement| statement.verify(context)),
            Self::Attestations(pair) => {
                pair.iter().try_for_each(|statement| statement.verify(context))
            }
        }
    }
}

/// In JSON, evidence is its encoding in hexadecimal: the signatures cover bytes, not JSON.
impl Serialize for Evidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.to_wire().map_err(serde::ser::Error::custom)?))
    }
}

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
        Self::from_wire(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::messages::{Allowlists, SignatureCheck};
    use crate::verdict::{self, Expected, SignedVerdict, VerdictDraft};
    use crate::{
        BlockNumber, ConsensusParams, ConsensusSchedule, HotkeySigner, MemoryGuard, Netuid,
        Network, TaskId,
    };

    fn network() -> Network {
        Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) }
    }

    /// Signs whatever it is asked to: it keeps no record.
    fn signer(byte: u8) -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[byte; 32]), Arc::new(MemoryGuard::default()))
    }

    fn attest(attester: u8, digest: &[u8]) -> Attestation {
        let file = FileId { task_id: TaskId(10), producer: signer(7).hotkey() };
        signer(attester).sign_attestation(network(), file, Digest::of(digest)).unwrap()
    }

    fn with_context<T>(check: impl FnOnce(&Context<'_>) -> T) -> T {
        let allowlists = Allowlists::single(100, [1, 2, 7].map(|byte| signer(byte).hotkey()));
        let everybody = ConsensusParams { failover_grace: Some(1), ..ConsensusParams::default() };
        check(&Context {
            network: network(),
            allowlists: &allowlists,
            consensus: &ConsensusSchedule::from(everybody),
            head: BlockNumber(1000),
            tasks: TaskId(5)..=TaskId(11),
            signatures: &SignatureCheck::default(),
        })
    }

    #[test]
    fn two_digests_convict_and_nothing_else_does() {
        with_context(|context| {
            let evidence = Evidence::from_attestations(attest(1, b"a"), attest(1, b"b"));
            assert_eq!(evidence.verify(context), Ok(()));
            let turned = match &evidence {
                Evidence::Attestations(pair) => {
                    Evidence::from_attestations(pair[1].clone(), pair[0].clone())
                }
                Evidence::Files(_) => unreachable!(),
            };
            assert_eq!(evidence, turned);
            assert_eq!(Evidence::from_wire(&evidence.to_wire().unwrap()).unwrap(), evidence);
            let text = serde_json::to_string(&evidence).unwrap();
            assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);

            let same = Evidence::from_attestations(attest(1, b"a"), attest(1, b"a"));
            assert!(matches!(same.verify(context), Err(MessageError::Nonsense(_))));
            let two_people = Evidence::from_attestations(attest(1, b"a"), attest(2, b"b"));
            assert!(matches!(two_people.verify(context), Err(MessageError::Nonsense(_))));
            let framed = Attestation { attester: attest(2, b"").attester, ..attest(1, b"b") };
            let framed = Evidence::from_attestations(attest(2, b"a"), framed);
            assert!(matches!(framed.verify(context), Err(MessageError::BadSignature { .. })));
        });
    }

    /// A verdict file of task 10, and its envelope as a reader takes it out.
    fn published(byte: u8, block: u64, judge: &str) -> (SignedVerdict, FileStatement) {
        let params = ConsensusParams::default().digest();
        let draft = VerdictDraft {
            network: network(),
            task_id: TaskId(10),
            params,
            judge: judge.into(),
            block: BlockNumber(block),
            metadata_sha256: Some(Digest::of(b"metadata")),
            entries: vec![],
        };
        let file = signer(byte).sign_verdict_file(draft).unwrap();
        let expected = Expected { id: file.id, network: network(), params, accept_v1: false };
        let read = verdict::verify(&file.bytes, &expected).unwrap();
        assert_eq!(read.envelope.as_ref().unwrap().envelope.digest(), file.digest);
        (file, FileStatement::Published(read.envelope.unwrap()))
    }

    #[test]
    fn two_envelopes_or_an_envelope_and_an_announcement_convict_a_producer() {
        with_context(|context| {
            let longest = "j".repeat(128);
            let ((one, first), (_, second)) =
                (published(7, 1000, &longest), published(7, 1001, &longest));
            let envelopes = Evidence::from_files(first.clone(), second.clone());
            assert_eq!(envelopes.verify(context), Ok(()));
            assert_eq!(Evidence::from_wire(&envelopes.to_wire().unwrap()).unwrap(), envelopes);
            let key = envelopes.key();
            assert!(key.as_producer && key.accused == signer(7).hotkey() && key.file == one.id);

            let announced =
                FileStatement::Announced(signer(7).sign_announcement(network(), &one).unwrap());
            assert_eq!(Evidence::from_files(announced.clone(), second).verify(context), Ok(()));
            let same = Evidence::from_files(announced, first.clone());
            assert!(matches!(same.verify(context), Err(MessageError::Nonsense(_))));
            let mut forged = published(1, 1001, "j").1;
            if let FileStatement::Published(signed) = &mut forged {
                signed.envelope.validator = signer(7).hotkey();
            }
            let framed = Evidence::from_files(first, forged);
            assert!(matches!(framed.verify(context), Err(MessageError::BadSignature { .. })));
        });
    }
}
