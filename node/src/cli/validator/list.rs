//! `leoma validator list`: the bucket's list, the chain's, and the draft.

use anyhow::bail;
use leoma_chain::{ChainClient, Metagraph};
use leoma_protocol::Hotkey;
use leoma_rotation::Allowlist;
use serde_json::{Value, json};

use super::committed::{Committed, committed, source};
use super::diff::Diff;
use super::draft::DraftFile;
use crate::cli::output::print_json;
use crate::config::Config;
use crate::subnet::allowlists;

pub(super) async fn list(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let source = source(config)?;
    let draft_file = DraftFile::of(config);
    let draft = draft_file.read()?;
    let chain = ChainClient::of(&config.chain, config.netuid).await?;
    let metagraph = chain.metagraph(chain.head().await?).await?;
    let bucket = allowlists::present(&source).await?;
    let committed = committed(&metagraph, &source, bucket.as_ref()).await?;
    if bucket.is_none() && draft.is_none() && !as_json {
        bail!(
            "the source bucket holds no allowlist/v1.json, and there is no draft: begin with `leoma validator add`"
        );
    }
    // The draft's changes are shown against the list in force.
    let in_force = committed.as_ref().and_then(|committed| committed.allowlist.as_ref());
    let hash = committed.as_ref().map(|committed| committed.hash.as_str());
    let digest = bucket.as_ref().map(Allowlist::digest);
    let agrees = digest.is_some_and(|digest| hash == Some(digest.to_string().as_str()));
    if as_json {
        let value = json!({
            "interval": bucket.as_ref().map(Allowlist::interval),
            "validators": bucket.as_ref().map(Allowlist::validators),
            "sha256": digest,
            "committed": hash,
            "committed_at": committed.as_ref().map(|committed| committed.block),
            "agrees": agrees,
            "chain": committed.as_ref().and_then(|committed| committed.allowlist.as_ref()).map(list_json),
            "draft": draft.as_ref().map(|draft| {
                let mut value = list_json(&draft.allowlist);
                value["changes"] = json!(Diff::between(in_force, &draft.allowlist));
                value["base"] = json!(draft.base);
                value["outdated"] = json!(draft.is_outdated(hash));
                value
            }),
        });
        return print_json(&value);
    }
    match &bucket {
        Some(bucket) => {
            println!("allowlist {}, a task every {} blocks", bucket.digest(), bucket.interval());
            println!(
                "on chain: {}",
                if agrees {
                    "the same list"
                } else {
                    "another list, or none: the bucket's has no effect"
                }
            );
            for hotkey in bucket.validators() {
                println!("  {hotkey}  {}", slot(&metagraph, hotkey));
            }
        }
        None => println!("the source bucket holds no allowlist"),
    }
    if !agrees {
        print_committed(committed.as_ref(), bucket.as_ref());
    }
    if let Some(draft) = &draft {
        let changes = Diff::between(in_force, &draft.allowlist);
        println!("draft {} ({})", draft.allowlist.digest(), draft_file.path().display());
        if changes.is_empty() {
            println!("  changes nothing");
        }
        for line in changes.lines() {
            println!("  {line}");
        }
        for hotkey in changes.added.iter().filter(|hotkey| metagraph.uid(hotkey).is_none()) {
            println!("  warning: {hotkey} is not registered on subnet {}", config.netuid);
        }
        if draft.is_outdated(hash) {
            println!(
                "  outdated: it is based on another list ({})",
                draft.base.as_deref().unwrap_or("none")
            );
        }
        println!(
            "publish it with `leoma validator publish`, or drop it with `leoma validator discard`"
        );
    }
    Ok(())
}

fn print_committed(committed: Option<&Committed>, bucket: Option<&Allowlist>) {
    let Some(committed) = committed else {
        println!("the subnet owner has committed no allowlist");
        return;
    };
    println!("committed at block {}: {}", committed.block, committed.hash);
    match (&committed.allowlist, bucket) {
        (None, _) => println!("  this list is not in the source bucket"),
        (Some(list), Some(bucket)) => {
            println!("  from that list to the bucket's:");
            Diff::between(Some(list), bucket).lines().iter().for_each(|line| println!("  {line}"));
        }
        (Some(list), None) => list.validators().iter().for_each(|hotkey| println!("  {hotkey}")),
    }
}

/// A list for machines.
pub(super) fn list_json(list: &Allowlist) -> Value {
    json!({"interval": list.interval(), "validators": list.validators(), "sha256": list.digest()})
}

fn slot(metagraph: &Metagraph, hotkey: &Hotkey) -> String {
    metagraph.uid(hotkey).map_or("not registered".to_owned(), |uid| format!("uid {uid}"))
}
