//! `leoma corpus expand`: finds videos, downloads them, and adds them as `corpus add` does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::{StreamExt as _, stream};
use tokio::process::Command;

use super::add::AddArgs;
use super::output::Output;
use crate::config::Config;

/// The program that searches and downloads.
const DOWNLOADER: &str = "yt-dlp";
/// Results that are looked at for each video that is wanted: many have no shot that is long enough.
const RESULTS_PER_VIDEO: usize = 4;
/// Longest search, and longest download of one video.
const SEARCH_WITHIN: Duration = Duration::from_secs(120);
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(900);
/// MP4 with a picture of at least a clip's size, and without sound if that is available.
const FORMAT: &str = "bv*[ext=mp4][height>=480][height<=1080]/b[ext=mp4][height>=480]";
/// What is worth a download: long enough for a clip, and no stream without an end.
const WORTH_IT: &str = "duration>=10 & duration<=900 & !is_live";

const EXAMPLES: &str = "\
Examples:
  leoma corpus expand --query 'drone over a forest' --count 20 --dry-run
  leoma corpus expand --query 'drone over a forest' --count 20";

/// Find videos with yt-dlp, download them, and add them to the corpus as `leoma corpus add` does.
///
/// Needs yt-dlp (`pipx install yt-dlp`), ffmpeg, and the write keys of the source bucket
/// (R2_VIDEOS_WRITE_ACCESS_KEY, R2_VIDEOS_WRITE_SECRET_KEY).
///
/// Each video is checked as by `corpus add`; one that has no shot of a clip's length is refused, so
/// ask for more than you need. You are responsible for the rights to what you add.
///
/// Then `leoma corpus list` shows the videos from which clips are cut, and `leoma corpus remove`
/// takes one out again.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(in crate::cli) struct ExpandArgs {
    /// How many videos to download.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    count: u16,
    /// How many to download at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=16))]
    concurrent: u16,
    /// What to search for.
    #[arg(long, default_value = "one shot nature no cuts 4k")]
    query: String,
    /// The folder in the bucket.
    #[arg(long, value_name = "FOLDER", default_value = "clips")]
    folder: String,
    /// Only check the videos and show what would be added.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

impl ExpandArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        // A download of many minutes would be in vain.
        config.buckets.need_source_write()?;
        let ids = search(&self.query, usize::from(self.count) * RESULTS_PER_VIDEO).await?;
        if ids.is_empty() {
            bail!("{DOWNLOADER} found nothing for `{}`: try other words with --query", self.query);
        }
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        eprintln!("{} results, downloading {} of them", ids.len(), self.count);
        let downloads = ids.iter().map(|id| download(id, folder.path()));
        let files: Vec<PathBuf> = stream::iter(downloads)
            .buffer_unordered(usize::from(self.concurrent))
            .filter_map(std::future::ready)
            .take(usize::from(self.count))
            .collect()
            .await;
        if files.is_empty() {
            bail!("no video could be downloaded: run {DOWNLOADER} by hand to see why");
        }
        AddArgs::of(files, self.folder, self.dry_run, self.output).run(config).await
    }
}

fn downloader(arguments: &[&str]) -> Command {
    let mut command = Command::new(DOWNLOADER);
    command
        .args(["--ignore-config", "--no-warnings", "--quiet"])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The ids of what a search finds.
async fn search(query: &str, results: usize) -> anyhow::Result<Vec<String>> {
    let found = format!("ytsearch{results}:{query}");
    let arguments = ["--flat-playlist", "--print", "id", "--match-filter", WORTH_IT, "--", &found];
    let run = downloader(&arguments).output();
    let output = tokio::time::timeout(SEARCH_WITHIN, run)
        .await
        .context("the search took too long: try again")?;
    let output = output.with_context(|| {
        format!("{DOWNLOADER} cannot be started: install it with `pipx install {DOWNLOADER}`")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::trim).filter(|id| is_id(id)).map(str::to_owned).collect())
}

/// Whether a line is a video's id: it becomes a file's name and an argument.
fn is_id(text: &str) -> bool {
    (6..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Downloads one video; `None` where that fails, which says nothing about the others.
async fn download(id: &str, folder: &Path) -> Option<PathBuf> {
    let file = folder.join(format!("yt_{id}.mp4"));
    let address = format!("https://www.youtube.com/watch?v={id}");
    let to = file.display().to_string();
    let arguments = [
        "--no-playlist",
        "--max-filesize",
        "200M",
        "--match-filter",
        WORTH_IT,
        "--format",
        FORMAT,
        "--output",
        &to,
        "--",
        &address,
    ];
    let run = downloader(&arguments).stdout(Stdio::null()).status();
    let ended = tokio::time::timeout(DOWNLOAD_WITHIN, run).await;
    let done = matches!(ended, Ok(Ok(status)) if status.success()) && file.is_file();
    eprintln!("{} {id}", if done { "downloaded" } else { "skipped" });
    done.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_becomes_a_file_name() {
        assert!(is_id("dQw4w9WgXcQ") && is_id("a-b_c-d_e-f"));
        for text in ["", "../../x", "a b c d e f", "--exec=sh", "ééééééé"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
