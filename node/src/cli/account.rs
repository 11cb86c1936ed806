//! What commands that act for a key have in common: the flags that say which, and reading back what they did.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use crate::chain::{ChainClient, Metagraph};

/// Times that the chain is read for what a command did. A transaction is final when it is reported; a node behind a load
/// balancer may lag a block or two.
const READS: u32 = 10;
/// Time between two reads: a fraction of the live chain's block.
const READ_PAUSE: Duration = Duration::from_secs(3);

/// Which wallet.
#[derive(Debug, Args)]
pub(super) struct WalletFlags {
    /// Folder of wallets; WALLET_PATH where not given.
    #[arg(long, value_name = "FOLDER")]
    wallet_path: Option<String>,
    /// The wallet's name; WALLET_NAME where not given.
    #[arg(long, value_name = "NAME")]
    wallet_name: Option<String>,
    /// The hotkey's name; HOTKEY_NAME where not given.
    #[arg(long, value_name = "NAME")]
    hotkey_name: Option<String>,
}

impl WalletFlags {
    /// Settings by their names in the environment.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        given([
            ("WALLET_PATH", &self.wallet_path),
            ("WALLET_NAME", &self.wallet_name),
            ("HOTKEY_NAME", &self.hotkey_name),
        ])
    }
}

/// Which chain, subnet and wallet.
#[derive(Debug, Args)]
pub(super) struct AccountFlags {
    /// The chain: finney, test, local or a WebSocket address; NETWORK where not given.
    #[arg(long)]
    network: Option<String>,
    /// The subnet; NETUID where not given.
    #[arg(long)]
    netuid: Option<String>,
    #[command(flatten)]
    wallet: WalletFlags,
}

impl AccountFlags {
    /// Settings by their names in the environment.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = given([("NETWORK", &self.network), ("NETUID", &self.netuid)]);
        settings.extend(self.wallet.settings());
        settings
    }
}

fn given<const N: usize>(flags: [(&str, &Option<String>); N]) -> BTreeMap<String, String> {
    flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
}

/// Reads the subnet at the newest final block until `find` finds there what a transaction did; `None` where it does not
/// in some 30 seconds.
pub(super) async fn read_back<T>(
    chain: &ChainClient,
    find: impl Fn(&Metagraph) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    for read in 0..READS {
        if read > 0 {
            tokio::time::sleep(READ_PAUSE).await;
        }
        let metagraph = chain.metagraph(chain.head().await?).await?;
        if let Some(found) = find(&metagraph) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
