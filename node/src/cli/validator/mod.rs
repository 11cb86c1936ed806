//! `leoma validator`: the owner's allowlist, from a draft on this machine to the bucket and the
//! chain.

mod diff;
mod draft;
mod edit;
mod list;
mod publish;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use leoma_chain::Metagraph;
use leoma_rotation::Allowlist;
use leoma_storage::SourceBucket;

use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum ValidatorCommand {
    /// Add validators to the draft of the next allowlist.
    ///
    /// The draft begins as a copy of the list that the chain names and lies in LEOMA_STATE_DIR. It
    /// has no effect until it is published.
    Add(edit::AddArgs),
    /// Remove validators from the draft of the next allowlist.
    Remove(edit::RemoveArgs),
    /// Drop the draft.
    Discard,
    /// Show the source bucket's allowlist, whether the chain agrees, and what the draft would
    /// change.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish an allowlist: show what changes, write the file to the source bucket, commit its
    /// hash on chain, and read both back.
    ///
    /// Needs the subnet owner's hotkey and the write key of the source bucket. Publishes
    /// --validators where given, else the draft, else the bucket's list again; --add, --remove and
    /// --interval are applied to it. A draft that was begun from another list than the one that the
    /// chain names now is refused: it would undo what was published since.
    Publish(publish::PublishArgs),
}

/// Length of a task in a subnet's first list.
const FIRST_INTERVAL: u64 = 100;

impl ValidatorCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::load(file, BTreeMap::new())?;
        match self {
            Self::Add(args) => args.run(&config).await,
            Self::Remove(args) => args.run(&config).await,
            Self::Discard => edit::discard(&config),
            Self::List { json } => list::list(&config, json).await,
            Self::Publish(args) => publish::publish(&config, args).await,
        }
    }
}

fn source(config: &Config) -> anyhow::Result<SourceBucket> {
    Ok(SourceBucket::new(config.need_readable_source()?.open()?))
}

/// The list that the chain commits to, as far as the bucket has it.
struct Committed {
    hash: String,
    block: leoma_protocol::BlockNumber,
    allowlist: Option<Allowlist>,
}

/// What the owner committed; `present` is the bucket's list, which usually is the one.
async fn committed(
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
