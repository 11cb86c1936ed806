//! A grant's secret goes to proven validators over their own stream, and into nothing else that
//! leaves the mesh: no gossip, no page, no hello, no debug output.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::core::{Core, CoreConfig, Effect, Event, Token};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{GrantBytes, Restored, Timing};
use leoma_protocol::messages::{Address, Gossip, TaskList, Topic};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, Digest, FileId, HotkeySigner, MemoryGuard, Netuid, Network, TaskId,
};
use sp_core::{Pair as _, sr25519};

const SECRET: &[u8] = b"PLANTED-read-key-of-a-bucket";
const HEAD: BlockNumber = BlockNumber(10_000);

fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
}

fn contains(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// Two cores on a wire that keeps everything that was sent or said.
struct Wire {
    cores: [Core; 2],
    peers: [PeerIdBytes; 2],
    queue: VecDeque<(usize, Event)>,
    published: Vec<(Topic, Vec<u8>)>,
    streams: Vec<Vec<u8>>,
    grants: Vec<Vec<u8>>,
    said: String,
}

impl Wire {
    fn new() -> Self {
        let peers = [1, 2].map(|_| {
            let id = Keypair::generate_ed25519().public().to_peer_id();
            PeerIdBytes::new(&id.to_bytes()).unwrap()
        });
        let validators = vec![signer(1).hotkey(), signer(2).hotkey()];
        let allowlist = TaskList { from: TaskId(0), interval: 100, validators };
        let core = |index: usize| {
            Core::new(CoreConfig {
                network: network(),
                peer: peers[index],
                consensus: Arc::new(super::harness::everybody_produces()),
                signer: signer(index as u8 + 1),
                allowlists: vec![allowlist.clone()],
                head: HEAD,
                bootnodes: Vec::new(),
                restored: Restored::default(),
                timing: Timing::default(),
                seed: 1,
                signatures: Arc::default(),
            })
        };
        Self {
            cores: [core(0), core(1)],
            peers,
            queue: VecDeque::new(),
            published: Vec::new(),
            streams: Vec::new(),
            grants: Vec::new(),
            said: String::new(),
        }
    }

    fn run(&mut self, now: Duration) {
        while let Some((to, event)) = self.queue.pop_front() {
            self.said.push_str(&format!("{event:?}"));
            let effects = self.cores[to].handle(now, event);
            self.carry_out(to, effects);
        }
    }

    fn carry_out(&mut self, from: usize, effects: Vec<Effect>) {
        let (to, peer) = (1 - from, self.peers[from]);
        let token = Token(0);
        for effect in effects {
            self.said.push_str(&format!("{effect:?}"));
            let event = match effect {
                Effect::Publish { topic, bytes } => {
                    self.published.push((topic, bytes.clone()));
                    Event::Gossip { source: peer, token, topic, bytes }
                }
                Effect::SendHello { hello, .. } => {
                    self.streams.push(hello.to_wire().unwrap());
                    Event::Hello { peer, token, hello }
                }
                Effect::AnswerHello { answer, .. } => {
                    self.streams.push(answer.to_wire().unwrap());
                    Event::HelloAnswered { peer, answer: Some(answer) }
                }
                Effect::SendGrant { grant, .. } => {
                    self.grants.push(grant.as_slice().to_vec());
                    Event::Grant { peer, token, grant }
                }
                Effect::AnswerGrant { taken, .. } => Event::GrantAnswered { peer, taken },
                Effect::AskCatchup { request, .. } => {
                    self.streams.push(request.to_wire().unwrap());
                    Event::CatchupAsked { peer, token, request }
                }
                Effect::AnswerCatchup { page, .. } => {
                    self.streams.extend(page.iter().map(|page| page.to_wire().unwrap()));
                    Event::CatchupAnswered { peer, page }
                }
                _ => continue,
            };
            self.queue.push_back((to, event));
        }
    }

    fn publish(&mut self, from: usize, now: Duration, message: Gossip) {
        let (_, effects) = self.cores[from].publish(now, message).unwrap();
        self.carry_out(from, effects);
        self.run(now);
    }
}

#[test]
fn a_grant_is_in_no_gossip_no_page_and_no_debug_output() {
    let mut wire = Wire::new();
    let now = Duration::from_millis;
    let grant = GrantBytes::new([b"endpoint ", SECRET].concat()).unwrap();
    wire.queue.push_back((0, Event::GrantChanged(Some(grant))));
    // Before they meet, the first has a file to tell of, so that there is something to catch up on.
    let file = |task| SignedVerdict {
        id: FileId { task_id: TaskId(task), producer: signer(1).hotkey() },
        digest: Digest::of(b"file"),
        bytes: Vec::new(),
    };
    let early = signer(1).sign_announcement(network(), &file(97)).unwrap();
    wire.publish(0, now(0), Gossip::Announcement(early));
    for (index, outbound) in [(0, true), (1, false)] {
        let (peer, address) =
            (wire.peers[1 - index], Address::new("/ip4/127.0.0.1/tcp/1").unwrap());
        wire.queue.push_back((index, Event::Connected { peer, address, outbound, target: None }));
    }
    wire.run(now(100));
    for index in [0, 1] {
        for topic in Topic::ALL {
            wire.queue.push_back((index, Event::Subscribed { peer: wire.peers[1 - index], topic }));
        }
    }
    wire.run(now(200));
    let late = signer(1).sign_announcement(network(), &file(98)).unwrap();
    wire.publish(0, now(300), Gossip::Announcement(late));
    let attestation = signer(2).sign_attestation(network(), file(98).id, file(98).digest).unwrap();
    wire.publish(1, now(400), Gossip::Attestation(attestation));
    let twice = SignedVerdict { digest: Digest::of(b"another"), ..file(98) };
    let twice = signer(1).sign_announcement(network(), &twice).unwrap();
    let source = wire.peers[0];
    let bytes = twice.to_wire().unwrap();
    wire.queue
        .push_back((1, Event::Gossip { source, token: Token(0), topic: Topic::Verdict, bytes }));
    for second in 1..60 {
        for index in [0, 1] {
            wire.queue.push_back((index, Event::Tick));
        }
        wire.run(Duration::from_secs(second));
    }

    // It did travel, and so did everything that it must not be in.
    assert!(wire.grants.iter().any(|grant| contains(grant)), "no grant was sent");
    for topic in [Topic::Verdict, Topic::Attestation, Topic::Beacon, Topic::Evidence] {
        assert!(
            wire.published.iter().any(|(published, _)| *published == topic),
            "nothing was published on {topic}"
        );
    }
    assert!(wire.streams.len() > 4, "only {} messages on streams", wire.streams.len());
    for (topic, bytes) in &wire.published {
        assert!(!contains(bytes), "the secret is in gossip on {topic}");
    }
    assert!(
        wire.streams.iter().all(|bytes| !contains(bytes)),
        "the secret is in a hello or a page"
    );
    assert!(wire.said.contains("GrantBytes"), "the grant was not shown at all");
    let as_numbers: Vec<String> = SECRET.iter().take(8).map(u8::to_string).collect();
    for form in
        [String::from_utf8_lossy(SECRET).into_owned(), hex::encode(SECRET), as_numbers.join(", ")]
    {
        assert!(!wire.said.contains(&form), "the secret is in debug output");
    }
}
