//! What the core puts up with: strangers that hold on, validators that say too much, and those who
//! pass it on.

use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{HelloAnswer, HelloRefusal};
use leoma_protocol::mesh::core::limits::{
    AUTHOR_BURST, GOSSIP_BURST, MAX_SESSIONS_PER_HOTKEY, MAX_UNPROVEN_PEERS, REPORT_BURST,
};
use leoma_protocol::mesh::core::{Effect, Event, Judgement, MeshEvent, Offence, Parting};
use leoma_protocol::messages::{MinerReportDraft, Topic};
use leoma_protocol::{BlockNumber, Digest, FileId, TaskId};

use super::alone::{Alone, HEAD, beacon, disconnected, hello, list, network, peer, signer};

#[test]
fn the_stranger_that_took_longest_gives_way_and_validators_do_not() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    for number in 0..MAX_UNPROVEN_PEERS as u16 {
        alone.now += Duration::from_millis(1);
        assert!(disconnected(&alone.connect(100 + number)).is_empty());
    }
    for number in 0..300 {
        alone.now += Duration::from_millis(1);
        let gone = disconnected(&alone.connect(1000 + number));
        let longest = if usize::from(number) < MAX_UNPROVEN_PEERS {
            100 + number
        } else {
            1000 + number - 128
        };
        assert_eq!(gone, [peer(longest)], "at newcomer {number}");
        alone.feed(Event::Disconnected { peer: peer(longest) });
    }
    // Whoever proves itself at once is in, and stays.
    alone.join(2, 2);
    for number in 0..300 {
        assert!(!disconnected(&alone.connect(2000 + number)).contains(&peer(2)));
    }
    assert!(alone.core.member(&peer(1)).is_some() && alone.core.member(&peer(2)).is_some());
}

#[test]
fn a_hotkey_has_few_sessions_and_the_newest_stay() {
    let mut alone = Alone::new();
    for number in 0..20 {
        alone.now += Duration::from_secs(1);
        let effects = alone.join(100 + number, 1);
        let gone = disconnected(&effects);
        if usize::from(number) < MAX_SESSIONS_PER_HOTKEY {
            assert!(gone.is_empty());
        } else {
            assert_eq!(gone, [peer(100 + number - MAX_SESSIONS_PER_HOTKEY as u16)]);
            let down = |effect: &Effect| matches!(effect, Effect::Tell(MeshEvent::PeerDown { .. }));
            assert_eq!(effects.iter().filter(|effect| down(effect)).count(), 1);
            alone.feed(Event::Disconnected { peer: gone[0] });
        }
        assert!(alone.core.member(&peer(100 + number)).is_some());
    }
}

#[test]
fn a_new_peer_id_does_not_wash_off_what_a_validator_did() {
    let mut alone = Alone::new();
    alone.join(100, 1);
    let offence = Offence::MalformedRequest;
    for _ in 0..2 {
        alone.feed(Event::Misbehaved { peer: peer(100), offence });
    }
    // A second peer of the same hotkey pays for both at its next offence, and a third is not let
    // in.
    let gone = disconnected(&alone.feed(Event::Misbehaved { peer: peer(100), offence }));
    assert_eq!(gone, [peer(100)]);
    alone.feed(Event::Disconnected { peer: peer(100) });
    alone.connect(101);
    assert_eq!(alone.say_hello(101, 1).0, HelloAnswer::Refused(HelloRefusal::Banned));
    alone.join(102, 2);
    // Knocking does not prolong it.
    for knock in 0..60 {
        alone.pass(Duration::from_secs(20));
        alone.connect(200 + knock);
        if matches!(alone.say_hello(200 + knock, 1).0, HelloAnswer::Accepted(_)) {
            return;
        }
    }
    panic!("never forgiven");
}

#[test]
fn a_peer_that_keeps_knocking_is_let_in_when_it_is_listed() {
    let mut alone = Alone::new();
    let wait = Duration::from_secs(64);
    for _ in 0..200 {
        alone.connect(9);
        assert!(matches!(
            alone.say_hello(9, 9).0,
            HelloAnswer::Refused(HelloRefusal::NotOnAllowlist { .. })
        ));
        alone.feed(Event::Disconnected { peer: peer(9) });
        alone.pass(wait);
    }
    alone.feed(Event::Allowlists(vec![list(0, 100, [0, 1, 9])]));
    alone.join(9, 9);
}

#[test]
fn refusals_that_add_up_to_a_ban_end_in_one() {
    let mut alone = Alone::new();
    let mut banned = false;
    for _ in 0..3 {
        alone.connect(9);
        let mut forged = hello(peer(9), 9);
        forged.hotkey = signer(1).hotkey();
        // Several at once: from the second on it is turned away unread.
        for _ in 0..2 {
            let token = alone.token();
            alone.feed(Event::Hello { peer: peer(9), token, hello: forged.clone() });
        }
        for _ in 0..20 {
            alone.feed(Event::Misbehaved { peer: peer(9), offence: Offence::NoHello });
        }
        let effects = alone.feed(Event::Disconnected { peer: peer(9) });
        banned |= effects
            .iter()
            .any(|effect| matches!(effect, Effect::Ban { peer: who } if *who == peer(9)));
    }
    assert!(banned, "its connections are not refused");
}

#[test]
fn whoever_passes_on_too_much_of_another_is_no_flood() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    alone.join(2, 2);
    // Validator 1, honest, passes on what validator 2 signs faster than anybody may speak.
    let mut accepted = 0;
    for seq in 1..=3 * u64::from(GOSSIP_BURST) {
        let (judgement, effects) = alone.gossip(1, Topic::Beacon, beacon(2, peer(2), seq));
        assert_ne!(judgement, Judgement::Reject);
        assert!(disconnected(&effects).is_empty());
        accepted += u32::from(judgement == Judgement::Accept);
    }
    assert_eq!(accepted, REPORT_BURST, "no more than that goes on to others");
    assert_eq!(alone.score(1), 0.0);
    // Handed over by its author, the same is a flood.
    for seq in 100_000..100_100 {
        alone.now += Duration::from_millis(50);
        alone.gossip(2, Topic::Beacon, beacon(2, peer(2), seq));
    }
    assert!(alone.score(2) <= -20.0, "{}", alone.score(2));
    assert_eq!(alone.score(1), 0.0);
}

#[test]
fn a_validator_that_comes_back_is_not_cut_short() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    let author = signer(1);
    // Three hundred tasks by each of three producers.
    let files = (0..300u64).flat_map(|task| (1..4).map(move |producer| (task, producer)));
    let (mut accepted, mut others) = (0, 0);
    for (task, producer) in files {
        let file = FileId { task_id: TaskId(task % 100), producer: signer(producer).hotkey() };
        let Ok(attestation) =
            author.sign_attestation(network(), file, Digest::of(&task.to_be_bytes()))
        else {
            continue;
        };
        let (judgement, _) = alone.gossip(1, Topic::Attestation, attestation.to_wire().unwrap());
        *(if judgement == Judgement::Accept { &mut accepted } else { &mut others }) += 1;
    }
    assert_eq!((accepted, others), (300, 0));
    assert!(AUTHOR_BURST > 900 && alone.score(1) == 0.0);
}

#[test]
fn only_a_newer_miner_report_goes_on() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    let report = |block| {
        let draft =
            MinerReportDraft { network: network(), block: BlockNumber(block), miners: vec![] };
        signer(2).sign_miner_report(draft).to_wire().unwrap()
    };
    assert_eq!(alone.gossip(1, Topic::MinerReport, report(HEAD.0)).0, Judgement::Accept);
    assert_eq!(alone.gossip(1, Topic::MinerReport, report(HEAD.0 - 1)).0, Judgement::Ignore);
    assert_eq!(alone.gossip(1, Topic::MinerReport, report(HEAD.0 + 1)).0, Judgement::Accept);
}

#[test]
fn tasks_of_a_new_interval_are_admitted_beside_those_of_the_old_one() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    let author = signer(2);
    let said = |alone: &mut Alone, task| {
        let file = FileId { task_id: TaskId(task), producer: author.hotkey() };
        let attestation = author.sign_attestation(network(), file, Digest::default()).unwrap();
        alone.gossip(1, Topic::Attestation, attestation.to_wire().unwrap()).0
    };
    assert_eq!(said(&mut alone, 201), Judgement::Ignore);
    alone.feed(Event::Allowlists(vec![list(0, 100, 0..4), list(201, 50, 0..4)]));
    assert_eq!(said(&mut alone, 201), Judgement::Accept);
    assert_eq!(said(&mut alone, 90), Judgement::Accept, "an old one counts for as long as ever");
    assert_eq!(said(&mut alone, 300), Judgement::Ignore);
    // When all of the old numbers are behind the lookback, none of them is admitted.
    alone.feed(Event::Head(BlockNumber(60_000)));
    assert_eq!(said(&mut alone, 91), Judgement::Ignore);
    assert_eq!(said(&mut alone, 1200), Judgement::Accept);
}

#[test]
fn a_flood_costs_more_the_longer_it_lasts() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    let known = beacon(2, peer(2), 1);
    alone.gossip(1, Topic::Beacon, known.clone());
    // A burst is put up with, whatever its size: one moment is blamed once.
    for _ in 0..10 * GOSSIP_BURST {
        alone.gossip(1, Topic::Beacon, known.clone());
    }
    assert_eq!(alone.score(1), -1.0);
    let mut seconds = 0;
    let parting = loop {
        seconds += 1;
        assert!(seconds < 10, "put up with for ten seconds");
        let mut ended = None;
        for _ in 0..10 {
            alone.now += Duration::from_millis(100);
            for _ in 0..1000 {
                let (_, effects) = alone.gossip(1, Topic::Beacon, known.clone());
                ended = ended.or(effects.into_iter().find_map(|effect| match effect {
                    Effect::Disconnect { parting, .. } => Some(parting),
                    _ => None,
                }));
            }
        }
        if let Some(parting) = ended {
            break parting;
        }
    };
    assert_eq!((parting, seconds), (Parting::Misbehaviour, 2));
}

#[test]
fn requests_beyond_the_rate_are_refused_and_blamed() {
    let mut alone = Alone::new();
    alone.join(1, 1);
    let mut admitted = 0;
    for _ in 0..1000 {
        let token = alone.token();
        let effects = alone.feed(Event::VerdictAsked { peer: peer(1), token });
        admitted += effects
            .iter()
            .filter(|effect| matches!(effect, Effect::AnswerVerdict { admitted: true, .. }))
            .count();
    }
    assert_eq!(admitted, 299, "one was its hello");
    assert_eq!(alone.score(1), -1.0);
    // Strangers get nothing.
    alone.connect(50);
    let token = alone.token();
    let effects = alone.feed(Event::VerdictAsked { peer: peer(50), token });
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::AnswerVerdict { admitted: false, .. }))
    );
}
