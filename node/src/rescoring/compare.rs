//! A result beside the entry that it should equal, with the tolerance: scores within 0.2 points,
//! the same status, the same fingerprint. Two machines round alike but not always, so a result that
//! lies at a threshold may come out on either side of it.

use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::{AspectScores, EntryStatus, VerdictEntry};
use leoma_scoring::{AspectPolicy, Aspects, Grade, Measures, SOURCE_ITSELF, Score};
use serde::Serialize;

/// Points in tenths by which a score may differ.
const SCORE: u16 = 2;
/// Points in tenths around a threshold within which either side of it is right.
const BOUNDARY: u16 = 3;
/// The same for a gate's measure, in thousandths of its limit.
const GATE_BOUNDARY: f32 = 5.0;
/// Most levels by which a value of a fingerprint may differ.
const FINGERPRINT: u8 = 2;

/// An entry beside the result of scoring its video again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "snake_case")]
pub(crate) enum Compared {
    /// The same within the tolerance.
    Match,
    /// It passes on one machine and not on the other, and lies at the threshold.
    Boundary,
    /// Another result: each difference in words.
    Differs(Vec<String>),
    /// It could not be scored again, and why. That says nothing against anybody.
    Unchecked(String),
}

/// The result of a video here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// `passed`, `failed`, or why there is no grade.
    pub(crate) status: EntryStatus,
    /// Its grade, where it has one.
    pub(crate) grade: Option<Grade>,
    /// The grade that its measures come to, where a gate refused it and another machine may not.
    pub(crate) past_gate: Option<Grade>,
    /// The bytes of its fingerprint; `None` where nothing was decoded.
    pub(crate) fingerprint: Option<Vec<u8>>,
    /// Whether a gate's limit lies so near that another machine may decide otherwise.
    pub(crate) at_gate: bool,
    /// The same for the requirements of a pass.
    pub(crate) at_pass: bool,
}

impl Found {
    /// What a dispute says of it.
    pub(crate) fn finding(&self) -> Finding {
        self.grade.map_or(Finding { passed: false, score: 0 }, |grade| Finding {
            passed: grade.passed,
            score: grade.overall.tenths(),
        })
    }
}

/// Compares an entry with what its video came to here.
pub(super) fn compare(entry: &VerdictEntry, found: &Found) -> Compared {
    let mut differences = Vec::new();
    let status_agrees = match &found.grade {
        Some(grade) => {
            differences.extend(grade_differences(entry, grade));
            differences.extend(fingerprint_difference(entry, found));
            // Copies of other miners' videos are found among all entries, not here.
            let is_copy = entry.status == EntryStatus::Duplicate
                && !entry.reasoning.starts_with(SOURCE_ITSELF);
            (is_copy && !entry.passed)
                || (entry.status == found.status && entry.passed == grade.passed)
        }
        None => entry.status == found.status && !entry.passed,
    };
    let other_status = || {
        let pass = |passed| if passed { "passes" } else { "does not pass" };
        let passes = found.grade.is_some_and(|grade| grade.passed);
        format!(
            "the entry is `{}` and {}, here the video is `{}` and {}",
            entry.status,
            pass(entry.passed),
            found.status,
            pass(passes)
        )
    };
    match (status_agrees, differences.is_empty()) {
        (true, true) => Compared::Match,
        (false, true) if found.grade.is_some() && found.at_pass => Compared::Boundary,
        // A gate that decides otherwise leaves one of the two without scores.
        (false, _) if found.grade.is_some() && found.at_gate && is_refused_by_gate(entry) => {
            Compared::Boundary
        }
        (false, _) if found.past_gate.is_some_and(|grade| is_graded_so(entry, &grade, found)) => {
            Compared::Boundary
        }
        (true, false) => Compared::Differs(differences),
        (false, _) => {
            differences.insert(0, other_status());
            Compared::Differs(differences)
        }
    }
}

/// Whether a gate refused the entry's video.
fn is_refused_by_gate(entry: &VerdictEntry) -> bool {
    let by_gate = match entry.status {
        EntryStatus::Frozen => true,
        EntryStatus::Duplicate => entry.reasoning.starts_with(SOURCE_ITSELF),
        _ => false,
    };
    by_gate && entry.score.is_none() && !entry.passed
}

/// Whether the entry is the result of its video if the gate lets it through. A gate near its limit
/// does not excuse other scores.
fn is_graded_so(entry: &VerdictEntry, grade: &Grade, found: &Found) -> bool {
    grade_differences(entry, grade).is_empty()
        && fingerprint_difference(entry, found).is_none()
        && (entry.passed == grade.passed || found.at_pass)
}

fn grade_differences(entry: &VerdictEntry, grade: &Grade) -> Vec<String> {
    let mut differences = Vec::new();
    let mut check = |name: &str, claimed: Option<u16>, found: Score| match claimed {
        Some(claimed) if claimed.abs_diff(found.tenths()) <= SCORE => {}
        claimed => differences.push(format!("{name} {}, here {found}", points(claimed))),
    };
    check("overall", entry.score, grade.overall);
    let claimed = entry.aspect_scores.map(aspects_in_order);
    for (index, (name, found)) in Aspects::NAMES.iter().zip(grade.aspects.in_order()).enumerate() {
        check(name, claimed.map(|claimed| claimed[index]), found);
    }
    differences
}

fn points(tenths: Option<u16>) -> String {
    tenths.map_or("none".to_owned(), |tenths| format!("{}.{}", tenths / 10, tenths % 10))
}

const fn aspects_in_order(scores: AspectScores) -> [u16; 6] {
    [
        scores.first_frame_fidelity,
        scores.prompt_adherence,
        scores.motion_quality,
        scores.temporal_consistency,
        scores.visual_quality,
        scores.camera_composition,
    ]
}

fn fingerprint_difference(entry: &VerdictEntry, found: &Found) -> Option<String> {
    match (&entry.fingerprint, &found.fingerprint) {
        (Some(claimed), Some(found)) if is_same_print(claimed, found) => None,
        (Some(_), Some(_)) => Some("the fingerprint is of another video".to_owned()),
        (None, Some(_)) => Some("the fingerprint is missing".to_owned()),
        (Some(_), None) => Some("there is a fingerprint, and here the video has none".to_owned()),
        (None, None) => None,
    }
}

fn is_same_print(claimed: &[u8], found: &[u8]) -> bool {
    let near = |(a, b): (&u8, &u8)| a.cast_signed().abs_diff(b.cast_signed()) <= FINGERPRINT;
    claimed.len() == found.len() && claimed.iter().zip(found).all(near)
}

/// Whether rounding decides a pass by the measures: it holds with every threshold 0.3 points lower,
/// and not with every one 0.3 points higher. One threshold that is near excuses no other that is
/// not reached.
pub(super) fn pass_at_threshold(raw: &Measures, policy: &AspectPolicy) -> bool {
    let passes = |policy| Grade::of(raw, &policy).passed;
    passes(lowered(policy)) && !passes(raised(policy))
}

/// The same of the margin over the opponents alone.
pub(super) fn margin_at_threshold(raw: &Measures, policy: &AspectPolicy) -> bool {
    let beats = |policy| Grade::of(raw, &policy).beats_opponents;
    beats(lowered(policy)) && !beats(raised(policy))
}

fn lowered(policy: &AspectPolicy) -> AspectPolicy {
    AspectPolicy {
        pass: policy.pass.saturating_sub(BOUNDARY),
        critical: policy.critical.map(|limit| limit.saturating_sub(BOUNDARY)),
        margin: policy.margin.saturating_sub(BOUNDARY),
        ..*policy
    }
}

fn raised(policy: &AspectPolicy) -> AspectPolicy {
    // An aspect with the limit 0 is not critical.
    let critical = |limit: u16| if limit == 0 { 0 } else { limit.saturating_add(BOUNDARY) };
    AspectPolicy {
        pass: policy.pass.saturating_add(BOUNDARY),
        critical: policy.critical.map(critical),
        margin: policy.margin.saturating_add(BOUNDARY),
        ..*policy
    }
}

/// Whether a measure lies at the limit of a gate: standing still, or replaying the source.
pub(super) fn gate_at_threshold(raw: &Measures, policy: &AspectPolicy) -> bool {
    let near = |measure: f32, limit: i32| {
        let limit = limit as f32;
        (measure * 1000.0 - limit).abs() <= limit * GATE_BOUNDARY / 1000.0
    };
    near(raw.displacement, policy.frozen_displacement)
        || near(raw.longest_hold, policy.frozen_hold)
        || near(raw.first_ms_ssim, policy.frozen_likeness)
        || near(raw.source_displacement, policy.frozen_source)
        || near(raw.replay(), policy.replay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::Hotkey;
    use leoma_scoring::JudgeChoice;
    use leoma_scoring::judge::{JudgeAnswer, JudgeThresholds};

    /// A grade by way of a vision model's opinion, which is the public way to one.
    fn grade(points: u8) -> Grade {
        let text = format!(
            r#"{{"overall_score": {points}, "aspect_scores": {{"first_frame_fidelity": {points},
            "prompt_adherence": {points}, "motion_quality": {points}, "temporal_consistency": {points},
            "visual_quality": {points}, "camera_composition": {points}}}}}"#
        );
        let opinion = JudgeAnswer::from_text(&text, JudgeThresholds::SUBNET);
        let none = Grade {
            aspects: Aspects::default(),
            overall: Score::default(),
            passed: false,
            beats_opponents: true,
        };
        JudgeChoice::Gemini.grade(&none, &opinion, &AspectPolicy::SUBNET)
    }

    fn entry(points: u8) -> VerdictEntry {
        let grade = grade(points);
        let [first, prompt, motion, time, quality, camera] =
            grade.aspects.in_order().map(Score::tenths);
        let status = if grade.passed { EntryStatus::Passed } else { EntryStatus::Failed };
        VerdictEntry {
            passed: grade.passed,
            score: Some(grade.overall.tenths()),
            aspect_scores: Some(AspectScores {
                first_frame_fidelity: first,
                prompt_adherence: prompt,
                motion_quality: motion,
                temporal_consistency: time,
                visual_quality: quality,
                camera_composition: camera,
            }),
            fingerprint: Some(vec![1, 0, 100, 7]),
            ..VerdictEntry::unusable(Hotkey::from_bytes([1; 32]), status, String::new(), 1)
        }
    }

    fn found(points: u8) -> Found {
        let grade = grade(points);
        Found {
            status: if grade.passed { EntryStatus::Passed } else { EntryStatus::Failed },
            grade: Some(grade),
            past_gate: None,
            fingerprint: Some(vec![1, 0, 100, 8]),
            at_gate: false,
            at_pass: false,
        }
    }

    fn unusable(status: EntryStatus) -> Found {
        Found { status, grade: None, ..found(40) }
    }

    fn differences(entry: &VerdictEntry, found: &Found) -> String {
        match compare(entry, found) {
            Compared::Differs(differences) => differences.join("; "),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_honest_entry_matches_within_two_tenths() {
        for points in [40, 74, 76, 95] {
            assert_eq!(compare(&entry(points), &found(points)), Compared::Match, "{points}");
        }
        let mut near = entry(90);
        near.score = Some(902);
        assert_eq!(compare(&near, &found(90)), Compared::Match);
        near.score = Some(903);
        assert_eq!(differences(&near, &found(90)), "overall 90.3, here 90.0");
    }

    #[test]
    fn each_falsehood_is_named() {
        // A friend's bad video that passes.
        assert!(differences(&entry(90), &found(40)).contains("here the video is `failed`"));
        assert!(
            differences(&entry(90), &unusable(EntryStatus::Frozen)).contains("`frozen`"),
            "no grade here"
        );
        // A rival's good one that does not.
        let mut silenced = entry(90);
        silenced.passed = false;
        assert!(differences(&silenced, &found(90)).contains("does not pass"));
        let frozen = VerdictEntry::unusable(
            Hotkey::from_bytes([1; 32]),
            EntryStatus::Frozen,
            String::new(),
            1,
        );
        assert!(differences(&frozen, &found(90)).contains("`frozen`"));
        let mut aspect = entry(90);
        aspect.aspect_scores.as_mut().unwrap().motion_quality = 100;
        assert_eq!(differences(&aspect, &found(90)), "motion_quality 10.0, here 90.0");
        let mut print = entry(90);
        print.fingerprint = Some(vec![1, 0, 100, 90]);
        assert_eq!(differences(&print, &found(90)), "the fingerprint is of another video");
        print.fingerprint = None;
        assert_eq!(differences(&print, &found(90)), "the fingerprint is missing");
    }

    #[test]
    fn a_copy_keeps_its_scores_and_a_replay_of_the_source_has_none() {
        let copy = VerdictEntry {
            passed: false,
            status: EntryStatus::Duplicate,
            reasoning: "a copy of 5F…'s video".into(),
            ..entry(90)
        };
        assert_eq!(compare(&copy, &found(90)), Compared::Match);
        assert!(differences(&copy, &found(40)).contains("overall"));
        let replay = VerdictEntry::unusable(
            copy.hotkey,
            EntryStatus::Duplicate,
            format!("{SOURCE_ITSELF}: …"),
            1,
        );
        assert_eq!(compare(&replay, &unusable(EntryStatus::Duplicate)), Compared::Match);
        assert!(differences(&replay, &found(90)).contains("`duplicate`"));
    }

    #[test]
    fn only_at_a_threshold_may_a_pass_differ() {
        let at = |found: Found| Found { at_pass: true, ..found };
        let at_gate = |found: Found| Found { at_gate: true, ..found };
        let mut other_side = entry(75);
        (other_side.passed, other_side.status) = (false, EntryStatus::Failed);
        assert_eq!(compare(&other_side, &at(found(75))), Compared::Boundary);
        assert!(differences(&other_side, &found(75)).contains("does not pass"));
        // Rounding does not explain scores that differ.
        assert!(differences(&entry(90), &at(found(75))).contains("overall"));
        let frozen = VerdictEntry::unusable(
            Hotkey::from_bytes([1; 32]),
            EntryStatus::Frozen,
            String::new(),
            1,
        );
        assert_eq!(compare(&frozen, &at_gate(found(90))), Compared::Boundary);
        assert!(differences(&frozen, &at(found(75))).contains("`frozen`"));
        // A gate that lets it through here excuses the scores that follow from the measures, and no
        // others; a rival's video is not refused for another reason.
        let refused = |past_gate| Found {
            past_gate: Some(past_gate),
            ..at_gate(unusable(EntryStatus::Frozen))
        };
        assert_eq!(compare(&entry(90), &refused(grade(90))), Compared::Boundary);
        assert!(differences(&entry(90), &refused(grade(40))).contains("`frozen`"));
        assert!(
            differences(&entry(90), &at_gate(unusable(EntryStatus::Frozen))).contains("frozen")
        );
        let mut timed_out = frozen;
        timed_out.status = EntryStatus::Timeout;
        assert!(differences(&timed_out, &at_gate(found(90))).contains("`timeout`"));
        // A gate that is near is no reason for another pass.
        assert!(differences(&other_side, &at_gate(found(75))).contains("does not pass"));
    }

    #[test]
    fn only_the_threshold_that_decides_is_a_boundary() {
        let policy = AspectPolicy::SUBNET;
        let raw = Measures { displacement: 1.0, source_displacement: 1.0, ..Measures::default() };
        // No measures: nothing that is near makes this a pass.
        assert!(!Grade::of(&raw, &policy).passed && !pass_at_threshold(&raw, &policy));
        // The pass mark at just what these measures come to, with no opponent and no critical
        // aspect.
        let lone = |pass| AspectPolicy { pass, critical: [0; 6], margin: 0, ..policy };
        let overall = Grade::of(&raw, &lone(0)).overall.tenths();
        for above in [0, 1, 3] {
            assert!(pass_at_threshold(&raw, &lone(overall + above)), "{overall} and {above}");
        }
        assert!(!pass_at_threshold(&raw, &lone(overall + 4)));
        // An aspect that is not reached is not excused by a pass mark that is.
        let critical = AspectPolicy { critical: [1000; 6], ..lone(overall) };
        assert!(!pass_at_threshold(&raw, &critical));
        // The margin alone: an opponent just as good.
        let beaten = Measures { opponent: f32::from(overall) / 10.0, source_nonrigid: 1.0, ..raw };
        assert!(margin_at_threshold(&beaten, &lone(0)));
        let far = Measures { opponent: f32::from(overall) / 10.0 + 1.0, ..beaten };
        assert!(!margin_at_threshold(&far, &lone(0)));
        let held = Measures { longest_hold: 0.5, ..raw };
        assert!(gate_at_threshold(&held, &policy) && !gate_at_threshold(&raw, &policy));
    }
}
