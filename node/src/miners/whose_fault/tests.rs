//! Every rule, and what holds for all of them.

use super::*;
use proptest::prelude::*;

/// Miners asked one after the other, a second apart.
fn seen(replies: &[Reply]) -> Vec<Seen> {
    let one = |(index, reply): (usize, &Reply)| {
        let began = Duration::from_secs(index as u64);
        let first_refused = reply.refuses_account().then_some(began);
        Seen { reply: *reply, began, ended: began, first_refused }
    };
    replies.iter().enumerate().map(one).collect()
}

/// `fault` of one miner among 20 that answer; it is asked in the middle.
fn of_one(fault: Reply) -> Vec<Seen> {
    let mut replies = [Reply::Video; 20];
    replies[9] = fault;
    seen(&replies)
}

const FAULTS: [Reply; 17] = [
    Reply::Status(400),
    Reply::Status(422),
    Reply::Status(401),
    Reply::Status(402),
    Reply::Status(403),
    Reply::Status(404),
    Reply::Status(429),
    Reply::Status(307),
    Reply::Status(500),
    Reply::Status(502),
    Reply::Status(503),
    Reply::Unreachable,
    Reply::BrokenOff,
    Reply::Timeout,
    Reply::Empty,
    Reply::NotVideo,
    Reply::TooLarge,
];

#[test]
fn every_fault_of_one_miner_is_its_own_and_of_all_of_them_is_ours() {
    for fault in FAULTS {
        for control in [Control::Unknown, Control::Unreachable, Control::Accepted] {
            assert_eq!(whose(&of_one(fault), 0, control), Ok(()), "{fault:?}");
        }
        for miners in [1, 2, 3, 20, 256] {
            let all = seen(&vec![fault; miners]);
            let ours = whose(&all, 0, Control::Unknown).unwrap_err();
            let account = matches!(ours, OurFault::Account(_));
            assert_eq!(account, fault.refuses_account(), "{fault:?} of {miners}: {ours}");
        }
    }
}

#[test]
fn i1_i2_an_account_that_is_refused_is_ours_though_some_miners_answered_before() {
    for status in [401, 402, 403, 429] {
        // The balance ends in the middle of a turn.
        let mut replies = [Reply::Video; 20];
        replies[18..].fill(Reply::Status(status));
        let ended = seen(&replies);
        assert!(needs_control(&ended));
        assert_eq!(whose(&ended, 0, Control::Refused(status)), Err(OurFault::Account(status)));
        assert_eq!(whose(&ended, 0, Control::Unknown), Err(OurFault::Account(status)));
        // A miner that says so by itself, asked last so that nobody is accepted after it.
        assert_eq!(whose(&ended, 0, Control::Accepted), Ok(()));
    }
}

#[test]
fn i4_a_burst_that_is_limited_is_not_held_against_those_whose_turn_it_was() {
    // Refused in the burst, asked again later and refused again, while others were accepted.
    let mut particular = seen(&[Reply::Video; 20]);
    particular[3] = Seen {
        reply: Reply::Status(429),
        began: Duration::from_secs(100),
        ended: Duration::from_secs(100),
        first_refused: Some(Duration::from_secs(3)),
    };
    assert_eq!(whose(&particular, 0, Control::Unknown), Ok(()));
    // As before, but nobody was accepted after the first refusal.
    let mut limited = seen(&[Reply::Video, Reply::Video, Reply::Status(429)]);
    (limited[2].began, limited[2].ended) = (Duration::from_secs(100), Duration::from_secs(100));
    assert_eq!(whose(&limited, 0, Control::Unknown), Err(OurFault::Account(429)));
}

#[test]
fn three_that_end_on_429_are_no_coincidence_unless_a_control_is_accepted() {
    let mut replies = [Reply::Video; 20];
    replies[3..5].fill(LIMITED);
    assert!(!needs_control(&seen(&replies)));
    assert_eq!(whose(&seen(&replies), 0, Control::Unknown), Ok(()));
    replies[9] = LIMITED;
    let three = seen(&replies);
    assert!(needs_control(&three));
    for control in [Control::Unknown, Control::Unreachable, Control::Refused(429)] {
        assert_eq!(whose(&three, 0, control), Err(OurFault::Account(429)), "{control:?}");
    }
    assert_eq!(whose(&three, 0, Control::Accepted), Ok(()));
}

#[test]
fn a_service_that_fails_in_the_middle_of_a_turn_is_ours_if_a_control_shows_the_same() {
    let told = |fault: &Reply| !fault.refuses_account() && !fault.is_usual_for_a_control();
    for fault in FAULTS.into_iter().filter(told) {
        let mut replies = [Reply::Video; 20];
        replies[15..].fill(fault);
        let failed = seen(&replies);
        assert!(needs_control(&failed), "{fault:?}");
        let same = Control::of_all(&[fault; 3], unexplained_fault(&failed));
        assert_eq!(whose(&failed, 0, same), Err(OurFault::Everyone(fault)));
        // Miners that fail on purpose, last of all: the service answers others as always.
        let differs = [fault, Reply::Status(422), fault];
        let differs = Control::of_all(&differs, unexplained_fault(&failed));
        assert_eq!((differs, whose(&failed, 0, differs)), (Control::Accepted, Ok(())), "{fault:?}");
        // What came before a video is the miner's own.
        assert!(!needs_control(&of_one(fault)), "{fault:?}");
    }
    let down = [Reply::Status(502), Reply::Timeout, Reply::Unreachable];
    assert_eq!(Control::of_all(&down, Some(Reply::BrokenOff)), Control::Same(Reply::BrokenOff));
    assert_eq!(Control::of_all(&[], Some(Reply::Timeout)), Control::Unknown);
    assert_eq!(Control::of_all(&[Reply::Status(401); 3], None), Control::Refused(401));
}

#[test]
fn what_a_short_outage_may_be_is_asked_once_more_and_three_together_have_all_their_time() {
    let outage = [Reply::Unreachable, Reply::BrokenOff, Reply::Status(500), Reply::Status(504)];
    for fault in FAULTS.into_iter().chain(outage) {
        let one = of_one(fault);
        let again = outage.contains(&fault) || [NO_INSTANCE, Reply::Status(502)].contains(&fault);
        let expected = again.then_some(Again::Rest);
        assert_eq!(asked_again(&one[9], &one, 0), expected, "{fault:?}");
        // Of nearly all of them: the whole try is made again.
        let all = seen(&[fault; 20]);
        assert_eq!(asked_again(&all[9], &all, 0), None, "{fault:?}");
    }
    let mut three = seen(&[Reply::Video; 20]);
    for (place, reply) in [(2, outage[0]), (7, outage[1]), (12, outage[2])] {
        three[place].reply = reply;
    }
    // Five seconds apart: the one in the middle has two others within ten.
    let again = [2, 7, 12].map(|place| asked_again(&three[place], &three, 0).unwrap());
    assert_eq!(again, [Again::Whole; 3]);
    three[12].ended += Duration::from_millis(1);
    let again = [2, 7, 12].map(|place| asked_again(&three[place], &three, 0).unwrap());
    assert_eq!(again, [Again::Rest, Again::Whole, Again::Rest]);
    // Cold starts are usual: they have what is left of their time, and lend others none.
    three[12] = Seen { reply: NO_INSTANCE, ..three[7] };
    let again = [2, 7, 12].map(|place| asked_again(&three[place], &three, 0).unwrap());
    assert_eq!(again, [Again::Rest; 3]);
}

#[test]
fn three_that_timed_out_while_no_video_came_are_asked_once_more_with_all_their_time() {
    let silent = |began, ended| Seen {
        reply: Reply::Timeout,
        began: Duration::from_secs(began),
        ended: Duration::from_secs(ended),
        first_refused: None,
    };
    // The last video comes at 19 s.
    let mut seen = seen(&[Reply::Video; 20]);
    seen.extend([silent(19, 300), silent(25, 310), silent(30, 320)]);
    let again = |seen: &[Seen]| [20, 21, 22].map(|place| asked_again(&seen[place], seen, 0));
    assert_eq!(again(&seen), [Some(Again::Whole); 3]);
    // Two are not enough, and a video shows that the service and our line are well.
    seen[20] = silent(18, 300);
    assert_eq!(again(&seen), [None; 3]);
    seen[20] = silent(19, 300);
    seen[5].ended = Duration::from_secs(315);
    assert_eq!(again(&seen), [None; 3]);
}

#[test]
fn endless_answers_of_all_are_ours_and_of_some_their_own() {
    let whose = |some: usize, control| {
        let mut replies = [Reply::Video; 10];
        replies[..some].fill(Reply::TooLarge);
        whose(&seen(&replies), 0, control)
    };
    let everyone = Err(OurFault::Everyone(Reply::TooLarge));
    for control in [Control::Unknown, Control::Accepted] {
        assert_eq!([8, 9, 10].map(|some| whose(some, control)), [Ok(()), everyone, everyone]);
    }
}

#[test]
fn miners_that_were_cut_off_are_no_evidence_on_the_service() {
    for fault in FAULTS.into_iter().filter(|fault| !fault.refuses_account()) {
        assert_eq!(whose(&seen(&[fault]), 2, Control::Unknown), Ok(()), "{fault:?}");
        assert!(whose(&seen(&[fault; 18]), 2, Control::Unknown).is_err(), "{fault:?}");
    }
    assert_eq!(whose(&[], 5, Control::Unknown), Ok(()));
}

#[test]
fn nine_in_ten_are_nearly_all() {
    for (some, all, nearly) in [
        (0, 0, false),
        (1, 1, true),
        (1, 2, false),
        (4, 5, false),
        (9, 10, true),
        (230, 256, false),
        (231, 256, true),
    ] {
        assert_eq!(nearly_all(some, all), nearly, "{some} of {all}");
    }
}

#[test]
fn asking_on_is_hopeless_when_everyone_refuses_our_account() {
    assert!(!is_hopeless(&seen(&[Reply::Status(402); 7]), 0));
    assert!(is_hopeless(&seen(&[Reply::Status(402); 8]), 0));
    let mut one_answered = [Reply::Status(402); 20];
    one_answered[4] = Reply::Timeout;
    assert!(!is_hopeless(&seen(&one_answered), 0));
    // A limit that is not total takes some requests; their videos come later.
    assert!(!is_hopeless(&seen(&[LIMITED; 8]), 1));
    // One miner that is silent beside many refusals hides no ban.
    assert!(is_hopeless(&seen(&[LIMITED; 9]), 1));
}

#[test]
fn strangers_are_a_control_only_if_all_of_them_refuse_our_account() {
    let said = |statuses: &[u16]| {
        let replies: Vec<Reply> = statuses.iter().map(|status| Reply::Status(*status)).collect();
        Control::of_strangers(&replies)
    };
    assert_eq!(said(&[429, 429, 429]), Control::Refused(429));
    assert_eq!(said(&[402]), Control::Refused(402));
    assert_eq!(said(&[]), Control::Unknown);
    // One that is well, and one that is down: neither is known to answer.
    assert_eq!(said(&[429, 429, 422]), Control::Unknown);
    assert_eq!(said(&[401, 401, 502]), Control::Unknown);
    assert_eq!(Control::of_strangers(&[Reply::Timeout; 3]), Control::Unknown);
}

#[test]
fn h1_h2_an_apis_refusal_is_about_the_miner_if_others_or_the_control_are_answered() {
    use Lookup::{Answered, Refused, Unavailable};
    assert!(!refusals_are_ours(&[Answered, Refused], Control::Unknown));
    assert!(!refusals_are_ours(&[Refused], Control::Accepted));
    assert!(refusals_are_ours(&[Refused], Control::Unknown));
    assert!(refusals_are_ours(&[Refused, Unavailable], Control::Unknown));
    assert!(refusals_are_ours(&[Answered, Refused], Control::Refused(401)));
    assert!(!refusals_are_ours(&[Answered, Unavailable], Control::Refused(401)));
    assert!(!refusals_are_ours(&[], Control::Unknown));
}

#[test]
fn a_clip_that_crashes_beside_others_fails_at_once_and_one_that_starves_at_the_second_try() {
    use LostClip::{Ours, Theirs};
    for (lost, others, expected) in [
        (Lost::Crashed, 1, [Theirs; 3]),
        (Lost::Crashed, 0, [Ours, Ours, Theirs]),
        (Lost::Starved, 9, [Ours, Ours, Theirs]),
        (Lost::Starved, 0, [Ours, Ours, Theirs]),
        (Lost::Tools, 9, [Ours; 3]),
    ] {
        let by_tries = [0, 1, 2].map(|tries| whose_clip(lost, others, tries, true));
        assert_eq!(by_tries, expected, "{lost:?} beside {others}");
        // A machine that does not score the source clip is short of something.
        let starved = whose_clip(lost, others, 9, false);
        assert_eq!(starved == Theirs, expected == [Theirs; 3], "{lost:?} beside {others}");
        let asks = clip_needs_control(lost, others);
        assert_eq!(asks, expected[1] != expected[2], "{lost:?} beside {others}");
    }
}

#[test]
fn g4_a_judge_is_asked_about_the_source_before_any_refusal_or_silence_counts() {
    assert!(judge_needs_control(1, 0) && judge_needs_control(0, 1) && judge_needs_control(9, 9));
    assert!(!judge_needs_control(0, 0));
}

#[test]
fn a_judge_that_says_nothing_about_one_video_is_asked_again_before_that_is_the_videos_doing() {
    assert!(!silence_is_theirs(1, true) && silence_is_theirs(2, true));
    assert!(!silence_is_theirs(9, false), "a judge that answers nobody is our fault");
}

#[test]
fn each_fault_of_ours_names_what_to_check() {
    for (fault, word) in [
        (OurFault::Account(401), "CHUTES_API_KEY"),
        (OurFault::Account(402), "balance"),
        (OurFault::Account(429), "CHUTES_REQUESTS_PER_MINUTE"),
        (OurFault::Everyone(Reply::Unreachable), "network"),
        (OurFault::Everyone(Reply::Status(404)), "404"),
        (OurFault::Judge, "GEMINI_MODEL"),
    ] {
        assert!(fault.to_string().contains(word), "{fault}");
    }
}

fn any_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![Just(Reply::Video), proptest::sample::select(FAULTS.as_slice()),]
}

proptest! {
    /// What one miner replies makes no difference to the others while most of them answer, and
    /// those that answered before say what a miner that is well says to a control.
    #[test]
    fn one_miners_reply_never_voids_the_turn_of_ten_others(
        odd in any_reply(),
        place in 0_usize..11,
        usual in proptest::sample::select(vec![400, 422]),
    ) {
        let mut replies = [Reply::Video; 11];
        replies[place] = odd;
        let seen = seen(&replies);
        let control = Control::of_all(&[Reply::Status(usual); 3], unexplained_fault(&seen));
        prop_assert_eq!(whose(&seen, 0, control), Ok(()));
    }

    /// Whoever may have met an outage is asked once more, unless the turn is tried again anyway,
    /// and nobody else is.
    #[test]
    fn who_may_have_met_an_outage_has_another_request_or_another_try(
        replies in proptest::collection::vec(any_reply(), 1..40), cut in 0_usize..4,
    ) {
        let seen = seen(&replies);
        let faults = replies.iter().filter(|reply| reply.could_be_ours()).count();
        let tried_again = nearly_all(faults, replies.len() + cut);
        if tried_again {
            prop_assert!(whose(&seen, cut, Control::Unknown).is_err());
        }
        // Here requests take no time, so that no video comes while one is under way.
        let silent = replies.iter().filter(|reply| **reply == Reply::Timeout).count();
        for one in &seen {
            let again = asked_again(one, &seen, cut).is_some();
            let silence = one.reply == Reply::Timeout && silent >= OUTAGE_MINERS;
            prop_assert_eq!(again, (one.reply.could_be_an_outage() || silence) && !tried_again);
        }
    }

    /// Nobody fails for a fault that hits everyone.
    #[test]
    fn a_fault_of_everyone_is_ours_whatever_the_control_says(fault in proptest::sample::select(FAULTS.as_slice()), miners in 1_usize..64) {
        for control in [Control::Accepted, Control::Unreachable, Control::Unknown] {
            prop_assert!(whose(&seen(&vec![fault; miners]), 0, control).is_err());
        }
    }
}
