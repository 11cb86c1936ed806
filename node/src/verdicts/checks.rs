//! The checks that a file passes before we attest to it. Disagreement here is harmless: it only
//! delays a certificate. So this is where a producer is held to its work.
//!
//! | check | holds if |
//! |---|---|
//! | `envelope` | the producer has a turn at the task; the envelope's block comes after the producer's step began, and is not ahead of the chain; the judge is named |
//! | `complete` | every miner has an entry that we held valid without a break from the task's start, or, where the chain alone admits miners, that was admitted at the task's first block |
//! | `plausible` | a few entries, drawn by the hash of a block that came after the file, come out alike when they are scored again |
//! | `withheld` | the producer does not keep back what those entries are scored from, nor its file until there is no time to score them, or beyond the block by which the mechanism wants it here |
//! | `evidence` | there is no evidence and no proven dispute against the producer in the lookback |
//!
//! Of a file that another release of a policy record's mechanism made, by its judge or the form of
//! its `metadata.json`, nothing is said: its validators all have one judge, and who could name
//! another would be checked by nobody.
//!
//! The signatures, the network, the task, the validator and the parameters of the task were checked
//! when the file was taken in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leoma_chain::Head;
use leoma_protocol::messages::{Dispute, DisputeReason, Finding};
use leoma_protocol::verdict::{VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Hotkey};
use leoma_rotation::{AllowlistHistory, Schedule};

use super::exchange::Exchange;
use super::rescoring::{Owed, Plausibility, Rescored, Rescoring, claimed, drawn};
use crate::sampler::budget::Budget;

/// How long the next block is waited for.
const NEXT_BLOCK_PATIENCE: Duration = Duration::from_secs(120);
/// Most entries at a time that are scored again because others found them false.
const MOST_NAMED: usize = 4;

/// What the checks of a file led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It may be attested to; which entries were scored again.
    Passed(Plausibility),
    /// It may not.
    Refused(DisputeReason),
    /// The envelope's block is ahead of our head: ours lags, or the file is from the future.
    Ahead(BlockNumber),
    /// Nothing is said of it, neither for nor against it; why.
    Undecided(String),
}

/// `envelope`: whether the file was made at a time at which its producer could make it.
fn check_envelope(
    file: &VerifiedVerdict,
    history: &AllowlistHistory,
    configured_grace: Option<u64>,
    head: BlockNumber,
) -> Result<(), Checked> {
    let refused = || Checked::Refused(DisputeReason::Envelope);
    let list = &history.of_task(file.id.task_id).ok_or_else(refused)?.allowlist;
    let schedule = Schedule::new(list, configured_grace);
    let step = schedule.step_of(file.id.task_id, &file.id.producer).ok_or_else(refused)?;
    // A file of the Python implementation says nothing of its time; the parameters admit it or not.
    let Some(signed) = &file.envelope else { return Ok(()) };
    let block = signed.envelope.block;
    let start = list.start_of(file.id.task_id).ok_or_else(refused)?;
    let waited = schedule.grace_blocks().saturating_mul(step as u64);
    if block.0 < start.0.saturating_add(waited) || signed.envelope.judge.is_empty() {
        return Err(refused());
    }
    if block > head { Err(Checked::Ahead(block)) } else { Ok(()) }
}

/// Most characters of a judge's name that are shown.
const SHOWN_JUDGE: usize = 80;

/// Whether the mechanism takes a file, whatever its entries say. `arrived` is the head at which it
/// was taken in: not known of files from before a restart, and then no later than `head`.
fn check_terms(
    file: &VerifiedVerdict,
    rescoring: &dyn Rescoring,
    start: BlockNumber,
    (arrived, head): (Option<BlockNumber>, BlockNumber),
) -> Result<(), Checked> {
    let Some(signed) = &file.envelope else { return Ok(()) };
    let envelope = &signed.envelope;
    if !rescoring.knows(&envelope.judge) {
        let judge: String = envelope.judge.chars().take(SHOWN_JUDGE).collect();
        return Err(Checked::Undecided(format!("judged by {judge}, which is not known here")));
    }
    let Some(until) = rescoring.attest_until(envelope, start) else { return Ok(()) };
    match arrived {
        Some(arrived) if arrived > until => Err(Checked::Refused(DisputeReason::Withheld)),
        None if head > until => {
            let reason = format!("it is not known whether it came before block {until} was over");
            Err(Checked::Undecided(reason))
        }
        _ => Ok(()),
    }
}

/// `complete`: the first of `valid` that has no entry.
fn missing_miner(
    file: &VerifiedVerdict,
    mut valid: impl Iterator<Item = Hotkey>,
) -> Option<Hotkey> {
    let judged: BTreeSet<Hotkey> = file.entries.iter().map(|entry| entry.hotkey).collect();
    valid.find(|miner| !judged.contains(miner))
}

/// The block at which half of the time that is left until `deadline` is over.
const fn half_way(now: BlockNumber, deadline: BlockNumber) -> BlockNumber {
    BlockNumber(now.0 + deadline.0.saturating_sub(now.0) / 2)
}

impl Exchange {
    /// Checks a file that was taken in, at the head `arrived` where that is known.
    pub(super) async fn check(
        &self,
        file: &VerifiedVerdict,
        arrived: Option<BlockNumber>,
    ) -> Checked {
        let head = self.heads.borrow().number;
        let history: Arc<AllowlistHistory> = self.library.history();
        let Some(start) = self.library.start_of(file.id.task_id) else {
            return Checked::Refused(DisputeReason::Envelope);
        };
        let grace = self.library.consensus().at(start).failover_grace;
        if let Err(outcome) = check_envelope(file, &history, grace, head) {
            return outcome;
        }
        if self.known.is_suspect(&file.id.producer) {
            return Checked::Refused(DisputeReason::Evidence);
        }
        if let Some(rescoring) = &self.rescoring
            && let Err(outcome) = check_terms(file, rescoring.as_ref(), start, (arrived, head))
        {
            return outcome;
        }
        if let Some(miner) = self.missing(file, start).await {
            return Checked::Refused(DisputeReason::Complete { miner });
        }
        self.check_plausible(file, arrived).await
    }

    /// `complete`: a miner that must have an entry and has none.
    async fn missing(&self, file: &VerifiedVerdict, start: BlockNumber) -> Option<Hotkey> {
        let owed = match (&self.rescoring, self.times_of(file)) {
            (Some(rescoring), Some((deadline, _))) => {
                let patience = half_way(self.heads.borrow().number, deadline);
                rescoring.owed(start, patience).await
            }
            _ => Owed::AsSeen,
        };
        match owed {
            Owed::AsSeen => missing_miner(file, self.validity.borrow().valid_since(start)),
            Owed::To(miners) => missing_miner(file, miners.into_iter()),
            Owed::Unknown(lack) => {
                tracing::warn!(task = %file.id.task_id, producer = %file.id.producer, lack, "it is not known here who must have an entry in a verdict file");
                None
            }
        }
    }

    /// `plausible`: scores a few entries again, where that is possible, and those that other
    /// validators found false.
    async fn check_plausible(
        &self,
        file: &VerifiedVerdict,
        arrived: Option<BlockNumber>,
    ) -> Checked {
        let Some(rescoring) = &self.rescoring else {
            return Checked::Passed(Plausibility::none("this process does not score videos"));
        };
        let Some(block) = self.next_block().await else {
            return Checked::Passed(Plausibility::none("the chain made no block to draw by"));
        };
        let Some((deadline, sign_until)) = self.times_of(file) else {
            return Checked::Refused(DisputeReason::Envelope);
        };
        let patience = half_way(block.number, deadline);
        let is_late = arrived.is_some_and(|arrived| arrived > sign_until);
        let mut found = Plausibility { drawn_at: Some(block.number), ..Plausibility::default() };
        let mut entries = drawn(file, self.signer.hotkey(), block);
        let mut done: BTreeSet<Hotkey> = BTreeSet::new();
        while !entries.is_empty() {
            done.extend(entries.iter().map(|entry| entry.hotkey));
            for (miner, result) in rescoring.rescore(file, &entries, patience).await {
                found.add(miner, &result);
                if result == Rescored::OutOfTime && is_late {
                    tracing::warn!(task = %file.id.task_id, producer = %file.id.producer, %miner, ?arrived, %sign_until, "a verdict file came too late for a check of its scores");
                    return Checked::Refused(DisputeReason::Withheld);
                }
                if let Rescored::Foreign(release) = result {
                    return Checked::Undecided(release);
                }
                if let Rescored::Withheld(missing) = &result {
                    tracing::warn!(task = %file.id.task_id, producer = %file.id.producer, %miner, missing, "a producer keeps back what its scores are checked against");
                    return Checked::Refused(DisputeReason::Withheld);
                }
                if let Rescored::Differs(finding, difference) = result {
                    tracing::warn!(task = %file.id.task_id, producer = %file.id.producer, %miner, difference, "an entry differs when it is scored again");
                    let entry = file.entries.iter().find(|entry| entry.hotkey == miner);
                    let claimed = entry.map_or(finding, claimed);
                    return Checked::Refused(implausible(miner, claimed, finding));
                }
            }
            // What others found false meanwhile is looked at too: each validator draws few.
            let named = self.disputed_miners(file).await;
            let is_new = |entry: &&VerdictEntry| {
                named.contains(&entry.hotkey) && !done.contains(&entry.hotkey)
            };
            entries = file.entries.iter().filter(is_new).take(MOST_NAMED).collect();
        }
        tracing::info!(task = %file.id.task_id, producer = %file.id.producer, entries = found.miners.len(), lack = found.lack, "scored entries of a verdict file again");
        Checked::Passed(found)
    }

    /// The first head after now.
    async fn next_block(&self) -> Option<Head> {
        let mut heads = self.heads.clone();
        let now = heads.borrow_and_update().number;
        let next = heads.wait_for(|head| head.number > now);
        let next = tokio::time::timeout(NEXT_BLOCK_PATIENCE, next).await.ok()?;
        next.ok().map(|head| *head)
    }

    /// The last blocks at which peers attest to a file, and at which an honest producer signs it.
    fn times_of(&self, file: &VerifiedVerdict) -> Option<(BlockNumber, BlockNumber)> {
        let task = file.id.task_id;
        let history = self.library.history();
        let list = &history.of_task(task)?.allowlist;
        let params = self.library.consensus().at(list.start_of(task)?);
        let deadline = params.attestation_deadline(list.interval(), task);
        Some((deadline, Budget::of(deadline, list.interval()).sign_until))
    }

    /// The miners whose entries in this file other validators found false.
    async fn disputed_miners(&self, file: &VerifiedVerdict) -> BTreeSet<Hotkey> {
        let disputes = self.mesh.disputes().await.unwrap_or_default();
        let of_this = disputes
            .iter()
            .filter(|dispute| dispute.file == file.id && dispute.digest == file.digest);
        let miner = |dispute: &Dispute| match dispute.reason {
            DisputeReason::Plausible { miner, .. } => Some(miner),
            _ => None,
        };
        of_this.filter_map(miner).collect()
    }
}

const fn implausible(miner: Hotkey, claimed: Finding, found: Finding) -> DisputeReason {
    DisputeReason::Plausible { miner, claimed, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::verdict::{EntryStatus, Envelope, SignedEnvelope};
    use leoma_protocol::{Digest, FileId, Netuid, Network, Signature, TaskId};
    use leoma_rotation::Allowlist;

    fn hotkey(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn file(producer: u8, block: u64, judge: &str) -> VerifiedVerdict {
        let id = FileId { task_id: TaskId(8), producer: hotkey(producer) };
        let envelope = Envelope {
            network: Network { genesis: Digest::default(), netuid: Netuid(1) },
            task_id: id.task_id,
            validator: id.producer,
            params: Digest::default(),
            judge: judge.into(),
            block: BlockNumber(block),
            data_sha256: Digest::default(),
            metadata_sha256: None,
        };
        let signed = SignedEnvelope { envelope, signature: Signature([0; 64]) };
        let entry =
            |byte: u8| VerdictEntry::unusable(hotkey(byte), EntryStatus::Timeout, String::new(), 1);
        VerifiedVerdict {
            id,
            digest: Digest::default(),
            envelope: Some(signed),
            entries: [101, 102].map(entry).into(),
        }
    }

    #[test]
    fn the_envelope_must_be_of_its_producers_turn_and_not_of_the_future() {
        let list = Allowlist::new(100, (1..=4).map(hotkey)).unwrap();
        let history = AllowlistHistory::since_genesis(list);
        // Task 8 of four validators: the first is its primary, the second steps in after 50 blocks.
        let check = |producer, block, judge| {
            check_envelope(&file(producer, block, judge), &history, None, BlockNumber(870))
        };
        let refused = || Err(Checked::Refused(DisputeReason::Envelope));
        assert_eq!(check(1, 800, "judge"), Ok(()));
        assert_eq!(check(1, 799, "judge"), refused(), "before the task");
        assert_eq!(check(2, 849, "judge"), refused(), "before its step");
        assert_eq!(check(2, 850, "judge"), Ok(()));
        assert_eq!(check(3, 860, "judge"), refused(), "no turn");
        assert_eq!(check(9, 860, "judge"), refused(), "not on the list");
        assert_eq!(check(1, 800, ""), refused(), "no judge");
        assert_eq!(check(1, 871, "judge"), Err(Checked::Ahead(BlockNumber(871))));
    }

    /// A mechanism of a record, with one judge. Files that say that they were signed within 25 blocks
    /// must come within these.
    #[derive(Debug)]
    struct Strict;

    #[async_trait::async_trait]
    impl Rescoring for Strict {
        fn knows(&self, judge: &str) -> bool {
            judge == "sums/1"
        }

        fn attest_until(&self, envelope: &Envelope, start: BlockNumber) -> Option<BlockNumber> {
            let last = BlockNumber(start.0 + 25);
            (envelope.block <= last).then_some(last)
        }

        async fn rescore(
            &self,
            _: &VerifiedVerdict,
            _: &[&VerdictEntry],
            _: BlockNumber,
        ) -> Vec<(Hotkey, Rescored)> {
            Vec::new()
        }
    }

    #[test]
    fn nothing_is_said_of_a_file_whose_judge_the_mechanism_does_not_have() {
        let times = (Some(BlockNumber(801)), BlockNumber(801));
        let check =
            |judge: &str| check_terms(&file(1, 800, judge), &Strict, BlockNumber(800), times);
        assert_eq!(check("sums/1"), Ok(()));
        let long = "x".repeat(5000);
        for judge in ["sums/9", "sums/1 ", long.as_str()] {
            let Err(Checked::Undecided(reason)) = check(judge) else { panic!("{judge}") };
            assert!(reason.contains("judged by") && reason.len() < 200, "{reason}");
        }
    }

    #[test]
    fn a_file_that_says_it_was_signed_early_must_have_come_early() {
        let check = |signed_at, arrived: Option<u64>, head| {
            let times = (arrived.map(BlockNumber), BlockNumber(head));
            check_terms(&file(1, signed_at, "sums/1"), &Strict, BlockNumber(800), times)
        };
        assert_eq!(check(820, Some(825), 860), Ok(()));
        let withheld = Err(Checked::Refused(DisputeReason::Withheld));
        assert_eq!(check(820, Some(826), 826), withheld, "it may have been written by now");
        assert_eq!(check(800, Some(965), 965), withheld);
        assert_eq!(
            check(826, Some(965), 965),
            Ok(()),
            "what depends on the deadline does not count"
        );
        // After a restart it is known only that it has come by now.
        assert_eq!(check(820, None, 825), Ok(()));
        assert!(matches!(check(820, None, 826), Err(Checked::Undecided(_))));
    }

    #[test]
    fn a_file_without_a_rival_is_not_complete() {
        let file = file(1, 800, "judge");
        assert_eq!(missing_miner(&file, [101, 102].map(hotkey).into_iter()), None);
        assert_eq!(missing_miner(&file, std::iter::empty()), None);
        assert_eq!(
            missing_miner(&file, [101, 103, 104].map(hotkey).into_iter()),
            Some(hotkey(103))
        );
    }
}
