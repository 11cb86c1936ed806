//! The allowlists in force at one block, by that block's own commitment.
//!
//! What was polled may be newer or older than the block. An epoch is computed from the list that
//! the chain names at its boundary, so that every validator takes the same one.

use leoma_chain::Metagraph;
use leoma_protocol::{Hotkey, Network, PastAllowlist};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::SourceBucket;
use tokio::sync::watch;

use super::allowlists::before;
use super::reader::{SubnetError, committed_allowlist};

/// Reads allowlists as they were at a block.
#[derive(Clone, Debug)]
pub struct AllowlistsAt {
    /// The bucket that the owner keeps the lists in.
    pub source: SourceBucket,
    /// Chain and subnet.
    pub network: Network,
    /// Whose lists are known from following the chain; `None` where nothing is followed.
    pub known_of: Option<watch::Receiver<Option<Hotkey>>>,
}

impl AllowlistsAt {
    /// The lists up to the block of `metagraph`. What is `known` from following the chain is used
    /// as far as it goes; the bucket is read only for what it lacks.
    ///
    /// # Errors
    /// [`SubnetError`]: no list is committed at that block, or it cannot be read from the bucket.
    pub async fn read(
        &self,
        metagraph: &Metagraph,
        known: &AllowlistHistory,
    ) -> Result<AllowlistHistory, SubnetError> {
        let newest = committed_allowlist(metagraph)?;
        // Another owner's lists are not part of this history, whenever they were seen.
        let none = AllowlistHistory::default();
        let known_of = self.known_of.as_ref().and_then(|owner| *owner.borrow());
        let known =
            if known_of.is_none_or(|owner| owner == metagraph.owner) { known } else { &none };
        if let Some(history) = up_to(known, newest)? {
            return Ok(history);
        }
        let bytes = self.source.allowlist_version(&newest.sha256).await?;
        let bytes = bytes.ok_or(SubnetError::NotPublished { committed: newest.sha256 })?;
        let allowlist = Allowlist::verify(&bytes, newest.sha256)?;
        let mut history = AllowlistHistory::default();
        let seen =
            known.entries().iter().take_while(|entry| entry.committed_at < newest.committed_at);
        for entry in seen {
            history.commit(entry.committed_at, entry.allowlist.clone())?;
        }
        let seen = history.entries().last().map(|entry| entry.allowlist.digest());
        let past = before(&self.source, self.network, &metagraph.owner, newest, seen).await?;
        if past.has_gap {
            history = AllowlistHistory::default();
        }
        let last_seen = history.entries().last().map(|entry| entry.committed_at);
        let new = past.lists.into_iter();
        for (at, past) in new.filter(|(at, _)| last_seen.is_none_or(|seen| *at > seen)) {
            history.commit(at, past)?;
        }
        history.commit(newest.committed_at, allowlist)?;
        Ok(history)
    }
}

/// The part of `known` up to the commitment `newest`; `None` where `known` does not have its list.
fn up_to(
    known: &AllowlistHistory,
    newest: PastAllowlist,
) -> Result<Option<AllowlistHistory>, SubnetError> {
    let mut history = AllowlistHistory::default();
    for entry in known.entries().iter().filter(|entry| entry.committed_at <= newest.committed_at) {
        history.commit(entry.committed_at, entry.allowlist.clone())?;
    }
    // A list that was committed again leaves no second entry.
    let has_it =
        history.entries().last().is_some_and(|entry| entry.allowlist.digest() == newest.sha256);
    Ok(has_it.then_some(history))
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{BlockNumber, Hotkey};

    use super::*;

    fn list(seed: u8) -> Allowlist {
        Allowlist::new(100, [Hotkey::from_bytes([seed; 32])]).unwrap()
    }

    fn commitment(block: u64, list: &Allowlist) -> PastAllowlist {
        PastAllowlist { committed_at: BlockNumber(block), sha256: list.digest() }
    }

    #[test]
    fn a_list_that_was_committed_after_the_block_is_not_seen_at_it() {
        let mut known = AllowlistHistory::default();
        for (block, seed) in [(10, 1), (510, 2), (910, 3)] {
            known.commit(BlockNumber(block), list(seed)).unwrap();
        }
        let at = |block, seed| up_to(&known, commitment(block, &list(seed))).unwrap();
        let second = at(510, 2).unwrap();
        assert_eq!(second.entries(), &known.entries()[..2]);
        // The same list committed again at a later block.
        assert_eq!(at(700, 2).unwrap(), second);
        // One that was not seen: it must be fetched.
        assert_eq!(at(520, 4), None);
        assert_eq!(up_to(&AllowlistHistory::default(), commitment(510, &list(2))).unwrap(), None);
    }
}
