//! `leoma-testnet`: the parts of a local subnet, one subcommand each.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use leoma_testnet::{axons, bench_mesh, calibrate, chain, chaos, launch, services, storage};
use tracing_subscriber::EnvFilter;

/// Big buffers that return to the system after each use cost more than the arithmetic on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "leoma-testnet", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the local Subtensor chain.
    Chain(chain::Args),
    /// Serve the subnet's buckets over S3.
    Storage(storage::StorageArgs),
    /// Run the stand-in services and the miners.
    Services(services::ServicesArgs),
    /// Run miners with axons of their own.
    Axons(axons::AxonsArgs),
    /// Run a whole subnet until its validators agree.
    Launch(launch::LaunchArgs),
    Chaos(chaos::ChaosArgs),
    BenchMesh(bench_mesh::BenchMeshArgs),
    Calibrate(calibrate::CalibrateArgs),
    #[command(hide = true)]
    BenchMeshNode(bench_mesh::NodeArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    // Standard output belongs to the subcommand's answer; logs go to standard error, where `launch`
    // shows its progress.
    let quiet = matches!(
        command,
        Command::Launch(_) | Command::Chaos(_) | Command::BenchMesh(_) | Command::BenchMeshNode(_)
    );
    let level = if quiet { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match command {
        Command::Chain(args) => chain::run(args).await?,
        Command::Storage(args) => storage::run(args).await?,
        Command::Services(args) => args.run().await?,
        Command::Axons(args) => args.run().await?,
        Command::Launch(args) => return Ok(launch::run(args).await),
        Command::Chaos(args) => return Ok(chaos::run(args).await),
        Command::Calibrate(args) => return calibrate::run(args).await,
        Command::BenchMesh(args) => {
            let met = bench_mesh::run(args).await?;
            return Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::BenchMeshNode(args) => bench_mesh::run_node(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
