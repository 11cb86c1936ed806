//! The mesh's core in a simulated storm: delay, loss, a partition, restarts, and as many liars as
//! the rules bear.
//!
//! `LEOMA_SIMULATION_SEEDS=1000` lets the slow test run more seeds, `LEOMA_SIMULATION_SEED=7` runs
//! one again, and `LEOMA_SIMULATION_VERBOSE=1` says how each went.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::world::{Broken, Faults, Setup, World};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Seeds that a plain run of the tests tries, and those of the slow tests: they have meshes of 32
/// and 64 validators among them.
const SEEDS: u64 = 90;
const ALL_SEEDS: u64 = 200;
/// Simulated time after the storm within which all must agree. A redial waits up to 96 s, an
/// unlucky catch-up as long.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A seed's set-up: mostly small meshes, as most are, and now and then a large one.
fn setup(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(seed);
    let validators = match seed % 200 {
        99 => 64,
        199 => 32,
        rest if rest % 25 == 12 => 16,
        _ => rng.random_range(4..=10),
    };
    let most_liars = (validators - 1) / 3;
    Setup {
        validators,
        byzantine: if validators > 16 { most_liars } else { rng.random_range(0..=most_liars) },
        loss_percent: rng.random_range(0..=20),
        most_delay: Duration::from_millis(rng.random_range(50..=500)),
        files: if validators > 16 { 8 } else { 20 },
        seed,
    }
}

/// Runs a seed.
///
/// # Panics
/// When a rule is broken, or no fault fired; with the command that replays it.
fn run(seed: u64) -> Faults {
    let setup = setup(seed);
    let replay = format!(
        "{setup:?}\nreplay: LEOMA_SIMULATION_SEED={seed} cargo test -p leoma-protocol --features mesh --test protocol simulation"
    );
    let mut world = World::new(setup);
    match catch_unwind(AssertUnwindSafe(|| world.run(PATIENCE))) {
        Ok(Ok(took)) => {
            if std::env::var_os("LEOMA_SIMULATION_VERBOSE").is_some() {
                println!(
                    "{setup:?}: agreed {took:?} after the storm, {} deliveries, {:?}",
                    world.deliveries, world.faults
                );
            }
        }
        Ok(Err(broken)) => panic!("{broken}\n{replay}"),
        Err(panic) => {
            eprintln!("{replay}");
            resume_unwind(panic);
        }
    }
    assert!(world.faults.partitions > 0 && world.faults.restarts > 0, "no fault fired\n{replay}");
    assert!(setup.loss_percent == 0 || world.faults.lost > 0, "nothing was lost\n{replay}");
    world.faults
}

/// Runs every seed below `seeds`, on all cores, until one fails.
fn run_all(seeds: u64) -> Faults {
    let (next, failed, total) =
        (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Faults::default()));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match catch_unwind(|| run(seed)) {
                Ok(faults) => total.lock().unwrap().add(&faults),
                Err(panic) => {
                    failed.store(true, Ordering::Relaxed);
                    resume_unwind(panic);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                resume_unwind(panic);
            }
        }
    });
    total.into_inner().unwrap()
}

#[test]
fn honest_validators_never_certify_different_files_and_agree_after_the_storm() {
    if let Ok(seed) = std::env::var("LEOMA_SIMULATION_SEED") {
        run(seed.parse().expect("LEOMA_SIMULATION_SEED is a number"));
        return;
    }
    storms(SEEDS);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn honest_validators_agree_after_every_storm_and_in_large_meshes() {
    let seeds = std::env::var("LEOMA_SIMULATION_SEEDS")
        .map_or(ALL_SEEDS, |seeds| seeds.parse().expect("a number"));
    storms(seeds);
}

fn storms(seeds: u64) {
    let total = run_all(seeds);
    println!("{seeds} seeds: {total:?}");
    let fired = [
        total.lost,
        total.equivocations,
        total.double_attestations,
        total.replays,
        total.forgeries,
        total.floods,
    ];
    assert!(
        fired.iter().all(|count| *count > 0) && total.withheld > 0 && total.late > 0,
        "a kind of fault never fired: {total:?}"
    );
}

/// A storm in which one validator more lies than a quorum bears.
fn one_liar_too_many(seed: u64) -> Setup {
    let most_delay = Duration::from_millis(500);
    Setup { validators: 4, byzantine: 2, loss_percent: 0, most_delay, files: 20, seed }
}

/// The safety rule above is worth something only if a mesh that breaks it is found out.
#[test]
fn the_simulation_notices_when_liars_are_more_than_a_quorum_bears() {
    // About one storm in ten breaks the rule.
    const MOST_STORMS: u64 = 100;
    for seed in 0..MOST_STORMS {
        match World::new(one_liar_too_many(seed)).run(PATIENCE) {
            Err(broken @ Broken::TwoCertificates { .. }) => {
                println!("storm {seed}: {broken}");
                return;
            }
            Err(broken @ Broken::Framed { .. }) => panic!("storm {seed}: {broken}"),
            // Two certificates at one validator, or no agreement: broken as well, but not what is
            // looked for.
            Err(_) | Ok(_) => {}
        }
    }
    panic!("no storm of {MOST_STORMS} broke the rule");
}
