//! From times and counters to figures, each beside its target.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::args::BenchMeshArgs;
use super::machine::Machine;
use super::node::{Announced, Learnt, Links};
use super::seen::{Certified, Usage};

/// Peers in a validator's gossip mesh that gossipsub aims at: the D of the target for bytes.
const MESH_DEGREE: u64 = 4;
/// What gossipsub's signed envelope adds to a message: peer id 38, sequence number 8, signature 64,
/// topic some 31, and their tags and lengths.
const ENVELOPE_BYTES: u64 = 155;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Figures {
    validators: usize,
    pub(super) announced: Vec<Announced>,
    /// By validator.
    pub(super) heard: Vec<Vec<Learnt>>,
    pub(super) certified: Vec<Certified>,
}

/// What was used between two measurements.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    elapsed: Duration,
    wire_bytes: u64,
    wire_is_ours: bool,
    cpu: Duration,
    /// At the second measurement, ascending.
    resident: Vec<u64>,
}

impl Sample {
    pub(super) fn between(before: &Usage, after: &Usage) -> Self {
        let mut resident = after.resident.clone();
        resident.sort_unstable();
        Self {
            elapsed: after.at.duration_since(before.at),
            wire_bytes: after.wire_bytes.saturating_sub(before.wire_bytes),
            wire_is_ours: after.wire_is_ours,
            cpu: after.cpu.saturating_sub(before.cpu),
            resident,
        }
    }

    /// Processor cores that were busy, on average.
    fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    fn bytes_per_second(&self) -> f64 {
        self.wire_bytes as f64 / self.elapsed.as_secs_f64()
    }
}

/// The value below which a share of them lies; of an empty list, nothing.
fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

fn milliseconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

impl Figures {
    pub(super) fn new(validators: usize) -> Self {
        Self { validators, announced: Vec::new(), heard: Vec::new(), certified: Vec::new() }
    }

    /// Milliseconds from announcement to arrival, for each pair of announcement and peer, and for
    /// each announcement's last peer.
    fn spread(&self) -> (Vec<f64>, Vec<f64>) {
        let mut published: HashMap<(u64, u16), (u64, f64)> = HashMap::new();
        for announced in &self.announced {
            published.insert((announced.task, announced.producer), (announced.at, 0.0));
        }
        let mut each = Vec::new();
        for (number, heard) in self.heard.iter().enumerate() {
            for learnt in heard.iter().filter(|learnt| usize::from(learnt.producer) != number) {
                if let Some((at, last)) = published.get_mut(&(learnt.task, learnt.producer)) {
                    let took = milliseconds(*at, learnt.at);
                    each.push(took);
                    *last = last.max(took);
                }
            }
        }
        (each, published.into_values().map(|(_, last)| last).collect())
    }

    /// Milliseconds from announcement to the certificate at the last validator.
    fn certification(&self) -> Vec<f64> {
        let last = |certified: &Certified| certified.at.iter().copied().max().unwrap_or(u64::MAX);
        self.certified
            .iter()
            .map(|certified| milliseconds(certified.announced.at, last(certified)))
            .collect()
    }
}

/// Only plausible bytes: every validator but the author receives each message at least once. Fewer
/// bytes mean that the mesh was not at rest when the idle mesh was measured, so there is no figure.
fn plausible(bytes: f64, message: u64, validators: usize) -> Option<f64> {
    let least = message as f64 * (validators as f64 - 1.0) / validators as f64;
    (bytes >= least).then_some(bytes)
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// What it must stay below; `None` for a figure without a target.
    target: Option<f64>,
    met: Option<bool>,
}

fn figure(
    name: &'static str,
    value: Option<f64>,
    unit: &'static str,
    target: Option<f64>,
) -> Figure {
    // What could not be measured misses its target.
    let value = value.unwrap_or(f64::INFINITY);
    Figure { name, value, unit, target, met: target.map(|target| value < target) }
}

/// The result.
#[derive(Debug)]
pub(super) struct Report {
    machine: Machine,
    figures: Vec<Figure>,
    run: Value,
}

impl Figures {
    /// Encoded bytes of an announcement, without what gossip puts around it.
    fn message(&self) -> u64 {
        self.announced.first().map_or(0, |announced| announced.bytes as u64)
    }

    /// How long announcements and certificates take.
    fn times(&self) -> Vec<Figure> {
        let (each, last) = self.spread();
        let certified = self.certification();
        let ms = |name, times: &[f64], share, target| {
            figure(name, percentile(times, share), "ms", target)
        };
        vec![
            ms("announcement to the last of all peers, p50", &last, 0.5, Some(10.0)),
            ms("announcement to the last of all peers, p99", &last, 0.99, Some(100.0)),
            ms("announcement to a peer, p50", &each, 0.5, None),
            ms("announcement to a peer, p99", &each, 0.99, None),
            ms("announcement to certificate at all, p50", &certified, 0.5, None),
            ms("announcement to certificate at all, p99", &certified, 0.99, Some(1000.0)),
        ]
    }

    /// What an announcement costs beyond what the idle mesh costs.
    fn costs(&self, idle: &Sample, busy: &Sample) -> Vec<Figure> {
        let message = self.message();
        let share = |cost: f64| cost / self.announced.len() as f64 / self.validators as f64;
        let beside = idle.bytes_per_second() * busy.elapsed.as_secs_f64();
        let wire = share(busy.wire_bytes as f64 - beside);
        let wire = plausible(wire, message, self.validators);
        let target = (5 * (message + ENVELOPE_BYTES) * MESH_DEGREE / 2) as f64;
        let times = wire.map(|wire| wire / (message.max(1) * MESH_DEGREE) as f64);
        let idle_cpu = idle.cores() * busy.elapsed.as_secs_f64();
        let cpu = share(busy.cpu.as_secs_f64() - idle_cpu);
        vec![
            figure("bytes on the wire per announcement per validator", wire, "bytes", Some(target)),
            figure("the same, by the announcement's own bytes times D", times, "times", None),
            figure("processor time per announcement per validator", Some(cpu * 1e3), "ms", None),
        ]
    }
}

/// What the mesh costs at rest, and its memory afterwards.
fn at_rest(validators: f64, idle: &Sample, busy: &Sample) -> Vec<Figure> {
    let bytes = idle.bytes_per_second() / validators;
    let cpu = idle.cores() / validators * 100.0;
    let megabytes = |bytes: Option<&u64>| bytes.map(|bytes| *bytes as f64 / 1e6);
    let largest = megabytes(idle.resident.last());
    let median = megabytes(idle.resident.get(idle.resident.len() / 2));
    let after = megabytes(busy.resident.last());
    vec![
        figure("idle: bytes on the wire per second per validator", Some(bytes), "bytes/s", None),
        figure("idle: processor time per validator", Some(cpu), "% of a core", None),
        figure("idle: resident memory of the largest validator", largest, "MB", Some(80.0)),
        figure("idle: resident memory of the median validator", median, "MB", None),
        figure("after it all: resident memory of the largest validator", after, "MB", None),
    ]
}

impl Report {
    pub(super) fn new(
        args: &BenchMeshArgs,
        machine: Machine,
        formed: Duration,
        links: Links,
        figures: &Figures,
        idle: &Sample,
        busy: &Sample,
    ) -> Self {
        let message = figures.message();
        let mut list = figures.times();
        list.extend(figures.costs(idle, busy));
        list.extend(at_rest(figures.validators as f64, idle, busy));
        let run = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "command": std::env::args().collect::<Vec<_>>().join(" "),
            "validators": args.validators,
            "announcements": args.announcements,
            "certificates": args.certificates,
            "pause_ms": args.pause,
            "file_bytes": args.file_bytes,
            "formed_s": formed.as_secs_f64(),
            "link_ends_tcp": links.tcp,
            "link_ends_quic": links.quic,
            "announcement_bytes": message,
            "published_bytes": message + ENVELOPE_BYTES,
            "wire": if idle.wire_is_ours && busy.wire_is_ours {
                "IP packets on a loopback device of the mesh's own, the idle mesh's bytes taken off"
            } else {
                "IP packets on the machine's loopback device, which others may have used, \
                 the idle mesh's bytes taken off"
            },
        });
        Self { machine, figures: list, run }
    }

    /// Whether every target is met.
    pub(super) fn met(&self) -> bool {
        self.figures.iter().all(|figure| figure.met != Some(false))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "machine": self.machine,
            "run": self.run,
            "figures": self.figures,
            "met": self.met(),
        })
    }

    pub(super) fn table(&self) -> String {
        let mut text =
            format!("{}\n{}\n\n", self.machine, self.run["command"].as_str().unwrap_or_default());
        for Figure { name, value, unit, target, met } in &self.figures {
            let against = match (target, met) {
                (Some(target), Some(true)) => format!("below {target}: yes"),
                (Some(target), _) => format!("below {target}: NO"),
                (None, _) => String::new(),
            };
            text += &format!("{name:<58} {value:>10.2} {unit:<12} {against}\n");
        }
        if self.run["optimised"] == false {
            text +=
                "\nThis build is not optimised; its figures mean little. Build with --release.\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(100.0));
        assert_eq!(percentile(&values, 0.99), Some(198.0));
        assert_eq!(percentile(&values, 1.0), Some(200.0));
        assert_eq!(percentile(&[7.0], 0.01), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn an_announcement_is_as_slow_as_its_last_peer() {
        let mut figures = Figures::new(3);
        figures.announced = vec![Announced { task: 1, producer: 0, at: 1_000_000, bytes: 179 }];
        let learnt = |at| vec![Learnt { task: 1, producer: 0, at }];
        figures.heard = vec![learnt(1_000_100), learnt(3_000_000), learnt(5_000_000)];
        let (mut each, last) = figures.spread();
        each.sort_by(f64::total_cmp);
        assert_eq!((each, last), (vec![2.0, 4.0], vec![4.0]));
    }

    #[test]
    fn fewer_bytes_than_one_copy_are_no_measurement() {
        assert_eq!(plausible(2300.0, 179, 16), Some(2300.0));
        assert_eq!(plausible(100.0, 179, 16), None);
        assert_eq!(plausible(-8909.0, 179, 16), None);
    }

    #[test]
    fn what_was_not_measured_misses_its_target() {
        assert_eq!(figure("x", None, "ms", Some(1.0)).met, Some(false));
        assert_eq!(figure("x", Some(0.5), "ms", Some(1.0)).met, Some(true));
        assert_eq!(figure("x", None, "ms", None).met, None);
    }
}
