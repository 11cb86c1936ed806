//! `leoma challenges`: the owner's list of challenges for mechanism motion.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use leoma_protocol::Digest;
use leoma_scoring::motion::{Bvh, clip_of_reference};
use leoma_storage::{
    Bucket, Challenge, ChallengeFile, ChallengeList, Key, MAX_CHALLENGE_BYTES, SourceBucket,
    StoreError,
};
use serde_json::json;

use super::output::print_json;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum ChallengesCommand {
    /// Publish a folder of challenges: check each, upload it, and write the list that names all.
    ///
    /// A challenge is NAME.wav, which miners are sent, and NAME.bvh, which their answers are compared
    /// with. Both have at most 8 MiB, and the BVH file has the joints of a reference. Objects
    /// are never replaced, and every list stays under its hash, so that old tasks can be checked.
    /// The list names what is in the folder and nothing else. Anyone can read a challenge once it
    /// was drawn, so add new ones.
    ///
    /// Needs the owner's keys: R2_VIDEOS_WRITE_ACCESS_KEY and R2_VIDEOS_WRITE_SECRET_KEY.
    Publish(PublishArgs),
}

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// The folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only check the files and show the list's hash.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A file to upload.
struct Upload {
    key: Key,
    bytes: Bytes,
}

impl ChallengesCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, BTreeMap::new())?;
        match self {
            Self::Publish(args) => args.run(&config).await,
        }
    }
}

impl PublishArgs {
    async fn run(self, config: &Config) -> anyhow::Result<()> {
        let (list, uploads) = read_folder(&self.folder)?;
        if !self.dry_run {
            let bucket = config.buckets.need_source_write()?.open()?;
            let source = SourceBucket::new(bucket);
            upload(source.bucket(), uploads, |line| eprintln!("{line}")).await?;
            source.write_challenges(&list).await?;
        }
        let count = list.challenges().len();
        if self.json {
            let (list, published) = (list.digest(), !self.dry_run);
            return print_json(&json!({
                "list": list, "challenges": count, "published": published,
            }));
        }
        let done = if self.dry_run { "would be published" } else { "published" };
        println!("{count} challenges {done}, list {}", list.digest());
        Ok(())
    }
}

/// Uploads what is not there yet. `progress` is told of each file before it is sent.
async fn upload(
    bucket: &Bucket,
    uploads: Vec<Upload>,
    mut progress: impl FnMut(String),
) -> Result<(), StoreError> {
    let total = uploads.len();
    for (index, Upload { key, bytes }) in uploads.into_iter().enumerate() {
        progress(format!("[{}/{total}] {key}, {} bytes", index + 1, bytes.len()));
        let _new_or_there_already = bucket.create(&key, bytes).await?;
    }
    Ok(())
}

/// The challenges of a folder, each checked, with what is to be uploaded.
fn read_folder(folder: &Path) -> anyhow::Result<(ChallengeList, Vec<Upload>)> {
    let shown = || folder.display().to_string();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(shown)? {
        let path = entry.with_context(shown)?.path();
        if path.extension().is_some_and(|ending| ending == "wav") {
            names.push(path);
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("{} has no .wav files", shown());
    }
    let (mut challenges, mut uploads) = (Vec::with_capacity(names.len()), Vec::new());
    for path in names {
        let audio = read(&path)?;
        let reference = path.with_extension("bvh");
        let animation = read(&reference)?;
        let parsed = Bvh::parse(&animation).and_then(|bvh| clip_of_reference(&bvh));
        let _clip = parsed.with_context(|| reference.display().to_string())?;
        let mut file = |bytes: Bytes, ending: &str| -> anyhow::Result<ChallengeFile> {
            let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
            // By its hash: objects are never replaced, and names would tell what is to come.
            let key: Key = format!("challenges/{sha256}.{ending}").parse()?;
            uploads.push(Upload { key: key.clone(), bytes });
            Ok(ChallengeFile { key, sha256, size })
        };
        let animation = file(animation, "bvh")?;
        challenges.push(Challenge { animation, audio: file(audio, "wav")? });
    }
    Ok((ChallengeList::new(challenges)?, uploads))
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    let shown = || path.display().to_string();
    let length = std::fs::metadata(path).with_context(shown)?.len();
    if length > MAX_CHALLENGE_BYTES {
        bail!("{} has {length} bytes, more than {MAX_CHALLENGE_BYTES}", shown());
    }
    Ok(std::fs::read(path).with_context(shown)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_checked_before_anything_is_uploaded() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        let refused = || read_folder(folder.path()).err().map(|error| format!("{error:#}"));
        assert!(refused().unwrap().contains("no .wav files"));
        write("one.wav", "sound");
        assert!(refused().unwrap().contains("one.bvh"));
        write("one.bvh", "HIERARCHY");
        assert!(refused().unwrap().contains("ends after 1 words"));
        let reference = include_str!("../../../vectors/motion/ref.bvh");
        write("one.bvh", reference);
        write("two.wav", "another sound");
        write("two.bvh", reference);
        write("notes.txt", "not a challenge");
        let (list, uploads) = read_folder(folder.path()).unwrap();
        assert_eq!((list.challenges().len(), uploads.len()), (2, 4));
        for challenge in list.challenges() {
            let key = format!("challenges/{}.bvh", Digest::of(reference.as_bytes()));
            assert_eq!(challenge.animation.key.as_str(), key);
        }
        write("three.wav", "sound");
        write("three.bvh", reference);
        assert!(refused().unwrap().contains("same audio"));
        write("three.bvh", &reference.replace("hips_JNT", "Pelvis"));
        assert!(refused().unwrap().contains("no joint hips_JNT"));
    }
    #[tokio::test]
    async fn every_upload_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let reference = include_str!("../../../vectors/motion/ref.bvh");
        for (name, text) in [("one.wav", "sound"), ("one.bvh", reference)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (_, uploads) = read_folder(folder.path()).unwrap();
        let keys: Vec<Key> = uploads.iter().map(|upload| upload.key.clone()).collect();
        let (bucket, mut told) = (Bucket::in_memory("source"), Vec::new());
        upload(&bucket, uploads, |line| told.push(line)).await.unwrap();
        assert_eq!(told.len(), 2);
        for (line, (number, key)) in told.iter().zip((1..).zip(&keys)) {
            assert!(line.starts_with(&format!("[{number}/2] {key}, ")), "{line}");
            assert!(bucket.get(key, MAX_CHALLENGE_BYTES).await.unwrap().is_some(), "{key}");
        }
    }
}
