//! Why a validator does not attest to a file.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Context, MessageError};
use crate::codec::{self, Decode, Encode, Wire as _, wire};
#[cfg(feature = "mesh")]
use crate::signing::Claim;
use crate::signing::{Domain, HotkeySigner, Signature};
use crate::{Digest, FileId, Hotkey, Network};

/// What a file says about a miner, or what the disputer found instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Finding {
    /// Whether the video passes.
    pub passed: bool,
    /// Its score in tenths of a point, 0 to 1000; 0 where there is none.
    pub score: u16,
}

/// The check that a file failed. Each has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum DisputeReason {
    /// The envelope is not what the task asks for: the turn, the block, the parameters or the
    /// judge.
    Envelope,
    /// A miner that was valid without a break from the task's start has no entry.
    Complete {
        /// The first such miner.
        miner: Hotkey,
    },
    /// An entry differs from what the disputer measured by more than the judge's tolerance.
    Plausible {
        /// The entry's miner.
        miner: Hotkey,
        /// What the file says.
        claimed: Finding,
        /// What the disputer found.
        found: Finding,
    },
    /// There is evidence or a proven dispute against the producer in the lookback.
    Evidence,
    /// The producer keeps back what its scores are checked against. It stays the last variant,
    /// because a variant's index is what goes over the wire.
    Withheld,
}

impl DisputeReason {
    /// The check's name.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Complete { .. } => "complete",
            Self::Plausible { .. } => "plausible",
            Self::Evidence => "evidence",
            Self::Withheld => "withheld",
        }
    }

    /// Whether the reason accuses the producer of a wrong result. Only such disputes can be proven;
    /// the other checks depend on what a validator saw and when.
    pub const fn accuses(&self) -> bool {
        matches!(self, Self::Plausible { .. })
    }
}

impl fmt::Display for DisputeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope | Self::Evidence | Self::Withheld => f.write_str(self.check()),
            Self::Complete { miner } => write!(f, "complete: no entry for {miner}"),
            Self::Plausible { miner, claimed, found } => write!(
                f,
                "plausible: {miner} has {} tenths, {} were found",
                claimed.score, found.score
            ),
        }
    }
}

/// A validator's statement that it fetched a file and does not attest to it. It delays a
/// certificate and decides nothing; weights do not depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Dispute {
    /// Chain and subnet.
    pub network: Network,
    /// Task and producer.
    pub file: FileId,
    /// The file's identity.
    pub digest: Digest,
    /// The disputer.
    pub disputer: Hotkey,
    /// The check that failed.
    pub reason: DisputeReason,
    /// The disputer's signature over all of the above.
    pub signature: Signature,
}
wire!(Dispute, 384);

/// What a dispute is about. The first one of each is kept.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
pub struct DisputeKey {
    /// Task and producer.
    pub file: FileId,
    /// Who disputes it.
    pub disputer: Hotkey,
}

impl Dispute {
    fn signed_part(&self) -> Vec<u8> {
        codec::payload(&(self.network, self.file, self.digest, self.disputer, self.reason))
    }

    /// Who disputes which file.
    pub const fn key(&self) -> DisputeKey {
        DisputeKey { file: self.file, disputer: self.disputer }
    }

    /// The signature, to be checked with others.
    #[cfg(feature = "mesh")]
    pub(crate) fn claim(&self) -> Claim {
        let (domain, hotkey) = (Domain::Dispute, self.disputer);
        Claim { domain, payload: self.signed_part(), signature: self.signature, hotkey }
    }

    /// Checks that the disputer said this, about a file that counts.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        context.check_network(self.network)?;
        context.check_task(self.file.task_id, self.disputer)?;
        context.check_producer(&self.file)?;
        context.check_signature(
            Domain::Dispute,
            &self.signed_part(),
            &self.signature,
            self.disputer,
        )
    }
}

/// In JSON, a dispute is its encoding in hexadecimal: the signature covers bytes, not JSON.
impl Serialize for Dispute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.to_wire().map_err(serde::ser::Error::custom)?))
    }
}

impl<'de> Deserialize<'de> for Dispute {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
        Self::from_wire(&bytes).map_err(serde::de::Error::custom)
    }
}

/// Everything in a dispute except who signs it.
#[derive(Clone, Copy, Debug)]
pub struct DisputeDraft {
    /// Chain and subnet.
    pub network: Network,
    /// Task and producer.
    pub file: FileId,
    /// The file's identity.
    pub digest: Digest,
    /// The check that failed.
    pub reason: DisputeReason,
}

impl HotkeySigner {
    /// Signs a dispute.
    #[must_use]
    pub fn sign_dispute(&self, draft: DisputeDraft) -> Dispute {
        let DisputeDraft { network, file, digest, reason } = draft;
        let signature = Signature([0; 64]);
        let mut dispute =
            Dispute { network, file, digest, disputer: self.hotkey(), reason, signature };
        dispute.signature = self.sign_domain(Domain::Dispute, &dispute.signed_part());
        dispute
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::messages::{Allowlists, SignatureCheck};
    use crate::{BlockNumber, ConsensusParams, ConsensusSchedule, MemoryGuard, Netuid, TaskId};

    #[test]
    fn a_dispute_binds_all_that_it_says_and_survives_its_encodings() {
        let [one, other] = [1, 2].map(|byte| {
            let pair = sr25519::Pair::from_seed(&[byte; 32]);
            HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
        });
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        let allowlists = Allowlists::single(100, [one.hotkey(), other.hotkey()]);
        let signatures = SignatureCheck::default();
        let context = Context {
            network,
            allowlists: &allowlists,
            consensus: &ConsensusSchedule::from(ConsensusParams::default()),
            head: BlockNumber(1000),
            tasks: TaskId(5)..=TaskId(11),
            signatures: &signatures,
        };
        let (claimed, found) =
            (Finding { passed: true, score: 900 }, Finding { passed: false, score: 100 });
        let reason = DisputeReason::Plausible { miner: one.hotkey(), claimed, found };
        let file = FileId { task_id: TaskId(10), producer: other.hotkey() };
        let draft = DisputeDraft { network, file, digest: Digest::of(b"file"), reason };
        let dispute = one.sign_dispute(draft);
        assert_eq!(dispute.verify(&context), Ok(()));
        assert_eq!(Dispute::from_wire(&dispute.to_wire().unwrap()).unwrap(), dispute);
        let text = serde_json::to_string(&dispute).unwrap();
        assert_eq!(serde_json::from_str::<Dispute>(&text).unwrap(), dispute);
        let bad = |error| matches!(error, Err(MessageError::BadSignature { .. }));
        assert!(bad(
            Dispute { reason: DisputeReason::Envelope, ..dispute.clone() }.verify(&context)
        ));
        assert!(bad(Dispute { disputer: other.hotkey(), ..dispute.clone() }.verify(&context)));
        assert!(bad(Dispute { digest: Digest::of(b"other"), ..dispute }.verify(&context)));
    }
}
