//! What other validators make of a producer that leaves a miner out, and those that score entries
//! again of one that lies, or keeps a video back.

use std::cell::Cell;
use std::sync::Arc;

use leoma::verdicts::{Plausible, Rescored, Rescoring};
use leoma_chain::Head;
use leoma_protocol::mesh::Voice;
use leoma_protocol::messages::{Dispute, DisputeReason, Finding};
use leoma_protocol::verdict::{EntryStatus, VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Digest, Hotkey};

use super::{HEAD, Machine, QUICK_BEACONS, hotkey, params, until};

/// A judge that finds what an entry's reasoning says: that it is false, or that its video is
/// missing.
#[derive(Debug)]
struct Honest;

const FRIEND: &str = "a friend's bad video";
const KEPT_BACK: &str = "a video that is in nobody's bucket";

#[async_trait::async_trait]
impl Rescoring for Honest {
    async fn rescore(
        &self,
        _: &VerifiedVerdict,
        drawn: &[&VerdictEntry],
        _: BlockNumber,
    ) -> Vec<(Hotkey, Rescored)> {
        let found = |entry: &&VerdictEntry| {
            let result = match entry.reasoning.as_str() {
                FRIEND => Rescored::Differs(Finding { passed: false, score: 300 }, FRIEND.into()),
                KEPT_BACK => Rescored::Withheld(KEPT_BACK.into()),
                _ => Rescored::Agrees,
            };
            (entry.hotkey, result)
        };
        drawn.iter().map(found).collect()
    }
}

async fn a_producer_and_two_that_judge() -> (Machine, [Machine; 2]) {
    let start = |number, bootnode| {
        let judge: Arc<dyn Rescoring> = Arc::new(Honest);
        Machine::start_scoring(params(), number, bootnode, QUICK_BEACONS, Some(judge))
    };
    let producer = start(1, None).await;
    let bootnode = producer.address().await;
    let honest = [start(2, Some(bootnode.clone())).await, start(3, Some(bootnode)).await];
    for machine in [&producer, &honest[0], &honest[1]] {
        assert_eq!(machine.first_word().await, Voice::Alone);
    }
    (producer, honest)
}

/// Tells the validators of the next block: entries are drawn by one that comes after the file.
fn advance(honest: &[Machine], next: &Cell<u64>) {
    next.set(next.get() + 1);
    let number = BlockNumber(next.get());
    let head = Head { number, hash: Digest::of(&number.0.to_be_bytes()) };
    for machine in honest {
        machine.heads.send_replace(head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_leaves_a_miner_out_is_refused_as_incomplete() {
    let producer = Machine::start(1, None).await;
    let other = Machine::start(2, Some(producer.address().await)).await;
    for machine in [&producer, &other] {
        assert_eq!(machine.first_word().await, Voice::Alone);
    }
    // The other one has found two miners valid since before the tasks began.
    let miners = [50, 51].map(hotkey);
    let check_miners = || other.agreement.note_valid_miners(BlockNumber(9_000), miners);
    check_miners();
    let entry = |miner: u8| {
        let reasoning = "no answer in time".to_owned();
        VerdictEntry::unusable(hotkey(miner), EntryStatus::Timeout, reasoning, 1)
    };
    let full = producer.produce_with(97, vec![entry(50), entry(51)]).await;
    let partial = producer.produce_with(98, vec![entry(50)]).await;
    let reason = until("the refusal", || async {
        // It comes after the other one's next check of the miners.
        check_miners();
        let signed = producer.agreement.signed().await.unwrap();
        let refusal = |one: &&Dispute| one.file == partial.id && one.disputer == hotkey(2);
        signed.disputes.iter().find(refusal).map(|dispute| dispute.reason)
    })
    .await;
    assert_eq!(reason, DisputeReason::Complete { miner: hotkey(51) });
    until("the other's word on the full file", || async {
        producer.attesters(full.id).await.contains(&hotkey(2)).then_some(())
    })
    .await;
    assert!(other.has_attested(full.id) && !other.has_attested(partial.id));
    assert_eq!(producer.attesters(partial.id).await, [hotkey(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_passes_its_friend_is_certified_by_nobody() {
    let (liar, honest) = a_producer_and_two_that_judge().await;
    let entry = |miner: u8, reasoning: &str| VerdictEntry {
        passed: true,
        score: Some(900),
        video_sha256: Some(Digest::of(&[miner])),
        ..VerdictEntry::unusable(hotkey(miner), EntryStatus::Passed, reasoning.to_owned(), 1)
    };
    let next = Cell::new(HEAD.0);
    let advance = || advance(&honest, &next);
    let fair = liar.produce_with(97, vec![entry(50, "seen")]).await;
    until("the fair file's certificate", || async {
        advance();
        for machine in &honest {
            let signed = machine.agreement.signed().await.unwrap();
            let passed = signed.passed.iter().any(|one| one.task_id == fair.id.task_id);
            if !passed || !signed.certified.iter().any(|(id, _)| *id == fair.id) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let false_file = liar.produce_with(98, vec![entry(50, "seen"), entry(51, FRIEND)]).await;
    until("both validators' disputes", || async {
        advance();
        for machine in &honest {
            let signed = machine.agreement.signed().await.unwrap();
            let refused = signed.disputes.iter().filter(|one| one.file == false_file.id);
            if refused.count() < 2 {
                return None;
            }
        }
        Some(())
    })
    .await;
    for machine in &honest {
        let signed = machine.agreement.signed().await.unwrap();
        assert!(!signed.certified.iter().any(|(id, _)| *id == false_file.id));
        assert_eq!(machine.attesters(false_file.id).await, [hotkey(1)]);
        // Whoever comes second may hear the first one's dispute before it looks.
        let reasons = signed.disputes.iter().filter(|one| one.file == false_file.id);
        let accusation = DisputeReason::Plausible {
            miner: hotkey(51),
            claimed: Finding { passed: true, score: 900 },
            found: Finding { passed: false, score: 300 },
        };
        let mut reasons: Vec<_> = reasons.map(|dispute| dispute.reason).collect();
        reasons.retain(|reason| *reason != DisputeReason::Evidence);
        assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == accusation));
        let passed = signed.passed.iter().find(|one| one.task_id == fair.id.task_id).unwrap();
        assert_eq!(passed.plausibility.plausible, Plausible::Checked);
        assert!(passed.plausibility.drawn_at.is_some_and(|block| block > HEAD));
        assert_eq!(passed.plausibility.miners, [hotkey(50)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_keeps_a_video_back_is_certified_by_nobody_and_not_accused() {
    let (producer, honest) = a_producer_and_two_that_judge().await;
    let entry = |reasoning: &str| VerdictEntry {
        passed: true,
        score: Some(900),
        video_sha256: Some(Digest::of(&[50])),
        ..VerdictEntry::unusable(hotkey(50), EntryStatus::Passed, reasoning.to_owned(), 1)
    };
    let next = Cell::new(HEAD.0);
    let advance = || advance(&honest, &next);
    let kept = producer.produce_with(97, vec![entry(KEPT_BACK)]).await;
    until("both validators' refusals", || async {
        advance();
        for machine in &honest {
            let signed = machine.agreement.signed().await.unwrap();
            let withheld =
                |one: &&Dispute| one.file == kept.id && one.reason == DisputeReason::Withheld;
            if signed.disputes.iter().filter(withheld).count() < 2 {
                return None;
            }
        }
        Some(())
    })
    .await;
    for machine in &honest {
        assert_eq!(machine.attesters(kept.id).await, [hotkey(1)]);
    }
    // Only that one file is lost: the next is certified.
    let fair = producer.produce_with(98, vec![entry("seen")]).await;
    until("the next file's certificate", || async {
        advance();
        let signed = honest[0].agreement.signed().await.unwrap();
        signed.certified.iter().any(|(id, _)| *id == fair.id).then_some(())
    })
    .await;
}
