//! What a message costs its receiver: the real core, given a file's announcement, everybody's
//! attestations and beacons.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::core::{
    Core, CoreConfig, Effect, Event, Judgement, MeshEvent, Restored, Timing, Token,
};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::messages::{
    Address, BeaconDraft, Heard, HeardMap, SignatureCheck, TaskList, Topic,
};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network, TaskId,
};
use sp_core::{Pair as _, sr25519};

const HEAD: BlockNumber = BlockNumber(10_000);
/// Files whose messages are taken in.
const FILES: u64 = 4;
/// Checks of an envelope's signature that are timed.
const ENVELOPES: u32 = 2000;

/// Sizes and times of one message.
#[derive(Clone, Copy, Debug)]
pub struct Receiver {
    pub attestation_bytes: usize,
    pub beacon_bytes: usize,
    /// Microseconds in the core.
    pub attestation_us: f64,
    /// Microseconds for the signature that gossipsub checks on each copy.
    pub envelope_us: f64,
}

fn signer(number: usize) -> HotkeySigner {
    let mut seed = [4; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    HotkeySigner::new(sr25519::Pair::from_seed(&seed), Arc::new(MemoryGuard::default()))
}

fn network() -> Network {
    Network { genesis: Digest::of(b"a chain"), netuid: Netuid(99) }
}

fn peer(number: usize) -> PeerIdBytes {
    PeerIdBytes::new(&(number as u64).to_be_bytes()).unwrap()
}

fn core(validators: &[HotkeySigner]) -> Core {
    Core::new(CoreConfig {
        network: network(),
        peer: peer(0),
        consensus: Arc::new(
            ConsensusParams { failover_grace: Some(1), ..Default::default() }.into(),
        ),
        signer: validators[0].clone(),
        allowlists: vec![TaskList {
            from: TaskId(0),
            interval: 100,
            validators: validators.iter().map(HotkeySigner::hotkey).collect(),
        }],
        head: HEAD,
        bootnodes: vec![],
        restored: Restored::default(),
        timing: Timing::default(),
        seed: 1,
        signatures: Arc::new(SignatureCheck::default()),
    })
}

/// Hands the core a message by gossip.
fn gossip(core: &mut Core, topic: Topic, bytes: Vec<u8>) -> Vec<Effect> {
    let event = Event::Gossip { source: peer(1), token: Token(0), topic, bytes };
    // Far apart, so that no limit on one peer's messages is met.
    static SECONDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let now = Duration::from_secs(SECONDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let effects = core.handle(now, event);
    let accepted =
        |effect: &Effect| matches!(effect, Effect::Judge { judgement: Judgement::Accept, .. });
    assert!(effects.iter().any(accepted), "the core refuses a good message");
    effects
}

/// A beacon, with two addresses or without.
fn beacon(sender: &HotkeySigner, validators: &[HotkeySigner], addresses: bool) -> Vec<u8> {
    let address = Address::new("/ip4/203.0.113.255/udp/4070/quic-v1").unwrap();
    let heard = validators.iter().map(|_| Heard { heard: true, linked: true });
    let draft = BeaconDraft {
        network: network(),
        peer: PeerIdBytes::new(&[7; 38]).unwrap(),
        head: HEAD,
        seq: 1,
        heard: HeardMap::new([7; 8], heard),
        addresses: addresses.then(|| vec![address; 2]),
        inventory: Digest::default(),
    };
    sender.sign_beacon(draft).to_wire().unwrap()
}

/// The mean size of a beacon in a quiet mesh: every sixth carries the addresses.
fn beacon_bytes(signers: &[HotkeySigner]) -> usize {
    let size = |addresses| beacon(&signers[1], signers, addresses).len();
    (size(true) + 5 * size(false)).div_ceil(6)
}

/// What gossipsub checks on each copy, before it knows whether it has seen the message.
fn envelope_us() -> f64 {
    let key = Keypair::generate_ed25519();
    let message = [7; 300];
    let (signature, public) = (key.sign(&message).unwrap(), key.public());
    let begun = Instant::now();
    for _ in 0..ENVELOPES {
        assert!(public.verify(std::hint::black_box(&message), &signature));
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(ENVELOPES)
}

pub fn measure(validators: usize) -> Receiver {
    let signers: Vec<HotkeySigner> = (0..validators).map(signer).collect();
    let mut core = core(&signers);
    let place = Address::new("/sim/1").unwrap();
    let _ = core.handle(
        Duration::ZERO,
        Event::Connected { peer: peer(1), address: place, outbound: false, target: None },
    );
    let mut spent = Duration::ZERO;
    let (mut attestations, mut attestation_bytes, mut certified) = (0, 0, 0);
    for task in 0..FILES {
        let producer: Hotkey = signers[1].hotkey();
        let id = FileId { task_id: TaskId(60 + task), producer };
        let file =
            SignedVerdict { id, digest: Digest::of(&task.to_be_bytes()), bytes: vec![0; 10] };
        let announcement = signers[1].sign_announcement(network(), &file).unwrap();
        gossip(&mut core, Topic::Verdict, announcement.to_wire().unwrap());
        let votes = signers
            .iter()
            .map(|signer| signer.sign_attestation(network(), id, file.digest).unwrap());
        for bytes in votes.map(|vote| vote.to_wire().unwrap()).collect::<Vec<_>>() {
            attestation_bytes = bytes.len();
            attestations += 1;
            let begun = Instant::now();
            let effects = gossip(&mut core, Topic::Attestation, bytes);
            spent += begun.elapsed();
            let is_certificate =
                |effect: &Effect| matches!(effect, Effect::Tell(MeshEvent::Certified(_)));
            certified += u64::from(effects.iter().any(is_certificate));
        }
    }
    assert_eq!(certified, FILES, "a file was not certified");
    Receiver {
        attestation_bytes,
        beacon_bytes: beacon_bytes(&signers),
        attestation_us: spent.as_secs_f64() * 1e6 / f64::from(attestations),
        envelope_us: envelope_us(),
    }
}
