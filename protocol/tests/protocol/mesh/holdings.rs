//! What the validator counts with: it outlasts what the core gossips about.

use leoma_protocol::mesh::core::limits::MAX_EVIDENCE_PER_ACCUSED;
use leoma_protocol::mesh::core::{Event, Restored};
use leoma_protocol::messages::{Announcement, Attestation, Certificate, Gossip};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{BlockNumber, Digest, FileId, TaskId};

use super::alone::{Alone, list, network, peer, signer};

fn file(task: u64) -> FileId {
    FileId { task_id: TaskId(task), producer: signer(1).hotkey() }
}

fn vote(by: u8, task: u64) -> Attestation {
    signer(by).sign_attestation(network(), file(task), Digest::of(b"file")).unwrap()
}

/// A validator without a memory signs whatever it is asked to.
fn announcement(task: u64, content: &[u8]) -> Announcement {
    let verdict = SignedVerdict { id: file(task), digest: Digest::of(content), bytes: vec![] };
    signer(1).sign_announcement(network(), &verdict).unwrap()
}

fn certify(alone: &mut Alone, task: u64, voters: impl IntoIterator<Item = u8>) {
    for by in voters {
        alone.core.publish(alone.now, Gossip::Attestation(vote(by, task))).unwrap();
    }
}

fn held(alone: &Alone, task: u64) -> Option<usize> {
    alone.core.holdings().certificates.get(&file(task)).map(|one| one.votes.len())
}

#[test]
fn a_certificate_stays_until_no_epoch_looks_back_on_it() {
    let mut alone = Alone::with(BlockNumber(40_000), Restored::default());
    certify(&mut alone, 101, 1..4);
    certify(&mut alone, 400, 1..4);
    // An epoch at block 40 140 looks back to block 10 140, in the middle of task 101.
    for head in [40_140, 40_320, 40_500, 40_680, 40_860] {
        alone.feed(Event::Head(BlockNumber(head)));
        assert_eq!(held(&alone, 101), Some(3), "at head {head}");
    }
    assert!(alone.core.files().iter().all(|view| view.file != file(101)), "gossip forgot it");
    alone.feed(Event::Head(BlockNumber(41_040)));
    assert_eq!((held(&alone, 101), held(&alone, 400)), (None, Some(3)));
}

#[test]
fn later_votes_do_not_change_a_certificate() {
    let mut alone = Alone::new();
    certify(&mut alone, 99, 1..4);
    let before = alone.core.holdings().clone();
    certify(&mut alone, 99, [0]);
    assert!(std::sync::Arc::ptr_eq(&before, alone.core.holdings()), "nothing to publish");
    assert_eq!(held(&alone, 99), Some(3));
}

#[test]
fn a_restored_certificate_of_an_earlier_list_counts_and_is_told_to_peers() {
    let mut votes: Vec<_> =
        [1, 2, 9].map(|by| vote(by, 90)).map(|vote| (vote.attester, vote.signature)).into();
    votes.sort_by_key(|vote| vote.0);
    let digest = Digest::of(b"file");
    let certificate = Certificate { network: network(), file: file(90), digest, votes };
    let restored = Restored { certificates: vec![certificate], ..Restored::default() };
    // Validator 9 has left since.
    let alone = Alone::among(vec![list(0, 100, [0, 1, 2, 9]), list(95, 100, 0..4)], restored);
    assert_eq!(held(&alone, 90), Some(3));
    let views = alone.core.files();
    assert_eq!(views.iter().filter_map(|view| view.certified).collect::<Vec<_>>(), [digest]);
}

#[test]
fn no_equivocation_of_the_lookback_is_forgotten_for_newer_ones() {
    let mut alone = Alone::new();
    let tasks = 80..82 + MAX_EVIDENCE_PER_ACCUSED as u64;
    for task in tasks.clone() {
        for content in [b"one", b"two"] {
            let message = Gossip::Announcement(announcement(task, content));
            alone.core.publish(alone.now, message).unwrap();
        }
    }
    assert_eq!(alone.core.evidence().len(), MAX_EVIDENCE_PER_ACCUSED);
    let equivocations = &alone.core.holdings().equivocations;
    assert!(equivocations.iter().copied().eq(tasks.map(file)), "{equivocations:?}");
}

#[test]
fn a_validator_is_connected_while_one_of_its_peers_is() {
    let mut alone = Alone::new();
    let connected = |alone: &Alone| alone.core.holdings().connected.contains(&signer(1).hotkey());
    alone.join(1, 1);
    alone.join(2, 1);
    alone.feed(Event::Disconnected { peer: peer(1) });
    assert!(connected(&alone));
    alone.feed(Event::Disconnected { peer: peer(2) });
    assert!(!connected(&alone));
}
