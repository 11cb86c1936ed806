//! The command line.

mod account;
mod api;
mod audit;
mod blacklist;
mod challenges;
mod config;
mod corpus;
mod environment;
mod exit;
mod health;
mod mesh;
mod miner;
mod models;
mod output;
mod preflight;
mod rank;
mod reference;
mod register;
mod rehearse;
mod rotation;
mod running;
mod score;
mod score_worker;
mod serve;
mod settings;
mod signals;
mod simulate;
mod smoke;
mod tao;
mod validator;
mod wallet;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::mechanism::video::WORKER_COMMAND;

/// The Leoma validator.
///
/// Samples miners when it is its turn, scores their answers, agrees with its peers over a gossip
/// mesh and sets the weights that follow. Settings come from a TOML file, then the environment (and
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
    Api(api::ApiArgs),
    /// Run a part of a validator.
    ///
    /// Two processes with one hotkey could sign contradicting statements. The mesh notices them,
    /// and neither signs anything until one is stopped.
    #[command(subcommand)]
    Servers(serve::ServersCommand),
    Rehearse(rehearse::RehearseArgs),
    Exit(exit::ExitArgs),
    Health(health::HealthArgs),
    Preflight(preflight::PreflightArgs),
    Smoke(smoke::SmokeArgs),
    /// Recompute an epoch's weights from the chain and public files, or check with --task how a
    /// task's clip was chosen.
    Audit(Box<audit::AuditArgs>),
    Score(score::ScoreArgs),
    /// Score videos for the validator that starts this, over standard input and output.
    #[command(name = WORKER_COMMAND, hide = true)]
    ScoreWorker,
    /// Show a running validator's peers, certificates and evidence.
    Mesh(mesh::MeshArgs),
    #[command(name = "get-rank")]
    GetRank(rank::RankArgs),
    /// List and edit the miners that this validator does not sample.
    ///
    /// The blacklist is in LEOMA_STATE_DIR. Run the command as the user of the validator, or in its
    /// container.
    #[command(subcommand, after_long_help = blacklist::EXAMPLES)]
    Blacklist(blacklist::BlacklistCommand),
    /// Show whose turn it is at a block.
    Rotation(rotation::RotationArgs),
    Simulate(simulate::SimulateArgs),
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
    /// The subnet owner's challenges for mechanism motion.
    #[command(subcommand)]
    Challenges(challenges::ChallengesCommand),
    /// Models that judge in addition to the metrics.
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write the reference pages of the documentation.
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
    /// Write a man page for each command into a folder, such as ~/.local/share/man/man1.
    Man {
        /// The folder; it is made where it is missing.
        folder: PathBuf,
    },
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
        if !matches!(
            self.command,
            Command::Serve(_)
                | Command::Servers(_)
                | Command::Rehearse(_)
                | Command::Api(_)
                | Command::ScoreWorker
        ) {
            tokio::spawn(end_on_signal(signals::Signals::listen()?));
        }
        match self.command {
            Command::Serve(args) => args.run(file, serve::Parts::ALL).await,
            Command::Servers(command) => command.run(file).await,
            Command::Api(args) => args.run(file).await,
            Command::Rehearse(args) => args.run(file).await,
            Command::Exit(args) => args.run(file).await,
            Command::Health(args) => args.run(file).await,
            Command::Preflight(args) => args.run(file).await,
            Command::Smoke(args) => args.run().await,
            Command::GetRank(args) => args.run(file).await,
            Command::Blacklist(command) => command.run(file).await,
            Command::Audit(args) => args.run(file).await,
            Command::Score(args) => args.run().await,
            Command::ScoreWorker => score_worker::run().await,
            Command::Mesh(args) => args.run(file).await,
            Command::Rotation(args) => args.run(),
            Command::Simulate(args) => args.run(file),
            Command::Wallet(command) => command.run(file).await,
            Command::Register(args) => args.run(file).await,
            Command::Miner(command) => command.run(file).await,
            Command::Validator(command) => command.run(file).await,
            Command::Corpus(command) => command.run(file).await,
            Command::Challenges(command) => command.run(file).await,
            Command::Models(command) => command.run(file).await,
            Command::Config(command) => command.run(file),
            Command::Reference(args) => args.run(<Self as clap::CommandFactory>::command()),
            Command::Man { folder } => {
                std::fs::create_dir_all(&folder)?;
                let leoma = <Self as clap::CommandFactory>::command();
                Ok(clap_mangen::generate_to(leoma, &folder)?)
            }
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_commands_that_operators_know_from_the_python_implementation_are_taken() {
        let hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let commit = "miner commit --model-name a/leoma --model-revision r --chute-id c";
        for line in [
            "serve",
            "servers sampler",
            "servers validator",
            "api",
            "validator list",
            &format!("validator add {hotkey}"),
            &format!("validator remove {hotkey}"),
            "validator publish --interval 100",
            "blacklist list",
            &format!("blacklist add {hotkey} --reason spam"),
            &format!("blacklist remove {hotkey}"),
            "corpus expand --count 1 --concurrent 1 --query boats",
            "get-rank",
            "miner push --model-name a/leoma --model-revision r --chutes-api-key k --chute-user u",
            &format!("{commit} --coldkey mine --hotkey default"),
        ] {
            let words = ["leoma"].into_iter().chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn commands_that_change_or_check_something_speak_to_machines_too() {
        let hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        for line in [
            "validator discard",
            "validator publish",
            &format!("validator add {hotkey}"),
            &format!("validator remove {hotkey}"),
            &format!("blacklist add {hotkey}"),
            &format!("blacklist remove {hotkey}"),
            "corpus remove clips/a.mp4",
            "challenges publish folder",
            "config check",
            "exit",
            "audit snapshot --epoch 360 --out epoch.json",
        ] {
            let words = ["leoma"].into_iter().chain(line.split(' ')).chain(["--json"]);
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
