//! What joining a subnet costs, and what an account has to pay it with.

use leoma_protocol::{Hotkey, Netuid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::{AccountId32, SubstrateConfig};

use super::entries;
use super::values::Values;
use crate::error::ChainError;

/// What a registration on the subnet burns, in rao.
pub(crate) async fn burn(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    netuid: Netuid,
) -> Result<u64, ChainError> {
    Values::new(client, "the cost of a registration").need(entries::BURN, (netuid.0,)).await
}

/// What an account can spend, in rao.
pub(crate) async fn free_balance(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    account: &Hotkey,
) -> Result<u64, ChainError> {
    let account = AccountId32(*account.as_bytes());
    let found =
        Values::new(client, "an account's balance").get(entries::ACCOUNT, (account,)).await?;
    Ok(found.map_or(0, |account| account.data.free))
}
