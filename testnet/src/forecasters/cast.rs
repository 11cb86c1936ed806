//! Who forecasts, and what has to become of each.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::miners::Expected;
use crate::seed::Seed;

/// A miner that forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forecaster {
    /// Knows the market.
    Oracle,
    /// Goes on as the market went.
    Trend,
    /// Says that nothing changes.
    LastPrice,
    /// Says the opposite of what will be.
    Contrarian,
    /// Sends what the best one sends, and committed later.
    Copier,
    /// Sends five prices instead of six.
    FiveValues,
    /// Sends words.
    Strings,
    /// Takes the request, and never answers.
    Mute,
    /// Sends a body that never ends.
    Unending,
    /// Sends whoever asks on to somebody else.
    Redirect,
}

impl Forecaster {
    /// All, in the order in which they join.
    pub const ALL: [Self; 10] = [
        Self::Oracle,
        Self::Copier,
        Self::LastPrice,
        Self::Contrarian,
        Self::FiveValues,
        Self::Mute,
        Self::Strings,
        Self::Trend,
        Self::Unending,
        Self::Redirect,
    ];

    /// What a verdict says of its answers; `None` for those that pass.
    pub const fn expected(self) -> Option<Expected> {
        let (status, reason) = match self {
            Self::Oracle | Self::Trend | Self::LastPrice | Self::Contrarian | Self::Copier => {
                return None;
            }
            Self::FiveValues => ("malformed", "5 values instead of 6"),
            Self::Strings => ("malformed", "value 1 is not a price"),
            Self::Mute => ("timeout", "no complete answer in time"),
            Self::Unending => ("malformed", "the answer is too long"),
            Self::Redirect => ("http_error", "HTTP status 307"),
        };
        Some(Expected { status, reason })
    }

    /// Whether it must have a weight; all others must have none.
    pub const fn earns(self) -> bool {
        self.expected().is_none()
    }

    /// Those that each is expected to have less weight than, whatever the market does: nobody is
    /// better than who knows it, and who sends the same and committed later comes right after it.
    /// Of the others any may be luckier.
    pub const fn below(self) -> &'static [Self] {
        match self {
            Self::Oracle => &[],
            Self::Copier => &[Self::Oracle],
            Self::Trend | Self::LastPrice | Self::Contrarian => &[Self::Oracle, Self::Copier],
            Self::FiveValues | Self::Strings | Self::Mute | Self::Unending | Self::Redirect => {
                &[Self::Oracle, Self::Copier, Self::Trend, Self::LastPrice, Self::Contrarian]
            }
        }
    }
}

impl fmt::Display for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The forecasters of `count` miners in the order in which they commit: the best one first, and its
/// copier right after it, so that no luck of the others comes between them. With more miners than
/// kinds, kinds repeat.
pub(crate) fn cast(seed: &Seed, count: usize) -> Vec<Forecaster> {
    const FIRST: [Forecaster; 2] = [Forecaster::Oracle, Forecaster::Copier];
    let is_other = |one: &Forecaster| !FIRST.contains(one);
    let kinds = Forecaster::ALL.into_iter().filter(is_other);
    let rest = kinds.cycle().take(count.saturating_sub(FIRST.len())).collect();
    FIRST.into_iter().take(count).chain(seed.shuffled("forecasters/order", rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_has_one_best_before_all_others() {
        for count in 0..30 {
            let cast = cast(&Seed::new("x"), count);
            assert_eq!(cast.len(), count);
            let place = |kind| cast.iter().filter(|one| **one == kind).count();
            assert_eq!(place(Forecaster::Oracle), count.min(1));
            assert_eq!(place(Forecaster::Copier), usize::from(count > 1));
            assert!(cast.first().is_none_or(|first| *first == Forecaster::Oracle));
            assert!(cast.get(1).is_none_or(|second| *second == Forecaster::Copier));
        }
        let mut all = cast(&Seed::new("all"), Forecaster::ALL.len());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), Forecaster::ALL.len());
    }

    #[test]
    fn whoever_cheats_earns_nothing_and_stands_below_all_that_may() {
        for one in Forecaster::ALL {
            let above = one.below();
            assert!(!above.contains(&one) && above.iter().all(|above| above.earns()));
            assert_eq!(above.len() == 5, !one.earns(), "{one}");
        }
        let mut reasons: Vec<&str> = Forecaster::ALL
            .into_iter()
            .filter_map(|one| one.expected().map(|expected| expected.reason))
            .collect();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), 5, "each for its own reason");
        assert_eq!(Forecaster::LastPrice.to_string(), "last_price");
    }
}
