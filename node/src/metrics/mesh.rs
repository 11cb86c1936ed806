//! Metrics of the mesh, taken from its status at each scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use leoma_protocol::mesh::{FileView, MeshStatus, Voice};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{add, add_seconds};

type Number = Gauge<f64, AtomicU64>;

/// A peer by its hotkey. A connected peer's hotkey is proven and on the allowlist, so there are at
/// most as many.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    hotkey: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GossipLabels {
    topic: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    by: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MajorityLabels {
    majority: &'static str,
}

metrics! {
    /// Metrics of the mesh. Clones share them.
    pub struct MeshMetrics under "leoma_mesh" {
        connected: Gauge = add("peers_connected", "Connected peers with a proven hotkey");
        mutual: Gauge = add("peers_mutual", "Peers that hear us and are heard");
        round_trip: Family<PeerLabels, Number> =
            add_seconds("peer_round_trip", "Round-trip time of the last ping", Family::default());
        score: Family<PeerLabels, Number> =
            add("peer_score", "0 for good behaviour, -20 disconnects, -50 bans");
        files: Gauge = add("files", "Verdict files of the window that were heard of");
        certificates: Gauge = add("certificates", "Verdict files of the window that are certified");
        files_since_certificate: Gauge = add(
            "files_since_certificate",
            "Verdict files of the window that are newer than the newest certified one"
        );
        evidence: Gauge = add("evidence", "Proven double signatures in the lookback");
        refusals: Gauge = add("file_refusals", "Validators' refusals to attest to files of the lookback");
        reported_miners: Family<MajorityLabels, Gauge> =
            add("reported_miners", "Miners by what a strict majority of the fresh reports says of them");
        may_sign: Gauge = add(
            "may_sign",
            "1 when our hotkey speaks from here alone, 0 while that is not known or not so"
        );
        doubled: Gauge = add("doubled", "1 when our hotkey runs elsewhere too");
        gossip: Family<GossipLabels, Counter> =
            add("gossip_messages", "Gossip heard, by topic and what was thought of it");
        refused_hellos: Family<RefusalLabels, Counter> =
            add("hellos_refused", "Hellos refused, by side and reason");
        dials: Family<OutcomeLabels, Counter> = add("dials", "Dials begun and failed");
        link_resets: Counter = add("link_resets", "One-sided links that were cut");
        bans: Counter = add("bans", "Peers kept out for a while");
        pages: Family<OutcomeLabels, Counter> =
            add("catchup_pages", "Pages of a catch-up asked for and served");
        undelivered: Counter = add("undelivered_messages", "Messages that nobody heard in time");
        dropped_events: Counter =
            add("dropped_events", "Events that the validator was too slow to take");
    }
}

impl MeshMetrics {
    /// Updates the metrics from the mesh's status.
    pub fn update(&self, status: &MeshStatus) {
        let proven = || status.peers.iter().filter(|peer| peer.view.hotkey.is_some());
        self.connected.set(number(proven().count()));
        self.mutual.set(number(proven().filter(|peer| peer.view.mutual).count()));
        // A peer that is gone has no round-trip time and no score.
        self.round_trip.clear();
        self.score.clear();
        for peer in proven() {
            let Some(hotkey) = peer.view.hotkey else { continue };
            let labels = PeerLabels { hotkey: hotkey.to_string() };
            self.score.get_or_create(&labels).set(peer.view.score);
            if let Some(milliseconds) = peer.rtt_ms {
                self.round_trip.get_or_create(&labels).set(milliseconds / 1000.0);
            }
        }
        self.files.set(number(status.files.len()));
        self.certificates
            .set(number(status.files.iter().filter(|file| file.certified.is_some()).count()));
        self.files_since_certificate.set(number(since_certificate(&status.files)));
        self.evidence.set(number(status.evidence.len()));
        self.refusals.set(number(status.files.iter().map(|file| file.refused.len()).sum()));
        for (majority, word) in [(Some(true), "valid"), (Some(false), "invalid"), (None, "split")] {
            let miners = status.miners.values().filter(|tally| tally.majority() == majority);
            let labels = MajorityLabels { majority: word };
            self.reported_miners.get_or_create(&labels).set(number(miners.count()));
        }
        self.may_sign.set(i64::from(status.voice == Voice::Alone));
        self.doubled.set(i64::from(status.voice == Voice::Doubled));
        let counts = &status.counts;
        for (topic, judged) in &counts.gossip {
            let outcomes = [
                ("accepted", judged.accepted),
                ("ignored", judged.ignored),
                ("rejected", judged.rejected),
            ];
            for (outcome, value) in outcomes {
                set(
                    &self.gossip.get_or_create(&GossipLabels { topic: topic.kind(), outcome }),
                    value,
                );
            }
        }
        for (by, reasons) in [("us", &counts.refused_by_us), ("them", &counts.refused_by_them)] {
            for (reason, value) in reasons {
                set(&self.refused_hellos.get_or_create(&RefusalLabels { by, reason }), *value);
            }
        }
        for (family, outcome, value) in [
            (&self.dials, "begun", counts.dials),
            (&self.dials, "failed", counts.dials_failed),
            (&self.pages, "asked", counts.pages_asked),
            (&self.pages, "served", counts.pages_served),
        ] {
            set(&family.get_or_create(&OutcomeLabels { outcome }), value);
        }
        set(&self.link_resets, counts.link_resets);
        set(&self.bans, counts.bans);
        set(&self.undelivered, counts.undelivered);
        set(&self.dropped_events, status.dropped_events);
    }
}

/// How many files are newer than the newest certified one; all, where none is certified.
fn since_certificate(files: &[FileView]) -> usize {
    let certified = files.iter().filter(|file| file.certified.is_some());
    let newest = certified.map(|file| file.file).max();
    files.iter().filter(|file| Some(file.file) > newest).count()
}

/// Raises a counter to the mesh's own count.
fn set(counter: &Counter, value: u64) {
    counter.inner().store(value, Ordering::Relaxed);
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
impl MeshMetrics {
    /// Fills the families of the dashboard: one without members is not exported at all.
    pub(super) fn meet_a_peer(&self) {
        let gossip = GossipLabels { topic: "beacon", outcome: "accepted" };
        self.gossip.get_or_create(&gossip).inc();
        let labels = PeerLabels { hotkey: "5C".to_owned() };
        self.score.get_or_create(&labels).set(0.0);
        self.round_trip.get_or_create(&labels).set(0.1);
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Digest, FileId, Hotkey, TaskId};

    use super::*;

    fn file(task: u64, is_certified: bool) -> FileView {
        FileView {
            file: FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) },
            announced: None,
            certified: is_certified.then_some(Digest([7; 32])),
            attesters: Vec::new(),
            refused: Vec::new(),
        }
    }

    #[test]
    fn files_are_counted_since_the_newest_certified_one_in_any_order() {
        assert_eq!(since_certificate(&[]), 0);
        assert_eq!(since_certificate(&[file(1, false), file(2, false)]), 2);
        let files = [file(4, false), file(2, true), file(3, false), file(1, false)];
        assert_eq!(since_certificate(&files), 2);
        assert_eq!(since_certificate(&[file(3, true), file(2, false)]), 0);
    }
}
