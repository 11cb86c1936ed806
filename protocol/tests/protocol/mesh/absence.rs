//! What coming back costs: a validator that was away for a day catches up with one peer.

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::core::{CatchupPage, CatchupRequest, Effect, Event, Restored};
use leoma_protocol::messages::{BeaconDraft, Certificate, HeardMap, TaskList, Topic};
use leoma_protocol::{Digest, FileId, HotkeySigner, TaskId};

use super::alone::{Alone, HEAD, list, network, peer, signer};

const VALIDATORS: u8 = 64;
/// Tasks of a day of the live chain, and the newest of them.
const DAY: u64 = 72;
const NEWEST: u64 = 99;
const PEER: u16 = 1;

fn lists() -> Vec<TaskList> {
    vec![list(0, 100, 0..VALIDATORS)]
}

/// A file for which everybody voted.
fn certified(task: u64, signers: &[HotkeySigner]) -> Certificate {
    let producer = signers[(task % u64::from(VALIDATORS)) as usize].hotkey();
    let (file, digest) =
        (FileId { task_id: TaskId(task), producer }, Digest::of(&task.to_be_bytes()));
    let vote = |signer: &HotkeySigner| {
        let vote = signer.sign_attestation(network(), file, digest).unwrap();
        (vote.attester, vote.signature)
    };
    let mut votes: Vec<_> = signers.iter().map(vote).collect();
    votes.sort_unstable_by_key(|(attester, _)| *attester);
    Certificate { network: network(), file, digest, votes }
}

fn holding(certificates: &[Certificate]) -> Alone {
    let certificates = certificates.to_vec();
    let mut alone = Alone::among(lists(), Restored { certificates, ..Restored::default() });
    alone.join(PEER, 1);
    alone
}

fn asked(effects: Vec<Effect>) -> Option<CatchupRequest> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::AskCatchup { request, .. } => Some(request),
        _ => None,
    })
}

fn answered(there: &mut Alone, request: CatchupRequest) -> CatchupPage {
    let token = there.token();
    let effects = there.feed(Event::CatchupAsked { peer: peer(PEER), token, request });
    let page = effects.into_iter().find_map(|effect| match effect {
        Effect::AnswerCatchup { page, .. } => page,
        _ => None,
    });
    page.expect("a page")
}

/// A beacon of somebody who holds something else.
fn beacon(at: PeerIdBytes) -> Vec<u8> {
    let draft = BeaconDraft {
        network: network(),
        peer: at,
        head: HEAD,
        seq: 1,
        heard: HeardMap::new([0; 8], []),
        addresses: None,
        inventory: Digest::of(b"something else"),
    };
    signer(1).sign_beacon(draft).to_wire().unwrap()
}

/// What one catch-up cost who was away.
#[derive(Debug, Default)]
struct Cost {
    pages: usize,
    bytes_out: usize,
    bytes_in: usize,
    /// Votes that it had to check.
    votes: usize,
}

fn catch_up(away: &mut Alone, there: &mut Alone) -> Cost {
    let mut cost = Cost::default();
    let (_, effects) = away.gossip(PEER, Topic::Beacon, beacon(peer(PEER)));
    let mut next = asked(effects);
    while let Some(request) = next {
        cost.bytes_out += request.to_wire().unwrap().len();
        let page = answered(there, request);
        cost.pages += 1;
        cost.bytes_in += page.to_wire().unwrap().len();
        let tallies = page.files.iter().flat_map(|file| &file.tallies);
        cost.votes += tallies.map(|tally| tally.votes.len()).sum::<usize>();
        let page = Some(page);
        next = asked(away.feed(Event::CatchupAnswered { peer: peer(PEER), page }));
    }
    cost
}

#[test]
fn a_day_among_64_validators_comes_as_a_delta() {
    let signers: Vec<HotkeySigner> = (0..VALIDATORS).map(signer).collect();
    let before = NEWEST + 1 - DAY;
    let all: Vec<Certificate> =
        (before - 24..=NEWEST).map(|task| certified(task, &signers)).collect();
    let (old, day) = all.split_at(24);
    let mut there = holding(&all);
    let mut away = holding(old);
    let cost = catch_up(&mut away, &mut there);
    println!("a day of {DAY} files and {VALIDATORS} validators: {cost:?}");
    let votes: usize = day.iter().map(|certificate| certificate.votes.len()).sum();
    assert_eq!(cost.votes, votes, "what it held already is not sent again");
    assert_eq!(away.core.holdings().certificates.len(), all.len());
    let vote = 96;
    assert!(cost.bytes_in < votes * vote * 5 / 4, "little besides the votes: {cost:?}");
}
