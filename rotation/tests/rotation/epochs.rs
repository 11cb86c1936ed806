//! Whole epochs: what must never change an outcome, and the faults of the reference that must not
//! come back.

use leoma_protocol::{BlockNumber, Digest, FileId, TaskId, Uid};
use leoma_rotation::{
    Allowlist, AllowlistHistory, Decision, Ineligible, LeftOut, Miner, Reason, Slot, TaskVerdicts,
    WeightVector, counted,
};
use proptest::prelude::*;

use crate::subnet::{EPOCH, INTERVAL, OWNER, Subnet, file, hotkey, list, miner, primaries};

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
fn an_unscheduled_validators_file_counts_for_nothing_though_nobody_else_produced_the_task() {
    let mut subnet = Subnet::new(4, primaries(4, 30, &[(100, true), (101, false)]));
    let before = subnet.outcome();
    // Tasks 8 and 12 are free; validator 2 has no turn in them.
    subnet.files.extend([8, 12].map(|task| file(task, 2, &[(101, true)])));
    subnet.agree();
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
    assert_eq!(paid_uid(&subnet.decide()), Uid(101));
    // Uid 101 belongs to a newcomer at this epoch's block.
    subnet.snapshot.miners[1].hotkey = hotkey(150);
    assert_eq!(paid_uid(&subnet.decide()), Uid(100));
    assert!(subnet.outcome().ineligible.contains(&(hotkey(101), Ineligible::NotRegistered)));
}

#[test]
fn a_file_counts_only_when_more_witness_it_than_may_lie() {
    // Seven validators bear two liars, so three witnesses make a file count.
    let mut subnet = Subnet::new(7, primaries(7, 30, &[(100, true)]));
    let all: Vec<FileId> = subnet.files.iter().map(|file| file.id).collect();
    subnet.snapshot.witnesses.clear();
    for validator in [0, 1] {
        subnet.witness(hotkey(validator), &all);
    }
    let few = Decision::Abstain { reason: Reason::TooFewWitnesses { fresh: 2, required: 3 } };
    assert_eq!(subnet.decide(), few);
    subnet.witness(hotkey(2), &all[1..]);
    let outcome = subnet.outcome();
    assert_eq!(outcome.window, all[1..]);
    let reason = LeftOut::NotWitnessed { witnesses: 2, required: 3 };
    assert_eq!(outcome.left_out, [(all[0], reason)]);
    // A stranger and a witness that was there before are nobody's third.
    subnet.witness(hotkey(9), &all);
    assert_eq!(subnet.outcome().window, all[1..]);
    subnet.witness(hotkey(3), &all[..1]);
    assert_eq!(subnet.outcome().window, all);
}

#[test]
fn a_witness_is_fresh_in_its_span_and_for_its_epoch_only() {
    // One of four is enough for its bits to be seen, so two are needed; an eighth of 100 is 12.
    let mut subnet = Subnet::new(4, primaries(4, 30, &[(100, true)]));
    subnet.snapshot.witnesses.retain(|hotkey, _| *hotkey < crate::subnet::hotkey(2));
    let mut fresh_at = |block: u64, epoch_block: u64| {
        let witness = subnet.snapshot.witnesses.get_mut(&hotkey(1)).unwrap();
        witness.committed_at = BlockNumber(block);
        witness.witness.epoch_block = BlockNumber(epoch_block);
        counted(&subnet.params, &subnet.history, &subnet.snapshot).is_ok()
    };
    let blocks = [EPOCH - 13, EPOCH - 12, EPOCH - 1, EPOCH, EPOCH + 1];
    assert_eq!(blocks.map(|block| fresh_at(block, EPOCH)), [false, true, true, false, false]);
    assert!(!fresh_at(EPOCH - 1, EPOCH - 180) && !fresh_at(EPOCH - 1, EPOCH + 180));
}

#[test]
fn the_lowest_step_that_counts_speaks_for_its_task() {
    // Task 40 is validator 0's; validator 1 stepped in as well.
    let mut subnet = Subnet::new(4, primaries(4, 39, &[(100, true), (101, false)]));
    let stand_in = file(40, 1, &[(100, false), (101, true)]);
    subnet.files.push(stand_in.clone());
    subnet.agree();
    let outcome = subnet.outcome();
    assert_eq!(outcome.window[1].producer, hotkey(0));
    assert_eq!(outcome.left_out, [(stand_in.id, LeftOut::Superseded { by: hotkey(0) })]);
    // Without enough witnesses for the primary's file it is the stand-in's.
    let without: Vec<FileId> = [outcome.window[0], stand_in.id].into();
    for validator in 1..4 {
        subnet.witness(hotkey(validator), &without);
    }
    assert_eq!(subnet.outcome().window, without);
}

#[test]
fn a_counted_file_that_is_missing_stops_everything() {
    let mut subnet = Subnet::new(4, primaries(4, 1, &[(100, true), (101, true)]));
    let set = subnet.decide();
    assert_eq!((set.state(), set.reason()), ("set", Reason::Won));
    let lost = subnet.files.pop().unwrap();
    let outcome = subnet.outcome();
    assert_eq!((outcome.missing.clone(), outcome.window.len()), (vec![lost.id], 40));
    assert!(outcome.winner.is_none() && outcome.ranks.is_empty(), "no half result");
    let missing = Decision::Abstain { reason: Reason::MissingFiles { files: 1 } };
    assert_eq!(subnet.decide(), missing);
    // Another file in its place is as good as none.
    subnet.files.push(file(40, 0, &[(100, false), (101, true)]));
    assert_eq!(subnet.decide(), missing);
    // So is the right one while its certificate is missing.
    subnet.files.push(lost.clone());
    let certificates = subnet.certificates.clone();
    subnet.certificates = certificates.iter().filter(|(file, _)| *file != lost.id).collect();
    assert_eq!(subnet.decide(), missing);
    subnet.certificates = certificates;
    assert_eq!(subnet.decide(), set);
}

#[test]
fn no_eligible_miner_burns_where_the_owner_has_a_slot() {
    let mut subnet = Subnet::new(4, Vec::new());
    let weights = WeightVector::whole(OWNER);
    assert_eq!(subnet.decide(), Decision::Set { weights, reason: Reason::NoneEligible });
    // Uid 0 is an ordinary neuron's then.
    subnet.snapshot.owner = None;
    assert_eq!(subnet.decide(), Decision::Abstain { reason: Reason::NoOwnerSlot });
}

#[test]
fn nobody_sets_anything_before_the_first_list_or_on_an_empty_one() {
    let mut subnet = Subnet::new(4, Vec::new());
    subnet.history = AllowlistHistory::default();
    assert_eq!(subnet.decide(), Decision::Abstain { reason: Reason::NoAllowlist });
    let few = Reason::TooFewWitnesses { fresh: 0, required: 1 };
    assert_eq!(Subnet::new(0, Vec::new()).decide(), Decision::Abstain { reason: few });
}

#[test]
fn tasks_before_a_change_of_the_allowlist_keep_their_producers() {
    let mut subnet = Subnet::new(2, primaries(2, 20, &[(100, true)]));
    let before = subnet.outcome().window;
    // From task 36 on the list is validators 2 and 3: older tasks keep theirs, newer ones of the
    // old list lose theirs. The new list's members are the witnesses.
    let list = Allowlist::new(INTERVAL, [hotkey(2), hotkey(3)]).unwrap();
    subnet.history.commit(BlockNumber(3510), list).unwrap();
    let few = Reason::TooFewWitnesses { fresh: 0, required: 1 };
    assert_eq!(subnet.decide().reason(), few, "the old list's witnesses are nobody's now");
    subnet.agree();
    let outcome = subnet.outcome();
    assert_eq!(
        outcome.window,
        before.iter().copied().filter(|file| file.task_id.0 < 36).collect::<Vec<_>>()
    );
    let mut left_out = outcome.left_out.iter();
    assert!(left_out.all(|(file, why)| file.task_id.0 >= 36 && *why == LeftOut::NotListed));
    assert_eq!(outcome.left_out.len(), 5);
}

#[test]
fn whoever_lacks_the_list_of_a_task_that_counts_sets_nothing() {
    let mut subnet = Subnet::new(4, primaries(4, 1, &[(100, true)]));
    subnet.history.commit(BlockNumber(2010), list(INTERVAL, 5)).unwrap();
    subnet.agree();
    assert!(matches!(subnet.decide(), Decision::Set { .. }));
    // This validator joined later, and nobody gave it the record of the lists before.
    let mut newcomer = subnet.clone();
    newcomer.history = AllowlistHistory::default();
    newcomer.history.commit(BlockNumber(2010), list(INTERVAL, 5)).unwrap();
    let witnessed = |subnet: &Subnet| subnet.outcome().window.len();
    assert!(witnessed(&newcomer) < witnessed(&subnet));
    assert!(matches!(newcomer.decide().reason(), Reason::UnknownLists { tasks: 10.. }));
    // Two of five may not name a task that nobody made: one of them could be lying.
    newcomer.snapshot.witnesses.retain(|validator, _| *validator == hotkey(0));
    assert!(matches!(newcomer.decide().reason(), Reason::TooFewWitnesses { .. }));
}

#[test]
fn a_change_between_witness_and_epoch_block_does_not_shift_what_witnesses_say() {
    let mut subnet = Subnet::new(4, primaries(4, 20, &[(100, true)]));
    let before = subnet.outcome();
    // Committed at block 4195, after everybody had written for block 4200: in force from 4200 on.
    // More validators, a shorter interval.
    for interval in [INTERVAL, INTERVAL / 2] {
        let mut changed = subnet.clone();
        changed.history.commit(BlockNumber(4195), list(interval, 5)).unwrap();
        let at_block = changed.history.at_block(BlockNumber(EPOCH)).unwrap();
        assert_eq!(at_block.allowlist.validators().len(), 5);
        let after = changed.outcome();
        assert_eq!((&after.window, &after.ranks), (&before.window, &before.ranks));
    }
    // A newcomer's witness counts though it was on no task's list.
    subnet.history.commit(BlockNumber(4195), list(INTERVAL, 5)).unwrap();
    let all: Vec<FileId> = subnet.files.iter().map(|file| file.id).collect();
    subnet.snapshot.witnesses.clear();
    subnet.witness(hotkey(0), &all);
    subnet.witness(hotkey(4), &all);
    assert_eq!(subnet.outcome().window, before.window);
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

/// Files as a hostile or merely large subnet has them: any task, any producer, repeated and
/// conflicting.
fn any_files() -> impl Strategy<Value = Vec<TaskVerdicts>> {
    let verdicts = prop::collection::vec((100u8..106, any::<bool>()), 0..6);
    prop::collection::vec((0u64..45, 0u8..7, verdicts), 0..60).prop_map(|files| {
        files.iter().map(|(task, producer, verdicts)| file(*task, *producer, verdicts)).collect()
    })
}

fn any_subnet() -> impl Strategy<Value = Subnet> {
    let witnesses = prop::collection::vec((0u8..7, any::<prop::sample::Index>(), 0u64..20), 0..12);
    let block = (any_files(), 1u8..6, 0u64..6000, 0u64..20);
    (block, witnesses, prop::collection::vec(any::<prop::sample::Index>(), 0..3)).prop_map(
        |((files, validators, block, window_tasks), witnesses, uncertified)| {
            let mut subnet = Subnet::new(validators, files);
            subnet.snapshot.block = BlockNumber(block);
            subnet.snapshot.miners =
                (100..105).map(|seed| miner(seed, u64::from(seed % 3))).collect();
            // A hotkey that a hand-made snapshot lists twice.
            subnet.snapshot.miners.push(Miner { uid: Uid(200), ..miner(101, 0) });
            subnet.params.window_tasks = window_tasks as u32;
            subnet.agree();
            for (validator, from, back) in witnesses {
                let from = if subnet.files.is_empty() { 0 } else { from.index(subnet.files.len()) };
                let held: Vec<FileId> = subnet.files[from..].iter().map(|file| file.id).collect();
                subnet.witness(hotkey(validator), &held);
                let witness = subnet.snapshot.witnesses.get_mut(&hotkey(validator)).unwrap();
                witness.committed_at = BlockNumber(block.saturating_sub(back));
            }
            if !subnet.files.is_empty() {
                let lost: Vec<FileId> =
                    uncertified.iter().map(|index| index.get(&subnet.files).id).collect();
                let certificates = subnet.certificates.clone();
                subnet.certificates =
                    certificates.iter().filter(|(file, _)| !lost.contains(file)).collect();
            }
            subnet
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_inputs_never_changes_an_outcome(subnet in any_subnet(), seed: u64) {
        let key = |parts: &[&[u8]]| Digest::of_parts(&[&[&seed.to_le_bytes()[..]], parts].concat());
        let mut shuffled = subnet.clone();
        shuffled.files.sort_by_key(|file| key(&[&file.digest.0, &file.id.task_id.0.to_le_bytes(), file.id.producer.as_bytes()]));
        shuffled.snapshot.miners.sort_by_key(|miner| key(&[miner.hotkey.as_bytes(), &miner.uid.0.to_le_bytes()]));
        prop_assert_eq!(subnet.outcome(), shuffled.outcome());
        prop_assert_eq!(subnet.decide(), shuffled.decide());
        // Seeing everything twice is seeing it once.
        let again = shuffled.files.clone();
        shuffled.files.extend(again);
        prop_assert_eq!(subnet.outcome(), shuffled.outcome());
    }

    #[test]
    fn whoever_holds_fewer_files_or_certificates_sets_the_same_weights_or_none(
        subnet in any_subnet(), files in prop::collection::vec(any::<bool>(), 60), certificates: u64,
    ) {
        let full = subnet.decide();
        let mut poorer = subnet.clone();
        let mut keep = files.into_iter();
        poorer.files.retain(|_| keep.next().unwrap_or(true));
        poorer.certificates = subnet.certificates.iter().enumerate()
            .filter(|(index, _)| certificates >> (index % 64) & 1 == 1).map(|(_, certified)| certified).collect();
        let found = poorer.decide();
        if full.weights().is_some() && found.weights().is_some() {
            prop_assert_eq!(&found, &full);
        }
        // What counts is the same for both, whatever they hold.
        prop_assert_eq!(poorer.outcome().window, subnet.outcome().window);
        if let Decision::Abstain { reason: Reason::MissingFiles { files } } = found {
            prop_assert_eq!(poorer.outcome().missing.len(), files);
        }
    }

    #[test]
    fn files_that_do_not_count_have_no_effect(subnet in any_subnet(), more in any_files()) {
        let before = subnet.outcome();
        let mut richer = subnet.clone();
        richer.files.extend(more);
        let after = richer.outcome();
        prop_assert_eq!(&before.window, &after.window);
        if before.missing.is_empty() {
            prop_assert_eq!(&before.aggregates, &after.aggregates);
            prop_assert_eq!(subnet.decide(), richer.decide());
        }
    }

    #[test]
    fn tasks_older_than_the_window_have_no_effect(older in prop::collection::vec((0u64..21, any::<bool>()), 0..40)) {
        let mut subnet = Subnet::new(3, primaries(3, 21, &[(100, true), (101, false)]));
        subnet.params.window_tasks = 20;
        let before = subnet.outcome();
        subnet.files.extend(older.iter().map(|(task, passed)| file(*task, (task % 3) as u8, &[(101, *passed)])));
        subnet.agree();
        let after = subnet.outcome();
        prop_assert_eq!(&before.window, &after.window);
        prop_assert_eq!(&before.aggregates, &after.aggregates);
        prop_assert_eq!(before.winner, after.winner);
    }

    #[test]
    fn weights_never_point_to_a_slot_of_another_time(subnet in any_subnet()) {
        if let Some(slot) = paid(&subnet.decide()) {
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
        prop_assert!(outcome.window.len() <= subnet.params.window_tasks as usize);
        prop_assert!(outcome.window.is_sorted_by(|a, b| a.task_id < b.task_id));
        prop_assert!(outcome.left_out.is_sorted());
        for miner in &outcome.aggregates.miners {
            let ranked = outcome.ranks.iter().filter(|ranked| ranked.miner == miner.miner).count();
            let not = outcome.ineligible.iter().filter(|(hotkey, _)| *hotkey == miner.miner).count();
            prop_assert_eq!(ranked + not, 1);
        }
    }

    #[test]
    fn what_counts_is_what_the_brute_rule_says(subnet in any_subnet()) {
        // Each witness on its own, each task and step on its own.
        let listed = subnet.listed();
        let required = (listed.len().max(1) - 1) / 3 + 1;
        let block = subnet.snapshot.block.0;
        let holds = |file: &FileId| listed.iter().filter(|hotkey| {
            subnet.snapshot.witnesses.get(hotkey).is_some_and(|found| {
                let step = (0..2).find(|step| listed[(file.task_id.0 as usize + step) % listed.len()] == file.producer);
                let fresh = found.committed_at.0 + 12 >= block && found.committed_at.0 < block;
                fresh && step.is_some_and(|step| found.witness.holds(file.task_id, step))
            })
        }).count();
        let mut expected = Vec::new();
        for task in (0..(block / INTERVAL + 1).saturating_sub(2)).rev() {
            let steps = (0..2.min(listed.len())).map(|step| listed[(task as usize + step) % listed.len()]);
            let mut files = steps.map(|producer| FileId { task_id: TaskId(task), producer });
            expected.extend(files.find(|file| holds(file) >= required));
        }
        expected.truncate(subnet.params.window_tasks as usize);
        expected.reverse();
        prop_assert_eq!(subnet.outcome().window, expected);
    }
}
