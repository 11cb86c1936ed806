//! Joining a subnet: what it costs, what an account has, and the call that pays.

use leoma_protocol::{Digest, Hotkey, HotkeySigner};
use subxt::config::substrate::AccountId32;
use subxt::dynamic;
use subxt::ext::scale_decode::DecodeAsType;

use super::{ChainClient, ChainError, Head, SubmitError, limited};

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

impl ChainClient {
    /// What a registration on the subnet burns at a block, in rao. It rises with every registration and falls with time.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn registration_burn(&self, at: Head) -> Result<u64, ChainError> {
        const WHAT: &str = "the cost of a registration";
        let client = self.at(at).await?;
        let address = dynamic::storage::<(u16,), u64>("SubtensorModule", "Burn");
        let value = limited(WHAT, client.storage().fetch(address, (self.network.netuid.0,))).await?;
        value.decode().map_err(|error| ChainError::Read { what: WHAT, reason: error.to_string() })
    }

    /// What an account can spend at a block, in rao.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn free_balance(&self, at: Head, account: &Hotkey) -> Result<u64, ChainError> {
        const WHAT: &str = "an account's balance";
        let client = self.at(at).await?;
        let address = dynamic::storage::<(AccountId32,), RawAccount>("System", "Account");
        let account = AccountId32(*account.as_bytes());
        let value = limited(WHAT, client.storage().try_fetch(address, (account,))).await?;
        let Some(value) = value else { return Ok(0) };
        let account = value.decode().map_err(|error| ChainError::Read { what: WHAT, reason: error.to_string() })?;
        Ok(account.data.free)
    }

    /// Registers `hotkey` on the subnet, paid by `coldkey`, and waits until it is in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn burned_register(&self, coldkey: &HotkeySigner, hotkey: &Hotkey) -> Result<Digest, SubmitError> {
        let hotkey = AccountId32(*hotkey.as_bytes());
        let call = dynamic::tx("SubtensorModule", "burned_register", (self.network.netuid.0, hotkey));
        self.submit("burned_register", coldkey, &call).await
    }
}
