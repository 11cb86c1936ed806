//! From a verified verdict file to what is shown of it.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use leoma_protocol::Hotkey;
use leoma_protocol::verdict::{Name, VerdictEntry, VerifiedVerdict};
use leoma_scoring::JudgeChoice;
use leoma_web::view::{Entry, HotkeyText, Needed, Verdict};

/// The texts of hotkeys, so that files which name the same miners share them.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeSet<HotkeyText>);

impl Texts {
    /// Those in `verdicts`.
    pub(super) fn of_all<'a>(verdicts: impl Iterator<Item = &'a Arc<Verdict>>) -> Self {
        let texts = verdicts.flat_map(|verdict| {
            let miners = verdict.entries.iter().map(|entry| &entry.miner);
            iter::once(&verdict.producer).chain(miners)
        });
        Self(texts.cloned().collect())
    }

    fn of(&mut self, hotkey: Hotkey) -> HotkeyText {
        let text = hotkey.to_string();
        if let Some(known) = self.0.get(text.as_str()) {
            return Arc::clone(known);
        }
        let new = HotkeyText::from(text);
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// What is shown of a file. Entries are sorted by the hotkey's text. `truths` are the pools of what
/// producers read themselves.
pub(super) fn shown(file: &VerifiedVerdict, truths: &[Name], texts: &mut Texts) -> Verdict {
    let envelope = file.envelope.as_ref().map(|signed| &signed.envelope);
    let judge = envelope.map_or_else(String::new, |envelope| envelope.judge.clone());
    let asked = JudgeChoice::needed(&judge);
    let needed = Needed { overall: asked.overall, aspects: asked.aspects, measure: asked.measure };
    let shown_entry = |one: &VerdictEntry| Entry {
        is_reading: one.hotkey == file.id.producer && has_only(one, truths),
        ..entry(one, texts)
    };
    let mut entries: Vec<Entry> = file.entries.iter().map(shown_entry).collect();
    entries.sort_by(|a, b| a.miner.cmp(&b.miner));
    Verdict {
        task_id: file.id.task_id.0,
        producer: texts.of(file.id.producer),
        digest: file.digest.to_string(),
        block: envelope.map_or(0, |envelope| envelope.block.0),
        judge,
        needed,
        entries,
    }
}

/// Whether an entry has only observations in these pools: with them a producer's own entry is no
/// verdict for an epoch either.
fn has_only(entry: &VerdictEntry, truths: &[Name]) -> bool {
    let observations = &entry.observations;
    !observations.is_empty() && observations.iter().all(|one| truths.contains(&one.pool))
}

fn entry(entry: &VerdictEntry, texts: &mut Texts) -> Entry {
    Entry {
        miner: texts.of(entry.hotkey),
        passed: entry.passed,
        status: entry.status.as_str().into(),
        confidence: entry.confidence,
        reasoning: entry.reasoning.as_str().into(),
        latency_ms: entry.latency_ms,
        score: entry.score,
        aspects: entry.aspect_scores,
        has_video: entry.video_sha256.is_some(),
        observations: entry.observations.clone().into_boxed_slice(),
        is_reading: false,
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::verdict::{EntryStatus, Observation};
    use leoma_protocol::{Digest, FileId, Nano, TaskId};

    use super::*;

    #[test]
    fn only_the_producers_own_entry_with_nothing_but_truths_is_a_reading() {
        let [producer, other] = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let [truth, pool]: [Name; 2] = ["close", "forecast"].map(|text| text.parse().unwrap());
        let is_reading = |miner, pool, truths: &[Name]| {
            let observed = Observation { pool, values: vec![Some(Nano::ONE)], counts: vec![] };
            let status = EntryStatus::from_word("reference");
            let entry = VerdictEntry {
                observations: vec![observed],
                ..VerdictEntry::unusable(miner, status, String::new(), 0)
            };
            let file = VerifiedVerdict {
                id: FileId { task_id: TaskId(7), producer },
                digest: Digest::of(b"file"),
                envelope: None,
                entries: vec![entry],
            };
            let shown = shown(&file, truths, &mut Texts::default());
            assert_eq!(shown.entries[0].observations[..], file.entries[0].observations[..]);
            shown.entries[0].is_reading
        };
        assert!(is_reading(producer, truth, &[truth]));
        assert!(!is_reading(producer, pool, &[truth]));
        assert!(!is_reading(producer, truth, &[]), "the record has no such pool");
        assert!(!is_reading(other, truth, &[truth]), "a rival's verdict cannot be hidden");
    }
}
