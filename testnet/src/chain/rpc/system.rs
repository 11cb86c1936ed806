//! `system_*` and `rpc_methods`: what the node is.

use super::context::{Answer, Context, Module, Registered, bad_parameter, failed};
use super::testnet::PREFIX;
use codec::{Decode, Encode};
use node_subtensor_runtime::{AccountId, SS58_PREFIX};
use serde_json::json;
use sp_core::crypto::Ss58Codec;

pub(super) fn register(module: &mut Module) -> Registered {
    module.register_method("system_name", |_, _, _| "Leoma local Subtensor")?;
    module.register_method("system_version", |_, _, _| env!("CARGO_PKG_VERSION"))?;
    module.register_blocking_method("system_chain", |_, context, _| -> Answer<String> {
        context.shared.ledger.state(&context.shared.ledger.best()).chain_name().map_err(failed)
    })?;
    module.register_method("system_chainType", |_, _, _| "Local")?;
    module.register_method(
        "system_properties",
        |_, _, _| json!({ "ss58Format": SS58_PREFIX, "tokenDecimals": 9, "tokenSymbol": "TAO" }),
    )?;
    module.register_method(
        "system_health",
        |_, _, _| json!({ "peers": 0, "isSyncing": false, "shouldHavePeers": false }),
    )?;
    module.register_blocking_method(
        "system_accountNextIndex",
        |params, context, _| -> Answer<u32> {
            let address: String = params.sequence().next()?;
            let account = AccountId::from_ss58check(&address).map_err(|error| {
                bad_parameter(format!("{address} is not an SS58 address: {error:?}"))
            })?;
            next_nonce(&context, &account)
        },
    )?;
    module.register_alias("account_nextIndex", "system_accountNextIndex")
}

/// The account's nonce after everything of it that waits in the pool.
fn next_nonce(context: &Context, account: &AccountId) -> Answer<u32> {
    let state = context.shared.ledger.state(&context.shared.ledger.best());
    let answer = state
        .call("AccountNonceApi_account_nonce", &account.encode())
        .map_err(failed)?
        .unwrap_or_default();
    let mut nonce = u32::decode(&mut &answer[..]).map_err(failed)?;
    while context.shared.pool.provides(&(account, nonce).encode()) {
        nonce = nonce.saturating_add(1);
    }
    Ok(nonce)
}

/// Lists every method that may be used; clients choose their protocol by it.
pub(super) fn register_list(module: &mut Module, controls: bool) -> Registered {
    let mut names: Vec<&str> = module.method_names().chain(["rpc_methods"]).collect();
    names.retain(|name| controls || !name.starts_with(PREFIX));
    names.sort_unstable();
    let list = json!({ "methods": names });
    module.register_method("rpc_methods", move |_, _, _| list.clone())?;
    Ok(())
}
