//! The core's state, and which part of it handles which event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::agreement::Agreement;
use super::allowances::Allowances;
use super::catchup::Catchups;
use super::chain_view::ChainView;
use super::counts::Counts;
use super::dialer::Dialer;
use super::effect::Effect;
use super::event::{Event, Offence};
use super::holdings::Holdings;
use super::limits::Timing;
use super::links::{BeaconClock, Links, without_peer};
use super::mesh_event::{MeshEvent, Restored};
use super::outbox::Outbox;
use super::peer::PeerState;
use super::reports::Reports;
use super::scores::Scores;
use super::voice::Ears;
use crate::hello::PeerIdBytes;
use crate::messages::{Address, Allowlists, MAX_BEACON_ADDRESSES, SignatureCheck, TaskList};
use crate::{BlockNumber, ConsensusSchedule, GrantBytes, Hotkey, HotkeySigner, Network};

/// Sequence numbers that are reserved at once, so that not every hello and beacon writes to disk.
const SEQUENCE_RESERVE: u64 = 100_000;

/// What the core must know to begin.
#[derive(Debug)]
pub struct CoreConfig {
    /// Chain and subnet.
    pub network: Network,
    /// Our libp2p identity.
    pub peer: PeerIdBytes,
    /// The consensus parameters by block.
    pub consensus: Arc<ConsensusSchedule>,
    /// Signs for our hotkey.
    pub signer: HotkeySigner,
    /// The allowlists, with those that held earlier in the lookback.
    pub allowlists: Vec<TaskList>,
    /// The chain's head.
    pub head: BlockNumber,
    /// Addresses to dial first. They are never forgotten.
    pub bootnodes: Vec<Address>,
    /// What an earlier run stored.
    pub restored: Restored,
    /// Times.
    pub timing: Timing,
    /// Seed of the core's randomness.
    pub seed: u64,
    /// Remembers valid signatures. All validators of a simulation share one.
    pub signatures: Arc<SignatureCheck>,
}

/// The mesh's state.
#[derive(Debug)]
pub struct Core {
    pub(super) peer: PeerIdBytes,
    pub(super) signer: HotkeySigner,
    pub(super) hotkey: Hotkey,
    pub(super) timing: Timing,
    pub(super) rng: StdRng,
    pub(super) chain: ChainView,
    /// The head at the start.
    pub(super) started_at: BlockNumber,
    /// The same in every hello of this run, so that two hellos that cross are both accepted.
    pub(super) hello_sequence: u64,
    sequence: u64,
    sequence_reserved: u64,
    pub(super) peers: BTreeMap<PeerIdBytes, PeerState>,
    /// The highest hello sequence number of each listed hotkey.
    pub(super) hello_sequences: BTreeMap<Hotkey, u64>,
    pub(super) doppelgangers: BTreeMap<Hotkey, [PeerIdBytes; 2]>,
    pub(super) links: Links,
    pub(super) beacon_clock: BeaconClock,
    pub(super) listening: Vec<Address>,
    pub(super) agreement: Agreement,
    pub(super) holdings: Arc<Holdings>,
    pub(super) next_prune: BlockNumber,
    pub(super) catchups: Catchups,
    pub(super) dialer: Dialer,
    pub(super) outbox: Outbox,
    pub(super) scores: Scores<PeerIdBytes>,
    /// Scores by proven hotkey: a new peer id does not clear a validator's record.
    pub(super) validator_scores: Scores<Hotkey>,
    pub(super) allowances: Allowances,
    pub(super) reports: Reports,
    pub(super) grant: Option<GrantBytes>,
    /// Counts changes of the grant.
    pub(super) grant_version: u64,
    pub(super) ears: Ears,
    pub(super) counts: Counts,
    /// What the event in hand leads to, so far.
    pub(super) effects: Vec<Effect>,
}

impl Core {
    /// A core that knows what an earlier run stored and has met nobody yet.
    pub fn new(config: CoreConfig) -> Self {
        let CoreConfig { peer, signer, head, restored, timing, .. } = config;
        let chain = ChainView {
            network: config.network,
            consensus: config.consensus,
            allowlists: Allowlists::new(config.allowlists),
            head,
            horizon: head,
            signatures: config.signatures,
        };
        let mut holdings = Holdings::restore(&restored, &chain.context());
        let Restored { certificates, evidence, disputes, addresses, sequence } = restored;
        let mut agreement = Agreement::default();
        // The validator was told all this in an earlier run. What no longer verifies is not passed
        // on to peers.
        for certificate in certificates {
            let _ = agreement.certificate(&chain.context(), &certificate);
        }
        for evidence in evidence {
            let _ = agreement.evidence(&chain.context(), &evidence);
        }
        for dispute in disputes {
            let _ = agreement.dispute(&chain.context(), &dispute);
        }
        holdings.disputed = agreement.proven_disputes(&chain.context());
        agreement.settle();
        let mut dialer = Dialer::new(peer, addresses);
        config.bootnodes.into_iter().for_each(|address| dialer.add_address(address));
        let sequence_reserved = sequence.saturating_add(SEQUENCE_RESERVE);
        Self {
            peer,
            hotkey: signer.hotkey(),
            signer,
            timing,
            rng: StdRng::seed_from_u64(config.seed),
            chain,
            started_at: head,
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
            holdings: Arc::new(holdings),
            next_prune: Holdings::next_prune(head),
            catchups: Catchups::default(),
            dialer,
            outbox: Outbox::default(),
            scores: Scores::default(),
            validator_scores: Scores::default(),
            allowances: Allowances::default(),
            reports: Reports::default(),
            grant: None,
            grant_version: 0,
            ears: Ears::default(),
            counts: Counts::default(),
            effects: vec![Effect::Tell(MeshEvent::Sequence(sequence_reserved))],
        }
    }

    /// Handles an event that happened at `now`, the time since the mesh started, and returns what
    /// to do about it.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected { peer, address, outbound, target } => {
                self.on_connected(now, peer, address, outbound, target);
            }
            Event::Moved { peer, address, outbound } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    (state.address, state.outbound) = (address, outbound);
                }
            }
            Event::Disconnected { peer } => self.on_disconnected(now, peer),
            Event::DialFailed { target } => {
                self.counts.dial_failed();
                self.dialer.failed(&target, now, &self.timing, &mut self.rng);
            }
            Event::Subscribed { peer, topic } => self.on_subscribed(now, peer, topic),
            Event::Unsubscribed { peer, topic } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.topics.remove(&topic);
                }
            }
            Event::Hello { peer, token, hello } => self.on_hello(now, peer, token, hello),
            Event::HelloAnswered { peer, answer } => self.on_hello_answered(now, peer, answer),
            Event::Gossip { source, token, topic, bytes } => {
                self.on_gossip(now, source, token, topic, &bytes);
            }
            Event::NotPublished { topic, bytes } => self.on_not_published(now, topic, bytes),
            Event::Grant { peer, token, grant } => self.on_grant(now, peer, token, grant),
            Event::GrantAnswered { peer, taken } => self.on_grant_answered(now, peer, taken),
            Event::CatchupAsked { peer, token, request } => {
                self.on_catchup_asked(now, peer, token, &request);
            }
            Event::VerdictAsked { peer, token } => {
                let admitted = self.admits_request(now, peer);
                self.effects.push(Effect::AnswerVerdict { token, admitted });
            }
            Event::CatchupAnswered { peer, page } => self.on_catchup_answered(now, peer, page),
            Event::Addresses { peer, addresses, itself } => {
                match self.member(&peer).filter(|_| itself) {
                    Some(hotkey) => self.dialer.claimed(peer, hotkey, addresses),
                    None => self.dialer.rumour(peer, addresses),
                }
            }
            Event::DialTo { address } => self.dialer.add_address(address),
            Event::DialNoMore { address } => self.dialer.remove_address(address),
            Event::Listening { addresses } => {
                let places = addresses.iter().filter_map(without_peer);
                self.listening = places.take(MAX_BEACON_ADDRESSES).collect();
                self.beacon_clock.introduce(now, &self.timing);
            }
            Event::Allowlists(lists) => self.on_allowlists(now, lists),
            Event::Head(head) => self.on_head(head),
            Event::GrantChanged(grant) => self.on_grant_changed(grant),
            Event::Misbehaved { peer, offence: Offence::Flood } => self.flooded(now, peer),
            Event::Misbehaved { peer, offence } => self.blame(now, peer, offence),
            Event::Tick => self.on_tick(now),
        }
        self.take_effects()
    }

    /// Hands over what is to be done, and takes note of it.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        self.agreement.settle();
        self.counts.note(&self.effects);
        let members = self.peers.values().filter_map(PeerState::hotkey);
        Holdings::note(&mut self.holdings, &self.effects, members);
        std::mem::take(&mut self.effects)
    }

    pub(super) fn tell(&mut self, event: MeshEvent) {
        self.effects.push(Effect::Tell(event));
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        if self.sequence >= self.sequence_reserved {
            self.sequence_reserved = self.sequence.saturating_add(SEQUENCE_RESERVE);
            self.tell(MeshEvent::Sequence(self.sequence_reserved));
        }
        self.sequence
    }
}
