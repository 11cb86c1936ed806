//! `leoma validator`: the owner's allowlist, from a local draft to the bucket and the chain.

mod committed;
mod diff;
mod draft;
mod edit;
mod list;
mod publish;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum ValidatorCommand {
    /// Add validators to the draft of the next allowlist.
    ///
    /// The draft starts as a copy of the committed list and is stored in LEOMA_STATE_DIR. It has no
    /// effect until it is published.
    Add(edit::AddArgs),
    /// Remove validators from the draft of the next allowlist.
    Remove(edit::RemoveArgs),
    /// Delete the draft.
    Discard {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the source bucket's allowlist, whether it is the committed one, and the draft's
    /// changes.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish an allowlist: show what changes, write the file to the source bucket, commit its
    /// hash on chain, and read both back.
    ///
    /// Needs the subnet owner's hotkey and the write key of the source bucket. Publishes
    /// --validators if given, else the draft, else the bucket's list again, with --add, --remove
    /// and --interval applied. A draft that is based on an older list than the committed one is
    /// refused: it would undo what was published since.
    Publish(publish::PublishArgs),
}

impl ValidatorCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, BTreeMap::new())?;
        match self {
            Self::Add(args) => args.run(&config).await,
            Self::Remove(args) => args.run(&config).await,
            Self::Discard { json } => edit::discard(&config, json),
            Self::List { json } => list::list(&config, json).await,
            Self::Publish(args) => publish::publish(&config, args).await,
        }
    }
}
