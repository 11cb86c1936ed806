//! The source bucket and its manifest.

use std::time::Duration;

use anyhow::Context as _;
use leoma_storage::{BucketConfig, CorpusManifest, Key, RetryPolicy, SourceBucket};

use crate::config::Config;

/// A 200 MiB video over a home line of 0.5 MB/s.
const PATIENCE: Duration = Duration::from_secs(420);

fn open(bucket: &BucketConfig) -> anyhow::Result<SourceBucket> {
    let policy =
        RetryPolicy { attempt_timeout: PATIENCE, deadline: PATIENCE * 2, ..RetryPolicy::default() };
    Ok(SourceBucket::new(bucket.open()?.with_policy(policy)))
}

/// The source bucket with the owner's keys.
pub(super) fn writable(config: &Config) -> anyhow::Result<SourceBucket> {
    open(config.buckets.need_source_write()?)
}

/// The source bucket with whichever keys this machine has.
pub(super) fn readable(config: &Config) -> anyhow::Result<SourceBucket> {
    open(config.buckets.need_readable_source()?)
}

pub(super) async fn manifest(source: &SourceBucket) -> anyhow::Result<Option<CorpusManifest>> {
    let bytes = source.manifest().await?;
    bytes
        .map(|bytes| CorpusManifest::parse(&bytes))
        .transpose()
        .context("corpus/v1.json of the source bucket")
}

/// Videos in the bucket that no manifest names.
pub(super) async fn unnamed(
    source: &SourceBucket,
    manifest: Option<&CorpusManifest>,
) -> anyhow::Result<Vec<Key>> {
    let named = |key: &Key| manifest.is_some_and(|manifest| manifest.find(key).is_some());
    let videos = source.videos().await?;
    Ok(videos.into_iter().map(|video| video.key).filter(|key| !named(key)).collect())
}
