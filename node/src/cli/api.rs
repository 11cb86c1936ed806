//! `leoma api`: pages and API without being a validator.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::account::given;
use super::serve::cancel_on_signal;
use super::signals::Signals;

const EXAMPLES: &str = "\
Example:
  cp docs/env.api.example .env      # and fill in its first part
  leoma api --api-listen 0.0.0.0:8000 --state-dir /var/lib/leoma-api
  curl http://127.0.0.1:8000/health";

/// Serve pages and API without being a validator, for the subnet's owner or a public dashboard.
///
/// Needs read keys of the source bucket and, in PEER_VALIDATORS, of the validators' buckets; no
/// wallet and no GPU.
///
/// Reads the chain, the allowlist from the source bucket, and the verdict files from the buckets in
/// PEER_VALIDATORS. It has no part in the mesh, so it does not know who attested: each task shows
/// the first scheduled file that its bucket holds, and only the newest epoch is shown, computed
/// from these files without certificates. Validators post their samples and reports about miners to
/// it; those, and the blacklist, are kept in LEOMA_STATE_DIR.
///
/// Everybody's listener is at LEOMA_API_LISTEN, or at API_HOST and API_PORT; health, metrics and
/// settings are at LEOMA_HTTP_LISTEN. Put a TLS proxy in front of the former, and tell validators
/// its address: they post to API_URL.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ApiArgs {
    /// The chain: finney, test, local or a WebSocket address; NETWORK if not given.
    #[arg(long)]
    network: Option<String>,
    /// The subnet; NETUID if not given.
    #[arg(long)]
    netuid: Option<String>,
    /// Folder for what is posted.
    #[arg(long)]
    state_dir: Option<String>,
    /// Address of the pages and the API for everybody.
    #[arg(long)]
    api_listen: Option<String>,
    /// Address of health, metrics and settings.
    #[arg(long)]
    http_listen: Option<String>,
}

impl ApiArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let settings = given([
            ("NETWORK", &self.network),
            ("NETUID", &self.netuid),
            ("LEOMA_STATE_DIR", &self.state_dir),
            ("LEOMA_API_LISTEN", &self.api_listen),
            ("LEOMA_HTTP_LISTEN", &self.http_listen),
        ]);
        let config = super::settings::load(file, settings)?;
        crate::telemetry::init(&config.log.level, config.log.json);
        let stop = CancellationToken::new();
        tokio::spawn(cancel_on_signal(Signals::listen()?, stop.clone()));
        crate::serve::serve_api(config, stop).await
    }
}
