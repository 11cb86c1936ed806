//! Answers of real models, from a folder: how the judge treats them, for whoever wants to know
//! before a subnet depends on it. Nothing here is expected, so no rule can be broken.
//!
//! | file | is |
//! |---|---|
//! | `NAME.png` | the first frame that the model was given |
//! | `NAME.txt` | the prompt that it was given |
//! | `NAME.mp4` | its answer |
//! | `NAME.source.mp4` | the source clip, where there is one |
//!
//! Most measures count against the source's own. Without a source only the first frame and the
//! video by itself are looked at.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use leoma_scoring::learned::TextModel;
use leoma_scoring::media::{Limits, VideoDefect, read_bounded};
use leoma_scoring::{
    AspectPolicy, Aspects, DeviceChoice, Measures, Outcome, OwnOutcome, Score, Scorer, held_to,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::spread::spread;

/// Answers in one folder: each takes some seconds.
const MOST_ANSWERS: usize = 2000;
/// Bytes of a prompt: miners get some hundred.
const MOST_PROMPT_BYTES: u64 = 16 << 10;
/// A part below this, in points, is shown.
const WEAK: f64 = 50.0;
/// How the name of a source clip ends.
const SOURCE: &str = ".source.mp4";

/// An answer with what its model was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Triple {
    name: String,
    first_frame: PathBuf,
    prompt: PathBuf,
    video: PathBuf,
    source: Option<PathBuf>,
}

/// The answers in a folder, by name; `None` for a folder of source videos, none of which has a
/// first frame or a prompt beside it.
///
/// # Errors
/// The folder cannot be read, an answer lacks something, or there are too many.
pub(super) fn triples(folder: &Path) -> anyhow::Result<Option<Vec<Triple>>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.extend(entry?.file_name().to_str().map(str::to_owned));
    }
    let has = |stem: &str, ending: &str| names.contains(&format!("{stem}{ending}"));
    let videos = names.iter().filter(|name| !name.ends_with(SOURCE));
    let stems: Vec<&str> = videos.filter_map(|name| name.strip_suffix(".mp4")).collect();
    if !stems.iter().any(|stem| has(stem, ".png") || has(stem, ".txt")) {
        return Ok(None);
    }
    let (most, found) = (MOST_ANSWERS, stems.len());
    ensure!(found <= most, "{} has {found} answers, more than {most}", folder.display());
    let triple = |stem: &&str| {
        for ending in [".png", ".txt"] {
            ensure!(has(stem, ending), "{} lacks {stem}{ending}", folder.display());
        }
        let path = |ending: &str| folder.join(format!("{stem}{ending}"));
        Ok(Triple {
            name: (*stem).to_owned(),
            first_frame: path(".png"),
            prompt: path(".txt"),
            video: path(".mp4"),
            source: has(stem, SOURCE).then(|| path(SOURCE)),
        })
    };
    stems.iter().map(triple).collect::<anyhow::Result<Vec<Triple>>>().map(Some)
}

/// One measure beside its points.
#[derive(Clone, Debug, Serialize)]
pub struct PartOf {
    /// The aspect that it feeds.
    pub aspect: &'static str,
    /// The measure's name.
    pub name: &'static str,
    /// Its value.
    pub value: f32,
    /// The points that it gives, 0 to 100.
    pub points: f64,
}

/// What became of one answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Its file's name without the ending.
    pub name: String,
    /// What the model was asked for.
    pub prompt: String,
    /// Whether there was a source to compare it with.
    pub has_source: bool,
    /// `passed` or `failed`; `usable` without a source; or the word of what refused it.
    pub status: String,
    /// Why it is not better, where there is a reason.
    pub reason: Option<String>,
    /// Its overall points; `None` without a grade.
    pub overall: Option<f64>,
    /// Its aspects in points, in the order of their weights; without a source the first alone.
    pub aspects: Vec<(&'static str, f64)>,
    /// What it was held to, by aspect and the worst first; empty without a source.
    pub parts: Vec<PartOf>,
    /// Every raw measure; null where nothing was measured.
    pub measures: Value,
}

/// What became of all of them.
#[derive(Clone, Debug, Serialize)]
pub struct AnswersReport {
    /// Where it was computed.
    pub device: String,
    /// Digest of the policy.
    pub policy: String,
    /// The answers, by name.
    pub answers: Vec<Answer>,
}

/// Scores answers as a validator would, as many at a time as there are cores.
///
/// # Errors
/// A first frame, a prompt or a source cannot be read, or this machine failed.
pub(super) fn score(
    triples: &[Triple],
    device: DeviceChoice,
    text_model: Option<&Path>,
) -> anyhow::Result<AnswersReport> {
    let scorer = Scorer::open(device, AspectPolicy::SUBNET)?;
    let scorer = match text_model {
        Some(folder) => scorer.with_text_model(&TextModel::at(folder)?)?,
        None => scorer,
    };
    let answers = spread(triples, |triple| {
        answer(&scorer, triple).with_context(|| format!("the answer {}", triple.name))
    })?;
    Ok(AnswersReport {
        device: scorer.device().to_string(),
        policy: scorer.policy().digest().to_string(),
        answers,
    })
}

fn answer(scorer: &Scorer, triple: &Triple) -> anyhow::Result<Answer> {
    let mut answer = Answer {
        name: triple.name.clone(),
        prompt: prompt(&triple.prompt)?,
        has_source: triple.source.is_some(),
        status: String::new(),
        reason: None,
        overall: None,
        aspects: Vec::new(),
        parts: Vec::new(),
        measures: Value::Null,
    };
    let picture = file(&triple.first_frame)?.with_context(|| shown(&triple.first_frame))?;
    let video = match file(&triple.video)? {
        Ok(video) => video,
        Err(defect) => {
            answer.judge(Outcome::defect(&defect), scorer.policy());
            return Ok(answer);
        }
    };
    let Some(source) = &triple.source else {
        let outcome = scorer.score_without_source(&picture, &video);
        answer.look_at(outcome.with_context(|| shown(&triple.first_frame))?);
        return Ok(answer);
    };
    let clip = file(source)?.with_context(|| shown(source))?;
    let reference = scorer.reference(&clip).with_context(|| shown(source))?;
    let shows = scorer.shows_first_frame(&reference, &picture);
    ensure!(
        shows.with_context(|| shown(&triple.first_frame))?,
        "{} is not the first frame of {}",
        shown(&triple.first_frame),
        shown(source)
    );
    let scored = scorer.score_prompted(&reference, Some(&answer.prompt), &video)?;
    answer.judge(scored.outcome, scorer.policy());
    Ok(answer)
}

impl Answer {
    /// Takes the result beside its source.
    fn judge(&mut self, outcome: Outcome, policy: &AspectPolicy) {
        let raw = match outcome {
            Outcome::Usable { grade, raw } => {
                self.status = if grade.passed { "passed" } else { "failed" }.to_owned();
                self.reason = (!grade.passed).then(|| Aspects::weaknesses(&raw, policy));
                self.overall = Some(grade.overall.as_f64());
                let points = grade.aspects.in_order().map(Score::as_f64);
                self.aspects = Aspects::NAMES.into_iter().zip(points).collect();
                Some(raw)
            }
            Outcome::Unusable { status, reason, raw } => {
                (self.status, self.reason) = (status.to_string(), Some(reason));
                raw
            }
        };
        if let Some(raw) = raw {
            self.measures = json!(raw);
            self.parts = parts_of(&raw, policy);
        }
    }

    /// Takes the result without a source.
    fn look_at(&mut self, outcome: OwnOutcome) {
        match outcome {
            OwnOutcome::Usable { first_frame_fidelity, raw } => {
                self.status = "usable".to_owned();
                self.aspects = vec![(Aspects::NAMES[0], first_frame_fidelity.as_f64())];
                self.measures = json!(raw);
            }
            OwnOutcome::Unusable { status, reason, raw } => {
                (self.status, self.reason) = (status.to_string(), Some(reason));
                self.measures = json!(raw);
            }
        }
    }
}

fn parts_of(raw: &Measures, policy: &AspectPolicy) -> Vec<PartOf> {
    let parts = held_to(raw, policy.task).into_iter();
    let part = |held: leoma_scoring::HeldTo| PartOf {
        aspect: held.aspect,
        name: held.name,
        value: held.value,
        points: held.points,
    };
    parts.map(part).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A file's bytes, or what is wrong with their number.
fn file(path: &Path) -> anyhow::Result<Result<Vec<u8>, VideoDefect>> {
    let file = File::open(path).with_context(|| shown(path))?;
    read_bounded(file, &Limits::ANSWER).with_context(|| shown(path))
}

fn prompt(path: &Path) -> anyhow::Result<String> {
    let (mut text, most) = (String::new(), MOST_PROMPT_BYTES);
    let file = File::open(path).with_context(|| shown(path))?;
    let read = file.take(most + 1).read_to_string(&mut text).with_context(|| shown(path))?;
    ensure!(read as u64 <= most, "{} has more than {most} bytes", shown(path));
    Ok(text.trim().to_owned())
}

impl fmt::Display for AnswersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for answer in &self.answers {
            let points = answer.overall.map_or("-".to_owned(), |points| format!("{points:.1}"));
            writeln!(f, "{:<24} {:<17} {points:>5}", answer.name, answer.status)?;
            if let Some(reason) = &answer.reason {
                writeln!(f, "  {reason}")?;
            }
            for (aspect, points) in &answer.aspects {
                writeln!(f, "  {aspect:<22} {points:.1}")?;
            }
            for part in answer.parts.iter().filter(|part| part.points < WEAK) {
                let PartOf { name, value, points, .. } = part;
                writeln!(f, "    {name:<20} {value:.3}, {points:.0} points")?;
            }
        }
        let compared: Vec<&Answer> =
            self.answers.iter().filter(|answer| answer.has_source).collect();
        let passed = compared.iter().filter(|answer| answer.status == "passed").count();
        let of = compared.len();
        writeln!(f, "{passed} of {of} answers with a source pass; {} in all", self.answers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            std::fs::write(folder.path().join(name), "a file").unwrap();
        }
        folder
    }

    #[test]
    fn answers_are_told_from_source_videos_and_what_is_missing_is_named() {
        let sources = folder(&["a.mp4", "b.mp4", "README.txt"]);
        assert_eq!(triples(sources.path()).unwrap(), None);
        let both = ["a.mp4", "a.png", "a.txt", "a.source.mp4", "b.mp4", "b.png", "b.txt", "c.txt"];
        let both = folder(&both);
        let found = triples(both.path()).unwrap().unwrap();
        let named = found.iter().map(|triple| (triple.name.as_str(), triple.source.is_some()));
        assert_eq!(named.collect::<Vec<_>>(), [("a", true), ("b", false)]);
        let partial = folder(&["a.mp4", "a.png", "a.txt", "b.mp4", "b.png"]);
        let refused = triples(partial.path()).unwrap_err().to_string();
        assert!(refused.ends_with("lacks b.txt"), "{refused}");
        assert!(triples(&partial.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_prompt_is_a_bounded_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, " a boat turns \n").unwrap();
        assert_eq!(prompt(&path).unwrap(), "a boat turns");
        std::fs::write(&path, "x".repeat(17 << 10)).unwrap();
        assert!(prompt(&path).unwrap_err().to_string().ends_with("has more than 16384 bytes"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(prompt(&path).is_err());
    }
}
