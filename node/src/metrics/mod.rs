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

use leoma_protocol::{BlockNumber, ConsensusSchedule};
use leoma_web::ReadyCheck;
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

/// A fault of ours, by the check of `/readyz` that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    check: &'static str,
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
        epochs_without_weights: Gauge = add(
            "epochs_without_weights",
            "Epochs begun since the newest whose weights are on chain, or since the start"
        );
        pub epochs_set: Counter = add("epochs_set", "Epochs whose weights were set");
        pub epochs_abstained: Counter =
            add("epochs_abstained", "Tries at an epoch that set nothing because of the rule");
        pub epochs_refused: Counter = add(
            "epochs_refused",
            "Epochs whose weights were refused for good, or committed and not revealed"
        );
        pub witnesses_written: Counter =
            add("witnesses_written", "Epochs whose witness is on chain in time");
        pub witnesses_missed: Counter =
            add("witnesses_missed", "Epochs whose witness is not on chain in time");
        pub weight_failures: Counter = add("weight_failures", "Failed tries to set weights");
        pub reveals_missed: Counter = add(
            "reveals_missed",
            "Committed weights that were not revealed, or went to another than the winner"
        );
        pub tasks_sampled: Counter =
            add("tasks_sampled", "Tasks sampled to a published verdict file");
        pub tasks_failed: Counter = add("tasks_failed", "Tries at a task that failed");
        pub turns_given_up: Counter =
            add("turns_given_up", "Turns of ours that ended without a file, through our fault");
        our_faults: Family<FaultLabels, Counter> =
            add("own_faults", "Tries at a task that failed through our fault, by failed check");
        checks: Family<FaultLabels, Gauge> =
            add("check_passes", "1 for each check of /readyz that passes, 0 for one that fails");
        pub task_seconds: Histogram =
            add_seconds("task_duration", "Time from a turn to its verdict file", seconds());
        pub score_seconds: Histogram =
            add_seconds("score_duration", "Time to score one answer", seconds());
        pub posts_to_api: Counter = add("posts_to_api", "Posts that the API at API_URL took");
        pub posts_to_api_failed: Counter =
            add("posts_to_api_failed", "Posts that the API at API_URL did not take");
        pub files_taken_in: Counter = add("files_taken_in", "Verdict files of peers taken in");
        pub files_refused: Counter = add("files_refused", "Verdict files refused");
        pub valid_miners: Gauge = add("valid_miners", "Miners that may be sampled");
        pub listed_peers: Gauge = add("listed_peers", "Other validators on the newest allowlist");
        fetches: Family<FetchLabels, Counter> =
            add("verdict_fetches", "Verdict files asked for, by source and outcome");
    }
}

impl Metrics {
    /// Shows the searches for verdict files from the start, at 0: a family without members is not
    /// exported at all.
    pub fn show_fetches(&self) {
        for source in ["bucket", "mesh"] {
            let _shown = self.fetches.get_or_create(&FetchLabels { source, outcome: "found" });
        }
    }

    /// Notes that an epoch's weights are on the chain, openly or committed. What was committed is
    /// revealed after newer epochs have committed theirs.
    pub fn weights_on_chain(&self, epoch_block: BlockNumber) {
        let block = i64::try_from(epoch_block.0).unwrap_or(i64::MAX);
        self.last_epoch_block.set(block.max(self.last_epoch_block.get()));
    }

    /// Updates how many epochs began since the newest one with weights on the chain. Where no such
    /// epoch is known, they are counted from `first`, in which the process started: a validator
    /// that never set weights is noticed too.
    pub fn count_epochs(
        &self,
        consensus: &ConsensusSchedule,
        first: BlockNumber,
        head: BlockNumber,
    ) {
        let last = u64::try_from(self.last_epoch_block.get()).unwrap_or(0);
        let since = if last > 0 { last } else { first.0 };
        let blocks = consensus.epoch_block(head).0.saturating_sub(since);
        let epochs = blocks / consensus.at(head).epoch_blocks.max(1);
        self.epochs_without_weights.set(i64::try_from(epochs).unwrap_or(i64::MAX));
    }

    /// Counts a fault of ours.
    pub fn our_fault(&self, fault: Fault) {
        self.our_faults.get_or_create(&FaultLabels { check: fault.0 }).inc();
    }

    /// Updates which checks of `/readyz` pass. An alarm that has ended has no check any more.
    pub fn checked(&self, checks: &[ReadyCheck]) {
        self.checks.clear();
        for check in checks {
            let labels = FaultLabels { check: check.name };
            self.checks.get_or_create(&labels).set(i64::from(check.ok));
        }
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

    /// Every metric as Prometheus reads it.
    fn scrape() -> String {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        MeshMetrics::register(&mut registry).meet_a_peer();
        register_scoring(&mut registry, Default::default);
        metrics.fetched(FetchSource::Bucket, FetchOutcome::Found);
        metrics.our_fault(Fault("miners"));
        let passed = ReadyCheck { name: "chain", ok: true, detail: "block 7".to_owned() };
        metrics.checked(&[passed]);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn dashboard_and_alert_rules_ask_for_metrics_that_there_are() {
        let text = scrape();
        // A counter's family has no suffix; what is asked for has one.
        let there = |name: &str| {
            let family = ["_total", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            text.contains(&format!("# TYPE {family} "))
        };
        for (file, asked) in [
            ("alerts.yml", include_str!("../../deploy/alerts.yml")),
            ("leoma.json", include_str!("../../deploy/grafana/leoma.json")),
        ] {
            let words = asked.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let names: Vec<&str> = words.filter(|word| word.starts_with("leoma_")).collect();
            assert!(names.len() > 8, "{file}: {names:?}");
            for name in names {
                assert!(there(name), "{file} asks for {name}, which is not a metric");
            }
        }
    }

    #[test]
    fn a_reveal_of_an_older_epoch_hides_no_newer_commit() {
        let metrics = Metrics::register(&mut Registry::default());
        for epoch_block in [360, 540, 180] {
            metrics.weights_on_chain(BlockNumber(epoch_block));
        }
        assert_eq!(metrics.last_epoch_block.get(), 540);
    }

    #[test]
    fn epochs_without_weights_are_counted_where_none_were_ever_set_too() {
        let metrics = Metrics::register(&mut Registry::default());
        let consensus = ConsensusSchedule::production();
        let count = |first: u64, head: u64| {
            metrics.count_epochs(&consensus, BlockNumber(first), BlockNumber(head));
            metrics.epochs_without_weights.get()
        };
        assert_eq!([1805, 1979, 1980, 2160].map(|head| count(1800, head)), [0, 0, 1, 2]);
        metrics.weights_on_chain(BlockNumber(2160));
        assert_eq!([2170, 2520].map(|head| count(1800, head)), [0, 2]);
        assert_eq!(count(2700, 2705), 3, "a restart forgives nothing");
    }

    #[test]
    fn every_metric_is_listed_for_operators() {
        let text = scrape();
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
