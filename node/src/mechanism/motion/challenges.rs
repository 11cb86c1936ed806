//! The owner's list of challenges, and which one a task is about: a pure function of a block's hash.

use bytes::Bytes;
use leoma_protocol::Digest;
use leoma_protocol::synapse::BuildError;
use leoma_scoring::motion::{Bvh, BvhError, Clip, clip_of_reference};
use leoma_storage::{
    Challenge, ChallengeFile, ChallengeList, ChallengesError, Key, SourceBucket, StoreError,
};

/// Separates this draw from everything else that is derived from the same seed.
const DOMAIN: &[u8] = b"leoma:challenge:1";

/// Why no challenge can be asked. It is never a miner's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChallengeError {
    /// The source bucket cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list cannot be used.
    #[error(transparent)]
    List(#[from] ChallengesError),
    /// There is none, or it is empty.
    #[error(
        "the source bucket has no challenges: its owner publishes them with `leoma challenges publish`"
    )]
    None,
    /// A file that the list names is not there.
    #[error("the source bucket has no {0}, which its list of challenges names")]
    Missing(Key),
    /// A file has other bytes than the list says.
    #[error("{0} has other bytes than the list of challenges says")]
    OtherBytes(Key),
    /// A reference that cannot be compared with.
    #[error("{key}: {error}")]
    Reference {
        /// Its key.
        key: Key,
        /// What is wrong with it.
        error: BvhError,
    },
    /// The question cannot be asked.
    #[error("the question cannot be asked: {0}")]
    Question(#[from] BuildError),
}

/// The newest list in the source bucket.
///
/// # Errors
/// [`ChallengeError`].
pub(crate) async fn newest(source: &SourceBucket) -> Result<ChallengeList, ChallengeError> {
    let bytes = source.challenges().await?.ok_or(ChallengeError::None)?;
    let list = ChallengeList::parse(&bytes)?;
    if list.challenges().is_empty() { Err(ChallengeError::None) } else { Ok(list) }
}

/// The position of a task's challenge in a list of `challenges`; `None` for an empty one.
pub(super) fn drawn(seed: Digest, challenges: usize) -> Option<usize> {
    let digest = Digest::of_parts(&[DOMAIN, &[0], &seed.0]);
    let number = digest.0[..8].iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // The bias of a remainder of 64 bits by at most 20 000 is below 2^-49.
    usize::try_from(number.checked_rem(challenges as u64)?).ok()
}

/// The two files of a challenge.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// What miners are sent.
    pub(super) audio: Bytes,
    /// What answers are compared with.
    pub(super) animation: Bytes,
}

impl Files {
    /// Reads them, held to the list.
    ///
    /// # Errors
    /// [`ChallengeError`].
    pub(super) async fn read(
        source: &SourceBucket,
        challenge: &Challenge,
    ) -> Result<Self, ChallengeError> {
        let audio = read(source, &challenge.audio).await?;
        let animation = read(source, &challenge.animation).await?;
        Ok(Self { audio, animation })
    }
}

async fn read(source: &SourceBucket, file: &ChallengeFile) -> Result<Bytes, ChallengeError> {
    let bytes = source.challenge_file(file).await?;
    let bytes = bytes.ok_or_else(|| ChallengeError::Missing(file.key.clone()))?;
    match Digest::of(&bytes) == file.sha256 {
        true => Ok(bytes),
        false => Err(ChallengeError::OtherBytes(file.key.clone())),
    }
}

/// The joints of a reference.
///
/// # Errors
/// [`ChallengeError::Reference`].
pub(super) fn reference(key: &Key, animation: &[u8]) -> Result<Clip, ChallengeError> {
    let read = Bvh::parse(animation).and_then(|bvh| clip_of_reference(&bvh));
    read.map_err(|error| ChallengeError::Reference { key: key.clone(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_from_the_seed_and_reach_every_challenge() {
        assert_eq!(drawn(Digest::of(b"a"), 0), None);
        assert_eq!(drawn(Digest::of(b"a"), 1), Some(0));
        let of = |n: u32| drawn(Digest::of(&n.to_le_bytes()), 12).unwrap();
        let mut seen: Vec<usize> = (0..200).map(of).collect();
        assert_eq!(seen, (0..200).map(of).collect::<Vec<_>>());
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..12).collect::<Vec<_>>());
        // Another release draws the same.
        assert_eq!([0, 1, 2].map(of), [of(0), of(1), of(2)]);
    }
}
