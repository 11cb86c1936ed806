//! `leoma blacklist`: miners that this validator does not sample.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use leoma_protocol::Hotkey;
use leoma_web::{Blacklisted, Board as _};
use serde_json::json;

use super::output::print_json;
use crate::board::StoredBoard;

/// Longest reason, as the API has it.
const MAX_REASON_CHARS: usize = 255;

pub(super) const EXAMPLES: &str = "\
Examples:
  leoma blacklist add HOTKEY --reason 'serves another model than it committed'
  leoma blacklist list
  leoma blacklist remove HOTKEY";

#[derive(Debug, Subcommand)]
pub(super) enum BlacklistCommand {
    /// List the blacklisted hotkeys with their reasons.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Blacklist a miner, which is then not sampled and may not post to this validator's API.
    ///
    /// A running validator follows within seconds: the Miners page shows the miner as invalid, with
    /// the reason `blacklisted`.
    ///
    /// Other validators do not learn of it. They refuse verdict files that lack a miner which they
    /// find valid, and such a file is not certified. So agree with them before you blacklist a
    /// miner that they sample.
    Add {
        /// The miner.
        hotkey: Hotkey,
        /// Why, at most 255 characters.
        #[arg(long)]
        reason: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a miner off the blacklist. It is sampled again as soon as its check finds it valid.
    Remove {
        /// The miner.
        hotkey: Hotkey,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl BlacklistCommand {
    /// Works on the board in LEOMA_STATE_DIR, which a running validator reads too.
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, BTreeMap::new())?;
        let board = StoredBoard::open(&config.machine.state_dir)?;
        match self {
            Self::List { json } => {
                let entries = board.blacklist().await?;
                if json {
                    return print_json(&entries);
                }
                for entry in entries {
                    println!("{}  {}", entry.hotkey, entry.reason.as_deref().unwrap_or("-"));
                }
            }
            Self::Add { hotkey, reason, json } => {
                if reason.as_ref().is_some_and(|text| text.chars().count() > MAX_REASON_CHARS) {
                    bail!("the reason has more than {MAX_REASON_CHARS} characters: shorten it");
                }
                let entry = Blacklisted {
                    hotkey: hotkey.to_string(),
                    reason,
                    added_by: None,
                    created_at: leoma_web::iso_now(),
                };
                board.blacklist_add(entry.clone()).await?;
                if json {
                    return print_json(&entry);
                }
                println!("{hotkey} is blacklisted");
            }
            Self::Remove { hotkey, json } => {
                if !board.blacklist_remove(&hotkey.to_string()).await? {
                    bail!("{hotkey} is not on the blacklist: `leoma blacklist list` shows it");
                }
                if json {
                    return print_json(&json!({ "hotkey": hotkey, "removed": true }));
                }
                println!("{hotkey} is off the blacklist");
            }
        }
        Ok(())
    }
}
