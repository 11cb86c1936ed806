//! `leoma get-rank`: the ranking of the newest epoch.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::output::print_json;
use super::running::{Running, RunningFlags};

const EXAMPLES: &str = "\
Examples:
  leoma get-rank
  leoma get-rank --api https://api.leoma.ai --json";

/// Show the miners' ranking of the newest epoch, from a running validator or from an API.
///
/// Needs a validator that runs on this machine, or the address of an API, and no key.
///
/// The first is the winner. Rates are means of the validators' pass rates over the window. A miner
/// without a rank is not eligible; the Miners page says why, and shows each of its tasks.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RankArgs {
    #[command(flatten)]
    running: RunningFlags,
    /// Ask this API instead, such as https://api.leoma.ai; API_URL if neither this nor --http is
    /// given.
    #[arg(long, value_name = "URL", conflicts_with = "http")]
    api: Option<String>,
    /// Only this miner.
    #[arg(long, value_name = "HOTKEY")]
    miner: Option<leoma_protocol::Hotkey>,
    /// Print JSON, as /scores/rank of the API.
    #[arg(long)]
    json: bool,
}

impl RankArgs {
    /// Whom to ask: by the flags, else by the settings.
    fn find(&self, file: Option<PathBuf>) -> anyhow::Result<Running> {
        let api = match &self.api {
            Some(api) if !api.trim().is_empty() => Some(api.trim().to_owned()),
            _ if self.running.is_given() => None,
            _ => super::settings::load(file.clone(), BTreeMap::new())?.api.report_to,
        };
        match api {
            Some(api) => Running::at(&api),
            None => self.running.find(file),
        }
    }

    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let mut ranks = self.find(file)?.json("scores/rank").await?;
        if let (Some(miner), Some(rows)) = (self.miner, ranks["ranks"].as_array_mut()) {
            rows.retain(|row| row["miner_hotkey"] == miner.to_string());
        }
        if self.json {
            return print_json(&ranks);
        }
        let rows = ranks["ranks"].as_array().map_or(&[][..], Vec::as_slice);
        if rows.is_empty() {
            println!("no miner is ranked yet: the Epochs page says what the newest epoch lacks");
        }
        for row in rows {
            println!("{}", line(row));
        }
        Ok(())
    }
}

fn line(row: &Value) -> String {
    let number =
        |name: &str| row[name].as_u64().map_or("-".to_owned(), |number| number.to_string());
    format!(
        "{:>4}  uid {:>3}  {}  {:>6.2} %  {} passed, committed at block {}",
        number("rank"),
        number("uid"),
        row["miner_hotkey"].as_str().unwrap_or("-"),
        row["pass_rate"].as_f64().unwrap_or(0.0) * 100.0,
        number("passed_count"),
        number("block"),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RankArgs,
    }

    #[test]
    fn a_flag_wins_over_the_api_of_the_settings_wherever_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("leoma.toml");
        let asked = |flags: &[&str]| {
            let line = std::iter::once("get-rank").chain(flags.iter().copied());
            let args = Line::try_parse_from(line).unwrap().args;
            args.find(Some(settings.clone())).unwrap().base().to_owned()
        };
        let url = "https://api.example";
        std::fs::write(&settings, format!("api_url = \"{url}\"")).unwrap();
        assert_eq!(asked(&[]), url);
        assert_eq!(asked(&["--api", " "]), url);
        assert_eq!(asked(&["--http", "127.0.0.1:9090"]), "http://127.0.0.1:9090");
        assert_eq!(asked(&["--api", "https://b.example"]), "https://b.example");
        std::fs::write(&settings, "api_url = \"\"").unwrap();
        assert_eq!(asked(&[]), "http://127.0.0.1:9090");
        assert!(Line::try_parse_from(["get-rank", "--http", "a:1", "--api", url]).is_err());
    }
}
