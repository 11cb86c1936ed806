//! The faults of each round: a pure function of the seed, so that a run can be repeated.

use std::collections::BTreeSet;

use super::fault::{Attack, Fault, FaultKind, Track};
use crate::seed::Seed;
use crate::services::{self, Service};

/// Lateness of everything under [`FaultKind::Delay`], ms: the other side of the world, and back.
const DELAY_MS: u16 = 300;
/// Percent of packets that [`FaultKind::Loss`] takes, at least and at most.
const LOSS: (f64, f64) = (3.0, 12.0);
/// Percent of requests that a storage outage takes, at least and at most.
const OUTAGE: (f64, f64) = (60.0, 100.9);

/// The rounds of a seed. Each track goes through its kinds in an order of the seed's, then through
/// all of them again in another order. What happens at epochs' boundaries happens in every other
/// round, in all tracks at once, so that as few boundaries as possible are waited for.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    seed: Seed,
    validators: usize,
    kinds: BTreeSet<FaultKind>,
}

impl Schedule {
    /// The schedule of these kinds for a number of validators.
    pub(crate) fn new(seed: &Seed, validators: usize, kinds: BTreeSet<FaultKind>) -> Self {
        Self { seed: seed.clone(), validators, kinds }
    }

    /// The same with these kinds alone.
    pub(crate) fn only(&self, kinds: BTreeSet<FaultKind>) -> Self {
        Self { kinds, ..self.clone() }
    }

    /// Rounds after which every kind had its turn.
    pub(crate) fn rounds_for_all(&self) -> usize {
        Track::ALL.into_iter().map(|track| self.kinds_of(track).len()).max().unwrap_or(0)
    }

    fn kinds_of(&self, track: Track) -> Vec<FaultKind> {
        self.kinds.iter().copied().filter(|kind| kind.track() == track).collect()
    }

    /// The faults of one round, at most one of each track.
    pub(crate) fn round(&self, round: usize) -> Vec<Fault> {
        let kinds = Track::ALL.into_iter().filter_map(|track| {
            let kinds = self.kinds_of(track);
            let cycle = round.checked_div(kinds.len())?;
            let order = self.seed.shuffled(&format!("chaos/{track:?}/{cycle}"), kinds);
            let first_round = cycle * order.len();
            at_odd_rounds(order, first_round).get(round - first_round).copied()
        });
        let kinds: Vec<FaultKind> = kinds.collect();
        // A liar's process does not run: no other fault would have an effect on it.
        let lies = kinds.iter().any(|kind| kind.is_lie());
        let mut faults: Vec<Fault> =
            kinds.iter().map(|kind| self.fault(*kind, round, lies)).collect();
        spare_the_lone_half(&mut faults);
        faults
    }

    /// The validator that lies.
    fn liar(&self) -> usize {
        let order = self.seed.shuffled("chaos/liar", (0..self.validators).collect());
        order.first().copied().unwrap_or(0)
    }

    fn fault(&self, kind: FaultKind, round: usize, lies: bool) -> Fault {
        let purpose = |what: &str| format!("chaos/{round}/{kind}/{what}");
        let liar = self.liar();
        let victims = (0..self.validators).filter(|one| !lies || *one != liar).collect();
        let order = self.seed.shuffled(&purpose("validators"), victims);
        let first = order.first().copied().unwrap_or(0);
        let percent =
            |range: (f64, f64)| self.seed.between(&purpose("percent"), range.0, range.1) as u8;
        let half = || {
            let mut half = order[..self.validators / 2].to_vec();
            half.sort_unstable();
            half
        };
        match kind {
            FaultKind::PartitionHalf => Fault::PartitionHalf(half()),
            FaultKind::PartitionAtBoundary => Fault::PartitionAtBoundary(half()),
            FaultKind::CutAtBoundary => Fault::CutAtBoundary(first),
            FaultKind::ChainBehind => Fault::ChainBehind(first),
            FaultKind::LateSecondFile => Fault::LateSecondFile(liar),
            FaultKind::TwoFiles => {
                let mut half = order[..order.len().div_ceil(2)].to_vec();
                half.sort_unstable();
                Fault::TwoFiles(liar, half)
            }
            FaultKind::KillAtWitness => {
                let after = self.seed.pick(&purpose("after"), &[true, false]).copied();
                Fault::KillAtWitness { after: after.unwrap_or_default() }
            }
            FaultKind::PartitionOne => Fault::PartitionOne(first),
            FaultKind::OneWay => Fault::OneWay(first, order.get(1).copied().unwrap_or(first)),
            FaultKind::Delay => Fault::Delay(DELAY_MS),
            FaultKind::Loss => Fault::Loss(percent(LOSS)),
            FaultKind::Kill => Fault::Kill(first),
            FaultKind::KillWhilePublishing => Fault::KillWhilePublishing,
            FaultKind::Pause => Fault::Pause(first),
            FaultKind::ChangedIp => Fault::ChangedIp(first),
            FaultKind::StorageOutage => Fault::StorageOutage(percent(OUTAGE)),
            FaultKind::CutStorage => Fault::CutStorage(first),
            FaultKind::ServiceFault => {
                // Validators ask the registry once an hour, so its faults would rarely be met.
                let services = [Service::Chutes, Service::Miner, Service::Gemini];
                let kinds = [
                    services::FaultKind::Http500,
                    services::FaultKind::Http429,
                    services::FaultKind::Slow,
                    services::FaultKind::Garbage,
                    services::FaultKind::Truncate,
                ];
                let service = self
                    .seed
                    .pick(&purpose("service"), &services)
                    .copied()
                    .unwrap_or(Service::Chutes);
                let fault = self.seed.pick(&purpose("fault"), &kinds).copied();
                Fault::ServiceFault(service, fault.unwrap_or(services::FaultKind::Http500))
            }
            FaultKind::HostilePeers => {
                let cycle = round / Attack::ALL.len();
                let order =
                    self.seed.shuffled(&format!("chaos/attacks/{cycle}"), Attack::ALL.to_vec());
                Fault::HostilePeers(order[round % order.len()])
            }
        }
    }
}

/// Of the two halves that get different files one may be a single validator. What keeps a validator
/// from reading files happens in the other half, else nobody would see that half's file.
fn spare_the_lone_half(faults: &mut [Fault]) {
    let told = faults.iter().find_map(|fault| match fault {
        Fault::TwoFiles(_, half) => half.first().copied(),
        _ => None,
    });
    let Some(told) = told else { return };
    for fault in faults {
        if let Fault::CutStorage(one) | Fault::Kill(one) | Fault::Pause(one) = fault {
            *one = told;
        }
    }
}

/// The order with what happens at boundaries moved to odd rounds, as far as there is room.
fn at_odd_rounds(order: Vec<FaultKind>, first_round: usize) -> Vec<FaultKind> {
    let rounds = first_round..first_round + order.len();
    let (at_boundaries, others): (Vec<_>, Vec<_>) =
        order.into_iter().partition(|kind| kind.is_at_boundary());
    let (mut at_boundaries, mut others) = (at_boundaries.into_iter(), others.into_iter());
    rounds
        .filter_map(|round| {
            let (first, second) = match round % 2 {
                0 => (others.next(), &mut at_boundaries),
                _ => (at_boundaries.next(), &mut others),
            };
            first.or_else(|| second.next())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn schedule(seed: &str) -> Schedule {
        Schedule::new(&Seed::new(seed), 4, all_kinds())
    }

    fn all_kinds() -> BTreeSet<FaultKind> {
        FaultKind::value_variants().iter().copied().collect()
    }

    #[test]
    fn a_seed_gives_the_same_rounds_and_another_one_others() {
        let rounds =
            |seed: &str| (0..20).map(|round| schedule(seed).round(round)).collect::<Vec<_>>();
        assert_eq!(rounds("1"), rounds("1"));
        assert_ne!(rounds("1"), rounds("2"));
    }

    #[test]
    fn every_kind_has_its_turn_in_the_first_rounds() {
        for seed in 0..50 {
            let schedule = schedule(&seed.to_string());
            assert_eq!(schedule.rounds_for_all(), 6);
            let seen: BTreeSet<_> =
                (0..6).flat_map(|round| schedule.round(round)).map(|fault| fault.kind()).collect();
            assert_eq!(seen, all_kinds());
        }
    }

    #[test]
    fn only_kinds_that_are_asked_for_happen() {
        let kinds = BTreeSet::from([FaultKind::Kill, FaultKind::HostilePeers]);
        let schedule = Schedule::new(&Seed::new("1"), 4, kinds.clone());
        for round in 0..20 {
            let seen: BTreeSet<_> = schedule.round(round).iter().map(Fault::kind).collect();
            assert_eq!(seen, kinds);
        }
        assert!(Schedule::new(&Seed::new("1"), 4, BTreeSet::new()).round(3).is_empty());
    }

    #[test]
    fn victims_are_validators() {
        for validators in 3..7 {
            let schedule = Schedule::new(&Seed::new("1"), validators, all_kinds());
            for fault in (0..60).flat_map(|round| schedule.round(round)) {
                match fault {
                    Fault::PartitionHalf(half) | Fault::PartitionAtBoundary(half) => {
                        assert!(!half.is_empty() && half.len() < validators);
                        assert!(half.iter().all(|one| *one < validators));
                    }
                    Fault::OneWay(from, to) => {
                        assert!(from != to && from < validators && to < validators)
                    }
                    Fault::PartitionOne(one)
                    | Fault::Kill(one)
                    | Fault::Pause(one)
                    | Fault::ChangedIp(one) => {
                        assert!(one < validators);
                    }
                    Fault::Loss(percent) => assert!((3..=12).contains(&percent)),
                    Fault::StorageOutage(percent) => assert!((60..=100).contains(&percent)),
                    _ => {}
                }
            }
        }
    }
}
