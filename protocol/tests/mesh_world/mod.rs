//! A made-up network of validators around the real core: one queue of deliveries, one seeded source of chance.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::core::{
    Core, CoreConfig, DialTarget, Effect, Event, Judgement, MeshEvent, Outgoing, Restored, Timing, Token,
};
use leoma_protocol::messages::{Address, Announcement, Certificate, Evidence, SignatureCheck, Topic};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid, Network, TaskId,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sp_core::{Pair as _, sr25519};

const HEAD: BlockNumber = BlockNumber(10_000);
const INTERVAL: u64 = 100;
/// Peers that a validator passes gossip on to, as many as gossipsub's mesh has.
const FORWARDS: usize = 4;
/// Old gossip that liars keep for replaying.
const MAX_RECORDED: usize = 200;

/// What may go wrong, and how often it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub lost: u64,
    pub partitions: u64,
    pub restarts: u64,
    pub equivocations: u64,
    pub double_attestations: u64,
    pub replays: u64,
    pub forgeries: u64,
    pub floods: u64,
    pub withheld: u64,
}

/// How a run is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub validators: usize,
    pub byzantine: usize,
    pub loss_percent: u32,
    pub most_delay: Duration,
    pub files: usize,
    pub seed: u64,
}

#[allow(clippy::large_enum_variant, reason = "most happenings are events")]
enum Happening {
    Event { to: usize, life: u32, event: Event, seen_id: Option<Digest> },
    Disconnected { to: usize, life: u32, from: usize },
    DialArrives { from: usize, life: u32, to: usize, target: DialTarget },
    Attest { by: usize, life: u32, file: FileId, digest: Digest },
    Tick { who: usize },
    Mischief { who: usize },
    Produce { who: usize, task: u64 },
    Partition { groups: Vec<bool> },
    Rejoin,
    Restart { who: usize },
    Calm,
}

struct Member {
    core: Option<Core>,
    /// Counts restarts: what was sent to an earlier life does not arrive.
    life: u32,
    signer: HotkeySigner,
    byzantine: bool,
    links: BTreeSet<usize>,
    seen: HashSet<Digest>,
    banned: BTreeSet<usize>,
    streams: BTreeMap<Token, usize>,
    /// What it wrote to disk.
    certificates: BTreeMap<FileId, Certificate>,
    evidence: Vec<Evidence>,
    sequence: u64,
}

pub struct World {
    setup: Setup,
    rng: StdRng,
    now: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    order: u64,
    tokens: u64,
    members: Vec<Member>,
    index: BTreeMap<PeerIdBytes, usize>,
    groups: Option<Vec<bool>>,
    calm: bool,
    signatures: Arc<SignatureCheck>,
    recorded: Vec<(Topic, Vec<u8>)>,
    pub faults: Faults,
    /// What honest validators certified, whoever was first.
    certified: BTreeMap<FileId, Digest>,
    /// Files that honest validators announced.
    honest_files: BTreeMap<FileId, Digest>,
    pub deliveries: u64,
}

fn peer(number: usize) -> PeerIdBytes {
    let mut bytes = [7; 38];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PeerIdBytes::new(&bytes).unwrap()
}

fn place(number: usize) -> Address {
    Address::new(format!("/sim/{number}")).unwrap()
}

fn pair(number: usize) -> sr25519::Pair {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    sr25519::Pair::from_seed(&seed)
}

/// A signer without a memory, as liars have.
fn forgetful(number: usize) -> HotkeySigner {
    HotkeySigner::new(pair(number), Arc::new(MemoryGuard::default()))
}

fn network() -> Network {
    Network { genesis: Digest::of(b"a simulated chain"), netuid: Netuid(99) }
}

fn file_of(number: usize, task: u64, content: &[u8]) -> SignedVerdict {
    let producer = forgetful(number).hotkey();
    SignedVerdict { id: FileId { task_id: TaskId(task), producer }, digest: Digest::of(content), bytes: content.into() }
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let members = (0..setup.validators).map(|number| Member {
            core: None,
            life: 0,
            signer: forgetful(number),
            byzantine: number < setup.byzantine,
            links: BTreeSet::new(),
            seen: HashSet::new(),
            banned: BTreeSet::new(),
            streams: BTreeMap::new(),
            certificates: BTreeMap::new(),
            evidence: Vec::new(),
            sequence: 0,
        });
        let mut world = Self {
            setup,
            rng: StdRng::seed_from_u64(setup.seed),
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            order: 0,
            tokens: 0,
            members: members.collect(),
            index: (0..setup.validators).map(|number| (peer(number), number)).collect(),
            groups: None,
            calm: false,
            signatures: Arc::default(),
            recorded: Vec::new(),
            faults: Faults::default(),
            certified: BTreeMap::new(),
            honest_files: BTreeMap::new(),
            deliveries: 0,
        };
        for number in 0..setup.validators {
            world.start(number);
            let first = world.chance(1000);
            world.at(first, Happening::Tick { who: number });
        }
        world.plan();
        world
    }

    /// Lays out what happens when, in a stormy first part and a calm second one.
    fn plan(&mut self) {
        let storm = 120_000;
        for index in 0..self.setup.files {
            // Liars and honest ones by turns.
            let liar = index % 2 == 0 && self.setup.byzantine > 0;
            let who = if liar {
                self.rng.random_range(0..self.setup.byzantine)
            } else {
                self.rng.random_range(self.setup.byzantine..self.setup.validators)
            };
            let when = 5_000 + self.chance(storm - 6_000).as_millis() as u64;
            self.at(Duration::from_millis(when), Happening::Produce { who, task: 60 + index as u64 % 40 });
        }
        for who in 0..self.setup.byzantine {
            for _ in 0..6 {
                let when = Duration::from_millis(10_000) + self.chance(storm - 10_000);
                self.at(when, Happening::Mischief { who });
            }
        }
        let begin = Duration::from_millis(20_000) + self.chance(20_000);
        let mut groups: Vec<bool> = (0..self.setup.validators).map(|_| self.rng.random()).collect();
        groups[0] = !groups[1]; // Two sides, whatever chance says.
        self.at(begin, Happening::Partition { groups });
        // Now and then it lasts to the end of the storm.
        let end = (begin + Duration::from_millis(20_000) + self.chance(80_000)).min(Duration::from_millis(storm));
        self.at(end, Happening::Rejoin);
        for _ in 0..2 {
            let who = self.rng.random_range(0..self.setup.validators);
            let when = Duration::from_millis(15_000) + self.chance(storm - 20_000);
            self.at(when, Happening::Restart { who });
        }
        self.at(Duration::from_millis(storm), Happening::Calm);
    }

    fn chance(&mut self, below_ms: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(0..below_ms.max(1)))
    }

    fn delay(&mut self) -> Duration {
        let most = self.setup.most_delay.as_millis() as u64;
        Duration::from_millis(self.rng.random_range(10..=most.max(11)))
    }

    fn lossy(&mut self) -> bool {
        let lost = !self.calm && self.rng.random_range(0..100) < self.setup.loss_percent;
        self.faults.lost += u64::from(lost);
        lost
    }

    fn at(&mut self, when: Duration, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((when, self.order)));
        self.happenings.insert(self.order, happening);
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn send(&mut self, to: usize, event: Event) {
        let life = self.members[to].life;
        let wait = self.delay();
        self.after(wait, Happening::Event { to, life, event, seen_id: None });
    }

    fn start(&mut self, number: usize) {
        let allowlist = (0..self.setup.validators).map(|number| Hotkey::from(pair(number).public())).collect();
        let bootnodes = [0, 1].into_iter().filter(|boot| *boot != number).map(place).collect();
        let seed = self.rng.random();
        let member = &mut self.members[number];
        member.core = Some(Core::new(CoreConfig {
            network: network(),
            peer: peer(number),
            params: ConsensusParams::default().digest(),
            interval: INTERVAL,
            lookback_blocks: 30_000,
            signer: member.signer.clone(),
            allowlist,
            head: HEAD,
            bootnodes,
            restored: Restored {
                certificates: member.certificates.values().cloned().collect(),
                evidence: member.evidence.clone(),
                addresses: vec![],
                sequence: member.sequence,
            },
            timing: Timing { tick: Duration::from_secs(1), ..Timing::default() },
            seed,
            signatures: Arc::clone(&self.signatures),
        }));
        self.feed(number, Event::Listening { addresses: vec![place(number)] });
    }

    /// Hands an event to a validator and carries out what it decides.
    fn feed(&mut self, number: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now;
            let Some(core) = &mut self.members[number].core else { return };
            let effects = core.handle(now, event);
            for effect in effects {
                events.extend(self.carry_out(number, effect));
            }
        }
    }

    fn publish(&mut self, number: usize, message: Outgoing) {
        let now = self.now;
        let Some(core) = &mut self.members[number].core else { return };
        let (_, effects) = core.publish(now, message).expect("its own messages are good");
        for effect in effects {
            if let Some(event) = self.carry_out(number, effect) {
                self.feed(number, event);
            }
        }
    }

    fn carry_out(&mut self, number: usize, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Dial { target, .. } => {
                let to = match &target {
                    DialTarget::Peer(peer) => self.index[peer],
                    DialTarget::Address(address) => address.as_str().rsplit('/').next()?.parse().ok()?,
                };
                let (life, wait) = (self.members[number].life, self.delay());
                self.after(wait, Happening::DialArrives { from: number, life, to, target });
            }
            Effect::SendHello { peer, hello } => {
                let (to, token) = (self.index[&peer], self.token());
                if self.lossy() || !self.members[number].links.contains(&to) {
                    self.send(number, Event::HelloAnswered { peer, answer: None });
                    return None;
                }
                self.members[to].streams.insert(token, number);
                self.send(to, Event::Hello { peer: self::peer(number), token, hello });
            }
            Effect::AnswerHello { token, answer } => {
                let to = self.members[number].streams.remove(&token)?;
                self.send(to, Event::HelloAnswered { peer: peer(number), answer: Some(answer) });
            }
            Effect::AskCatchup { peer, request } => {
                let (to, token) = (self.index[&peer], self.token());
                if self.lossy() || !self.members[number].links.contains(&to) {
                    self.send(number, Event::CatchupAnswered { peer, page: None });
                    return None;
                }
                self.members[to].streams.insert(token, number);
                self.send(to, Event::CatchupAsked { peer: self::peer(number), token, request });
            }
            Effect::AnswerCatchup { token, page } => {
                let to = self.members[number].streams.remove(&token)?;
                let page = page.map(|page| {
                    let bytes = page.to_wire().expect("a page fits");
                    leoma_protocol::mesh::core::CatchupPage::from_wire(&bytes).expect("a page reads back")
                });
                self.send(to, Event::CatchupAnswered { peer: peer(number), page });
            }
            Effect::Publish { topic, bytes } => {
                self.record(topic, &bytes);
                if self.members[number].links.is_empty() {
                    return Some(Event::NotPublished { topic, bytes });
                }
                self.members[number].seen.insert(Digest::of(&bytes));
                for to in self.members[number].links.clone() {
                    self.gossip(number, to, topic, bytes.clone());
                }
            }
            // The message's own delivery is what is judged: see `deliver`.
            Effect::Judge { .. } => {}
            Effect::Disconnect { peer, .. } => self.unlink(number, self.index[&peer]),
            Effect::Ban { peer } => {
                let other = self.index[&peer];
                self.members[number].banned.insert(other);
                self.unlink(number, other);
            }
            Effect::Unban { peer } => {
                let other = self.index[&peer];
                self.members[number].banned.remove(&other);
            }
            Effect::Tell(event) => self.told(number, event),
            Effect::Proven { .. } | Effect::Score { .. } | Effect::SendGrant { .. } | Effect::AnswerGrant { .. } => {}
        }
        None
    }

    /// What a validator does about what its mesh tells it.
    fn told(&mut self, number: usize, event: MeshEvent) {
        let byzantine = self.members[number].byzantine;
        match event {
            MeshEvent::Announcement(Announcement { file, digest, .. }) if !byzantine => {
                let (wait, life) = (self.chance(3000), self.members[number].life);
                self.after(wait, Happening::Attest { by: number, life, file, digest });
            }
            MeshEvent::Certified(certificate) => {
                let (file, digest) = (certificate.file, certificate.digest);
                self.members[number].certificates.insert(file, certificate);
                if !byzantine {
                    let first = *self.certified.entry(file).or_insert(digest);
                    assert_eq!(first, digest, "two honest validators certified different digests of {file:?}");
                }
            }
            MeshEvent::CertificateConflict { .. } if !byzantine => panic!("an honest validator saw two certificates"),
            MeshEvent::Evidence(evidence) => {
                let accused = evidence.key().accused;
                let honest = self.members.iter().skip(self.setup.byzantine);
                assert!(honest.into_iter().all(|member| member.signer.hotkey() != accused), "an honest one was framed");
                self.members[number].evidence.push(evidence);
            }
            MeshEvent::Sequence(reserved) => self.members[number].sequence = reserved,
            _ => {}
        }
    }

    fn record(&mut self, topic: Topic, bytes: &[u8]) {
        if self.recorded.len() < MAX_RECORDED {
            self.recorded.push((topic, bytes.to_vec()));
        } else if self.rng.random_range(0..20) == 0 {
            let slot = self.rng.random_range(0..MAX_RECORDED);
            self.recorded[slot] = (topic, bytes.to_vec());
        }
    }

    fn gossip(&mut self, from: usize, to: usize, topic: Topic, bytes: Vec<u8>) {
        if self.lossy() {
            return;
        }
        let (token, life, wait) = (self.token(), self.members[to].life, self.delay());
        let seen_id = Some(Digest::of(&bytes));
        let event = Event::Gossip { source: peer(from), token, topic, bytes };
        self.after(wait, Happening::Event { to, life, event, seen_id });
    }

    /// Hands gossip to a validator, and passes it on if it says so.
    fn deliver(&mut self, to: usize, event: Event, id: Digest) {
        if !self.members[to].seen.insert(id) {
            return;
        }
        self.deliveries += 1;
        let Event::Gossip { source, topic, bytes, .. } = &event else { return };
        let (from, topic, bytes) = (self.index[source], *topic, bytes.clone());
        let now = self.now;
        let Some(core) = &mut self.members[to].core else { return };
        let effects = core.handle(now, event);
        let accept = |effect: &Effect| matches!(effect, Effect::Judge { judgement: Judgement::Accept, .. });
        let accepted = effects.iter().any(accept);
        for effect in effects {
            if let Some(event) = self.carry_out(to, effect) {
                self.feed(to, event);
            }
        }
        if !accepted {
            return;
        }
        if self.members[to].byzantine && !self.calm {
            self.faults.withheld += 1;
            return;
        }
        let mut others: Vec<usize> = self.members[to].links.iter().copied().filter(|other| *other != from).collect();
        others.shuffle(&mut self.rng);
        for other in others.into_iter().take(FORWARDS) {
            self.gossip(to, other, topic, bytes.clone());
        }
    }

    fn reachable(&self, one: usize, other: usize) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups[one] == groups[other])
    }

    fn link(&mut self, from: usize, to: usize, target: DialTarget) {
        let refused = self.members[to].banned.contains(&from) || self.members[from].banned.contains(&to);
        if from == to || refused || !self.reachable(from, to) || self.members[from].links.contains(&to) {
            self.feed(from, Event::DialFailed { target });
            return;
        }
        self.members[from].links.insert(to);
        self.members[to].links.insert(from);
        let (dialler, answerer) = (peer(from), peer(to));
        self.feed(to, Event::Connected { peer: dialler, address: place(from), outbound: false, target: None });
        let target = Some(target);
        self.feed(from, Event::Connected { peer: answerer, address: place(to), outbound: true, target });
        for topic in Topic::ALL {
            self.send(from, Event::Subscribed { peer: answerer, topic });
            self.send(to, Event::Subscribed { peer: dialler, topic });
        }
    }

    fn unlink(&mut self, one: usize, other: usize) {
        if !self.members[one].links.remove(&other) {
            return;
        }
        self.members[other].links.remove(&one);
        for (to, from) in [(one, other), (other, one)] {
            let life = self.members[to].life;
            self.after(Duration::ZERO, Happening::Disconnected { to, life, from });
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event { to, life, event, seen_id } => {
                if self.members[to].life != life {
                    return;
                }
                match (&event, seen_id) {
                    (Event::Gossip { source, .. }, Some(id)) => {
                        let from = self.index[source];
                        if self.members[to].links.contains(&from) {
                            self.deliver(to, event, id);
                        }
                    }
                    _ => self.feed(to, event),
                }
            }
            Happening::Disconnected { to, life, from } => {
                if self.members[to].life == life && !self.members[to].links.contains(&from) {
                    self.feed(to, Event::Disconnected { peer: peer(from) });
                }
            }
            Happening::DialArrives { from, life, to, target } => {
                if self.members[from].life == life {
                    self.link(from, to, target);
                }
            }
            Happening::Attest { by, life, file, digest } => {
                if self.members[by].life == life {
                    let attestation = self.members[by].signer.sign_attestation(network(), file, digest);
                    if let Ok(attestation) = attestation {
                        self.publish(by, Outgoing::Attestation(attestation));
                    }
                }
            }
            Happening::Tick { who } => {
                self.feed(who, Event::Tick);
                self.after(Duration::from_secs(1), Happening::Tick { who });
            }
            Happening::Mischief { who } => self.mischief(who),
            Happening::Produce { who, task } => self.produce(who, task),
            Happening::Partition { groups } => {
                self.faults.partitions += 1;
                let cut: Vec<(usize, usize)> = (0..groups.len())
                    .flat_map(|one| self.members[one].links.iter().map(move |other| (one, *other)).collect::<Vec<_>>())
                    .filter(|(one, other)| one < other && groups[*one] != groups[*other])
                    .collect();
                self.groups = Some(groups);
                cut.into_iter().for_each(|(one, other)| self.unlink(one, other));
            }
            Happening::Rejoin => self.groups = None,
            Happening::Restart { who } => {
                self.faults.restarts += 1;
                for other in self.members[who].links.clone() {
                    self.unlink(who, other);
                }
                let member = &mut self.members[who];
                member.life += 1;
                member.seen.clear();
                member.streams.clear();
                member.banned.clear();
                self.start(who);
                // A validator announces anew what it has on disk: what it kept for later died with it.
                let own = self.members[who].signer.hotkey();
                let tasks: Vec<u64> =
                    self.honest_files.keys().filter(|file| file.producer == own).map(|file| file.task_id.0).collect();
                tasks.into_iter().for_each(|task| self.produce(who, task));
            }
            Happening::Calm => self.calm = true,
        }
    }

    fn produce(&mut self, who: usize, task: u64) {
        if self.members[who].byzantine {
            self.equivocate(who, task);
            return;
        }
        let file = file_of(who, task, b"the one file");
        let announcement = self.members[who].signer.sign_announcement(network(), &file).expect("signed once");
        self.honest_files.insert(file.id, file.digest);
        self.publish(who, Outgoing::Announcement(announcement));
    }

    /// Two files for one task, one half told of each.
    fn equivocate(&mut self, who: usize, task: u64) {
        self.faults.equivocations += 1;
        let told = [&b"one file"[..], b"another file"].map(|content| {
            let announcement = forgetful(who).sign_announcement(network(), &file_of(who, task, content)).unwrap();
            announcement.to_wire().unwrap()
        });
        for to in self.members[who].links.clone() {
            let which = usize::from(self.rng.random::<bool>());
            self.gossip(who, to, Topic::Verdict, told[which].clone());
        }
    }

    fn mischief(&mut self, who: usize) {
        let links: Vec<usize> = self.members[who].links.iter().copied().collect();
        match self.rng.random_range(0..5) {
            0 => {
                let task = self.rng.random_range(60..100);
                self.equivocate(who, task);
            }
            1 => self.attest_to_both(who, &links),
            2 => {
                self.faults.replays += 1;
                for (topic, bytes) in self.recorded.clone() {
                    links.iter().for_each(|to| self.gossip(who, *to, topic, bytes.clone()));
                }
            }
            3 => {
                self.faults.forgeries += 1;
                let Some((topic, mut bytes)) = self.recorded.choose_one(&mut self.rng) else { return };
                let place = self.rng.random_range(0..bytes.len());
                bytes[place] ^= 1 << self.rng.random_range(0..8);
                links.iter().for_each(|to| self.gossip(who, *to, topic, bytes.clone()));
            }
            _ => {
                self.faults.floods += 1;
                let Some(victim) = links.first() else { return };
                for number in 0u64..3000 {
                    self.gossip(who, *victim, Topic::Attestation, number.to_be_bytes().to_vec());
                }
            }
        }
    }

    /// Attests to two digests of every file that liars made, each half told of one, or all of both.
    fn attest_to_both(&mut self, who: usize, links: &[usize]) {
        self.faults.double_attestations += 1;
        for liar in 0..self.setup.byzantine {
            // A few tasks suffice; each costs two signatures.
            for task in (60..100).step_by(4) {
                let both = [&b"one file"[..], b"another file"].map(|content| {
                    let file = file_of(liar, task, content);
                    forgetful(who).sign_attestation(network(), file.id, file.digest).unwrap().to_wire().unwrap()
                });
                for to in links {
                    let which = usize::from(self.rng.random::<bool>());
                    self.gossip(who, *to, Topic::Attestation, both[which].clone());
                }
            }
        }
    }

    fn honest(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().skip(self.setup.byzantine)
    }

    /// Whether all honest validators hold the same certificates and evidence, every honest file certified among them.
    fn agree(&self) -> Result<(), String> {
        let held = |member: &Member| {
            let views = member.core.as_ref().map(Core::files).unwrap_or_default();
            let certified: BTreeMap<FileId, Digest> =
                views.iter().filter_map(|view| Some((view.file, view.certified?))).collect();
            let evidence = member.core.as_ref().map(Core::evidence).unwrap_or_default();
            let accused: BTreeSet<_> = evidence.iter().map(Evidence::key).collect();
            (certified, accused)
        };
        let mut honest = self.honest().map(held);
        let first = honest.next().unwrap();
        for (file, digest) in &self.honest_files {
            if first.0.get(file) != Some(digest) {
                return Err(format!("{file:?} is not certified"));
            }
        }
        if honest.all(|other| other == first) { Ok(()) } else { Err("honest validators hold different things".into()) }
    }

    /// Lets everything happen until the calm has brought agreement. Returns how long that took.
    ///
    /// # Panics
    /// On a broken rule, or when the calm brings no agreement in `patience`.
    pub fn run(&mut self, patience: Duration) -> Duration {
        let mut calm_since = None;
        let mut next_look = Duration::ZERO;
        while let Some(Reverse((when, order))) = self.queue.pop() {
            self.now = when;
            let happening = self.happenings.remove(&order).unwrap();
            self.happen(happening);
            if !self.calm || when < next_look {
                continue;
            }
            next_look = when + Duration::from_secs(1);
            let since = when - *calm_since.get_or_insert(when);
            match self.agree() {
                Ok(()) => return since,
                Err(why) => assert!(since < patience, "no agreement {patience:?} after the storm: {why}"),
            }
        }
        unreachable!("ticks never end")
    }
}

trait ChooseOne<T> {
    fn choose_one(&self, rng: &mut StdRng) -> Option<T>;
}

impl<T: Clone> ChooseOne<T> for Vec<T> {
    fn choose_one(&self, rng: &mut StdRng) -> Option<T> {
        if self.is_empty() { None } else { Some(self[rng.random_range(0..self.len())].clone()) }
    }
}
