//! Scoring a few entries of another validator's file again: the hook, and which entries are drawn.

use std::collections::BTreeSet;
use std::fmt;

use leoma_chain::Head;
use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::{Envelope, VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Digest, Hotkey};
use serde::{Deserialize, Serialize};

/// Entries of one file that a validator scores again, at two seconds each. Each validator draws its
/// own, so together they check many.
const DRAWN: usize = 4;
/// How many of them are entries that [give something](gives), where there are as many: that is what
/// a false file does.
const DRAWN_GIFTS: usize = 2;

/// What scoring an entry again led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rescored {
    /// It could not be done, and why: a lack of ours, or nothing that the producer must provide.
    NotChecked(String),
    /// The result is within the judge's tolerance of the entry, or at the boundary.
    Agrees,
    /// It is not: what was found instead, and the differences in words.
    Differs(Finding, String),
    /// The producer keeps back what it would be scored from.
    Withheld(String),
    /// Nothing is kept back, and the time to attest in is over.
    OutOfTime,
    /// Another release made the file, of a mechanism whose validators all have the same judge.
    Foreign(String),
}

/// Whether a file's scores were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plausible {
    /// Some entries were scored again, and agree.
    Checked,
    /// None could be scored again.
    #[default]
    NotChecked,
}

/// What the check of a file's scores rests on, for whoever wants to repeat it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plausibility {
    /// Whether entries were scored again.
    pub plausible: Plausible,
    /// The block whose hash drew the entries.
    #[serde(default)]
    pub drawn_at: Option<BlockNumber>,
    /// The miners whose entries were scored again.
    #[serde(default)]
    pub miners: Vec<Hotkey>,
    /// Why entries could not be, where some could not.
    #[serde(default)]
    pub lack: Option<String>,
}

impl Plausibility {
    /// Nothing was checked.
    pub(super) fn none(lack: impl Into<String>) -> Self {
        Self { lack: Some(lack.into()), ..Self::default() }
    }

    /// Adds what scoring a miner's entry again led to.
    pub(super) fn add(&mut self, miner: Hotkey, result: &Rescored) {
        match result {
            Rescored::NotChecked(lack) | Rescored::Withheld(lack) | Rescored::Foreign(lack) => {
                self.lack = Some(lack.clone());
            }
            Rescored::OutOfTime => self.lack = Some("no time was left".to_owned()),
            Rescored::Agrees | Rescored::Differs(..) => {
                self.plausible = Plausible::Checked;
                self.miners.push(miner);
            }
        }
    }
}

/// Who must have an entry in a task's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Every miner that this validator held valid without a break from the task's start.
    AsSeen,
    /// These, by the chain at the task's first block.
    To(BTreeSet<Hotkey>),
    /// The chain does not say it here; why.
    Unknown(String),
}

/// What the mechanism brings to the checks of others' files.
#[async_trait::async_trait]
pub trait Rescoring: Send + Sync + fmt::Debug {
    /// Whether files by this judge may be attested to. Judges of video depend on the machine, so
    /// any may; a file by one that is not known here is attested to unchecked.
    fn knows(&self, _judge: &str) -> bool {
        true
    }

    /// The last block at which a file of a task with this start may have reached us for us to attest
    /// to it; `None` where nothing depends on that but what is left of the time.
    fn attest_until(&self, _envelope: &Envelope, _start: BlockNumber) -> Option<BlockNumber> {
        None
    }

    /// Who must have an entry in the file of a task with this start. What cannot be read is tried
    /// again until the head nears `patience`.
    async fn owed(&self, _start: BlockNumber, _patience: BlockNumber) -> Owed {
        Owed::AsSeen
    }

    /// Scores entries' videos, as they lie in the producer's bucket, again, up to the first that
    /// differs. There may be results of more miners than of those drawn. What is not in the bucket
    /// yet is waited for. All of it ends when the head reaches `patience`.
    async fn rescore(
        &self,
        file: &VerifiedVerdict,
        drawn: &[&VerdictEntry],
        patience: BlockNumber,
    ) -> Vec<(Hotkey, Rescored)>;
}

/// Whether an entry gives its miner anything: a pass, or a value for a fold.
fn gives(entry: &VerdictEntry) -> bool {
    entry.passed || entry.has_values()
}

/// The entries of a file that the validator `own` scores again: those with the smallest hashes of
/// the file, the validator, the block and the miner, two that give something first. Entries without
/// an answer cannot be; one that gives something all the same is false, and is drawn too.
///
/// `block` is the first that the validator saw after it held the file. Its hash did not exist when
/// the producer signed, so a producer cannot write a file whose false entries nobody draws; and
/// whoever knows the block's number draws the same.
pub(super) fn drawn(file: &VerifiedVerdict, own: Hotkey, block: Head) -> Vec<&VerdictEntry> {
    let ticket = |entry: &&VerdictEntry| {
        let parts: [&[u8]; 5] = [
            b"leoma:rescore:2\0",
            &file.digest.0,
            own.as_bytes(),
            &block.hash.0,
            entry.hotkey.as_bytes(),
        ];
        Digest::of_parts(&parts)
    };
    let mut entries: Vec<&VerdictEntry> =
        file.entries.iter().filter(|entry| gives(entry) || entry.video_sha256.is_some()).collect();
    entries.sort_by_cached_key(ticket);
    let (gifts, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| gives(entry));
    let (first, more) = gifts.split_at(DRAWN_GIFTS.min(gifts.len()));
    let mut rest: Vec<&VerdictEntry> = more.iter().copied().chain(others).collect();
    rest.sort_by_cached_key(ticket);
    first.iter().copied().chain(rest).take(DRAWN).collect()
}

/// What an entry says.
pub(super) fn claimed(entry: &VerdictEntry) -> Finding {
    Finding { passed: entry.passed, score: entry.score.unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::verdict::{EntryStatus, Observation};
    use leoma_protocol::{FileId, Nano, TaskId};

    fn hotkey(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn entry(byte: u8, passed: bool) -> VerdictEntry {
        let entry = VerdictEntry::unusable(hotkey(byte), EntryStatus::Failed, String::new(), 1);
        VerdictEntry { passed, video_sha256: Some(Digest::of(&[byte])), ..entry }
    }

    fn file(entries: Vec<VerdictEntry>) -> VerifiedVerdict {
        VerifiedVerdict {
            id: FileId { task_id: TaskId(7), producer: hotkey(200) },
            digest: Digest::of(b"file"),
            envelope: None,
            entries,
        }
    }

    fn miners(file: &VerifiedVerdict, own: u8, block: u8) -> Vec<Hotkey> {
        let block = Head { number: BlockNumber(block.into()), hash: Digest::of(&[block]) };
        drawn(file, hotkey(own), block).iter().map(|entry| entry.hotkey).collect()
    }

    #[test]
    fn validators_draw_different_entries_and_the_same_ones_again() {
        let all = file((0..50).map(|byte| entry(byte, byte < 10)).collect());
        assert_eq!(miners(&all, 1, 1), miners(&all, 1, 1));
        assert_ne!(miners(&all, 1, 1), miners(&all, 2, 1));
        assert_ne!(miners(&all, 1, 1), miners(&all, 1, 2), "another block draws others");
        let other = VerifiedVerdict { digest: Digest::of(b"other"), ..all.clone() };
        assert_ne!(miners(&all, 1, 1), miners(&other, 1, 1));
        let together: BTreeSet<Hotkey> = (100..116).flat_map(|own| miners(&all, own, 1)).collect();
        assert!(together.len() > 20, "{}", together.len());
        let is_pass = |miner: &&Hotkey| miner.as_bytes()[0] < 10;
        for own in 0..50 {
            assert!(miners(&all, own, 1).iter().filter(is_pass).count() >= DRAWN_GIFTS);
        }
    }

    #[test]
    fn only_entries_that_pass_or_have_a_video_are_drawn() {
        let without = VerdictEntry::unusable(hotkey(9), EntryStatus::Timeout, String::new(), 1);
        let few = file(vec![entry(1, true), without, entry(2, false)]);
        assert_eq!(miners(&few, 1, 1).len(), 2);
        assert!(!miners(&few, 1, 1).contains(&hotkey(9)));
        let friend = VerdictEntry { video_sha256: None, ..entry(3, true) };
        assert_eq!(miners(&file(vec![friend]), 1, 1), [hotkey(3)], "it passes without a video");
    }

    #[test]
    fn an_entry_with_a_value_is_drawn_whatever_it_says_of_passing_and_answers() {
        let silent = |byte: u8, value: Option<Nano>| {
            let pool = "motion".parse().unwrap();
            let observed = Observation { pool, values: vec![None, value], counts: Vec::new() };
            let entry =
                VerdictEntry::unusable(hotkey(byte), EntryStatus::Timeout, String::new(), 1);
            VerdictEntry { observations: vec![observed], ..entry }
        };
        let mut entries: Vec<VerdictEntry> = (20..60).map(|byte| silent(byte, None)).collect();
        entries.push(silent(9, Some(Nano::ZERO)));
        assert_eq!(miners(&file(entries), 1, 1), [hotkey(9)], "a null gives nothing");
        // Beside many answers that failed, it is one of those that are drawn first.
        let mut entries: Vec<VerdictEntry> = (20..60).map(|byte| entry(byte, false)).collect();
        entries.push(silent(9, Some(Nano(886_737_799))));
        let all = file(entries);
        for own in 0..20 {
            assert_eq!(miners(&all, own, 1)[0], hotkey(9));
        }
    }
}
