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
/// all of them again in another order.
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
            order.get(round % order.len()).copied()
        });
        kinds.map(|kind| self.fault(kind, round)).collect()
    }

    fn fault(&self, kind: FaultKind, round: usize) -> Fault {
        let purpose = |what: &str| format!("chaos/{round}/{kind}/{what}");
        let order = self.seed.shuffled(&purpose("validators"), (0..self.validators).collect());
        let first = order.first().copied().unwrap_or(0);
        let percent =
            |range: (f64, f64)| self.seed.between(&purpose("percent"), range.0, range.1) as u8;
        match kind {
            FaultKind::PartitionHalf => {
                let mut half = order[..self.validators / 2].to_vec();
                half.sort_unstable();
                Fault::PartitionHalf(half)
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
            assert_eq!(schedule.rounds_for_all(), 4);
            let seen: BTreeSet<_> =
                (0..4).flat_map(|round| schedule.round(round)).map(|fault| fault.kind()).collect();
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
        for validators in 2..6 {
            let schedule = Schedule::new(&Seed::new("1"), validators, all_kinds());
            for fault in (0..60).flat_map(|round| schedule.round(round)) {
                match fault {
                    Fault::PartitionHalf(half) => {
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
