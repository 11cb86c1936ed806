//! The allowlist that the owner committed on chain.

use anyhow::Context as _;
use leoma_chain::Metagraph;
use leoma_rotation::Allowlist;
use leoma_storage::SourceBucket;

use crate::config::Config;

/// Length of a task in a subnet's first list.
pub(super) const FIRST_INTERVAL: u64 = 100;

pub(super) fn source(config: &Config) -> anyhow::Result<SourceBucket> {
    Ok(SourceBucket::new(config.buckets.need_readable_source()?.open()?))
}

/// The committed list, if the bucket has it.
pub(super) struct Committed {
    pub(super) hash: String,
    pub(super) block: leoma_protocol::BlockNumber,
    pub(super) allowlist: Option<Allowlist>,
}

/// What the owner committed; `present` is the bucket's list, which is usually the committed one.
pub(super) async fn committed(
    metagraph: &Metagraph,
    source: &SourceBucket,
    present: Option<&Allowlist>,
) -> anyhow::Result<Option<Committed>> {
    let Some(commitment) = metagraph.commitments.get(&metagraph.owner) else { return Ok(None) };
    let Some(hash) = leoma_rotation::allowlist::committed_hash(&commitment.text) else {
        return Ok(None);
    };
    let allowlist = match leoma_rotation::allowlist::committed_digest(&commitment.text) {
        Ok(Some(digest)) => match present.filter(|present| present.digest() == digest) {
            Some(present) => Some(present.clone()),
            None => {
                let bytes = source
                    .allowlist_version(&digest)
                    .await
                    .context("reading the committed list")?;
                bytes.and_then(|bytes| Allowlist::verify(&bytes, digest).ok())
            }
        },
        _ => None,
    };
    Ok(Some(Committed { hash: hash.to_owned(), block: commitment.block, allowlist }))
}
