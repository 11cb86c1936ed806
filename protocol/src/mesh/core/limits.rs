//! The core's bounds, each with its reason, and the times that tests shorten.

use std::time::Duration;

/// Connected peers that the core keeps state for: 256 validators, each twice, as when all restart
/// at once.
pub(crate) const MAX_CONNECTED_PEERS: usize = 512;
/// Inbound peers that have not proved themselves. Beyond this the one that took longest is
/// disconnected. An honest validator needs one round trip, so to keep it out strangers would have
/// to connect hundreds of times a second.
pub const MAX_UNPROVEN_PEERS: usize = 128;
/// Peers that may speak for one hotkey at a time: one after a restart under a new identity, beside
/// the old one. This bounds what a validator may ask of us, however many identities it makes up.
pub const MAX_SESSIONS_PER_HOTKEY: usize = 2;
/// Sessions beyond which no further validator is dialled: the mesh is meant for 3 to 64 validators,
/// all connected to each other.
pub const ENOUGH_SESSIONS: usize = 64;

/// Votes kept of one attester about one producer: two digests for each of the producer's files. Of
/// the 300 tasks of a lookback only those count in which the producer has a turn.
pub(crate) const MAX_VOTES_PER_PAIR: usize = 2 * MAX_FILES_PER_PRODUCER;
/// Disputes kept of one disputer about one producer: a validator that disputes more has said
/// enough.
pub(crate) const MAX_DISPUTES_PER_PAIR: usize = 64;
/// Announcements kept of one producer, newest tasks first: one for each of 300 tasks, and more
/// under a shorter interval.
pub(crate) const MAX_FILES_PER_PRODUCER: usize = 512;
/// Digests of one file for which an attester is counted: two prove equivocation, a third adds
/// nothing.
pub(crate) const MAX_DIGESTS_PER_ATTESTER: usize = 2;
/// Pieces of evidence kept against one validator, newest tasks first. A single one costs it all
/// attestations for a lookback.
pub const MAX_EVIDENCE_PER_ACCUSED: usize = 8;

/// Messages kept while nobody is subscribed: an hour of a validator's own announcements and
/// attestations.
pub(crate) const MAX_KEPT_MESSAGES: usize = 256;
/// Dial targets: every validator's addresses, bootnodes and chain entries, twice over.
pub(crate) const MAX_TARGETS: usize = 1024;
/// Addresses kept of one peer: those that a beacon may carry, and one that worked.
pub(crate) const MAX_ADDRESSES_PER_PEER: usize = 9;
/// Unproven peers that are dialled, as found by Kademlia and mDNS.
pub(crate) const MAX_UNPROVEN_TARGETS: usize = 32;
/// Failed dials after which an unproven peer is forgotten.
pub(crate) const MAX_UNPROVEN_FAILURES: u32 = 4;
/// Dials started in one tick, so that a start with a full address book causes no burst.
pub(crate) const MAX_DIALS_PER_TICK: usize = 8;

/// Peer ids remembered for one hotkey: a restart with a new identity, and a doppelganger or two.
pub(crate) const MAX_IDENTITIES: usize = 4;
/// Peers whose score is remembered after they left.
pub(crate) const MAX_SCORES: usize = 2048;
/// Link resets that are remembered.
pub(crate) const MAX_RESET_HISTORIES: usize = 512;

/// Gossip messages that one peer may send at once: the beacons of 256 validators and their
/// attestations to two files, twice.
pub const GOSSIP_BURST: u32 = 2000;
/// Gossip messages per second that one peer may send in the long run: far more than 64 validators
/// write together.
pub(crate) const GOSSIP_PER_SECOND: u32 = 500;
/// The same for a peer that has not proved itself: what a validator may have to send while its
/// hello is under way.
pub(crate) const STRANGER_GOSSIP_BURST: u32 = 256;
/// The same per second, in the long run.
pub(crate) const STRANGER_GOSSIP_PER_SECOND: u32 = 32;
/// Messages of one author that are passed on at once: a validator that comes back announces and
/// attests for 300 tasks, and this is twice as much. More would make the peers that pass them on
/// look like a flood.
pub const AUTHOR_BURST: u32 = 1024;
/// Messages of one author that are passed on per second, in the long run.
pub(crate) const AUTHOR_PER_SECOND: u32 = 16;
/// Beacons and miner reports of one author that are passed on at once; in the long run, one for
/// each [`Timing::beacon_gap`].
pub const REPORT_BURST: u32 = 16;
/// Pieces of evidence against one validator that are passed on at once: as many as are kept, as a
/// producer and as an attester. In the long run one a second: a validator that keeps signing twice
/// is known for it by then.
pub const PROOF_BURST: u32 = 2 * MAX_EVIDENCE_PER_ACCUSED as u32;
/// The same per second, in the long run.
pub(crate) const PROOFS_PER_SECOND: u32 = 1;
/// Time for which a flood is blamed only once: a burst that an honest peer passes on must not ban
/// it.
pub(crate) const FLOOD_BLAME_GAP: Duration = Duration::from_millis(100);
/// Requests that one peer may send at once: a whole catch-up.
pub(crate) const REQUEST_BURST: u32 = 300;
/// Requests per second that one peer may send in the long run.
pub(crate) const REQUESTS_PER_SECOND: u32 = 20;

/// Bytes of a catch-up page beyond which no further file is added; the largest state of one file
/// takes 60 KiB.
pub(crate) const PAGE_FILL_BYTES: usize = 256 * 1024;
/// Longest catch-up page.
pub(crate) const MAX_PAGE_BYTES: usize = 512 * 1024;
/// Pages of one catch-up: the state of 300 tasks with failovers fits in a fraction of it.
pub(crate) const MAX_PAGES: u32 = 256;
/// Bytes of one catch-up: twice the votes of 256 validators for the 300 tasks of a lookback. The
/// next catch-up goes on where this one stopped.
pub(crate) const MAX_CATCHUP_BYTES: usize = 16 * 1024 * 1024;
/// Tasks whose digests a request for a page carries: three lookbacks of 300 tasks.
pub(crate) const MAX_TASK_DIGESTS: usize = 1024;
/// Catch-ups under way at the same time.
pub(crate) const MAX_CATCHUPS: usize = 4;
/// Time after which a catch-up gives way to another peer's, so that a slow peer does not keep the
/// others out.
pub(crate) const CATCHUP_TURN: Duration = Duration::from_secs(60);

/// The mesh's times. The defaults suit a production mesh; tests make them shorter.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Time between two [`super::Event::Tick`]s.
    pub tick: Duration,
    /// Time in which a new peer must prove a hotkey.
    pub hello_deadline: Duration,
    /// Time between a refusal and the disconnection, so that the reason arrives.
    pub refusal_linger: Duration,
    /// Time between two beacons.
    pub beacon_interval: Duration,
    /// Shortest time between two beacons.
    pub beacon_gap: Duration,
    /// Time after which a one-sided link is reset; doubles with every reset in a row.
    pub link_grace: Duration,
    /// First wait before a redial; doubles with every failure, and varies by half at random.
    pub redial_first: Duration,
    /// Longest wait before a redial, before it varies at random.
    pub redial_most: Duration,
    /// How long a message waits for a subscriber.
    pub keep_for: Duration,
    /// Time between two catch-ups with one peer; doubles while we learn nothing new.
    pub catchup_pause: Duration,
    /// Shortest time between two reports of a changed address book.
    pub address_book_pause: Duration,
    /// Time between two pings. The second ping in a row without an answer closes the connection, so
    /// a peer that lost its power or its address is dialled again within half a minute.
    pub ping_interval: Duration,
    /// Time for an answer to a ping: several round trips on a bad intercontinental link, and a
    /// pause of a busy peer.
    pub ping_timeout: Duration,
    /// Time after which we try again to connect directly to a peer that is reached through a relay.
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
    /// How long after a beacon its sender counts as heard: three beacons may be lost.
    pub(super) fn hear_window(&self) -> Duration {
        self.beacon_interval * 7 / 2
    }

    /// How long we listen for a double while we hear others: one of its beacons may be lost.
    pub(super) fn listen_among_others(&self) -> Duration {
        self.beacon_interval * 2
    }

    /// How long we listen while we hear nobody: long enough for peers to dial us, and short enough
    /// for a validator that stays alone.
    pub(super) fn listen_alone(&self) -> Duration {
        self.beacon_interval * 6
    }
}

/// A token bucket.
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

    /// Returns a token that was taken for something welcome.
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
