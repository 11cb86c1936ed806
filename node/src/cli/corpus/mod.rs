//! `leoma corpus`: the owner's source videos, and the manifest that says which of them tasks are
//! made from.

mod add;
mod inspect;
mod list;
mod verify;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use leoma_storage::{BucketConfig, CorpusManifest, Key, RetryPolicy, SourceBucket};
use serde::Serialize;

use crate::config::{Config, missing};

#[derive(Debug, Subcommand)]
pub(super) enum CorpusCommand {
    /// Add videos: look at each, upload it, and name it in the manifest.
    ///
    /// A video is an MP4 of at most 200 MiB with at least one shot of a clip's length (5.1 s,
    /// beyond the first two seconds and not beside a cut) in its first two and a half minutes. It
    /// is probed, its shots are found, and the last clip that they allow is cut, before anything is
    /// uploaded. An object is never replaced by other bytes: a changed video needs another name.
    /// One whose bytes are there already is left out.
    ///
    /// Once there is a manifest, clips are cut from its videos alone. Where the bucket holds videos
    /// already, the first manifest is only written with --adopt, which looks at them and names them
    /// too, or with --leave-others.
    ///
    /// The exit code is 1 when a file was refused; the others are added all the same.
    Add(add::AddArgs),
    /// Take videos out of the manifest. The objects stay, so that tasks made from them can still be
    /// checked.
    Remove(add::RemoveArgs),
    /// Download every video of the manifest and check it: its bytes, that it decodes, and that its
    /// shots are found again.
    ///
    /// Needs a read key of the source bucket, so anyone who validates can run it. The exit code is
    /// 1 when a video cannot be used as a source.
    Verify(verify::VerifyArgs),
    /// List the videos of the manifest, and those that the bucket holds beside it.
    List(list::ListArgs),
}

/// A 200 MiB video over a home line of 0.5 MB/s.
const PATIENCE: Duration = Duration::from_secs(420);

#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A video and what came of it.
#[derive(Debug, Serialize)]
struct Row {
    key: String,
    ok: bool,
    finding: String,
}

impl CorpusCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::load(file, BTreeMap::new())?;
        match self {
            Self::Add(args) => args.run(&config).await,
            Self::Remove(args) => args.run(&config).await,
            Self::Verify(args) => args.run(&config).await,
            Self::List(args) => args.run(&config).await,
        }
    }
}

fn open(bucket: &BucketConfig) -> anyhow::Result<SourceBucket> {
    let policy =
        RetryPolicy { attempt_timeout: PATIENCE, deadline: PATIENCE * 2, ..RetryPolicy::default() };
    Ok(SourceBucket::new(bucket.open()?.with_policy(policy)))
}

/// The source bucket with the owner's keys.
fn writable(config: &Config) -> anyhow::Result<SourceBucket> {
    open(config.source_write.as_ref().ok_or_else(|| missing("R2_VIDEOS_WRITE_ACCESS_KEY"))?)
}

/// The source bucket with whichever keys this machine has.
fn readable(config: &Config) -> anyhow::Result<SourceBucket> {
    open(config.need_readable_source()?)
}

async fn manifest(source: &SourceBucket) -> anyhow::Result<Option<CorpusManifest>> {
    let bytes = source.manifest().await?;
    bytes
        .map(|bytes| CorpusManifest::parse(&bytes))
        .transpose()
        .context("corpus/v1.json of the source bucket")
}

/// Videos in the bucket that no manifest names.
async fn unnamed(
    source: &SourceBucket,
    manifest: Option<&CorpusManifest>,
) -> anyhow::Result<Vec<Key>> {
    let named = |key: &Key| manifest.is_some_and(|manifest| manifest.find(key).is_some());
    let videos = source.videos().await?;
    Ok(videos.into_iter().map(|video| video.key).filter(|key| !named(key)).collect())
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
