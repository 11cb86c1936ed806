//! `leoma miner`: what a miner tells the subnet about its model.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::{StringValueParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use leoma_chain::{ChainClient, encode_text_fields};
use leoma_protocol::{
    BlockNumber, CommitmentError, Hotkey, HotkeySigner, MemoryGuard, MinerCommitment, Netuid, Uid,
    check_commit_count,
};
use leoma_storage::Secret;
use leoma_wallet::load_hotkey;
use serde_json::{Value, json};

use super::account::{AccountFlags, given, read_back};
use super::output::print_json;
use crate::config::Config;
use crate::miners::{Chute, ChutesClient};
use crate::outbound::{Reach, ServiceError};
use crate::subnet::allowlists::free_again;

/// Longest wait for the description of a chute.
const CHUTE_PATIENCE: Duration = Duration::from_secs(15);
/// Length of a full commit hash.
const REVISION_DIGITS: usize = 40;

const COMMIT_EXAMPLE: &str = "\
Example:
  leoma miner commit --model-name OWNER/leoma-NAME-HOTKEY \\
    --model-revision COMMIT --chute-id ID";
const PUSH_EXAMPLE: &str = "\
Example:
  leoma miner push --model-name OWNER/leoma-NAME-HOTKEY \\
    --model-revision COMMIT --chute-id ID";

#[derive(Debug, Subcommand)]
pub(super) enum MinerCommand {
    /// Commit a model on chain: its repository, its revision, and the chute that serves it.
    ///
    /// Needs a hotkey that is registered on the subnet (`leoma register`) and a model that is
    /// deployed: deploy it with the `chutes` program, which prints the chute's id.
    ///
    /// The commitment is checked as validators check it and shown before anything is sent, and read
    /// back from the chain afterwards. Where a key of Chutes is set, the chute is looked up too,
    /// and a warning says what validators would miss in it. A new commitment replaces the old one
    /// and takes its own block: of two equal models the one committed first wins. A hotkey may
    /// commit twice.
    ///
    /// Within minutes the page Miners of every validator shows whether the miner is valid, and why
    /// not.
    #[command(after_long_help = COMMIT_EXAMPLE)]
    Commit(CommitArgs),
    /// Commit a model that is deployed already, as `leoma miner commit` does.
    ///
    /// The Python implementation's command of this name also deploys the model. This one does not,
    /// because a chute's definition belongs to the `chutes` program: deploy with that program, then
    /// give the id that it prints as --chute-id.
    ///
    /// `leoma miner commit --help` says what is checked and what comes next.
    #[command(after_long_help = PUSH_EXAMPLE)]
    Push(PushArgs),
}

#[derive(Debug, Args)]
pub(super) struct CommitArgs {
    #[command(flatten)]
    model: ModelFlags,
    /// The Chutes deployment that serves it.
    #[arg(long, value_name = "ID")]
    chute_id: String,
    #[command(flatten)]
    sending: SendingFlags,
}

#[derive(Debug, Args)]
pub(super) struct PushArgs {
    #[command(flatten)]
    model: ModelFlags,
    /// The Chutes deployment that serves it, which the `chutes` program printed.
    #[arg(long, value_name = "ID")]
    chute_id: Option<String>,
    /// The Python implementation's: it is taken only to be refused in words.
    #[arg(long, value_name = "USER", hide = true)]
    chute_user: Option<String>,
    #[command(flatten)]
    sending: SendingFlags,
}

/// The flags that say who commits what.
#[derive(Debug, Args)]
struct ModelFlags {
    #[command(flatten)]
    account: AccountFlags,
    /// The model's Hugging Face repository, OWNER/NAME; NAME begins with `leoma` and ends with the
    /// hotkey.
    #[arg(long, value_name = "OWNER/NAME")]
    model_name: String,
    /// The full commit hash of the model's revision, in lower case.
    #[arg(long, value_name = "COMMIT")]
    model_revision: String,
}

/// The flags that say what is done with the commitment.
#[derive(Debug, Args)]
struct SendingFlags {
    /// Key to look the chute up with; CHUTES_API_KEY if not given, which other users of this
    /// machine do not see in the list of processes.
    #[arg(long, value_name = "KEY", value_parser = StringValueParser::new().map(Secret::new))]
    chutes_api_key: Option<Secret>,
    /// Only show what would be committed.
    #[arg(long)]
    dry_run: bool,
    /// Commit without asking. Where nobody is at the terminal, or with --json, nothing is asked.
    #[arg(long)]
    yes: bool,
    /// Print JSON: {"netuid", "hotkey", "uid", "commitment", "block", "transaction"}. On a dry run
    /// uid, block and transaction are null; transaction is too where nothing had to be sent.
    #[arg(long)]
    json: bool,
}

impl MinerCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        match self {
            Self::Commit(args) => args.run(file).await,
            Self::Push(args) => args.into_commit()?.run(file).await,
        }
    }
}

impl PushArgs {
    /// The commitment that is meant; an error says what to do where a deployment is.
    fn into_commit(self) -> anyhow::Result<CommitArgs> {
        let next = "deploy the model with the `chutes` program, then give the id that it prints \
                    as --chute-id";
        if self.chute_user.is_some() {
            bail!("--chute-user is not used, because `leoma miner push` deploys nothing: {next}");
        }
        let Some(chute_id) = self.chute_id else {
            bail!("--chute-id is missing, and `leoma miner push` deploys nothing: {next}");
        };
        Ok(CommitArgs { model: self.model, chute_id, sending: self.sending })
    }
}

impl CommitArgs {
    /// Settings by their names in the environment.
    fn settings(&self) -> BTreeMap<String, String> {
        let key = self.sending.chutes_api_key.as_ref().map(|key| key.expose().to_owned());
        let mut settings = self.model.account.settings();
        settings.extend(given([("CHUTES_API_KEY", &key)]));
        settings
    }

    async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, self.settings())?;
        let pair = load_hotkey(&config.wallet).await?;
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        let hotkey = signer.hotkey();
        let SendingFlags { dry_run, yes, json: as_json, .. } = self.sending;
        let commitment = MinerCommitment {
            model_name: self.model.model_name,
            model_revision: self.model.model_revision,
            chute_id: self.chute_id,
        };
        let text = commitment.to_text();
        let read = MinerCommitment::parse(&text, &hotkey).with_context(|| {
            format!("validators would refuse this commitment of {hotkey}: {text}")
        })?;
        if read != commitment || encode_text_fields(&text).is_none() {
            bail!("the commitment has {} bytes, and at most 512 bytes fit on chain", text.len());
        }
        check_revision(&commitment.model_revision)?;
        if dry_run {
            if as_json {
                return print_json(&report(config.netuid, hotkey, &text, OnChain::default()));
            }
            println!("{text}");
            return Ok(());
        }
        warn_of_chute(&config, &commitment).await;
        let chain = ChainClient::of(&config.chain, config.netuid).await?;
        let metagraph = chain.metagraph(chain.head().await?).await?;
        let uid = metagraph.uid(&hotkey).with_context(|| {
            format!(
                "{hotkey} is not registered on subnet {}: run `leoma register` first",
                config.netuid
            )
        })?;
        let print = |block, transaction| {
            let on_chain = OnChain { uid: Some(uid), block: Some(block), transaction };
            print_json(&report(config.netuid, hotkey, &text, on_chain))
        };
        if let Some(present) = metagraph.commitments.get(&hotkey) {
            if present.text == text {
                // Sending it again would only give it a later block.
                if as_json {
                    return print(present.block, None);
                }
                println!("already committed at block {}: nothing was sent", present.block);
                return Ok(());
            }
            // On a chain that keeps every commitment, one too many makes the hotkey invalid.
            if present.count > 1 && check_commit_count(present.count + 1).is_err() {
                bail!(
                    "{hotkey} made {} commitments: {}",
                    present.count,
                    CommitmentError::TooManyCommits
                );
            }
            eprintln!(
                "warning: this replaces the commitment of block {}, {}",
                present.block, present.text
            );
        }
        let question = format!("Commit for {hotkey} on subnet {}", config.netuid);
        let is_wanted = yes || as_json || confirmed(&question, &text)?;
        if !is_wanted {
            bail!("nothing was sent");
        }
        eprintln!("sending, then waiting until it is in a final block…");
        let transaction = match chain.set_commitment(&signer, &text).await {
            Ok(transaction) => transaction,
            Err(error) => {
                if let Some((now, from)) = free_again(&chain, &error).await {
                    let blocks = from.0.saturating_sub(now.0);
                    bail!("{error}: commit again from block {from} on, in {blocks} blocks");
                }
                return Err(error.into());
            }
        };
        let committed = |metagraph: &leoma_chain::Metagraph| {
            metagraph
                .commitments
                .get(&hotkey)
                .filter(|found| found.text == text)
                .map(|found| found.block)
        };
        let block = read_back(&chain, &transaction, committed).await?.with_context(|| {
            format!("transaction {transaction} is in a final block, but the chain names another commitment of {hotkey}")
        })?;
        if as_json {
            return print(block, Some(transaction.to_string()));
        }
        println!("committed at block {block}, in transaction {transaction}:\n{text}");
        Ok(())
    }
}

/// What the chain says of a commitment; a dry run asks no chain.
#[derive(Default)]
struct OnChain {
    uid: Option<Uid>,
    block: Option<BlockNumber>,
    transaction: Option<String>,
}

/// What is printed with `--json`.
fn report(netuid: Netuid, hotkey: Hotkey, commitment: &str, on_chain: OnChain) -> Value {
    let OnChain { uid, block, transaction } = on_chain;
    json!({
        "netuid": netuid, "hotkey": hotkey, "uid": uid, "commitment": commitment, "block": block,
        "transaction": transaction,
    })
}

/// Shows what is about to be sent, and asks; nobody is asked where nobody is at the terminal.
fn confirmed(what: &str, text: &str) -> std::io::Result<bool> {
    eprintln!("{what}:\n  {text}");
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("Everybody will see it, and a later commitment takes its own block. Send it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Warns of what keeps validators from asking this miner now, where there is a key to look the
/// chute up with. It may still be started or repaired.
async fn warn_of_chute(config: &Config, commitment: &MinerCommitment) {
    if config.services.chutes_api_key.is_none() {
        return;
    }
    let reach = Reach::new(config.services.local_network);
    let Ok(client) = ChutesClient::new(reach, &config.services) else { return };
    let asked = tokio::time::timeout(CHUTE_PATIENCE, client.chute(&commitment.chute_id)).await;
    let lack = match asked {
        Ok(asked) => lack_of_chute(&asked, &commitment.model_revision),
        Err(_) => Some("the Chutes API does not answer".to_owned()),
    };
    if let Some(lack) = lack {
        eprintln!("warning: validators would not ask chute {} now: {lack}", commitment.chute_id);
    }
}

/// What validators miss in a chute that is to serve this revision.
fn lack_of_chute(asked: &Result<Chute, ServiceError>, revision: &str) -> Option<String> {
    let chute = match asked {
        Ok(chute) => chute,
        Err(error) => return Some(error.to_string()),
    };
    match chute.is_running() {
        Err(error) => Some(error.to_string()),
        Ok(false) => Some("it is not running (`chute_not_running`)".to_owned()),
        Ok(true) => {
            let other = chute.revision.as_deref().filter(|served| *served != revision)?;
            Some(format!("it serves revision {other:?} (`revision_mismatch`)"))
        }
    }
}

/// Refuses what validators would refuse: they compare the text with the commit hash that it
/// resolves to.
fn check_revision(revision: &str) -> anyhow::Result<()> {
    let is_hash = revision.len() == REVISION_DIGITS
        && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash {
        bail!(
            "validators would refuse the revision `{revision}`: it must be the full commit hash, {REVISION_DIGITS} digits of 0-9 and a-f, not a branch, a tag or a part of it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: MinerCommand,
    }

    fn commit_of(command: &str, flags: &str) -> anyhow::Result<CommitArgs> {
        let line = format!("miner {command} --model-name a/leoma --model-revision abc {flags}");
        match Line::try_parse_from(line.split_whitespace())?.command {
            MinerCommand::Commit(args) => Ok(args),
            MinerCommand::Push(args) => args.into_commit(),
        }
    }

    #[test]
    fn push_commits_with_the_flags_of_the_python_implementation_that_have_a_meaning_here() {
        for command in ["commit", "push"] {
            let flags = "--chute-id c --chutes-api-key hunter2 --coldkey cold --hotkey hot";
            let commit = commit_of(command, flags).unwrap();
            assert_eq!(commit.chute_id, "c");
            assert_eq!(commit.model.model_name, "a/leoma");
            assert_eq!(commit.model.model_revision, "abc");
            let settings = commit.settings();
            for (name, value) in
                [("CHUTES_API_KEY", "hunter2"), ("WALLET_NAME", "cold"), ("HOTKEY_NAME", "hot")]
            {
                assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
            }
            assert!(!format!("{commit:?}").contains("hunter2"));
            let without = commit_of(command, "--chute-id c").unwrap();
            assert_eq!(without.settings().get("CHUTES_API_KEY"), None);
        }
    }

    #[test]
    fn push_refuses_to_deploy_in_one_line_that_names_the_flag_to_give() {
        for flags in ["", "--chute-user u", "--chute-user u --chute-id c", "--chutes-api-key k"] {
            let error = commit_of("push", flags).unwrap_err().to_string();
            assert!(error.contains("deploys nothing"), "{flags}: {error}");
            assert!(error.contains("`chutes` program"), "{flags}: {error}");
            assert!(error.contains("--chute-id") && !error.contains('\n'), "{flags}: {error}");
            assert_eq!(error.contains("--chute-user"), flags.contains("--chute-user"));
        }
        assert!(commit_of("commit", "").is_err() && commit_of("commit", "--chute-user u").is_err());
    }

    #[test]
    fn a_dry_run_is_reported_with_all_fields() {
        let hotkey = Hotkey::from_bytes([1; 32]);
        let value = report(Netuid(99), hotkey, "text", OnChain::default());
        let expected = json!({
            "netuid": 99, "hotkey": hotkey, "uid": null, "commitment": "text", "block": null,
            "transaction": null,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_chute_that_validators_would_not_ask_is_named_with_its_reason() {
        let lack = |hot, revision: Option<&str>| {
            let (slug, revision) = ("slug".to_owned(), revision.map(str::to_owned));
            lack_of_chute(&Ok(Chute { hot, slug, revision }), "abc")
        };
        assert_eq!(lack(Some(true), Some("abc")), None);
        assert_eq!(lack(Some(true), None), None);
        assert!(lack(None, Some("abc")).unwrap().contains("`hot`"));
        assert!(lack(Some(false), Some("abc")).unwrap().contains("`chute_not_running`"));
        assert!(lack(Some(true), Some("def")).unwrap().contains("`revision_mismatch`"));
    }

    #[test]
    fn h7_only_a_full_commit_hash_is_committed() {
        let full = "0123456789abcdef0123456789abcdef01234567";
        check_revision(full).unwrap();
        for refused in ["main", "v1", &full[..7], &full.to_uppercase(), &format!("{full}0"), ""] {
            let error = check_revision(refused).unwrap_err().to_string();
            assert!(error.contains("full commit hash"), "{error}");
        }
    }
}
