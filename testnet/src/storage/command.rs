//! `leoma-testnet storage`: the server in its own process.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::keys::read_keys;
use super::serve::{Config, Handle, spawn};

/// Where the addresses are written in the server's folder.
const ENDPOINT_FILE: &str = "endpoint.json";

/// Serve the subnet's buckets over S3 on loopback.
#[derive(Args, Clone, Debug)]
pub struct StorageArgs {
    /// Folder of the buckets; made if absent, kept from one run to the next.
    #[arg(long)]
    pub dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one. The addresses are written to DIR/endpoint.json.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// JSON file `[{bucket, write: {access, secret}, read: {access, secret}}]`.
    #[arg(long)]
    pub keys: PathBuf,
}

#[derive(Serialize)]
struct EndpointFile<'a> {
    /// The S3 endpoint; `url` is what every part of the subnet calls its address in this file.
    endpoint: &'a str,
    url: &'a str,
    admin: Option<&'a str>,
    pid: u32,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If the server cannot start; the text names the file, folder or port.
pub async fn run(args: StorageArgs) -> anyhow::Result<()> {
    let keys = read_keys(&args.keys)?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let buckets = keys.len();
    let handle =
        spawn(Config { dir: args.dir.clone(), keys, port: args.port, admin: true }).await?;
    write_endpoints(&args, &handle)?;
    tracing::info!(
        endpoint = handle.endpoint(),
        admin = handle.admin(),
        buckets,
        "the storage is running"
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("the storage is stopping");
    handle.stop().await;
    Ok(())
}

/// Written aside and moved into place, so that a reader never sees half of the file.
fn write_endpoints(args: &StorageArgs, handle: &Handle) -> anyhow::Result<()> {
    let text = serde_json::to_vec(&EndpointFile {
        endpoint: handle.endpoint(),
        url: handle.endpoint(),
        admin: handle.admin(),
        pid: std::process::id(),
    })?;
    let (aside, path) =
        (args.dir.join(format!("{ENDPOINT_FILE}.new")), args.dir.join(ENDPOINT_FILE));
    std::fs::write(&aside, text).with_context(|| aside.display().to_string())?;
    std::fs::rename(&aside, &path).with_context(|| path.display().to_string())
}
