//! Shared by commands that act for a key: the flags that select it, and reading back the result of
//! a transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use leoma_chain::{Call, ChainClient, ChainError, Metagraph};
use leoma_protocol::{Digest, Hotkey};

use super::tao::Tao;

/// Attempts to read the result of a transaction. It is final by then, but a node behind a load
/// balancer may lag a block or two.
const READS: u32 = 10;
/// Pause between two attempts: a fraction of the live chain's block time.
const READ_PAUSE: Duration = Duration::from_secs(3);

/// The flags that select a wallet; `--coldkey` and `--hotkey` are the Python implementation's
/// words.
#[derive(Debug, Args)]
pub(super) struct WalletFlags {
    /// Folder of wallets; WALLET_PATH if not given.
    #[arg(long, value_name = "FOLDER")]
    wallet_path: Option<String>,
    /// The wallet's name; WALLET_NAME if not given.
    #[arg(long, alias = "coldkey", value_name = "NAME")]
    wallet_name: Option<String>,
    /// The hotkey's name; HOTKEY_NAME if not given.
    #[arg(long, alias = "hotkey", value_name = "NAME")]
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

/// The flags that select chain, subnet and wallet.
#[derive(Debug, Args)]
pub(super) struct AccountFlags {
    /// The chain: finney, test, local or a WebSocket address; NETWORK if not given.
    #[arg(long)]
    network: Option<String>,
    /// A chain node to use instead of the network's own; may be given several times, the preferred
    /// one first.
    #[arg(long, value_name = "URL")]
    chain_endpoint: Vec<String>,
    /// The subnet; NETUID if not given.
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

/// What sending `call` costs, read from the chain and not assumed; `None` if it cannot be read,
/// after a warning.
pub(super) async fn fee_of(chain: &ChainClient, call: &Call) -> Option<Tao> {
    match chain.fee(call).await {
        Ok(fee) => Some(Tao::of_rao(fee)),
        Err(error) => {
            eprintln!("warning: cannot read what this transaction costs: {error}");
            None
        }
    }
}

/// Says what sending `call` costs `payer`, if anything, and warns where it cannot pay.
pub(super) async fn say_fee(chain: &ChainClient, call: &Call, payer: &Hotkey) {
    let Some(fee) = fee_of(chain, call).await.filter(|fee| fee.rao() > 0) else { return };
    eprintln!("the transaction costs {payer} a fee of {fee}");
    let balance = async { chain.free_balance(chain.head().await?, payer).await };
    match balance.await.map(Tao::of_rao) {
        Ok(balance) if balance < fee => eprintln!("warning: {payer} has only {balance}"),
        Ok(_) => {}
        Err(error) => eprintln!("warning: cannot read what {payer} has: {error}"),
    }
}

/// Reads the subnet at the newest final block until `find` finds a transaction's result; `None` if
/// it does not within some 30 seconds.
///
/// # Errors
/// When the subnet cannot be read in this time; the error says that the transaction is included.
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

/// Reads until something is found or the attempts are used up; errors count as attempts.
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
            "transaction {transaction} is in a final block, but its result cannot be read back: do not send it again"
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
