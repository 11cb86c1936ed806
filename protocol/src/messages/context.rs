//! What a message is checked against, and why it may be refused.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use super::Allowlists;
use crate::codec::CodecError;
use crate::signing::{Claim, Domain, Signature, all_hold};
use crate::{BlockNumber, ConsensusSchedule, Digest, FileId, Hotkey, Network, TaskId};

/// Signatures that are checked together. Larger batches save little, and one bad signature wastes
/// the whole batch.
const BATCH: usize = 256;
/// Valid signatures that are remembered in each of two generations, 32 bytes each.
const MAX_SEEN_SIGNATURES: usize = 16_384;

/// What a message is checked against.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Our chain and subnet.
    pub network: Network,
    /// Who may write messages.
    pub allowlists: &'a Allowlists,
    /// The consensus parameters by block; they say which producers a task has.
    pub consensus: &'a ConsensusSchedule,
    /// Our chain head.
    pub head: BlockNumber,
    /// The tasks that messages may be about, both ends included. A few have not begun yet.
    pub tasks: RangeInclusive<TaskId>,
    /// Remembers valid signatures.
    pub signatures: &'a SignatureCheck,
}

impl Context<'_> {
    pub(super) fn check_network(&self, network: Network) -> Result<(), MessageError> {
        if network == self.network { Ok(()) } else { Err(MessageError::WrongNetwork) }
    }

    pub(super) fn check_task(&self, task: TaskId, speaker: Hotkey) -> Result<(), MessageError> {
        if !self.tasks.contains(&task) {
            return Err(MessageError::TaskOutOfRange { task });
        }
        if !self.allowlists.for_task(task).contains(&speaker) {
            return Err(MessageError::NotOnAllowlist { hotkey: speaker });
        }
        Ok(())
    }

    /// Whether a file's producer may have made it.
    pub(super) fn check_producer(&self, file: &FileId) -> Result<(), MessageError> {
        self.check_task(file.task_id, file.producer)?;
        if self.allowlists.is_scheduled(file, self.consensus) {
            Ok(())
        } else {
            Err(MessageError::NotScheduled { file: *file })
        }
    }

    pub(super) fn check_member(&self, speaker: Hotkey) -> Result<(), MessageError> {
        if self.allowlists.newest().contains(&speaker) {
            Ok(())
        } else {
            Err(MessageError::NotOnAllowlist { hotkey: speaker })
        }
    }

    pub(super) fn check_signature(
        &self,
        domain: Domain,
        payload: &[u8],
        signature: &Signature,
        hotkey: Hotkey,
    ) -> Result<(), MessageError> {
        if self.signatures.check(domain, payload, signature, &hotkey) {
            Ok(())
        } else {
            Err(MessageError::BadSignature { hotkey })
        }
    }

    /// Whether a speaker may make statements about this file. This is checked before any signature.
    pub(crate) fn admits(&self, file: &FileId, speaker: Hotkey) -> bool {
        self.check_task(file.task_id, speaker).is_ok() && self.check_producer(file).is_ok()
    }
}

/// Why a message does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It cannot be decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It is for another chain or subnet.
    #[error("the message is for another network")]
    WrongNetwork,
    /// Its task is too old, or too far ahead of our chain.
    #[error("task {task} is outside the window")]
    TaskOutOfRange {
        /// The task.
        task: TaskId,
    },
    /// The speaker is not on the task's allowlist.
    #[error("{hotkey} is not on the allowlist")]
    NotOnAllowlist {
        /// The speaker.
        hotkey: Hotkey,
    },
    /// The producer is on the task's allowlist, but has no turn at that task.
    #[error("{} has no turn at task {}", file.producer, file.task_id)]
    NotScheduled {
        /// The file.
        file: FileId,
    },
    /// Our own attestation would come after the block until which the task's files may be attested.
    #[error("files of task {task} may be attested until block {until}, the head is {head}")]
    TooLate {
        /// The task.
        task: TaskId,
        /// The last block for attestations.
        until: BlockNumber,
        /// Our head.
        head: BlockNumber,
    },
    /// The named hotkey did not sign it.
    #[error("not signed by {hotkey}")]
    BadSignature {
        /// The named speaker.
        hotkey: Hotkey,
    },
    /// It expired, or is valid for longer than it may be.
    #[error("the message expires at block {expires}, the head is {head}")]
    Expired {
        /// Its last block.
        expires: BlockNumber,
        /// Our head.
        head: BlockNumber,
    },
    /// It has fewer attestations than a certificate needs.
    #[error("the certificate has {have} attestations and needs {need}")]
    NoQuorum {
        /// Distinct valid attesters.
        have: usize,
        /// The quorum of the task's allowlist, see [`crate::quorum`].
        need: usize,
    },
    /// It can be decoded, but no honest validator writes such a message.
    #[error("{0}")]
    Nonsense(&'static str),
}

impl MessageError {
    /// Whether an honest validator with another head, another allowlist or a newer release could
    /// have sent the message.
    pub const fn is_innocent(&self) -> bool {
        match self {
            Self::TaskOutOfRange { .. }
            | Self::NotOnAllowlist { .. }
            | Self::NotScheduled { .. }
            | Self::TooLate { .. }
            | Self::Expired { .. } => true,
            Self::Codec(error) => error.is_from_a_newer_release(),
            Self::WrongNetwork
            | Self::BadSignature { .. }
            | Self::NoQuorum { .. }
            | Self::Nonsense(_) => false,
        }
    }
}

/// Checks signatures and remembers the valid ones, so that an attestation that arrives by gossip,
/// in a certificate and in a catch-up page is checked once.
#[derive(Default)]
pub struct SignatureCheck {
    seen: Mutex<Seen>,
}

/// Two generations, so that forgetting is a swap and the newest half is always kept.
#[derive(Default)]
struct Seen {
    recent: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl fmt::Debug for SignatureCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureCheck").finish_non_exhaustive()
    }
}

fn key(domain: Domain, payload: &[u8], signature: &Signature, hotkey: &Hotkey) -> Digest {
    Digest::of_parts(&[&[domain as u8], &signature.0, hotkey.as_bytes(), payload])
}

impl SignatureCheck {
    /// Whether `hotkey` signed `payload` in `domain`.
    pub(crate) fn check(
        &self,
        domain: Domain,
        payload: &[u8],
        signature: &Signature,
        hotkey: &Hotkey,
    ) -> bool {
        let key = key(domain, payload, signature, hotkey);
        if self.remembers(&key) {
            return true;
        }
        let good = domain.verify(payload, signature, hotkey);
        if good {
            self.remember([key]);
        }
        good
    }

    /// Checks many signatures together, so that the later single checks find them remembered. This
    /// decides nothing: a batch with a bad signature, and every later batch, is left to the single
    /// checks. Of several signatures under one statement only the first is checked, because a liar
    /// could fill a page with them.
    pub(crate) fn prepare(&self, claims: impl IntoIterator<Item = Claim>) {
        let mut statements = HashSet::new();
        let mut is_first = |claim: &Claim| {
            let statement: [&[u8]; 3] =
                [&[claim.domain as u8], claim.hotkey.as_bytes(), &claim.payload];
            statements.insert(Digest::of_parts(&statement))
        };
        let firsts = claims.into_iter().filter(|claim| is_first(claim));
        let keyed = firsts.map(|claim| {
            let Claim { domain, payload, signature, hotkey } = &claim;
            (key(*domain, payload, signature, hotkey), claim)
        });
        let new: Vec<(Digest, Claim)> = keyed.filter(|(key, _)| !self.remembers(key)).collect();
        for batch in new.chunks(BATCH).filter(|batch| batch.len() > 1) {
            if !all_hold(&batch.iter().map(|(_, claim)| claim).collect::<Vec<_>>()) {
                return;
            }
            self.remember(batch.iter().map(|(key, _)| *key));
        }
    }

    fn remembers(&self, key: &Digest) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.recent.contains(key) || seen.older.contains(key)
    }

    fn remember(&self, keys: impl IntoIterator<Item = Digest>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if seen.recent.len() >= MAX_SEEN_SIGNATURES {
                seen.older = std::mem::take(&mut seen.recent);
            }
            seen.recent.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::{HotkeySigner, MemoryGuard};

    fn claims(count: u8) -> Vec<Claim> {
        let claim = |number: u8| {
            let pair = sr25519::Pair::from_seed(&[number; 32]);
            let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
            let payload = vec![number; 40];
            let signature = signer.sign_domain(Domain::Attestation, &payload);
            Claim { domain: Domain::Attestation, payload, signature, hotkey: signer.hotkey() }
        };
        (0..count).map(claim).collect()
    }

    fn remembered(check: &SignatureCheck, claim: &Claim) -> bool {
        check.remembers(&key(claim.domain, &claim.payload, &claim.signature, &claim.hotkey))
    }

    fn passes(check: &SignatureCheck, claim: &Claim) -> bool {
        check.check(claim.domain, &claim.payload, &claim.signature, &claim.hotkey)
    }

    #[test]
    fn signatures_that_were_checked_together_are_remembered() {
        let (check, claims) = (SignatureCheck::default(), claims(9));
        assert!(passes(&check, &claims[4]));
        check.prepare(claims.clone());
        assert!(claims.iter().all(|claim| remembered(&check, claim)));
    }

    #[test]
    fn one_bad_signature_is_found_among_good_ones() {
        let (check, mut claims) = (SignatureCheck::default(), claims(9));
        claims[5].payload[0] ^= 1;
        check.prepare(claims.clone());
        assert!(!claims.iter().any(|claim| remembered(&check, claim)));
        let passed: Vec<usize> = (0..9).filter(|index| passes(&check, &claims[*index])).collect();
        assert_eq!(passed, [0, 1, 2, 3, 4, 6, 7, 8]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn checking_together_first_changes_no_answer(
            turned in proptest::collection::vec((0..6usize, 0..104usize, 0..8u32), 0..4),
        ) {
            let mut claims = claims(6);
            for (index, byte, bit) in turned {
                let claim = &mut claims[index];
                match byte {
                    0..64 => claim.signature.0[byte] ^= 1 << bit,
                    _ => claim.payload[byte - 64] ^= 1 << bit,
                }
            }
            let (together, singly) = (SignatureCheck::default(), SignatureCheck::default());
            together.prepare(claims.clone());
            for claim in &claims {
                prop_assert_eq!(passes(&together, claim), passes(&singly, claim));
            }
        }
    }

    #[test]
    fn a_message_of_a_newer_release_is_innocent() {
        let newer = |found| MessageError::from(CodecError::Version { found });
        assert!(newer(2).is_innocent() && newer(255).is_innocent());
        assert!(!newer(0).is_innocent());
        assert!(!MessageError::from(CodecError::Empty).is_innocent());
    }
}
