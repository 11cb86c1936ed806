//! `leoma preflight`: whether a validator could start here, and what is missing.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::account::AccountFlags;
use super::output::print_json;
use crate::preflight::{CheckOutcome, run};
use crate::serve::Parts;

const EXAMPLES: &str = "\
Examples:
  leoma preflight && leoma serve
  docker compose run --rm validator leoma preflight
  leoma preflight --json | jq '.checks[] | select(.outcome == \"fail\")'";

/// Check everything that a validator needs before it is started, and say what to do about the rest.
///
/// Needs the settings of `leoma serve`, as far as there are any: it names what is missing.
///
/// Looks at the hotkey's files, each chain endpoint by itself (does it answer, is it of the right
/// chain, does it keep up), this machine's clock, the subnet's owner, the hotkey's registration,
/// permit and stake, its place on the allowlist, the rate limit of weights, commit-reveal and
/// drand, whether a witness can be written and paid for, the buckets and the key that peers read
/// ours with, the addresses that peers dial, disk, memory and device, ffmpeg and its jail. It sends
/// Chutes, Hugging Face and, if it judges, Gemini one request each.
///
/// Each check passes, warns, fails, or is skipped because of another one; one that warns or fails
/// says what to do next. The exit code is 1 when one failed. Sends no transaction; in the own
/// bucket it leaves the same small object as `leoma serve`.
///
/// --json prints {"ready": true or false, "checks": [{"name", "outcome": "pass", "warn", "fail" or
/// "skip", "finding", "next_step": a text or null}]}; names of checks and outcomes stay as they are
/// from release to release.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct PreflightArgs {
    #[command(flatten)]
    account: AccountFlags,
    /// Only what `leoma servers validator` needs, which samples nothing.
    #[arg(long)]
    weights_only: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PreflightArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, self.account.settings())?;
        let checks =
            run(&config, Parts { sampler: !self.weights_only, ..Parts::ALL }, wall_clock).await;
        let failed = checks.iter().filter(|check| check.outcome == CheckOutcome::Fail).count();
        if self.json {
            print_json(&json!({ "ready": failed == 0, "checks": checks }))?;
        } else {
            checks.iter().for_each(|check| println!("{check}"));
        }
        if failed > 0 {
            bail!("not ready: {failed} of {} checks failed", checks.len());
        }
        Ok(())
    }
}

/// Unix milliseconds.
fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
