//! Whether a vector of weights orders a cast as it has to. Pure.

use serde::{Deserialize, Serialize};

use super::MinerPlan;
use crate::axons::{Dancer, Place};

/// What is at most paid to whoever sends any skeleton, as a part of what the first gets. The published
/// formula gives 0.257 for a wrong answer at once, and 0.887 for a right one.
const FLOOR: (u32, u32) = (1, 3);

/// The cast in the order of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The epoch.
    pub epoch_block: u64,
    /// Each miner's kind, uid and weight, the largest first.
    pub weights: Vec<(Dancer, u16, u16)>,
    /// Where the order is another than it has to be.
    pub breach: Option<String>,
}

impl Order {
    /// The order in a vector of `(uid, weight)`; `None` for a cast that has none.
    pub(super) fn of(
        miners: &[MinerPlan],
        epoch_block: u64,
        weights: &[(u16, u16)],
    ) -> Option<Self> {
        let weight = |uid: u16| {
            weights.iter().find(|(paid, _)| *paid == uid).map_or(0, |(_, weight)| *weight)
        };
        let row = |miner: &MinerPlan| Some((miner.dancer?, miner.uid, weight(miner.uid)));
        let mut rows: Vec<(Dancer, u16, u16)> = miners.iter().map(row).collect::<Option<_>>()?;
        rows.sort_by_key(|(dancer, uid, weight)| {
            (std::cmp::Reverse(*weight), dancer.place(), *uid)
        });
        let breach = breach(&rows);
        Some(Self { epoch_block, weights: rows, breach })
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        let kinds: Vec<String> =
            self.weights.iter().map(|(dancer, _, weight)| format!("{dancer} {weight}")).collect();
        let verdict = self.breach.as_deref().unwrap_or("as expected");
        format!("order in epoch {}: {} ({verdict})", self.epoch_block, kinds.join(" > "))
    }
}

/// The first thing that is not as it has to be.
fn breach(rows: &[(Dancer, u16, u16)]) -> Option<String> {
    let first = rows.iter().find(|(dancer, ..)| dancer.place() == Place::First)?.2;
    for (dancer, _, weight) in rows {
        let place = dancer.place();
        let (part, whole) = FLOOR;
        if place == Place::Nothing && *weight > 0 {
            return Some(format!("{dancer} is paid"));
        }
        if place != Place::Nothing && *weight == 0 {
            return Some(format!("{dancer} is not paid"));
        }
        if place == Place::Floor && u32::from(*weight) * whole > u32::from(first) * part {
            return Some(format!("{dancer} is above the floor"));
        }
    }
    // Equal weights stand in the order that they should have, so they are looked for too.
    rows.windows(2).find_map(|pair| {
        let ((one, _, more), (other, _, less)) = (pair[0], pair[1]);
        let is_tied = more == less && one.place() < other.place() && other.place() < Place::Floor;
        (one.place() > other.place() || is_tied)
            .then(|| format!("{one} is before or beside {other}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{Mechanism, Options, SubnetPlan};

    fn order(change: impl Fn(Dancer) -> u16) -> Order {
        let mechanisms = vec![Mechanism::Motion];
        let plan = SubnetPlan::draw(&Options { mechanisms, miners: 9, ..Options::default() });
        let weights: Vec<(u16, u16)> = plan
            .miners
            .iter()
            .map(|miner| (miner.uid, change(miner.dancer.unwrap())))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        Order::of(&plan.miners, 180, &weights).unwrap()
    }

    fn right(dancer: Dancer) -> u16 {
        match dancer.place() {
            Place::First => 65_535,
            Place::Second => 65_000,
            Place::Third => 40_000,
            Place::Floor => 19_000,
            Place::Nothing => 0,
        }
    }

    #[test]
    fn the_expected_order_holds_and_each_other_one_is_named() {
        let holds = order(right);
        assert_eq!(holds.breach, None);
        let line = holds.line();
        assert!(line.contains("honest 65535 > slow 65000 > rough 40000"), "{line}");
        let with = |dancer: Dancer, weight: u16| {
            order(|one| if one == dancer { weight } else { right(one) }).breach.unwrap()
        };
        assert_eq!(with(Dancer::Silent, 1), "silent is paid");
        assert_eq!(with(Dancer::Slow, 0), "slow is not paid");
        assert_eq!(with(Dancer::Still, 22_000), "still is above the floor");
        assert!(with(Dancer::Slow, 65_535).contains("honest is before or beside slow"));
        assert!(with(Dancer::Rough, 65_100).contains("rough is before or beside slow"));
    }

    #[test]
    fn a_cast_of_video_has_no_such_order() {
        let plan = SubnetPlan::draw(&Options::default());
        assert_eq!(Order::of(&plan.miners, 180, &[]), None);
    }
}
