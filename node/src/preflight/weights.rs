//! Checks of whether weights can be set: their version, the rate limit, the subnet's mode, and the
//! beacon that opens timelocked weights.

use leoma_chain::{Beacon, Chain as _, WeightMode};
use leoma_protocol::Hotkey;

use super::check::Check;
use super::endpoints::Node;
use super::limit::limited;
use super::subnet::Seen;
use crate::weights::WEIGHTS_VERSION;

/// The newest version of timelocked commits that this program supports.
const KNOWN_VERSION: u16 = 4;
/// Rounds of 3 s by which the chain's newest pulse may lag: its nodes fetch pulses once a block,
/// and may miss a few.
const MAX_ROUNDS_BEHIND: u64 = 100;

pub(super) async fn check(node: Option<&Node>, seen: &Seen, hotkey: Option<Hotkey>) -> Vec<Check> {
    const PARTS: [&str; 4] = ["weights version", "weights rate limit", "commit-reveal", "drand"];
    let (demands, node) = match (&seen.hyperparameters, node) {
        (Ok(demands), Some(node)) => (demands, node),
        (_, None) => {
            return PARTS.map(|name| Check::skip(name, "no chain endpoint can be used")).to_vec();
        }
        (Err(error), _) => {
            let missing = format!("the subnet's hyperparameters cannot be read ({error})");
            return PARTS.map(|name| Check::skip(name, &missing)).to_vec();
        }
    };
    let neuron = hotkey
        .zip(seen.metagraph.as_ref().ok())
        .and_then(|(hotkey, metagraph)| metagraph.neuron(&hotkey));
    let limit = demands.weights_rate_limit;
    let rate = match neuron {
        None => Check::skip("weights rate limit", "the hotkey is not known to be registered"),
        Some(neuron) => {
            let (from, now) = (demands.weights_from(neuron.last_update), node.head.number);
            let left = from.0.saturating_sub(now.0);
            if left == 0 {
                Check::pass(
                    "weights rate limit",
                    format!("weights may be set now, once in {limit} blocks"),
                )
            } else {
                let finding = format!(
                    "{left} blocks until weights may be set: they were at block {}",
                    neuron.last_update
                );
                Check::warn(
                    "weights rate limit",
                    finding,
                    format!("nothing: a validator waits for block {from}"),
                )
            }
        }
    };
    let version = version(demands.weights_version);
    vec![version, rate, commit_reveal(demands.mode), drand(node, demands.mode).await]
}

/// Whether the owner accepts this release's weights.
fn version(demanded: u64) -> Check {
    const NAME: &str = "weights version";
    if demanded > WEIGHTS_VERSION {
        let finding = format!(
            "the subnet accepts version {demanded} or newer, and this release has {WEIGHTS_VERSION}"
        );
        return Check::fail(NAME, finding, "install the newest release");
    }
    Check::pass(NAME, format!("{WEIGHTS_VERSION}; the subnet accepts {demanded} or newer"))
}

fn commit_reveal(mode: WeightMode) -> Check {
    const NAME: &str = "commit-reveal";
    match mode {
        WeightMode::Plain => Check::pass(NAME, "off: weights are set in the open"),
        WeightMode::CommitReveal { period } => Check::pass(
            NAME,
            format!("weights are committed, and revealed by the validator {period} epochs later"),
        ),
        WeightMode::Timelocked { version, period } if version <= KNOWN_VERSION => {
            let finding = format!(
                "weights are timelocked (version {version}), and opened by the chain {period} epochs later"
            );
            Check::pass(NAME, finding)
        }
        WeightMode::Timelocked { version, .. } => {
            let finding = format!(
                "the chain wants version {version}, this program makes version {KNOWN_VERSION}"
            );
            Check::warn(NAME, finding, "look for a newer release of leoma")
        }
    }
}

async fn drand(node: &Node, mode: WeightMode) -> Check {
    const NAME: &str = "drand";
    if !matches!(mode, WeightMode::Timelocked { .. }) {
        return Check::pass(NAME, "not needed: weights are not timelocked");
    }
    // Compared with the chain's clock: ours has a check of its own.
    let Ok(time) = node.time else { return Check::skip(NAME, "the chain's clock cannot be read") };
    let due = Beacon::round_at(time);
    match limited(node.chain.newest_drand_round(node.head)).await {
        Err(error) => Check::fail(NAME, error, "try again, or ask another node"),
        Ok(None | Some(0)) => Check::fail(
            NAME,
            "the chain has no pulse at all: weights stay closed",
            "ask the chain's operators",
        ),
        Ok(Some(newest)) => {
            let behind = due.saturating_sub(newest);
            let finding = format!(
                "newest pulse is of round {newest}, {} s old",
                behind.saturating_mul(Beacon::PERIOD)
            );
            if behind <= MAX_ROUNDS_BEHIND {
                Check::pass(NAME, finding)
            } else {
                let next_step = "wait: weights that are committed now open once the chain's nodes have the pulses";
                Check::warn(NAME, finding, next_step)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome;
    use super::*;

    #[test]
    fn a_subnet_that_demands_a_newer_version_is_a_failure() {
        assert_eq!(version(WEIGHTS_VERSION).outcome, CheckOutcome::Pass);
        let newer = version(WEIGHTS_VERSION + 1);
        assert_eq!(newer.outcome, CheckOutcome::Fail);
        assert!(newer.next_step.unwrap().contains("newest release"));
    }

    #[test]
    fn every_way_that_weights_go_is_named_and_a_newer_one_warned_of() {
        for (mode, part, outcome) in [
            (WeightMode::Plain, "in the open", CheckOutcome::Pass),
            (WeightMode::CommitReveal { period: 2 }, "2 epochs", CheckOutcome::Pass),
            (WeightMode::Timelocked { version: 4, period: 1 }, "version 4", CheckOutcome::Pass),
            (
                WeightMode::Timelocked { version: 5, period: 1 },
                "wants version 5",
                CheckOutcome::Warn,
            ),
        ] {
            let check = commit_reveal(mode);
            assert!(check.outcome == outcome && check.finding.contains(part), "{check}");
        }
    }
}
