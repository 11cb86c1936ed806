//! `leoma-testnet storage`: the server in its own process.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::keys::read_keys;
use super::serve::{Config, Handle, spawn};
use crate::report_file;
use crate::stop::stop_signal;

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

/// Serves until a signal asks it to stop.
///
/// # Errors
/// If the server cannot start; the text names the file, folder or port.
pub async fn run(args: StorageArgs) -> anyhow::Result<()> {
    let keys = read_keys(&args.keys)?;
    let stop = stop_signal();
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
    stop.await;
    tracing::info!("the storage is stopping");
    handle.stop().await;
    Ok(())
}

/// `url` is what every part of the subnet calls its address in this file.
fn write_endpoints(args: &StorageArgs, handle: &Handle) -> anyhow::Result<()> {
    let (endpoint, admin) = (handle.endpoint(), handle.admin());
    let pid = std::process::id();
    let text = json!({ "endpoint": endpoint, "url": endpoint, "admin": admin, "pid": pid });
    let path = args.dir.join(ENDPOINT_FILE);
    report_file::write(&path, text.to_string().as_bytes())
        .with_context(|| path.display().to_string())
}
