//! `leoma config`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;

use super::output::print_json;
use crate::config::{Config, Sources, show};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// List every setting with its value and the value's source; secrets are hidden.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the configuration, and show what is wrong with it.
    Check,
}

impl ConfigCommand {
    pub(super) fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let sources = Sources::of_process(file, BTreeMap::new());
        match self {
            Self::Show { json } => {
                let lines = show(&sources.merge()?);
                if json {
                    return print_json(&lines);
                }
                for line in lines {
                    let value = line.value.as_deref().unwrap_or("(unset)");
                    let source =
                        line.source.map(|source| format!("  [{source}]")).unwrap_or_default();
                    println!("{}={value}{source}\n    {}; {}", line.name, line.help, line.accepted);
                }
            }
            Self::Check => {
                let config = Config::load(&sources)?;
                for refused in &config.buckets.peers.refused {
                    println!("warning: {refused}");
                }
                println!("the configuration is well-formed");
            }
        }
        Ok(())
    }
}
