//! `leoma serve` and `leoma servers`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::account::{AccountFlags, given};
use super::signals::Signals;

pub(super) use crate::serve::Parts;

#[derive(Debug, Subcommand)]
pub(super) enum ServersCommand {
    /// Run the sampler without the weight-setter.
    Sampler(ServeArgs),
    /// Run the weight-setter without the sampler; needs no GPU.
    Validator(ServeArgs),
}

impl ServersCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        match self {
            Self::Sampler(args) => args.run(file, Parts { weights: false, ..Parts::ALL }).await,
            Self::Validator(args) => args.run(file, Parts { sampler: false, ..Parts::ALL }).await,
        }
    }
}

/// The settings that are most often given by hand; the others are set in the environment or the
/// file.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    account: AccountFlags,
    /// Folder for this validator's state.
    #[arg(long)]
    state_dir: Option<String>,
    /// Address of this validator's own pages, /livez, /readyz, /metrics and /status.
    #[arg(long)]
    http_listen: Option<String>,
    /// Address of the pages and the API for everybody; off unless given.
    #[arg(long)]
    api_listen: Option<String>,
    /// The device that scores video: auto (CUDA if it is usable), cuda (all GPUs), cuda:N (one GPU)
    /// or cpu.
    #[arg(long)]
    device: Option<String>,
    /// Who judges video: local (the metrics alone), gemini, or both.
    #[arg(long)]
    judge: Option<String>,
    /// Peers to dial first, separated by commas.
    #[arg(long)]
    bootnodes: Option<String>,
}

impl ServeArgs {
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.account.settings();
        settings.extend(given([
            ("LEOMA_STATE_DIR", &self.state_dir),
            ("LEOMA_HTTP_LISTEN", &self.http_listen),
            ("LEOMA_API_LISTEN", &self.api_listen),
            ("LEOMA_DEVICE", &self.device),
            ("LEOMA_JUDGE", &self.judge),
            ("LEOMA_BOOTNODES", &self.bootnodes),
        ]));
        settings
    }

    pub(super) async fn run(self, file: Option<PathBuf>, parts: Parts) -> anyhow::Result<()> {
        let config = super::settings::load(file, self.settings())?;
        crate::telemetry::init(&config.log.level, config.log.json);
        let stop = CancellationToken::new();
        tokio::spawn(cancel_on_signal(Signals::listen()?, stop.clone()));
        crate::serve::serve(config, parts, stop).await
    }
}

/// The first signal starts an orderly stop; the second ends the process at once.
pub(super) async fn cancel_on_signal(mut signals: Signals, stop: CancellationToken) {
    signals.next().await;
    stop.cancel();
    signals.next().await;
    tracing::warn!("stopped at once by a second signal");
    leoma_wallet::restore_terminal();
    std::process::exit(130);
}
