//! What a validator needs before it starts, looked at piece by piece: key, chain nodes, subnet,
//! buckets, tools.
//!
//! | file | looks at |
//! |---|---|
//! | `check.rs` | what a check says |
//! | `hotkey.rs` | the hotkey's files |
//! | `endpoints.rs` | each configured chain node, and this machine's clock |
//! | `subnet.rs` | the hotkey's place on the subnet and on the allowlist |
//! | `weights.rs` | what stands in the way of weights |
//! | `machine.rs` | buckets, keys of services, tools |
//!
//! Nothing here changes the chain. In the own bucket it leaves the small object that `leoma serve`
//! leaves there too.

mod check;
mod endpoints;
mod hotkey;
mod machine;
mod subnet;
mod weights;

use std::time::Duration;

use leoma_wallet::{address_of, hotkey_path, in_background};

use crate::config::Config;
use crate::serve::Parts;

pub use check::{Check, Outcome};
pub use hotkey::checks as hotkey_checks;

/// Longest wait for one thing over the network.
const LIMIT: Duration = Duration::from_secs(15);

/// Looks at everything that the parts of a validator need. A check that cannot be made because
/// another failed is [`Outcome::Skip`]. `clock` is this machine's, in Unix milliseconds.
pub async fn run(config: &Config, parts: Parts, clock: fn() -> u64) -> Vec<Check> {
    let wallet = config.wallet.clone();
    let path = hotkey_path(&wallet);
    let looked = in_background(move || Ok(hotkey::checks(&wallet))).await;
    let (mut checks, loaded) = looked.unwrap_or_else(|error| (vec![hotkey::unusable(error)], None));
    // Without its password a hotkey cannot sign, but what the chain says of it can be read.
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

/// Waits for an answer for as long as one check may take; an error in words.
async fn limited<T, E: Into<anyhow::Error>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => answer.map_err(in_words),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

fn in_words(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
