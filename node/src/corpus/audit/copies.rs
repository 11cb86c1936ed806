//! Whether the copies that a verdict file names are copies, and whether it misses one: from the
//! published file and clip alone.

use bytes::Bytes;
use leoma_protocol::verdict::{EntryStatus, Expected, MAX_FILE_BYTES, VerdictEntry, verify};
use leoma_protocol::{ConsensusParams, FileId, Hotkey};
use leoma_scoring::media::{Limits, decode};
use leoma_scoring::{Fingerprint, SOURCE_ITSELF};
use leoma_storage::{StoreError, TaskKey};

use super::task::{Step, TaskAudit};
use crate::mechanism::video::copies::{Look, Relation};

const NAME: &str = "duplicates";

impl TaskAudit<'_> {
    /// None where the sampler's bucket has no verdict file, which then claims nothing.
    pub(super) async fn duplicates(&self, sampler: Hotkey, clip: Option<Bytes>) -> Option<Step> {
        let key = TaskKey::verdict(self.task_id, sampler).into();
        let file = match self.bucket.get(&key, MAX_FILE_BYTES as u64).await {
            Ok(file) => file?,
            Err(error @ StoreError::TooLarge { .. }) => {
                return Some(Step::fail(NAME, error.to_string()));
            }
            Err(error) => return Some(Step::unchecked(NAME, error.to_string())),
        };
        let expected = Expected {
            id: FileId { task_id: self.task_id, producer: sampler },
            network: self.network,
            params: ConsensusParams::default().digest(),
            accept_v1: true,
        };
        let (entries, kind) = match verify(&file, &expected) {
            Ok(verdict) => (verdict.entries, FileKind::of(verdict.envelope.is_some())),
            Err(refusal) => {
                return Some(Step::unchecked(
                    NAME,
                    format!("the verdict file does not count: {refusal}"),
                ));
            }
        };
        let ffmpeg = self.ffmpeg.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let clip = clip.and_then(|clip| decode(&ffmpeg, &clip, &Limits::ANSWER).ok());
            let source = clip.map(|clip| Fingerprint::of(&clip, &clip));
            duplicates(&entries, source.as_ref(), kind)
        });
        Some(looked.await.unwrap_or_else(|error| Step::unchecked(NAME, error.to_string())))
    }
}

/// Whether a file must name the fingerprint of every video that was scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A file of this mesh: an entry without a fingerprint is neither a copy nor an original.
    Mesh,
    /// One as the Python implementation writes it, without fingerprints.
    Plain,
}

impl FileKind {
    /// By whether the file has an envelope.
    pub(crate) const fn of(has_envelope: bool) -> Self {
        if has_envelope { Self::Mesh } else { Self::Plain }
    }
}

/// What the entries say about copies, compared with their fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// Every claim holds: this many are copies, and this many have no fingerprint to compare.
    Hold { backed: usize, unreadable: usize },
    /// This miner's entry contradicts the fingerprints.
    Wrong { miner: Hotkey, finding: String },
}

/// Checks every claim that a video is a copy, and every pair for which there is none. Compares each
/// entry with each, at some 0.3 ms: call it off the async threads.
pub(crate) fn check_copies(
    entries: &[VerdictEntry],
    source: &Fingerprint,
    kind: FileKind,
) -> Copies {
    let wrong = |miner, finding| Copies::Wrong { miner, finding };
    let looks: Vec<Look> = entries.iter().map(|entry| Look::of(entry, Some(source))).collect();
    let (called, kept): (Vec<&Look>, Vec<&Look>) =
        looks.iter().partition(|look| look.entry.status == EntryStatus::Duplicate);
    let (mut backed, mut unreadable) = (0, 0);
    for copy in &called {
        let miner = copy.entry.hotkey;
        // A miner without a scored video has none to copy.
        let named = |look: &&&Look| {
            look.is_scored() && copy.entry.reasoning.contains(&look.entry.hotkey.to_string())
        };
        let Some(original) = kept.iter().find(named) else {
            // The source clip itself is a duplicate of no miner's, and only its video could show
            // it.
            if copy.entry.fingerprint.is_none() && copy.entry.reasoning.starts_with(SOURCE_ITSELF) {
                unreadable += 1;
                continue;
            }
            let finding = format!("{miner} is called a copy of no miner whose video was kept");
            return wrong(miner, finding);
        };
        let why_not = match original.relation(copy) {
            Relation::SameBytes | Relation::Copy(_) => {
                backed += 1;
                continue;
            }
            Relation::Unknown if kind == FileKind::Plain => {
                unreadable += 1;
                continue;
            }
            Relation::Unknown => "one of them has no fingerprint".to_owned(),
            Relation::LikeSource => "one of them looks like the source".to_owned(),
            Relation::Apart(likeness) => {
                format!(
                    "distance {} of 255, {} is the limit",
                    likeness.distance,
                    Fingerprint::COPY_BELOW
                )
            }
        };
        let original = original.entry.hotkey;
        let finding = format!("{miner} is called a copy of {original}, and is not: {why_not}");
        return wrong(miner, finding);
    }
    let kept: Vec<&Look> = kept.into_iter().filter(|look| look.is_scored()).collect();
    for (index, one) in kept.iter().enumerate() {
        let same =
            |other: &&&Look| matches!(other.relation(one), Relation::SameBytes | Relation::Copy(_));
        if let Some(other) = kept[..index].iter().find(same) {
            let (one, other) = (one.entry.hotkey, other.entry.hotkey);
            let finding = format!("{one} and {other} sent one video, and neither is called a copy");
            return wrong(one, finding);
        }
    }
    Copies::Hold { backed, unreadable }
}

fn duplicates(entries: &[VerdictEntry], source: Option<&Fingerprint>, kind: FileKind) -> Step {
    let Some(source) = source else {
        return Step::unchecked(
            NAME,
            "the clip is not available, and copies of it are not duplicates",
        );
    };
    match check_copies(entries, source, kind) {
        Copies::Wrong { finding, .. } => Step::fail(NAME, finding),
        Copies::Hold { unreadable: unreadable @ 1.., .. } => Step::unchecked(
            NAME,
            format!(
                "{unreadable} copies, of miners or of the clip itself, have no fingerprint to compare"
            ),
        ),
        Copies::Hold { backed: 0, .. } => {
            Step::pass(NAME, "no video is a copy of another, and none is called one")
        }
        Copies::Hold { backed, .. } => Step::pass(
            NAME,
            format!(
                "{backed} are copies as the file says; unchecked: who of each pair committed earlier"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::Verdict;
    use super::*;
    use crate::mechanism::video::copies::prints::{print, turned};

    fn entry(n: u8, degrees: f64) -> VerdictEntry {
        let mut entry = VerdictEntry::unusable(
            Hotkey::from_bytes([n; 32]),
            EntryStatus::Failed,
            String::new(),
            1,
        );
        entry.fingerprint = Some(turned(degrees));
        entry
    }

    fn copy(n: u8, degrees: f64, of: u8) -> VerdictEntry {
        let reasoning = format!("a copy of {}'s video", Hotkey::from_bytes([of; 32]));
        VerdictEntry { status: EntryStatus::Duplicate, reasoning, ..entry(n, degrees) }
    }

    #[test]
    fn a_claim_holds_where_the_fingerprints_match_and_no_pair_is_left_out() {
        let source = print(90.0);
        let of_kind =
            |entries: &[VerdictEntry], kind| duplicates(entries, Some(&source), kind).outcome;
        let outcome = |entries: &[VerdictEntry]| of_kind(entries, FileKind::Mesh);
        assert_eq!(outcome(&[entry(1, 0.0), entry(2, 40.0)]), Verdict::Pass);
        assert_eq!(outcome(&[entry(1, 0.0), copy(2, 5.0, 1)]), Verdict::Pass);
        // A claim against an honest miner, a pair that goes unnoticed, and a copy of nobody.
        assert_eq!(outcome(&[entry(1, 0.0), copy(2, 40.0, 1)]), Verdict::Fail);
        assert_eq!(outcome(&[entry(1, 0.0), entry(2, 5.0)]), Verdict::Fail);
        assert_eq!(outcome(&[entry(1, 0.0), copy(2, 5.0, 3)]), Verdict::Fail);
        // A replay of the source has no fingerprint and names nobody.
        let replay = VerdictEntry {
            fingerprint: None,
            reasoning: format!("{SOURCE_ITSELF}: fine detail is like the source's by 0.9"),
            ..copy(2, 0.0, 1)
        };
        assert_eq!(outcome(&[entry(1, 40.0), replay]), Verdict::Unchecked);
        let nobodys = VerdictEntry { fingerprint: None, ..copy(2, 0.0, 3) };
        assert_eq!(outcome(&[entry(1, 40.0), nobodys]), Verdict::Fail);
        // Two that look like the source are left to another check.
        assert_eq!(outcome(&[entry(1, 88.0), entry(2, 92.0)]), Verdict::Pass);
        assert_eq!(outcome(&[entry(1, 88.0), copy(2, 92.0, 1)]), Verdict::Fail);
        // A copy of somebody who sent nothing.
        let silent = VerdictEntry { status: EntryStatus::Timeout, ..entry(1, 0.0) };
        assert_eq!(outcome(&[silent, copy(2, 0.0, 1)]), Verdict::Fail);
        // Without fingerprints only equal bytes can be told, which a file of the mesh must not
        // need.
        let plain = |entry| VerdictEntry { fingerprint: None, ..entry };
        let unknown = [plain(entry(1, 0.0)), plain(copy(2, 0.0, 1))];
        assert_eq!(of_kind(&unknown, FileKind::Plain), Verdict::Unchecked);
        assert_eq!(outcome(&unknown), Verdict::Fail);
        let video_sha256 = Some(leoma_protocol::Digest::of(b"video"));
        let same = [plain(entry(1, 0.0)), plain(copy(2, 0.0, 1))]
            .map(|entry| VerdictEntry { video_sha256, ..entry });
        assert_eq!(outcome(&same), Verdict::Pass);
        assert_eq!(duplicates(&same, None, FileKind::Mesh).outcome, Verdict::Unchecked);
    }
}
