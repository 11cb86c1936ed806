//! Proof that a validator signed two digests for one file.

use serde::{Deserialize, Serialize};

use super::{Announcement, Attestation, Context, MessageError};
use crate::codec::{Decode, Encode, Wire as _, wire};
use crate::{FileId, Hotkey};

/// Two signed statements of which an honest validator makes only one. It needs no other proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Evidence {
    /// A producer announced two digests for its file of one task. Its files in the window do not
    /// count.
    Announcements(Box<[Announcement; 2]>),
    /// A validator attested to two digests of one file.
    Attestations(Box<[Attestation; 2]>),
}
wire!(Evidence, 512);

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
    /// Evidence from two announcements, in their canonical order.
    pub fn from_announcements(one: Announcement, other: Announcement) -> Self {
        let pair = if one.digest <= other.digest { [one, other] } else { [other, one] };
        Self::Announcements(Box::new(pair))
    }

    /// Evidence from two attestations, in their canonical order.
    pub fn from_attestations(one: Attestation, other: Attestation) -> Self {
        let pair = if one.digest <= other.digest { [one, other] } else { [other, one] };
        Self::Attestations(Box::new(pair))
    }

    /// Who signed twice, and for which file.
    pub fn key(&self) -> EvidenceKey {
        match self {
            Self::Announcements(pair) => EvidenceKey {
                accused: pair[0].file.producer,
                file: pair[0].file,
                as_producer: true,
            },
            Self::Attestations(pair) => {
                EvidenceKey { accused: pair[0].attester, file: pair[0].file, as_producer: false }
            }
        }
    }

    /// Both signatures, to be checked with others.
    #[cfg(feature = "mesh")]
    pub(crate) fn claims(&self) -> [crate::signing::Claim; 2] {
        match self {
            Self::Announcements(pair) => [pair[0].claim(), pair[1].claim()],
            Self::Attestations(pair) => [pair[0].claim(), pair[1].claim()],
        }
    }

    /// Checks that the accused signed both statements, and that they contradict each other.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        let (same_subject, ordered) = match self {
            Self::Announcements(pair) => {
                let [one, other] = &**pair;
                (one.file == other.file, one.digest < other.digest)
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
            Self::Announcements(pair) => {
                pair.iter().try_for_each(|statement| statement.verify(context))
            }
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
    use crate::{BlockNumber, Digest, HotkeySigner, MemoryGuard, Netuid, Network, TaskId};

    /// A signer without a memory signs whatever it is asked to.
    fn attest(attester: u8, digest: &[u8]) -> Attestation {
        let signer = HotkeySigner::new(
            sr25519::Pair::from_seed(&[attester; 32]),
            Arc::new(MemoryGuard::default()),
        );
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        let file = FileId { task_id: TaskId(10), producer: Hotkey::from_bytes([7; 32]) };
        signer.sign_attestation(network, file, Digest::of(digest)).unwrap()
    }

    #[test]
    fn two_digests_convict_and_nothing_else_does() {
        let members = [1, 2]
            .map(|byte| attest(byte, b"").attester)
            .into_iter()
            .chain([Hotkey::from_bytes([7; 32])]);
        let allowlists = Allowlists::single(members);
        let signatures = SignatureCheck::default();
        let context = Context {
            network: Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) },
            allowlists: &allowlists,
            head: BlockNumber(1000),
            tasks: TaskId(5)..=TaskId(11),
            signatures: &signatures,
        };
        let evidence = Evidence::from_attestations(attest(1, b"a"), attest(1, b"b"));
        assert_eq!(evidence.verify(&context), Ok(()));
        assert_eq!(
            evidence,
            Evidence::from_attestations(attest_again(&evidence, 1), attest_again(&evidence, 0))
        );
        assert_eq!(Evidence::from_wire(&evidence.to_wire().unwrap()).unwrap(), evidence);
        let text = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);

        let same = Evidence::from_attestations(attest(1, b"a"), attest(1, b"a"));
        assert!(matches!(same.verify(&context), Err(MessageError::Nonsense(_))));
        let two_people = Evidence::from_attestations(attest(1, b"a"), attest(2, b"b"));
        assert!(matches!(two_people.verify(&context), Err(MessageError::Nonsense(_))));
        let framed = Attestation { attester: attest(2, b"").attester, ..attest(1, b"b") };
        let framed = Evidence::from_attestations(attest(2, b"a"), framed);
        assert!(matches!(framed.verify(&context), Err(MessageError::BadSignature { .. })));
    }

    fn attest_again(evidence: &Evidence, index: usize) -> Attestation {
        match evidence {
            Evidence::Attestations(pair) => pair[index].clone(),
            Evidence::Announcements(_) => unreachable!(),
        }
    }
}
