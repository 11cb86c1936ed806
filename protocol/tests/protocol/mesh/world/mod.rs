//! A made-up network of validators around the real core: one queue of deliveries, one seeded source
//! of chance.
//!
//! | subject | file |
//! |---|---|
//! | what happens when: storm, calm, end | `mod.rs` |
//! | links, streams and gossip between validators | `network.rs` |
//! | what liars do | `liars.rs` |
//!
//! Only what surrounds the core is made up, and made cheap: a message is a number to all but the
//! core, and a signature that one validator found good is known to all (they run the same check on
//! the same bytes).

mod liars;
mod network;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leoma_protocol::mesh::core::{
    Core, CoreConfig, DialTarget, Event, MeshEvent, Restored, Timing, Token,
};
use leoma_protocol::messages::{
    Announcement, Certificate, Evidence, EvidenceKey, Gossip, SignatureCheck, TaskList,
};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, FileId, Hotkey, HotkeySigner,
    MemoryGuard, Netuid, Network, TaskId,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sp_core::{Pair as _, sr25519};

use network::{Message, Queue, peer, place};

/// The chain's head at the start.
const HEAD: BlockNumber = BlockNumber(10_000);
const INTERVAL: u64 = 100;
/// Milliseconds for a block. The deadline of the first task passes in the storm, that of the second
/// four minutes after it.
const BLOCK: u64 = 1_000;
/// Blocks by which a validator's head may lag.
const MOST_LAG: u64 = 5;
/// The tasks that files are made for. Every validator has a turn at each. The first one's deadline,
/// block 10 076, may pass before everybody has attested; then the file stays as it is.
const TASKS: [u64; 2] = [99, 102];
/// The first task whose files must be certified after the storm.
const CERTAIN: u64 = 102;
/// Most validators of a world.
const MOST_VALIDATORS: usize = 64;
/// Milliseconds for which things go wrong.
const STORM: u64 = 120_000;

/// What may go wrong, and how often it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Attestations that came too late, and were not made.
    pub late: u64,
}

impl Faults {
    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.partitions += other.partitions;
        self.restarts += other.restarts;
        self.equivocations += other.equivocations;
        self.double_attestations += other.double_attestations;
        self.replays += other.replays;
        self.forgeries += other.forgeries;
        self.floods += other.floods;
        self.withheld += other.withheld;
        self.late += other.late;
    }
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

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Two honest validators certified different digests of one file.
    TwoCertificates { file: FileId, digests: [Digest; 2] },
    /// One honest validator holds certificates of two digests.
    Conflict { who: usize },
    /// There is evidence against an honest validator.
    Framed { who: usize },
    /// The calm brought no agreement in time.
    NoAgreement { why: String },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoCertificates { file, digests: [one, other] } => {
                write!(
                    f,
                    "two honest validators certify different digests of {file:?}: {one} and {other}"
                )
            }
            Self::Conflict { who } => {
                write!(f, "honest validator {who} holds certificates of two digests of one file")
            }
            Self::Framed { who } => write!(f, "there is evidence against honest validator {who}"),
            Self::NoAgreement { why } => write!(f, "no agreement after the storm: {why}"),
        }
    }
}

enum Happening {
    Event { to: usize, life: u32, event: Box<Event> },
    Gossip { to: usize, life: u32, from: usize, message: Message },
    Disconnected { to: usize, life: u32, from: usize },
    DialArrives { from: usize, life: u32, to: usize, target: DialTarget },
    Attest { by: usize, life: u32, file: FileId, digest: Digest },
    Tick { who: usize },
    Block { number: u64 },
    Head { to: usize, life: u32, head: BlockNumber },
    Mischief { who: usize },
    Produce { who: usize, task: u64 },
    Partition { groups: Vec<bool> },
    Rejoin,
    Restart { who: usize },
    Calm,
}

struct Member {
    core: Core,
    /// Counts restarts: what was sent to an earlier life does not arrive.
    life: u32,
    signer: HotkeySigner,
    byzantine: bool,
    links: BTreeSet<usize>,
    /// By message.
    seen: Vec<bool>,
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
    queue: BinaryHeap<Queue>,
    order: u64,
    tokens: u64,
    members: Vec<Member>,
    groups: Option<Vec<bool>>,
    calm: bool,
    consensus: Arc<ConsensusSchedule>,
    signatures: Arc<SignatureCheck>,
    messages: HashMap<Digest, Message>,
    recorded: Vec<Message>,
    /// What a flood consists of.
    flood: Vec<Message>,
    pub faults: Faults,
    /// What honest validators certified, whoever was first.
    certified: BTreeMap<FileId, Digest>,
    /// Files that honest validators announced.
    honest_files: BTreeMap<FileId, Digest>,
    broken: Option<Broken>,
    pub deliveries: u64,
}

/// Deriving a key costs a curve operation: once for each validator, not once for each use.
fn key(number: usize) -> &'static (sr25519::Pair, Hotkey) {
    static KEYS: OnceLock<Vec<(sr25519::Pair, Hotkey)>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let pair = |number: usize| {
            let mut seed = [3; 32];
            seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
            sr25519::Pair::from_seed(&seed)
        };
        (0..MOST_VALIDATORS).map(pair).map(|pair| (pair.clone(), pair.public().into())).collect()
    });
    &keys[number]
}

fn hotkey(number: usize) -> Hotkey {
    key(number).1
}

/// A signer without a memory, as liars have.
fn forgetful(number: usize) -> HotkeySigner {
    HotkeySigner::new(key(number).0.clone(), Arc::new(MemoryGuard::default()))
}

fn network() -> Network {
    Network { genesis: Digest::of(b"a simulated chain"), netuid: Netuid(99) }
}

fn file_of(number: usize, task: u64, content: &[u8]) -> SignedVerdict {
    let id = FileId { task_id: TaskId(task), producer: hotkey(number) };
    SignedVerdict { id, digest: Digest::of(content), bytes: content.into() }
}

fn core(
    number: usize,
    validators: usize,
    member: Option<&Member>,
    signer: HotkeySigner,
    world: CoreOf,
) -> Core {
    let restored = member.map_or_else(Restored::default, |member| Restored {
        certificates: member.certificates.values().cloned().collect(),
        evidence: member.evidence.clone(),
        sequence: member.sequence,
        ..Restored::default()
    });
    Core::new(CoreConfig {
        network: network(),
        peer: peer(number),
        consensus: world.consensus,
        signer,
        allowlists: vec![TaskList {
            from: TaskId(0),
            interval: INTERVAL,
            validators: (0..validators).map(hotkey).collect(),
        }],
        head: world.head,
        bootnodes: [0, 1].into_iter().filter(|boot| *boot != number).map(place).collect(),
        restored,
        timing: Timing { tick: Duration::from_secs(1), ..Timing::default() },
        seed: world.seed,
        signatures: world.signatures,
    })
}

/// What a core takes from the world it starts in.
struct CoreOf {
    seed: u64,
    head: BlockNumber,
    consensus: Arc<ConsensusSchedule>,
    signatures: Arc<SignatureCheck>,
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let mut rng = StdRng::seed_from_u64(setup.seed);
        let signatures = Arc::<SignatureCheck>::default();
        let everybody = ConsensusParams { failover_grace: Some(1), ..ConsensusParams::default() };
        let consensus = Arc::new(ConsensusSchedule::from(everybody));
        let members = (0..setup.validators).map(|number| {
            let signer = forgetful(number);
            let world = CoreOf {
                seed: rng.random(),
                head: HEAD,
                consensus: Arc::clone(&consensus),
                signatures: Arc::clone(&signatures),
            };
            Member {
                core: core(number, setup.validators, None, signer.clone(), world),
                life: 0,
                signer,
                byzantine: number < setup.byzantine,
                links: BTreeSet::new(),
                seen: Vec::new(),
                banned: BTreeSet::new(),
                streams: BTreeMap::new(),
                certificates: BTreeMap::new(),
                evidence: Vec::new(),
                sequence: 0,
            }
        });
        let members = members.collect();
        let mut world = Self {
            setup,
            rng,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            order: 0,
            tokens: 0,
            members,
            groups: None,
            calm: false,
            consensus,
            signatures,
            messages: HashMap::new(),
            recorded: Vec::new(),
            flood: Vec::new(),
            faults: Faults::default(),
            certified: BTreeMap::new(),
            honest_files: BTreeMap::new(),
            broken: None,
            deliveries: 0,
        };
        for number in 0..setup.validators {
            world.feed(number, Event::Listening { addresses: vec![place(number)] });
            let first = world.chance(1000);
            world.at(first, Happening::Tick { who: number });
        }
        world.plan();
        world
    }

    /// Lays out what happens when, in a stormy first part and a calm second one.
    fn plan(&mut self) {
        for index in 0..self.setup.files {
            // Liars and honest ones by turns.
            let liar = index % 2 == 0 && self.setup.byzantine > 0;
            let who = if liar {
                self.rng.random_range(0..self.setup.byzantine)
            } else {
                self.rng.random_range(self.setup.byzantine..self.setup.validators)
            };
            let when = Duration::from_millis(5_000) + self.chance(STORM - 6_000);
            self.at(when, Happening::Produce { who, task: TASKS[index % TASKS.len()] });
        }
        for who in 0..self.setup.byzantine {
            for _ in 0..6 {
                let when = Duration::from_millis(10_000) + self.chance(STORM - 10_000);
                self.at(when, Happening::Mischief { who });
            }
        }
        let begin = Duration::from_millis(20_000) + self.chance(20_000);
        let mut groups: Vec<bool> = (0..self.setup.validators).map(|_| self.rng.random()).collect();
        groups[0] = !groups[1]; // Two sides, whatever chance says.
        self.at(begin, Happening::Partition { groups });
        // Now and then it lasts to the end of the storm.
        let end = (begin + Duration::from_millis(20_000) + self.chance(80_000))
            .min(Duration::from_millis(STORM));
        self.at(end, Happening::Rejoin);
        for _ in 0..2 {
            let who = self.rng.random_range(0..self.setup.validators);
            let when = Duration::from_millis(15_000) + self.chance(STORM - 20_000);
            self.at(when, Happening::Restart { who });
        }
        self.at(Duration::from_millis(STORM), Happening::Calm);
        self.at(Duration::from_millis(BLOCK), Happening::Block { number: HEAD.0 + 1 });
    }

    fn chance(&mut self, below_ms: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(0..below_ms.max(1)))
    }

    fn at(&mut self, when: Duration, happening: Happening) {
        self.order += 1;
        self.queue.push(Queue { when, order: self.order, happening });
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
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
                    if first != digest {
                        self.breaks(Broken::TwoCertificates { file, digests: [first, digest] });
                    }
                }
            }
            MeshEvent::CertificateConflict { .. } if !byzantine => {
                self.breaks(Broken::Conflict { who: number })
            }
            MeshEvent::Evidence(evidence) => {
                let accused = evidence.key().accused;
                if let Some(who) = (self.setup.byzantine..self.setup.validators)
                    .find(|who| hotkey(*who) == accused)
                {
                    self.breaks(Broken::Framed { who });
                }
                self.members[number].evidence.push(evidence);
            }
            MeshEvent::Sequence(reserved) => self.members[number].sequence = reserved,
            _ => {}
        }
    }

    fn breaks(&mut self, rule: Broken) {
        self.broken.get_or_insert(rule);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event { to, life, event } => {
                if self.members[to].life == life {
                    self.feed(to, *event);
                }
            }
            Happening::Gossip { to, life, from, message } => {
                if self.members[to].life == life && self.members[to].links.contains(&from) {
                    self.deliver(to, from, &message);
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
                if self.members[by].life != life {
                    return;
                }
                if self.members[by].core.may_attest(file.task_id).is_err() {
                    self.faults.late += 1;
                } else if let Ok(attestation) =
                    self.members[by].signer.sign_attestation(network(), file, digest)
                {
                    self.publish(by, Gossip::Attestation(attestation));
                }
            }
            Happening::Block { number } => {
                for to in 0..self.members.len() {
                    let (life, lag) = (self.members[to].life, self.chance(MOST_LAG * BLOCK));
                    let head = BlockNumber(number);
                    self.after(lag, Happening::Head { to, life, head });
                }
                self.after(Duration::from_millis(BLOCK), Happening::Block { number: number + 1 });
            }
            Happening::Head { to, life, head } => {
                if self.members[to].life == life {
                    self.feed(to, Event::Head(head));
                }
            }
            Happening::Tick { who } => {
                self.feed(who, Event::Tick);
                self.after(Duration::from_secs(1), Happening::Tick { who });
            }
            Happening::Mischief { who } => self.mischief(who),
            Happening::Produce { who, task } => self.produce(who, task),
            Happening::Partition { groups } => self.part(groups),
            Happening::Rejoin => self.groups = None,
            Happening::Restart { who } => self.restart(who),
            Happening::Calm => self.calm = true,
        }
    }

    fn restart(&mut self, who: usize) {
        self.faults.restarts += 1;
        for other in self.members[who].links.clone() {
            self.unlink(who, other);
        }
        let head = BlockNumber(HEAD.0 + self.now.as_millis() as u64 / BLOCK);
        let world = CoreOf {
            seed: self.rng.random(),
            head,
            consensus: Arc::clone(&self.consensus),
            signatures: Arc::clone(&self.signatures),
        };
        let member = &self.members[who];
        let core = core(who, self.setup.validators, Some(member), member.signer.clone(), world);
        let member = &mut self.members[who];
        member.core = core;
        member.life += 1;
        member.seen.clear();
        member.streams.clear();
        member.banned.clear();
        self.feed(who, Event::Listening { addresses: vec![place(who)] });
        // A validator announces anew what it has on disk: what it kept for later died with it.
        let own = hotkey(who);
        let tasks: Vec<u64> = self
            .honest_files
            .keys()
            .filter(|file| file.producer == own)
            .map(|file| file.task_id.0)
            .collect();
        tasks.into_iter().for_each(|task| self.produce(who, task));
    }

    fn produce(&mut self, who: usize, task: u64) {
        if self.members[who].byzantine {
            self.equivocate(who, task);
            return;
        }
        let file = file_of(who, task, b"the one file");
        let announcement =
            self.members[who].signer.sign_announcement(network(), &file).expect("signed once");
        self.honest_files.insert(file.id, file.digest);
        self.publish(who, Gossip::Announcement(announcement));
    }

    /// Whether all honest validators hold the same certificates and evidence, among them those of
    /// every honest file that could still be attested to after the storm.
    fn agree(&self) -> Result<(), String> {
        let held = |member: &Member| -> (BTreeMap<FileId, Digest>, BTreeSet<EvidenceKey>) {
            let views = member.core.files();
            let certified =
                views.iter().filter_map(|view| Some((view.file, view.certified?))).collect();
            (certified, member.core.evidence().iter().map(Evidence::key).collect())
        };
        let mut honest = self.members.iter().skip(self.setup.byzantine).map(held);
        let first = honest.next().unwrap();
        let certain = |file: &FileId| file.task_id >= TaskId(CERTAIN);
        for (file, digest) in self.honest_files.iter().filter(|(file, _)| certain(file)) {
            if first.0.get(file) != Some(digest) {
                return Err(format!("{file:?} is not certified"));
            }
        }
        if honest.all(|other| other == first) {
            Ok(())
        } else {
            Err("honest validators hold different things".into())
        }
    }

    /// Lets everything happen until the calm has brought agreement. Returns how long that took.
    ///
    /// # Errors
    /// The first rule that is broken; that the calm brings no agreement in `patience` is one.
    pub fn run(&mut self, patience: Duration) -> Result<Duration, Broken> {
        let calm_since = Duration::from_millis(STORM);
        let mut next_look = calm_since;
        while let Some(Queue { when, happening, .. }) = self.queue.pop() {
            self.now = when;
            self.happen(happening);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            if !self.calm || when < next_look {
                continue;
            }
            next_look = when + Duration::from_secs(1);
            match self.agree() {
                Ok(()) => return Ok(when - calm_since),
                Err(why) if when - calm_since > patience => {
                    return Err(Broken::NoAgreement { why });
                }
                Err(_) => {}
            }
        }
        unreachable!("ticks never end")
    }
}
