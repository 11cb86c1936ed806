//! One real question to the feed of closing prices that the oracle reads.

use leoma_protocol::market::Closes;

use super::check::Check;
use super::limit::limited;
use crate::config::Config;
use crate::mechanism::oracle::{MarketClient, Rules};
use crate::outbound::Reach;

const FEED: &str = "market feed";
/// A long weekend: some moment in this time had a price.
const BACK_S: u32 = 4 * 86_400;
/// Most steps that are asked for, fewer than a feed has to answer.
const MOST_STEPS: u32 = 4000;
const CHECK: &str =
    "check MARKET_URL and MARKET_API_KEY: docs/mechanisms.md says what a feed answers";

/// Asks for the prices of the last days. `clock` is this machine's, in Unix milliseconds.
pub(super) async fn feed(config: &Config, clock: u64) -> Check {
    let record = config.mechanism.record.as_ref();
    let rules = record.ok_or("there is no policy record").and_then(Rules::of);
    let rules = match rules {
        Ok(rules) => rules,
        Err(reason) => return Check::fail(FEED, reason, "set MECHANISM=oracle"),
    };
    let Some([_, last]) = rules.read(clock) else {
        return Check::fail(FEED, "this machine's clock is not set", "set it right");
    };
    let steps = (BACK_S / rules.step_s).min(MOST_STEPS);
    let first = last.saturating_sub(steps.saturating_mul(rules.step_s));
    let asked = async {
        let reach = Reach::new(config.services.local_network);
        let client = MarketClient::new(reach, &config.oracle)?;
        anyhow::Ok(client.closes([first, last], rules.step_s).await?)
    };
    match limited(asked).await {
        Ok(closes) => known(&closes, first, last),
        Err(error) => Check::fail(FEED, error, CHECK),
    }
}

fn known(closes: &Closes, first: u32, last: u32) -> Check {
    let Some((newest, price)) = closes.last_key_value() else {
        let finding = format!("knows no price from {first} to {last} in seconds since 1970");
        return Check::warn(FEED, finding, CHECK);
    };
    let age = u64::from(last).saturating_sub(*newest) / 60;
    Check::pass(FEED, format!("{} prices, the newest {price}, {age} min old", closes.len()))
}

#[cfg(test)]
mod tests {
    use leoma_protocol::Nano;

    use super::super::CheckOutcome::{Pass, Warn};
    use super::*;

    #[test]
    fn a_feed_that_answers_without_prices_is_a_warning() {
        let none = known(&Closes::new(), 600, 1200);
        assert_eq!(none.outcome, Warn);
        assert!(none.finding.contains("from 600 to 1200"), "{none}");
        let some = known(&[(600, Nano(5_000_120_000_000))].into(), 600, 1200);
        assert_eq!(some.outcome, Pass);
        assert_eq!(some.finding, "1 prices, the newest 5000.120000000, 10 min old");
    }
}
