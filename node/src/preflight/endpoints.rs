//! Checks of each configured chain node, and of this machine's clock against the chain's.

use futures::future::join_all;
use leoma_chain::{Chain as _, ChainError, ChainSettings, Endpoint, Head, without_keys};
use leoma_protocol::Netuid;

use super::check::Check;
use super::limit::limited;

/// A node this many blocks behind the others lags: two minutes of the live chain.
const LAGGING_BY: u64 = 10;
/// Milliseconds by which the chain's newest final block may be ahead of our clock.
const MAX_AHEAD_MS: u64 = 5_000;
/// Milliseconds by which it may be behind: finality takes some three blocks of the live chain, and
/// may take ten.
const MAX_AGE_MS: u64 = 120_000;
/// Difference of clocks at which S3 refuses our signatures ("RequestTimeTooSkewed"), in
/// milliseconds: a quarter of an hour.
const REFUSED_MS: u64 = 900_000;

/// The node that the other checks use.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) chain: Endpoint,
    pub(super) head: Head,
    /// The chain's clock at `head`, Unix milliseconds.
    pub(super) time: Result<u64, String>,
    /// Our clock when that was read.
    own_time: u64,
}

struct Reached {
    url: String,
    /// The node, and what it was asked for.
    node: Result<Node, String>,
}

/// Checks every node, and returns the best one that can be used.
pub(super) async fn check(
    config: &ChainSettings,
    netuid: Netuid,
    clock: fn() -> u64,
) -> (Vec<Check>, Option<Node>) {
    let reached = join_all(config.urls.iter().map(|url| async move {
        // All at once, as each may use up its time.
        Reached { url: without_keys(url), node: limited(reach(url, netuid, clock)).await }
    }))
    .await;
    let genesis = config
        .genesis
        .or_else(|| reached.iter().find_map(|one| Some(one.node.as_ref().ok()?.chain.genesis())));
    let is_ours = |node: &Node| Some(node.chain.genesis()) == genesis;
    let usable =
        reached.iter().filter_map(|one| one.node.as_ref().ok()).filter(|node| is_ours(node));
    let newest = usable.map(|node| node.head.number.0).max();
    let mut checks = Vec::new();
    let mut best: Option<(u64, Node)> = None;
    for Reached { url, node } in reached {
        match node {
            Err(error) => {
                let (finding, next_step) = (
                    format!("{url}: {error}"),
                    "start the node, or correct CHAIN_ENDPOINTS or NETWORK",
                );
                checks.push(if newest.is_some() {
                    Check::warn(
                        "chain endpoint",
                        finding,
                        format!("{next_step}; until then the others are asked"),
                    )
                } else {
                    Check::fail("chain endpoint", finding, next_step)
                });
                checks.push(Check::skip("genesis", &format!("{url} does not answer")));
            }
            Ok(node) if !is_ours(&node) => {
                checks.push(Check::pass(
                    "chain endpoint",
                    format!("{url}: block {}", node.head.number),
                ));
                let (found, expected) = (node.chain.genesis(), genesis.unwrap_or_default());
                let error = ChainError::OtherChain { url, found, expected };
                checks.push(Check::fail(
                    "genesis",
                    error.to_string(),
                    "take this node out of CHAIN_ENDPOINTS",
                ));
            }
            Ok(node) => {
                let lag = newest.unwrap_or_default().saturating_sub(node.head.number.0);
                let finding = format!("{url}: block {}, {lag} behind the newest", node.head.number);
                checks.push(if lag > LAGGING_BY {
                    Check::warn(
                        "chain endpoint",
                        finding,
                        "check whether this node is still synchronising",
                    )
                } else {
                    Check::pass("chain endpoint", finding)
                });
                let known = if config.genesis.is_some() {
                    "as expected"
                } else {
                    "none is known for this NETWORK"
                };
                checks.push(Check::pass(
                    "genesis",
                    format!("{url}: {} ({known})", node.chain.genesis()),
                ));
                // The first of those that do not lag, as a validator asks them.
                let late = if lag > LAGGING_BY { lag } else { 0 };
                if best.as_ref().is_none_or(|(least, _)| late < *least) {
                    best = Some((late, node));
                }
            }
        }
    }
    let node = best.map(|(_, node)| node);
    checks.push(match &node {
        None => Check::skip("clock", "no chain endpoint can be used"),
        Some(Node { time: Err(error), .. }) => Check::fail(
            "clock",
            format!("the chain's clock cannot be read: {error}"),
            "try again, or ask another node",
        ),
        Some(Node { time: Ok(time), own_time, .. }) => clock_check(*own_time, *time),
    });
    (checks, node)
}

async fn reach(url: &str, netuid: Netuid, clock: fn() -> u64) -> anyhow::Result<Node> {
    let chain = Endpoint::connect(url, netuid).await?;
    let head = chain.head().await?;
    let time = chain.timestamp(head).await.map_err(|error| error.to_string());
    Ok(Node { chain, head, time, own_time: clock() })
}

/// Compares our time with that of the newest final block, both in Unix milliseconds.
fn clock_check(own: u64, chain: u64) -> Check {
    let (age, ahead) = (own.saturating_sub(chain), chain.saturating_sub(own));
    let seconds = |ms: u64| ms / 1000;
    let finding = if ahead > 0 {
        format!("{} s behind the chain's newest final block", seconds(ahead))
    } else {
        format!("the chain's newest final block is {} s old", seconds(age))
    };
    let next_step = if ahead > 0 {
        "set this machine's clock right (timedatectl set-ntp true)"
    } else {
        "set this machine's clock right (timedatectl set-ntp true); if it is right, the node lags or the chain stands still"
    };
    if age.max(ahead) > REFUSED_MS {
        Check::fail(
            "clock",
            format!("{finding}: buckets refuse what is signed so far off"),
            next_step,
        )
    } else if ahead > MAX_AHEAD_MS || age > MAX_AGE_MS {
        Check::warn("clock", finding, next_step)
    } else {
        Check::pass("clock", finding)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Fail, Pass, Warn};
    use super::*;

    #[test]
    fn the_clock_may_be_ahead_of_a_final_block_and_hardly_behind_it() {
        let chain: u64 = 1_800_000_000_000;
        for (offset_s, outcome) in [
            (-901, Fail),
            (-900, Warn),
            (-6, Warn),
            (-5, Pass),
            (0, Pass),
            (36, Pass),
            (120, Pass),
            (121, Warn),
            (900, Warn),
            (901, Fail),
        ] {
            let check = clock_check(chain.saturating_add_signed(offset_s * 1000), chain);
            assert_eq!(check.outcome, outcome, "{offset_s}: {check}");
            assert_eq!(check.next_step.is_some(), outcome != Pass);
        }
    }
}
