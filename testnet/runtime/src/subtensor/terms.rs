//! Numbers, aliases and traits that the pallet and its parts share.

use crate::drand::RoundNumber;
use frame_support::BoundedVec;
use frame_support::traits::ConstU32;

/// Storage index distance between two mechanisms of one subnet: index = netuid + 4096 × mechanism.
pub(crate) const MECHANISM_STRIDE: u16 = 4096;
/// The root network's id; it takes no weights and no registrations here.
pub(crate) const ROOT_NETUID: u16 = 0;
/// Longest ciphertext of a commit; one for 256 uids takes 1313 bytes.
pub const MAX_TIMELOCKED_BYTES: u32 = 5_000;
/// A timelocked vector of weights.
pub type TimelockedWeights = BoundedVec<u8, ConstU32<MAX_TIMELOCKED_BYTES>>;
/// A commit that waits: who, in which block, what, and the round that opens it.
pub type TimelockedCommit<AccountId> = (AccountId, u64, TimelockedWeights, RoundNumber);

/// Reads a subnet's commitments, each as the encoded `Registration`.
pub trait CommitmentSource<AccountId> {
    /// Every commitment of the subnet, by account.
    fn commitments(netuid: u16) -> Vec<(AccountId, Vec<u8>)>;
}
