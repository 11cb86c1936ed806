//! All checks in their order.

use leoma_wallet::{address_of, hotkey_path, in_background};

use super::check::Check;
use super::{endpoints, hotkey, machine, subnet, weights};
use crate::config::Config;
use crate::serve::Parts;

/// Checks everything that the parts of a validator need. A check that cannot be made because
/// another failed is [`CheckOutcome::Skip`](super::CheckOutcome::Skip). `clock` is this machine's, in Unix milliseconds.
pub(crate) async fn run(config: &Config, parts: Parts, clock: fn() -> u64) -> Vec<Check> {
    let wallet = config.wallet.clone();
    let path = hotkey_path(&wallet);
    let looked = in_background(move || Ok(hotkey::checks(&wallet))).await;
    let (mut checks, loaded) = looked.unwrap_or_else(|error| (vec![hotkey::unusable(error)], None));
    // Without its password a hotkey cannot sign, but its place on the subnet can still be checked.
    let hotkey = loaded.or_else(|| address_of(&path).ok().flatten());

    let (found, node) = endpoints::check(&config.chain, config.netuid, clock).await;
    checks.extend(found);
    let seen = subnet::read(node.as_ref()).await;
    checks.extend(subnet::check(node.as_ref(), &seen, hotkey));
    checks.push(subnet::allowlist(config, &seen, hotkey).await);
    if parts.weights {
        checks.extend(weights::check(node.as_ref(), &seen, hotkey).await);
    }
    checks.extend(machine::buckets(config, parts, hotkey).await);
    if parts.sampler {
        checks.extend(machine::tools(config).await);
    }
    checks
}
