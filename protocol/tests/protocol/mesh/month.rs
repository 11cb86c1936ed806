//! What a month leaves in memory: a core among 16 validators that hears everything they say.

use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::HelloDraft;
use leoma_protocol::mesh::core::{Event, Restored};
use leoma_protocol::messages::Topic;
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, HotkeySigner, TaskId};

use super::alone::{Alone, HEAD, beacon_at, everybody_produces, list, network, peer, signer};

const VALIDATORS: u8 = 16;
const INTERVAL: u64 = 100;
/// Tasks of a day of the live chain, and the seconds of one.
const DAY: u64 = 72;
const TASK_SECONDS: u64 = 1_200;
const DAYS: u64 = 30;
/// Days before those that are counted: by then the lookback of 30 000 blocks is full, as it is for
/// a validator that joins an older mesh.
const BEFORE: u64 = 5;

/// Kibibytes of memory that the process has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// Everybody's hello, beacon and vote of one task, and its producer's announcement.
fn task(alone: &mut Alone, number: u64) {
    let head = BlockNumber(HEAD.0 + (number + 1) * INTERVAL + 50);
    alone.feed(Event::Head(head));
    alone.pass(Duration::from_secs(TASK_SECONDS));
    // Made anew for each task: their guards would remember every vote, which is not the core's.
    let signers: Vec<HotkeySigner> = (0..VALIDATORS).map(signer).collect();
    let id = TaskId(HEAD.0 / INTERVAL + number);
    let producer = &signers[1 + (number % u64::from(VALIDATORS - 1)) as usize];
    let file = FileId { task_id: id, producer: producer.hotkey() };
    let digest = Digest::of(&number.to_be_bytes());
    let verdict = SignedVerdict { id: file, digest, bytes: vec![] };
    let announcement = producer.sign_announcement(network(), &verdict).unwrap();
    for (place, signer) in signers.iter().enumerate().skip(1) {
        let from = place as u16;
        let hello = signer.sign_hello(HelloDraft {
            network: network(),
            peer: peer(from),
            params: everybody_produces().digest(),
            seq: number + 1,
            expires: BlockNumber(head.0 + INTERVAL),
        });
        let _answer = alone.say(from, hello);
        let beacon = beacon_at(place as u8, peer(from), number + 1, head);
        alone.gossip(from, Topic::Beacon, beacon);
        if file.producer == signer.hotkey() {
            alone.gossip(from, Topic::Verdict, announcement.to_wire().unwrap());
        }
        let vote = signer.sign_attestation(network(), file, digest).unwrap();
        alone.gossip(from, Topic::Attestation, vote.to_wire().unwrap());
    }
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn thirty_days_among_16_validators_leave_no_more_in_memory_than_two() {
    let mut alone = Alone::among(vec![list(0, INTERVAL, 0..VALIDATORS)], Restored::default());
    for number in 1..VALIDATORS {
        alone.connect(number.into());
    }
    let lookback = ConsensusParams::default().lookback_blocks / INTERVAL;
    let mut second = 0;
    for day in 1..=BEFORE + DAYS {
        for number in (day - 1) * DAY..day * DAY {
            task(&mut alone, number);
        }
        let (now, held) = (resident(), alone.core.holdings().certificates.len() as u64);
        let made = day * DAY;
        assert!(held >= made.min(lookback) - 2 && held <= lookback + DAY, "day {day}: {held}");
        let Some(day) = day.checked_sub(BEFORE) else { continue };
        println!("day {day}: {now} KiB, {held} certificates");
        if day == 2 {
            second = now;
        }
    }
    let now = resident();
    assert!(now <= second + second / 10, "{now} KiB after {DAYS} days, {second} after two");
}
