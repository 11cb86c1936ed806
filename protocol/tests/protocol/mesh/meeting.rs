//! Meshes over real sockets on loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::harness::frames::{GOSSIP_PROTOCOL, message, message_on, subscription_to};
use super::harness::*;
use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{HelloAnswer, HelloDraft, HelloRefusal, PeerIdBytes};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{
    GRANT_PROTOCOL, GrantBytes, HELLO_PROTOCOL, Mesh, MeshConfig, MeshEvent, Published, RefusedBy,
};
use leoma_protocol::messages::Topic;
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, HotkeySigner, Netuid, Network};

#[tokio::test(flavor = "multi_thread")]
async fn four_validators_meet_through_one_bootnode() {
    let nodes = mesh(4).await;
    for node in &nodes {
        let status = node.status().await;
        let mut met: Vec<_> = status.peers.iter().filter_map(|peer| peer.view.hotkey).collect();
        met.sort();
        let mut expected: Vec<_> =
            nodes.iter().map(|other| other.hotkey).filter(|key| *key != node.hotkey).collect();
        expected.sort();
        assert_eq!(met, expected);
        assert!(
            status.peers.iter().all(|peer| peer.view.topics.len() == Topic::ALL.len()),
            "{status:?}"
        );
        assert!(serde_json::to_string(&status).unwrap().contains(&node.hotkey.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_cannot_be_dialled_from_keeps_nobody_out() {
    let members = hotkeys(1..=2);
    let first = Node::start(config(1, &members));
    // Somebody else's socket with the same number elsewhere is enough for dials from the own port
    // to fail.
    let other = std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).unwrap();
    let mut second = config(2, &members);
    let listen =
        MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), other.local_addr().unwrap().port());
    second.listen = listen[..1].to_vec();
    second.bootnodes = vec![first.address().await];
    Node::start(second).until_mutual(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_ipv4_and_ipv6_tcp_and_quic_share_one_port() {
    let free = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    let Ok(port) = free.and_then(|listener| Ok(listener.local_addr()?.port())) else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let members = hotkeys(1..=2);
    let mut first = config(1, &members);
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    first.listen = all.iter().flat_map(|ip| MeshConfig::listen_on(*ip, port)).collect();
    assert_eq!(first.listen.len(), 4);
    let first = Node::start(first);
    for transport in ["/ip4/127.0.0.1/tcp/", "/ip4/127.0.0.1/udp/", "/ip6/::1/udp/"] {
        first.addresses(transport).await;
    }
    // A pair with nothing but IPv6 in common.
    let mut second = config(2, &members);
    second.listen = MeshConfig::listen_on(Ipv6Addr::LOCALHOST.into(), 0).to_vec();
    second.bootnodes = vec![first.addresses("/ip6/::1/tcp/").await];
    Node::start(second).until_mutual(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_a_port_that_is_taken_is_named_with_its_setting() {
    let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address =
        |port, place: usize| MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), port)[place].clone();
    for address in
        [address(tcp.local_addr().unwrap().port(), 0), address(udp.local_addr().unwrap().port(), 1)]
    {
        let mut taken = config(1, &hotkeys([1]));
        taken.listen = vec![address.clone()];
        let error = Mesh::spawn(taken).err().unwrap().to_string();
        for part in [&address.to_string(), "in use", "LEOMA_MESH_LISTEN"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_reaches_everybody_once() {
    let nodes = mesh(4).await;
    let signer = signer(2);
    let announcement = signer.sign_announcement(network(), &verdict(&signer, 99, b"file")).unwrap();
    let published = nodes[1].handle.announce(announcement.clone()).await.unwrap();
    assert_eq!(published, Published::Sent { peers: 3 });
    for node in &nodes {
        let heard = |event: &MeshEvent| match event {
            MeshEvent::Announcement(announcement) => Some(announcement.clone()),
            _ => None,
        };
        assert_eq!(node.until_heard("the announcement", heard).await, announcement);
    }
    // Publishing the same bytes again is no error and tells nobody twice.
    nodes[1].handle.announce(announcement).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for node in &nodes {
        assert_eq!(
            node.heard(|event| matches!(event, MeshEvent::Announcement(_)).then_some(())).len(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_while_alone_is_delivered_later() {
    let members = hotkeys([1, 2]);
    let alone = Node::start(config(1, &members));
    let signer = signer(1);
    let announcement = signer.sign_announcement(network(), &verdict(&signer, 98, b"file")).unwrap();
    let published = alone.handle.announce(announcement.clone()).await.unwrap();
    assert!(matches!(published, Published::Kept { .. }), "{published:?}");
    let mut later = config(2, &members);
    later.bootnodes = vec![alone.addresses("/quic-v1").await];
    let later = Node::start(later);
    let heard = later.until_heard("the kept announcement", |event| match event {
        MeshEvent::Announcement(announcement) => Some(announcement.clone()),
        _ => None,
    });
    assert_eq!(heard.await, announcement);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_hellos_are_refused_with_their_reasons() {
    let node = Node::start(config(1, &hotkeys([1, 2])));
    let address = node.address().await;
    let other_peer =
        PeerIdBytes::new(&Keypair::generate_ed25519().public().to_peer_id().to_bytes()).unwrap();
    type Reason = fn(&HelloRefusal) -> bool;
    type Change = Box<dyn Fn(&mut HelloDraft)>;
    let stranger = signer(9);
    let member = signer(2);
    let cases: Vec<(&str, HotkeySigner, Change, Reason)> = vec![
        ("a stranger", stranger, Box::new(|_| ()), |r| {
            matches!(r, HelloRefusal::NotOnAllowlist { .. })
        }),
        (
            "another chain",
            member.clone(),
            Box::new(|d| d.network = Network { genesis: Digest::of(b"another"), ..d.network }),
            |r| matches!(r, HelloRefusal::WrongChain { .. }),
        ),
        (
            "another subnet",
            member.clone(),
            Box::new(|d| d.network = Network { netuid: Netuid(1), ..d.network }),
            |r| matches!(r, HelloRefusal::WrongNetuid { .. }),
        ),
        ("another peer id", member.clone(), Box::new(move |d| d.peer = other_peer), |r| {
            matches!(r, HelloRefusal::WrongPeer { .. })
        }),
        (
            "an expired one",
            member.clone(),
            Box::new(|d| d.expires = BlockNumber(HEAD.0 - 1)),
            |r| matches!(r, HelloRefusal::Expired { .. }),
        ),
        (
            "one without an end",
            member.clone(),
            Box::new(|d| d.expires = BlockNumber(u64::MAX)),
            |r| matches!(r, HelloRefusal::TooFarAhead { .. }),
        ),
        (
            "other rules",
            member,
            Box::new(|d| {
                d.params =
                    ConsensusParams { accept_v1: true, ..ConsensusParams::default() }.digest()
            }),
            |r| matches!(r, HelloRefusal::ParamsDiffer { .. }),
        ),
    ];
    for (name, signer, change, expected) in cases {
        let mut hostile = Hostile::new(HELLO_PROTOCOL);
        let peer = hostile.connect(&address).await;
        let hello = hostile.hello(&signer, change);
        let answer = hostile.ask(peer, hello.to_wire().unwrap()).await.expect(name);
        match HelloAnswer::from_wire(&answer).unwrap() {
            HelloAnswer::Refused(reason) => assert!(expected(&reason), "{name}: {reason}"),
            HelloAnswer::Accepted(_) => panic!("{name} was accepted"),
        }
        hostile.until_closed().await;
        let told = node.until_heard(name, |event| match event {
            MeshEvent::Refused { peer, reason, by: RefusedBy::Us }
                if *peer == hostile.peer_bytes() =>
            {
                Some(reason.clone())
            }
            _ => None,
        });
        assert!(expected(&told.await), "{name}");
    }
    assert!(node.heard(|event| matches!(event, MeshEvent::PeerUp { .. }).then_some(())).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_or_forged_hello_is_refused() {
    let node = Node::start(config(1, &hotkeys([1, 2])));
    let address = node.address().await;
    let keypair = Keypair::generate_ed25519();
    let mut hostile = Hostile::with_key(HELLO_PROTOCOL, keypair.clone());
    let peer = hostile.connect(&address).await;
    let newer = hostile.hello(&signer(2), |draft| draft.seq = 7);
    let answer = hostile.ask(peer, newer.to_wire().unwrap()).await.unwrap();
    assert!(
        matches!(HelloAnswer::from_wire(&answer).unwrap(), HelloAnswer::Accepted(hello) if hello.hotkey == node.hotkey)
    );
    let older = hostile.hello(&signer(2), |draft| draft.seq = 6);
    let answer = hostile.ask(peer, older.to_wire().unwrap()).await.unwrap();
    assert_eq!(
        HelloAnswer::from_wire(&answer).unwrap(),
        HelloAnswer::Refused(HelloRefusal::OlderSeq { seq: 6, newest: 7 })
    );
    let mut hostile = Hostile::new(HELLO_PROTOCOL);
    let peer = hostile.connect(&address).await;
    let mut forged = hostile.hello(&signer(9), |_| ());
    forged.hotkey = signer(2).hotkey();
    let answer = hostile.ask(peer, forged.to_wire().unwrap()).await.unwrap();
    assert!(matches!(
        HelloAnswer::from_wire(&answer).unwrap(),
        HelloAnswer::Refused(HelloRefusal::BadSignature { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_reach_members_only() {
    let members = hotkeys([1, 2]);
    let granting = Node::start(config(1, &members));
    let secret = GrantBytes::new(b"endpoint, bucket, AKIA-PLANTED-SECRET".to_vec()).unwrap();
    granting.handle.set_grant(secret.clone()).await.unwrap();
    let address = granting.address().await;

    // A stranger that would take a grant, and that tries to give one.
    let mut stranger = Hostile::new(GRANT_PROTOCOL);
    let peer = stranger.connect(&address).await;
    let offer = [&[1u8][..], &5u64.to_le_bytes(), b"mine!"].concat();
    let answer = stranger.ask(peer, offer).await.unwrap();
    assert_eq!(answer, [1, 0], "not taken");

    let mut config = config(2, &members);
    config.bootnodes = vec![address];
    let member = Node::start(config);
    let grants = |event: &MeshEvent| match event {
        MeshEvent::Grant { from, payload } => Some((*from, payload.clone())),
        _ => None,
    };
    assert_eq!(member.until_heard("the grant", grants).await, (granting.hotkey, secret.clone()));
    assert!(stranger.until_closed().await.is_empty(), "a stranger was granted access");
    assert!(granting.heard(grants).is_empty());

    // A new grant goes out at once.
    let rotated = GrantBytes::new(b"rotated".to_vec()).unwrap();
    granting.handle.set_grant(rotated.clone()).await.unwrap();
    until("the rotated grant", || async {
        member.heard(grants).iter().any(|(_, grant)| *grant == rotated).then_some(())
    })
    .await;
    let said = format!("{:?}{:?}", member.log.lock().unwrap(), granting.log.lock().unwrap());
    assert!(!said.contains("AKIA") && !said.contains("65, 75, 73, 65"), "a secret in debug output");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_validator_is_disconnected_and_stays_out() {
    let nodes = mesh(3).await;
    let removed = nodes[2].hotkey;
    for node in &nodes[..2] {
        node.handle.set_allowlists(vec![list_of(&hotkeys([1, 2]))]).await.unwrap();
    }
    for node in &nodes[..2] {
        let down = |event: &MeshEvent| {
            matches!(event, MeshEvent::PeerDown { hotkey, .. } if *hotkey == removed).then_some(())
        };
        node.until_heard("the removed peer to go", down).await;
    }
    let refused = |event: &MeshEvent| match event {
        MeshEvent::Refused {
            reason: HelloRefusal::NotOnAllowlist { hotkey },
            by: RefusedBy::Them,
            ..
        } => Some(*hotkey),
        _ => None,
    };
    assert_eq!(nodes[2].until_heard("the refusal of its return", refused).await, removed);
    for node in &nodes[..2] {
        assert_eq!(node.mutual().await, 1);
        assert!(node.status().await.peers.iter().all(|peer| peer.view.hotkey != Some(removed)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_speaks_a_later_version_too_is_heard_on_ours_and_not_blamed() {
    let node = Node::start(config(1, &hotkeys([1, 2])));
    let address = node.address().await;
    let keypair = Keypair::generate_ed25519();
    let mut ahead = Hostile::with_key(GOSSIP_PROTOCOL, keypair.clone());
    let peer = ahead.connect_as(&address, &signer(2)).await;
    let name = |topic: Topic, version| topic.name_of_version(&network(), version);
    let subscribed = (1..=2).flat_map(|version| Topic::ALL.map(|topic| name(topic, version)));
    let mut frames: Vec<u8> = subscribed.flat_map(|name| subscription_to(&name, true)).collect();
    // Nobody here is subscribed to the later version. Its encoding is ahead of ours on ours, too.
    frames.extend(message_on(&name(Topic::Verdict, 2), Some(&keypair), 1, b"later"));
    frames.extend(message(Topic::Verdict, &keypair, 2, &[2, 1, 2, 3]));
    let file = verdict(&signer(2), 99, b"file");
    let announcement = signer(2).sign_announcement(network(), &file).unwrap();
    frames.extend(message(Topic::Verdict, &keypair, 3, &announcement.to_wire().unwrap()));
    ahead.send(peer, frames);
    let who = ahead.peer_bytes();
    let lingering = ahead.linger();
    let announced = |event: &MeshEvent| {
        matches!(event, MeshEvent::Announcement(it) if it.file == file.id).then_some(())
    };
    node.until_heard("the announcement", announced).await;
    let status = node.status().await;
    let view = &status.peers.iter().find(|known| known.view.peer == who).unwrap().view;
    assert_eq!((view.score, view.topics.len()), (0.0, Topic::ALL.len()));
    lingering.abort();
}
