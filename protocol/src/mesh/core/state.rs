//! The mesh's decisions, without IO.
//!
//! [`Core`] is told what happened ([`Event`]) and at what time, and says what to do ([`Effect`]).
//! It opens no socket, reads no clock, and takes its randomness from a seed, so that the shell
//! drives it over libp2p and a simulation drives hundreds of them over a made-up network.
//!
//! | subject | file |
//! |---|---|
//! | connections, hello, membership | `peers.rs` |
//! | access grants | `grants.rs` |
//! | gossip and catch-up | `gossip.rs`, `catchup.rs` |
//! | announcements, attestations, certificates, evidence | `agreement.rs` |
//! | beacons and one-sided links | `links.rs` |
//! | redials and the address book | `dialer.rs` |
//! | which tasks a block is of | `intervals.rs` |
//! | messages published while alone | `outbox.rs` |
//! | scores and bans | `conduct.rs`, `scores.rs` |
//! | how much each validator may say | `allowances.rs` |
//! | what the passing of time does | `time.rs` |
//! | whether our hotkey speaks from here alone | `voice.rs` |
//! | counts for the operator | `counts.rs` |

mod agreement;
mod allowances;
mod catchup;
mod conduct;
mod counts;
mod dialer;
mod event;
mod gossip;
mod grants;
mod intervals;
pub mod limits;
mod links;
mod outbox;
mod peers;
mod scores;
mod time;
mod voice;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub use catchup::{CatchupPage, CatchupRequest, FileState};
pub use counts::{Counts, Judged};
pub use event::{
    DialTarget, Effect, Event, FileView, GrantBytes, Judgement, KnownPeer, MeshEvent, Offence,
    Outgoing, Parting, PeerView, Published, RefusedBy, Restored, Token,
};
pub use limits::Timing;
pub use scores::{BAN_AT, DISCONNECT_AT};
pub use voice::Voice;

use crate::hello::PeerIdBytes;
use crate::messages::{
    Address, Allowlists, Attestation, Context, Evidence, MessageError, SignatureCheck, Topic,
};
use crate::{BlockNumber, Digest, FileId, Hotkey, HotkeySigner, Network, TaskId};
use agreement::Agreement;
use allowances::Allowances;
use catchup::Catchups;
use dialer::Dialer;
use intervals::Intervals;
use links::{BeaconClock, Links};
use outbox::Outbox;
use peers::PeerState;
use scores::Scores;
use voice::Ears;

/// Tasks ahead of our chain's current one that are admitted: heads differ by a few blocks.
const TASKS_AHEAD: u64 = 2;
/// Sequence numbers that are reserved at once, so that not every hello and beacon writes to disk.
const SEQUENCE_RESERVE: u64 = 100_000;

/// What the core must know to begin.
#[derive(Debug)]
pub struct CoreConfig {
    /// Chain and subnet.
    pub network: Network,
    /// Our libp2p identity.
    pub peer: PeerIdBytes,
    /// Digest of our consensus parameters.
    pub params: Digest,
    /// Blocks per task.
    pub interval: u64,
    /// Blocks back from the head in which tasks count.
    pub lookback_blocks: u64,
    /// Signs for our hotkey.
    pub signer: HotkeySigner,
    /// The validators today.
    pub allowlist: Vec<Hotkey>,
    /// Our chain's head.
    pub head: BlockNumber,
    /// Addresses to dial first, and for ever.
    pub bootnodes: Vec<Address>,
    /// What an earlier run left behind.
    pub restored: Restored,
    /// Times.
    pub timing: Timing,
    /// Where randomness comes from.
    pub seed: u64,
    /// Remembers good signatures. A simulation shares one among all its validators.
    pub signatures: Arc<SignatureCheck>,
}

/// What messages are checked against.
#[derive(Debug)]
struct View {
    network: Network,
    params: Digest,
    intervals: Intervals,
    lookback_blocks: u64,
    allowlists: Allowlists,
    head: BlockNumber,
    signatures: Arc<SignatureCheck>,
}

impl View {
    fn context(&self) -> Context<'_> {
        let oldest =
            self.intervals.task_at(BlockNumber(self.head.0.saturating_sub(self.lookback_blocks)));
        let newest = TaskId(self.intervals.newest_at(self.head).0 + TASKS_AHEAD);
        Context {
            network: self.network,
            allowlists: &self.allowlists,
            head: self.head,
            tasks: oldest..=newest,
            signatures: &self.signatures,
        }
    }

    fn is_listed(&self, hotkey: &Hotkey) -> bool {
        self.allowlists.newest().contains(hotkey)
    }
}

/// The mesh's state.
#[derive(Debug)]
pub struct Core {
    peer: PeerIdBytes,
    signer: HotkeySigner,
    hotkey: Hotkey,
    timing: Timing,
    rng: StdRng,
    view: View,
    /// The same in every hello of this run, so that two that cross on the way are both good.
    hello_sequence: u64,
    sequence: u64,
    sequence_reserved: u64,
    peers: BTreeMap<PeerIdBytes, PeerState>,
    /// Highest hello sequence number of each listed hotkey.
    hello_sequences: BTreeMap<Hotkey, u64>,
    doppelgangers: BTreeMap<Hotkey, [PeerIdBytes; 2]>,
    links: Links,
    beacon_clock: BeaconClock,
    listening: Vec<Address>,
    agreement: Agreement,
    catchups: Catchups,
    dialer: Dialer,
    outbox: Outbox,
    scores: Scores<PeerIdBytes>,
    /// The same by proven hotkey: a new peer id does not wash it off.
    validator_scores: Scores<Hotkey>,
    allowances: Allowances,
    grant: Option<GrantBytes>,
    /// Counts changes of the grant.
    grant_version: u64,
    ears: Ears,
    counts: Counts,
    /// Effects that arose before the first event.
    pending: Vec<Effect>,
}

impl Core {
    /// A core that knows what an earlier run left behind and has met nobody yet.
    #[must_use]
    pub fn new(config: CoreConfig) -> Self {
        let CoreConfig {
            network,
            peer,
            params,
            interval,
            lookback_blocks,
            signer,
            allowlist,
            head,
            ..
        } = config;
        let Restored { certificates, evidence, addresses, sequence } = config.restored;
        let allowlists = Allowlists::single(allowlist);
        let signatures = config.signatures;
        let intervals = Intervals::new(interval);
        let view =
            View { network, params, intervals, lookback_blocks, allowlists, head, signatures };
        let mut agreement = Agreement::default();
        // Told before: nobody needs to be told again. What no longer verifies is too old to matter.
        let mut told = Vec::new();
        for certificate in certificates {
            let _ = agreement.certificate(&view.context(), &certificate, &mut told);
        }
        for evidence in evidence {
            let _ = agreement.evidence(&view.context(), &evidence, &mut told);
        }
        let mut dialer = Dialer::new(peer, addresses);
        config.bootnodes.into_iter().for_each(|address| dialer.add_address(address));
        let sequence_reserved = sequence.saturating_add(SEQUENCE_RESERVE);
        Self {
            peer,
            hotkey: signer.hotkey(),
            signer,
            timing: config.timing,
            rng: StdRng::seed_from_u64(config.seed),
            view,
            hello_sequence: sequence.saturating_add(1),
            sequence: sequence.saturating_add(1),
            sequence_reserved,
            peers: BTreeMap::new(),
            hello_sequences: BTreeMap::new(),
            doppelgangers: BTreeMap::new(),
            links: Links::default(),
            beacon_clock: BeaconClock::default(),
            listening: Vec::new(),
            agreement,
            catchups: Catchups::default(),
            dialer,
            outbox: Outbox::default(),
            scores: Scores::default(),
            validator_scores: Scores::default(),
            allowances: Allowances::default(),
            grant: None,
            grant_version: 0,
            ears: Ears::default(),
            counts: Counts::default(),
            pending: vec![Effect::Tell(MeshEvent::Sequence(sequence_reserved))],
        }
    }

    /// Takes note of what happened at `now`, the time since the mesh was started, and says what to
    /// do about it.
    #[must_use = "effects must be carried out"]
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.pending);
        let out = &mut effects;
        match event {
            Event::Connected { peer, address, outbound, target } => {
                self.on_connected(now, peer, address, outbound, target, out);
            }
            Event::Moved { peer, address, outbound } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    (state.address, state.outbound) = (address, outbound);
                }
            }
            Event::Disconnected { peer } => self.on_disconnected(now, peer, out),
            Event::DialFailed { target } => {
                self.counts.dial_failed();
                self.dialer.failed(&target, now, &self.timing, &mut self.rng);
            }
            Event::Subscribed { peer, topic } => self.on_subscribed(now, peer, topic, out),
            Event::Unsubscribed { peer, topic } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.topics.remove(&topic);
                }
            }
            Event::Hello { peer, token, hello } => self.on_hello(now, peer, token, hello, out),
            Event::HelloAnswered { peer, answer } => self.on_hello_answered(now, peer, answer, out),
            Event::Gossip { source, token, topic, bytes } => {
                self.on_gossip(now, source, token, topic, &bytes, out)
            }
            Event::NotPublished { topic, bytes } => self.on_not_published(now, topic, bytes, out),
            Event::Grant { peer, token, grant } => self.on_grant(now, peer, token, grant, out),
            Event::GrantAnswered { peer, taken } => self.on_grant_answered(now, peer, taken),
            Event::CatchupAsked { peer, token, request } => {
                self.on_catchup_asked(now, peer, token, &request, out)
            }
            Event::VerdictAsked { peer, token } => {
                let admitted = self.admits_request(now, peer, out);
                out.push(Effect::AnswerVerdict { token, admitted });
            }
            Event::CatchupAnswered { peer, page } => self.on_catchup_answered(now, peer, page, out),
            Event::Addresses { peer, addresses, itself } => {
                match self.member(&peer).filter(|_| itself) {
                    Some(hotkey) => self.dialer.claimed(peer, hotkey, addresses),
                    None => self.dialer.rumour(peer, addresses),
                }
            }
            Event::DialTo { address } => self.dialer.add_address(address),
            Event::DialNoMore { address } => self.dialer.remove_address(address),
            Event::Listening { addresses } => {
                let places = addresses.iter().filter_map(links::without_peer);
                self.listening = places.take(crate::messages::MAX_BEACON_ADDRESSES).collect();
                self.beacon_clock.hurry(now, &self.timing);
            }
            Event::Interval { from, blocks } => self.view.intervals.set_from(from, blocks),
            Event::Allowlist { from, validators } => self.on_allowlist(now, from, validators, out),
            Event::Head(head) => self.on_head(head, out),
            Event::GrantChanged(grant) => self.on_grant_changed(grant, out),
            Event::Misbehaved { peer, offence: Offence::Flood } => self.flooded(now, peer, out),
            Event::Misbehaved { peer, offence } => self.blame(now, peer, offence, out),
            Event::Tick => self.on_tick(now, out),
        }
        self.counts.note(&effects);
        effects
    }

    /// Publishes a message of our own, and counts it as everybody else will.
    ///
    /// # Errors
    /// The reason for which every other validator would refuse it.
    pub fn publish(
        &mut self,
        now: Duration,
        message: Outgoing,
    ) -> Result<(Published, Vec<Effect>), MessageError> {
        use crate::codec::Wire as _;
        let mut effects = std::mem::take(&mut self.pending);
        let context = self.view.context();
        let (topic, bytes) = match message {
            Outgoing::Announcement(announcement) => {
                let bytes = announcement.to_wire()?;
                let _ = self.agreement.announcement(&context, announcement, &mut effects)?;
                (Topic::Verdict, bytes)
            }
            Outgoing::Attestation(attestation) => {
                let bytes = attestation.to_wire()?;
                let _ = self.agreement.attestation(&context, attestation, &mut effects)?;
                (Topic::Attestation, bytes)
            }
            Outgoing::MinerReport(report) => {
                report.verify(&context)?;
                (Topic::MinerReport, report.to_wire()?)
            }
        };
        let peers = self.listeners(topic);
        let published = if peers > 0 {
            effects.push(Effect::Publish { topic, bytes });
            Published::Sent { peers }
        } else {
            self.keep(now, topic, bytes, &mut effects);
            Published::Kept { keep_for: self.timing.keep_for }
        };
        self.counts.note(&effects);
        Ok((published, effects))
    }

    /// The hotkey that a connected peer proved, while it is on the allowlist.
    #[must_use]
    pub fn member(&self, peer: &PeerIdBytes) -> Option<Hotkey> {
        self.peers.get(peer)?.session.as_ref().map(|session| session.hotkey)
    }

    /// Connected validators that are known to hold the file with this digest first, then all
    /// others.
    #[must_use]
    pub fn holders(&self, file: &FileId, digest: &Digest) -> Vec<PeerIdBytes> {
        let known: Vec<Hotkey> = self.agreement.holders(file, digest).collect();
        let connected = self
            .peers
            .iter()
            .filter_map(|(peer, state)| Some((*peer, state.session.as_ref()?.hotkey)));
        let (mut first, rest): (Vec<_>, Vec<_>) =
            connected.partition(|(_, hotkey)| known.contains(hotkey));
        first.sort_by_key(|(_, hotkey)| known.iter().position(|holder| holder == hotkey));
        first.into_iter().chain(rest).map(|(peer, _)| peer).collect()
    }

    /// Everything known about files, ascending.
    #[must_use]
    pub fn files(&self) -> Vec<FileView> {
        self.agreement.view()
    }

    /// Every counted attestation, signed, in the order of its file and digest: for whoever wants to
    /// check the count.
    #[must_use]
    pub fn attestations(&self) -> Vec<Attestation> {
        self.agreement.attestations(self.view.network).collect()
    }

    /// All evidence.
    #[must_use]
    pub fn evidence(&self) -> Vec<Evidence> {
        self.agreement.all_evidence().cloned().collect()
    }

    /// The connected peers.
    #[must_use]
    pub fn peer_views(&self, now: Duration) -> Vec<PeerView> {
        let view = |(peer, state): (&PeerIdBytes, &PeerState)| {
            let hotkey = state.session.as_ref().map(|session| session.hotkey);
            let sighting = hotkey.and_then(|hotkey| self.links.fresh(&hotkey, now, &self.timing));
            PeerView {
                peer: *peer,
                hotkey,
                address: state.address.clone(),
                outbound: state.outbound,
                mutual: self.is_mutual(peer, now),
                topics: state.topics.iter().copied().collect(),
                score: self.score(peer, hotkey, now),
                head: sighting.and_then(|sighting| sighting.head),
                last_announcement: hotkey.and_then(|hotkey| self.agreement.last_announced(&hotkey)),
            }
        };
        self.peers.iter().map(view).collect()
    }

    /// Whether we may sign for our hotkey.
    #[must_use]
    pub fn voice(&self) -> Voice {
        if self.doppelgangers.contains_key(&self.hotkey) {
            Voice::Doubled
        } else if self.ears.is_content() {
            Voice::Alone
        } else {
            Voice::Listening
        }
    }

    /// What happened since the start.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    fn score(&self, peer: &PeerIdBytes, hotkey: Option<Hotkey>, now: Duration) -> f64 {
        let as_validator = hotkey.map_or(0.0, |hotkey| self.validator_scores.value(&hotkey, now));
        self.scores.value(peer, now).min(as_validator)
    }

    /// Summary of what is held, as our beacons say.
    #[must_use]
    pub fn inventory(&self) -> Digest {
        self.agreement.inventory()
    }

    /// The tasks from `oldest` on count.
    fn oldest_task(&self) -> TaskId {
        *self.view.context().tasks.start()
    }

    fn next_sequence(&mut self, out: &mut Vec<Effect>) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        if self.sequence >= self.sequence_reserved {
            self.sequence_reserved = self.sequence.saturating_add(SEQUENCE_RESERVE);
            out.push(Effect::Tell(MeshEvent::Sequence(self.sequence_reserved)));
        }
        self.sequence
    }

    /// Proven validators that listen to a topic.
    fn listeners(&self, topic: Topic) -> usize {
        self.peers
            .values()
            .filter(|state| state.session.is_some() && state.topics.contains(&topic))
            .count()
    }

    fn keep(&mut self, now: Duration, topic: Topic, bytes: Vec<u8>, out: &mut Vec<Effect>) {
        if let Some(topic) = self.outbox.keep(topic, bytes, now + self.timing.keep_for) {
            out.push(Effect::Tell(MeshEvent::Undelivered { topic }));
        }
    }
}
