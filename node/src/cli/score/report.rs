//! What `leoma score` says of a video.

use leoma_protocol::Digest;
use leoma_scoring::{AspectPolicy, Aspects, Outcome, OwnOutcome, Score, Scored, Scorer};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// One video's report. What could not be judged is null.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    device: String,
    judge: String,
    #[serde(skip)]
    policy: AspectPolicy,
    video_sha256: Option<Digest>,
    status: String,
    passed: Option<bool>,
    overall: Option<f64>,
    aspects: Map<String, Value>,
    reason: Option<String>,
    metrics: Value,
    prompt: Option<String>,
    note: Option<String>,
}

impl Report {
    /// Nothing judged yet.
    pub(super) fn new(scorer: &Scorer, judge: String, prompt: Option<String>) -> Self {
        Self {
            device: scorer.device().to_string(),
            judge,
            policy: *scorer.policy(),
            video_sha256: None,
            status: String::new(),
            passed: None,
            overall: None,
            aspects: Aspects::NAMES
                .map(|name| (name.to_owned(), Value::Null))
                .into_iter()
                .collect(),
            reason: None,
            metrics: Value::Null,
            prompt,
            note: None,
        }
    }

    pub(super) fn note(&mut self, note: &str) {
        self.note = Some(note.to_owned());
    }

    pub(super) fn scored(&mut self, scored: &Scored) {
        self.video_sha256 = Some(scored.video_sha256);
        self.outcome(&scored.outcome);
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Usable { grade, raw } => {
                self.status = if grade.passed { "passed" } else { "failed" }.to_owned();
                self.passed = Some(grade.passed);
                self.overall = Some(grade.overall.as_f64());
                self.aspects = in_points(&grade.aspects);
                self.reason = (!grade.passed).then(|| Aspects::weaknesses(raw, &self.policy));
                self.metrics = json!(raw);
            }
            Outcome::Unusable { status, reason, raw } => {
                self.refused(status.as_str(), reason);
                self.metrics = json!(raw);
            }
        }
    }

    pub(super) fn without_source(&mut self, video: &[u8], outcome: &OwnOutcome) {
        self.video_sha256 = Some(Digest::of(video));
        match outcome {
            OwnOutcome::Usable { first_frame_fidelity, raw } => {
                self.status = "usable".to_owned();
                self.aspects
                    .insert(Aspects::NAMES[0].to_owned(), json!(first_frame_fidelity.as_f64()));
                self.metrics = json!(raw);
                self.note(
                    "only the first frame was judged: the rest needs the source clip (--source)",
                );
            }
            OwnOutcome::Unusable { status, reason, raw } => {
                self.refused(status.as_str(), reason);
                self.metrics = json!(raw);
            }
        }
    }

    fn refused(&mut self, status: &str, reason: &str) {
        self.status = status.to_owned();
        self.passed = Some(false);
        self.reason = Some(reason.to_owned());
    }

    pub(super) fn json(&self) -> Value {
        json!(self)
    }

    /// For people.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        match (self.overall, &self.reason) {
            (Some(overall), Some(reason)) => {
                println!("{} with {overall:.1} of 100: {reason}", self.status);
            }
            (Some(overall), None) => println!("{} with {overall:.1} of 100", self.status),
            (None, Some(reason)) => println!("{}: {reason}", self.status),
            (None, None) => println!("{}", self.status),
        }
        for name in Aspects::NAMES {
            if let Some(points) = self.aspects.get(name).and_then(Value::as_f64) {
                println!("  {name:<22} {points:.1}");
            }
        }
        if let Some(note) = &self.note {
            println!("{note}");
        }
        Ok(())
    }
}

fn in_points(aspects: &Aspects) -> Map<String, Value> {
    let points = aspects.in_order().map(Score::as_f64);
    Aspects::NAMES
        .into_iter()
        .zip(points)
        .map(|(name, points)| (name.to_owned(), json!(points)))
        .collect()
}
