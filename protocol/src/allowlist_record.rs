//! The subnet owner's signed record of the allowlists before the newest one.
//!
//! The chain keeps only the newest commitment and its block, and an ordinary node forgets old state
//! within a day. Tasks keep the list they were made under, so a validator that joins later needs
//! the earlier lists. It trusts the subnet owner's key, which also commits lists on chain.

use serde::{Deserialize, Serialize};

use crate::signing::Domain;
use crate::{BlockNumber, Digest, Hotkey, HotkeySigner, Network, Signature, codec};

/// Most lists in a record: nearly one for each of the 300 tasks of a lookback. Mesh and rotation
/// remember as many before the newest one, see [`crate::messages::MAX_ALLOWLISTS`].
pub const MAX_PAST_ALLOWLISTS: usize = 256;
/// Longest record: 256 lists of 120 bytes, with room to spare.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// A list that was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastAllowlist {
    /// The block of its commitment.
    pub committed_at: BlockNumber,
    /// SHA-256 of its canonical bytes.
    pub sha256: Digest,
}

/// The lists before one that the owner published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowlistRecord {
    /// Oldest first.
    pub past: Vec<PastAllowlist>,
    /// SHA-256 of the list that followed them, so that an old record does not pass for a new one.
    pub next: Digest,
}

/// Why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is too long, or not JSON of this form.
    #[error("the record of past allowlists is malformed")]
    Malformed,
    /// It is for another chain or subnet.
    #[error("the record of past allowlists is for another subnet")]
    OtherNetwork,
    /// Its lists are not in the order of their blocks, each once.
    #[error("the past allowlists are not in ascending order of their blocks")]
    NotAscending,
    /// The subnet owner did not sign it.
    #[error("the record of past allowlists is not signed by the subnet owner {owner}")]
    NotSigned {
        /// Who should have signed.
        owner: Hotkey,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    genesis: Digest,
    netuid: crate::Netuid,
    past: Vec<PastAllowlist>,
    next: Digest,
    signature: String,
}

fn signed_part(network: Network, past: &[PastAllowlist], next: Digest) -> Vec<u8> {
    let past: Vec<(BlockNumber, Digest)> =
        past.iter().map(|list| (list.committed_at, list.sha256)).collect();
    codec::payload(&(network, past, next))
}

/// Reads a record and checks its signer, its subnet and its order.
///
/// # Errors
/// [`RecordError`].
pub fn read_allowlist_record(
    bytes: &[u8],
    network: Network,
    owner: &Hotkey,
) -> Result<AllowlistRecord, RecordError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(RecordError::Malformed);
    }
    let record: Record = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
    let signature = Signature::from_hex(&record.signature).ok_or(RecordError::Malformed)?;
    if record.past.len() > MAX_PAST_ALLOWLISTS {
        return Err(RecordError::Malformed);
    }
    if (record.genesis, record.netuid) != (network.genesis, network.netuid) {
        return Err(RecordError::OtherNetwork);
    }
    if !record.past.is_sorted_by(|one, next| one.committed_at < next.committed_at) {
        return Err(RecordError::NotAscending);
    }
    if !Domain::AllowlistRecord.verify(
        &signed_part(network, &record.past, record.next),
        &signature,
        owner,
    ) {
        return Err(RecordError::NotSigned { owner: *owner });
    }
    Ok(AllowlistRecord { past: record.past, next: record.next })
}

impl HotkeySigner {
    /// Signs the record of past lists, as the source bucket holds it.
    #[must_use]
    pub fn sign_allowlist_record(&self, network: Network, record: AllowlistRecord) -> String {
        let AllowlistRecord { past, next } = record;
        let signature =
            self.sign_domain(Domain::AllowlistRecord, &signed_part(network, &past, next)).to_hex();
        let Network { genesis, netuid } = network;
        // Writing this record as JSON cannot fail.
        serde_json::to_string(&Record { genesis, netuid, past, next, signature })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::{MemoryGuard, Netuid};

    fn signer(byte: u8) -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[byte; 32]), Arc::new(MemoryGuard::default()))
    }

    fn list(block: u64) -> PastAllowlist {
        PastAllowlist { committed_at: BlockNumber(block), sha256: Digest::of(&block.to_be_bytes()) }
    }

    #[test]
    fn a_record_holds_for_its_owner_and_subnet_unchanged() {
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        let owner = signer(1);
        let record = |past| AllowlistRecord { past, next: Digest::of(b"next") };
        let text = owner.sign_allowlist_record(network, record(vec![list(5), list(9)]));
        let read =
            |text: &str, network| read_allowlist_record(text.as_bytes(), network, &owner.hotkey());
        let not_signed = Err(RecordError::NotSigned { owner: owner.hotkey() });
        assert_eq!(read(&text, network), Ok(record(vec![list(5), list(9)])));
        assert_eq!(
            read(&text, Network { netuid: Netuid(1), ..network }),
            Err(RecordError::OtherNetwork)
        );
        for (part, other) in [
            ("\"committed_at\":5".to_owned(), "\"committed_at\":6".to_owned()),
            (Digest::of(b"next").to_string(), Digest::of(b"other").to_string()),
        ] {
            let changed = text.replace(&part, &other);
            assert_ne!(changed, text);
            assert_eq!(read(&changed, network), not_signed);
        }
        assert_eq!(
            read(&signer(2).sign_allowlist_record(network, record(vec![list(5)])), network),
            not_signed
        );
        let unordered = owner.sign_allowlist_record(network, record(vec![list(9), list(5)]));
        assert_eq!(read(&unordered, network), Err(RecordError::NotAscending));
        let full = |lists: usize| {
            owner.sign_allowlist_record(network, record((0..lists as u64).map(list).collect()))
        };
        assert!(read(&full(MAX_PAST_ALLOWLISTS), network).is_ok());
        assert_eq!(read(&full(MAX_PAST_ALLOWLISTS + 1), network), Err(RecordError::Malformed));
        assert_eq!(read("{}", network), Err(RecordError::Malformed));
    }
}
