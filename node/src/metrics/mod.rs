//! The metrics at `/metrics`.
//!
//! No stranger can invent a label's value: peers are named by the hotkeys of the allowlist.

/// Writes a struct of metrics that shows each of them under its name and with its help text.
macro_rules! metrics {
    ($(#[$about:meta])* pub struct $name:ident under $prefix:literal {
        $($vis:vis $field:ident: $kind:ty = $add:ident($shown:literal, $help:literal $(, $new:expr)?);)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $(#[doc = $help] $vis $field: $kind,)*
        }

        impl $name {
            #[doc = concat!("Metrics registered under `", $prefix, "_`.")]
            pub fn register(registry: &mut Registry) -> Self {
                let registry = registry.sub_registry_with_prefix($prefix);
                Self { $($field: $add(registry, $shown, $help $(, $new)?),)* }
            }
        }
    };
}

mod mesh;
mod scoring;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

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

metrics! {
    /// The validator's metrics. Clones share them.
    pub struct Metrics under "leoma" {
        pub head_block: Gauge = add("head_block", "Newest block seen");
        pub last_epoch_block: Gauge =
            add("last_epoch_block", "Boundary of the newest epoch whose weights are on chain");
        pub epochs_set: Counter = add("epochs_set", "Epochs whose weights were set");
        pub weight_failures: Counter = add("weight_failures", "Failed tries to set weights");
        pub reveals_missed: Counter = add(
            "reveals_missed",
            "Committed weights that were not revealed, or went to another than the winner"
        );
        pub tasks_sampled: Counter =
            add("tasks_sampled", "Tasks sampled to a published verdict file");
        pub tasks_failed: Counter = add("tasks_failed", "Tasks begun and given up");
        pub task_seconds: Histogram =
            add_seconds("task_duration", "Time from a turn to its verdict file", seconds());
        pub score_seconds: Histogram =
            add_seconds("score_duration", "Time to score one answer", seconds());
        pub files_taken_in: Counter = add("files_taken_in", "Verdict files of peers taken in");
        pub files_refused: Counter = add("files_refused", "Verdict files refused");
        pub valid_miners: Gauge = add("valid_miners", "Miners that may be sampled");
        fetches: Family<FetchLabels, Counter> =
            add("verdict_fetches", "Verdict files asked for, by source and outcome");
    }
}

impl Metrics {
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

/// Times from a tenth of a second to a quarter of an hour.
fn seconds() -> Histogram {
    Histogram::new([0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
}

/// Registers a new metric.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn add_seconds<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
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
