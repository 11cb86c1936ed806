//! `leoma-testnet bench-mesh`: how fast, how talkative and how large a mesh of real validators is.
//!
//! | subject | file |
//! |---|---|
//! | what is measured, in which order | `mod.rs` |
//! | one validator's mesh, a process of its own | `node.rs` |
//! | all of them, as the measuring process sees them | `fleet.rs` |
//! | what was measured | `seen.rs` |
//! | percentiles, targets, the report | `figures.rs` |
//! | this machine | `machine.rs` |
//!
//! Each validator is a process with nothing but the real mesh in it, over real sockets on a
//! loopback device that no other process uses: a network namespace of its own, so that every byte
//! on it belongs to the mesh. If the machine allows none (it needs root), the machine's own
//! loopback device serves, and the report says that others may have used it. Times are taken by the
//! processes themselves, from the one clock of the machine.

mod args;
mod figures;
mod fleet;
mod machine;
mod node;
mod seen;

use std::time::Duration;

pub use args::BenchMeshArgs;
use figures::{Figures, Report, Sample};
use fleet::Fleet;
pub use fleet::FleetError;
pub(crate) use fleet::resident_bytes;
use node::Announced;
pub use node::{NodeArgs, NodeError};

/// How long the last announcement may take to reach everybody before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command. Returns whether every target was met.
///
/// # Errors
/// When a process does not start or dies, or the mesh does not form.
pub async fn run(args: BenchMeshArgs) -> Result<bool, FleetError> {
    let report = measure(&args).await?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        println!("{}", report.table());
    }
    Ok(report.met())
}

/// Runs one validator of it; started by [`run`].
///
/// # Errors
/// When its mesh cannot be started, or an order cannot be read.
pub async fn run_node(args: NodeArgs) -> Result<(), NodeError> {
    node::run(args).await
}

async fn measure(args: &BenchMeshArgs) -> Result<Report, FleetError> {
    let machine = machine::Machine::look();
    let validators = usize::from(args.validators);
    eprintln!("starting {validators} validators");
    let mut fleet = Fleet::start(validators, args.file_bytes).await?;
    let formed = fleet.until_mutual(PATIENCE * 2).await?;
    eprintln!("all connected to all after {:.1} s; measuring the idle mesh", formed.as_secs_f64());
    tokio::time::sleep(Duration::from_secs(args.settle)).await;

    let before = fleet.usage()?;
    tokio::time::sleep(Duration::from_secs(args.idle)).await;
    let idle = Sample::between(&before, &fleet.usage()?);

    eprintln!("measuring {} announcements", args.announcements);
    let mut figures = Figures::new(validators);
    let mut task = node::FIRST_TASK;
    let before = fleet.usage()?;
    for number in 0..args.announcements {
        let producer = number as usize % validators;
        task += u64::from(producer == 0);
        figures.announced.push(fleet.announce(producer, task).await?);
        tokio::time::sleep(Duration::from_millis(args.pause)).await;
        progress(number, args.announcements);
    }
    figures.heard = fleet.until_heard(figures.announced.len(), PATIENCE).await?;
    let busy = Sample::between(&before, &fleet.usage()?);

    eprintln!("measuring {} certificates", args.certificates);
    fleet.attest_from_now_on().await?;
    for number in 0..args.certificates {
        let producer = number as usize % validators;
        task += u64::from(producer == 0);
        let announced: Announced = fleet.announce(producer, task).await?;
        figures.certified.push(fleet.until_certified(announced, PATIENCE).await?);
        tokio::time::sleep(Duration::from_millis(args.pause)).await;
        progress(number, args.certificates);
    }
    let links = fleet.links().await?;
    fleet.stop().await;
    Ok(Report::new(args, machine, formed, links, &figures, &idle, &busy))
}

/// Reports progress ten times.
fn progress(number: u32, of: u32) {
    let tenth = (of / 10).max(1);
    if (number + 1).is_multiple_of(tenth) {
        eprintln!("{} of {of}", number + 1);
    }
}
