//! What validators and administrators post: the blacklist, samples and reports about miners.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::view::Validity;

/// Reports older than this do not count: three passes of miner validation at its default.
const FRESH_SECONDS: i64 = 900;

/// The board could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the board cannot be used: {0}")]
pub struct BoardError(pub String);

/// A blacklisted hotkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blacklisted {
    /// The hotkey.
    pub hotkey: String,
    /// Why.
    pub reason: Option<String>,
    /// The administrator that added it.
    pub added_by: Option<String>,
    /// When it was added, ISO 8601.
    pub created_at: Option<String>,
}

/// One sample as a validator posts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// The task.
    pub task_id: u64,
    /// The miner.
    pub miner_hotkey: String,
    /// What was asked for.
    pub prompt: String,
    /// The bucket with the task's files.
    pub s3_bucket: String,
    /// The task's prefix there.
    pub s3_prefix: String,
    /// Whether it passed.
    pub passed: bool,
    /// 0 to 100.
    #[serde(default, deserialize_with = "whole")]
    pub confidence: Option<i64>,
    /// Why, in words.
    pub reasoning: Option<String>,
    /// Time to the complete answer.
    #[serde(default, deserialize_with = "whole")]
    pub latency_ms: Option<i64>,
    /// What the judge said of the original.
    pub original_artifacts: Option<String>,
    /// What the judge said of the answer.
    pub generated_artifacts: Option<String>,
    /// The order in which the judge saw them.
    pub presentation_order: Option<String>,
    /// The validator's signature on the evaluation.
    pub evaluation_signature: Option<String>,
}

/// The largest number up to which a float names every whole one.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number or null. Python clients also write one as 85.0.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= MAX_EXACT);
    let found = number.as_i64().or(float.map(|float| float as i64));
    found.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not a whole number")))
}

/// A sample that was posted.
#[derive(Clone, Debug, PartialEq)]
pub struct PostedSample {
    /// Its number on this board.
    pub id: i64,
    /// Who posted it.
    pub validator: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// What was posted.
    pub sample: Sample,
}

/// Which posted samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedSamples {
    /// Only those of this task.
    pub task_id: Option<u64>,
    /// Only those of this validator.
    pub validator: Option<String>,
    /// Only those on this miner.
    pub miner: Option<String>,
    /// None of these tasks by these validators.
    pub without: Vec<(u64, String)>,
    /// How many of the newest to leave out.
    pub skip: usize,
    /// How many to return at most.
    pub limit: usize,
}

/// One miner in a validator's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportedMiner {
    /// Its slot.
    pub uid: u16,
    /// Its hotkey.
    pub miner_hotkey: String,
    /// The model's repository.
    pub model_name: Option<String>,
    /// The committed revision.
    pub model_revision: Option<String>,
    /// SHA-256 over the hashes of the model's weight files.
    pub model_hash: Option<String>,
    /// The chute that serves it.
    pub chute_id: Option<String>,
    /// The name of that chute's endpoint.
    pub chute_slug: Option<String>,
    /// The block of its commitment.
    pub block: Option<u64>,
    /// Whether the validator may sample it.
    pub is_valid: bool,
    /// Why not.
    pub invalid_reason: Option<String>,
}

/// A validator's newest report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who reports.
    pub validator: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// What it says.
    pub miners: Vec<ReportedMiner>,
}

impl Report {
    /// Whether it still counts at `now`, in seconds since 1970.
    pub fn is_fresh(&self, now: i64) -> bool {
        now - self.at <= FRESH_SECONDS
    }
}

/// Keeps what is posted. The implementation bounds every list.
#[async_trait::async_trait]
pub trait Board: Send + Sync + std::fmt::Debug {
    /// All blacklisted hotkeys, by hotkey.
    async fn blacklist(&self) -> Result<Vec<Blacklisted>, BoardError>;
    /// Blacklists a hotkey, or replaces its reason.
    async fn blacklist_add(&self, entry: Blacklisted) -> Result<(), BoardError>;
    /// Takes a hotkey off the blacklist; whether it was on it.
    async fn blacklist_remove(&self, hotkey: &str) -> Result<bool, BoardError>;
    /// Keeps samples; a validator's second one for a task and miner replaces the first.
    async fn add_samples(
        &self,
        validator: &str,
        at: i64,
        samples: Vec<Sample>,
    ) -> Result<(), BoardError>;
    /// Posted samples, newest first.
    async fn samples(&self, wanted: WantedSamples) -> Result<Vec<PostedSample>, BoardError>;
    /// Replaces a validator's report.
    async fn put_report(&self, report: Report) -> Result<(), BoardError>;
    /// The newest report of each validator.
    async fn reports(&self) -> Result<Vec<Report>, BoardError>;
    /// Forgets the samples and reports of all validators but those in `listed`.
    async fn forget_others(&self, listed: Vec<String>) -> Result<(), BoardError>;
}

/// What a majority of reports says about one miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The majority's word, with the details of a report that agrees with it.
    pub(crate) miner: ReportedMiner,
    /// When the newest of these reports came, in seconds since 1970.
    pub(crate) at: i64,
}

impl Judged {
    /// Whether the miner may be sampled.
    pub(crate) fn validity(&self) -> Validity {
        if self.miner.is_valid {
            return Validity::Valid;
        }
        Validity::Invalid(self.miner.invalid_reason.clone().unwrap_or_default())
    }
}

/// What a strict majority of fresh reports says about each miner; empty without fresh reports. A
/// miner that only a minority names counts as invalid.
pub(crate) fn majority(reports: &[Report], now: i64) -> BTreeMap<String, Judged> {
    let fresh: Vec<&Report> = reports.iter().filter(|report| report.is_fresh(now)).collect();
    let mut said: BTreeMap<String, Vec<(&ReportedMiner, i64)>> = BTreeMap::new();
    for report in &fresh {
        for miner in &report.miners {
            said.entry(miner.miner_hotkey.clone()).or_default().push((miner, report.at));
        }
    }
    let judged = |(hotkey, reports): (String, Vec<(&ReportedMiner, i64)>)| {
        let valid = reports.iter().filter(|(miner, _)| miner.is_valid).count();
        let is_valid = valid * 2 > fresh.len();
        // Shows a report that agrees with the majority, so that its reason fits the result.
        let agrees = reports.iter().find(|(miner, _)| miner.is_valid == is_valid);
        let (shown, _) = agrees.or(reports.first())?;
        let at = reports.iter().map(|(_, at)| *at).max()?;
        let invalid_reason = match (&shown.invalid_reason, is_valid) {
            (_, true) => None,
            (Some(reason), false) => Some(reason.clone()),
            (None, false) => Some("no_majority".to_owned()),
        };
        let miner = ReportedMiner { is_valid, invalid_reason, ..(*shown).clone() };
        Some((hotkey, Judged { miner, at }))
    };
    said.into_iter().filter_map(judged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(validator: &str, at: i64, is_valid: bool) -> Report {
        let miner = ReportedMiner {
            uid: 3,
            miner_hotkey: "5miner".into(),
            model_name: None,
            model_revision: None,
            model_hash: None,
            chute_id: None,
            chute_slug: None,
            block: Some(7),
            is_valid,
            invalid_reason: (!is_valid).then(|| "chute_not_running".to_owned()),
        };
        Report { validator: validator.into(), at, miners: vec![miner] }
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let read = |confidence: &str| {
            let text = format!(
                r#"{{"task_id": 1, "miner_hotkey": "m", "prompt": "", "s3_bucket": "b",
                "s3_prefix": "1/", "passed": true, "latency_ms": 1.2e3{confidence}}}"#
            );
            serde_json::from_str::<Sample>(&text).map(|one| (one.confidence, one.latency_ms))
        };
        assert_eq!(read(r#", "confidence": 85.0"#).unwrap(), (Some(85), Some(1200)));
        assert_eq!(read(r#", "confidence": 85"#).unwrap().0, Some(85));
        assert_eq!(read(r#", "confidence": null"#).unwrap().0, None);
        assert_eq!(read("").unwrap().0, None);
        for wrong in ["85.5", "\"85\"", "1e300", "true"] {
            assert!(read(&format!(r#", "confidence": {wrong}"#)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn half_of_the_fresh_reports_is_no_majority() {
        let split = [report("a", 1000, true), report("b", 1000, false)];
        let miner = &majority(&split, 1000)["5miner"].miner;
        assert!(!miner.is_valid && miner.invalid_reason.as_deref() == Some("chute_not_running"));
        let two = [report("a", 1000, true), report("b", 1000, true), report("c", 1000, false)];
        let miner = &majority(&two, 1000)["5miner"].miner;
        assert!(miner.is_valid && miner.invalid_reason.is_none());
        // The only one against it is too old.
        let stale = [report("a", 1000, true), report("b", 99, false)];
        assert!(majority(&stale, 1000)["5miner"].miner.is_valid);
        let later = [report("a", 1000, true), report("b", 1200, true)];
        assert_eq!(majority(&later, 1300)["5miner"].at, 1200);
        assert!(majority(&stale, 5000).is_empty());
    }
}
