//! `leoma corpus`: the owner's source videos, and the manifest that names those for tasks.

mod add;
mod bucket;
mod expand;
mod inspect;
mod list;
mod output;
mod verify;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum CorpusCommand {
    /// Add videos: check each, upload it, and add it to the manifest.
    ///
    /// A video is an MP4 of at most 200 MiB with at least one shot of a clip's length (5.1 s,
    /// beyond the first two seconds and not beside a cut) in its first two and a half minutes. It
    /// is probed, its shots are found, and the last clip that they allow is cut, before anything is
    /// uploaded. Objects are never replaced: a changed video needs another name. A video whose
    /// bytes are in the manifest already is skipped.
    ///
    /// Once there is a manifest, clips are cut only from its videos. If the bucket holds videos
    /// already, the first manifest needs --adopt, which checks and adds them too, or
    /// --leave-others.
    ///
    /// The exit code is 1 if a file was refused; the others are still added.
    Add(add::AddArgs),
    Expand(expand::ExpandArgs),
    /// Remove videos from the manifest. The objects stay, so that their tasks can still be checked.
    Remove(add::RemoveArgs),
    /// Download every video of the manifest and check it: its bytes, that it decodes, and that its
    /// shots are found again.
    ///
    /// Needs a read key of the source bucket, so anyone who validates can run it. The exit code is
    /// 1 when a video cannot be used as a source.
    Verify(verify::VerifyArgs),
    /// List the videos of the manifest, and those that are only in the bucket.
    List(list::ListArgs),
}

impl CorpusCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, BTreeMap::new())?;
        match self {
            Self::Add(args) => args.run(&config).await,
            Self::Expand(args) => args.run(&config).await,
            Self::Remove(args) => args.run(&config).await,
            Self::Verify(args) => args.run(&config).await,
            Self::List(args) => args.run(&config).await,
        }
    }
}
