//! The bodies of posts, made from what the pages show.

use leoma_web::view::{Entry, Snapshot, Validity, Verdict};
use leoma_web::{ReportedMiner, Sample};
use serde::Serialize;

/// Longest texts that the API takes.
const MAX_REASONING_CHARS: usize = 4096;
const MAX_NAME_CHARS: usize = 512;
/// Samples in one post.
pub(super) const SAMPLES_A_POST: usize = 256;

/// `POST /miners/report`: replaces this validator's report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct MinersReport {
    pub(super) miners: Vec<ReportedMiner>,
}

/// `POST /samples/batch`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SampleBatch {
    /// That of the verdict file.
    pub(super) signature: Option<String>,
    pub(super) samples: Vec<Sample>,
}

/// Where a task's files are, and what the miners were asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskPlace<'a> {
    pub(super) bucket: &'a str,
    pub(super) prompt: &'a str,
    pub(super) signature: Option<&'a str>,
}

/// What we found out about the miners; `None` before the first check. A miner that could not be
/// checked is left out: that is not a finding.
pub(super) fn miners_report(snapshot: &Snapshot) -> Option<MinersReport> {
    let mut miners = Vec::new();
    for miner in &snapshot.miners {
        let invalid_reason = match &miner.validity {
            Validity::Valid => None,
            Validity::Invalid(reason) => Some(cut(reason, MAX_NAME_CHARS)),
            Validity::Unknown => continue,
        };
        let Some(uid) = miner.uid else { continue };
        let short = |text: &Option<String>| text.as_deref().map(|text| cut(text, MAX_NAME_CHARS));
        miners.push(ReportedMiner {
            uid,
            miner_hotkey: miner.hotkey.to_string(),
            model_name: short(&miner.model_name),
            model_revision: short(&miner.model_revision),
            model_hash: short(&miner.model_hash),
            chute_id: short(&miner.chute_id),
            chute_slug: short(&miner.chute_slug),
            block: miner.commit_block,
            is_valid: invalid_reason.is_none(),
            invalid_reason,
        });
    }
    (!miners.is_empty()).then_some(MinersReport { miners })
}

/// A verdict file's entries as samples, in posts of a size that the API takes.
pub(super) fn sample_batches(verdict: &Verdict, place: TaskPlace<'_>) -> Vec<SampleBatch> {
    let sample = |entry: &Entry| Sample {
        task_id: verdict.task_id,
        miner_hotkey: entry.miner.to_string(),
        prompt: cut(place.prompt, MAX_REASONING_CHARS),
        s3_bucket: place.bucket.to_owned(),
        s3_prefix: format!("{}/", verdict.task_id),
        passed: entry.passed,
        confidence: Some(entry.confidence.into()),
        reasoning: Some(cut(&entry.reasoning, MAX_REASONING_CHARS)),
        latency_ms: (entry.latency_ms > 0).then(|| entry.latency_ms.cast_signed()),
        original_artifacts: None,
        generated_artifacts: None,
        presentation_order: None,
        evaluation_signature: None,
    };
    let batch = |entries: &[Entry]| SampleBatch {
        signature: place.signature.map(str::to_owned),
        samples: entries.iter().map(sample).collect(),
    };
    verdict.entries.chunks(SAMPLES_A_POST).map(batch).collect()
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use leoma_web::testing::{Scale, subnet};

    use super::*;

    #[test]
    fn a_miner_that_could_not_be_checked_is_not_called_invalid() {
        let mut snapshot = subnet(Scale { miners: 3, tasks: 1, validators: 1 });
        for miner in &mut snapshot.miners {
            miner.validity = Validity::Unknown;
        }
        assert_eq!(miners_report(&snapshot), None);
        snapshot.miners[0].validity = Validity::Valid;
        snapshot.miners[1].validity = Validity::Invalid("r".repeat(600));
        let report = miners_report(&snapshot).unwrap().miners;
        assert_eq!(report.len(), 2);
        assert!(report[0].is_valid && report[0].invalid_reason.is_none());
        assert!(!report[1].is_valid);
        assert_eq!(report[1].invalid_reason.as_ref().map(String::len), Some(MAX_NAME_CHARS));
    }

    #[test]
    fn a_file_of_many_miners_takes_several_posts() {
        let snapshot = subnet(Scale { miners: SAMPLES_A_POST + 1, tasks: 1, validators: 1 });
        let prompt = "p".repeat(5000);
        let place = TaskPlace { bucket: "mine", prompt: &prompt, signature: Some("0x1") };
        let batches = sample_batches(&snapshot.files[0].verdict, place);
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.samples.len()).collect();
        assert_eq!(sizes, [SAMPLES_A_POST, 1]);
        let first = &batches[0].samples[0];
        assert_eq!((first.prompt.len(), first.s3_bucket.as_str()), (4096, "mine"));
        assert_eq!(first.s3_prefix, format!("{}/", first.task_id));
    }
}
