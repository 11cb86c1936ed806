//! What liars cannot use up, and what is never held against anybody.

use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{HelloAnswer, HelloDraft, HelloRefusal};
use leoma_protocol::mesh::core::limits::{MAX_EVIDENCE_PER_ACCUSED, PROOF_BURST};
use leoma_protocol::mesh::core::{
    CatchupPage, CatchupRequest, Effect, Event, Judgement, MeshEvent, Restored, Voice,
};
use leoma_protocol::messages::{
    Announcement, DisputeDraft, DisputeReason, Evidence, FileStatement, Finding, Gossip,
    MessageError, MinerReportDraft, ReportedMiner, Topic,
};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, FileId, Hotkey, TaskId,
};

use super::alone::{Alone, HEAD, beacon_at, list, network, peer, signer};

fn file(task: u64, producer: u8) -> FileId {
    FileId { task_id: TaskId(task), producer: signer(producer).hotkey() }
}

fn vote(by: u8, file: FileId, content: &[u8]) -> Vec<u8> {
    let vote = signer(by).sign_attestation(network(), file, Digest::of(content)).unwrap();
    vote.to_wire().unwrap()
}

fn announcement(task: u64, producer: u8, content: &[u8]) -> Announcement {
    let file = file(task, producer);
    let verdict = SignedVerdict { id: file, digest: Digest::of(content), bytes: vec![] };
    signer(producer).sign_announcement(network(), &verdict).unwrap()
}

fn twice(task: u64, producer: u8) -> Evidence {
    let [one, other] = [b"one", b"two"].map(|content| announcement(task, producer, content));
    Evidence::from_files(FileStatement::Announced(one), FileStatement::Announced(other))
}

/// A core under the usual parameters: a task has a primary and one failover.
fn usual() -> Alone {
    let mut alone = Alone::under(ConsensusParams::default().into(), HEAD, Restored::default());
    alone.connect(1);
    alone
}

#[test]
fn a_producer_without_a_turn_is_not_heard_and_nobody_is_blamed() {
    let mut alone = usual();
    let (mut told, mut producers) = (0, 0);
    for producer in 0..4 {
        let bytes = announcement(99, producer, b"file").to_wire().unwrap();
        let (judgement, effects) = alone.gossip(1, Topic::Verdict, bytes);
        let announced =
            |effect: &&Effect| matches!(effect, Effect::Tell(MeshEvent::Announcement(_)));
        told += effects.iter().filter(announced).count();
        producers += usize::from(judgement == Judgement::Accept);
        assert_ne!(judgement, Judgement::Reject);
    }
    assert_eq!((told, producers), (2, 2), "the primary and one failover");
    assert_eq!(alone.score(1), 0.0);
}

#[test]
fn a_liars_many_files_use_up_no_votes_for_honest_ones() {
    let mut alone = Alone::new();
    alone.connect(1);
    // Validator 2 attests, late and to two digests each, to all that liars 0 and 1 made up.
    for task in 0..300 {
        alone.now += Duration::from_secs(1);
        for content in [b"one", b"two"] {
            for liar in [0, 1] {
                alone.gossip(1, Topic::Attestation, vote(2, file(task % 100, liar), content));
            }
        }
    }
    for task in 0..100 {
        alone.now += Duration::from_secs(1);
        for by in [0, 1, 2] {
            let bytes = vote(by, file(task, 3), b"an honest file");
            assert_eq!(alone.gossip(1, Topic::Attestation, bytes).0, Judgement::Accept);
        }
    }
    let certified = alone.core.files().iter().filter(|view| view.certified.is_some()).count();
    assert_eq!(certified, 100);
}

#[test]
fn evidence_against_one_liar_is_passed_on_up_to_an_allowance_and_the_bearer_is_not_blamed() {
    let mut alone = Alone::new();
    alone.connect(1);
    alone.join(2, 2);
    let mut passed_on = 0;
    for task in 0..100 {
        let bytes = twice(task, 1).to_wire().unwrap();
        let (judgement, _) = alone.gossip(2, Topic::Evidence, bytes);
        assert_ne!(judgement, Judgement::Reject);
        passed_on += u32::from(judgement == Judgement::Accept);
    }
    assert_eq!(passed_on, PROOF_BURST);
    assert_eq!(alone.core.evidence().len(), MAX_EVIDENCE_PER_ACCUSED);
    assert_eq!(alone.score(2), 0.0);
    // Evidence against another one is heard all the same.
    let other = twice(99, 3).to_wire().unwrap();
    assert_eq!(alone.gossip(2, Topic::Evidence, other).0, Judgement::Accept);
}

/// A chain node that lies about the head costs a while, and nothing that an epoch looks back on.
#[test]
fn a_made_up_head_makes_us_forget_nothing_and_is_taken_back() {
    let mut alone = Alone::new();
    let voted = |alone: &mut Alone, by: u8| {
        let vote = signer(by).sign_attestation(network(), file(99, 1), Digest::of(b"file"));
        alone.core.publish(alone.now, Gossip::Attestation(vote.unwrap())).map(|_| ())
    };
    for by in 0..3 {
        voted(&mut alone, by).unwrap();
    }
    let certified = |alone: &Alone| alone.core.holdings().certificates.len();
    assert_eq!(certified(&alone), 1);
    for made_up in [1_000_000_000, 1_000_000_001, u64::MAX] {
        alone.feed(Event::Head(BlockNumber(made_up)));
    }
    assert_eq!(certified(&alone), 1);
    assert!(voted(&mut alone, 3).is_err(), "the task is long over by that head");
    // A little behind is another node's lag; an hour and more is the chain without the liar.
    alone.feed(Event::Head(BlockNumber(u64::MAX - 300)));
    assert!(voted(&mut alone, 3).is_err());
    alone.feed(Event::Head(HEAD));
    assert_eq!(voted(&mut alone, 3), Ok(()));
    assert_eq!((certified(&alone), alone.core.files().len()), (1, 1));
}

#[test]
fn we_attest_until_two_witness_spans_before_the_task_settles_and_never_after() {
    let mut alone = Alone::new();
    // Task 99 settles at block 10 100; two spans are 24 blocks.
    let attest = |alone: &mut Alone, task: u64| {
        let file = file(task, 1);
        let vote = signer(0).sign_attestation(network(), file, Digest::of(b"file")).unwrap();
        alone.core.publish(alone.now, Gossip::Attestation(vote)).map(|_| ())
    };
    assert!(matches!(attest(&mut alone, 98), Err(MessageError::TooLate { .. })));
    alone.feed(Event::Head(BlockNumber(10_076)));
    assert_eq!(attest(&mut alone, 99), Ok(()));
    assert_eq!(alone.core.may_attest(TaskId(99)), Ok(()));
    alone.feed(Event::Head(BlockNumber(10_077)));
    let late = MessageError::TooLate {
        task: TaskId(99),
        until: BlockNumber(10_076),
        head: BlockNumber(10_077),
    };
    assert_eq!(attest(&mut alone, 99), Err(late.clone()));
    assert_eq!(alone.core.may_attest(TaskId(99)), Err(late));
    assert_eq!(attest(&mut alone, 100), Ok(()));
}

#[test]
fn a_message_of_a_newer_release_is_ignored_and_blamed_on_nobody() {
    let mut alone = Alone::new();
    alone.connect(1);
    for topic in Topic::ALL {
        assert_eq!(alone.gossip(1, topic, vec![2, 1, 2, 3]).0, Judgement::Ignore);
        assert_eq!(alone.gossip(1, topic, vec![0, 1, 2, 3]).0, Judgement::Reject);
    }
    assert_eq!(alone.score(1), -5.0 * Topic::ALL.len() as f64);
}

#[test]
fn an_old_list_in_the_history_disconnects_nobody() {
    let mut alone = Alone::new();
    alone.feed(Event::Allowlists(vec![list(0, 100, 0..2), list(50, 100, 0..4)]));
    alone.join(3, 3);
    let effects = alone.feed(Event::Allowlists(vec![list(0, 100, 0..2), list(50, 100, 0..4)]));
    assert!(effects.is_empty(), "{effects:?}");
    assert!(alone.core.member(&peer(3)).is_some());
    // Tasks of before belong to the old list.
    let by_newcomer = announcement(49, 3, b"file").to_wire().unwrap();
    assert_eq!(alone.gossip(3, Topic::Verdict, by_newcomer).0, Judgement::Ignore);
}

fn dispute(by: u8, file: FileId, found: u16) -> Gossip {
    let miner = Hotkey::from_bytes([7; 32]);
    let claimed = Finding { passed: true, score: 900 };
    let found = Finding { passed: found > 500, score: found };
    let reason = DisputeReason::Plausible { miner, claimed, found };
    let (network, digest) = (network(), Digest::of(b"file"));
    Gossip::Dispute(signer(by).sign_dispute(DisputeDraft { network, file, digest, reason }))
}

#[test]
fn a_dispute_is_proven_by_more_than_may_lie_and_makes_the_producer_suspect() {
    let mut alone = Alone::new();
    let disputed = file(99, 1);
    let say = |alone: &mut Alone, message| alone.core.publish(alone.now, message).unwrap().1;
    let proven = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Tell(MeshEvent::Disputed { proven, .. }) => Some(*proven),
            _ => None,
        })
    };
    assert_eq!(proven(&say(&mut alone, dispute(2, disputed, 100))), Some(false));
    assert_eq!(proven(&say(&mut alone, dispute(2, disputed, 200))), None, "the first one stays");
    assert!(!alone.core.holdings().is_suspect(&disputed.producer), "it may be a liar");
    assert_eq!(proven(&say(&mut alone, dispute(3, disputed, 100))), Some(true));
    assert!(alone.core.holdings().is_suspect(&disputed.producer));
    let views = alone.core.files();
    assert!(views.is_empty(), "a dispute alone makes no file known");
    assert_eq!(alone.core.disputes().len(), 2);
    // It outlives a restart, and not the lookback.
    let restored = Restored { disputes: alone.core.disputes(), ..Restored::default() };
    let mut again = Alone::with(HEAD, restored);
    assert!(again.core.holdings().is_suspect(&disputed.producer));
    again.reach(HEAD, 45_000);
    assert!(!again.core.holdings().is_suspect(&disputed.producer));
    assert!(again.core.disputes().is_empty());
}

#[test]
fn an_envelope_that_contradicts_an_announcement_is_published_as_evidence() {
    let mut alone = Alone::new();
    let draft = |block| leoma_protocol::verdict::VerdictDraft {
        network: network(),
        task_id: TaskId(99),
        params: ConsensusParams::default().digest(),
        judge: "test".into(),
        block: BlockNumber(block),
        metadata_sha256: None,
        entries: vec![],
    };
    let [announced, found] =
        [9_950, 9_960].map(|block| signer(1).sign_verdict_file(draft(block)).unwrap());
    let announcement = signer(1).sign_announcement(network(), &announced).unwrap();
    alone.core.publish(alone.now, Gossip::Announcement(announcement)).unwrap();
    let envelope = |file: &SignedVerdict| {
        let params = ConsensusParams::default().digest();
        let expected = leoma_protocol::verdict::Expected {
            id: file.id,
            network: network(),
            params,
            accept_v1: false,
        };
        leoma_protocol::verdict::verify(&file.bytes, &expected).unwrap().envelope.unwrap()
    };
    assert!(alone.core.show_envelope(envelope(&announced)).unwrap().is_empty());
    let effects = alone.core.show_envelope(envelope(&found)).unwrap();
    let published =
        |effect: &Effect| matches!(effect, Effect::Publish { topic: Topic::Evidence, .. });
    assert!(effects.iter().any(published));
    assert!(alone.core.holdings().is_suspect(&signer(1).hotkey()));
}

#[test]
fn what_most_fresh_reports_say_of_a_miner_is_tallied() {
    let mut alone = Alone::new();
    alone.connect(1);
    let miner = Hotkey::from_bytes([7; 32]);
    let report = |by: u8, valid, block| {
        let miners = vec![ReportedMiner { hotkey: miner, valid, reason: String::new() }];
        let draft = MinerReportDraft { network: network(), block: BlockNumber(block), miners };
        signer(by).sign_miner_report(draft)
    };
    let own = Gossip::MinerReport(report(0, true, HEAD.0));
    alone.core.publish(alone.now, own).unwrap();
    for (by, valid) in [(1, true), (2, false), (3, true)] {
        let bytes = report(by, valid, HEAD.0).to_wire().unwrap();
        alone.gossip(1, Topic::MinerReport, bytes);
    }
    let tally = alone.core.miner_tally()[&miner];
    assert_eq!((tally.valid, tally.invalid, tally.majority()), (3, 1, Some(true)));
    // Validator 3 leaves; reports grow old.
    alone.feed(Event::Allowlists(vec![list(0, 100, 0..3)]));
    assert_eq!(alone.core.miner_tally()[&miner].reports, 3);
    alone.feed(Event::Head(BlockNumber(HEAD.0 + 1000)));
    assert!(alone.core.miner_tally().is_empty());
}

fn page(alone: &mut Alone, request: CatchupRequest) -> CatchupPage {
    let token = alone.token();
    let effects = alone.feed(Event::CatchupAsked { peer: peer(1), token, request });
    let page = effects.into_iter().find_map(|effect| match effect {
        Effect::AnswerCatchup { page, .. } => page,
        _ => None,
    });
    page.unwrap()
}

#[test]
fn a_catch_up_brings_the_difference_and_nothing_else() {
    let (mut one, mut other) = (Alone::new(), Alone::new());
    for alone in [&mut one, &mut other] {
        alone.join(1, 1);
        for task in 60..100 {
            for by in [1, 2, 3] {
                alone.gossip(1, Topic::Attestation, vote(by, file(task, 1), b"file"));
            }
        }
    }
    let held = |alone: &mut Alone| {
        // A beacon of a peer that holds something else makes us ask it.
        alone.now += Duration::from_secs(1000);
        let seq = alone.now.as_millis() as u64;
        let (_, effects) = alone.gossip(1, Topic::Beacon, super::alone::beacon(1, peer(1), seq));
        let asked = effects.into_iter().find_map(|effect| match effect {
            Effect::AskCatchup { request, .. } => Some(request),
            _ => None,
        });
        asked.expect("the summaries differ")
    };
    let request = held(&mut other);
    assert_eq!(request.held.len(), 40);
    assert_eq!(page(&mut one, request), CatchupPage::default(), "both hold the same");
    one.gossip(1, Topic::Attestation, vote(1, file(77, 2), b"file"));
    one.gossip(1, Topic::Evidence, twice(70, 1).to_wire().unwrap());
    other.feed(Event::CatchupAnswered { peer: peer(1), page: Some(CatchupPage::default()) });
    let request = held(&mut other);
    let page = page(&mut one, request);
    let tasks: Vec<u64> = page.files.iter().map(|state| state.file.task_id.0).collect();
    assert_eq!(tasks, [70, 77, 77], "tasks that differ, whole");
    assert_eq!((page.evidence.len(), page.more), (1, false));
}

#[test]
fn around_a_switch_old_and_new_parameters_are_welcome_and_later_only_the_new_ones() {
    let old = ConsensusParams::default();
    let new = ConsensusParams { window_tasks: 50, ..old.clone() };
    let strange = ConsensusParams { window_tasks: 7, ..old.clone() };
    let switch = BlockNumber(HEAD.0 + 500);
    let consensus =
        ConsensusSchedule::new([(BlockNumber(0), old.clone()), (switch, new.clone())]).unwrap();
    let mut alone = Alone::under(consensus, HEAD, Restored::default());
    let mut number = 10;
    let mut greeted = |alone: &mut Alone, params: &ConsensusParams, head: u64| {
        alone.feed(Event::Head(BlockNumber(head)));
        number += 1;
        alone.connect(number);
        let mut hello = HelloDraft {
            network: network(),
            peer: peer(number),
            params: params.digest(),
            seq: 1,
            expires: BlockNumber(head + 100),
        };
        hello.seq = u64::from(number);
        alone.say(number, signer(1).sign_hello(hello)).0
    };
    let accepted = |answer: &HelloAnswer| matches!(answer, HelloAnswer::Accepted(_));
    let outdated = |answer: &HelloAnswer| {
        matches!(answer, HelloAnswer::Refused(HelloRefusal::Outdated { .. }))
    };
    assert!(accepted(&greeted(&mut alone, &old, HEAD.0)));
    // Too early for the new ones, by more than a hello's life.
    assert!(outdated(&greeted(&mut alone, &new, HEAD.0)));
    for head in [switch.0 - 200, switch.0, switch.0 + 200] {
        assert!(
            accepted(&greeted(&mut alone, &old, head))
                && accepted(&greeted(&mut alone, &new, head))
        );
    }
    let late = greeted(&mut alone, &old, switch.0 + 301);
    let HelloAnswer::Refused(reason) = &late else { panic!("{late:?}") };
    assert!(outdated(&late));
    let version = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
    assert!(reason.to_string().contains(&format!("update to {version}")), "{reason}");
    assert!(matches!(
        greeted(&mut alone, &strange, switch.0 + 301),
        HelloAnswer::Refused(HelloRefusal::ParamsDiffer { .. })
    ));
    assert!(accepted(&greeted(&mut alone, &new, switch.0 + 301)));
}

#[test]
fn only_a_beacon_signed_since_our_start_doubles_us_and_not_for_ever() {
    let mut alone = Alone::new();
    alone.connect(1);
    let second = Duration::from_secs(1);
    let mut seq = 1;
    let mut hear = |alone: &mut Alone, by: u8, head: BlockNumber| {
        seq += 1;
        let at = if by == 0 { peer(9) } else { peer(u16::from(by)) };
        alone.gossip(1, Topic::Beacon, beacon_at(by, at, seq, head));
    };
    // We ran under another peer id before; somebody replays what we said then.
    hear(&mut alone, 0, BlockNumber(HEAD.0 - 1));
    assert_eq!(alone.core.voice(), Voice::Listening);
    hear(&mut alone, 0, HEAD);
    assert_eq!(alone.core.voice(), Voice::Doubled);
    // The other machine is stopped.
    let mut waited = 0;
    while alone.core.voice() != Voice::Alone {
        waited += 1;
        assert!(waited < 200, "silent for ever");
        hear(&mut alone, 1, HEAD);
        alone.pass(second);
    }
    assert!(waited >= 60, "a double is not forgotten in {waited} s");
}

#[test]
fn a_list_that_is_heard_of_late_counts_the_votes_of_its_tasks_anew() {
    // Until block 10 000 we thought that validators 0 to 3 make task 99; in fact 1, 2, 3 and 4 do.
    let mut alone = Alone::new();
    alone.connect(1);
    let id = file(99, 1);
    for (by, content) in [(0, b"one"), (1, b"one"), (2, b"one"), (3, b"two")] {
        alone.gossip(1, Topic::Attestation, vote(by, id, content));
    }
    let digest = |alone: &Alone| alone.core.holdings().certificates.get(&id).map(|one| one.digest);
    assert_eq!(digest(&alone), Some(Digest::of(b"one")));
    let lists = || vec![list(0, 100, 0..4), list(99, 100, 1..5)];
    alone.feed(Event::Allowlists(lists()));
    assert_eq!(digest(&alone), None, "two votes of the right list are no quorum");
    let certified = |effects: &[Effect]| {
        effects.iter().any(|effect| matches!(effect, Effect::Tell(MeshEvent::Certified(_))))
    };
    assert!(certified(&alone.gossip(1, Topic::Attestation, vote(4, id, b"one")).1));
    assert_eq!(digest(&alone), Some(Digest::of(b"one")));
    let votes = &alone.core.holdings().certificates[&id].votes;
    assert!(votes.len() == 3 && votes.iter().all(|(who, _)| *who != signer(0).hotkey()));
    assert!(!certified(&alone.feed(Event::Allowlists(lists()))), "nothing changes again");
}
