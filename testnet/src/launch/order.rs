//! Whether a vector of weights orders a cast as it has to. Pure.

use serde::{Deserialize, Serialize};

use super::MinerPlan;
use super::played::Played;
use crate::axons::{Dancer, Place};
use crate::forecasters::Forecaster;

/// What is at most paid to whoever sends any skeleton, as a part of what the first gets. The published
/// formula gives 0.257 for a wrong answer at once, and 0.887 for a right one.
const FLOOR: (u32, u32) = (1, 3);

/// The cast in the order of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The epoch.
    pub epoch_block: u64,
    /// Each miner's kind, uid and weight, the largest first.
    pub weights: Vec<(Played, u16, u16)>,
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
        let (mut dancers, mut forecasters, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for miner in miners {
            let (uid, weight) = (miner.uid, weight(miner.uid));
            let place = match miner.played() {
                Played::Video(_) => return None,
                Played::Motion(dancer) => {
                    dancers.push((dancer, uid, weight));
                    dancer.place() as usize
                }
                Played::Oracle(forecaster) => {
                    forecasters.push((forecaster, weight));
                    forecaster.below().len()
                }
            };
            rows.push((place, (miner.played(), uid, weight)));
        }
        let order = |weight: u16, place: usize, uid: u16| (std::cmp::Reverse(weight), place, uid);
        dancers.sort_by_key(|(dancer, uid, weight)| order(*weight, dancer.place() as usize, *uid));
        rows.sort_by_key(|(place, (_, uid, weight))| order(*weight, *place, *uid));
        let breach = breach(&dancers).or_else(|| breach_of_forecasters(&forecasters));
        let weights = rows.into_iter().map(|(_, row)| row).collect();
        Some(Self { epoch_block, weights, breach })
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        let kinds: Vec<String> =
            self.weights.iter().map(|(kind, _, weight)| format!("{kind} {weight}")).collect();
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

/// The same for forecasters, in any order.
fn breach_of_forecasters(rows: &[(Forecaster, u16)]) -> Option<String> {
    let paid_wrongly = rows.iter().find(|(one, weight)| one.earns() != (*weight > 0));
    if let Some((one, _)) = paid_wrongly {
        return Some(format!("{one} is {}paid", if one.earns() { "not " } else { "" }));
    }
    for (one, weight) in rows {
        let is_above = |(other, _): &&(Forecaster, u16)| one.below().contains(other);
        let beaten = rows.iter().filter(is_above).find(|(_, above)| above <= weight);
        if let Some((above, _)) = beaten {
            return Some(format!("{one} is before or beside {above}"));
        }
    }
    None
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
    fn forecasters_are_paid_by_what_they_know() {
        let order = |change: &dyn Fn(Forecaster) -> u16| {
            let mechanisms = vec![Mechanism::Oracle];
            let plan = SubnetPlan::draw(&Options { mechanisms, miners: 10, ..Options::default() });
            let weight = |miner: &MinerPlan| (miner.uid, change(miner.forecaster.unwrap()));
            let weights: Vec<(u16, u16)> = plan.miners.iter().map(weight).collect();
            Order::of(&plan.miners, 360, &weights).unwrap()
        };
        let right = |one: Forecaster| match one {
            Forecaster::Oracle => 65_535,
            Forecaster::Copier => 62_339,
            _ if one.earns() => 57_000,
            _ => 0,
        };
        let holds = order(&right);
        assert_eq!(holds.breach, None);
        assert!(holds.line().contains("oracle 65535 > copier 62339 > "), "{}", holds.line());
        let with = |kind: Forecaster, weight: u16| {
            order(&|one| if one == kind { weight } else { right(one) }).breach.unwrap()
        };
        assert_eq!(with(Forecaster::Mute, 1), "mute is paid");
        assert_eq!(with(Forecaster::Contrarian, 0), "contrarian is not paid");
        assert_eq!(with(Forecaster::Copier, 65_535), "copier is before or beside oracle");
        assert_eq!(with(Forecaster::Trend, 63_000), "trend is before or beside copier");
    }

    #[test]
    fn a_cast_of_video_has_no_such_order() {
        let plan = SubnetPlan::draw(&Options::default());
        assert_eq!(Order::of(&plan.miners, 180, &[]), None);
    }
}
