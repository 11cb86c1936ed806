//! `leoma validator add|remove|discard`: the draft.

use anyhow::bail;
use clap::Args;
use leoma_chain::ChainClient;
use leoma_protocol::Hotkey;
use leoma_rotation::Allowlist;

use super::committed::{FIRST_INTERVAL, committed, source};
use super::draft::{Draft, DraftFile};
use crate::config::Config;
use crate::subnet::allowlists;

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// Hotkeys, as SS58 addresses.
    #[arg(required = true, value_name = "HOTKEY")]
    hotkeys: Vec<Hotkey>,
    /// Blocks of a task in the draft.
    #[arg(long, value_name = "BLOCKS")]
    interval: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArgs {
    /// Hotkeys, as SS58 addresses.
    #[arg(required = true, value_name = "HOTKEY")]
    hotkeys: Vec<Hotkey>,
}

impl AddArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        edit(config, |list| {
            for hotkey in self.hotkeys.iter().filter(|hotkey| list.validators().contains(hotkey)) {
                println!("{hotkey} is already on the list");
            }
            let validators = list.validators().iter().chain(&self.hotkeys).copied();
            Ok(Allowlist::new(self.interval.unwrap_or(list.interval()), validators)?)
        })
        .await
    }
}

impl RemoveArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        edit(config, |list| {
            // More likely a typing error than a validator that is already gone.
            if let Some(stranger) =
                self.hotkeys.iter().find(|hotkey| !list.validators().contains(hotkey))
            {
                bail!("{stranger} is not on the list: nothing was changed");
            }
            let rest =
                list.validators().iter().filter(|hotkey| !self.hotkeys.contains(hotkey)).copied();
            Ok(Allowlist::new(list.interval(), rest)?)
        })
        .await
    }
}

async fn edit(
    config: &Config,
    change: impl FnOnce(&Allowlist) -> anyhow::Result<Allowlist>,
) -> anyhow::Result<()> {
    let draft = DraftFile::of(config);
    let Draft { base, allowlist } = match draft.read()? {
        Some(draft) => draft,
        None => begin(config).await?,
    };
    let after = change(&allowlist)?;
    draft.write(&Draft { base, allowlist: after.clone() })?;
    println!(
        "the draft has {} validators, a task every {} blocks ({})",
        after.validators().len(),
        after.interval(),
        draft.path().display()
    );
    println!("see it with `leoma validator list`, publish it with `leoma validator publish`");
    Ok(())
}

/// A draft that changes nothing: the list that the chain names, else the one that waits in the
/// bucket, else an empty one.
async fn begin(config: &Config) -> anyhow::Result<Draft> {
    let source = source(config)?;
    let chain = ChainClient::of(&config.chain, config.netuid).await?;
    let metagraph = chain.metagraph(chain.head().await?).await?;
    let present = allowlists::present(&source).await?;
    let committed = committed(&metagraph, &source, present.as_ref()).await?;
    let base = committed.as_ref().map(|committed| committed.hash.clone());
    let allowlist = match committed.and_then(|committed| committed.allowlist).or(present) {
        Some(list) => list,
        None => Allowlist::new(FIRST_INTERVAL, [])?,
    };
    Ok(Draft { base, allowlist })
}

pub(super) fn discard(config: &Config) -> anyhow::Result<()> {
    let draft = DraftFile::of(config);
    if draft.discard()? {
        println!("dropped the draft {}", draft.path().display());
    } else {
        println!("there is no draft");
    }
    Ok(())
}
