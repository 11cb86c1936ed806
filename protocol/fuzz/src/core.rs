//! The mesh's core under a script of events that the input writes: strangers, validators and liars,
//! whole messages and damaged ones, in any order, at any time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{Hello, HelloAnswer, HelloDraft, PeerIdBytes};
use leoma_protocol::mesh::core::{
    CatchupPage, CatchupRequest, Core, CoreConfig, Cursor, DialTarget, Event, FileState, Offence,
    Restored, Timing, Token,
};
use leoma_protocol::mesh::{
    GrantAnswer, GrantBytes, GrantOffer, PageAnswer, VerdictAnswer, VerdictRequest,
};
use leoma_protocol::messages::{
    Address, Announcement, Attestation, BeaconDraft, Certificate, Dispute, DisputeDraft,
    DisputeKey, DisputeReason, Evidence, FileStatement, Gossip, Heard, HeardMap, MinerReportDraft,
    ReportedMiner, SignatureCheck, Tally, TaskList, Topic,
};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network, TaskId,
};
use sp_core::{Pair as _, sr25519};

const HEAD: BlockNumber = BlockNumber(10_000);
const INTERVAL: u64 = 100;
/// On the allowlist, the core's own hotkey first; one more is not.
const MEMBERS: u8 = 5;
/// Effects that follow from one event at most: a few for each of a handful of peers and kept
/// messages, and what the largest catch-up page of the kit teaches.
const MOST_EFFECTS: usize = 2000;

/// Everything that was signed once, for all runs.
pub struct Kit {
    network: Network,
    members: Vec<Hotkey>,
    gossip: Vec<(Topic, Vec<u8>)>,
    hellos: Vec<Hello>,
    pages: Vec<CatchupPage>,
    announcements: Vec<Announcement>,
    attestations: Vec<Attestation>,
    certificates: Vec<Certificate>,
    evidence: Vec<Evidence>,
    disputes: Vec<Dispute>,
    signatures: Arc<SignatureCheck>,
}

impl Kit {
    /// A validator that produced files.
    pub fn producer(&self) -> Hotkey {
        self.members[1]
    }
}

/// A signer that forgets what it signed, as liars do.
pub(crate) fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number + 1; 32]), Arc::new(MemoryGuard::default()))
}

fn peer(number: u8) -> PeerIdBytes {
    PeerIdBytes::new(&[number; 38]).expect("38 bytes are a peer id")
}

fn file(task: u64, producer: u8) -> FileId {
    FileId { task_id: TaskId(task), producer: signer(producer).hotkey() }
}

/// Made at the first call.
pub fn kit() -> &'static Kit {
    static KIT: OnceLock<Kit> = OnceLock::new();
    KIT.get_or_init(make_kit)
}

/// Every validator has a turn at every task.
fn everybody_produces() -> ConsensusParams {
    ConsensusParams {
        failover_grace: Some(1),
        lookback_blocks: 9_000,
        ..ConsensusParams::default()
    }
}

fn make_kit() -> Kit {
    let network = Network { genesis: Digest::of(b"a fuzzed chain"), netuid: Netuid(99) };
    let params = everybody_produces().digest();
    let mut kit = Kit {
        network,
        members: (0..MEMBERS).map(|number| signer(number).hotkey()).collect(),
        gossip: Vec::new(),
        hellos: Vec::new(),
        pages: vec![CatchupPage { more: true, ..CatchupPage::default() }],
        announcements: Vec::new(),
        attestations: Vec::new(),
        certificates: Vec::new(),
        evidence: Vec::new(),
        disputes: Vec::new(),
        signatures: Arc::default(),
    };
    for number in 0..=MEMBERS {
        for (peer, seq) in [(peer(number), 1), (peer(number), 7), (peer(number + 100), 3)] {
            let draft =
                HelloDraft { network, peer, params, seq, expires: BlockNumber(HEAD.0 + 200) };
            kit.hellos.push(signer(number).sign_hello(draft));
        }
        let heard = kit.members.iter().map(|_| Heard { heard: true, linked: true });
        let heard = HeardMap::new(*b"a list's", heard);
        let addresses = Some(vec![Address::new("/ip4/127.0.0.1/tcp/1").expect("an address")]);
        let inventory = Digest::of(&[number]);
        let draft = BeaconDraft {
            network,
            peer: peer(number),
            head: HEAD,
            seq: 5,
            heard,
            addresses,
            inventory,
        };
        kit.gossip.push((Topic::Beacon, wire(&signer(number).sign_beacon(draft))));
        let miners = vec![ReportedMiner {
            hotkey: kit.members[0],
            valid: false,
            reason: "missing_model_name".into(),
        }];
        let report =
            signer(number).sign_miner_report(MinerReportDraft { network, block: HEAD, miners });
        kit.gossip.push((Topic::MinerReport, wire(&report)));
    }
    for (task, producer) in [(99, 1), (99, 2), (98, 1), (97, 5), (1, 1), (100, 0)] {
        let id = file(task, producer);
        let mut state = FileState { file: id, announcements: Vec::new(), tallies: Vec::new() };
        for content in [b"one", b"two"] {
            let digest = Digest::of(content);
            let verdict = SignedVerdict { id, digest, bytes: content.to_vec() };
            let announcement =
                signer(producer).sign_announcement(network, &verdict).expect("a fresh memory");
            let attest = |number| {
                signer(number).sign_attestation(network, id, digest).expect("a fresh memory")
            };
            let attestations: Vec<Attestation> = (0..=MEMBERS).map(attest).collect();
            let mut votes: Vec<_> =
                attestations.iter().map(|vote| (vote.attester, vote.signature)).collect();
            votes.sort_unstable_by_key(|(attester, _)| *attester);
            state.tallies.push(Tally { digest, votes: votes.clone() });
            votes.retain(|(attester, _)| kit.members.contains(attester));
            kit.certificates.push(Certificate { network, file: id, digest, votes });
            kit.gossip.push((Topic::Verdict, wire(&announcement)));
            kit.gossip.extend(
                attestations.iter().map(|attestation| (Topic::Attestation, wire(attestation))),
            );
            state.announcements.push(announcement.clone());
            kit.announcements.push(announcement);
            kit.attestations.extend(attestations);
        }
        let [one, other] = [state.announcements[0].clone(), state.announcements[1].clone()];
        let [one, other] = [one, other].map(FileStatement::Announced);
        kit.evidence.push(Evidence::from_files(one, other));
        let draft = DisputeDraft {
            network,
            file: id,
            digest: Digest::of(b"one"),
            reason: DisputeReason::Complete { miner: kit.members[0] },
        };
        kit.disputes.extend((0..=MEMBERS).map(|number| signer(number).sign_dispute(draft)));
        kit.pages.push(CatchupPage {
            files: vec![state],
            evidence: kit.evidence.clone(),
            disputes: kit.disputes.clone(),
            more: task.is_multiple_of(2),
        });
    }
    kit.gossip.extend(kit.disputes.iter().map(|dispute| (Topic::Dispute, wire(dispute))));
    kit.gossip.extend(kit.evidence.iter().map(|evidence| (Topic::Evidence, wire(evidence))));
    kit
}

fn wire(message: &impl leoma_protocol::codec::Wire) -> Vec<u8> {
    message.to_wire().expect("our own message fits")
}

/// The script, read byte by byte; zeros behind its end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn pick<'k, T>(&mut self, from: &'k [T]) -> &'k T {
        &from[usize::from(self.byte()) % from.len()]
    }

    fn peer(&mut self) -> PeerIdBytes {
        let number = self.byte();
        peer(number % (MEMBERS + 2) + if number > 200 { 100 } else { 0 })
    }

    fn topic(&mut self) -> Topic {
        *self.pick(&Topic::ALL)
    }

    /// Flips a byte of a message, or cuts it, or leaves it.
    fn damage(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self.byte() % 8 {
            0 => {
                let at = (usize::from(self.byte()) * 256 + usize::from(self.byte()))
                    % bytes.len().max(1);
                let flip = self.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= flip;
                }
            }
            1 => bytes.truncate(usize::from(self.byte())),
            _ => {}
        }
        bytes
    }

    fn event(&mut self, kit: &Kit, token: Token) -> Event {
        let address = || Address::new("/ip4/127.0.0.1/tcp/4001").expect("an address");
        let kind = self.byte();
        let peer = self.peer();
        match kind % 21 {
            0 => {
                let target = match self.byte() % 3 {
                    0 => None,
                    1 => Some(DialTarget::Address(address())),
                    _ => Some(DialTarget::Peer(self.peer())),
                };
                Event::Connected { peer, address: address(), outbound: target.is_some(), target }
            }
            1 => Event::Disconnected { peer },
            2 => Event::DialFailed { target: DialTarget::Peer(peer) },
            3 => Event::Subscribed { peer, topic: self.topic() },
            4 => Event::Unsubscribed { peer, topic: self.topic() },
            5 => Event::Hello { peer, token, hello: self.pick(&kit.hellos).clone() },
            6 => {
                let answer = (!self.byte().is_multiple_of(4))
                    .then(|| HelloAnswer::Accepted(self.pick(&kit.hellos).clone()));
                Event::HelloAnswered { peer, answer }
            }
            7..=9 => {
                let (topic, bytes) = self.pick(&kit.gossip).clone();
                Event::Gossip { source: peer, token, topic, bytes: self.damage(bytes) }
            }
            10 => Event::Gossip {
                source: peer,
                token,
                topic: self.topic(),
                bytes: self.0.iter().take(64).copied().collect(),
            },
            11 => Event::Grant {
                peer,
                token,
                grant: GrantBytes::new(vec![self.byte(); 10]).expect("ten bytes are a grant"),
            },
            12 => {
                let file =
                    (!self.byte().is_multiple_of(2)).then(|| file(u64::from(self.byte()), 1));
                let evidence =
                    (!self.byte().is_multiple_of(2)).then(|| self.pick(&kit.evidence).key());
                let cursor = Cursor { file, evidence, dispute: None };
                let held =
                    (0..self.byte() % 4).map(|task| (TaskId(u64::from(task) + 97), [task; 16]));
                let request = CatchupRequest { cursor, held: held.collect() };
                Event::CatchupAsked { peer, token, request }
            }
            13 => {
                let page = (!self.byte().is_multiple_of(8)).then(|| wire(self.pick(&kit.pages)));
                Event::CatchupAnswered {
                    peer,
                    page: page.and_then(|bytes| CatchupPage::from_wire(&self.damage(bytes)).ok()),
                }
            }
            14 => {
                let count = self.byte();
                Event::Addresses {
                    peer,
                    addresses: vec![address(); usize::from(count % 16)],
                    itself: count < 128,
                }
            }
            15 => {
                let from = TaskId(u64::from(self.byte()));
                let chosen = self.byte();
                let members =
                    kit.members.iter().enumerate().filter(|(index, _)| (chosen >> index) & 1 == 0);
                let validators = members.map(|(_, hotkey)| *hotkey).collect();
                let all = TaskList {
                    from: TaskId(0),
                    interval: INTERVAL,
                    validators: kit.members.clone(),
                };
                let interval = INTERVAL >> (chosen >> 6);
                Event::Allowlists(vec![all, TaskList { from, interval, validators }])
            }
            16 => {
                Event::Head(BlockNumber(HEAD.0 + u64::from(self.byte()) * u64::from(self.byte())))
            }
            17 => Event::GrantChanged(
                (!self.byte().is_multiple_of(2))
                    .then(|| GrantBytes::new(vec![1]).expect("a byte is a grant")),
            ),
            18 => Event::Misbehaved {
                peer,
                offence: *self.pick(&[
                    Offence::BadVerdict,
                    Offence::MalformedRequest,
                    Offence::Flood,
                ]),
            },
            19 => {
                Event::Moved { peer, address: address(), outbound: self.byte().is_multiple_of(2) }
            }
            _ => Event::Tick,
        }
    }
}

/// Runs the script. The core must not panic, must answer in bounded work, and may certify only what
/// the kit certifies.
pub fn core(data: &[u8]) {
    let kit = kit();
    let mut script = Script(data);
    let restored = match script.byte() % 4 {
        0 => Restored {
            certificates: kit.certificates.iter().take(3).cloned().collect(),
            evidence: kit.evidence.iter().take(2).cloned().collect(),
            disputes: kit.disputes.iter().take(2).cloned().collect(),
            sequence: u64::from(script.byte()),
            ..Restored::default()
        },
        _ => Restored::default(),
    };
    let mut core = Core::new(CoreConfig {
        network: kit.network,
        peer: peer(0),
        consensus: Arc::new(everybody_produces().into()),
        signer: signer(0),
        allowlists: vec![TaskList {
            from: TaskId(0),
            interval: INTERVAL,
            validators: kit.members.clone(),
        }],
        head: HEAD,
        bootnodes: Vec::new(),
        restored,
        timing: Timing::default(),
        seed: 1,
        signatures: Arc::clone(&kit.signatures),
    });
    let mut now = Duration::ZERO;
    let mut tokens = 0;
    while !script.0.is_empty() {
        let step = script.byte();
        now += Duration::from_millis(u64::from(step) * u64::from(step));
        tokens += 1;
        if step % 32 == 31 {
            let message = match script.byte() % 4 {
                0 => Gossip::Announcement(script.pick(&kit.announcements).clone()),
                1 => Gossip::Dispute(script.pick(&kit.disputes).clone()),
                2 => Gossip::Evidence(script.pick(&kit.evidence).clone()),
                _ => Gossip::Attestation(script.pick(&kit.attestations).clone()),
            };
            let _ = core.publish(now, message);
            continue;
        }
        let event = script.event(kit, Token(tokens));
        let effects = core.handle(now, event);
        assert!(effects.len() <= MOST_EFFECTS, "{} effects of one event", effects.len());
    }
    let _ = (core.peer_views(now), core.inventory());
    for file in core.files() {
        assert!(
            kit.announcements.iter().any(|known| known.file == file.file),
            "a file that nobody signed for"
        );
    }
    for evidence in core.evidence() {
        assert!(
            kit.evidence.contains(&evidence) || !evidence.key().as_producer,
            "evidence that nobody gave"
        );
    }
}

impl Kit {
    /// One good input for each decoder: target, name, bytes.
    pub(crate) fn seeds(&self) -> Vec<(&'static str, String, Vec<u8>)> {
        let prefixed = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
        let mut seeds = Vec::new();
        for topic in Topic::ALL {
            let kind = match topic {
                Topic::Verdict => 0,
                Topic::Attestation => 1,
                Topic::Evidence => 2,
                Topic::Beacon => 3,
                Topic::MinerReport => 4,
                Topic::Dispute => 6,
            };
            if let Some((_, bytes)) = self.gossip.iter().find(|(of, _)| *of == topic) {
                seeds.push(("gossip", topic.kind().to_owned(), prefixed(kind, bytes.clone())));
            }
        }
        seeds.push(("gossip", "certificate".into(), prefixed(5, wire(&self.certificates[0]))));
        let (hello, page) = (&self.hellos[0], &self.pages[1]);
        let request = CatchupRequest {
            cursor: Cursor {
                file: Some(file(99, 1)),
                evidence: Some(self.evidence[0].key()),
                dispute: Some(DisputeKey { file: file(99, 1), disputer: self.members[0] }),
            },
            held: vec![(TaskId(99), [7; 16])],
        };
        let verdict = VerdictRequest { file: file(99, 1), digest: Digest::of(b"one") };
        let streams = [
            ("hello", wire(hello)),
            ("hello-answer", wire(&HelloAnswer::Accepted(hello.clone()))),
            ("grant-offer", wire(&GrantOffer(b"grant".to_vec()))),
            ("grant-answer", wire(&GrantAnswer { taken: true })),
            ("verdict-request", wire(&verdict)),
            ("verdict-answer", wire(&VerdictAnswer(Some(b"file".to_vec().into())))),
            ("catchup-request", wire(&request)),
            ("catchup-page", wire(page)),
            ("page-answer", wire(&PageAnswer(Some(page.clone())))),
        ];
        for (kind, (name, bytes)) in (0u8..).zip(streams) {
            seeds.push(("streams", name.to_owned(), prefixed(kind, bytes)));
        }
        seeds
    }
}
