//! The owner's allowlists: publishing one, and reading those before the newest, which validators
//! that join later need.
//!
//! Why they are kept: `docs/decisions/0006-past-allowlists.md`.

use bytes::Bytes;
use leoma_chain::{ChainClient, ChainError, Rejection, SubmitError};
use leoma_protocol::{
    AllowlistRecord, BlockNumber, Digest, Hotkey, HotkeySigner, MAX_PAST_ALLOWLISTS, Network,
    PastAllowlist, read_allowlist_record,
};
use leoma_rotation::{Allowlist, AllowlistError};
use leoma_storage::{Polled, SourceBucket, StoreError};

/// Why an allowlist was not published.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum PublishError {
    /// The source bucket cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain refused the commitment.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The chain names the list, and the bucket's newest is still the one before.
    #[error(
        "committed on chain in transaction {transaction}, but the bucket still names the list before it (validators find this one under its hash): publish again: {error}"
    )]
    Behind { transaction: Digest, error: StoreError },
    /// This epoch's space for commitments is used up.
    #[error(
        "the space for commitments of this epoch is used up: publish again from block {from} on, in {blocks} blocks; the bucket still names the list that is committed"
    )]
    NoSpace { from: BlockNumber, blocks: u64 },
    /// The list in the bucket cannot be parsed.
    #[error(transparent)]
    Allowlist(#[from] AllowlistError),
    /// The key is not the subnet owner's.
    #[error(
        "{signer} is not the owner of the subnet, {owner} is: only the owner's commitment counts"
    )]
    NotOwner { signer: Hotkey, owner: Hotkey },
}

/// The list that the source bucket holds now.
///
/// # Errors
/// [`PublishError::Store`], [`PublishError::Allowlist`].
pub async fn present(source: &SourceBucket) -> Result<Option<Allowlist>, PublishError> {
    match source.allowlist(None).await? {
        Polled::Changed(fetched) => Ok(Some(Allowlist::parse(&fetched.bytes)?)),
        _ => Ok(None),
    }
}

/// Publishes a list: keeps it under its hash, notes the one that it replaces, commits its hash on
/// chain, and then makes it the newest in the bucket. Returns the transaction.
///
/// A list that the chain does not name yet is never the bucket's newest: validators that start then
/// would find none. A list that the chain names and that is not the bucket's newest is found under
/// its hash.
///
/// # Errors
/// [`PublishError`]; publishing again is harmless.
pub async fn publish(
    source: &SourceBucket,
    chain: &ChainClient,
    signer: &HotkeySigner,
    allowlist: &Allowlist,
    lookback_blocks: u64,
) -> Result<Digest, PublishError> {
    let metagraph = chain.metagraph(chain.head().await?).await?;
    if metagraph.owner != signer.hotkey() {
        return Err(PublishError::NotOwner { signer: signer.hotkey(), owner: metagraph.owner });
    }
    let network = chain.network().subnet();
    let known = source.allowlist_record().await?;
    let known = known.map(|bytes| read_allowlist_record(&bytes, network, &signer.hotkey()));
    let mut past = match known {
        None => Vec::new(),
        Some(Ok(record)) => record.past,
        Some(Err(error)) => {
            tracing::warn!(%error, "the record of past allowlists is unusable, starting a new one");
            Vec::new()
        }
    };
    if let Some(commitment) = metagraph.commitments.get(&metagraph.owner)
        && let Ok(Some(sha256)) = leoma_rotation::allowlist::committed_digest(&commitment.text)
    {
        match present(source).await? {
            Some(replaced) if replaced.digest() == sha256 => {
                let bytes = Bytes::from(replaced.canonical_json());
                let _new_or_there_already = source.write_allowlist_version(&sha256, bytes).await?;
                past.retain(|list| list.committed_at < commitment.block);
                past.push(PastAllowlist { committed_at: commitment.block, sha256 });
            }
            _ => {
                tracing::warn!(
                    committed = %sha256, block = %commitment.block,
                    "the committed allowlist is not in the bucket: validators that join later cannot read it"
                );
                // Across a gap, older lists would wrongly apply to the tasks of the missing one.
                past.clear();
            }
        }
    }
    forget(&mut past, metagraph.block, lookback_blocks);
    let bytes = Bytes::from(allowlist.canonical_json());
    let _new_or_there_already =
        source.write_allowlist_version(&allowlist.digest(), bytes.clone()).await?;
    let record = AllowlistRecord { past, next: allowlist.digest() };
    source.write_allowlist_record(signer.sign_allowlist_record(network, record).into()).await?;
    let transaction = match chain.set_commitment(signer, &allowlist.commitment()).await {
        Ok(transaction) => transaction,
        Err(error) => return Err(refused(chain, error).await),
    };
    source
        .write_allowlist(bytes)
        .await
        .map_err(|error| PublishError::Behind { transaction, error })?;
    Ok(transaction)
}

/// The error of a commitment that was not made. Where its space is used up, it names the block from
/// which there is space again: that of the subnet's next epoch.
async fn refused(chain: &ChainClient, error: SubmitError) -> PublishError {
    match free_again(chain, &error).await {
        Some((now, from)) => PublishError::NoSpace { from, blocks: from.0.saturating_sub(now.0) },
        None => error.into(),
    }
}

/// The newest block, and the one from which a refused commitment has space again; `None` for any
/// other error, or where it cannot be read.
pub async fn free_again(
    chain: &ChainClient,
    error: &SubmitError,
) -> Option<(BlockNumber, BlockNumber)> {
    if error.rejection() != Some(&Rejection::SpaceUsedUp) {
        return None;
    }
    let head = chain.head().await.ok()?;
    let epoch = chain.hyperparameters(head).await.ok()?.epoch;
    Some((head.number, BlockNumber(epoch.first_block_in(1))))
}

/// Drops lists that no task inside the lookback was made under.
fn forget(past: &mut Vec<PastAllowlist>, head: BlockNumber, lookback_blocks: u64) {
    let oldest = head.0.saturating_sub(lookback_blocks);
    let in_force = past.iter().rposition(|list| list.committed_at.0 < oldest).unwrap_or(0);
    past.drain(..in_force.max(past.len().saturating_sub(MAX_PAST_ALLOWLISTS)));
}

/// The lists before another one, as the owner's record names them.
#[derive(Debug, Default)]
pub struct Past {
    /// The lists, oldest first, with the blocks of their commitments; none is missing in between.
    pub lists: Vec<(BlockNumber, Allowlist)>,
    /// Whether one is missing between what was seen and these. Then what was seen must be
    /// forgotten, or it would wrongly apply to the tasks of the missing list.
    pub has_gap: bool,
}

/// The lists between `seen`, the newest one that is known, and `newest`. A list that is missing
/// from the bucket ends the history.
///
/// # Errors
/// [`StoreError`] when the bucket cannot be read. A record that is missing or not signed by the
/// owner is logged and ignored.
pub async fn before(
    source: &SourceBucket,
    network: Network,
    owner: &Hotkey,
    newest: PastAllowlist,
    seen: Option<Digest>,
) -> Result<Past, StoreError> {
    let record = match source.allowlist_record().await? {
        None => {
            tracing::warn!(
                "the bucket has no record of past allowlists: using only those seen on chain"
            );
            return Ok(Past::default());
        }
        Some(bytes) => read_allowlist_record(&bytes, network.subnet(), owner),
    };
    let past = match record {
        // The second case: a successor was written to the bucket and not committed, or `newest`
        // is that of an earlier block.
        Ok(record) if record.next == newest.sha256 || record.past.contains(&newest) => record.past,
        Ok(_) => {
            tracing::warn!(
                "the record of past allowlists does not belong to the newest one: using only those seen on chain"
            );
            return Ok(Past::default());
        }
        Err(error) => {
            tracing::warn!(%error, "the record of past allowlists is unusable: using only those seen on chain");
            return Ok(Past::default());
        }
    };
    if seen == Some(newest.sha256) {
        return Ok(Past::default()); // It was committed again.
    }
    let named: Vec<PastAllowlist> =
        past.into_iter().filter(|list| list.committed_at < newest.committed_at).collect();
    let seen_at = seen.map(|seen| named.iter().rposition(|list| list.sha256 == seen));
    let first = seen_at.flatten().map_or(0, |seen_at| seen_at + 1);
    let mut found = Past { lists: Vec::new(), has_gap: seen_at == Some(None) };
    for PastAllowlist { committed_at, sha256 } in named[first..].iter().rev().copied() {
        let bytes = source.allowlist_version(&sha256).await?;
        match bytes.map(|bytes| Allowlist::verify(&bytes, sha256)) {
            Some(Ok(allowlist)) => found.lists.push((committed_at, allowlist)),
            // Without it, an older list would wrongly apply to its tasks.
            missing_or_wrong => {
                tracing::warn!(%sha256, block = %committed_at, present = missing_or_wrong.is_some(), "a past allowlist is missing or damaged, ignoring it and those before it");
                found.has_gap = seen.is_some();
                break;
            }
        }
    }
    found.lists.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_force_at_the_oldest_task_is_kept() {
        let list =
            |block| PastAllowlist { committed_at: BlockNumber(block), sha256: Digest::of(b"") };
        let mut past = vec![list(10), list(20), list(30), list(40)];
        forget(&mut past, BlockNumber(125), 100);
        assert_eq!(
            past,
            [list(20), list(30), list(40)],
            "block 25 lies under the list of block 20"
        );
        forget(&mut past, BlockNumber(1000), 100);
        assert_eq!(past, [list(40)]);
        let mut many: Vec<_> = (0..1000).map(list).collect();
        forget(&mut many, BlockNumber(1000), 30_000);
        assert_eq!(
            (many.len(), many[0]),
            (MAX_PAST_ALLOWLISTS, list(1000 - MAX_PAST_ALLOWLISTS as u64))
        );
    }
}
