//! `leoma corpus list`.

use clap::Args;
use leoma_storage::CorpusManifest;
use serde_json::json;

use super::bucket::{manifest, readable, unnamed};
use super::inspect::describe;
use super::output::Output;
use crate::cli::output::print_json;
use crate::config::Config;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    output: Output,
}

impl ListArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let source = readable(config)?;
        let manifest = manifest(&source).await?;
        let unnamed = unnamed(&source, manifest.as_ref()).await?;
        if self.output.json {
            let value = json!({
                "manifest": manifest.as_ref().map(CorpusManifest::digest),
                "videos": manifest.as_ref().map(CorpusManifest::videos).unwrap_or_default(),
                "unnamed": unnamed,
            });
            return print_json(&value);
        }
        match &manifest {
            Some(manifest) => {
                println!("manifest {}, {} videos", manifest.digest(), manifest.videos().len());
                for video in manifest.videos() {
                    println!("  {}  {}", video.key, describe(video));
                }
            }
            None => println!(
                "no manifest: clips are cut from whatever the bucket lists (`leoma corpus add --adopt` writes one)"
            ),
        }
        if !unnamed.is_empty() {
            let used = if manifest.is_some() { "not used" } else { "in the bucket" };
            println!("{} videos {used}:", unnamed.len());
            unnamed.iter().for_each(|key| println!("  {key}"));
        }
        Ok(())
    }
}
