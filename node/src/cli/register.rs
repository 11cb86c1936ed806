//! `leoma register`: registering a hotkey on the subnet, paid by its coldkey.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use leoma_chain::{Call, ChainClient};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard};
use leoma_wallet::{WalletSettings, address_of, coldkey_path, hotkey_path, load_coldkey};
use serde_json::json;

use super::account::{AccountFlags, fee_of, read_back};
use super::output::print_json;
use super::tao::Tao;

/// Register the hotkey on the subnet, paid by the wallet's coldkey.
///
/// Shows the cost and the coldkey's balance; nothing is sent without --yes. The cost is burned and
/// cannot be recovered. Signs with WALLET_PATH/WALLET_NAME/coldkey. Its password is read from the
/// file that COLDKEY_PASSWORD_FILE names, or asked for; WALLET_PASSWORD is the hotkey's and does
/// not unlock it. A hotkey that is already registered costs nothing.
#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    #[command(flatten)]
    account: AccountFlags,
    /// Pay and register. Without this flag only the cost is shown, and the exit code is 1.
    #[arg(long)]
    yes: bool,
    /// The most that may be burned, even if the cost rises while a password is typed. If not given,
    /// no more than the cost that was shown is paid.
    #[arg(long, value_name = "TAO")]
    max_burn: Option<Tao>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl RegisterArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, self.account.settings())?;
        let hotkey = hotkey_of(&config.wallet)?;
        let chain = ChainClient::of(&config.chain, config.netuid).await?;
        let head = chain.head().await?;
        let report = |coldkey: Option<Hotkey>,
                      burn: Option<Tao>,
                      uid,
                      transaction: Option<String>| {
            let value = json!({
                "netuid": config.netuid, "hotkey": hotkey, "coldkey": coldkey, "burn_rao": burn.map(|burn| burn.rao()),
                "uid": uid, "transaction": transaction,
            });
            print_json(&value)
        };
        if let Some(uid) = chain.metagraph(head).await?.uid(&hotkey) {
            if self.json {
                return report(None, None, Some(uid), None);
            }
            println!("{hotkey} is registered on subnet {} already: uid {uid}", config.netuid);
            return Ok(());
        }
        let coldkey = coldkey_of(&config.wallet).await?;
        let burn = Tao::of_rao(chain.registration_burn(head).await?);
        let balance = Tao::of_rao(chain.free_balance(head, &coldkey).await?);
        let fee = fee_of(&chain, &Call::BurnedRegister { hotkey }).await;
        let cost = Tao::of_rao(burn.rao().saturating_add(fee.map_or(0, Tao::rao)));
        if !self.json {
            println!("registering {hotkey} on subnet {}", config.netuid);
            println!(
                "costs {burn} (the subnet burns it, or locks a part as collateral), paid by {coldkey}, which has {balance}"
            );
            if let Some(fee) = fee.filter(|fee| fee.rao() > 0) {
                println!("and a fee of {fee}");
            }
        }
        if balance < cost {
            bail!("the coldkey {coldkey} has {balance}, and a registration costs {cost}");
        }
        if let Some(most) = self.max_burn.filter(|most| *most < burn) {
            bail!(
                "a registration costs {burn}, more than --max-burn {most}; the cost falls while nobody registers"
            );
        }
        if !self.yes {
            if self.json {
                report(Some(coldkey), Some(burn), None, None)?;
            }
            bail!("nothing was sent: run it again with --yes to pay {burn}");
        }
        let pair = load_coldkey(&config.wallet).await?;
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        if signer.hotkey() != coldkey {
            bail!(
                "the coldkey's file holds {}, the public half beside it states {coldkey}",
                signer.hotkey()
            );
        }
        // The cost may have risen while a password was typed: no more than the agreed price is
        // paid.
        let now = Tao::of_rao(chain.registration_burn(chain.head().await?).await?);
        let most = self.max_burn.unwrap_or(burn);
        if now > most {
            bail!(
                "the cost rose to {now} meanwhile: nothing was sent; --max-burn says how much may be paid"
            );
        }
        let transaction = chain.burned_register(&signer, &hotkey).await?;
        let uid = read_back(&chain, &transaction, |metagraph| metagraph.uid(&hotkey)).await?.with_context(|| {
            format!(
                "transaction {transaction} is in a final block, but the hotkey has no slot: was it replaced at once?"
            )
        })?;
        if self.json {
            return report(Some(coldkey), Some(burn), Some(uid), Some(transaction.to_string()));
        }
        println!("registered: uid {uid}, in transaction {transaction}");
        Ok(())
    }
}

fn hotkey_of(wallet: &WalletSettings) -> anyhow::Result<Hotkey> {
    let path = hotkey_path(wallet);
    address_of(&path)?.with_context(|| {
        format!("{} is encrypted and no public half is beside it: whose is it?", path.display())
    })
}

/// The coldkey's address: from its public half, which needs no password, else from the secret key.
async fn coldkey_of(wallet: &WalletSettings) -> anyhow::Result<Hotkey> {
    use sp_core::Pair as _;
    match address_of(&coldkey_path(wallet))? {
        Some(coldkey) => Ok(coldkey),
        None => Ok(load_coldkey(wallet).await?.public().into()),
    }
}
