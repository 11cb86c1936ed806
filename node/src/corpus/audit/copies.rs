//! Whether those that a verdict file calls copies are, and whether it leaves one out: from the
//! published file and clip alone.

use bytes::Bytes;
use leoma_protocol::verdict::{EntryStatus, Expected, MAX_FILE_BYTES, VerdictEntry, verify};
use leoma_protocol::{ConsensusParams, FileId, Hotkey};
use leoma_scoring::media::{Limits, decode};
use leoma_scoring::{Fingerprint, SOURCE_ITSELF};
use leoma_storage::{StoreError, TaskKey};

use super::task::{Step, TaskAudit};
use crate::sampler::copies::{Look, Relation};

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
        let entries = match verify(&file, &expected) {
            Ok(verdict) => verdict.entries,
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
            duplicates(&entries, source.as_ref())
        });
        Some(looked.await.unwrap_or_else(|error| Step::unchecked(NAME, error.to_string())))
    }
}

/// Checks every claim that a video is a copy, and every pair for which there is none.
fn duplicates(entries: &[VerdictEntry], source: Option<&Fingerprint>) -> Step {
    let Some(source) = source else {
        return Step::unchecked(
            NAME,
            "the clip is not at hand, and copies of it are no duplicates",
        );
    };
    let looks: Vec<Look> = entries.iter().map(|entry| Look::of(entry, Some(source))).collect();
    let (called, kept): (Vec<&Look>, Vec<&Look>) =
        looks.iter().partition(|look| look.entry.status == EntryStatus::Duplicate);
    let (mut backed, mut unreadable) = (0, 0);
    for copy in &called {
        let miner = copy.entry.hotkey;
        let named = |look: &&&Look| copy.entry.reasoning.contains(&look.entry.hotkey.to_string());
        let Some(original) = kept.iter().find(named) else {
            // The source clip itself is a duplicate of no miner's, and only its video could show
            // it.
            if copy.entry.fingerprint.is_none() && copy.entry.reasoning.starts_with(SOURCE_ITSELF) {
                unreadable += 1;
                continue;
            }
            return Step::fail(
                NAME,
                format!("{miner} is called a copy of no miner whose video was kept"),
            );
        };
        let why_not = match original.relation(copy) {
            Relation::SameBytes | Relation::Copy(_) => {
                backed += 1;
                continue;
            }
            Relation::Unknown => {
                unreadable += 1;
                continue;
            }
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
        return Step::fail(
            NAME,
            format!("{miner} is called a copy of {original}, and is not: {why_not}"),
        );
    }
    let kept: Vec<&Look> = kept.into_iter().filter(|look| look.is_scored()).collect();
    for (index, one) in kept.iter().enumerate() {
        let same =
            |other: &&&Look| matches!(other.relation(one), Relation::SameBytes | Relation::Copy(_));
        if let Some(other) = kept[..index].iter().find(same) {
            let (one, other) = (one.entry.hotkey, other.entry.hotkey);
            return Step::fail(
                NAME,
                format!("{one} and {other} sent one video, and neither is called a copy"),
            );
        }
    }
    if unreadable > 0 {
        return Step::unchecked(
            NAME,
            format!(
                "{unreadable} copies, of miners or of the clip itself, have no fingerprint to tell by"
            ),
        );
    }
    match backed {
        0 => Step::pass(NAME, "no video is a copy of another, and none is called one"),
        _ => Step::pass(
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
    use crate::sampler::copies::prints::{print, turned};

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
        let outcome = |entries: &[VerdictEntry]| duplicates(entries, Some(&source)).outcome;
        assert_eq!(outcome(&[entry(1, 0.0), entry(2, 40.0)]), Verdict::Pass);
        assert_eq!(outcome(&[entry(1, 0.0), copy(2, 5.0, 1)]), Verdict::Pass);
        // A claim against an honest miner, a pair that is let pass, and a copy of nobody.
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
        // Without fingerprints only equal bytes can be told.
        let plain = |entry| VerdictEntry { fingerprint: None, ..entry };
        assert_eq!(outcome(&[plain(entry(1, 0.0)), plain(copy(2, 0.0, 1))]), Verdict::Unchecked);
        let video_sha256 = Some(leoma_protocol::Digest::of(b"video"));
        let same = [plain(entry(1, 0.0)), plain(copy(2, 0.0, 1))]
            .map(|entry| VerdictEntry { video_sha256, ..entry });
        assert_eq!(outcome(&same), Verdict::Pass);
        assert_eq!(duplicates(&same, None).outcome, Verdict::Unchecked);
    }
}
