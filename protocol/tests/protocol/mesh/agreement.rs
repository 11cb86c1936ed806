//! Attestations, certificates, evidence, fetching and catch-up over real sockets.

use std::future::ready;
use std::ops::Range;

use super::harness::*;
use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::HelloAnswer;
use leoma_protocol::mesh::{Acceptance, HELLO_PROTOCOL, MeshError, MeshEvent, Restored};
use leoma_protocol::messages::{Certificate, Evidence};
use leoma_protocol::{Digest, FileId, TaskId};

/// Forty tasks that may still be attested to.
const TASKS: Range<u64> = 60..100;

fn certificate(event: &MeshEvent) -> Option<Certificate> {
    match event {
        MeshEvent::Certified(certificate) => Some(certificate.clone()),
        _ => None,
    }
}

fn evidence(event: &MeshEvent) -> Option<Evidence> {
    match event {
        MeshEvent::Evidence(evidence) => Some(evidence.clone()),
        _ => None,
    }
}

fn announced(event: &MeshEvent) -> Option<(FileId, Digest)> {
    match event {
        MeshEvent::Announcement(announcement) => Some((announcement.file, announcement.digest)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_announced_fetched_attested_and_certified_everywhere() {
    let nodes = mesh(4).await;
    let content = b"a verdict file".to_vec();
    let file = verdict(&signer(1), 99, &content);
    nodes[0].handle.provide_verdict(file.id, file.digest, content.clone()).await.unwrap();
    let announcement = signer(1).sign_announcement(network(), &file).unwrap();
    nodes[0].handle.announce(announcement).await.unwrap();
    nodes[0].handle.attest(file.id, file.digest).await.unwrap();
    for node in &nodes[1..3] {
        let (id, digest) = node.until_heard("the announcement", announced).await;
        let bytes = node.handle.fetch_verdict(id, digest, only(digest)).await.unwrap();
        assert_eq!(*bytes, content);
        node.handle.provide_verdict(id, digest, bytes).await.unwrap();
        node.handle.attest(id, digest).await.unwrap();
    }
    for node in &nodes {
        let certificate = node.until_heard("a certificate", certificate).await;
        assert_eq!((certificate.file, certificate.digest), (file.id, file.digest));
        assert!(certificate.votes.len() >= 3);
        assert_eq!(node.certificates(), 1);
    }
    // Nobody attests to another digest, and nobody's handle lets it.
    let other = nodes[1].handle.attest(file.id, Digest::of(b"another")).await;
    assert!(matches!(other, Err(MeshError::NotSafe(_))), "{other:?}");

    // Its producer and its bucket gone, the file is still to be had; one bad copy does no harm.
    nodes[0].handle.shutdown().await;
    nodes[1].handle.provide_verdict(file.id, file.digest, b"spoilt".to_vec()).await.unwrap();
    let fetched = until("the file from another holder", || async {
        nodes[3].handle.fetch_verdict(file.id, file.digest, only(file.digest)).await.ok()
    });
    assert_eq!(*fetched.await, content);
    let missing = nodes[3]
        .handle
        .fetch_verdict(file.id, Digest::of(b"no such file"), |_| ready(Acceptance::Taken))
        .await;
    assert!(matches!(missing, Err(MeshError::NotFound { .. })), "{missing:?}");
    // Nobody is blamed but whoever served the bad copy.
    let peers = nodes[3].status().await.peers;
    let mut blamed = peers.iter().filter(|peer| peer.view.score < 0.0);
    assert!(blamed.all(|peer| peer.view.hotkey == Some(nodes[1].hotkey)), "{peers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_our_own_is_blamed_on_nobody() {
    let nodes = mesh(3).await;
    let file = verdict(&signer(1), 99, b"a verdict file");
    for node in &nodes[..2] {
        node.handle.provide_verdict(file.id, file.digest, file.bytes.clone()).await.unwrap();
        // It answers once it holds the file.
        node.status().await;
    }
    // A full disk here is nobody's fault there, however often it is tried.
    let full_disk = |_| ready(Acceptance::OwnFault);
    for _ in 0..3 {
        let unable = nodes[2].handle.fetch_verdict(file.id, file.digest, full_disk).await;
        assert!(matches!(unable, Err(MeshError::OwnFault)), "{unable:?}");
    }
    let fetched = nodes[2].handle.fetch_verdict(file.id, file.digest, only(file.digest)).await;
    assert_eq!(*fetched.unwrap(), file.bytes);
    let peers = nodes[2].status().await.peers;
    assert!(peers.len() == 2 && peers.iter().all(|peer| peer.view.score == 0.0), "{peers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latecomer_catches_up_on_certificates_and_evidence() {
    let members = hotkeys(1..=4);
    let first = Node::start(config(1, &members));
    let bootnode = first.address().await;
    let mut others = Vec::new();
    for number in 2..=3 {
        let mut config = config(number, &members);
        config.bootnodes = vec![bootnode.clone()];
        others.push(Node::start(config));
    }
    others[0].until_mutual(2).await;
    others[1].until_mutual(2).await;
    for task in TASKS {
        let file = verdict(&signer(1), task, &task.to_be_bytes());
        first
            .handle
            .announce(signer(1).sign_announcement(network(), &file).unwrap())
            .await
            .unwrap();
        for node in [&first, &others[0], &others[1]] {
            node.handle.attest(file.id, file.digest).await.unwrap();
        }
    }
    // A validator without a memory signs twice.
    for content in [b"one", b"two"] {
        let signer = signer(2);
        let file = verdict(&signer, 50, content);
        others[0]
            .handle
            .announce(signer.sign_announcement(network(), &file).unwrap())
            .await
            .unwrap();
    }
    for node in [&first, &others[0], &others[1]] {
        let found = node.until_heard("evidence", evidence).await;
        assert_eq!(found.key().accused, others[0].hotkey);
        until("forty certificates", || async { (node.certificates() == 40).then_some(()) }).await;
    }
    let mut late = config(4, &members);
    late.bootnodes = vec![bootnode];
    let late = Node::start(late);
    until("forty certificates", || async { (late.certificates() == 40).then_some(()) }).await;
    assert_eq!(late.until_heard("evidence", evidence).await.key().accused, others[0].hotkey);
    // What is held is told in a moment, through a channel.
    until("forty events", || async { (late.heard(certificate).len() >= 40).then_some(()) }).await;
    assert_eq!(late.heard(certificate).len(), 40, "each told once");

    // What it learnt survives its restart without a peer.
    let restored = Restored {
        certificates: late.heard(certificate),
        evidence: late.heard(evidence),
        ..Restored::default()
    };
    late.handle.shutdown().await;
    let mut alone = config(4, &members);
    alone.restored = restored;
    let alone = Node::start(alone);
    assert_eq!(alone.certificates(), 40);
    let files = alone.status().await.files;
    assert_eq!(files.iter().filter(|file| file.certified.is_some()).count(), 40);
    assert_eq!(alone.handle.evidence().await.unwrap().len(), 1);
    assert!(alone.heard(certificate).is_empty(), "nothing is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hotkey_at_two_machines_is_reported() {
    let members = hotkeys([1, 2]);
    let node = Node::start(config(1, &members));
    let mut hostile = Hostile::new(HELLO_PROTOCOL);
    let peer = hostile.connect(&node.address().await).await;
    let hello = hostile.hello(&signer(1), |draft| draft.seq = u64::MAX);
    let answer = hostile.ask(peer, hello.to_wire().unwrap()).await.unwrap();
    assert!(matches!(HelloAnswer::from_wire(&answer).unwrap(), HelloAnswer::Accepted(_)));
    let (hotkey, ours) = node
        .until_heard("a doppelganger", |event| match event {
            MeshEvent::Doppelganger { hotkey, ours, .. } => Some((*hotkey, *ours)),
            _ => None,
        })
        .await;
    assert_eq!((hotkey, ours), (node.hotkey, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_others_would_refuse_are_refused_at_once() {
    let node = Node::start(config(1, &hotkeys([1])));
    let far = verdict(&signer(1), 1_000_000, b"the future");
    let refused = node.handle.announce(signer(1).sign_announcement(network(), &far).unwrap()).await;
    assert!(matches!(refused, Err(MeshError::Refused(_))), "{refused:?}");
    // Alone on the allowlist, a validator is its own quorum.
    let file = verdict(&signer(1), 99, b"file");
    node.handle.attest(file.id, file.digest).await.unwrap();
    let certificate = node.until_heard("a certificate", certificate).await;
    assert_eq!(certificate.file, FileId { task_id: TaskId(99), producer: node.hotkey });
}
