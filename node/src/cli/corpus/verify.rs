//! `leoma corpus verify`.

use anyhow::{Context as _, bail};
use clap::Args;
use leoma_scoring::media::Ffmpeg;
use leoma_storage::{ManifestVideo, SourceBucket};
use serde_json::json;

use super::bucket::{manifest, readable};
use super::inspect::{describe, inspect};
use super::output::{Output, Row};
use crate::cli::output::print_json;
use crate::config::Config;
use crate::corpus::Expectation;

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// Only compare bytes, without decoding.
    #[arg(long)]
    bytes_only: bool,
    #[command(flatten)]
    output: Output,
}

impl VerifyArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let source = readable(config)?;
        let manifest = manifest(&source)
            .await?
            .context("there is no manifest to verify: write one with `leoma corpus add --adopt`")?;
        let ffmpeg = if self.bytes_only { None } else { Some(Ffmpeg::find()?) };
        let total = manifest.videos().len();
        let mut rows = Vec::with_capacity(total);
        for (index, video) in manifest.videos().iter().enumerate() {
            eprintln!("[{}/{total}] {}", index + 1, video.key);
            let checked = check(&source, ffmpeg.as_ref(), video).await?;
            let ok = checked.is_ok();
            let (Ok(finding) | Err(finding)) = checked;
            if !self.output.json {
                println!("{}  {}  {finding}", if ok { "ok      " } else { "unusable" }, video.key);
            }
            rows.push(Row { key: video.key.to_string(), ok, finding });
        }
        let unusable = rows.iter().filter(|row| !row.ok).count();
        if self.output.json {
            let value =
                json!({ "manifest": manifest.digest(), "unusable": unusable, "videos": rows });
            print_json(&value)?;
        }
        if unusable > 0 {
            bail!(
                "{unusable} of {total} videos cannot be used as sources: upload what is missing with `leoma corpus add`, take \
                 the others out with `leoma corpus remove`"
            );
        }
        if !self.output.json {
            println!("all {total} videos match the manifest");
        }
        Ok(())
    }
}

/// Most thousandths of a pixel by which another encoder may move a shot's own motion.
const MOTION_TOLERANCE: u32 = 20;

/// Whether a video is as the manifest says. One that was added before motion was measured says
/// nothing of it.
fn is_alike(found: &ManifestVideo, named: &ManifestVideo) -> bool {
    let near = |(one, other): (&u32, &u32)| one.abs_diff(*other) <= MOTION_TOLERANCE;
    let motion = match (&found.nonrigid, &named.nonrigid) {
        (Some(found), Some(named)) => found.iter().zip(named).all(near),
        _ => true,
    };
    let nonrigid = named.nonrigid.clone();
    motion && ManifestVideo { nonrigid, ..found.clone() } == *named
}

async fn check(
    source: &SourceBucket,
    ffmpeg: Option<&Ffmpeg>,
    video: &ManifestVideo,
) -> anyhow::Result<Result<String, String>> {
    let expected = Expectation { size: video.size, sha256: Some(video.sha256) };
    let bytes = match expected.fetch(source, &video.key).await? {
        Ok(bytes) => bytes,
        Err(reason) => return Ok(Err(reason.to_string())),
    };
    let Some(ffmpeg) = ffmpeg else { return Ok(Ok("the same bytes".to_owned())) };
    Ok(match inspect(ffmpeg, &video.key, bytes).await? {
        Err(reason) => Err(reason),
        Ok(found) if is_alike(&found, video) => Ok(describe(video)),
        // Clips are cut from the manifest's shots; another decoder may find a cut one frame
        // earlier.
        Ok(found) => Ok(format!(
            "usable, but differs here: {}, own motion {:?}; the manifest has shots {:?}, own motion {:?}",
            describe(&found),
            found.nonrigid,
            video.shots,
            video.nonrigid
        )),
    })
}
