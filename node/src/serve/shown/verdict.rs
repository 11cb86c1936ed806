//! From a verified verdict file to what is shown of it.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use leoma_protocol::Hotkey;
use leoma_protocol::verdict::{VerdictEntry, VerifiedVerdict};
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

/// What is shown of a file. Entries are sorted by the hotkey's text.
pub(super) fn shown(file: &VerifiedVerdict, texts: &mut Texts) -> Verdict {
    let envelope = file.envelope.as_ref().map(|signed| &signed.envelope);
    let judge = envelope.map_or_else(String::new, |envelope| envelope.judge.clone());
    let asked = JudgeChoice::needed(&judge);
    let needed = Needed { overall: asked.overall, aspects: asked.aspects, measure: asked.measure };
    let mut entries: Vec<Entry> = file.entries.iter().map(|one| entry(one, texts)).collect();
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
    }
}
