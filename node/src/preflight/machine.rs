//! Checks of the own bucket, its read key, the keys of services, and ffmpeg.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use leoma_protocol::{Hotkey, TaskId};
use leoma_scoring::media::{Ffmpeg, FfmpegMissing};
use leoma_storage::{
    Bucket, BucketConfig, Grant, Key, OwnBucket, RetryPolicy, SourceBucket, StaticPeers, TaskKey,
    TaskObject,
};

use super::check::Check;
use super::limit::{in_words, limited};
use crate::config::Config;
use crate::serve::Parts;
use crate::subnet::allowlists;

const OWN: &str = "own bucket";
const READ: &str = "read key";
const FFMPEG: &str = "ffmpeg";
/// Most bytes that are read of a peer's object.
const MAX_PROBE: u64 = 1 << 20;

/// A bucket with short timeouts, so that its own errors show before the check's time limit.
pub(super) fn impatient(bucket: Bucket) -> Bucket {
    let (attempt_timeout, deadline) = (Duration::from_secs(3), Duration::from_secs(4));
    bucket.with_policy(RetryPolicy {
        attempts: 2,
        attempt_timeout,
        deadline,
        ..RetryPolicy::default()
    })
}

/// What to do about a bucket's error: `next_step`, unless it is this machine's clock.
pub(super) fn next_step_of(error: &str, next_step: String) -> String {
    if error.contains("this machine's clock") {
        "set this machine's clock right (timedatectl set-ntp true)".to_owned()
    } else {
        next_step
    }
}

/// Names in the configuration that are not used.
pub(super) fn configuration(config: &Config) -> Vec<Check> {
    let warn =
        |note: &String| Check::warn("configuration", note, "correct the name, or take it out");
    config.notes.iter().map(warn).collect()
}

/// Checks that the source bucket can be read, whatever the chain says.
pub(super) async fn source(config: &Config) -> Check {
    const NAME: &str = "source bucket";
    let ask = "ask the subnet's owner for the source bucket and its read keys (R2_ENDPOINT, R2_SOURCE_BUCKET, R2_VIDEOS_READ_…)";
    let source = match config.buckets.need_source() {
        Ok(source) => source,
        Err(error) => return Check::fail(NAME, in_words(error), ask),
    };
    let read = async {
        let bucket = SourceBucket::new(impatient(source.open()?));
        anyhow::Ok(allowlists::present(&bucket).await?.is_some())
    };
    let place = format!("{}/{}", source.endpoint, source.bucket);
    match limited(read).await {
        Ok(true) => Check::pass(NAME, format!("{place}, with an allowlist")),
        Ok(false) => Check::warn(NAME, format!("{place}, without an allowlist"), ask),
        Err(error) => {
            let next_step = next_step_of(&error, ask.to_owned());
            Check::fail(NAME, error, next_step)
        }
    }
}

/// Checks the entries of `PEER_VALIDATORS`, and that each bucket can be read.
pub(super) async fn peers(config: &Config) -> Vec<Check> {
    const NAME: &str = "peer buckets";
    let StaticPeers { peers, refused } = &config.buckets.peers;
    let refused = refused
        .iter()
        .map(|refused| Check::warn(NAME, refused.to_string(), "correct the entry; it is left out"));
    let read = join_all(peers.iter().map(async |peer| {
        let probe = async {
            let bucket = impatient(peer.bucket.open()?);
            // Any object will do: "there is none" is an answer of a bucket that can be read.
            let key = Key::from(TaskKey::new(TaskId(0), TaskObject::Metadata));
            anyhow::Ok(bucket.get(&key, MAX_PROBE).await?)
        };
        let error = limited(probe).await.err()?;
        let finding = format!("PEER_VALIDATORS, {}: {error}", peer.hotkey);
        let next_step = "ask that validator for its bucket and read key; until then its files come over the mesh";
        Some(Check::warn(NAME, finding, next_step_of(&error, next_step.to_owned())))
    }));
    let mut checks: Vec<Check> = refused.chain(read.await.into_iter().flatten()).collect();
    if checks.is_empty() && !peers.is_empty() {
        checks.push(Check::pass(NAME, format!("{} of PEER_VALIDATORS can be read", peers.len())));
    }
    checks
}

/// Checks that the own bucket refuses to overwrite objects, and that the key for peers only reads.
pub(super) async fn buckets(config: &Config, parts: Parts, hotkey: Option<Hotkey>) -> Vec<Check> {
    let own = match config.buckets.need_own() {
        Ok(own) => own,
        Err(_) if !parts.sampler => return Vec::new(),
        Err(error) => {
            let next_step =
                "make a bucket with a write key, and a read-only key for peers (R2_OWN_…)";
            let check = Check::fail(OWN, in_words(error), next_step);
            return vec![check, Check::skip(READ, "there is no own bucket")];
        }
    };
    let Some(hotkey) = hotkey else {
        return [OWN, READ]
            .map(|name| Check::skip(name, "the hotkey's address is not known"))
            .to_vec();
    };
    let proved = async {
        OwnBucket::new(impatient(own.open()?), hotkey).prove_create_once().await?;
        anyhow::Ok(())
    };
    if let Err(error) = limited(proved).await {
        let next_step = "check R2_OWN_ENDPOINT, R2_OWN_BUCKET and the write key, and that the store honours If-None-Match";
        let next_step = next_step_of(&error, next_step.to_owned());
        return vec![
            Check::fail(OWN, error, next_step),
            Check::skip(READ, "the own bucket cannot be used"),
        ];
    }
    let finding = format!(
        "written, read, and not overwritten: {}/{} (the bucket in the path)",
        own.endpoint, own.bucket
    );
    let own = Check::pass(OWN, finding);
    vec![own, read_key(config.buckets.own_read.as_ref()).await]
}

async fn read_key(read: Option<&BucketConfig>) -> Check {
    let Some(read) = read else {
        let finding = "R2_OWN_READ_ACCESS_KEY is not set: peers cannot check our verdict files, and attest to none";
        return Check::warn(
            READ,
            finding,
            "make a read-only key of the own bucket and set R2_OWN_READ_…",
        );
    };
    let proved = async {
        let _grant = Grant::with_keys(read).context("it cannot be granted to peers")?;
        OwnBucket::prove_read_only(&impatient(read.open()?)).await?;
        anyhow::Ok(())
    };
    match limited(proved).await {
        Ok(()) => Check::pass(READ, "reads the own bucket and cannot write to it"),
        Err(error) => {
            Check::fail(READ, error, "make a read-only key of the own bucket and set R2_OWN_READ_…")
        }
    }
}

/// Checks what only the sampler needs.
pub(super) async fn tools(config: &Config) -> Vec<Check> {
    let look = || {
        let ffmpeg = Ffmpeg::find()?;
        Ok::<_, FfmpegMissing>((ffmpeg.version_text(), ffmpeg.missing_codecs()))
    };
    // Each of its processes has a limit of its own, and a busy machine takes its time.
    let found = tokio::task::spawn_blocking(look).await.map_err(in_words);
    let ffmpeg = match found.and_then(|found| found.map_err(in_words)) {
        Ok((version, missing)) => ffmpeg_of(&version, &missing),
        Err(error) => {
            Check::fail(FFMPEG, error, "install ffmpeg, with ffprobe, into a folder of PATH")
        }
    };
    let keys = [
        (
            "GEMINI_API_KEY",
            !config.judging.judge.asks_gemini() || config.services.gemini_api_key.is_some(),
        ),
        ("CHUTES_API_KEY", config.services.chutes_api_key.is_some()),
    ];
    let absent: Vec<&str> =
        keys.iter().filter(|(_, is_set)| !is_set).map(|(name, _)| *name).collect();
    // Without the judge's key a validator does not start; without the other one it starts and
    // reaches no miner.
    let services = if let Err(error) = config.judging.need_describer() {
        Check::fail(
            "service keys",
            error.to_string(),
            "set LEOMA_JUDGE and GEMINI_API_KEY, or another LEOMA_TASK",
        )
    } else if absent.is_empty() {
        Check::pass("service keys", "all that are needed are set")
    } else {
        let next_step = "set them in the environment, in .env or in the file given with --config";
        Check::fail("service keys", format!("not set: {}", absent.join(", ")), next_step)
    };
    vec![ffmpeg, services]
}

/// An ffmpeg of this version that lacks decoders of these codecs. Without a decoder no miner fails,
/// but a task with a video of that codec has no file.
fn ffmpeg_of(version: &str, missing: &[String]) -> Check {
    if missing.is_empty() {
        return Check::pass(FFMPEG, format!("{version}, decodes every codec of miners' videos"));
    }
    let finding = format!("{version}, does not decode {}", missing.join(", "));
    let next_step = "install an ffmpeg with these decoders (Debian and Ubuntu: apt-get install \
                     ffmpeg): until then a task with such a video is given up";
    Check::warn(FFMPEG, finding, next_step)
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Pass, Warn};
    use super::*;

    #[test]
    fn a_missing_decoder_is_a_warning_that_names_the_codec_and_the_next_step() {
        let whole = ffmpeg_of("5.1", &[]);
        assert_eq!(whole.outcome, Pass);
        assert!(whole.finding.starts_with("5.1, "), "{whole}");
        let lacking = ffmpeg_of("7.0", &["av1 (Decoder not found)".to_owned()]);
        assert_eq!(lacking.outcome, Warn);
        let said = lacking.to_string();
        assert!(said.contains("7.0, does not decode av1 (Decoder not found)"), "{said}");
        assert!(said.contains("apt-get install ffmpeg"), "{said}");
    }
}
