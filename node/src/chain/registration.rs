//! What joining a subnet costs, and what an account has to pay it with.

use leoma_protocol::{Hotkey, Netuid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::{AccountId32, SubstrateConfig};
use subxt::dynamic;
use subxt::ext::scale_decode::DecodeAsType;

use super::ChainError;
use super::hyperparameters::Values;

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawAccount {
    data: RawBalance,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RawBalance {
    free: u64,
}

/// What a registration on the subnet burns, in rao.
pub(super) async fn burn(client: &OnlineClientAtBlock<SubstrateConfig>, netuid: Netuid) -> Result<u64, ChainError> {
    let address = dynamic::storage::<(u16,), u64>("SubtensorModule", "Burn");
    Values::new(client, "the cost of a registration").need(address, (netuid.0,)).await
}

/// What an account can spend, in rao.
pub(super) async fn free_balance(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    account: &Hotkey,
) -> Result<u64, ChainError> {
    let address = dynamic::storage::<(AccountId32,), RawAccount>("System", "Account");
    let account = AccountId32(*account.as_bytes());
    let found = Values::new(client, "an account's balance").get(address, (account,)).await?;
    Ok(found.map_or(0, |account| account.data.free))
}
