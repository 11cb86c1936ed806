//! Checks of the own bucket, its read key, the keys of services, and ffmpeg.

use std::time::Duration;

use anyhow::Context as _;
use leoma_protocol::Hotkey;
use leoma_scoring::media::Ffmpeg;
use leoma_storage::{Bucket, BucketConfig, Grant, OwnBucket, RetryPolicy};

use super::check::Check;
use super::limit::{in_words, limited};
use crate::config::Config;
use crate::serve::Parts;

const OWN: &str = "own bucket";
const READ: &str = "read key";

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
        return vec![
            Check::fail(OWN, error, next_step),
            Check::skip(READ, "the own bucket cannot be used"),
        ];
    }
    let own = Check::pass(OWN, "written, read, and not overwritten");
    vec![own, read_key(config.buckets.own_read.as_ref()).await]
}

async fn read_key(read: Option<&BucketConfig>) -> Check {
    let Some(read) = read else {
        let finding =
            "R2_OWN_READ_ACCESS_KEY is not set: peers get verdict files over the mesh only";
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
    let found =
        limited(async { anyhow::Ok(tokio::task::spawn_blocking(Ffmpeg::find).await??) }).await;
    let ffmpeg = match found {
        Ok(ffmpeg) => {
            let (major, minor) = ffmpeg.version();
            Check::pass(
                "ffmpeg",
                if major == u32::MAX {
                    "a development build".to_owned()
                } else {
                    format!("{major}.{minor}")
                },
            )
        }
        Err(error) => {
            Check::fail("ffmpeg", error, "install ffmpeg, with ffprobe, into a folder of PATH")
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
