//! Checks of the mechanism: its record, and what the chain demands of its weights.

use super::check::Check;
use super::subnet::Seen;
use crate::config::Config;

const RECORD: &str = "mechanism";
const LIMITS: &str = "weight limits";

/// Which mechanism is served, and the digest of its record, which all its validators share.
pub(super) fn record(config: &Config) -> Check {
    let mechanism = &config.mechanism;
    let finding = match &mechanism.record {
        None => format!("{}, id 0, by video's own rule", mechanism.given),
        Some(record) => {
            format!("{}, id {}, record {}", mechanism.given, record.mecid, record.digest())
        }
    };
    Check::pass(RECORD, finding)
}

/// Whether the chain's limits leave room for the weights of the record. Nothing is checked where
/// video's rule pays.
pub(super) fn limits(config: &Config, seen: &Seen) -> Option<Check> {
    config.mechanism.paying()?;
    Some(match &seen.metagraph {
        Err(_) => Check::skip(LIMITS, "the subnet cannot be read"),
        Ok(metagraph) => limits_of(metagraph.max_weight, metagraph.min_weights),
    })
}

fn limits_of(max_weight: u16, min_weights: u16) -> Check {
    let finding = format!("at least {min_weights} weights, each at most {max_weight} of 65535");
    if max_weight == u16::MAX {
        return Check::pass(LIMITS, finding);
    }
    let paid = usize::from(u16::MAX).div_ceil(usize::from(max_weight).max(1));
    let next_step = format!(
        "nothing, while {paid} miners or more earn something: with fewer, no weights are set"
    );
    Check::warn(LIMITS, finding, next_step)
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Pass, Warn};
    use super::*;
    use crate::config::Sources;

    #[test]
    fn a_limit_that_few_miners_cannot_meet_is_warned_of() {
        assert_eq!(limits_of(u16::MAX, 8).outcome, Pass);
        let tight = limits_of(13_107, 1);
        assert_eq!(tight.outcome, Warn);
        assert!(tight.to_string().contains("while 5 miners"), "{tight}");
        assert_eq!(limits_of(0, 1).outcome, Warn);
    }

    #[test]
    fn the_record_is_named_by_its_digest() {
        let of = |mechanism: &str| {
            let environment = [("MECHANISM".to_owned(), mechanism.to_owned())].into();
            let config = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
            record(&config).finding
        };
        assert_eq!(of("video"), "video, id 0, by video's own rule");
        assert!(of("motion").starts_with("motion, id 0, record "), "{}", of("motion"));
        assert_ne!(of("t2v"), of("i2v"));
    }
}
