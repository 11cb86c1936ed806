//! The metrics at `/metrics`.
//!
//! No stranger can invent a label's value: peers are named by the hotkeys of the allowlist.

mod mesh;
mod scoring;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use mesh::MeshMetrics;
pub use scoring::register_scoring;

/// Where a verdict file was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchSource {
    /// In its producer's bucket.
    Bucket,
    /// With peers, over the mesh.
    Mesh,
}

/// How the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// A valid file was found.
    Found,
    /// There was none.
    Missing,
    /// The file was not valid.
    Refused,
    /// There was no answer.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    source: &'static str,
    outcome: &'static str,
}

/// The validator's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Newest block seen.
    pub head_block: Gauge,
    /// Boundary of the newest epoch whose weights were read back from the chain.
    pub last_epoch_block: Gauge,
    /// Epochs whose weights were set.
    pub epochs_set: Counter,
    /// Failed tries to set weights.
    pub weight_failures: Counter,
    /// Committed weights that were not revealed, or not as committed.
    pub reveals_missed: Counter,
    /// Tasks sampled to a published verdict file.
    pub tasks_sampled: Counter,
    /// Tasks that were started and failed.
    pub tasks_failed: Counter,
    /// Time from the start of a turn to the published verdict file.
    pub task_seconds: Histogram,
    /// Time to score one answer.
    pub score_seconds: Histogram,
    /// Verdict files of peers that were accepted.
    pub files_taken_in: Counter,
    /// Verdict files that were refused.
    pub files_refused: Counter,
    /// Miners that may be sampled.
    pub valid_miners: Gauge,
    fetches: Family<FetchLabels, Counter>,
}

impl Metrics {
    /// Metrics registered under `leoma_`.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new([0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]);
        let metrics = Self {
            head_block: Gauge::default(),
            last_epoch_block: Gauge::default(),
            epochs_set: Counter::default(),
            weight_failures: Counter::default(),
            reveals_missed: Counter::default(),
            tasks_sampled: Counter::default(),
            tasks_failed: Counter::default(),
            task_seconds: seconds(),
            score_seconds: seconds(),
            files_taken_in: Counter::default(),
            files_refused: Counter::default(),
            valid_miners: Gauge::default(),
            fetches: Family::default(),
        };
        let leoma = registry.sub_registry_with_prefix("leoma");
        leoma.register("head_block", "Newest block seen", metrics.head_block.clone());
        leoma.register(
            "last_epoch_block",
            "Boundary of the newest epoch whose weights are on chain",
            metrics.last_epoch_block.clone(),
        );
        leoma.register("epochs_set", "Epochs whose weights were set", metrics.epochs_set.clone());
        leoma.register(
            "weight_failures",
            "Failed tries to set weights",
            metrics.weight_failures.clone(),
        );
        leoma.register(
            "reveals_missed",
            "Committed weights that were not revealed, or went to another than the winner",
            metrics.reveals_missed.clone(),
        );
        leoma.register(
            "tasks_sampled",
            "Tasks sampled to a published verdict file",
            metrics.tasks_sampled.clone(),
        );
        leoma.register("tasks_failed", "Tasks begun and given up", metrics.tasks_failed.clone());
        leoma.register_with_unit(
            "task_duration",
            "Time from a turn to its verdict file",
            Unit::Seconds,
            metrics.task_seconds.clone(),
        );
        leoma.register_with_unit(
            "score_duration",
            "Time to score one answer",
            Unit::Seconds,
            metrics.score_seconds.clone(),
        );
        leoma.register(
            "files_taken_in",
            "Verdict files of peers taken in",
            metrics.files_taken_in.clone(),
        );
        leoma.register("files_refused", "Verdict files refused", metrics.files_refused.clone());
        leoma.register("valid_miners", "Miners that may be sampled", metrics.valid_miners.clone());
        leoma.register(
            "verdict_fetches",
            "Verdict files asked for, by source and outcome",
            metrics.fetches.clone(),
        );
        metrics
    }

    /// Counts a verdict file that was asked for.
    pub fn fetched(&self, source: FetchSource, outcome: FetchOutcome) {
        let source = match source {
            FetchSource::Bucket => "bucket",
            FetchSource::Mesh => "mesh",
        };
        let outcome = match outcome {
            FetchOutcome::Found => "found",
            FetchOutcome::Missing => "missing",
            FetchOutcome::Refused => "refused",
            FetchOutcome::Failed => "failed",
        };
        self.fetches.get_or_create(&FetchLabels { source, outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_listed_for_operators() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let _mesh = MeshMetrics::register(&mut registry);
        register_scoring(&mut registry, Default::default);
        metrics.fetched(FetchSource::Bucket, FetchOutcome::Found);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let families: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert!(families.len() > 20, "{families:?}");
        let listed = include_str!("../../../docs/metrics.md");
        for family in families {
            assert!(listed.contains(&format!("`{family}")), "{family} is not in docs/metrics.md");
        }
    }
}
