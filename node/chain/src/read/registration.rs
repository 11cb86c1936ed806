//! The cost of a registration, and an account's balance.

use leoma_protocol::{Hotkey, Netuid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::{AccountId32, SubstrateConfig};

use super::entries;
use super::values::Values;
use crate::error::Result;

/// The cost of a registration on the subnet, in rao; it is burned.
pub(crate) async fn burn(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    netuid: Netuid,
) -> Result<u64> {
    Values::new(client, "the cost of a registration").need(entries::BURN, (netuid.0,)).await
}

/// An account's free balance, in rao.
pub(crate) async fn free_balance(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    account: &Hotkey,
) -> Result<u64> {
    let account = AccountId32(*account.as_bytes());
    let found =
        Values::new(client, "an account's balance").get(entries::ACCOUNT, (account,)).await?;
    Ok(found.map_or(0, |account| account.data.free))
}
