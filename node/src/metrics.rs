//! What Prometheus is told at `/metrics`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
    /// Tasks sampled to a published verdict file.
    pub tasks_sampled: Counter,
    /// Tasks that were begun and given up.
    pub tasks_failed: Counter,
    /// Time from a turn's begin to the published verdict file.
    pub task_seconds: Histogram,
    /// Time to score one answer.
    pub score_seconds: Histogram,
    /// Verdict files of peers taken in.
    pub files_taken_in: Counter,
    /// Verdict files refused, from wherever they came.
    pub files_refused: Counter,
    /// Peers with a mutual hello.
    pub peers: Gauge,
    /// Miners that may be sampled.
    pub valid_miners: Gauge,
}

impl Metrics {
    /// Metrics registered under `leoma_`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new([0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]);
        let metrics = Self {
            head_block: Gauge::default(),
            last_epoch_block: Gauge::default(),
            epochs_set: Counter::default(),
            weight_failures: Counter::default(),
            tasks_sampled: Counter::default(),
            tasks_failed: Counter::default(),
            task_seconds: seconds(),
            score_seconds: seconds(),
            files_taken_in: Counter::default(),
            files_refused: Counter::default(),
            peers: Gauge::default(),
            valid_miners: Gauge::default(),
        };
        let leoma = registry.sub_registry_with_prefix("leoma");
        leoma.register("head_block", "Newest block seen", metrics.head_block.clone());
        leoma.register(
            "last_epoch_block",
            "Boundary of the newest epoch whose weights are on chain",
            metrics.last_epoch_block.clone(),
        );
        leoma.register("epochs_set", "Epochs whose weights were set", metrics.epochs_set.clone());
        leoma.register("weight_failures", "Failed tries to set weights", metrics.weight_failures.clone());
        leoma.register("tasks_sampled", "Tasks sampled to a published verdict file", metrics.tasks_sampled.clone());
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
        leoma.register("files_taken_in", "Verdict files of peers taken in", metrics.files_taken_in.clone());
        leoma.register("files_refused", "Verdict files refused", metrics.files_refused.clone());
        leoma.register("peers", "Peers with a mutual hello", metrics.peers.clone());
        leoma.register("valid_miners", "Miners that may be sampled", metrics.valid_miners.clone());
        metrics
    }
}
