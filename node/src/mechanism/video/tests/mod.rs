//! Whole tries at a turn, with miners that are simulated on a clock that jumps.

mod kill;
mod outage;
mod padded;
mod world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use leoma_chain::Head;
use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, Hotkey, TaskId};
use leoma_scoring::media::ClipShape;
use leoma_scoring::worker::WorkerFault;
use leoma_scoring::{Device, JudgeError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::world::{Does, NEVER, Table, VIDEO, World, miner};
use super::answer::Answer;
use super::copies::Judged;
use super::done::Done;
use super::judge_time::JudgeTime;
use super::judging::Judgment;
use crate::corpus::{ClipProof, CorpusId, PROOF_SCHEMA, Seed, TaskClip};
use crate::mechanism::{TaskError, past};
use crate::miners::whose_fault::{Lost, OurFault, Reply};
use crate::sampler::budget::Budget;

/// A task's clip with these bytes.
pub(crate) fn a_clip(mp4: &[u8], first_frame: &[u8]) -> TaskClip {
    let shape = ClipShape::TASK;
    let proof = ClipProof {
        schema: PROOF_SCHEMA,
        seed: Seed { block: BlockNumber(0), hash: Digest::of(b"s") },
        corpus: CorpusId::Manifest { sha256: Digest::of(b"m"), videos: 1 },
        skipped: Vec::new(),
        index: 0,
        key: "clips/a.mp4".parse().unwrap(),
        source_sha256: Digest::of(b"v"),
        source_bytes: 1,
        shots: vec![[0, 6000]],
        nonrigid: None,
        shot: 0,
        start_ms: 0,
        offset_ms: 0,
        shape: [shape.fps, shape.frames, shape.width, shape.height],
        clip_sha256: Digest::of(mp4),
        first_frame_sha256: Digest::of(first_frame),
        ffmpeg: "5.1".into(),
    };
    let (mp4, first_frame) = (Bytes::copy_from_slice(mp4), Bytes::copy_from_slice(first_frame));
    TaskClip { proof, mp4, first_frame }
}

fn ours(result: Result<(), TaskError>) -> OurFault {
    match result {
        Err(TaskError::Ours(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

fn never() -> std::future::Pending<()> {
    std::future::pending()
}

#[tokio::test(start_paused = true)]
async fn i1_i2_a_refused_account_makes_no_entry_and_is_found_out_early() {
    for status in [401, 402, 403, 429] {
        let refusing = || {
            let mut world = World::new(vec![vec![Does::Reply(Reply::Status(status), 1)]; 60]);
            world.control = Reply::Status(status);
            world
        };
        let asked = |world: &World| (0..60).filter(|n| world.requests(*n) > 0).count();
        // Miners that answered in an earlier turn are refused, too.
        let mut table = Table::new();
        table.round(&World::new(vec![vec![VIDEO]; 60]), never()).await.unwrap();
        table.done = Done::default();
        let world = refusing();
        assert_eq!(ours(table.round(&world, never()).await), OurFault::Account(status));
        assert!(table.done.answers.is_empty());
        let most = 20;
        assert!(asked(&world) <= most, "{} asked after {status}", asked(&world));
        // After a start nobody is known: three that have said nothing yet are a control.
        let (mut table, world) = (Table::new(), refusing());
        assert_eq!(ours(table.round(&world, never()).await), OurFault::Account(status));
        assert!(asked(&world) <= most, "{} asked after {status}", asked(&world));
        assert!(world.controls.load(Ordering::Relaxed) >= 3);
    }
}

/// A limit below our pace that names no pause: the first requests are taken, and all later ones of
/// the minute refused. What was taken is waited for.
#[tokio::test(start_paused = true)]
async fn a_limit_that_takes_some_requests_is_no_ban() {
    let mut miners = vec![vec![Does::Reply(Reply::Video, 90)]; 10];
    let limited = Does::Reply(Reply::Status(429), 1);
    miners.extend(vec![vec![limited, limited, limited, VIDEO]; 20]);
    let mut world = World::new(miners);
    world.control = Reply::Status(429);
    let mut table = Table::new();
    table.round(&world, never()).await.unwrap();
    assert!((0..30).all(|n| table.entry(n).as_deref() == Some("passed")));
}

/// A ban that names its pause and hits a validator that has just started: strangers confirm it, and
/// most miners are not asked.
#[tokio::test(start_paused = true)]
async fn a_ban_after_a_start_is_met_by_few_requests_in_each_try() {
    let banned = vec![Does::Pause(Reply::Status(429), 1, 60)];
    let mut world = World::new(vec![banned; 200]);
    world.control = Reply::Status(429);
    let (mut table, began) = (Table::new(), Instant::now());
    assert_eq!(ours(table.round(&world, never()).await), OurFault::Account(429));
    let asked = (0..200).filter(|n| world.requests(*n) > 0).count();
    assert!(asked <= 20, "{asked} of 200 were asked");
    assert_eq!(world.controls.load(Ordering::Relaxed), 3, "three strangers are a control");
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    // As soon as it is over, everybody is asked.
    let world = World::new(vec![vec![VIDEO]; 200]);
    table.round(&world, never()).await.unwrap();
    assert!((0..200).all(|n| table.entry(n).as_deref() == Some("passed")));
}

#[tokio::test(start_paused = true)]
async fn miners_that_refuse_at_once_do_not_stop_a_validator_that_has_just_started() {
    let refuses = vec![Does::Reply(Reply::Status(401), 1)];
    let miners = [vec![refuses; 8], vec![vec![VIDEO]; 28]].concat();
    let (world, mut table) = (World::new(miners), Table::new());
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.entry(0).as_deref(), Some("http_error"));
    assert_eq!(table.entry(35).as_deref(), Some("passed"));
}

/// A healthy miner answers 422 to a control, so that it says nothing about the service.
#[tokio::test(start_paused = true)]
async fn one_miner_that_answers_422_last_of_all_is_alone_in_that() {
    let miners = [vec![vec![VIDEO]; 10], vec![vec![Does::Reply(Reply::Status(422), 290)]]].concat();
    let (world, mut table) = (World::new(miners), Table::new());
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.entry(10).as_deref(), Some("http_error"));
    assert_eq!(table.entry(0).as_deref(), Some("passed"));
}

#[tokio::test(start_paused = true)]
async fn a_balance_that_ends_in_a_turn_keeps_what_came_before_for_the_next_try() {
    let mut miners = vec![vec![VIDEO]; 30];
    // Asked last, and refused until the account is paid up.
    let limited = Does::Pause(Reply::Status(429), 1, 60);
    miners.extend(vec![vec![limited, Does::Reply(Reply::Status(402), 1), VIDEO]; 3]);
    let mut world = World::new(miners);
    world.control = Reply::Status(402);
    let mut table = Table::new();
    assert_eq!(ours(table.round(&world, never()).await), OurFault::Account(402));
    assert_eq!(table.done.answers.len(), 30);
    assert_eq!(world.controls.load(Ordering::Relaxed), 3, "three known miners are controls");
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.done.answers.len(), 33);
    assert!((0..30).all(|n| world.requests(n) == 1), "nobody is asked twice");
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_refuses_our_key_on_purpose_is_alone_in_that() {
    let mut miners = vec![vec![VIDEO]; 10];
    miners.push(vec![Does::Reply(Reply::Status(401), 290)]);
    let mut world = World::new(miners);
    world.control = Reply::Status(422);
    let mut table = Table::new();
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.entry(10).as_deref(), Some("http_error"));
    assert_eq!(table.entry(0).as_deref(), Some("passed"));
    // That stays decided, whatever the next try meets.
    world.control = Reply::Unreachable;
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.entry(10).as_deref(), Some("http_error"));
    assert_eq!(world.requests(10), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_fails_in_the_middle_of_a_turn_fails_nobody() {
    for fault in [Reply::Status(404), Reply::BrokenOff, Reply::NotVideo, Reply::Empty] {
        let world = |control| {
            let mut miners = vec![vec![Does::Reply(Reply::Video, 10)]; 6];
            // What an outage may be is asked once more before the round decides.
            let requests = if fault == Reply::BrokenOff { 2 } else { 1 };
            let failing = vec![Does::Reply(fault, 40); requests];
            miners.extend(vec![[failing, vec![VIDEO]].concat(); 4]);
            let mut world = World::new(miners);
            world.control = control;
            world
        };
        let failing = world(fault);
        let mut table = Table::new();
        assert_eq!(ours(table.round(&failing, never()).await), OurFault::Everyone(fault));
        assert_eq!(table.done.answers.len(), 6, "{fault:?}");
        table.round(&failing, never()).await.unwrap();
        assert_eq!(table.entry(9).as_deref(), Some("passed"), "{fault:?}");

        // The same of these four alone: others are served as before.
        let mut table = Table::new();
        table.round(&world(Reply::Status(422)), never()).await.unwrap();
        assert_ne!(table.entry(9).as_deref(), Some("passed"), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_waited_out_and_a_cold_start_counts_as_the_miners_time() {
    let mut miners = vec![vec![VIDEO]; 8];
    let limited = Does::Pause(Reply::Status(429), 1, 50);
    let cold = Does::Reply(Reply::Status(503), 2);
    miners.push(vec![limited, limited, VIDEO]);
    miners.push(vec![cold, cold, VIDEO]);
    miners.push(vec![cold]);
    miners.push(vec![Does::Pause(Reply::Status(503), 290, 60), VIDEO]);
    let world = World::new(miners);
    let mut table = Table::new();
    table.round(&world, never()).await.unwrap();
    let entries: Vec<_> = (8..12).map(|n| table.entry(n).unwrap()).collect();
    assert_eq!(entries, ["passed", "passed", "http_error", "http_error"]);
    assert_eq!([8, 9, 10, 11].map(|n| world.requests(n)), [3, 3, 4, 1]);
    let latency = |n| table.done.answers[&miner(n)].latency_ms / 1000;
    // 1 + 1 + 40 without the pauses, and 2 + 20 + 2 + 20 + 40 with them.
    assert_eq!((latency(8), latency(9)), (42, 84));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_account_that_is_below_our_pace_fails_nobody() {
    for allowed in [10, 30] {
        let mut world = World::new(vec![vec![VIDEO]; 60]);
        world.allowed = Some(allowed);
        let mut table = Table::new();
        table.round(&world, never()).await.unwrap();
        for n in 0..60 {
            assert_eq!(table.entry(n).as_deref(), Some("passed"), "{n} of {allowed} a minute");
            assert!(world.requests(n) <= 3, "{n}: {} requests", world.requests(n));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn miners_that_end_on_429_are_alone_in_that_only_if_a_control_is_accepted() {
    // Three in the middle, and others are accepted after them.
    let limited = vec![Does::Reply(Reply::Status(429), 1)];
    let miners = [vec![vec![VIDEO]; 5], vec![limited; 3], vec![vec![VIDEO]; 60]].concat();
    let mut world = World::new(miners);
    world.control = Reply::Status(429);
    let mut table = Table::new();
    assert_eq!(ours(table.round(&world, never()).await), OurFault::Account(429));
    assert_eq!(table.done.answers.len(), 65);
    world.control = Reply::Status(422);
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.entry(6).as_deref(), Some("http_error"));
    assert_eq!(table.entry(0).as_deref(), Some("passed"));
}

#[tokio::test(start_paused = true)]
async fn miners_that_answer_429_on_purpose_cannot_hold_up_a_turn_for_ever() {
    let mut miners = vec![vec![Does::Pause(Reply::Status(429), 1, 60)]; 30];
    miners.extend(vec![vec![VIDEO]; 60]);
    let (world, mut table, started) = (World::new(miners), Table::new(), Instant::now());
    table.round(&world, never()).await.unwrap();
    assert!((0..30).all(|n| table.entry(n).as_deref() == Some("http_error")));
    assert!((30..90).all(|n| table.entry(n).as_deref() == Some("passed")));
    assert!(started.elapsed() < Duration::from_secs(1200), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_is_down_costs_no_miner_a_second_request() {
    let world = World::new(vec![vec![VIDEO]; 12]);
    let mut table = Table::new();
    let down = async |_: Answer| Err(TaskError::NoMiners);
    let failed = table.round_judged_by(&world, never(), down).await;
    assert!(matches!(failed, Err(TaskError::NoMiners)), "{failed:?}");
    assert_eq!((table.done.answers.len(), table.done.judged.len()), (12, 0));
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.done.judged.len(), 12);
    assert!((0..12).all(|n| world.requests(n) == 1));
}

/// How many miners a turn of 250 s cuts off.
async fn cut_off(table: &mut Table, world: &World) -> (usize, usize) {
    let result = table.round(world, sleep(Duration::from_secs(250))).await;
    let Err(error @ TaskError::CutShort { cut, of }) = result else { panic!("{result:?}") };
    assert!(error.ends_the_turn() && error.alarm().is_some(), "{error}");
    (cut, of)
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_too_short_makes_no_file_and_decides_no_fault() {
    let mut miners = vec![vec![Does::Reply(Reply::Video, 200)]; 99];
    miners.insert(0, vec![Does::Reply(Reply::Status(404), 1)]);
    let (world, mut table) = (World::new(miners), Table::new());
    let (cut, of) = cut_off(&mut table, &world).await;
    let answered = table.done.answers.len();
    assert!(answered >= 30 && cut >= 30, "{answered} answered, {cut} cut");
    assert_eq!((answered + cut, of), (99, 100));
    assert_eq!(table.entry(0), None, "its fault is not decided while others were not heard");
}

#[tokio::test(start_paused = true)]
async fn miners_that_the_turns_end_cut_off_are_no_evidence_on_the_service() {
    let cold = vec![Does::Pause(Reply::Status(503), 1, 1)];
    let world = World::new([cold, vec![NEVER], vec![NEVER]]);
    assert_eq!(cut_off(&mut Table::new(), &world).await, (2, 3));
    // Nor is silence that nobody waited for to its end.
    assert_eq!(cut_off(&mut Table::new(), &World::new(vec![vec![NEVER]; 4])).await, (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_is_down_is_named_rather_than_the_time_that_was_lost() {
    let world = World::new([vec![VIDEO], vec![NEVER]]);
    let down = async |_: Answer| Err(TaskError::NoMiners);
    let failed = Table::new().round_judged_by(&world, sleep(Duration::from_secs(250)), down).await;
    assert!(matches!(failed, Err(TaskError::NoMiners)), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_video_that_silences_the_judge_voids_one_try_and_then_fails_alone() {
    let world = World::new(vec![vec![VIDEO]; 4]);
    let judge = async |answer: Answer| {
        let silent = answer.miner == miner(2);
        let status = if silent { EntryStatus::Failed } else { EntryStatus::Passed };
        let entry = VerdictEntry::unusable(answer.miner, status, String::new(), 1);
        let entry = Box::new(Judged::of(&answer, entry));
        let error = JudgeError::NoAnswer { judge: "j".into(), reason: "cut off".into() };
        Ok(if silent { Judgment::Silence { entry, error } } else { Judgment::Entry(entry) })
    };
    let mut table = Table::new();
    for answers in [true, false, true] {
        table.round_judged_by(&world, never(), judge).await.unwrap();
        assert_eq!(table.done.ungraded(), (0, 1));
        let settled = table.done.settle_silences(answers);
        // Not at the first try, nor while the judge does not answer about the source clip: such a
        // try does not count.
        assert_eq!(settled.is_ok(), table.done.silences[&miner(2)] == 2, "{settled:?}");
    }
    assert_eq!(table.done.ungraded(), (0, 0));
    assert_eq!(table.entry(2).as_deref(), Some("failed"));
    assert_eq!(table.entry(1).as_deref(), Some("passed"));
    assert!((0..4).all(|n| world.requests(n) == 1), "nobody is asked twice");
}

#[tokio::test(start_paused = true)]
async fn a_video_that_starves_the_scorer_voids_one_try_and_then_fails_alone() {
    for kind in [Lost::Starved, Lost::Tools] {
        let world = World::new(vec![vec![VIDEO]; 4]);
        let judge = |answer: Answer| async move {
            if answer.miner == miner(2) {
                let reason = WorkerFault::Late { device: Device::Cpu, seconds: 240 };
                return Ok(Judgment::Lost { kind, reason });
            }
            let entry = VerdictEntry::unusable(answer.miner, EntryStatus::Passed, "".into(), 1);
            Ok(Judgment::Entry(Box::new(Judged::of(&answer, entry))))
        };
        let mut table = Table::new();
        for source_scored in [true, false, true] {
            table.round_judged_by(&world, never(), judge).await.unwrap();
            assert_eq!(table.done.losses_need_control(), kind == Lost::Starved);
            let settled = table.done.settle_losses(source_scored);
            // A try after which the source clip is lost as well does not count, and a decoder that
            // cannot run is ours however often it cannot.
            let is_second = kind == Lost::Starved && table.done.losses[&miner(2)] == 2;
            assert_eq!(settled.is_ok(), is_second, "{settled:?}");
            if let Err(error) = settled {
                assert_eq!(error.alarm(), Some("scoring"), "{error}");
            }
        }
        let entry = (kind == Lost::Starved).then_some("undecodable");
        assert_eq!(table.entry(2).as_deref(), entry);
        assert_eq!(table.entry(1).as_deref(), Some("passed"));
        assert!((0..4).all(|n| world.requests(n) == 1), "nobody is asked twice");
    }
}

/// What becomes of a miner's video about which the judge says nothing in time.
pub(super) fn silence_of(miner: Hotkey) -> Judgment {
    let entry = VerdictEntry::unusable(miner, EntryStatus::Failed, String::new(), 1);
    let entry =
        Judged { entry, evidence: None, commit_block: BlockNumber(1), refused_by_judge: false };
    let reason = "timed out".to_owned();
    let error = JudgeError::Unreachable { judge: "j".into(), attempts: 1, reason };
    Judgment::Silence { entry: Box::new(entry), error }
}

#[tokio::test(start_paused = true)]
async fn a_dozen_videos_that_time_the_judge_out_leave_time_for_both_tries_and_to_sign() {
    let world = World::new(vec![vec![VIDEO]; 64]);
    let (mut table, heads) = (Table::new(), blocks());
    let attested = ConsensusParams::default().attestation_deadline(100, TaskId(0));
    let budget = Budget::of(attested, 100);
    for is_last in [false, true] {
        let time = JudgeTime::of_try(&table.done);
        let judge = |answer: Answer| {
            let time = &time;
            async move {
                let (began, within) = (Instant::now(), time.wait_for(answer.miner));
                let judged = if answer.miner < miner(12) {
                    sleep(within).await;
                    silence_of(answer.miner)
                } else {
                    sleep(Duration::from_secs(15)).await;
                    let passed = EntryStatus::Passed;
                    let entry = VerdictEntry::unusable(answer.miner, passed, String::new(), 1);
                    Judgment::Entry(Box::new(Judged::of(&answer, entry)))
                };
                let judged = Ok(judged);
                time.took(began.elapsed(), &judged);
                judged
            }
        };
        let deadline = past(heads.clone(), budget.ask_until);
        table.round_judged_by(&world, deadline, judge).await.unwrap();
        assert_eq!(table.done.ungraded(), (0, 12));
        assert_eq!(table.done.settle_silences(true).is_ok(), is_last);
        sleep(Duration::from_secs(15)).await;
    }
    assert_eq!(table.entry(3).as_deref(), Some("failed"));
    assert_eq!(table.entry(30).as_deref(), Some("passed"));
    let block = heads.borrow().number;
    assert!(block <= budget.sign_until, "signed at {block}");
}

#[tokio::test(start_paused = true)]
async fn what_a_judge_refused_that_failed_in_mid_turn_is_asked_about_again() {
    let world = World::new(vec![vec![VIDEO]; 4]);
    // It grades the first two and refuses the others.
    let judge = async |answer: Answer| {
        let refused = answer.miner >= miner(2);
        let status = if refused { EntryStatus::Failed } else { EntryStatus::Passed };
        let entry = VerdictEntry::unusable(answer.miner, status, String::new(), 1);
        let judged = Judged { refused_by_judge: refused, ..Judged::of(&answer, entry) };
        Ok(Judgment::Entry(Box::new(judged)))
    };
    let mut table = Table::new();
    table.round_judged_by(&world, never(), judge).await.unwrap();
    assert_eq!(table.done.ungraded(), (2, 0));
    // It does not take the source clip either, and is well at the next try.
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.done.ungraded(), (0, 0));
    assert!((0..4).all(|n| table.entry(n).as_deref() == Some("passed")));
    // What it refuses while it takes the source clip stands.
    let mut table = Table::new();
    table.round_judged_by(&world, never(), judge).await.unwrap();
    table.done.settle_refusals();
    table.round(&world, never()).await.unwrap();
    assert_eq!(table.entry(0).as_deref(), Some("passed"));
    assert_eq!(table.entry(3).as_deref(), Some("failed"));
}

#[tokio::test(start_paused = true)]
async fn miners_that_lie_to_controls_cannot_see_to_it_that_they_alone_are_asked() {
    // Three of them answer last and so are the newest known; each claims that our key is refused.
    let mut miners = vec![vec![VIDEO]; 40];
    miners.extend(vec![vec![Does::Reply(Reply::Video, 200)]; 3]);
    miners.push(vec![Does::Reply(Reply::Status(401), 290)]);
    let mut world = World::new(miners);
    world.control = Reply::Status(422);
    world.liars = (40..43).collect();
    let mut voided = 0;
    for _ in 0..20 {
        let mut table = Table::new();
        voided += usize::from(table.round(&world, never()).await.is_err());
    }
    // One draw in twelve thousand asks only liars.
    assert!(voided <= 1, "{voided} of 20 turns");
}

/// Blocks of 12 s from 0 on.
fn blocks() -> watch::Receiver<Head> {
    let head = |number| Head { number: BlockNumber(number), hash: Digest::of(b"h") };
    let (sender, receiver) = watch::channel(head(0));
    tokio::spawn(async move {
        for number in 1.. {
            sleep(Duration::from_secs(12)).await;
            if sender.send(head(number)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The length of a turn of 256 miners of which every `n`-th never answers. Of the others some are
/// slow, some have no instance free at first, and some cannot be connected to.
async fn length_of_turn(every: usize) -> (u64, u64) {
    let does = |n: usize| match n % 20 {
        _ if every > 0 && n.is_multiple_of(every) => vec![NEVER],
        3 => vec![Does::Reply(Reply::Unreachable, 12)],
        7 => vec![Does::Reply(Reply::Status(503), 1), Does::Reply(Reply::Video, 90)],
        11 => vec![Does::Pause(Reply::Status(429), 1, 30), Does::Reply(Reply::Video, 60)],
        rest => vec![Does::Reply(Reply::Video, 30 + 8 * rest as u64)],
    };
    let world = World::new((0..256).map(does));
    let (mut table, heads, started) = (Table::new(), blocks(), Instant::now());
    let attested = ConsensusParams::default().attestation_deadline(100, TaskId(0));
    let budget = Budget::of(attested, 100);
    table.round(&world, past(heads.clone(), budget.ask_until)).await.unwrap();
    assert_eq!(table.done.answers.len(), 256);
    assert!(world.most_at_work.load(Ordering::Relaxed) <= 40);
    for (n, answer) in (0..256).map(|n| (n, &table.done.answers[&miner(n)])) {
        let silent = every > 0 && n.is_multiple_of(every);
        assert_eq!(answer.replied.reply == Reply::Timeout, silent, "{n}");
    }
    let block = heads.borrow().number;
    assert!(block <= budget.sign_until, "signed at {block}");
    (started.elapsed().as_secs(), block.0)
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_256_miners_is_signed_in_time_whoever_is_silent() {
    for every in [0, 10, 4, 2] {
        let (seconds, block) = length_of_turn(every).await;
        println!("every {every}th miner silent: {seconds} s, block {block}");
    }
}

/// What a fault of one of ten miners, or of all of them, leads to.
async fn outcome(does: &[Does], all: bool) -> (String, usize) {
    let good = |n: usize| if all || n == 4 { does.to_vec() } else { vec![VIDEO] };
    let world = World::new((0..10).map(good));
    let mut table = Table::new();
    let result = table.round(&world, never()).await;
    let what = match result {
        Ok(()) => format!("entry `{}`", table.entry(4).unwrap()),
        Err(error) => {
            assert!(table.done.answers.len() <= 1, "{does:?}");
            format!("no file, tried again; alarm: `{}`", error.alarm().unwrap())
        }
    };
    if !all {
        assert_eq!(table.entry(0).as_deref(), Some("passed"), "{does:?}: the others' entries");
    }
    (what, world.requests(4))
}

#[tokio::test(start_paused = true)]
async fn the_matrix_of_miners_endpoints_is_the_documented_one() {
    let status = |status| vec![Does::Reply(Reply::Status(status), 1)];
    let faults = [
        ("401", status(401)),
        ("402", status(402)),
        ("403", status(403)),
        ("404", status(404)),
        ("429", status(429)),
        ("500", status(500)),
        ("502", status(502)),
        ("503", status(503)),
        ("redirect", status(307)),
        ("no connection", vec![Does::Reply(Reply::Unreachable, 12)]),
        ("time-out", vec![NEVER]),
        ("reset", vec![Does::Reply(Reply::BrokenOff, 20)]),
        ("slow, but in time", vec![Does::Reply(Reply::Video, 290)]),
        ("empty", vec![Does::Reply(Reply::Empty, 1)]),
        ("wrong body", vec![Does::Reply(Reply::NotVideo, 1)]),
        ("endless body", vec![Does::Reply(Reply::TooLarge, 30)]),
    ];
    let mut lines = vec![
        "| fault | requests | of one miner | of all |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for (name, does) in faults {
        let ((one, requests), (all, _)) = (outcome(&does, false).await, outcome(&does, true).await);
        lines.push(format!("| {name} | {requests} | {one} | {all} |"));
    }
    crate::field_page::check("miners", &lines.join("\n"));
}
