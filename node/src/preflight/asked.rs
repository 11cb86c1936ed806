//! Checks of what a mechanism needs whose miners are asked through their axons.

use leoma_rotation::AllowlistHistory;
use leoma_scoring::motion::LONGEST_SECONDS;
use leoma_storage::SourceBucket;

use super::check::Check;
use super::limit::limited;
use super::machine::{impatient, next_step_of};
use super::subnet::Seen;
use crate::config::Config;
use crate::mechanism::asked;
use crate::mechanism::motion;
use crate::outbound::Reach;

const AXONS: &str = "axons";
const TIME: &str = "answer time";
const CHALLENGES: &str = "challenges";

/// How many miners may be asked.
pub(super) fn axons(config: &Config, seen: &Seen) -> Check {
    let Ok(metagraph) = &seen.metagraph else {
        return Check::skip(AXONS, "the subnet cannot be read");
    };
    // Validators of the allowlist that have no permit are counted too: the list is read elsewhere.
    let reach = Reach::new(config.services.local_network);
    let table = asked::axons(metagraph, &AllowlistHistory::default(), reach);
    let (admitted, announced) = (table.served().count(), table.miners.len());
    match (admitted, announced) {
        (0, 0) => Check::warn(
            AXONS,
            "no miner has announced an axon",
            "wait for miners, or make sure that NETUID is right",
        ),
        (0, _) => Check::warn(
            AXONS,
            format!("none of {announced} miners has a public IPv4 address"),
            "LEOMA_LOCAL_NETWORK=true, if the whole subnet is in a private network",
        ),
        _ => Check::pass(AXONS, format!("{admitted} of {announced} miners can be asked")),
    }
}

/// Whether miners have the time that the value of their speed is measured by.
pub(super) fn time(config: &Config) -> Check {
    let given = config.sampling.request_timeout.as_secs_f64();
    if given >= LONGEST_SECONDS {
        return Check::pass(TIME, format!("{LONGEST_SECONDS} s for each miner"));
    }
    Check::warn(
        TIME,
        format!("miners have {given} s with us, and {LONGEST_SECONDS} s with others"),
        format!("set REQUEST_TIMEOUT to {LONGEST_SECONDS} or more"),
    )
}

/// Whether there are challenges.
pub(super) async fn challenges(config: &Config) -> Check {
    let ask = "ask the subnet's owner, who publishes them with `leoma challenges publish`";
    let read = async {
        let source = config.buckets.need_readable_source()?.open()?;
        anyhow::Ok(motion::newest(&SourceBucket::new(impatient(source))).await?)
    };
    match limited(read).await {
        Ok(list) => {
            let finding = format!("{} in list {}", list.challenges().len(), list.digest());
            Check::pass(CHALLENGES, finding)
        }
        Err(error) => {
            let next_step = next_step_of(&error, ask.to_owned());
            Check::fail(CHALLENGES, error, next_step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Pass, Warn};
    use super::*;
    use crate::config::Sources;

    #[test]
    fn less_time_than_others_give_is_a_warning() {
        let of = |seconds: &str| {
            let environment = [("REQUEST_TIMEOUT".to_owned(), seconds.to_owned())].into();
            time(&Config::load(&Sources { environment, ..Sources::default() }).unwrap())
        };
        assert_eq!((of("180").outcome, of("300").outcome), (Pass, Pass));
        let short = of("60");
        assert_eq!(short.outcome, Warn);
        assert!(short.to_string().contains("60 s with us, and 180 s"), "{short}");
    }
}
