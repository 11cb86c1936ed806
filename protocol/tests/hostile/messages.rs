//! What hostile peers say.

use std::time::Duration;

use leoma_protocol::Digest;
use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{CATCHUP_PROTOCOL, GRANT_PROTOCOL, HELLO_PROTOCOL, VERDICT_PROTOCOL};
use leoma_protocol::messages::{BeaconDraft, HeardMap, Topic};

use super::harness::frames::{GOSSIP_PROTOCOL, message, message_on, subscription};
use super::harness::*;
use super::siege::*;

#[tokio::test(flavor = "multi_thread")]
async fn bad_gossip_on_any_topic_is_blamed() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let (node, address) = siege.target();
    for topic in Topic::ALL {
        let limit = topic.max_bytes();
        let cases: [(&str, Vec<u8>, u64); 5] = [
            ("nothing", vec![], 1),
            ("a version before the first", vec![0; 40], 1),
            ("a claim of endless lists", [&[1][..], &[0xff; 60]].concat(), 1),
            ("more than its kind may have", vec![1; limit + 1], 1),
            // Refused by the library, which keeps its own count: four at once are blamed.
            ("more than its topic may have", vec![1; limit + 4096], 5),
        ];
        for (name, data, times) in cases {
            let what = format!("{name} on {topic}");
            let keypair = Keypair::generate_ed25519();
            let mut stranger = Hostile::with_key(GOSSIP_PROTOCOL, keypair.clone());
            let peer = stranger.connect(address).await;
            let frames: Vec<u8> = (0..times)
                .flat_map(|number| {
                    let mut data = data.clone();
                    data.extend((times > 1).then_some(number as u8));
                    message(topic, &keypair, number, &data)
                })
                .collect();
            stranger.send(peer, frames);
            let who = stranger.peer_bytes();
            let lingering = stranger.linger();
            until_blamed(node, who, 5.0, &what).await;
            lingering.abort();
        }
    }
    // What has no honest author at all.
    let keypair = Keypair::generate_ed25519();
    let unsigned =
        |number| message_on(&Topic::Verdict.name(&network()), None, number, &number.to_be_bytes());
    let mut forged = message(Topic::Verdict, &keypair, 1, b"signed");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for (name, frames) in
        [("unsigned", (0..5).flat_map(unsigned).collect()), ("forged", forged.repeat(5))]
    {
        let mut stranger = Hostile::new(GOSSIP_PROTOCOL);
        let peer = stranger.connect(address).await;
        let frames: Vec<u8> = frames;
        stranger.send(peer, frames);
        let who = stranger.peer_bytes();
        let lingering = stranger.linger();
        until_blamed(node, who, 5.0, name).await;
        lingering.abort();
    }
    // What ends the stream: an RPC beyond all limits, one that cannot be read, and a topic that is
    // not ours.
    let elsewhere = message_on("/eth2/blocks", Some(&keypair), 1, &[0; 100_000]);
    for frames in [
        message(Topic::Beacon, &keypair, 1, &[0; 600_000]),
        vec![0x7f; 300_000],
        elsewhere.repeat(50),
    ] {
        let mut stranger = Hostile::new(GOSSIP_PROTOCOL);
        let peer = stranger.connect(address).await;
        stranger.send(peer, frames);
        // There is nothing to see but that it harms nobody: the stream ends, or what is on it is
        // passed over.
        let _ = tokio::time::timeout(Duration::from_secs(2), stranger.until_closed()).await;
    }
    siege.hold().await;

    // A validator is not let off either, and does not come back under another peer id.
    let (node, address) = siege.target();
    let keypair = Keypair::generate_ed25519();
    let mut insider = Hostile::with_key(GOSSIP_PROTOCOL, keypair.clone());
    let peer = insider.connect_as(address, &signer(INSIDER)).await;
    let frames = (0..20u64).flat_map(|number| {
        message(Topic::ALL[number as usize % 5], &keypair, number, &[0, number as u8])
    });
    insider.send(peer, frames.collect());
    insider.until_closed().await;
    until_turned_away(node, address, INSIDER).await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_on_any_protocol_are_blamed() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let (node, address) = siege.target();
    let cases: [(&str, Vec<u8>); 5] = [
        ("a version before the first", vec![0; 40]),
        ("one byte", vec![1]),
        ("a claim of endless lists", [&[1][..], &[0xff; 60]].concat()),
        ("something behind it", vec![1; 250]),
        ("five megabytes", vec![1; 5 << 20]),
    ];
    for protocol in [HELLO_PROTOCOL, GRANT_PROTOCOL, VERDICT_PROTOCOL, CATCHUP_PROTOCOL] {
        for (name, bytes) in &cases {
            let mut stranger = Hostile::new(protocol);
            let peer = stranger.connect(address).await;
            stranger.send(peer, bytes.clone());
            let who = stranger.peer_bytes();
            let lingering = stranger.linger();
            until_blamed(node, who, 10.0, &format!("{name} on {protocol}")).await;
            lingering.abort();
        }
    }
    siege.hold().await;
    let (node, address) = siege.target();
    let mut insider = Hostile::new(CATCHUP_PROTOCOL);
    let peer = insider.connect_as(address, &signer(INSIDER)).await;
    for (_, bytes) in &cases {
        insider.ask(peer, bytes.clone()).await;
    }
    insider.until_closed().await;
    until_turned_away(node, address, INSIDER).await;
    siege.hold().await;
}

/// What a flood says before it begins anew.
const FLOOD: u64 = 10_000;
/// How often a flood begins anew, at most: more than anybody should put up with.
const FLOODS: u32 = 200;

/// Says many things over and over, as fast as they are taken, until it is thrown out.
async fn flood(siege: &Siege, keypair: Keypair, say: impl FnMut(u64) -> Vec<u8>) {
    let address = &siege.addresses[0];
    let mut insider = Hostile::that_repeats(FLOODS, GOSSIP_PROTOCOL, keypair);
    let frames = (0..FLOOD).flat_map(say).collect();
    let peer = insider.connect_as(address, &signer(INSIDER)).await;
    let begun = std::time::Instant::now();
    insider.send(peer, frames);
    insider.until_closed().await;
    println!("thrown out after {:?}", begun.elapsed());
    until_turned_away(&siege.nodes[0], address, INSIDER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_repetitions_is_thrown_out() {
    let _turn = turn().await;
    // Repetitions are counted by the second. A machine that is too busy to take as many as a peer
    // may send sees no flood, so the limit here is one that any machine exceeds.
    let mut siege = besieged_with(|config| {
        patient(config);
        config.limits.gossip_per_second = 50;
    })
    .await;
    let keypair = Keypair::generate_ed25519();
    let file = verdict(&signer(INSIDER), 97, b"a file");
    let announcement =
        signer(INSIDER).sign_announcement(network(), &file).unwrap().to_wire().unwrap();
    let frame = message(Topic::Verdict, &keypair, 1, &announcement);
    flood(&siege, keypair, |_| frame.clone()).await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_subscriptions_is_thrown_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    flood(&siege, Keypair::generate_ed25519(), |number| {
        subscription(Topic::Verdict, number % 2 == 0)
    })
    .await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invalid_messages_is_thrown_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let keypair = Keypair::generate_ed25519();
    let file = verdict(&signer(INSIDER), 97, b"a file");
    let mut forged = signer(INSIDER).sign_announcement(network(), &file).unwrap();
    flood(&siege, keypair.clone(), |number| {
        forged.bytes_len = number;
        message(Topic::Verdict, &keypair, number, &forged.to_wire().unwrap())
    })
    .await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_new_beacons_is_thrown_out_and_passed_on_by_nobody() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let keypair = Keypair::generate_ed25519();
    let peer = PeerIdBytes::new(&keypair.public().to_peer_id().to_bytes()).unwrap();
    let of_insider = signer(INSIDER);
    flood(&siege, keypair.clone(), |number| {
        let draft = BeaconDraft {
            network: network(),
            peer,
            head: HEAD,
            seq: number + 1,
            heard: HeardMap::new([0; 8], []),
            addresses: None,
            inventory: Digest::of(&number.to_be_bytes()),
        };
        message(Topic::Beacon, &keypair, number, &of_insider.sign_beacon(draft).to_wire().unwrap())
    })
    .await;
    siege.hold().await;
}
