//! `leoma validator add|remove|discard`: the draft.

use anyhow::bail;
use clap::Args;
use leoma_chain::ChainClient;
use leoma_protocol::Hotkey;
use leoma_rotation::Allowlist;
use serde_json::{Value, json};

use super::committed::{FIRST_INTERVAL, committed, source};
use super::draft::{Draft, DraftFile};
use super::list::list_json;
use crate::cli::output::print_json;
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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArgs {
    /// Hotkeys, as SS58 addresses.
    #[arg(required = true, value_name = "HOTKEY")]
    hotkeys: Vec<Hotkey>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl AddArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let mut already = Vec::new();
        let edited = edit(config, |list| {
            let listed = self.hotkeys.iter().filter(|hotkey| list.contains(hotkey));
            already.extend(listed.copied());
            let validators = list.validators().iter().chain(&self.hotkeys).copied();
            Ok(Allowlist::new(self.interval.unwrap_or(list.interval()), validators)?)
        })
        .await?;
        if self.json {
            let mut value = edited.json();
            value["already_listed"] = json!(already);
            return print_json(&value);
        }
        already.iter().for_each(|hotkey| println!("{hotkey} is already on the list"));
        edited.say();
        Ok(())
    }
}

impl RemoveArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let edited = edit(config, |list| {
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
        .await?;
        if self.json {
            return print_json(&edited.json());
        }
        edited.say();
        Ok(())
    }
}

/// The draft as it was just written, and where.
struct Edited {
    draft: Draft,
    path: String,
}

impl Edited {
    fn json(&self) -> Value {
        let mut value = list_json(&self.draft.allowlist);
        value["base"] = json!(self.draft.base);
        value["path"] = json!(self.path);
        value
    }

    fn say(&self) {
        println!(
            "the draft has {} validators, a task every {} blocks ({})",
            self.draft.allowlist.validators().len(),
            self.draft.allowlist.interval(),
            self.path
        );
        println!("see it with `leoma validator list`, publish it with `leoma validator publish`");
    }
}

async fn edit(
    config: &Config,
    change: impl FnOnce(&Allowlist) -> anyhow::Result<Allowlist>,
) -> anyhow::Result<Edited> {
    let file = DraftFile::of(config);
    let Draft { base, allowlist } = match file.read()? {
        Some(draft) => draft,
        None => begin(config).await?,
    };
    let draft = Draft { base, allowlist: change(&allowlist)? };
    file.write(&draft)?;
    Ok(Edited { draft, path: file.path().display().to_string() })
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

pub(super) fn discard(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let draft = DraftFile::of(config);
    let (discarded, path) = (draft.discard()?, draft.path().display().to_string());
    if as_json {
        return print_json(&json!({ "discarded": discarded, "path": path }));
    }
    if discarded {
        println!("dropped the draft {path}");
    } else {
        println!("there is no draft");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_reads_the_draft_as_it_was_written() {
        let validators = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let allowlist = Allowlist::new(50, validators).unwrap();
        let draft = Draft { base: None, allowlist: allowlist.clone() };
        let expected = json!({
            "interval": 50,
            "validators": allowlist.validators(),
            "sha256": allowlist.digest().to_string(),
            "base": null,
            "path": "state/draft.json",
        });
        assert_eq!(Edited { draft, path: "state/draft.json".to_owned() }.json(), expected);
    }
}
