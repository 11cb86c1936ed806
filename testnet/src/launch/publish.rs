//! What the owner and the miners publish before validators start: source clips and commitments.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use leoma_chain::ChainClient;
use leoma_protocol::{HotkeySigner, MemoryGuard, MinerCommitment};
use leoma_storage::{Key, SourceBucket};

use super::accounts::Account;
use super::plan::SubnetPlan;
use super::{LaunchError, MinerPlan, Result};
use crate::corpus;

fn signer(account: &Account) -> HotkeySigner {
    HotkeySigner::new(account.pair(), Arc::new(MemoryGuard::default()))
}

/// The source bucket with the owner's keys.
fn writable(storage: &str, plan: &SubnetPlan) -> Result<SourceBucket> {
    Ok(SourceBucket::new(plan.source.writer(storage).open()?))
}

/// Uploads every clip of the folder.
pub(super) async fn upload_corpus(
    storage: &str,
    plan: &SubnetPlan,
    folder: &Path,
) -> Result<usize> {
    let bucket = writable(storage, plan)?;
    let clips = corpus::list(folder)?;
    for path in &clips {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key: Key = format!("clips/{name}").parse()?;
        let bytes =
            std::fs::read(path).map_err(|source| LaunchError::Io { path: path.clone(), source })?;
        // A clip may be there already; other bytes under its name are an error.
        let _ = bucket.add_video(&key, Bytes::from(bytes)).await?;
    }
    Ok(clips.len())
}

/// Commits every miner's model, one after the other: the order of these blocks decides between
/// equals.
pub(super) async fn commit_miners(chain: &ChainClient, miners: &[MinerPlan]) -> Result<()> {
    for miner in miners {
        let entry = &miner.entry;
        let text = MinerCommitment {
            model_name: entry.model_name.clone(),
            model_revision: entry.model_revision.clone(),
            chute_id: entry.chute_id.clone(),
        }
        .to_text();
        chain.set_commitment(&signer(&miner.account), &text).await?;
    }
    Ok(())
}
