//! The shell's state, and how it feeds the core.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::gossipsub::MessageId;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::backlog::Backlog;
use super::connections::Connections;
use super::held::Held;
use crate::hello::{HelloAnswer, PeerIdBytes};
use crate::mesh::config::{MeshConfig, Relay};
use crate::mesh::core::{Core, CoreConfig, DialTarget, Event, Holdings, MeshEvent, Token, Voice};
use crate::mesh::transport::{Admitted, Behaviour, GrantAnswer, PageAnswer, VerdictAnswer, Vias};
use crate::messages::Address;
use crate::{BlockNumber, Hotkey, Network};

/// Time between two walks through Kademlia.
pub(super) const KAD_WALK: Duration = Duration::from_secs(300);

/// What the shell knows of a connected peer besides the core.
#[derive(Debug, Default)]
pub(super) struct Acquaintance {
    pub(super) rtt: Option<Duration>,
    pub(super) agent: Option<String>,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) connections: Connections,
    /// The application score that we gave it in gossipsub.
    pub(super) score: f64,
    /// How far gossipsub's score had fallen below that when we last blamed the peer for it.
    pub(super) penalty: f64,
}

/// A stream or message that waits for the core's decision, within one event.
pub(super) enum Waiting {
    Hello(ResponseChannel<HelloAnswer>),
    Grant(ResponseChannel<GrantAnswer>),
    Catchup(ResponseChannel<PageAnswer>),
    Verdict(ResponseChannel<VerdictAnswer>, Option<Arc<Vec<u8>>>),
    Gossip(MessageId, PeerId),
}

/// The channels through which the validator hears from us.
pub(super) struct Outlets {
    pub(super) events: mpsc::Sender<MeshEvent>,
    pub(super) voice: watch::Sender<Voice>,
    pub(super) holdings: watch::Sender<Arc<Holdings>>,
}

pub(super) struct Shell {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) core: Core,
    pub(super) network: Network,
    pub(super) peer: PeerIdBytes,
    pub(super) hotkey: Hotkey,
    pub(super) head: BlockNumber,
    external: Vec<Multiaddr>,
    pub(super) relay: Relay,
    pub(super) admitted: Admitted,
    pub(super) vias: Vias,
    started: Instant,
    pub(super) tick: Duration,
    pub(super) punch_pause: Duration,
    pub(super) outlets: Outlets,
    pub(super) backlog: Backlog,
    pub(super) next_walk: Duration,
    next_token: u64,
    pub(super) waiting: BTreeMap<Token, Waiting>,
    pub(super) dials: HashMap<ConnectionId, DialTarget>,
    pub(super) fetches: HashMap<OutboundRequestId, oneshot::Sender<Option<Vec<u8>>>>,
    pub(super) acquaintances: HashMap<PeerId, Acquaintance>,
    pub(super) held: Held,
}

impl Shell {
    pub(super) fn new(
        config: MeshConfig,
        swarm: Swarm<Behaviour>,
        peer: PeerIdBytes,
        admitted: Admitted,
        outlets: Outlets,
    ) -> Self {
        let MeshConfig { network, signer, head, mut restored, timing, .. } = config;
        // Hellos of an earlier run must be older even if that run's record was lost, so the clock
        // is a lower bound.
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        restored.sequence =
            restored.sequence.max(u64::try_from(clock.as_millis()).unwrap_or_default());
        let bootnodes = config.bootnodes.iter().chain(&config.relay.via);
        let hotkey = signer.hotkey();
        let core = Core::new(CoreConfig {
            network,
            peer,
            consensus: config.consensus,
            signer,
            allowlists: config.allowlists,
            head,
            bootnodes: bootnodes.filter_map(|address| Address::new(address.to_string())).collect(),
            restored,
            timing,
            seed: rand::random(),
            signatures: Arc::default(),
        });
        outlets.holdings.send_replace(Arc::clone(core.holdings()));
        Self {
            swarm,
            core,
            network,
            peer,
            hotkey,
            head,
            external: config.external,
            vias: Vias::new(&config.relay.via),
            relay: config.relay,
            admitted,
            started: Instant::now(),
            tick: timing.tick,
            punch_pause: timing.punch_pause,
            outlets,
            backlog: Backlog::default(),
            next_walk: KAD_WALK,
            next_token: 0,
            waiting: BTreeMap::new(),
            dials: HashMap::new(),
            fetches: HashMap::new(),
            acquaintances: HashMap::new(),
            held: Held::new(config.limits.held_verdict_bytes),
        }
    }

    /// The time since the mesh started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Hands an event to the core and carries out what it decides, and what follows from that.
    pub(super) fn feed(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            let effects = self.core.handle(self.now(), event);
            self.show_state();
            for effect in effects {
                queue.extend(self.carry_out(effect));
            }
        }
    }

    /// Hands over an event whose stream or message waits for an answer. If the core gives none, it
    /// is dropped here, and libp2p resets the stream.
    pub(super) fn feed_waiting(&mut self, waiting: Waiting, event: impl FnOnce(Token) -> Event) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.waiting.insert(token, waiting);
        self.feed(event(token));
        self.waiting.remove(&token);
    }

    /// Updates the values that the validator watches, if they changed.
    pub(super) fn show_state(&self) {
        let now = self.core.voice();
        self.outlets.voice.send_if_modified(|voice| std::mem::replace(voice, now) != now);
        let now = self.core.holdings();
        self.outlets.holdings.send_if_modified(|shown| {
            let changed = !Arc::ptr_eq(shown, now);
            if changed {
                shown.clone_from(now);
            }
            changed
        });
    }

    /// Where others can dial us: first what the operator says, then where we listen.
    pub(super) fn own_addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for address in self.external.iter().chain(self.swarm.listeners()) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        let own = *self.swarm.local_peer_id();
        let named = addresses.into_iter().filter_map(|address| address.with_p2p(own).ok());
        named.filter_map(|address| Address::new(address.to_string())).collect()
    }

    pub(super) fn acquaintance(&mut self, peer: PeerId) -> Option<&mut Acquaintance> {
        self.acquaintances.get_mut(&peer)
    }

    /// Kademlia's own walk fails with a warning when its table is empty. Asked to walk at once, it
    /// notices that itself and cancels the walk that it had planned.
    pub(super) fn calm_kademlia(&mut self) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        if kad.kbuckets().next().is_none() {
            let _ = kad.bootstrap();
        }
    }
}

pub(super) fn to_bytes(peer: &PeerId) -> Option<PeerIdBytes> {
    PeerIdBytes::new(&peer.to_bytes())
}

pub(super) fn to_peer_id(peer: &PeerIdBytes) -> Option<PeerId> {
    PeerId::from_bytes(peer.as_slice()).ok()
}
