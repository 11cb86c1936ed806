//! `leoma validator publish`: writes the list to the bucket and its hash to the chain, and reads
//! both back.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use leoma_chain::{Call, ChainClient, Metagraph};
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, Hotkey, HotkeySigner, MemoryGuard};
use leoma_rotation::Allowlist;
use leoma_storage::SourceBucket;
use leoma_wallet::load_hotkey;
use serde_json::{Value, json};

use super::committed::{Committed, FIRST_INTERVAL, committed};
use super::diff::Diff;
use super::draft::{Draft, DraftFile};
use super::list::list_json;
use crate::cli::account::{read_back, say_fee};
use crate::cli::output::print_json;
use crate::config::Config;
use crate::subnet::allowlists;

#[derive(Debug, Args)]
pub(in crate::cli) struct PublishArgs {
    /// Blocks of a task; if not given, the draft's or the present list's, or 100 for a first list.
    #[arg(long, value_name = "BLOCKS")]
    interval: Option<u64>,
    /// The whole list, separated by commas; the draft is neither used nor changed.
    #[arg(long, value_name = "HOTKEYS", value_delimiter = ',')]
    validators: Vec<Hotkey>,
    /// Add a validator; may be given several times.
    #[arg(long, value_name = "HOTKEY")]
    add: Vec<Hotkey>,
    /// Remove a validator; may be given several times.
    #[arg(long, value_name = "HOTKEY")]
    remove: Vec<Hotkey>,
    /// Only show what would be published.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PublishArgs {
    /// The list to publish: from --validators, else from the draft, else from the bucket.
    fn allowlist(
        &self,
        draft: Option<&Draft>,
        present: Option<&Allowlist>,
    ) -> anyhow::Result<Allowlist> {
        let begin = match (draft, present) {
            (Some(draft), _) => draft.allowlist.clone(),
            (None, present) => {
                let interval = present.map_or(FIRST_INTERVAL, Allowlist::interval);
                let listed = present.map(Allowlist::validators).unwrap_or_default();
                let validators = if self.validators.is_empty() { listed } else { &self.validators };
                Allowlist::new(interval, validators.iter().copied())?
            }
        };
        let mut validators: BTreeSet<Hotkey> = begin.validators().iter().copied().collect();
        validators.extend(&self.add);
        validators.retain(|hotkey| !self.remove.contains(hotkey));
        if validators.is_empty() {
            bail!(
                "the allowlist would be empty: name validators with `leoma validator add`, --validators or --add"
            );
        }
        Ok(Allowlist::new(self.interval.unwrap_or(begin.interval()), validators)?)
    }
}

pub(super) async fn publish(config: &Config, args: PublishArgs) -> anyhow::Result<()> {
    let source = SourceBucket::new(config.buckets.need_source_write()?.open()?);
    let draft_file = DraftFile::of(config);
    let draft = if args.validators.is_empty() { draft_file.read()? } else { None };
    let present = allowlists::present(&source).await?;
    let allowlist = args.allowlist(draft.as_ref(), present.as_ref())?;
    let pair = load_hotkey(&config.wallet).await?;
    let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
    let chain = ChainClient::of(&config.chain, config.netuid).await?;
    let metagraph = chain.metagraph(chain.head().await?).await?;
    if metagraph.owner != signer.hotkey() {
        bail!(
            "{} is not the owner of subnet {}, {} is: only the owner's commitment counts",
            signer.hotkey(),
            config.netuid,
            metagraph.owner
        );
    }
    let committed = committed(&metagraph, &source, present.as_ref()).await?;
    if let Some(draft) = &draft {
        if !args.json {
            println!("from the draft {}", draft_file.path().display());
        }
        refuse_outdated(draft, committed.as_ref(), args.json)?;
    }
    if !args.json {
        say_changes(committed.as_ref(), &allowlist);
    }
    warn(config, &metagraph, present.as_ref(), &allowlist);
    let draft_path = draft.as_ref().map(|_| draft_file.path().display().to_string());
    let mut report = report(committed.as_ref(), &allowlist, draft_path);
    if !args.json {
        println!(
            "allowlist {} of {} validators, a task every {} blocks",
            allowlist.digest(),
            allowlist.validators().len(),
            allowlist.interval()
        );
    }
    if args.dry_run {
        if args.json {
            return print_json(&report);
        }
        println!("{}", allowlist.canonical_json());
        return Ok(());
    }
    say_fee(&chain, &Call::SetCommitment { text: allowlist.commitment() }, &signer.hotkey()).await;
    let lookback = ConsensusParams::default().lookback_blocks;
    let hash = allowlists::publish(&source, &chain, &signer, &allowlist, lookback).await?;
    if !args.json {
        println!("committed on chain in transaction {hash} and written to the source bucket");
    }
    let block = verify(&source, &chain, &hash, &allowlist).await?;
    if !args.json {
        println!("read back: the bucket holds it, and the chain names it since block {block}");
    }
    let removed = draft.as_ref().map(|draft| draft_file.discard_published(draft)).transpose()?;
    if args.json {
        report["transaction"] = json!(hash);
        report["committed_at"] = json!(block);
        report["draft_removed"] = json!(removed);
        return print_json(&report);
    }
    match removed {
        Some(true) => println!("the draft is published and was removed"),
        Some(false) => println!(
            "the draft was edited meanwhile and is kept: `leoma validator list` shows what it would change"
        ),
        None => {}
    }
    Ok(())
}

/// What `--json` prints of a list that nothing was done with yet.
fn report(committed: Option<&Committed>, allowlist: &Allowlist, draft: Option<String>) -> Value {
    let in_force = committed.and_then(|committed| committed.allowlist.as_ref());
    let mut value = list_json(allowlist);
    value["changes"] = json!(Diff::between(in_force, allowlist));
    value["replaces"] = json!(committed.map(|committed| committed.hash.as_str()));
    value["draft"] = json!(draft);
    for later in ["draft_removed", "transaction", "committed_at"] {
        value[later] = Value::Null;
    }
    value
}

/// Refuses an outdated draft: it is a whole list, so it would undo what was published since.
/// Standard output stays empty where a machine reads it.
fn refuse_outdated(
    draft: &Draft,
    committed: Option<&Committed>,
    as_json: bool,
) -> anyhow::Result<()> {
    let named = committed.map(|committed| committed.hash.as_str());
    if !draft.is_outdated(named) {
        return Ok(());
    }
    let in_force = committed.and_then(|committed| committed.allowlist.as_ref());
    if let Some(list) = in_force.filter(|_| !as_json) {
        println!("it would change the committed list as follows:");
        Diff::between(Some(list), &draft.allowlist)
            .lines()
            .iter()
            .for_each(|line| println!("  {line}"));
    }
    bail!(
        "the draft is based on another list ({}) than the committed one ({}): delete it with `leoma validator discard` and \
         edit again, or give the whole list with --validators",
        draft.base.as_deref().unwrap_or("none"),
        named.unwrap_or("none")
    )
}

/// Shows how the list differs from the committed one.
fn say_changes(committed: Option<&Committed>, allowlist: &Allowlist) {
    let in_force = committed.and_then(|committed| committed.allowlist.as_ref());
    match (committed, in_force) {
        (None, _) => println!("no list is committed on chain yet"),
        (Some(committed), None) => {
            println!("the list committed on chain, {}, is not in the bucket", committed.hash)
        }
        (Some(_), Some(_)) => {}
    }
    let changes = Diff::between(in_force, allowlist);
    if changes.is_empty() {
        println!("this list is already committed on chain");
    }
    changes.lines().iter().for_each(|line| println!("  {line}"));
}

/// Warns of anything unusual in the list.
fn warn(
    config: &Config,
    metagraph: &Metagraph,
    present: Option<&Allowlist>,
    allowlist: &Allowlist,
) {
    for hotkey in allowlist.validators().iter().filter(|hotkey| metagraph.uid(hotkey).is_none()) {
        eprintln!("warning: {hotkey} is not registered on subnet {}", config.netuid);
    }
    if let Some(present) = present.filter(|present| present.interval() < allowlist.interval()) {
        // Task numbers are block / interval, so a longer interval reuses numbers of earlier tasks.
        eprintln!(
            "warning: a longer interval ({} to {} blocks) reuses task numbers, and validators sign no task twice",
            present.interval(),
            allowlist.interval()
        );
    }
}

/// Reads both back and returns the commitment's block: another machine of the owner may have
/// published meanwhile.
async fn verify(
    source: &SourceBucket,
    chain: &ChainClient,
    transaction: &Digest,
    allowlist: &Allowlist,
) -> anyhow::Result<BlockNumber> {
    let found = allowlists::present(source).await?.map(|list| list.digest());
    if found != Some(allowlist.digest()) {
        let found = found.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
        bail!("the source bucket holds another allowlist now ({found}): publish again");
    }
    let named = |metagraph: &Metagraph| {
        let commitment = metagraph.commitments.get(&metagraph.owner)?;
        (commitment.text == allowlist.commitment()).then_some(commitment.block)
    };
    read_back(chain, transaction, named)
        .await?
        .context("the chain names an allowlist other than the one committed: publish again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_reads_what_changes_before_anything_is_sent() {
        let list = |seeds: &[u8]| {
            let hotkeys = seeds.iter().map(|seed| Hotkey::from_bytes([*seed; 32]));
            Allowlist::new(100, hotkeys).unwrap()
        };
        let (before, after) = (list(&[1]), list(&[1, 2]));
        let hash = before.digest().to_string();
        let (hash_before, block) = (hash.clone(), BlockNumber(7));
        let committed = Committed { hash, block, allowlist: Some(before) };
        let expected = json!({
            "interval": 100,
            "validators": after.validators(),
            "sha256": after.digest(),
            "changes": {
                "interval": null,
                "added": [Hotkey::from_bytes([2; 32])],
                "removed": [],
            },
            "replaces": hash_before,
            "draft": "state/draft.json",
            "draft_removed": null,
            "transaction": null,
            "committed_at": null,
        });
        let draft = Some("state/draft.json".to_owned());
        assert_eq!(report(Some(&committed), &after, draft), expected);
        let first = report(None, &after, None);
        assert_eq!((&first["replaces"], &first["draft"]), (&Value::Null, &Value::Null));
        assert_eq!(first["changes"]["added"].as_array().map(Vec::len), Some(2));
    }
}
