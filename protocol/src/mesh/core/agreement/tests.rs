//! The rules that hold whatever arrives, in whatever order.

use std::sync::Arc;

use proptest::prelude::*;
use sp_core::{Pair as _, sr25519};

use super::inventory::{Inventory, evidence_item};
use super::*;
use crate::mesh::core::catchup::CatchupRequest;
use crate::messages::{Allowlists, Context, SignatureCheck};
use crate::verdict::SignedVerdict;
use crate::{BlockNumber, Digest, FileId, HotkeySigner, MemoryGuard, Netuid, Network, TaskId};

fn network() -> Network {
    Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) }
}

/// Forgets what it signed, as a liar does.
fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
}

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let allowlists = Allowlists::single((1..=4).map(|number| signer(number).hotkey()));
    let signatures = SignatureCheck::default();
    run(&Context {
        network: network(),
        allowlists: &allowlists,
        head: BlockNumber(1000),
        tasks: TaskId(0)..=TaskId(20),
        signatures: &signatures,
    })
}

#[derive(Clone, Debug)]
enum Step {
    Announce(u8, u8, u8),
    Attest(u8, u8, u8, u8),
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
    }
}

fn recomputed(agreement: &Agreement) -> Digest {
    let mut inventory = Inventory::default();
    for (file, record) in &agreement.files {
        record.items(file).into_iter().for_each(|item| inventory.toggle(item));
    }
    agreement.evidence.keys().for_each(|key| inventory.toggle(evidence_item(key)));
    Digest(inventory.0)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..=4u8, 0..3u8, 0..2u8)
            .prop_map(|(who, task, content)| Step::Announce(who, task, content)),
        (1..=4u8, 1..=2u8, 0..3u8, 0..2u8)
            .prop_map(|(who, by, task, content)| Step::Attest(who, by, task, content)),
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
