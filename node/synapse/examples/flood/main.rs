//! What an axon does under a flood, with figures.
//!
//! `cargo run --release -p leoma-synapse --example flood` starts an axon in a process of its own,
//! lets a crowd loose on it, and prints how many honest requests were lost, how long they took,
//! and the most memory that the axon's process had.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "an example for developers")]

#[allow(dead_code, reason = "the test counts too")]
mod crowd;

use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Parser;
use leoma_synapse::AxonLimits;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use self::crowd::{Crowd, Echo};

/// Floods an axon and prints figures.
#[derive(Parser)]
struct Arguments {
    /// Callers in all.
    #[arg(long, default_value_t = 200)]
    callers: u32,
    /// How many of them are hostile.
    #[arg(long, default_value_t = 20)]
    hostile: u32,
    /// Requests of each honest caller.
    #[arg(long, default_value_t = 50)]
    requests: u32,
    /// Connections that each hostile caller has open.
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Characters of each honest request.
    #[arg(long, default_value_t = 10_000)]
    text_bytes: usize,
    /// Only serve: the example starts itself so.
    #[arg(long, hide = true)]
    serve: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let crowd = Crowd {
        honest: arguments.callers.saturating_sub(arguments.hostile),
        hostile: arguments.hostile,
        requests: arguments.requests,
        connections: arguments.connections,
        text_bytes: arguments.text_bytes,
    };
    if arguments.serve {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        let axon = crowd::axon(crowd, AxonLimits::default(), Echo::default());
        axon.serve(listener, CancellationToken::new()).await;
        return Ok(());
    }
    let mut axon = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--serve", "--callers", &arguments.callers.to_string()])
        .args(["--hostile", &arguments.hostile.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut port = String::new();
    BufReader::new(axon.stdout.take().unwrap()).read_line(&mut port).await?;
    let id = axon.id().unwrap();
    let before = resident(id, "VmRSS:");
    let begun = Instant::now();
    let outcomes = crowd::run(crowd, port.trim().parse()?).await;
    let took = begun.elapsed();
    let most = resident(id, "VmHWM:");
    axon.kill().await?;
    report(crowd, outcomes, took);
    println!("memory of the axon's process: {before} MiB before, at most {most} MiB");
    Ok(())
}

/// Resident memory in MiB: now (`VmRSS:`) or at most (`VmHWM:`), from Linux's account.
fn resident(id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}

fn report(crowd: Crowd, mut outcomes: crowd::Outcomes, took: Duration) {
    println!("{crowd:?}");
    outcomes.answered.sort();
    let number = outcomes.answered.len();
    let quantile = |share: f64| {
        let at = ((number as f64 * share) as usize).min(number.saturating_sub(1));
        outcomes.answered.get(at).copied().unwrap_or_default()
    };
    let (answered, lost) = (outcomes.answered.len(), outcomes.lost.len());
    println!("honest requests: {answered} answered, {lost} lost, in {took:.1?}");
    for lost in outcomes.lost.iter().take(10) {
        println!("  lost: {lost}");
    }
    println!(
        "time: median {:.1?}, 99 % {:.1?}, longest {:.1?}",
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
    for ((kind, status), number) in &outcomes.hostile {
        let end = if *status == 0 { "closed".to_owned() } else { status.to_string() };
        println!("  hostile, {kind}: {end} {number} times");
    }
}
