//! The mesh's task: carries what libp2p reports to the core, and what the core decides to libp2p.

mod backlog;
mod connections;
mod events;
mod held;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::gossipsub::{MessageAcceptance, MessageId, PublishError};
use libp2p::metrics::Registry;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use self::backlog::Backlog;
use self::connections::Links;
use self::held::Held;
use crate::Network;
use crate::hello::{HelloAnswer, PeerIdBytes};
use crate::mesh::config::{MeshConfig, MeshError, Relay};
use crate::mesh::core::{
    Core, CoreConfig, DialTarget, Effect, Event, Judgement, MeshEvent, Offence, Token, Voice,
};
use crate::mesh::handle::{Command, MAX_WAITING_COMMANDS, MeshHandle};
use crate::mesh::status::{MeshStatus, PeerStatus};
use crate::mesh::transport::{
    Admitted, Behaviour, BehaviourEvent, GrantAnswer, GrantOffer, PageAnswer, VerdictAnswer,
    VerdictRequest, Vias, ident, is_dialable, is_relayed, swarm,
};
use crate::messages::{Address, Certificate, Evidence};

/// Events that wait for the validator in the channel.
const MAX_WAITING_EVENTS: usize = 64;
/// Verdict files that are being fetched.
const MAX_FETCHES: usize = 64;
/// Time between two walks through Kademlia.
const KAD_WALK: Duration = Duration::from_secs(300);
/// What gossipsub may think worse of a peer than we do before that is blamed: four messages that it
/// refused unseen.
const GOSSIP_PENALTY: f64 = 75.0;
/// Software name kept of a peer, in characters.
const MAX_AGENT_CHARS: usize = 64;

/// What the shell knows of a connected peer besides the core.
#[derive(Debug, Default)]
struct Acquaintance {
    rtt: Option<Duration>,
    agent: Option<String>,
    addresses: Vec<Multiaddr>,
    links: Links,
    /// What we told gossipsub to think of it.
    score: f64,
    /// What gossipsub itself holds against it, as far as it was blamed for it.
    penalty: f64,
}

/// A stream or message that waits for the core's word, within one event.
enum Waiting {
    Hello(ResponseChannel<HelloAnswer>),
    Grant(ResponseChannel<GrantAnswer>),
    Catchup(ResponseChannel<PageAnswer>),
    Verdict(ResponseChannel<VerdictAnswer>, Option<Arc<Vec<u8>>>),
    Gossip(MessageId, PeerId),
}

/// Starts meshes.
#[derive(Debug)]
pub struct Mesh;

impl Mesh {
    /// Starts a mesh on the current tokio runtime. It ends when shut down, or when its handle and
    /// all clones are gone.
    ///
    /// # Errors
    /// [`MeshError::Listen`], [`MeshError::Transport`], [`MeshError::Gossip`].
    pub fn spawn(config: MeshConfig) -> Result<(MeshHandle, mpsc::Receiver<MeshEvent>), MeshError> {
        Self::spawn_counted(config, &mut Registry::default())
    }

    /// The same, with the mesh's bytes on the wire counted in `registry`.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn spawn_counted(
        config: MeshConfig,
        registry: &mut Registry,
    ) -> Result<(MeshHandle, mpsc::Receiver<MeshEvent>), MeshError> {
        let admitted = Admitted::default();
        let mut swarm = swarm(&config, &admitted, registry)?;
        for address in &config.listen {
            let listening = swarm.listen_on(address.clone());
            listening.map_err(|error| MeshError::Listen {
                address: address.clone(),
                reason: error.to_string(),
            })?;
        }
        for address in &config.external {
            swarm.add_external_address(address.clone());
        }
        let peer = to_bytes(swarm.local_peer_id()).ok_or(MeshError::Address)?;
        let (commands, waiting_commands) = mpsc::channel(MAX_WAITING_COMMANDS);
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let (voice, heard_voice) = watch::channel(Voice::Listening);
        let handle = MeshHandle {
            commands,
            network: config.network,
            signer: config.signer.clone(),
            peer,
            voice: heard_voice,
        };
        let shell = Shell::new(config, swarm, peer, admitted, events, voice);
        tokio::spawn(shell.run(waiting_commands));
        Ok((handle, receiver))
    }
}

struct Shell {
    swarm: Swarm<Behaviour>,
    core: Core,
    network: Network,
    peer: PeerIdBytes,
    hotkey: crate::Hotkey,
    head: crate::BlockNumber,
    external: Vec<Multiaddr>,
    relay: Relay,
    admitted: Admitted,
    vias: Vias,
    started: Instant,
    tick: Duration,
    punch_pause: Duration,
    events: mpsc::Sender<MeshEvent>,
    voice: watch::Sender<Voice>,
    backlog: Backlog,
    next_walk: Duration,
    next_token: u64,
    waiting: BTreeMap<Token, Waiting>,
    dials: HashMap<ConnectionId, DialTarget>,
    fetches: HashMap<OutboundRequestId, tokio::sync::oneshot::Sender<Option<Vec<u8>>>>,
    acquaintances: HashMap<PeerId, Acquaintance>,
    held: Held,
    certificates: BTreeMap<crate::FileId, Certificate>,
    evidence: Vec<Evidence>,
}

impl Shell {
    fn new(
        config: MeshConfig,
        swarm: Swarm<Behaviour>,
        peer: PeerIdBytes,
        admitted: Admitted,
        events: mpsc::Sender<MeshEvent>,
        voice: watch::Sender<Voice>,
    ) -> Self {
        let MeshConfig {
            network,
            interval,
            signer,
            allowlist,
            head,
            mut restored,
            timing,
            limits,
            ..
        } = config;
        // Hellos of an earlier run must be older even if that run's record was lost: the clock has
        // moved on since.
        let clock =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        restored.sequence =
            restored.sequence.max(u64::try_from(clock.as_millis()).unwrap_or_default());
        let bootnodes = config
            .bootnodes
            .iter()
            .chain(&config.relay.via)
            .filter_map(|address| Address::new(address.to_string()));
        let hotkey = signer.hotkey();
        let certificates =
            restored.certificates.iter().map(|certificate| (certificate.file, certificate.clone()));
        let certificates = certificates.collect();
        let core = Core::new(CoreConfig {
            network,
            peer,
            params: config.params.digest(),
            interval,
            lookback_blocks: config.params.lookback_blocks,
            signer,
            allowlist,
            head,
            bootnodes: bootnodes.collect(),
            restored,
            timing,
            seed: rand::random(),
            signatures: Arc::default(),
        });
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
            events,
            voice,
            backlog: Backlog::default(),
            next_walk: KAD_WALK,
            next_token: 0,
            waiting: BTreeMap::new(),
            dials: HashMap::new(),
            fetches: HashMap::new(),
            acquaintances: HashMap::new(),
            held: Held::new(limits.held_verdict_bytes),
            certificates,
            evidence: Vec::new(),
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = self.events.clone();
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = commands.recv() => match command {
                    Some(Command::Shutdown(done)) => {
                        self.close().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.on_command(command),
                    None => return self.close().await,
                },
                _ = ticks.tick() => self.tick(),
                permit = events.reserve(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // Nobody listens to events; commands still work.
                        _ => self.backlog.clear(),
                    }
                }
            }
        }
    }

    /// Closes every connection, so that peers know at once.
    async fn close(&mut self) {
        const FAREWELL: Duration = Duration::from_secs(1);
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, closed).await;
    }

    fn tick(&mut self) {
        self.feed(Event::Tick);
        self.notice_conduct();
        self.listen_through_relays();
        self.close_retired();
        self.punch_again();
        if self.now() >= self.next_walk {
            self.next_walk = self.now() + KAD_WALK;
            // An error says that nobody is known yet.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
        }
    }

    fn listen_through_relays(&mut self) {
        let (now, swarm, core) = (self.now(), &mut self.swarm, &self.core);
        let proven =
            |peer: &PeerId| to_bytes(peer).is_some_and(|peer| core.member(&peer).is_some());
        self.vias.listen(now, proven, |address| match swarm.listen_on(address) {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!(%error, "cannot listen through a relay");
                None
            }
        });
    }

    /// Blames what gossipsub dealt with on its own: messages that it refuses unseen, broken rules,
    /// too much of anything.
    fn notice_conduct(&mut self) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let mut blamed: Vec<_> =
            gossip.take_flooding().into_iter().map(|peer| (peer, Offence::Flood)).collect();
        for (peer, known) in &mut self.acquaintances {
            let penalty = known.score - gossip.peer_score(peer).unwrap_or(known.score);
            if penalty > known.penalty + GOSSIP_PENALTY {
                known.penalty = penalty;
                blamed.push((*peer, Offence::InvalidGossip));
            }
        }
        for (peer, offence) in blamed {
            if let Some(peer) = to_bytes(&peer) {
                self.feed(Event::Misbehaved { peer, offence });
            }
        }
    }

    /// With nobody in its table, Kademlia's own walk fails with a warning. Asked to walk at once it
    /// sees that itself, and gives up the one that it had planned.
    fn calm_kademlia(&mut self) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        if kad.kbuckets().next().is_none() {
            let _ = kad.bootstrap();
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Hands an event to the core and carries out what it decides, and what follows from that.
    fn feed(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            let now = self.now();
            for effect in self.core.handle(now, event) {
                queue.extend(self.carry_out(effect));
            }
        }
        let now = self.core.voice();
        self.voice.send_if_modified(|voice| std::mem::replace(voice, now) != now);
    }

    /// Hands over an event whose stream or message waits for an answer. What is not answered is
    /// dropped: the library resets the stream, and nothing is kept.
    fn feed_waiting(&mut self, waiting: Waiting, event: impl FnOnce(Token) -> Event) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.waiting.insert(token, waiting);
        self.feed(event(token));
        self.waiting.remove(&token);
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        let behaviour = self.swarm.behaviour_mut();
        match effect {
            Effect::SendHello { peer, hello } => {
                behaviour.hello.send_request(&to_peer_id(&peer)?, Ok(hello));
            }
            Effect::AnswerHello { token, answer } => {
                if let Some(Waiting::Hello(channel)) = self.waiting.remove(&token) {
                    let _ = behaviour.hello.send_response(channel, answer);
                }
            }
            Effect::Proven { peer } => {
                let peer = to_peer_id(&peer)?;
                behaviour.strangers.proven(peer);
                self.admitted.admit(peer);
                behaviour.gossip.proven(peer);
                for address in
                    self.acquaintances.get(&peer).into_iter().flat_map(|known| &known.addresses)
                {
                    behaviour.kad.add_address(&peer, address.clone());
                }
            }
            Effect::Disconnect { peer, parting } => {
                tracing::debug!(%peer, ?parting, "disconnecting");
                let _ = self.swarm.disconnect_peer_id(to_peer_id(&peer)?);
            }
            Effect::Ban { peer } => {
                behaviour.blocked.block_peer(to_peer_id(&peer)?);
            }
            Effect::Unban { peer } => {
                behaviour.blocked.unblock_peer(to_peer_id(&peer)?);
            }
            Effect::Dial { target, addresses, new_port } => {
                return self.dial(target, &addresses, new_port);
            }
            Effect::Publish { topic, bytes } => {
                let published =
                    behaviour.gossip.publish(ident(topic, &self.network).hash(), bytes.clone());
                match published {
                    Ok(_) | Err(PublishError::Duplicate) => {}
                    Err(
                        PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_),
                    ) => {
                        return Some(Event::NotPublished { topic, bytes });
                    }
                    Err(error) => tracing::warn!(%topic, %error, "gossip refused a message"),
                }
            }
            Effect::Judge { token, judgement, .. } => {
                if let Some(Waiting::Gossip(id, source)) = self.waiting.remove(&token) {
                    let acceptance = match judgement {
                        Judgement::Accept => MessageAcceptance::Accept,
                        Judgement::Ignore => MessageAcceptance::Ignore,
                        Judgement::Reject => MessageAcceptance::Reject,
                    };
                    behaviour.gossip.report_message_validation_result(&id, &source, acceptance);
                }
            }
            Effect::Score { peer, score } => {
                let peer = to_peer_id(&peer)?;
                if behaviour.gossip.set_application_score(&peer, score)
                    && let Some(known) = self.acquaintances.get_mut(&peer)
                {
                    known.score = score;
                }
            }
            Effect::SendGrant { peer, grant } => {
                behaviour.grant.send_request(&to_peer_id(&peer)?, Ok(GrantOffer(grant.into_vec())));
            }
            Effect::AnswerGrant { token, taken } => {
                if let Some(Waiting::Grant(channel)) = self.waiting.remove(&token) {
                    let _ = behaviour.grant.send_response(channel, GrantAnswer { taken });
                }
            }
            Effect::AskCatchup { peer, request } => {
                behaviour.catchup.send_request(&to_peer_id(&peer)?, Ok(request));
            }
            Effect::AnswerCatchup { token, page } => {
                if let Some(Waiting::Catchup(channel)) = self.waiting.remove(&token) {
                    let _ = behaviour.catchup.send_response(channel, PageAnswer(page));
                }
            }
            Effect::AnswerVerdict { token, admitted } => {
                if let Some(Waiting::Verdict(channel, file)) = self.waiting.remove(&token) {
                    let answer = VerdictAnswer(file.filter(|_| admitted));
                    let _ = behaviour.verdict.send_response(channel, answer);
                }
            }
            Effect::Tell(event) => self.tell(event),
        }
        None
    }

    /// Tells the validator, or keeps the event until it listens.
    fn tell(&mut self, event: MeshEvent) {
        match &event {
            MeshEvent::Certified(certificate) => {
                self.certificates.insert(certificate.file, certificate.clone());
            }
            MeshEvent::PeerDown { peer, .. } => {
                if let Some(peer) = to_peer_id(peer) {
                    self.swarm.behaviour_mut().strangers.unproven(&peer);
                    self.admitted.dismiss(&peer);
                    self.swarm.behaviour_mut().kad.remove_peer(&peer);
                    self.calm_kademlia();
                }
            }
            _ => {}
        }
        if self.events.is_closed() {
            return;
        }
        if self.backlog.is_empty() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => self.backlog.push(event),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        } else {
            self.backlog.push(event);
        }
    }

    fn dial(&mut self, target: DialTarget, addresses: &[Address], new_port: bool) -> Option<Event> {
        let parsed = addresses.iter().filter_map(|address| address.as_str().parse().ok());
        let relays = self.relay.is_used();
        let parsed =
            parsed.filter(|address| is_dialable(address) && (relays || !is_relayed(address)));
        let parsed: Vec<Multiaddr> = parsed.collect();
        let options = match &target {
            DialTarget::Peer(peer) => to_peer_id(peer).map(|peer| {
                let condition = PeerCondition::DisconnectedAndNotDialing;
                let options = DialOpts::peer_id(peer).condition(condition).addresses(parsed);
                if new_port { options.allocate_new_port().build() } else { options.build() }
            }),
            DialTarget::Address(_) => parsed.into_iter().next().map(|address| {
                let options = DialOpts::unknown_peer_id().address(address);
                if new_port { options.allocate_new_port().build() } else { options.build() }
            }),
        };
        let Some(options) = options else { return Some(Event::DialFailed { target }) };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(connection, target);
                None
            }
            Err(error) => {
                tracing::debug!(?target, %error, "not dialled");
                Some(Event::DialFailed { target })
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish(message, reply) => {
                let now = self.now();
                let published = self.core.publish(now, *message).map(|(published, effects)| {
                    for effect in effects {
                        if let Some(event) = self.carry_out(effect) {
                            self.feed(event);
                        }
                    }
                    published
                });
                let _ = reply.send(published);
            }
            Command::Allowlist(from, validators) => {
                self.feed(Event::Allowlist { from, validators })
            }
            Command::Interval(from, blocks) => self.feed(Event::Interval { from, blocks }),
            Command::Head(head) => {
                self.head = self.head.max(head);
                self.feed(Event::Head(head));
            }
            Command::Dial(address) => self.feed(Event::DialTo { address }),
            Command::Forget(address) => self.feed(Event::DialNoMore { address }),
            Command::Grant(grant) => self.feed(Event::GrantChanged(grant)),
            Command::Provide(file, digest, bytes) => self.held.insert(file, digest, bytes),
            Command::Holders(file, digest, reply) => {
                drop(reply.send(self.core.holders(&file, &digest)))
            }
            Command::FetchFrom(peer, file, digest, reply) => match to_peer_id(&peer) {
                Some(peer) if self.fetches.len() < MAX_FETCHES => {
                    let request = VerdictRequest { file, digest };
                    let id = self.swarm.behaviour_mut().verdict.send_request(&peer, Ok(request));
                    self.fetches.insert(id, reply);
                }
                _ => drop(reply.send(None)),
            },
            Command::BlameForVerdict(peer) => {
                self.feed(Event::Misbehaved { peer, offence: Offence::BadVerdict });
            }
            Command::Attestations(reply) => drop(reply.send(self.core.attestations())),
            Command::Certificates(reply) => drop(reply.send(self.current_certificates())),
            Command::Evidence(reply) => {
                self.evidence = self.core.evidence();
                let _ = reply.send(self.evidence.clone());
            }
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Shutdown(_) => {}
        }
    }

    /// The certificates whose files still count.
    fn current_certificates(&mut self) -> Vec<Certificate> {
        let certified: Vec<_> =
            self.core.files().into_iter().filter(|view| view.certified.is_some()).collect();
        self.certificates
            .retain(|file, _| certified.binary_search_by_key(file, |view| view.file).is_ok());
        self.certificates.values().cloned().collect()
    }

    fn status(&mut self) -> MeshStatus {
        let now = self.now();
        let peers = self.core.peer_views(now).into_iter().map(|view| {
            let known = to_peer_id(&view.peer).and_then(|peer| self.acquaintances.get(&peer));
            PeerStatus {
                rtt_ms: known.and_then(|known| known.rtt).map(|rtt| rtt.as_secs_f64() * 1000.0),
                agent: known.and_then(|known| known.agent.clone()),
                relayed: known.is_some_and(|known| known.links.relayed()),
                view,
            }
        });
        MeshStatus {
            peer: self.peer,
            hotkey: self.hotkey,
            head: self.head,
            voice: self.core.voice(),
            peers: peers.collect(),
            listening: self.own_addresses(),
            files: self.core.files(),
            evidence: self.core.evidence().iter().map(Evidence::key).collect(),
            dropped_events: self.backlog.dropped(),
            counts: self.core.counts().clone(),
        }
    }

    /// Where we can be dialled: what the operator says first, then where we listen.
    fn own_addresses(&self) -> Vec<Address> {
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

    fn acquaintance(&mut self, peer: PeerId) -> Option<&mut Acquaintance> {
        self.acquaintances.get_mut(&peer)
    }

    /// Begins an acquaintance. What gossipsub remembers of an earlier one was blamed then.
    fn meet(&mut self, peer: PeerId) {
        let penalty = -self.swarm.behaviour().gossip.peer_score(&peer).unwrap_or_default();
        self.acquaintances.insert(peer, Acquaintance { penalty, ..Acquaintance::default() });
    }

    fn note_agent(&mut self, peer: PeerId, agent: &str, addresses: Vec<Multiaddr>) {
        if let Some(known) = self.acquaintance(peer) {
            known.agent =
                Some(agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT_CHARS).collect());
            known.addresses = addresses;
        }
    }

    fn blame_malformed(&mut self, peer: PeerId, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData
            && let Some(peer) = to_bytes(&peer)
        {
            self.feed(Event::Misbehaved { peer, offence: Offence::MalformedRequest });
        }
    }
}

/// Swarm events with the derived behaviour's event type.
type FromLibp2p = SwarmEvent<BehaviourEvent>;

fn to_bytes(peer: &PeerId) -> Option<PeerIdBytes> {
    PeerIdBytes::new(&peer.to_bytes())
}

fn to_peer_id(peer: &PeerIdBytes) -> Option<PeerId> {
    PeerId::from_bytes(peer.as_slice()).ok()
}

/// A gossip message with its place in the library.
type GossipEvent = gossipsub::Event;
