//! Seeded runs of the model: what must hold in every one, and that each part of the rule is needed.

use crate::model::{Mutation, Report, Violation, World};

/// Seeds that every run of the tests tries.
const QUICK: u64 = 200;
/// Seeds that `./test.sh --all` tries.
const ALL: u64 = 1_000;

/// Runs one seed by the rule as it is, and checks that every planned fault happened.
fn run(seed: u64) -> Report {
    let world = World::new(seed, None);
    let planned = world.planned();
    let report = world.run().unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
    for fault in planned {
        assert!(report.fired.contains_key(&fault), "seed {seed}: {fault:?} never happened");
    }
    report
}

fn agree_and_heal(seeds: u64) {
    let (mut set, mut waited, mut abstained) = (0, 0, 0);
    for seed in 0..seeds {
        let report = run(seed);
        set += report.set;
        waited += report.waited.len();
        abstained += report.abstained;
    }
    println!(
        "{seeds} seeds: weights set {set} times, {waited} times not at once; {abstained} epochs \
         that some set and others never did"
    );
    assert!(waited > 0 && abstained > 0, "the faults must hurt somebody");
}

#[test]
fn honest_validators_set_the_same_weights_or_none_and_heal_within_two_epochs() {
    agree_and_heal(QUICK);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn a_thousand_seeds_agree_and_heal() {
    agree_and_heal(ALL);
}

#[test]
fn a_seed_always_runs_alike() {
    let [one, two] = [3, 3].map(run);
    assert_eq!((one.fired, one.set), (two.fired, two.set));
}

/// Tries seeds until one notices the mutation in the way that is expected.
fn is_noticed(mutation: Mutation, expected: fn(&Violation) -> bool) {
    let found = (0..QUICK).find_map(|seed| {
        let violation = World::new(seed, Some(mutation)).run().err()?;
        expected(&violation).then_some((seed, violation))
    });
    let (seed, violation) =
        found.unwrap_or_else(|| panic!("no seed of {QUICK} notices {mutation:?}"));
    println!("{mutation:?}: seed {seed}: {violation:?}");
}

/// One test for each mutation, with the violation that it must cause.
macro_rules! mutations {
    ($($name:ident: $mutation:ident => $violation:pat,)*) => {
        $(
            #[test]
            fn $name() {
                is_noticed(Mutation::$mutation, |found| matches!(found, $violation));
            }
        )*
    };
}

mutations! {
    a_quorum_that_is_too_small_is_noticed: QuorumTooSmall => Violation::TwoCertificates { .. },
    attesting_twice_is_noticed: AttestTwice => Violation::TwoCertificates { .. },
    attesting_after_the_deadline_is_noticed: AttestLate => Violation::LateAttestation { .. },
    counting_uncertified_files_is_noticed: UncertifiedCount => Violation::DifferentWeights { .. },
    counting_by_own_certificates_is_noticed: OwnCertificates => Violation::DifferentWeights { .. },
    counting_at_f_is_noticed: CountAtF => Violation::NotHealed { .. },
    witnesses_after_the_epoch_are_noticed: WitnessAfterEpoch => Violation::DifferentWeights { .. },
    reading_before_finality_is_noticed: BeforeFinality => Violation::DifferentWeights { .. },
    witnessing_uncertified_files_is_noticed: WitnessUncertified => Violation::NotHealed { .. },
    witnessing_lost_files_is_noticed: WitnessWithoutFile => Violation::NotHealed { .. },
    passing_over_missing_files_is_noticed: PassOverMissing => Violation::DifferentWeights { .. },
    counting_by_the_polled_list_is_noticed: PolledList => Violation::DifferentWeights { .. },
    evidence_in_the_window_is_noticed: EvidenceInWindow => Violation::DifferentWeights { .. },
    repeating_the_last_winner_is_noticed: LastWinner => Violation::DifferentWeights { .. },
    reading_the_lowest_steps_bit_is_noticed: LowestStepsBit => Violation::NotTheRule { .. },
    counting_stale_witnesses_is_noticed: StaleWitnesses => Violation::NotTheRule { .. },
    counting_unsettled_tasks_is_noticed: UnsettledCount => Violation::NotTheRule { .. },
    burning_on_the_first_slot_is_noticed: BurnOnFirstSlot => Violation::NotTheRule { .. },
}

#[test]
fn a_mutation_that_changes_nothing_is_not_noticed() {
    for seed in 0..QUICK {
        let found = World::new(seed, Some(Mutation::Nothing)).run().err();
        assert_eq!(found, None, "seed {seed}");
    }
}
