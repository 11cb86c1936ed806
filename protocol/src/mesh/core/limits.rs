//! Every bound of the core and why it is what it is, and the times that an operator or a test may
//! change.

use std::time::Duration;

/// Most connected peers that the core keeps state for: all 256 validators twice, as when everybody
/// restarts at once.
pub const MAX_CONNECTED_PEERS: usize = 512;
/// Inbound peers that may be yet to prove themselves: beyond it the one that took longest gives
/// way. An honest validator needs one round trip, so strangers cannot keep it out by holding on,
/// only by being hundreds a second.
pub const MAX_UNPROVEN_PEERS: usize = 128;
/// Peers that may speak for one hotkey at the same time: a restart under a new identity beside the
/// old one. What a validator may ask of us is bounded by this, whatever number of identities it
/// makes up.
pub const MAX_SESSIONS_PER_HOTKEY: usize = 2;
/// Sessions beyond which no further validator is dialled: the mesh is meant for 3 to 64 validators,
/// all connected.
pub const ENOUGH_SESSIONS: usize = 64;

/// Votes kept of one attester: more than two for each of the 300 tasks of a lookback, six times
/// over for failovers.
pub const MAX_VOTES_PER_ATTESTER: usize = 2048;
/// Files kept of one producer: each of 300 tasks, and what a shorter interval adds.
pub const MAX_FILES_PER_PRODUCER: usize = 512;
/// Digests for which one attester is counted in one file: two prove equivocation, a third adds
/// nothing.
pub const MAX_DIGESTS_PER_ATTESTER: usize = 2;
/// Evidence kept against one validator, newest tasks first: one piece already costs it the window.
pub const MAX_EVIDENCE_PER_ACCUSED: usize = 8;

/// Messages kept while nobody listens: an hour of a validator's own announcements and attestations.
pub const MAX_KEPT_MESSAGES: usize = 256;
/// Addresses to dial that are remembered: every validator's, bootnodes and chain entries twice
/// over.
pub const MAX_TARGETS: usize = 1024;
/// Addresses kept of one peer: what a beacon may carry, and one that was seen to work.
pub const MAX_ADDRESSES_PER_PEER: usize = 9;
/// Peers that are dialled without a proof of who they are, as found by Kademlia and mDNS.
pub const MAX_UNPROVEN_TARGETS: usize = 32;
/// Failed dials after which an unproven peer is forgotten.
pub const MAX_UNPROVEN_FAILURES: u32 = 4;
/// Dials started in one tick, so that a start with a full address book is no burst.
pub const MAX_DIALS_PER_TICK: usize = 8;

/// Peer ids remembered for one hotkey: a restart with a new identity, and a doppelganger or two.
pub const MAX_IDENTITIES: usize = 4;
/// Peers whose score is remembered after they left.
pub const MAX_SCORES: usize = 2048;
/// Link resets that are remembered.
pub const MAX_RESET_HISTORIES: usize = 512;

/// Gossip messages that one peer may send at once: all 256 validators' beacons and attestations to
/// two files, twice.
pub const GOSSIP_BURST: u32 = 2000;
/// Gossip messages a second that one peer may send for long: far above what 64 validators say
/// together.
pub const GOSSIP_PER_SECOND: u32 = 500;
/// The same before a peer has proved itself: what a validator may have to say while its hello is
/// under way.
pub const STRANGER_GOSSIP_BURST: u32 = 256;
/// The same for long.
pub const STRANGER_GOSSIP_PER_SECOND: u32 = 32;
/// Messages of one author that are passed on at once, whoever hands them over: a validator that
/// comes back announces and attests to 300 tasks, and again as much. More would make those who pass
/// it on look like a flood.
pub const AUTHOR_BURST: u32 = 1024;
/// Messages of one author that are passed on each second for long.
pub const AUTHOR_PER_SECOND: u32 = 16;
/// Beacons and miner reports of one author that are passed on at once; for long, one for each
/// [`Timing::beacon_gap`].
pub const REPORT_BURST: u32 = 16;
/// Time for which a flood is blamed once: what an honest peer passes on in a bad moment must not
/// ban it.
pub const FLOOD_BLAME_GAP: Duration = Duration::from_millis(100);
/// Requests that one peer may make at once: a whole catch-up.
pub const REQUEST_BURST: u32 = 300;
/// Requests a second that one peer may make for long.
pub const REQUESTS_PER_SECOND: u32 = 20;

/// Bytes of a catch-up page after which no further file is added; the largest single file's state
/// has 60 KiB.
pub const PAGE_FILL_BYTES: usize = 256 * 1024;
/// Longest catch-up page.
pub const MAX_PAGE_BYTES: usize = 512 * 1024;
/// Pages of one catch-up: the state of 300 tasks with failovers fits in a fraction of it.
pub const MAX_PAGES: u32 = 256;
/// Catch-ups under way at the same time.
pub const MAX_CATCHUPS: usize = 4;
/// Time after which a catch-up gives way to another peer's: who answers as slowly as it may must
/// not keep the others out.
pub const CATCHUP_TURN: Duration = Duration::from_secs(60);

/// The mesh's times. The defaults suit a production mesh; tests make them shorter.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often [`super::Event::Tick`] is expected.
    pub tick: Duration,
    /// Time in which a new peer must prove a hotkey.
    pub hello_deadline: Duration,
    /// Time between a refusal and the disconnection, so that the reason arrives.
    pub refusal_linger: Duration,
    /// Time between two beacons.
    pub beacon_interval: Duration,
    /// Shortest time between two beacons when something new is to be said.
    pub beacon_gap: Duration,
    /// Time for which a link may be one-sided before it is reset; doubles with every reset in a
    /// row.
    pub link_grace: Duration,
    /// First wait before a redial; doubles with every failure, plus or minus half of it by chance.
    pub redial_first: Duration,
    /// Longest wait before a redial, before chance is added.
    pub redial_most: Duration,
    /// How long a message waits for somebody to listen.
    pub keep_for: Duration,
    /// Time between two catch-ups with one peer; doubles while nothing new is learnt.
    pub catchup_pause: Duration,
    /// Shortest time between two reports of a changed address book.
    pub address_book_pause: Duration,
    /// Time between two pings. A connection ends with the second ping in a row that has no answer:
    /// a peer that lost its power or its address is gone within half a minute, and dialled anew.
    pub ping_interval: Duration,
    /// Time for an answer to a ping: several round trips of a bad intercontinental link, and a
    /// pause of a busy peer.
    pub ping_timeout: Duration,
    /// Time after which a peer that is still reached through a relay is tried directly again.
    pub punch_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(200),
            hello_deadline: Duration::from_secs(10),
            refusal_linger: Duration::from_millis(500),
            beacon_interval: Duration::from_secs(10),
            beacon_gap: Duration::from_secs(1),
            link_grace: Duration::from_secs(30),
            redial_first: Duration::from_secs(1),
            redial_most: Duration::from_secs(64),
            keep_for: Duration::from_secs(300),
            catchup_pause: Duration::from_secs(15),
            address_book_pause: Duration::from_secs(30),
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(8),
            punch_pause: Duration::from_secs(300),
        }
    }
}

impl Timing {
    /// How long a beacon counts as hearing its sender: three may be lost.
    #[must_use]
    pub fn hear_window(&self) -> Duration {
        self.beacon_interval * 7 / 2
    }

    /// How long we listen for a double of ours while we hear others: one beacon of it may be lost.
    #[must_use]
    pub fn listen_among_others(&self) -> Duration {
        self.beacon_interval * 2
    }

    /// How long we listen while nobody is heard: time enough to be dialled by whoever looks for us,
    /// and short enough for a validator that is alone for good.
    #[must_use]
    pub fn listen_alone(&self) -> Duration {
        self.beacon_interval * 6
    }
}

/// A token bucket: how much one peer may ask of us.
#[derive(Clone, Copy, Debug)]
pub(in crate::mesh) struct Bucket {
    /// Thousandths of a token.
    level: u64,
    burst: u32,
    per_second: u32,
    at: Duration,
}

impl Bucket {
    pub(in crate::mesh) const fn new(burst: u32, per_second: u32, now: Duration) -> Self {
        Self { level: burst as u64 * 1000, burst, per_second, at: now }
    }

    /// Whether one more is allowed now.
    pub(in crate::mesh) fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_millis().min(3_600_000) as u64;
        self.at = now.max(self.at);
        self.level =
            (self.level + passed * u64::from(self.per_second)).min(u64::from(self.burst) * 1000);
        let allowed = self.level >= 1000;
        if allowed {
            self.level -= 1000;
        }
        allowed
    }

    /// Whether one more would not be allowed now.
    pub(super) fn is_spent(mut self, now: Duration) -> bool {
        !self.take(now)
    }

    /// Takes back what was taken for something that turned out to be welcome.
    pub(super) fn give_back(&mut self) {
        self.level = (self.level + 1000).min(u64::from(self.burst) * 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_admits_a_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(10, 5, Duration::ZERO);
        let now = Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| bucket.take(now)).count(), 10);
        assert_eq!((0..100).filter(|_| bucket.take(Duration::from_secs(2))).count(), 5);
        assert!(!bucket.take(Duration::from_secs(1)), "time that runs backwards gives nothing");
        assert!(bucket.is_spent(Duration::from_secs(2)));
        bucket.give_back();
        assert!(!bucket.is_spent(Duration::from_secs(2)) && bucket.take(Duration::from_secs(2)));
    }
}
