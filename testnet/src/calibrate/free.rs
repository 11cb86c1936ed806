//! Free continuations, tricks and a ladder of worse models, on rendered scenes.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;
use indicatif::ProgressBar;
use leoma_scoring::calibration::continuation::{
    Artefact, Course, FREEDOMS, RUNGS, Scene, SceneKind, free, tricks, wrong_course,
};
use leoma_scoring::media::{Clip, ClipShape};
use leoma_scoring::{Reference, Scorer};
use serde::Serialize;

use super::clips;
use super::scored::Scored;
use super::spread::spread;

/// The part of all free continuations that has to pass.
const FREE_NEEDS: f64 = 0.8;
/// The part of each kind of freedom that has to pass.
const KIND_NEEDS: f64 = 0.6;
/// The part of a trick, and of the ladder's worst rung, that may pass.
const TRICKS_MAY: f64 = 0.02;
/// Tenths of a point by which re-encoding may move the overall score.
const STABLE: u16 = 15;
/// Rate factors for re-encoding.
const RATE_FACTORS: [u32; 3] = [18, 23, 28];

/// A set of videos that are made of each rendered scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// Free continuations.
    Free,
    /// Tricks that need no model.
    Tricks,
    /// Worse models, rung by rung.
    Ladder,
    /// A continuation that is re-encoded.
    Encoded,
}

impl Set {
    const ALL: [Self; 4] = [Self::Free, Self::Tricks, Self::Ladder, Self::Encoded];
}

/// How many of some videos passed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rate {
    /// Videos that passed.
    pub passed: usize,
    /// All of them.
    pub of: usize,
}

impl Rate {
    fn add(&mut self, passed: bool) {
        self.passed += usize::from(passed);
        self.of += 1;
    }

    /// The part that passed, 0 to 1.
    fn part(self) -> f64 {
        self.passed as f64 / self.of.max(1) as f64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.passed, self.of)
    }
}

/// One rendered video's score.
#[derive(Clone, Debug, Serialize)]
pub struct Video {
    /// The scene's kind and seed.
    pub scene: String,
    /// The set that it belongs to.
    pub set: Set,
    /// The freedom, the trick, or the artefact with its rung.
    pub name: String,
    /// Its score.
    pub scored: Scored,
}

/// The report on rendered scenes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FreeReport {
    /// Free continuations by kind of freedom.
    pub free: BTreeMap<String, Rate>,
    /// Tricks by name.
    pub tricks: BTreeMap<String, Rate>,
    /// Worse models by artefact, rung by rung.
    pub ladder: BTreeMap<String, Vec<Rate>>,
    /// The largest change of the overall score by re-encoding, in tenths.
    pub largest_change: u16,
    /// Rules that are broken, one a line.
    pub broken: Vec<String>,
    /// All videos.
    pub videos: Vec<Video>,
}

/// Renders and scores scenes of these kinds with each of `seeds`: these sets of videos, or all
/// where none is named. `progress` counts scenes.
///
/// # Errors
/// ffmpeg or the device failed.
pub(super) fn calibrate(
    scorer: &Scorer,
    kinds: &[SceneKind],
    (seeds, sets): (std::ops::Range<u64>, &[Set]),
    progress: &ProgressBar,
) -> anyhow::Result<FreeReport> {
    let sets = if sets.is_empty() { &Set::ALL[..] } else { sets };
    let mut report = FreeReport::default();
    for seed in seeds {
        for kind in kinds.iter().copied() {
            Stage::new(scorer, kind, seed)?.score(sets, &mut report)?;
            progress.inc(1);
            if progress.is_hidden() {
                eprintln!("{kind:?} with seed {seed} scored");
            }
        }
    }
    report.broken = report.broken_rules(sets);
    Ok(report)
}

/// One scene under test.
struct Stage<'a> {
    scorer: &'a Scorer,
    kind: SceneKind,
    seed: u64,
    scene: Scene,
    source: Clip,
    reference: Reference,
}

impl<'a> Stage<'a> {
    fn new(scorer: &'a Scorer, kind: SceneKind, seed: u64) -> anyhow::Result<Self> {
        let scene = Scene::new(kind, seed, size());
        let source = scene.render(&Course::SOURCE, frames());
        let reference = scorer.prepared(source.clone(), leoma_protocol::Digest::of(b"rendered"))?;
        Ok(Self { scorer, kind, seed, scene, source, reference })
    }

    /// The source's clip of another seed.
    fn another(&self, apart: u64) -> Clip {
        Scene::new(self.kind, self.seed + apart, size()).render(&Course::SOURCE, frames())
    }

    fn scored(&self, clip: Clip) -> anyhow::Result<Scored> {
        let raw = self.scorer.measure(&self.reference, clip)?;
        Ok(Scored::new(&self.scorer.outcome(raw), raw))
    }

    fn score(&self, sets: &[Set], report: &mut FreeReport) -> anyhow::Result<()> {
        let continuations = free(self.seed);
        let answer = continuations[continuations.len() - 1].render(&self.scene, frames());
        let (neighbour, other) = (self.another(500), self.another(700));
        let tricks = tricks(&self.source, &neighbour, &answer, self.seed);
        let mut videos: Vec<(Kind, Make<'_>)> = Vec::new();
        for one in &continuations {
            let render = || Ok(one.render(&self.scene, frames()));
            videos.push((Kind::Free(one.freedom), Box::new(render)));
        }
        for trick in &tricks {
            videos.push((Kind::Trick(trick.name), Box::new(|| Ok(trick.clip()))));
        }
        for rung in 1..=RUNGS {
            for artefact in Artefact::ALL {
                let (answer, other) = (&answer, &other);
                let spoilt = move || Ok(artefact.apply(answer, other, rung, self.seed));
                videos.push((Kind::Rung(artefact.name(), rung), Box::new(spoilt)));
            }
            let wrong = move || Ok(self.scene.render(&wrong_course(self.seed, rung), frames()));
            videos.push((Kind::Rung("wrong prompt", rung), Box::new(wrong)));
        }
        videos.push((Kind::Plain, Box::new(|| Ok(answer.clone()))));
        for rate_factor in RATE_FACTORS {
            let (scorer, answer) = (self.scorer, &answer);
            let coded = move || clips::encoded(scorer, answer, rate_factor);
            videos.push((Kind::Encoded(rate_factor), Box::new(coded)));
        }
        videos.retain(|(kind, _)| sets.contains(&kind.set()));
        let scored = spread(&videos, |(_, make)| self.scored(make()?))?;
        let plain = videos.iter().zip(&scored).find(|((kind, _), _)| *kind == Kind::Plain);
        let plain = plain.map_or(0, |(_, scored)| scored.overall);
        for ((kind, _), scored) in videos.iter().zip(scored) {
            self.note(report, *kind, plain, scored);
        }
        Ok(())
    }

    fn note(&self, report: &mut FreeReport, kind: Kind, plain: u16, scored: Scored) {
        match kind {
            Kind::Free(freedom) => {
                report.free.entry(freedom.to_owned()).or_default().add(scored.passed);
            }
            Kind::Trick(name) => {
                report.tricks.entry(name.to_owned()).or_default().add(scored.passed);
            }
            Kind::Rung(artefact, rung) => {
                let rungs = report.ladder.entry(artefact.to_owned()).or_default();
                rungs.resize(RUNGS, Rate::default());
                rungs[rung - 1].add(scored.passed);
            }
            Kind::Plain => return,
            Kind::Encoded(_) => {
                let change = scored.overall.abs_diff(plain);
                report.largest_change = report.largest_change.max(change);
            }
        }
        let scene = format!("{:?} {}", self.kind, self.seed);
        let (set, name) = (kind.set(), kind.to_string());
        report.videos.push(Video { scene, set, name, scored });
    }
}

/// Makes a video.
type Make<'a> = Box<dyn Fn() -> anyhow::Result<Clip> + Send + Sync + 'a>;

/// What a video is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A free continuation, with its freedom.
    Free(&'static str),
    /// A trick, by name.
    Trick(&'static str),
    /// A worse model: its artefact and rung.
    Rung(&'static str, usize),
    /// The answer that is re-encoded.
    Plain,
    /// That answer at this rate factor.
    Encoded(u32),
}

impl Kind {
    fn set(self) -> Set {
        match self {
            Self::Free(_) => Set::Free,
            Self::Trick(_) => Set::Tricks,
            Self::Rung(..) => Set::Ladder,
            Self::Plain | Self::Encoded(_) => Set::Encoded,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free(name) | Self::Trick(name) => f.write_str(name),
            Self::Rung(name, rung) => write!(f, "{name} {rung}"),
            Self::Plain => f.write_str("plain"),
            Self::Encoded(rate_factor) => write!(f, "encoded {rate_factor}"),
        }
    }
}

fn size() -> (usize, usize) {
    (ClipShape::TASK.width as usize, ClipShape::TASK.height as usize)
}

fn frames() -> usize {
    ClipShape::TASK.frames as usize
}

impl FreeReport {
    fn broken_rules(&self, sets: &[Set]) -> Vec<String> {
        if self.videos.is_empty() {
            return Vec::new();
        }
        let mut broken = Vec::new();
        let mut rule = |holds: bool, text: String| {
            if !holds {
                broken.push(text);
            }
        };
        let mut all = Rate::default();
        for (kind, rate) in &self.free {
            all = Rate { passed: all.passed + rate.passed, of: all.of + rate.of };
            rule(rate.part() >= KIND_NEEDS, format!("of {kind} continuations {rate} pass"));
        }
        if sets.contains(&Set::Free) {
            rule(all.part() >= FREE_NEEDS, format!("of all free continuations {all} pass"));
            rule(self.free.len() == FREEDOMS.len(), "a kind of freedom is missing".to_owned());
        }
        for (trick, rate) in &self.tricks {
            rule(rate.part() <= TRICKS_MAY, format!("of the trick {trick} {rate} pass"));
        }
        for (name, rungs) in &self.ladder {
            let passed: Vec<usize> = rungs.iter().map(|rate| rate.passed).collect();
            let falls = passed.is_sorted_by(|a, b| a >= b);
            rule(falls, format!("{name} does not fall from rung to rung: {passed:?}"));
            let worst = rungs.last().copied().unwrap_or_default();
            rule(worst.part() <= TRICKS_MAY, format!("of {name} at its worst {worst} pass"));
        }
        let change = self.largest_change;
        rule(change <= STABLE, format!("encoding anew moves the score by {change} tenths"));
        broken
    }
}

impl fmt::Display for FreeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "passed, of rendered scenes")?;
        for (name, rate) in &self.free {
            writeln!(f, "free: {name:<18} {rate}")?;
        }
        for (name, rate) in &self.tricks {
            writeln!(f, "trick: {name:<17} {rate}")?;
        }
        for (name, rungs) in &self.ladder {
            let rungs: Vec<String> = rungs.iter().map(ToString::to_string).collect();
            writeln!(f, "ladder: {name:<16} {}", rungs.join("  "))?;
        }
        writeln!(f, "encoding anew moves the score by up to {} tenths", self.largest_change)?;
        for broken in &self.broken {
            writeln!(f, "broken: {broken}")?;
        }
        Ok(())
    }
}
