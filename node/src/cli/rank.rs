//! `leoma get-rank`: the ranking of the newest epoch.

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
    /// Ask this API instead, such as https://api.leoma.ai; API_URL of the environment if neither
    /// this nor --http is given.
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
    /// The API that is asked, if any.
    fn api(&self, of_environment: Option<String>) -> Option<String> {
        // A flag wins over the environment.
        let of_environment = of_environment.filter(|_| !self.running.is_given());
        let api = self.api.clone().or(of_environment)?.trim().to_owned();
        (!api.is_empty()).then_some(api)
    }

    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let running = match self.api(std::env::var("API_URL").ok()) {
            Some(api) => Running::at(&api)?,
            None => self.running.find(file)?,
        };
        let mut ranks = running.json("scores/rank").await?;
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
    fn a_validator_that_is_named_wins_over_the_environments_api() {
        let api = |flags: &[&str], environment: &str| {
            let line = std::iter::once("get-rank").chain(flags.iter().copied());
            Line::try_parse_from(line).unwrap().args.api(Some(environment.to_owned()))
        };
        let url = "https://api.example";
        assert_eq!(api(&[], url).as_deref(), Some(url));
        assert_eq!(api(&["--http", "127.0.0.1:9090"], url), None);
        assert_eq!(api(&["--api", "https://b.example"], url).as_deref(), Some("https://b.example"));
        assert_eq!(api(&[], " "), None);
        assert!(Line::try_parse_from(["get-rank", "--http", "a:1", "--api", url]).is_err());
    }
}
