//! `leoma config`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::print_json;
use crate::config::{Config, Sources, problems, show};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// List every setting with its value and the value's source, and what is wrong with it; secrets
    /// are hidden.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the configuration, and show what is wrong with it.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let sources = Sources::of_process(file, BTreeMap::new());
        match self {
            Self::Show { json } => {
                let values = sources.merge()?;
                let lines = show(&values);
                if json {
                    return print_json(&lines);
                }
                for line in lines {
                    let value = line.value.as_deref().unwrap_or("(unset)");
                    let source =
                        line.source.map(|source| format!("  [{source}]")).unwrap_or_default();
                    println!("{}={value}{source}\n    {}; {}", line.name, line.help, line.accepted);
                    if let Some(problem) = line.problem {
                        println!("    MALFORMED: {problem}");
                    }
                }
                for problem in problems(&values).others {
                    println!("PROBLEM: {problem}");
                }
            }
            Self::Check { json } => {
                let loaded = Config::load(&sources).map_err(anyhow::Error::from);
                if json {
                    print_json(&checked(&loaded))?;
                }
                let config = loaded?;
                if !json {
                    for refused in &config.buckets.peers.refused {
                        println!("warning: {refused}");
                    }
                    println!("the configuration is well-formed");
                }
            }
        }
        Ok(())
    }
}

/// The result of a check, for machines.
fn checked(loaded: &anyhow::Result<Config>) -> Value {
    let refused = loaded.iter().flat_map(|config| &config.buckets.peers.refused);
    let warnings: Vec<String> = refused.map(ToString::to_string).collect();
    let problem = loaded.as_ref().err().map(|error| format!("{error:#}"));
    json!({ "well_formed": loaded.is_ok(), "problem": problem, "warnings": warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_reads_whether_the_configuration_is_well_formed() {
        let checked = |netuid: &str| {
            let flags = BTreeMap::from([("NETUID".to_owned(), netuid.to_owned())]);
            let sources = Sources { flags, ..Sources::default() };
            checked(&Config::load(&sources).map_err(anyhow::Error::from))
        };
        let expected = json!({ "well_formed": true, "problem": null, "warnings": [] });
        assert_eq!(checked("7"), expected);
        let malformed = checked("seven");
        assert_eq!(malformed["well_formed"], false);
        assert!(malformed["problem"].as_str().unwrap().contains("NETUID"), "{malformed}");
    }
}
