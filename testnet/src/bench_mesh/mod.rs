//! `leoma-testnet bench-mesh`: how fast, how talkative and how large a mesh of real validators is.
//!
//! | subject | file |
//! |---|---|
//! | what is measured, in which order | `mod.rs` |
//! | one validator's mesh, a process of its own | `node.rs` |
//! | all of them, seen from here | `fleet.rs` |
//! | percentiles, targets, the report | `figures.rs` |
//! | this machine | `machine.rs` |
//!
//! Each validator is a process with nothing but the real mesh in it, over real sockets on a
//! loopback device that no other process uses: a network namespace of its own, so that every byte
//! on it belongs to the mesh. Where the machine gives none (it takes root), the machine's own
//! loopback device serves, and the report says that others may have used it. Times are taken by the
//! processes themselves, from the one clock of the machine.

mod figures;
mod fleet;
mod machine;
mod node;

use std::time::Duration;

use figures::{Figures, Report, Sample};
use fleet::Fleet;
pub use fleet::FleetError;
use node::Announced;
pub use node::{NodeArgs, NodeError};

/// How long the last announcement may take to reach everybody before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures a mesh of real validators on this machine: delay, bytes on the wire, memory.
///
/// Starts one process for each validator, waits until all are connected, measures an idle mesh,
/// then announcements, then announcements that are fetched, attested to and certified. Takes about
/// three minutes. The exit code is 0 when every target is met, and 1 otherwise: a machine that is
/// busy with other work misses some.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchMeshArgs {
    /// Validators.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=64))]
    validators: u16,
    /// Announcements whose spread is measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4000))]
    announcements: u32,
    /// Announcements that are followed until all hold the certificate.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    certificates: u32,
    /// Milliseconds between two announcements.
    #[arg(long, default_value_t = 250)]
    pause: u64,
    /// Seconds for which a connected mesh comes to rest before anything is measured: a few
    /// heartbeats and beacons.
    #[arg(long, default_value_t = 15)]
    settle: u64,
    /// Seconds for which the idle mesh is measured.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle: u64,
    /// Bytes of a verdict file; 32 KiB is that of some fifty miners.
    #[arg(long, default_value_t = 32 * 1024, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    file_bytes: u32,
    /// Writes the whole result as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

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
/// When its mesh cannot be started, or its parent says what it does not understand.
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
    Ok(Report::new(args, machine, formed, links, figures, &idle, &busy))
}

/// Ten words on the way.
fn progress(number: u32, of: u32) {
    let tenth = (of / 10).max(1);
    if (number + 1).is_multiple_of(tenth) {
        eprintln!("{} of {of}", number + 1);
    }
}
