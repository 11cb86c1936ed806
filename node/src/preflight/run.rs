//! All checks in their order.

use leoma_wallet::{address_of, hotkey_path, in_background};

use super::check::Check;
use super::{
    addresses, asked, endpoints, hotkey, judge, machine, market, mechanism, room, services, subnet,
    weights, witness,
};
use crate::config::{Config, Plug};
use crate::serve::Parts;

/// Checks everything that the parts of a validator need. A check that cannot be made because
/// another failed is [`CheckOutcome::Skip`](super::CheckOutcome::Skip). `clock` is this machine's,
/// in Unix milliseconds.
pub(crate) async fn run(config: &Config, parts: Parts, clock: fn() -> u64) -> Vec<Check> {
    let wallet = config.wallet.clone();
    let path = hotkey_path(&wallet);
    let looked = in_background(move || Ok(hotkey::checks(&wallet))).await;
    let (found, loaded) = looked.unwrap_or_else(|error| (vec![hotkey::unusable(error)], None));
    let mut checks = machine::configuration(config);
    checks.push(mechanism::record(config));
    checks.extend(found);
    // Without its password a hotkey cannot sign, but its place on the subnet can still be checked.
    let hotkey = loaded.or_else(|| address_of(&path).ok().flatten());

    let (found, node) = endpoints::check(&config.chain, config.index(), clock).await;
    checks.extend(found);
    let seen = subnet::read(node.as_ref()).await;
    checks.extend(subnet::check(node.as_ref(), &seen, hotkey));
    checks.push(subnet::identity(config, &seen));
    checks.push(subnet::allowlist(config, &seen, hotkey).await);
    checks.push(machine::source(config).await);
    if parts.weights {
        checks.extend(mechanism::limits(config, &seen));
        checks.extend(weights::check(node.as_ref(), &seen, hotkey).await);
        checks.extend(witness::check(node.as_ref(), &seen, hotkey).await);
    }
    checks.extend(machine::buckets(config, parts, hotkey).await);
    checks.extend(machine::peers(config).await);
    checks.extend(addresses::check(config));
    checks.push(room::disk(config));
    match config.mechanism.plug() {
        _ if !parts.sampler => {}
        Plug::Video => {
            checks.push(room::memory());
            checks.push(room::device(config).await);
            checks.extend(machine::tools(config).await);
            checks.push(services::chutes(config, &seen).await);
            checks.push(services::hugging_face(config).await);
            checks.push(judge::jail().await);
            checks.push(judge::generation(config).await);
        }
        Plug::Motion => {
            checks.push(asked::axons(config, &seen));
            checks.push(asked::time(config));
            checks.push(asked::challenges(config).await);
        }
        Plug::Oracle => {
            checks.push(asked::axons(config, &seen));
            checks.push(market::feed(config, clock()).await);
        }
    }
    checks
}
