//! The scoring processes for Prometheus: what their pool counts, read at each scrape.

use std::fmt;

use leoma_scoring::worker::PoolCounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

struct Scoring<F>(F);

impl<F> fmt::Debug for Scoring<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scoring")
    }
}

impl<F: Fn() -> PoolCounts + Send + Sync + 'static> Collector for Scoring<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = (self.0)();
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge(
            "score_workers",
            "Scoring processes that there should be",
            None,
            counts.workers as u64,
        )?;
        gauge(
            "score_workers_up",
            "Scoring processes that are ready or at work",
            None,
            counts.up as u64,
        )?;
        gauge(
            "score_fallback",
            "1 where the CPU scores because the GPU that was found failed its test",
            None,
            u64::from(counts.fallback.is_some()),
        )?;
        let peak = counts.peak_kib.saturating_mul(1024);
        gauge(
            "score_worker_peak",
            "Most resident memory of any scoring process",
            Some(&Unit::Bytes),
            peak,
        )?;
        let restarts = ConstCounter::new(counts.restarts);
        let help = "Scoring processes that were lost and started again";
        restarts.encode(encoder.encode_descriptor(
            "score_worker_restarts",
            help,
            None,
            restarts.metric_type(),
        )?)
    }
}

/// Registers the counts of a pool of scoring processes under `leoma_`.
pub fn register_scoring(
    registry: &mut Registry,
    counts: impl Fn() -> PoolCounts + Send + Sync + 'static,
) {
    registry.sub_registry_with_prefix("leoma").register_collector(Box::new(Scoring(counts)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_used_can_be_alarmed_on() {
        for (fallback, line) in
            [(None, "leoma_score_fallback 0\n"), (Some("broken"), "leoma_score_fallback 1\n")]
        {
            let mut registry = Registry::default();
            let fallback = fallback.map(str::to_owned);
            register_scoring(&mut registry, move || PoolCounts {
                fallback: fallback.clone(),
                ..PoolCounts::default()
            });
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            assert!(text.contains(line), "{text}");
        }
    }
}
