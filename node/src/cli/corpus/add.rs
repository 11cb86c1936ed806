//! `leoma corpus add` and `remove`: videos first, the manifest that names them last.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use leoma_protocol::Digest;
use leoma_scoring::media::{Ffmpeg, Limits, read_bounded};
use leoma_storage::{
    CorpusManifest, Created, Key, MAX_VIDEO_BYTES, ManifestVideo, SourceBucket, StoreError,
};
use serde_json::json;

use super::bucket::{manifest, unnamed, writable};
use super::inspect::{describe, inspect};
use super::output::{Output, Row, megabytes};
use crate::cli::output::print_json;
use crate::config::Config;

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// Videos, named `*.mp4`.
    #[arg(value_name = "FILE", required_unless_present = "adopt")]
    files: Vec<PathBuf>,
    /// The folder in the bucket; file names stay the same.
    #[arg(long, value_name = "FOLDER", default_value = "clips")]
    folder: String,
    /// Also check the videos in the bucket that no manifest names, and add them.
    #[arg(long)]
    adopt: bool,
    /// Write the first manifest without the bucket's other videos, which are then no longer used.
    #[arg(long, conflicts_with = "adopt")]
    leave_others: bool,
    /// Only check the videos and show what would be added.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArgs {
    /// Keys of videos, as `leoma corpus list` shows them.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<Key>,
    #[command(flatten)]
    output: Output,
}

/// The manifest that is being built.
struct Work {
    source: SourceBucket,
    ffmpeg: Ffmpeg,
    base: Option<CorpusManifest>,
    videos: Vec<ManifestVideo>,
    dry_run: bool,
    rows: Vec<Row>,
}

impl AddArgs {
    /// As given on the command line, without other videos of the bucket.
    pub(super) fn of(files: Vec<PathBuf>, folder: String, dry_run: bool, output: Output) -> Self {
        Self { files, folder, adopt: false, leave_others: false, dry_run, output }
    }

    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let ffmpeg = Ffmpeg::find()?;
        let source = writable(config)?;
        let base = manifest(&source).await?;
        let others = unnamed(&source, base.as_ref()).await?;
        if base.is_none() && !others.is_empty() && !self.adopt && !self.leave_others {
            bail!(
                "{} holds {} videos and no manifest yet, and with a manifest only its videos are used: name them too with \
                 --adopt, or leave them with --leave-others",
                source.bucket().name(),
                others.len()
            );
        }
        let videos = base.as_ref().map(|base| base.videos().to_vec()).unwrap_or_default();
        let mut work =
            Work { source, ffmpeg, base, videos, dry_run: self.dry_run, rows: Vec::new() };
        let adopted = if self.adopt { others } else { Vec::new() };
        let total = self.files.len() + adopted.len();
        for (index, path) in self.files.iter().enumerate() {
            eprintln!("[{}/{total}] {}", index + 1, path.display());
            let added = work.add_file(path, &self.folder).await?;
            work.note(path.display().to_string(), added);
        }
        for (index, key) in adopted.into_iter().enumerate() {
            eprintln!("[{}/{total}] {key} in the bucket", self.files.len() + index + 1);
            let added = work.adopt(&key).await?;
            work.note(key.to_string(), added);
        }
        work.finish(self.output).await
    }
}

impl RemoveArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let source = writable(config)?;
        let base = manifest(&source)
            .await?
            .context("there is no manifest: begin with `leoma corpus add`")?;
        if let Some(key) = self.keys.iter().find(|key| base.find(key).is_none()) {
            bail!("the manifest does not name {key}; `leoma corpus list` shows what it names");
        }
        let kept: Vec<_> =
            base.videos().iter().filter(|video| !self.keys.contains(&video.key)).cloned().collect();
        if kept.is_empty() {
            bail!("the manifest would be empty, and no clip could be cut: add another video first");
        }
        let next = CorpusManifest::new(kept)?;
        write(&source, Some(&base), &next).await?;
        let count = next.videos().len();
        let removed = base.videos().len() - count;
        if self.output.json {
            let value = json!({ "manifest": next.digest(), "videos": count, "removed": removed });
            return print_json(&value);
        }
        println!("{removed} removed; manifest {} names {count} videos", next.digest());
        Ok(())
    }
}

impl Work {
    fn note(&mut self, key: String, added: Result<String, String>) {
        let ok = added.is_ok();
        let (Ok(finding) | Err(finding)) = added;
        eprintln!("      {}{finding}", if ok { "" } else { "refused: " });
        self.rows.push(Row { key, ok, finding });
    }

    async fn add_file(
        &mut self,
        path: &Path,
        folder: &str,
    ) -> anyhow::Result<Result<String, String>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let key = match format!("{}/{name}", folder.trim_matches('/'))
            .trim_start_matches('/')
            .parse::<Key>()
        {
            Ok(key) if name.ends_with(".mp4") => key,
            Ok(_) => return Ok(Err("its name does not end in .mp4".to_owned())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let owned = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            std::fs::File::open(&owned).and_then(|file| read_bounded(file, &Limits::SOURCE))
        });
        let bytes = match read.await? {
            Ok(Ok(bytes)) => Bytes::from(bytes),
            Ok(Err(defect)) => return Ok(Err(defect.to_string())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Some(known) = self.known(&key, &bytes) {
            let known = match known {
                Ok(known) => known,
                Err(refused) => return Ok(Err(refused)),
            };
            if known.key != key {
                return Ok(Ok(format!("already in the manifest as {}", known.key)));
            }
            // The manifest names it already: only the object may be missing.
            return Ok(self
                .upload(&key, bytes)
                .await?
                .map(|_| format!("already in the manifest as {key}")));
        }
        let video = match inspect(&self.ffmpeg, &key, bytes.clone()).await? {
            Ok(video) => video,
            Err(reason) => return Ok(Err(reason)),
        };
        let finding = format!("{key}: {}", describe(&video));
        let size = megabytes(video.size);
        Ok(self.upload(&key, bytes).await?.map(|created| {
            self.videos.push(video);
            match created {
                None => finding,
                Some(Created::New) => format!("{finding}; {size} uploaded"),
                Some(Created::AlreadyThere) => format!("{finding}; already in the bucket"),
            }
        }))
    }

    /// Uploads; `None` on a dry run.
    async fn upload(
        &self,
        key: &Key,
        bytes: Bytes,
    ) -> anyhow::Result<Result<Option<Created>, String>> {
        if self.dry_run {
            return Ok(Ok(None));
        }
        match self.source.add_video(key, bytes).await {
            Ok(created) => Ok(Ok(Some(created))),
            Err(StoreError::Conflict { .. }) => Ok(Err(other_bytes(key))),
            Err(error) => Err(error).with_context(|| {
                format!("failed to upload {key}; run the command again, earlier uploads are kept")
            }),
        }
    }

    async fn adopt(&mut self, key: &Key) -> anyhow::Result<Result<String, String>> {
        let bytes = match self.source.video(key, MAX_VIDEO_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Err("it is no longer in the bucket".to_owned())),
            // A video that is out of reach is left for the next run, so that work on the others is
            // not lost.
            Err(error) if matches!(error, StoreError::TooLarge { .. }) || error.is_transient() => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(error).with_context(|| format!("reading {key}")),
        };
        match self.known(key, &bytes) {
            Some(Ok(known)) => {
                return Ok(Ok(format!(
                    "the same bytes as {}, which is in the manifest",
                    known.key
                )));
            }
            Some(Err(refused)) => return Ok(Err(refused)),
            None => {}
        }
        Ok(inspect(&self.ffmpeg, key, bytes).await?.map(|video| {
            let finding = describe(&video);
            self.videos.push(video);
            finding
        }))
    }

    /// The video of the manifest with these bytes; `Err` if another video has this key.
    fn known(&self, key: &Key, bytes: &[u8]) -> Option<Result<&ManifestVideo, String>> {
        let sha256 = Digest::of(bytes);
        if let Some(video) = self.videos.iter().find(|video| video.sha256 == sha256) {
            return Some(Ok(video));
        }
        self.videos.iter().any(|video| video.key == *key).then(|| Err(other_bytes(key)))
    }

    async fn finish(self, output: Output) -> anyhow::Result<()> {
        let Self { source, base, videos, dry_run, rows, .. } = self;
        let refused = rows.iter().filter(|row| !row.ok).count();
        let before = base.as_ref().map_or(0, |base| base.videos().len());
        let added = videos.len() - before;
        let next = CorpusManifest::new(videos)?;
        if added > 0 && !dry_run {
            write(&source, base.as_ref(), &next).await?;
        }
        let count = next.videos().len();
        if output.json {
            let value = json!({
                "manifest": (count > 0).then(|| next.digest()), "written": added > 0 && !dry_run, "videos": count,
                "added": added, "rows": rows,
            });
            print_json(&value)?;
        } else if added == 0 {
            println!("nothing to add: the manifest still names {count} videos");
        } else if dry_run {
            println!("{added} videos would be added to the manifest's {before}");
        } else {
            println!("{added} videos added; manifest {} names {count}", next.digest());
        }
        if refused > 0 {
            bail!("{refused} of {} videos were refused, for the reasons above", rows.len());
        }
        Ok(())
    }
}

fn other_bytes(key: &Key) -> String {
    format!(
        "{key} exists with other bytes, and objects are never replaced: give the file another name"
    )
}

/// Writes the successor of the manifest `base`, unless another one was written meanwhile.
async fn write(
    source: &SourceBucket,
    base: Option<&CorpusManifest>,
    next: &CorpusManifest,
) -> anyhow::Result<()> {
    if manifest(source).await?.as_ref() != base {
        bail!("another manifest was written meanwhile: run the command again, uploads are kept");
    }
    source.write_manifest(next).await?;
    match manifest(source).await? {
        Some(found) if found == *next => Ok(()),
        _ => bail!(
            "the bucket holds a manifest other than the one just written: run `leoma corpus list`"
        ),
    }
}
