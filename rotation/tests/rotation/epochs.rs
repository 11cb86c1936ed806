//! Whole epochs: what must never change an outcome, and the faults of the reference that must not
//! come back.

use leoma_protocol::{BlockNumber, Digest, FileId, TaskId, Uid};
use leoma_rotation::{
    Allowlist, Certificates, Decision, Ineligible, LeftOut, Miner, Reason, Slot, TaskVerdicts,
    WeightVector,
};
use proptest::prelude::*;

use crate::subnet::{EPOCH, INTERVAL, OWNER, Subnet, file, hotkey, miner, primaries};

/// The slot that has all weight.
fn paid(decision: &Decision) -> Option<Slot> {
    let entries = &decision.weights()?.entries;
    assert_eq!(entries.len(), 1, "{decision:?}");
    assert_eq!(entries[0].share, WeightVector::LARGEST);
    Some(Slot { hotkey: entries[0].hotkey, uid: entries[0].uid })
}

fn paid_uid(decision: &Decision) -> Uid {
    paid(decision).unwrap().uid
}

#[test]
fn silence_does_not_beat_an_honest_failure() {
    // Miner 101 answers one task in four and passes; the three others hold `passed: false` for it.
    let honest = |task: u64| [(100, task.is_multiple_of(2)), (101, task.is_multiple_of(4))];
    let files = (1..=40).map(|task| file(task, (task % 2) as u8, &honest(task))).collect();
    assert_eq!(Subnet::new(2, files).winner(), Some(100));
    // Were its failures left out, its rate would be 1, but the window would be incomplete for it.
    let silent = (1..=40).map(|task| {
        file(task, (task % 2) as u8, &honest(task)[..if task.is_multiple_of(4) { 2 } else { 1 }])
    });
    let subnet = Subnet::new(2, silent.collect());
    assert_eq!(subnet.winner(), Some(100));
    assert_eq!(
        subnet.outcome().ineligible,
        [(hotkey(101), Ineligible::Incomplete { tasks: 10, existing: 40 })]
    );
}

#[test]
fn a_task_whose_producer_judged_nobody_counts_against_nobody() {
    let mut files = primaries(2, 1, &[(100, true)]);
    for file in files.iter_mut().take(20) {
        *file = TaskVerdicts::new(file.id, file.digest, Vec::new());
    }
    let outcome = Subnet::new(2, files).outcome();
    assert_eq!((outcome.window.len(), outcome.aggregates.existing_tasks), (40, 20));
    assert_eq!(outcome.winner.unwrap().hotkey, hotkey(100));
}

#[test]
fn a_file_that_is_signed_as_its_epoch_begins_counts_for_nobody_until_the_next() {
    let mut files = primaries(4, 1, &[(100, true), (101, false)]);
    // The primary of task 40 takes until block 4195; an eighth of 100 blocks is 12. Another one
    // stepped in meanwhile.
    let mut late = files.pop().unwrap();
    late.signed_at = BlockNumber(4195);
    let mut in_time = file(40, 1, &[(100, false), (101, false)]);
    in_time.signed_at = BlockNumber(4188);
    files.push(in_time);
    let mut subnet = Subnet::new(4, files);
    let without = subnet.outcome();
    subnet.files.push(late.clone());
    for certificates in [Certificates::default(), Certificates::from_iter([(late.id, late.digest)])]
    {
        subnet.certificates = certificates;
        let with = subnet.outcome();
        assert_eq!(
            (&with.window, &with.ranks, &with.missing),
            (&without.window, &without.ranks, &without.missing)
        );
        assert_eq!(with.window.last().unwrap().producer, hotkey(1));
        assert_eq!(
            with.left_out,
            [(late.id, LeftOut::SignedLate { signed_at: BlockNumber(4195) })]
        );
    }
    // Another file of the same producer does not take its place.
    let mut other = file(40, 0, &[(101, true)]);
    other.signed_at = BlockNumber(4100);
    subnet.files.push(other);
    assert_eq!(subnet.outcome().ranks, without.ranks);
    // Who knows the certificate alone cannot tell, and repeats the last winner.
    subnet.files.retain(|file| file.id != late.id);
    assert_eq!(subnet.outcome().missing, [late.id]);
    subnet.files.push(late.clone());
    subnet.snapshot.block = BlockNumber(4380);
    assert_eq!(subnet.outcome().window.last(), Some(&late.id));
}

#[test]
fn an_unscheduled_validators_file_counts_for_nothing_though_nobody_else_produced_the_task() {
    let mut subnet = Subnet::new(4, primaries(4, 30, &[(100, true), (101, false)]));
    let before = subnet.outcome();
    // Tasks 8 and 12 are free; validator 2 has no turn in them.
    subnet.files.extend([8, 12].map(|task| file(task, 2, &[(101, true)])));
    let after = subnet.outcome();
    assert_eq!((&after.window, &after.ranks), (&before.window, &before.ranks));
    let reasons: Vec<_> = after.left_out.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons, [LeftOut::NotScheduled, LeftOut::NotScheduled]);
}

#[test]
fn two_task_numbers_settle_whether_or_not_they_were_produced() {
    // Block 4200 is in task 42; 41 and 42 settle. Nobody produced them, so the newest produced ones
    // stay in the window.
    let subnet = Subnet::new(2, primaries(2, 38, &[(100, true)]));
    assert_eq!(
        subnet.outcome().window.iter().map(|file| file.task_id.0).collect::<Vec<_>>(),
        [38, 39, 40]
    );
}

#[test]
fn a_miner_that_left_by_the_epoch_block_cannot_win_and_its_slot_gets_nothing() {
    let mut subnet = Subnet::new(2, primaries(2, 1, &[(100, false), (101, true)]));
    assert_eq!(paid_uid(&subnet.decide(2, None)), Uid(101));
    // Uid 101 belongs to a newcomer at this epoch's block.
    subnet.snapshot.miners[1].hotkey = hotkey(150);
    let decision = subnet.decide(2, Some(hotkey(101)));
    assert_eq!(paid_uid(&decision), Uid(100));
    assert!(subnet.outcome().ineligible.contains(&(hotkey(101), Ineligible::NotRegistered)));
}

#[test]
fn unreadable_buckets_are_not_empty_ones() {
    // Three of four buckets cannot be read. The one that can would crown miner 101.
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.files = (1..=10).map(|n| file(n * 4, 0, &[(101, true)])).collect();
    let decision = subnet.decide(1, Some(hotkey(100)));
    let weights = WeightVector::whole(Slot { hotkey: hotkey(100), uid: Uid(100) });
    assert_eq!(
        decision,
        Decision::Expected { weights, reason: Reason::TooFewReadable { readable: 1, required: 2 } }
    );
    assert_eq!(decision.winner_to_remember(), None);
    assert_eq!(subnet.decide(1, None).weights(), None);
    assert_eq!(subnet.decide(1, None).state(), "unknown");
}

#[test]
fn no_eligible_miner_burns_only_when_that_is_known() {
    let subnet = Subnet::new(4, Vec::new());
    let burned = subnet.decide(4, Some(hotkey(100)));
    assert_eq!(
        burned,
        Decision::Known { weights: WeightVector::whole(OWNER), reason: Reason::NoneEligible }
    );
    assert_eq!(paid_uid(&subnet.decide(1, Some(hotkey(100)))), Uid(100));
}

#[test]
fn a_repeated_winner_is_looked_up_again_and_never_a_stored_slot() {
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.snapshot.miners[0].uid = Uid(55);
    assert_eq!(paid_uid(&subnet.decide(0, Some(hotkey(100)))), Uid(55));
    subnet.snapshot.miners.remove(0);
    let decision = subnet.decide(0, Some(hotkey(100)));
    assert_eq!(paid(&decision), Some(OWNER));
    assert_eq!(decision.state(), "expected");
}

#[test]
fn weight_is_burned_only_on_a_slot_that_is_known_to_be_the_owners() {
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.snapshot.owner = None;
    let unknown = Decision::Unknown { reason: Reason::NoOwnerSlot };
    assert_eq!(subnet.decide(4, None), unknown);
    assert_eq!(subnet.decide(0, Some(hotkey(150))), unknown, "the last winner has left");
    assert_eq!(paid_uid(&subnet.decide(0, Some(hotkey(100)))), Uid(100));
}

#[test]
fn a_missing_certified_file_makes_the_outcome_uncertain() {
    let mut subnet = Subnet::new(4, primaries(4, 1, &[(100, true), (101, true)]));
    assert_eq!(subnet.decide(4, None).state(), "known");
    let elsewhere = file(40, 0, &[(100, false), (101, true)]);
    subnet.certificates = [(elsewhere.id, elsewhere.digest)].into_iter().collect();
    assert_eq!(subnet.outcome().missing, [elsewhere.id]);
    let decision = subnet.decide(4, Some(hotkey(101)));
    assert_eq!(decision.reason(), Reason::MissingCertified { files: 1 });
    assert_eq!((decision.state(), paid_uid(&decision)), ("expected", Uid(101)));
    subnet.files.push(elsewhere);
    assert_eq!(subnet.decide(4, None).state(), "known");
}

#[test]
fn tasks_before_a_change_of_the_allowlist_keep_their_producers() {
    let mut subnet = Subnet::new(2, primaries(2, 20, &[(100, true)]));
    let before = subnet.outcome().window;
    // From task 36 on the list is validators 2 and 3: older tasks keep theirs, newer ones of the
    // old list lose theirs.
    let list = Allowlist::new(INTERVAL, [hotkey(2), hotkey(3)]).unwrap();
    subnet.history.commit(BlockNumber(3510), list).unwrap();
    let outcome = subnet.outcome();
    assert_eq!(
        outcome.window,
        before.iter().copied().filter(|file| file.task_id.0 < 36).collect::<Vec<_>>()
    );
    assert!(
        outcome
            .left_out
            .iter()
            .all(|(file, reason)| file.task_id.0 >= 36 && *reason == LeftOut::NotListed)
    );
    assert_eq!(outcome.left_out.len(), 5);
}

#[test]
fn a_winner_by_an_exact_tie_is_the_same_everywhere() {
    // 2 and 3 of 20 tasks: 0.15 is less than 0.1 + 0.05 in floats of 64 bits.
    let verdicts = |task: u64| [(100, task <= 22), (101, task <= 23)];
    let files = (21..=40).map(|task| file(task, 0, &verdicts(task))).collect();
    let outcome = Subnet::new(1, files).outcome();
    assert_eq!(
        outcome.ranks.iter().map(|ranked| ranked.rate.to_string()).collect::<Vec<_>>(),
        ["3/20", "1/10"]
    );
    assert_eq!(outcome.winner.unwrap().hotkey, hotkey(101));
}

/// Files as a hostile or merely large subnet has them: any task, any producer, signed at any time,
/// repeated and conflicting.
fn any_files() -> impl Strategy<Value = Vec<TaskVerdicts>> {
    let verdicts = prop::collection::vec((100u8..106, any::<bool>()), 0..6);
    prop::collection::vec((0u64..45, 0u8..7, verdicts), 0..60).prop_map(|files| {
        files
            .iter()
            .map(|(task, producer, verdicts)| signed_anywhen(file(*task, *producer, verdicts)))
            .collect()
    })
}

/// The digest covers the block, so that one digest has one block.
fn signed_anywhen(mut file: TaskVerdicts) -> TaskVerdicts {
    file.signed_at = BlockNumber(u64::from(file.digest.0[0]) * 24);
    file
}

fn any_subnet() -> impl Strategy<Value = Subnet> {
    let evidence = prop::collection::vec((0u64..45, 0u8..7), 0..2);
    (
        any_files(),
        1u8..6,
        0u64..6000,
        0u64..20,
        evidence,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    )
        .prop_map(|(files, validators, block, window_tasks, evidence, certified)| {
            let mut subnet = Subnet::new(validators, files);
            subnet.snapshot.block = BlockNumber(block);
            subnet.snapshot.miners =
                (100..105).map(|seed| miner(seed, u64::from(seed % 3))).collect();
            // A hotkey that a hand-made snapshot lists twice.
            subnet.snapshot.miners.push(Miner { uid: Uid(200), ..miner(101, 0) });
            subnet.params.window_tasks = window_tasks as u32;
            subnet.evidence = evidence
                .iter()
                .map(|(task, producer)| FileId {
                    task_id: TaskId(*task),
                    producer: hotkey(*producer),
                })
                .collect();
            if !subnet.files.is_empty() {
                let certified = certified.iter().map(|index| index.get(&subnet.files));
                subnet.certificates = certified.map(|file| (file.id, file.digest)).collect();
            }
            subnet
        })
}

proptest! {
    #[test]
    fn the_order_of_inputs_never_changes_an_outcome(subnet in any_subnet(), seed: u64) {
        let key = |parts: &[&[u8]]| Digest::of_parts(&[&[&seed.to_le_bytes()[..]], parts].concat());
        let mut shuffled = subnet.clone();
        shuffled.files.sort_by_key(|file| key(&[&file.digest.0, &file.id.task_id.0.to_le_bytes(), file.id.producer.as_bytes()]));
        shuffled.snapshot.miners.sort_by_key(|miner| key(&[miner.hotkey.as_bytes(), &miner.uid.0.to_le_bytes()]));
        shuffled.evidence.reverse();
        prop_assert_eq!(subnet.outcome(), shuffled.outcome());
        // Seeing everything twice is seeing it once.
        let again = shuffled.files.clone();
        shuffled.files.extend(again);
        let again = shuffled.evidence.clone();
        shuffled.evidence.extend(again);
        prop_assert_eq!(subnet.outcome(), shuffled.outcome());
    }

    #[test]
    fn an_equivocators_files_have_no_effect(subnet in any_subnet(), producer in 0u8..6) {
        let mut blamed = subnet.clone();
        blamed.evidence = vec![FileId { task_id: TaskId(5), producer: hotkey(producer) }];
        blamed.snapshot.block = BlockNumber(EPOCH);
        // Evidence about a stranger is evidence too, and changes nothing.
        let mut without = blamed.clone();
        without.files.retain(|file| file.id.producer != hotkey(producer));
        without.certificates = without.certificates.iter().filter(|(file, _)| file.producer != hotkey(producer)).collect();
        let (blamed, without) = (blamed.outcome(), without.outcome());
        prop_assert_eq!(&blamed.window, &without.window);
        prop_assert_eq!(&blamed.aggregates, &without.aggregates);
        prop_assert_eq!(blamed.winner, without.winner);
        prop_assert!(!blamed.active_validators.contains(&hotkey(producer)));
    }

    #[test]
    fn tasks_older_than_the_window_have_no_effect(older in prop::collection::vec((0u64..21, any::<bool>()), 0..40)) {
        let mut subnet = Subnet::new(3, primaries(3, 21, &[(100, true), (101, false)]));
        subnet.params.window_tasks = 20;
        let before = subnet.outcome();
        subnet.files.extend(older.iter().map(|(task, passed)| file(*task, (task % 3) as u8, &[(101, *passed)])));
        let after = subnet.outcome();
        prop_assert_eq!(&before.window, &after.window);
        prop_assert_eq!(&before.aggregates, &after.aggregates);
        prop_assert_eq!(before.winner, after.winner);
    }

    #[test]
    fn an_epoch_block_inside_a_task_sees_what_the_tasks_first_block_sees(subnet in any_subnet(), offset in 0..INTERVAL) {
        let mut later = subnet.clone();
        later.params.lookback_blocks = 0;
        // A file that is signed in between is seen only by the later ones.
        later.files.iter_mut().for_each(|file| file.signed_at = BlockNumber(0));
        later.snapshot.block = BlockNumber(subnet.snapshot.block.0 / INTERVAL * INTERVAL);
        let start = later.outcome();
        later.snapshot.block = BlockNumber(later.snapshot.block.0 + offset);
        let inside = later.outcome();
        prop_assert_eq!(start.window, inside.window);
        prop_assert_eq!(start.winner, inside.winner);
    }

    #[test]
    fn weights_never_point_to_a_slot_of_another_time(subnet in any_subnet(), readable in 0usize..6, last in prop::option::of(100u8..110)) {
        if let Some(slot) = paid(&subnet.decide(readable, last.map(hotkey))) {
            let held = subnet.snapshot.miners.iter().any(|miner| (miner.hotkey, miner.uid) == (slot.hotkey, slot.uid));
            prop_assert!(held || slot == OWNER);
        }
    }

    #[test]
    fn every_file_is_in_the_window_or_left_out_with_a_reason(subnet in any_subnet()) {
        let outcome = subnet.outcome();
        for file in &subnet.files {
            prop_assert!(outcome.window.contains(&file.id) || outcome.left_out.iter().any(|(id, _)| *id == file.id));
        }
        prop_assert!(outcome.window.len() + outcome.missing.len() <= subnet.params.window_tasks as usize);
        prop_assert!(outcome.window.is_sorted_by(|a, b| a.task_id < b.task_id));
        prop_assert!(outcome.left_out.is_sorted());
        for miner in &outcome.aggregates.miners {
            let ranked = outcome.ranks.iter().filter(|ranked| ranked.miner == miner.miner).count();
            let not = outcome.ineligible.iter().filter(|(hotkey, _)| *hotkey == miner.miner).count();
            prop_assert_eq!(ranked + not, 1);
        }
    }
}
