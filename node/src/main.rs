//! The `leoma` binary.

use std::process::ExitCode;

use clap::Parser as _;
use leoma::cli::Cli;

// glibc gives big buffers back to the kernel each time; the page faults then cost more than the
// arithmetic on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leoma: {error:#}");
            ExitCode::FAILURE
        }
    }
}
