//! `leoma serve` and `leoma servers`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

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
            Self::Sampler(args) => args.run(file, Parts { sampler: true, weights: false }).await,
            Self::Validator(args) => args.run(file, Parts { sampler: false, weights: true }).await,
        }
    }
}

/// The settings that are most often given by hand; every other one is set in the environment or the file.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The chain: finney, test, local or a WebSocket address.
    #[arg(long)]
    network: Option<String>,
    /// A chain node to use instead of the network's own; may be given several times, the preferred one first.
    #[arg(long, value_name = "URL")]
    chain_endpoint: Vec<String>,
    /// The subnet.
    #[arg(long)]
    netuid: Option<String>,
    /// The wallet's name.
    #[arg(long)]
    wallet_name: Option<String>,
    /// The hotkey's name.
    #[arg(long)]
    hotkey_name: Option<String>,
    /// Folder for this validator's state.
    #[arg(long)]
    state_dir: Option<String>,
    /// Address of /livez, /readyz, /metrics and /status.
    #[arg(long)]
    http_listen: Option<String>,
    /// Where video is scored: auto, cuda or cpu.
    #[arg(long)]
    device: Option<String>,
    /// Peers to dial first, separated by commas.
    #[arg(long)]
    bootnodes: Option<String>,
}

impl ServeArgs {
    fn flags(&self) -> BTreeMap<String, String> {
        let endpoints = (!self.chain_endpoint.is_empty()).then(|| self.chain_endpoint.join(","));
        let flags = [
            ("NETWORK", &self.network),
            ("CHAIN_ENDPOINTS", &endpoints),
            ("NETUID", &self.netuid),
            ("WALLET_NAME", &self.wallet_name),
            ("HOTKEY_NAME", &self.hotkey_name),
            ("LEOMA_STATE_DIR", &self.state_dir),
            ("LEOMA_HTTP_LISTEN", &self.http_listen),
            ("LEOMA_DEVICE", &self.device),
            ("LEOMA_BOOTNODES", &self.bootnodes),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }

    pub(super) async fn run(self, file: Option<PathBuf>, parts: Parts) -> anyhow::Result<()> {
        let config = super::load(file, self.flags())?;
        crate::telemetry::init(&config.log_level, config.log_json);
        let stop = CancellationToken::new();
        tokio::spawn(cancel_on_signal(stop.clone()));
        crate::serve::serve(config, parts, stop).await
    }
}

/// The first signal asks for an orderly stop, the second one ends the process at once.
async fn cancel_on_signal(stop: CancellationToken) {
    let signal = async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            if let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                stop.cancel();
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                return;
            }
        }
        let _no_handler = tokio::signal::ctrl_c().await;
        stop.cancel();
        let _no_handler = tokio::signal::ctrl_c().await;
    };
    signal.await;
    tracing::warn!("stopped at once by a second signal");
    std::process::exit(130);
}
