//! Checks of the hotkey's place: registration, permit, stake, and the owner's allowlist.

use leoma_chain::{Chain as _, Hyperparameters, Metagraph};
use leoma_protocol::Hotkey;
use leoma_storage::SourceBucket;

use super::check::Check;
use super::endpoints::Node;
use super::limit::{in_words, limited};
use super::machine::{impatient, next_step_of};
use crate::config::Config;
use crate::subnet::{SubnetError, allowlist_of, committed_allowlist};

/// Rao in a TAO.
const RAO: u64 = 1_000_000_000;
/// What the subnet's name on the chain contains.
const SUBNET_NAME: &str = "leoma";
const NO_HOTKEY: &str = "the hotkey's address is not known";

/// What was read of the subnet. An error says why it could not be read.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) metagraph: Result<Metagraph, String>,
    pub(super) hyperparameters: Result<Hyperparameters, String>,
    /// The subnet's name on the chain; empty where it has none.
    pub(super) name: Result<String, String>,
}

pub(super) async fn read(node: Option<&Node>) -> Seen {
    let Some(Node { chain, head, .. }) = node else {
        let unread = || "no chain endpoint can be used".to_owned();
        return Seen {
            metagraph: Err(unread()),
            hyperparameters: Err(unread()),
            name: Err(unread()),
        };
    };
    let (metagraph, hyperparameters, name) = tokio::join!(
        limited(chain.metagraph(*head)),
        limited(chain.hyperparameters(*head)),
        limited(chain.subnet_name(*head)),
    );
    Seen { metagraph, hyperparameters, name }
}

/// Whether this is the subnet that is meant: a hotkey may be registered on several.
pub(super) fn identity(config: &Config, seen: &Seen) -> Check {
    const NAME: &str = "subnet identity";
    let Ok(metagraph) = &seen.metagraph else {
        return Check::skip(NAME, "the subnet cannot be read");
    };
    let (netuid, owner) = (config.netuid, metagraph.owner);
    if let Some(expected) = config.expected_owner.filter(|expected| *expected != owner) {
        return Check::warn(
            NAME,
            format!("subnet {netuid} belongs to {owner}, and LEOMA_SUBNET_OWNER is {expected}"),
            "make sure that NETUID is right; if the subnet has a new owner, whose allowlist counts now, change LEOMA_SUBNET_OWNER",
        );
    }
    let known = if config.expected_owner.is_some() { ", owned as expected" } else { "" };
    match &seen.name {
        Ok(name) if name.is_empty() => {
            Check::pass(NAME, format!("subnet {netuid} has no name on the chain{known}"))
        }
        Ok(name) if name.to_lowercase().contains(SUBNET_NAME) => {
            Check::pass(NAME, format!("subnet {netuid} is named `{name}`{known}"))
        }
        Ok(name) => Check::warn(
            NAME,
            format!("subnet {netuid} is named `{name}`, not `{SUBNET_NAME}`{known}"),
            "make sure that NETUID is right",
        ),
        Err(error) => Check::warn(
            NAME,
            format!("the name of subnet {netuid} cannot be read: {error}"),
            "make sure that NETUID is right",
        ),
    }
}

/// Subnet, registration, permit and stake.
pub(super) fn check(node: Option<&Node>, seen: &Seen, hotkey: Option<Hotkey>) -> Vec<Check> {
    const PARTS: [&str; 3] = ["registration", "validator permit", "stake"];
    let skip_all = |missing: &str| PARTS.map(|name| Check::skip(name, missing));
    let (metagraph, node) = match (&seen.metagraph, node) {
        (Ok(metagraph), Some(node)) => (metagraph, node),
        (_, None) => {
            let mut checks = vec![Check::skip("subnet", "no chain endpoint can be used")];
            checks.extend(skip_all("no chain endpoint can be used"));
            return checks;
        }
        (Err(error), _) => {
            let mut checks = vec![Check::fail(
                "subnet",
                error,
                "correct NETUID or NETWORK, or ask another node",
            )];
            checks.extend(skip_all("the subnet cannot be read"));
            return checks;
        }
    };
    let netuid = node.chain.netuid();
    let owner = metagraph.owner;
    let finding = format!(
        "{netuid} with {} neurons at block {}, owner {owner}",
        metagraph.neurons.len(),
        metagraph.block
    );
    let mut checks = vec![Check::pass("subnet", finding)];
    let Some(hotkey) = hotkey else {
        checks.extend(skip_all(NO_HOTKEY));
        return checks;
    };
    let Some(neuron) = metagraph.neuron(&hotkey) else {
        let finding = format!("{hotkey} is not registered on subnet {netuid}");
        checks.push(Check::fail("registration", finding, "register it with `leoma register`"));
        checks.extend(
            [PARTS[1], PARTS[2]].map(|name| Check::skip(name, "the hotkey is not registered")),
        );
        return checks;
    };
    checks.push(Check::pass(
        "registration",
        format!("uid {} since block {}", neuron.uid, neuron.registered_at),
    ));
    let is_owner = hotkey == owner;
    checks.push(if neuron.validator_permit {
        Check::pass("validator permit", format!("uid {} has one", neuron.uid))
    } else if is_owner {
        Check::pass("validator permit", "none, which the subnet's owner does not need")
    } else {
        let epoch = seen.hyperparameters.as_ref().map_or_else(
            |_| "the subnet's next epoch".to_owned(),
            |demands| format!("the subnet's next epoch, block {}", demands.epoch.first_block_in(1)),
        );
        let next_step =
            format!("add stake to the hotkey: permits go to those with most of it at {epoch}");
        Check::fail(
            "validator permit",
            format!("uid {} has none: the chain refuses its weights", neuron.uid),
            next_step,
        )
    });
    let total = in_tao(neuron.stake);
    checks.push(match &seen.hyperparameters {
        _ if is_owner => Check::pass("stake", format!("{total}; the subnet's owner needs none")),
        Err(_) => Check::skip("stake", "what the subnet demands of weights cannot be read"),
        Ok(demands) if neuron.stake < demands.least_stake => {
            let finding =
                format!("{total}, and weights take at least {}", in_tao(demands.least_stake));
            Check::fail("stake", finding, "add stake to the hotkey")
        }
        Ok(demands) => {
            Check::pass("stake", format!("{total}, of at least {}", in_tao(demands.least_stake)))
        }
    });
    checks
}

/// Stake as a decimal number. Stake combines alpha and TAO by weight, so it has no unit.
fn in_tao(rao: u64) -> String {
    format!("{}.{:03}", rao / RAO, rao % RAO / (RAO / 1000))
}

/// Checks the allowlist that the owner committed, as a validator reads it.
pub(super) async fn allowlist(config: &Config, seen: &Seen, hotkey: Option<Hotkey>) -> Check {
    const NAME: &str = "allowlist";
    let Ok(metagraph) = &seen.metagraph else {
        return Check::skip(NAME, "the subnet cannot be read");
    };
    let ask_owner = format!("ask the subnet's owner, {}", metagraph.owner);
    let committed = match committed_allowlist(metagraph) {
        Ok(committed) => committed,
        Err(error @ SubnetError::NotCommitted { .. }) => {
            let next_step = format!("make sure that NETUID is right, or {ask_owner}");
            return Check::fail(NAME, in_words(error), next_step);
        }
        Err(error) => return Check::fail(NAME, in_words(error), ask_owner),
    };
    let source = match config
        .buckets
        .need_source()
        .map_err(in_words)
        .and_then(|source| source.open().map_err(in_words))
    {
        Ok(bucket) => SourceBucket::new(impatient(bucket)),
        Err(error) => {
            return Check::fail(
                NAME,
                error,
                "ask the subnet's owner for the source bucket and its read keys",
            );
        }
    };
    match (limited(allowlist_of(&source, committed.sha256)).await, hotkey) {
        (Err(error), _) => {
            let next_step =
                format!("check R2_ENDPOINT, R2_SOURCE_BUCKET and its keys, or {ask_owner}");
            let next_step = next_step_of(&error, next_step);
            Check::fail(NAME, error, next_step)
        }
        (Ok(_), None) => Check::skip(NAME, NO_HOTKEY),
        (Ok(list), Some(hotkey)) => {
            let (validators, block) = (list.validators().len(), committed.committed_at);
            if list.contains(&hotkey) {
                Check::pass(NAME, format!("one of {validators} validators since block {block}"))
            } else {
                let finding =
                    format!("{hotkey} is not among the {validators} validators of block {block}");
                Check::fail(
                    NAME,
                    finding,
                    format!("{ask_owner}, for a place (`leoma validator add {hotkey}`)"),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leoma_protocol::BlockNumber;

    use super::super::check::CheckOutcome;
    use super::*;
    use crate::config::Sources;

    #[test]
    fn a24_another_subnets_name_or_owner_is_a_warning_about_netuid() {
        let owner = Hotkey::from_bytes([1; 32]);
        let seen = |name: &str| Seen {
            metagraph: Ok(Metagraph {
                block: BlockNumber(1),
                owner,
                min_weights: 1,
                max_weight: u16::MAX,
                serving_rate_limit: 0,
                neurons: Vec::new(),
                commitments: BTreeMap::new(),
                unreadable: BTreeMap::new(),
                plain: BTreeMap::new(),
            }),
            hyperparameters: Err("not read".into()),
            name: Ok(name.into()),
        };
        let config = |expected: Option<Hotkey>| {
            let environment = expected
                .map(|owner| ("LEOMA_SUBNET_OWNER".to_owned(), owner.to_string()))
                .into_iter()
                .collect();
            Config::load(&Sources { environment, ..Sources::default() }).unwrap()
        };
        let outcome = |expected, name| {
            let check = identity(&config(expected), &seen(name));
            (check.outcome, check.next_step.unwrap_or_default())
        };
        for passing in [outcome(None, "Leoma"), outcome(None, ""), outcome(Some(owner), "leoma")] {
            assert!(matches!(passing.0, CheckOutcome::Pass), "{passing:?}");
        }
        let stranger = Hotkey::from_bytes([2; 32]);
        for warned in [outcome(None, "templar"), outcome(Some(stranger), "leoma")] {
            assert!(matches!(warned.0, CheckOutcome::Warn), "{warned:?}");
            assert!(warned.1.contains("NETUID"), "{warned:?}");
        }
    }
}
