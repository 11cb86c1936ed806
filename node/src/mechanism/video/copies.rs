//! Copies: of videos made from one another, only the one of the earliest committed miner counts.
//!
//! Scored answers, passed or not, are taken in the order of (commit block, hotkey). Each is compared
//! with the originals before it: with the same bytes as one of them, or a fingerprint nearer than
//! [`Fingerprint::COPY_BELOW`], it is a duplicate of the first that it matches. Copies are not
//! compared with, so that no chain of lookalikes leads from one honest video to another. A copy of a
//! video that failed is a copy too: otherwise it would be a second try at the judge. Answers that
//! cannot be scored (frozen, cut short, not decodable) take no part.
//!
//! Answers that look like the source clip are compared by their bytes only: two of them look alike
//! because both look like the source, and replays have a check of their own.
//!
//! The decision follows from the verdict file and, for the source's fingerprint, the task's published
//! clip.

use leoma_protocol::BlockNumber;
use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use leoma_scoring::{Fingerprint, Likeness};

use crate::corpus::Evidence;

/// A miner's answer after scoring.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) entry: VerdictEntry,
    pub(super) evidence: Option<Evidence>,
    pub(super) commit_block: BlockNumber,
    /// The judge did not grade it, for a reason that may be its own: not settled yet.
    pub(super) refused_by_judge: bool,
}

/// An entry and its video's fingerprint.
pub(crate) struct Look<'a> {
    pub(crate) entry: &'a VerdictEntry,
    fingerprint: Option<Fingerprint>,
    is_like_source: bool,
}

/// What two miners' videos have in common.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    SameBytes,
    /// One is made from the other.
    Copy(Likeness),
    Apart(Likeness),
    /// One looks like the source clip, so only equal bytes would show a copy.
    LikeSource,
    /// One has no fingerprint that can be read here.
    Unknown,
}

impl<'a> Look<'a> {
    pub(crate) fn of(entry: &'a VerdictEntry, source: Option<&Fingerprint>) -> Self {
        let fingerprint = entry.fingerprint.as_deref().and_then(Fingerprint::from_bytes);
        let is_like_source = fingerprint
            .as_ref()
            .zip(source)
            .is_some_and(|(fingerprint, source)| fingerprint.is_copy_of(source));
        Self { entry, fingerprint, is_like_source }
    }

    /// Only a scored video can be an original or a copy.
    pub(crate) fn is_scored(&self) -> bool {
        matches!(self.entry.status, EntryStatus::Passed | EntryStatus::Failed)
    }

    /// The rule, for samplers and for audits.
    pub(crate) fn relation(&self, later: &Self) -> Relation {
        if self.entry.video_sha256.is_some() && self.entry.video_sha256 == later.entry.video_sha256
        {
            return Relation::SameBytes;
        }
        match (&self.fingerprint, &later.fingerprint) {
            _ if self.is_like_source || later.is_like_source => Relation::LikeSource,
            (Some(ours), Some(theirs)) => {
                let likeness = ours.likeness(theirs);
                if likeness.is_copy() {
                    Relation::Copy(likeness)
                } else {
                    Relation::Apart(likeness)
                }
            }
            _ => Relation::Unknown,
        }
    }
}

/// The entries in their order, with copies marked. Compares every answer with every original, at
/// some 0.3 ms each: call it off the async threads.
pub(super) fn without_copies(
    judged: Vec<Judged>,
    source: Option<&Fingerprint>,
) -> Vec<VerdictEntry> {
    let (commit_blocks, mut entries): (Vec<_>, Vec<_>) =
        judged.into_iter().map(|judged| (judged.commit_block, judged.entry)).unzip();
    let looks: Vec<Look> = entries.iter().map(|entry| Look::of(entry, source)).collect();
    let mut order: Vec<usize> =
        (0..looks.len()).filter(|index| looks[*index].is_scored()).collect();
    order.sort_by_key(|index| (commit_blocks[*index], looks[*index].entry.hotkey));
    let mut kept: Vec<&Look> = Vec::with_capacity(order.len());
    let mut copies = Vec::new();
    for index in order {
        let candidate = &looks[index];
        match kept.iter().find_map(|earlier| why_copied(earlier, candidate)) {
            Some(reasoning) => copies.push((index, reasoning)),
            None => kept.push(candidate),
        }
    }
    for (index, reasoning) in copies {
        let entry = &mut entries[index];
        (entry.passed, entry.status, entry.reasoning) = (false, EntryStatus::Duplicate, reasoning);
    }
    entries
}

/// What makes `later` a copy of `earlier`, in words.
fn why_copied(earlier: &Look, later: &Look) -> Option<String> {
    let miner = earlier.entry.hotkey;
    match earlier.relation(later) {
        Relation::SameBytes => {
            Some(format!("the same bytes as {miner}'s video; {miner} committed earlier"))
        }
        Relation::Copy(likeness) => Some(format!(
            "{}; {miner} committed earlier",
            likeness.told(&format!("{miner}'s video"))
        )),
        Relation::Apart(_) | Relation::LikeSource | Relation::Unknown => None,
    }
}

/// Fingerprints for tests.
#[cfg(test)]
pub(crate) mod prints {
    use leoma_scoring::Fingerprint;

    /// Bytes of a video whose changes are turned by this many degrees from those of another: the
    /// cosine of the difference is what two of them have in common.
    pub(crate) fn turned(degrees: f64) -> Vec<u8> {
        // The first byte is the version, then come whether it is mirrored and the shown part of the
        // frame.
        let places = 192;
        let value = |index: usize| {
            let (moment, place) = (index / places, index % places);
            let noise = |seed: usize| {
                let mixed = ((place * 31 + moment) as u64 + seed as u64 * 7919)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed >> 40) as f64 / (1_u64 << 23) as f64 - 1.0
            };
            let angle = degrees.to_radians();
            (60.0 * (noise(1) * angle.cos() + noise(2) * angle.sin())) as i8
        };
        let values = (0..Fingerprint::BYTES - 3).map(|index| value(index).cast_unsigned());
        [1, 0, 100].into_iter().chain(values).collect()
    }

    /// [`turned`], read.
    pub(crate) fn print(degrees: f64) -> Fingerprint {
        Fingerprint::from_bytes(&turned(degrees)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::prints::{print, turned};
    use super::*;
    use leoma_protocol::{Digest, Hotkey};

    fn judged(n: u8, commit_block: u64, video: &[u8], degrees: Option<f64>) -> Judged {
        let hotkey = Hotkey::from_bytes([n; 32]);
        let mut entry = VerdictEntry::unusable(hotkey, EntryStatus::Passed, String::new(), 1);
        (entry.passed, entry.video_sha256) = (true, Some(Digest::of(video)));
        entry.fingerprint = degrees.map(turned);
        Judged {
            entry,
            evidence: None,
            commit_block: BlockNumber(commit_block),
            refused_by_judge: false,
        }
    }

    fn statuses(judged: Vec<Judged>, source: f64) -> Vec<&'static str> {
        let entries = without_copies(judged, Some(&print(source)));
        assert!(entries.iter().all(|entry| entry.passed == (entry.status == EntryStatus::Passed)));
        let word = |status: &EntryStatus| match status {
            EntryStatus::Passed => "passed",
            EntryStatus::Failed => "failed",
            EntryStatus::Duplicate => "duplicate",
            _ => "unusable",
        };
        entries.iter().map(|entry| word(&entry.status)).collect()
    }

    #[test]
    fn of_equal_videos_the_earliest_committed_counts() {
        let all =
            vec![judged(1, 30, b"a", None), judged(2, 10, b"a", None), judged(3, 20, b"b", None)];
        assert_eq!(statuses(all, 90.0), ["duplicate", "passed", "passed"]);
        // In one block, the smaller hotkey.
        assert_eq!(
            statuses(vec![judged(2, 1, b"a", None), judged(1, 1, b"a", None)], 90.0),
            ["duplicate", "passed"]
        );
    }

    #[test]
    fn of_lookalikes_the_earliest_committed_counts_and_the_others_are_told_whose_copy_they_are() {
        let all = || {
            vec![
                judged(1, 30, b"a", Some(5.0)),
                judged(2, 10, b"b", Some(0.0)),
                judged(3, 20, b"c", Some(40.0)),
            ]
        };
        assert_eq!(statuses(all(), 90.0), ["duplicate", "passed", "passed"]);
        let reasoning = &without_copies(all(), Some(&print(90.0)))[0].reasoning;
        let original = Hotkey::from_bytes([2; 32]);
        let told = format!("a copy of {original}'s video, distance ");
        assert!(
            reasoning.starts_with(&told) && reasoning.ends_with("committed earlier"),
            "{reasoning}"
        );
    }

    #[test]
    fn no_chain_of_lookalikes_leads_to_an_honest_video() {
        let (first, between, far) = (print(0.0), print(15.0), print(30.0));
        assert!(first.is_copy_of(&between) && between.is_copy_of(&far) && !first.is_copy_of(&far));
        let degrees = [0.0, 15.0, 30.0, 45.0];
        let chain = (0..).zip(degrees).map(|(n, degrees)| judged(n, n.into(), &[n], Some(degrees)));
        assert_eq!(statuses(chain.collect(), 90.0), ["passed", "duplicate", "passed", "duplicate"]);
    }

    #[test]
    fn a_copy_of_a_failed_video_is_a_copy() {
        let mut original = judged(1, 1, b"a", Some(0.0));
        (original.entry.passed, original.entry.status) = (false, EntryStatus::Failed);
        assert_eq!(
            statuses(vec![judged(2, 2, b"b", Some(5.0)), original], 90.0),
            ["duplicate", "failed"]
        );
    }

    #[test]
    fn what_was_not_scored_neither_takes_nor_loses() {
        let mut frozen = judged(1, 1, b"a", Some(0.0));
        (frozen.entry.passed, frozen.entry.status) = (false, EntryStatus::Frozen);
        let mut cut = judged(3, 3, b"b", None);
        (cut.entry.passed, cut.entry.status) = (false, EntryStatus::TooShort);
        let all = vec![frozen, judged(2, 2, b"b", Some(5.0)), cut];
        assert_eq!(statuses(all, 90.0), ["unusable", "passed", "unusable"]);
    }

    #[test]
    fn those_who_look_like_the_source_are_not_copies_of_each_other_unless_by_their_bytes() {
        let all = || {
            vec![
                judged(1, 1, b"a", Some(0.0)),
                judged(2, 2, b"b", Some(8.0)),
                judged(3, 3, b"a", Some(0.0)),
            ]
        };
        assert_eq!(statuses(all(), 4.0), ["passed", "passed", "duplicate"]);
        assert_eq!(statuses(all(), 90.0), ["passed", "duplicate", "duplicate"]);
        // An honest answer near the source beside a replay of it.
        let beside = vec![judged(1, 1, b"a", Some(0.0)), judged(2, 2, b"b", Some(16.0))];
        assert_eq!(statuses(beside, -4.0), ["passed", "passed"]);
    }
}
