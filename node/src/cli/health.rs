//! `leoma health`: whether the validator of this machine is alive.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::output::print_json;
use super::running::RunningFlags;

const EXAMPLES: &str = "\
Examples:
  leoma health
  leoma health --ready || leoma preflight";

/// Ask the validator of this machine whether it is alive, for health checks of containers.
///
/// Needs a running validator, which it finds by the same settings as `leoma serve`, so nothing has
/// to be repeated in a health check. It prints the step of the start that is running, or each check
/// that fails. The exit code is 0 when the validator answers; with --ready only when every check
/// passes.
///
/// Where a check fails, `leoma preflight` looks for the cause and names the next step; the
/// operator's guide explains each message.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    running: RunningFlags,
    /// Also fail while the validator starts, or when one of its checks fails.
    #[arg(long)]
    ready: bool,
    /// Print JSON: {"alive", "ready", "detail"}.
    #[arg(long)]
    json: bool,
}

impl HealthArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let running = self.running.find(file)?;
        let (alive, _) = running.text("livez").await?;
        let (status, detail) = running.text("readyz").await?;
        let ready = status == 200;
        if self.json {
            let value = json!({ "alive": alive == 200, "ready": ready, "detail": detail.trim() });
            print_json(&value)?;
        } else {
            println!("alive\n{}", detail.trim());
        }
        if alive != 200 {
            bail!("{}/livez answers {alive}", running.base());
        }
        if self.ready && !ready {
            bail!("not ready: `leoma preflight` looks for the cause, and names the next step");
        }
        Ok(())
    }
}
