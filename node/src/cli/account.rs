//! What commands that act for a key have in common: the flags that say which, and reading back what
//! they did.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use leoma_chain::{ChainClient, ChainError, Metagraph};
use leoma_protocol::Digest;

/// Times that the chain is read for what a command did. A transaction is final when it is reported;
/// a node behind a load balancer may lag a block or two.
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
    /// A chain node to use instead of the network's own; may be given several times, the preferred
    /// one first.
    #[arg(long, value_name = "URL")]
    chain_endpoint: Vec<String>,
    /// The subnet; NETUID where not given.
    #[arg(long)]
    netuid: Option<String>,
    #[command(flatten)]
    wallet: WalletFlags,
}

impl AccountFlags {
    /// Settings by their names in the environment.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let endpoints = (!self.chain_endpoint.is_empty()).then(|| self.chain_endpoint.join(","));
        let mut settings = given([
            ("NETWORK", &self.network),
            ("CHAIN_ENDPOINTS", &endpoints),
            ("NETUID", &self.netuid),
        ]);
        settings.extend(self.wallet.settings());
        settings
    }
}

/// Those flags that were given, under their names in the environment.
pub(super) fn given<const N: usize>(
    flags: [(&str, &Option<String>); N],
) -> BTreeMap<String, String> {
    flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
}

/// Reads the subnet at the newest final block until `find` finds there what a transaction did;
/// `None` where it does not in some 30 seconds.
///
/// # Errors
/// When it cannot be read in this time; the error says that the transaction is included.
pub(super) async fn read_back<T>(
    chain: &ChainClient,
    transaction: &Digest,
    find: impl Fn(&Metagraph) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    read_again(transaction, READ_PAUSE, async || {
        Ok(find(&chain.metagraph(chain.head().await?).await?))
    })
    .await
}

/// Reads until something is found or the tries are used up. A node that fails once may answer the
/// next time.
async fn read_again<T>(
    transaction: &Digest,
    pause: Duration,
    read: impl AsyncFn() -> Result<Option<T>, ChainError>,
) -> anyhow::Result<Option<T>> {
    let mut last = Ok(None);
    for tried in 0..READS {
        if tried > 0 {
            tokio::time::sleep(pause).await;
        }
        last = read().await;
        if let Ok(Some(found)) = last {
            return Ok(Some(found));
        }
    }
    last.with_context(|| {
        format!(
            "transaction {transaction} is in a final block, but what it did cannot be read back: do not send it again"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn failed() -> ChainError {
        ChainError::Timeout { what: "the metagraph" }
    }

    #[tokio::test]
    async fn a_transaction_is_not_forgotten_when_it_cannot_be_read_back() {
        let transaction = Digest::of(b"transaction");
        let error = read_again::<()>(&transaction, Duration::ZERO, async || Err(failed()))
            .await
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains(&transaction.to_string()) && text.contains("in a final block"),
            "{text}"
        );
        assert!(text.contains("the metagraph"), "{text}");
        // One failure is not the end.
        let tries = Cell::new(0);
        let read = async || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 => Err(failed()),
                2 => Ok(None),
                _ => Ok(Some("found")),
            }
        };
        assert_eq!(read_again(&transaction, Duration::ZERO, read).await.unwrap(), Some("found"));
        assert_eq!(
            read_again::<()>(&transaction, Duration::ZERO, async || Ok(None)).await.unwrap(),
            None
        );
    }
}
