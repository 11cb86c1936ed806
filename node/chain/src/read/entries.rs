//! Every storage entry that is read, with its name and the types of its keys and value.
//!
//! [`Values`](super::values::Values) reads only what is listed here. Each entry has a case in the
//! conformance tests, which encode its keys a second time from the live chain's metadata.

use std::marker::PhantomData;

use subxt::config::substrate::AccountId32;
use subxt::dynamic;
use subxt::ext::frame_decode::storage::IntoEncodableValues;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::metadata::Metadata;
use subxt::storage::DynamicAddress;

use crate::error::causes;

/// An entry of storage. `Keys` is a tuple of one part for each of the entry's hashers, `()` for a
/// single value.
pub(crate) struct Entry<Keys, Value> {
    pub(crate) pallet: &'static str,
    pub(crate) name: &'static str,
    types: PhantomData<fn() -> (Keys, Value)>,
}

impl<Keys: IntoEncodableValues, Value: DecodeAsType> Entry<Keys, Value> {
    const fn new(pallet: &'static str, name: &'static str) -> Self {
        Self { pallet, name, types: PhantomData }
    }

    pub(crate) fn address(&self) -> DynamicAddress<Keys, Value> {
        dynamic::storage(self.pallet, self.name)
    }

    /// The type of its value in `metadata`; `None` where that chain has no such entry.
    pub(crate) fn value_type(&self, metadata: &Metadata) -> Option<u32> {
        Some(metadata.pallet_by_name(self.pallet)?.storage()?.entry_by_name(self.name)?.value_ty())
    }

    /// Reads a value as it is stored.
    pub(crate) fn decode(&self, metadata: &Metadata, mut bytes: &[u8]) -> Result<Value, String> {
        let value_type = self.value_type(metadata).ok_or("no such entry on this chain")?;
        Value::decode_as_type(&mut bytes, value_type, metadata.types())
            .map_err(|error| causes(&error))
    }
}

macro_rules! entries {
    ($($(#[$doc:meta])* $constant:ident: $keys:ty => $value:ty = $pallet:literal, $name:literal;)*) => {
        $($(#[$doc])* pub(crate) const $constant: Entry<$keys, $value> = Entry::new($pallet, $name);)*
        /// Pallet and name of each.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($pallet, $name)),*];
    };
}

/// The part of an account that is read.
#[derive(DecodeAsType, Debug, PartialEq)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(crate) struct RawAccount {
    pub(crate) data: RawBalance,
}

/// The part of its balance that is read, in rao.
#[derive(DecodeAsType, Debug, PartialEq)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(crate) struct RawBalance {
    pub(crate) free: u64,
}

/// An account as a key.
type Account = [u8; 32];
/// Hash, subnet epoch, block, and a last block that is unused.
pub(crate) type StoredHashCommit = ([u8; 32], u64, u64, u64);
/// Account, block, ciphertext, round.
pub(crate) type StoredTimelockedCommit = (Account, u64, Vec<u8>, u64);
/// Text and block of each.
pub(crate) type Reveals = Vec<(Vec<u8>, u64)>;

entries! {
    /// The chain's clock, Unix milliseconds.
    NOW: () => u64 = "Timestamp", "Now";
    /// An account and its balance. Key: account.
    ACCOUNT: (AccountId32,) => RawAccount = "System", "Account";
    /// The newest round whose signature the chain has.
    LAST_STORED_ROUND: () => u64 = "Drand", "LastStoredRound";
    /// Revealed commitments. Key: subnet, account.
    REVEALED_COMMITMENTS: (u16, Account) => Reveals = "Commitments", "RevealedCommitments";
    /// The stake below which weights are refused, rao.
    STAKE_THRESHOLD: () => u64 = "SubtensorModule", "StakeThreshold";
    /// The cost of a registration, rao. Key: subnet.
    BURN: (u16,) => u64 = "SubtensorModule", "Burn";
    /// A validator's weights, `(uid, weight)` each. Key: the mechanism's index, uid.
    WEIGHTS: (u16, u16) => Vec<(u16, u16)> = "SubtensorModule", "Weights";
    /// Hashes of weights that wait for their reveal. Key: the mechanism's index, account.
    WEIGHT_COMMITS: (u16, Account) => Vec<StoredHashCommit> = "SubtensorModule", "WeightCommits";
    /// Encrypted weights that wait for their round. Key: the mechanism's index, subnet epoch.
    TIMELOCKED_WEIGHT_COMMITS: (u16, u64) => Vec<StoredTimelockedCommit> = "SubtensorModule", "TimelockedWeightCommits";
    /// The version of commit-reveal on the whole chain.
    COMMIT_REVEAL_VERSION: () => u16 = "SubtensorModule", "CommitRevealWeightsVersion";
    /// Whether weights are committed first. Key: subnet, as for all that follow.
    COMMIT_REVEAL_ENABLED: (u16,) => bool = "SubtensorModule", "CommitRevealWeightsEnabled";
    /// Epochs between commit and reveal.
    REVEAL_PERIOD_EPOCHS: (u16,) => u64 = "SubtensorModule", "RevealPeriodEpochs";
    /// The version that weights must carry.
    WEIGHTS_VERSION_KEY: (u16,) => u64 = "SubtensorModule", "WeightsVersionKey";
    /// Blocks between two settings of weights.
    WEIGHTS_SET_RATE_LIMIT: (u16,) => u64 = "SubtensorModule", "WeightsSetRateLimit";
    /// Blocks after its last weights for which a validator counts as active.
    ACTIVITY_CUTOFF: (u16,) => u16 = "SubtensorModule", "ActivityCutoff";
    /// Blocks of an epoch.
    TEMPO: (u16,) => u16 = "SubtensorModule", "Tempo";
    /// Epochs so far. Older releases lack this entry and those that follow.
    SUBNET_EPOCH_INDEX: (u16,) => u64 = "SubtensorModule", "SubnetEpochIndex";
    /// The block of the last epoch.
    LAST_EPOCH_BLOCK: (u16,) => u64 = "SubtensorModule", "LastEpochBlock";
    /// The block for which an early epoch was requested, 0 for none.
    PENDING_EPOCH_AT: (u16,) => u64 = "SubtensorModule", "PendingEpochAt";
}
