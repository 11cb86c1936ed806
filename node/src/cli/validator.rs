//! `leoma validator`: the owner's allowlist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use leoma_protocol::{ConsensusParams, Hotkey, HotkeySigner, MemoryGuard};
use leoma_rotation::Allowlist;
use leoma_storage::SourceBucket;

use crate::allowlists;
use crate::chain::ChainClient;
use crate::config::{Config, missing};
use crate::wallet::load_hotkey;

#[derive(Debug, Subcommand)]
pub(super) enum ValidatorCommand {
    /// Show the allowlist of the source bucket and whether the chain agrees.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish an allowlist: write the file to the source bucket, then commit its hash on chain.
    ///
    /// Needs the subnet owner's hotkey and the write key of the source bucket. Without --validators the present list is
    /// published again, with --add and --remove applied.
    Publish(PublishArgs),
}

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Blocks of a task; the present list's where not given, 100 for a first one.
    #[arg(long, value_name = "BLOCKS")]
    interval: Option<u64>,
    /// The whole list, separated by commas.
    #[arg(long, value_name = "HOTKEYS", value_delimiter = ',')]
    validators: Vec<Hotkey>,
    /// Add a validator; may be given several times.
    #[arg(long, value_name = "HOTKEY")]
    add: Vec<Hotkey>,
    /// Remove a validator; may be given several times.
    #[arg(long, value_name = "HOTKEY")]
    remove: Vec<Hotkey>,
    /// Only say what would be published.
    #[arg(long)]
    dry_run: bool,
}

const FIRST_INTERVAL: u64 = 100;

impl ValidatorCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::load(file, BTreeMap::new())?;
        match self {
            Self::List { json } => list(&config, json).await,
            Self::Publish(args) => publish(&config, args).await,
        }
    }
}

async fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let source = SourceBucket::new(config.need_source()?.open()?);
    let chain = ChainClient::connect(&config.chain_url, config.netuid).await?;
    let metagraph = chain.metagraph(chain.head().await?).await?;
    let committed = metagraph.commitments.get(&metagraph.owner);
    let hash = committed.and_then(|commitment| leoma_rotation::allowlist::committed_hash(&commitment.text));
    let allowlist = allowlists::present(&source).await?.context("the source bucket holds no allowlist/v1.json")?;
    let agrees = hash == Some(allowlist.digest().to_string().as_str());
    if json {
        let value = serde_json::json!({
            "interval": allowlist.interval(), "validators": allowlist.validators(), "sha256": allowlist.digest(),
            "committed": hash, "committed_at": committed.map(|commitment| commitment.block), "agrees": agrees,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        println!("allowlist {}, a task every {} blocks", allowlist.digest(), allowlist.interval());
        println!("on chain: {}", if agrees { "the same" } else { "another one, or none: it has no effect" });
        for hotkey in allowlist.validators() {
            let uid = metagraph.uid(hotkey).map_or("not registered".to_owned(), |uid| format!("uid {uid}"));
            println!("  {hotkey}  {uid}");
        }
    }
    Ok(())
}

async fn publish(config: &Config, args: PublishArgs) -> anyhow::Result<()> {
    let bucket = config.source_write.as_ref().ok_or_else(|| missing("R2_VIDEOS_WRITE_ACCESS_KEY"))?;
    let source = SourceBucket::new(bucket.open()?);
    let pair = load_hotkey(&config.wallet).await?;
    let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
    let chain = ChainClient::connect(&config.chain_url, config.netuid).await?;
    let metagraph = chain.metagraph(chain.head().await?).await?;
    if metagraph.owner != signer.hotkey() {
        bail!(
            "{} is not the owner of subnet {}, {} is: only the owner's commitment counts",
            signer.hotkey(),
            config.netuid,
            metagraph.owner
        );
    }
    let present = allowlists::present(&source).await?;
    let mut validators: BTreeSet<Hotkey> = if args.validators.is_empty() {
        present.iter().flat_map(|list| list.validators().iter().copied()).collect()
    } else {
        args.validators.iter().copied().collect()
    };
    validators.extend(&args.add);
    validators.retain(|hotkey| !args.remove.contains(hotkey));
    if validators.is_empty() {
        bail!("the allowlist would be empty: name validators with --validators or --add");
    }
    let interval = args.interval.or(present.as_ref().map(Allowlist::interval)).unwrap_or(FIRST_INTERVAL);
    let allowlist = Allowlist::new(interval, validators)?;
    for hotkey in allowlist.validators().iter().filter(|hotkey| metagraph.uid(hotkey).is_none()) {
        eprintln!("warning: {hotkey} is not registered on subnet {}", config.netuid);
    }
    if let Some(present) = present.as_ref().filter(|present| present.interval() < interval) {
        // Task numbers are block / interval: they fall back to ones that were used, whose files then no longer count.
        eprintln!(
            "warning: a longer interval ({} to {interval} blocks) numbers tasks anew, and validators sign none twice",
            present.interval()
        );
    }
    println!(
        "allowlist {} of {} validators, a task every {interval} blocks",
        allowlist.digest(),
        allowlist.validators().len()
    );
    if args.dry_run {
        println!("{}", allowlist.canonical_json());
        return Ok(());
    }
    let lookback = ConsensusParams::default().lookback_blocks;
    let hash = allowlists::publish(&source, &chain, &signer, &allowlist, lookback).await?;
    println!("written to the source bucket and committed on chain in transaction {hash}");
    Ok(())
}
