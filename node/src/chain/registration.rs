//! What joining a subnet costs, and what an account has to pay it with.

use leoma_protocol::{Hotkey, Netuid};
use subxt::client::OnlineClientAtBlock;
use subxt::config::substrate::{AccountId32, SubstrateConfig};
use subxt::ext::scale_decode::DecodeAsType;

use super::hyperparameters::Values;
use super::{ChainError, entries};

/// What is read of an account.
#[derive(DecodeAsType, Debug, PartialEq)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct RawAccount {
    pub(super) data: RawBalance,
}

/// What is read of its balance, rao.
#[derive(DecodeAsType, Debug, PartialEq)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct RawBalance {
    pub(super) free: u64,
}

/// What a registration on the subnet burns, in rao.
pub(super) async fn burn(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    netuid: Netuid,
) -> Result<u64, ChainError> {
    Values::new(client, "the cost of a registration").need(entries::BURN, (netuid.0,)).await
}

/// What an account can spend, in rao.
pub(super) async fn free_balance(
    client: &OnlineClientAtBlock<SubstrateConfig>,
    account: &Hotkey,
) -> Result<u64, ChainError> {
    let account = AccountId32(*account.as_bytes());
    let found =
        Values::new(client, "an account's balance").get(entries::ACCOUNT, (account,)).await?;
    Ok(found.map_or(0, |account| account.data.free))
}
