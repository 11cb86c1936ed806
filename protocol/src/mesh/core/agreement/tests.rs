//! The rules that hold whatever arrives, in whatever order.

use std::sync::Arc;

use proptest::prelude::*;
use sp_core::{Pair as _, sr25519};

use super::inventory::{Inventory, dispute_item, evidence_item};
use super::*;
use crate::mesh::core::catchup::CatchupRequest;
use crate::mesh::core::limits::MAX_FILES_PER_PRODUCER;
use crate::messages::{Allowlists, Context, DisputeDraft, DisputeReason, SignatureCheck};
use crate::verdict::SignedVerdict;
use crate::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, FileId, HotkeySigner, MemoryGuard,
    Netuid, Network, TaskId,
};

fn network() -> Network {
    Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) }
}

/// Forgets what it signed, as a liar does.
fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
}

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    with_tasks(20, run)
}

fn with_tasks<T>(newest: u64, run: impl FnOnce(&Context<'_>) -> T) -> T {
    let allowlists = Allowlists::single(100, (1..=4).map(|number| signer(number).hotkey()));
    let everybody = ConsensusParams { failover_grace: Some(1), ..ConsensusParams::default() };
    let signatures = SignatureCheck::default();
    run(&Context {
        network: network(),
        allowlists: &allowlists,
        consensus: &ConsensusSchedule::from(everybody),
        head: BlockNumber(1000),
        tasks: TaskId(0)..=TaskId(newest),
        signatures: &signatures,
    })
}

#[derive(Clone, Debug)]
enum Step {
    Announce(u8, u8, u8),
    Attest(u8, u8, u8, u8),
    Dispute(u8, u8),
}

fn take(agreement: &mut Agreement, context: &Context<'_>, step: &Step) {
    match step {
        Step::Announce(who, task, content) => {
            let id = FileId { task_id: TaskId(u64::from(*task)), producer: signer(*who).hotkey() };
            let file = SignedVerdict { id, digest: Digest::of(&[*content]), bytes: vec![] };
            let announcement = signer(*who).sign_announcement(network(), &file).unwrap();
            let _ = agreement.announcement(context, announcement).unwrap();
        }
        Step::Attest(who, producer, task, content) => {
            let file =
                FileId { task_id: TaskId(u64::from(*task)), producer: signer(*producer).hotkey() };
            let attestation =
                signer(*who).sign_attestation(network(), file, Digest::of(&[*content])).unwrap();
            let _ = agreement.attestation(context, attestation).unwrap();
        }
        Step::Dispute(who, task) => {
            let file = FileId { task_id: TaskId(u64::from(*task)), producer: signer(1).hotkey() };
            let reason = DisputeReason::Envelope;
            let draft =
                DisputeDraft { network: network(), file, digest: Digest::default(), reason };
            let _ = agreement.dispute(context, &signer(*who).sign_dispute(draft)).unwrap();
        }
    }
    agreement.settle();
}

fn recomputed(agreement: &Agreement) -> Digest {
    let mut inventory = Inventory::default();
    for (file, record) in &agreement.files {
        record.items(file).into_iter().for_each(|item| inventory.add(item));
    }
    agreement.evidence.keys().for_each(|key| inventory.add(evidence_item(key)));
    agreement.disputes.keys().for_each(|key| inventory.add(dispute_item(key)));
    inventory.settle();
    inventory.all()
}

#[test]
fn beyond_the_bound_a_producers_oldest_announcement_gives_way_and_nobody_elses() {
    with_tasks(2000, |context| {
        let mut agreement = Agreement::default();
        let (busy, other, attester) = (signer(1), signer(2), signer(3));
        let file =
            |by: &HotkeySigner, task: u64| FileId { task_id: TaskId(task), producer: by.hotkey() };
        let announce = |agreement: &mut Agreement, by: &HotkeySigner, task: u64| {
            let verdict =
                SignedVerdict { id: file(by, task), digest: Digest::default(), bytes: vec![] };
            let announcement = by.sign_announcement(network(), &verdict).unwrap();
            matches!(agreement.announcement(context, announcement).unwrap(), Taken::New(_))
        };
        let is_announced = |agreement: &Agreement, by: &HotkeySigner, task: u64| {
            let record = agreement.files.get(&file(by, task));
            record.is_some_and(|record| !record.announcements.is_empty())
        };
        assert!(announce(&mut agreement, &other, 0));
        let tasks = 10..10 + MAX_FILES_PER_PRODUCER as u64;
        for task in tasks.clone() {
            assert!(announce(&mut agreement, &busy, task), "{task}");
        }
        let vote =
            attester.sign_attestation(network(), file(&busy, 11), Digest::default()).unwrap();
        let _ = agreement.attestation(context, vote).unwrap();
        assert!(!announce(&mut agreement, &busy, 9), "older than all that are kept");
        assert!(announce(&mut agreement, &busy, tasks.end));
        assert!(announce(&mut agreement, &busy, tasks.end + 5));
        assert!(is_announced(&agreement, &busy, tasks.end + 5));
        // Of the two that gave way one is forgotten; the other keeps its vote.
        assert!(!agreement.files.contains_key(&file(&busy, 10)));
        assert!(!is_announced(&agreement, &busy, 11) && is_announced(&agreement, &busy, 12));
        assert_eq!(agreement.files[&file(&busy, 11)].votes.len(), 1);
        assert!(!announce(&mut agreement, &busy, 10), "it would only give way again");
        assert!(is_announced(&agreement, &other, 0));
        assert_eq!(agreement.files_of[&busy.hotkey()].len(), MAX_FILES_PER_PRODUCER);
        agreement.settle();
        assert_eq!(agreement.inventory(), recomputed(&agreement));
        agreement.prune(TaskId(2000));
        assert!(agreement.files_of.is_empty());
    });
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..=4u8, 0..3u8, 0..2u8)
            .prop_map(|(who, task, content)| Step::Announce(who, task, content)),
        (1..=4u8, 1..=2u8, 0..3u8, 0..2u8)
            .prop_map(|(who, by, task, content)| Step::Attest(who, by, task, content)),
        (1..=4u8, 0..3u8).prop_map(|(who, task)| Step::Dispute(who, task)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_order_of_arrival_changes_nothing(
        steps in proptest::collection::vec(step(), 0..40),
        shuffled in any::<proptest::sample::Index>(),
    ) {
        with_context(|context| {
            let (mut one, mut other) = (Agreement::default(), Agreement::default());
            steps.iter().for_each(|step| take(&mut one, context, step));
            let mut turned = steps.clone();
            if !turned.is_empty() {
                turned.rotate_left(shuffled.index(steps.len()));
            }
            turned.iter().rev().for_each(|step| take(&mut other, context, step));
            prop_assert_eq!(one.inventory(), recomputed(&one));
            prop_assert_eq!(
                one.evidence.keys().collect::<Vec<_>>(),
                other.evidence.keys().collect::<Vec<_>>()
            );
            for (file, record) in &one.files {
                let digests = |record: &record::FileRecord| {
                    record.votes.keys().copied().collect::<Vec<_>>()
                };
                prop_assert_eq!(digests(record), digests(&other.files[file]));
            }
            one.prune(TaskId(1));
            prop_assert_eq!(one.inventory(), recomputed(&one));
            one.prune(TaskId(10));
            prop_assert_eq!(one.inventory(), Digest::default());
            prop_assert!(one.votes_of.is_empty() && one.files_of.is_empty());
            prop_assert!(one.disputes.is_empty() && one.disputes_of.is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn a_page_hands_over_everything(steps in proptest::collection::vec(step(), 0..30)) {
        with_context(|context| {
            let (mut one, mut other) = (Agreement::default(), Agreement::default());
            steps.iter().for_each(|step| take(&mut one, context, step));
            let page = one.page(&CatchupRequest::default());
            for state in &page.files {
                for announcement in &state.announcements {
                    let _ = other.announcement(context, announcement.clone()).unwrap();
                }
                for tally in &state.tallies {
                    for attestation in tally.attestations(network(), state.file) {
                        let _ = other.attestation(context, attestation).unwrap();
                    }
                }
            }
            prop_assert!(!page.more);
            for dispute in &page.disputes {
                let _ = other.dispute(context, dispute).unwrap();
            }
            other.settle();
            // Then there is nothing left to hand over.
            let request =
                CatchupRequest { held: other.task_digests(), ..CatchupRequest::default() };
            let rest = one.page(&request);
            prop_assert_eq!(one.inventory() == other.inventory(), rest == Default::default());
            let certified = |agreement: &Agreement| -> Vec<FileId> {
                let certified =
                    agreement.files.iter().filter(|(_, record)| record.certified.is_some());
                certified.map(|(file, _)| *file).collect()
            };
            prop_assert_eq!(certified(&one), certified(&other));
            prop_assert!(one.evidence.keys().eq(other.evidence.keys()));
            Ok(())
        })?;
    }
}
