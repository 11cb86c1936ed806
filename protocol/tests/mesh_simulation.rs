//! The mesh's core in a simulated storm: delay, loss, a partition, restarts, and as many liars as the rules bear.
//!
//! `LEOMA_SIMULATION_SEEDS=1000` runs more seeds; `LEOMA_SIMULATION_SEED=7` runs one again.
#![cfg(feature = "mesh")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, reason = "test code")]

mod mesh_world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mesh_world::{Faults, Setup, World};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Seeds that a plain run of the tests tries.
const SEEDS: u64 = 24;
/// Simulated time after the storm within which all must agree. A redial waits up to 96 s, an unlucky catch-up as long.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A seed's set-up: mostly small meshes, as most are, and now and then a large one.
fn setup(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(seed);
    let validators = match seed % 24 {
        23 => 64,
        11 => 32,
        5 | 17 => 16,
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

fn run(seed: u64) -> Faults {
    let setup = setup(seed);
    let mut world = World::new(setup);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run(PATIENCE)));
    match outcome {
        Ok(took) => {
            println!("{setup:?}: agreed {took:?} after the storm, {} deliveries, {:?}", world.deliveries, world.faults);
        }
        Err(panic) => {
            eprintln!(
                "{setup:?}\nreplay: LEOMA_SIMULATION_SEED={seed} cargo test -p leoma-protocol --features mesh --test mesh_simulation"
            );
            std::panic::resume_unwind(panic);
        }
    }
    assert!(world.faults.partitions > 0 && world.faults.restarts > 0, "no fault fired");
    assert!(setup.loss_percent == 0 || world.faults.lost > 0, "nothing was lost");
    world.faults
}

#[test]
fn honest_validators_never_certify_different_files_and_agree_after_the_storm() {
    if let Ok(seed) = std::env::var("LEOMA_SIMULATION_SEED") {
        run(seed.parse().expect("LEOMA_SIMULATION_SEED is a number"));
        return;
    }
    let seeds = std::env::var("LEOMA_SIMULATION_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    let mut total = Faults::default();
    for seed in 0..seeds {
        let faults = run(seed);
        total.lost += faults.lost;
        total.equivocations += faults.equivocations;
        total.double_attestations += faults.double_attestations;
        total.replays += faults.replays;
        total.forgeries += faults.forgeries;
        total.floods += faults.floods;
        total.withheld += faults.withheld;
    }
    let fired =
        [total.lost, total.equivocations, total.double_attestations, total.replays, total.forgeries, total.floods];
    assert!(fired.iter().all(|count| *count > 0) && total.withheld > 0, "a kind of fault never fired: {total:?}");
}
