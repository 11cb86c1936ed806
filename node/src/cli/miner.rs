//! `leoma miner`: what a miner tells the subnet about its model.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use leoma_chain::{ChainClient, encode_text_fields};
use leoma_protocol::{
    CommitmentError, HotkeySigner, MemoryGuard, MinerCommitment, check_commit_count,
};
use leoma_wallet::load_hotkey;
use serde_json::json;

use super::account::{AccountFlags, read_back};
use super::output::print_json;

/// Length of a full commit hash.
const REVISION_DIGITS: usize = 40;

#[derive(Debug, Subcommand)]
pub(super) enum MinerCommand {
    /// Commit a model on chain: its repository, its revision, and the chute that serves it.
    ///
    /// The commitment is checked as validators check it before anything is sent, and read back from
    /// the chain afterwards. A new commitment replaces the old one and takes its own block: of two
    /// equal models the one committed first wins.
    Commit(CommitArgs),
}

#[derive(Debug, Args)]
pub(super) struct CommitArgs {
    #[command(flatten)]
    account: AccountFlags,
    /// The model's Hugging Face repository, OWNER/NAME; NAME begins with `leoma` and ends with the
    /// hotkey.
    #[arg(long, value_name = "OWNER/NAME")]
    model_name: String,
    /// The full commit hash of the model's revision.
    #[arg(long, value_name = "COMMIT")]
    model_revision: String,
    /// The Chutes deployment that serves it.
    #[arg(long, value_name = "ID")]
    chute_id: String,
    /// Only show what would be committed.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl MinerCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        match self {
            Self::Commit(args) => args.run(file).await,
        }
    }
}

impl CommitArgs {
    async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, self.account.settings())?;
        let pair = load_hotkey(&config.wallet).await?;
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        let hotkey = signer.hotkey();
        let commitment = MinerCommitment {
            model_name: self.model_name,
            model_revision: self.model_revision,
            chute_id: self.chute_id,
        };
        let text = commitment.to_text();
        let read = MinerCommitment::parse(&text, &hotkey).with_context(|| {
            format!("validators would refuse this commitment of {hotkey}: {text}")
        })?;
        if read != commitment || encode_text_fields(&text).is_none() {
            bail!("the commitment has {} bytes, and at most 512 bytes fit on chain", text.len());
        }
        let revision = &commitment.model_revision;
        if revision.len() != REVISION_DIGITS
            || !revision.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            eprintln!(
                "warning: {revision} is not a full commit hash: a branch or tag can change under validators"
            );
        }
        if self.dry_run {
            println!("{text}");
            return Ok(());
        }
        let chain = ChainClient::of(&config.chain, config.netuid).await?;
        let metagraph = chain.metagraph(chain.head().await?).await?;
        let uid = metagraph.uid(&hotkey).with_context(|| {
            format!(
                "{hotkey} is not registered on subnet {}: run `leoma register` first",
                config.netuid
            )
        })?;
        let report = |block, transaction: Option<String>| {
            let value = json!({
                "netuid": config.netuid, "hotkey": hotkey, "uid": uid, "commitment": text, "block": block,
                "transaction": transaction,
            });
            print_json(&value)
        };
        if let Some(present) = metagraph.commitments.get(&hotkey) {
            if present.text == text {
                // Sending it again would only give it a later block.
                if self.json {
                    return report(present.block, None);
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
        let transaction = chain.set_commitment(&signer, &text).await?;
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
        if self.json {
            return report(block, Some(transaction.to_string()));
        }
        println!("committed at block {block}, in transaction {transaction}:\n{text}");
        Ok(())
    }
}
