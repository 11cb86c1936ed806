//! The command line.

mod account;
mod audit;
mod config;
mod corpus;
mod mesh;
mod miner;
mod output;
mod preflight;
mod reference;
mod register;
mod rotation;
mod score;
mod score_worker;
mod serve;
mod settings;
mod signals;
mod tao;
mod validator;
mod wallet;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::sampler::WORKER_COMMAND;

/// The Leoma validator.
///
/// Samples miners when it is its turn, scores their videos, agrees with its peers over a gossip
/// mesh and sets winner-take-all weights. Settings come from a TOML file, then the environment (and
/// .env), then flags; `leoma config show` lists them all.
#[derive(Debug, Parser)]
#[command(name = "leoma", version, propagate_version = true)]
pub struct Cli {
    /// A TOML file with settings, named as in the environment but in lower case.
    #[arg(long, global = true, value_name = "FILE", env = "LEOMA_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole validator: mesh, miner validation, sampler and weight-setter.
    Serve(serve::ServeArgs),
    /// Run a part of a validator.
    ///
    /// Two processes with one hotkey could sign contradicting statements. The mesh notices them, and
    /// neither signs anything until one is stopped.
    #[command(subcommand)]
    Servers(serve::ServersCommand),
    Preflight(preflight::PreflightArgs),
    /// Recompute an epoch's winner from files alone, or check with --task how a task's clip was chosen.
    Audit(audit::AuditArgs),
    Score(score::ScoreArgs),
    /// Score videos for the validator that starts this, over standard input and output.
    #[command(name = WORKER_COMMAND, hide = true)]
    ScoreWorker,
    /// Show a running validator's peers, certificates and evidence.
    Mesh(mesh::MeshArgs),
    /// Show whose turn it is at a block.
    Rotation(rotation::RotationArgs),
    /// Make, show and check hotkeys.
    #[command(subcommand)]
    Wallet(wallet::WalletCommand),
    Register(register::RegisterArgs),
    /// A miner's commitment on chain.
    #[command(subcommand)]
    Miner(miner::MinerCommand),
    /// The subnet owner's allowlist of validators.
    #[command(subcommand)]
    Validator(validator::ValidatorCommand),
    /// The subnet owner's corpus of source videos.
    #[command(subcommand)]
    Corpus(corpus::CorpusCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write the reference pages of the documentation.
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
    /// Write a completion script for a shell to standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Any error, to be printed with its causes.
    pub async fn run(self) -> anyhow::Result<()> {
        let file = self.config;
        if !matches!(self.command, Command::Serve(_) | Command::Servers(_) | Command::ScoreWorker) {
            tokio::spawn(end_on_signal(signals::Signals::listen()?));
        }
        match self.command {
            Command::Serve(args) => args.run(file, serve::Parts::ALL).await,
            Command::Servers(command) => command.run(file).await,
            Command::Preflight(args) => args.run(file).await,
            Command::Audit(args) => args.run(file).await,
            Command::Score(args) => args.run().await,
            Command::ScoreWorker => score_worker::run().await,
            Command::Mesh(args) => args.run(file).await,
            Command::Rotation(args) => args.run(),
            Command::Wallet(command) => command.run(file).await,
            Command::Register(args) => args.run(file).await,
            Command::Miner(command) => command.run(file).await,
            Command::Validator(command) => command.run(file).await,
            Command::Corpus(command) => command.run(file).await,
            Command::Config(command) => command.run(file),
            Command::Reference(args) => args.run(<Self as clap::CommandFactory>::command()),
            Command::Completions { shell } => {
                clap_complete::generate(
                    shell,
                    &mut <Self as clap::CommandFactory>::command(),
                    "leoma",
                    &mut std::io::stdout(),
                );
                Ok(())
            }
        }
    }
}

/// Ends a command at a signal, and restores the terminal, where a password prompt may hide what is
/// typed.
async fn end_on_signal(mut signals: signals::Signals) {
    signals.next().await;
    leoma_wallet::restore_terminal();
    eprintln!();
    std::process::exit(130);
}
