//! A core on its own, which a test feeds by hand.

use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{Hello, HelloAnswer, HelloDraft, PeerIdBytes};
use leoma_protocol::mesh::core::{
    Core, CoreConfig, Effect, Event, Judgement, Restored, Timing, Token,
};
use leoma_protocol::messages::{Address, BeaconDraft, HeardMap, TaskList, Topic};
use leoma_protocol::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, HotkeySigner, MemoryGuard, Netuid,
    Network, TaskId,
};
use sp_core::{Pair as _, sr25519};

pub const HEAD: BlockNumber = BlockNumber(10_000);

pub fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

pub fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
}

pub fn peer(number: u16) -> PeerIdBytes {
    let mut bytes = [7; 38];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerIdBytes::new(&bytes).unwrap()
}

/// Parameters under which every validator has a turn at every task.
pub fn everybody_produces() -> ConsensusParams {
    ConsensusParams { failover_grace: Some(1), ..ConsensusParams::default() }
}

pub fn list(from: u64, interval: u64, numbers: impl IntoIterator<Item = u8>) -> TaskList {
    let validators = numbers.into_iter().map(|number| signer(number).hotkey()).collect();
    TaskList { from: TaskId(from), interval, validators }
}

/// A core on its own, with a clock that stands still unless told, and validators 0 to 3, itself
/// being 0.
pub struct Alone {
    pub core: Core,
    pub now: Duration,
    tokens: u64,
}

impl Alone {
    pub fn new() -> Self {
        Self::with(HEAD, Restored::default())
    }

    pub fn with(head: BlockNumber, restored: Restored) -> Self {
        Self::under(everybody_produces().into(), head, restored)
    }

    pub fn among(allowlists: Vec<TaskList>, restored: Restored) -> Self {
        let consensus = everybody_produces().into();
        Self::build(consensus, allowlists, HEAD, restored)
    }

    pub fn under(consensus: ConsensusSchedule, head: BlockNumber, restored: Restored) -> Self {
        Self::build(consensus, vec![list(0, 100, 0..4)], head, restored)
    }

    fn build(
        consensus: ConsensusSchedule,
        allowlists: Vec<TaskList>,
        head: BlockNumber,
        restored: Restored,
    ) -> Self {
        let core = Core::new(CoreConfig {
            network: network(),
            peer: peer(0),
            consensus: Arc::new(consensus),
            signer: signer(0),
            allowlists,
            head,
            bootnodes: vec![],
            restored,
            timing: Timing::default(),
            seed: 1,
            signatures: Arc::default(),
        });
        Self { core, now: Duration::from_secs(1), tokens: 0 }
    }

    pub fn feed(&mut self, event: Event) -> Vec<Effect> {
        self.core.handle(self.now, event)
    }

    /// The chain's head moves on to `to`, in steps as a chain makes them.
    pub fn reach(&mut self, from: BlockNumber, to: u64) {
        for head in (from.0..to).step_by(100).chain([to]) {
            self.feed(Event::Head(BlockNumber(head)));
        }
    }

    pub fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.feed(Event::Tick)
    }

    pub fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    pub fn connect(&mut self, number: u16) -> Vec<Effect> {
        let address = Address::new(format!("/ip4/192.0.2.1/tcp/{}", number + 1)).unwrap();
        self.feed(Event::Connected { peer: peer(number), address, outbound: false, target: None })
    }

    pub fn say_hello(&mut self, number: u16, as_validator: u8) -> (HelloAnswer, Vec<Effect>) {
        self.say(number, hello(peer(number), as_validator))
    }

    pub fn say(&mut self, number: u16, hello: Hello) -> (HelloAnswer, Vec<Effect>) {
        let token = self.token();
        let mut effects = self.feed(Event::Hello { peer: peer(number), token, hello });
        let at =
            effects.iter().position(|effect| matches!(effect, Effect::AnswerHello { .. })).unwrap();
        let Effect::AnswerHello { answer, .. } = effects.remove(at) else { unreachable!() };
        (answer, effects)
    }

    pub fn join(&mut self, number: u16, as_validator: u8) -> Vec<Effect> {
        let mut effects = self.connect(number);
        let (answer, more) = self.say_hello(number, as_validator);
        assert!(matches!(answer, HelloAnswer::Accepted(_)), "{answer:?}");
        effects.extend(more);
        effects
    }

    pub fn gossip(&mut self, from: u16, topic: Topic, bytes: Vec<u8>) -> (Judgement, Vec<Effect>) {
        let token = self.token();
        let effects = self.feed(Event::Gossip { source: peer(from), token, topic, bytes });
        let judged = effects.iter().find_map(|effect| match effect {
            Effect::Judge { judgement, .. } => Some(*judgement),
            _ => None,
        });
        (judged.unwrap(), effects)
    }

    pub fn score(&self, number: u16) -> f64 {
        let views = self.core.peer_views(self.now);
        views.iter().find(|view| view.peer == peer(number)).unwrap().score
    }
}

pub fn hello(peer: PeerIdBytes, as_validator: u8) -> Hello {
    hello_with(peer, as_validator, &everybody_produces())
}

pub fn hello_with(peer: PeerIdBytes, as_validator: u8, params: &ConsensusParams) -> Hello {
    let params = params.digest();
    let expires = BlockNumber(HEAD.0 + 100);
    signer(as_validator).sign_hello(HelloDraft {
        network: network(),
        peer,
        params,
        seq: 1,
        expires,
    })
}

pub fn beacon(by: u8, at: PeerIdBytes, seq: u64) -> Vec<u8> {
    beacon_at(by, at, seq, HEAD)
}

pub fn beacon_at(by: u8, at: PeerIdBytes, seq: u64, head: BlockNumber) -> Vec<u8> {
    let draft = BeaconDraft {
        network: network(),
        peer: at,
        head,
        seq,
        heard: HeardMap::new([0; 8], []),
        addresses: None,
        inventory: Digest::default(),
    };
    signer(by).sign_beacon(draft).to_wire().unwrap()
}

pub fn disconnected(effects: &[Effect]) -> Vec<PeerIdBytes> {
    let ended = effects.iter().filter_map(|effect| match effect {
        Effect::Disconnect { peer, .. } => Some(*peer),
        _ => None,
    });
    ended.collect()
}
