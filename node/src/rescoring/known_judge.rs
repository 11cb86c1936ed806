//! Whether this build has the judge that an envelope names.

use leoma_scoring::JudgeChoice;

/// Who judged, where the metrics' part of the id `named` is `ours`, as
/// [`leoma_scoring::worker::ScorerOptions::judge_id`] writes it: the metrics alone, or a vision
/// model beside them, whose recorded answers are graded again. `None` for another policy, another
/// release or other models.
pub(crate) fn known_judge(named: &str, ours: &str) -> Option<JudgeChoice> {
    if named == ours {
        return Some(JudgeChoice::Local);
    }
    let (choice, rest) = named.split_once(':')?;
    let choice: JudgeChoice = choice.parse().ok()?;
    let model = rest.strip_prefix(ours)?.strip_prefix('+')?;
    (choice.asks_gemini() && !model.is_empty()).then_some(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_known_by_its_metrics_and_anything_else_is_not() {
        let ours = "metrics:0123456789ab";
        for (named, known) in [
            (ours, Some(JudgeChoice::Local)),
            ("gemini:metrics:0123456789ab+gemini-2.5-pro", Some(JudgeChoice::Gemini)),
            ("both:metrics:0123456789ab+gemini-2.5-pro", Some(JudgeChoice::Both)),
            ("metrics:0123456789ab+clip", None),
            ("metrics:ba9876543210", None),
            ("gemini:metrics:ba9876543210+gemini-2.5-pro", None),
            ("gemini:metrics:0123456789ab", None),
            ("gemini:metrics:0123456789ab+", None),
            ("local:metrics:0123456789ab+x", None),
            ("", None),
        ] {
            assert_eq!(known_judge(named, ours), known, "{named}");
        }
    }
}
