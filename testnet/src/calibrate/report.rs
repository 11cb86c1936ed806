//! The result of a calibration, and the rules that it breaks.

use std::fmt;

use leoma_scoring::Scorer;
use leoma_scoring::calibration::{Degradation, STRENGTHS};
use serde::{Serialize, Serializer};

use super::free::FreeReport;
use super::scored::Scored;

/// The untouched source has at least this, in tenths.
const SOURCE_NEEDS: u16 = 950;

/// One source clip.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// Name of its file.
    pub name: String,
    /// The clip itself as the answer.
    pub untouched: Scored,
    /// The re-encoded clip, by rate factor.
    pub recoded: Vec<(u32, Scored)>,
    /// Honest answers.
    pub honest: Vec<Scored>,
    /// Every degradation, strength by strength.
    #[serde(serialize_with = "by_name")]
    pub degraded: Vec<(Degradation, Vec<Scored>)>,
}

fn by_name<S: Serializer>(
    degraded: &[(Degradation, Vec<Scored>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer
        .collect_map(degraded.iter().map(|(degradation, scored)| (degradation.name(), scored)))
}

/// A whole calibration.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where it was computed.
    pub device: String,
    /// Digest of the policy.
    pub policy: String,
    /// Lowest overall score of an honest answer, in tenths.
    pub lowest_honest: u16,
    /// Highest overall score of a degradation at its worst.
    pub highest_worst: u16,
    /// Rules that are broken, one a line; empty where all hold.
    pub broken: Vec<String>,
    /// Rendered scenes.
    pub rendered: FreeReport,
    /// All clips.
    pub sources: Vec<SourceReport>,
}

impl Report {
    pub(super) fn new(scorer: &Scorer, sources: Vec<SourceReport>, rendered: FreeReport) -> Self {
        let honest = sources.iter().flat_map(|source| &source.honest).map(|scored| scored.overall);
        let worst = sources
            .iter()
            .flat_map(|source| &source.degraded)
            .filter_map(|(_, scored)| scored.last());
        Self {
            device: scorer.device().to_string(),
            policy: scorer.policy().digest().to_string(),
            lowest_honest: honest.min().unwrap_or(0),
            highest_worst: worst.map(|scored| scored.overall).max().unwrap_or(0),
            broken: sources.iter().flat_map(broken).chain(rendered.broken.clone()).collect(),
            rendered,
            sources,
        }
    }
}

fn broken(source: &SourceReport) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text: String| {
        if !holds {
            broken.push(format!("{}: {text}", source.name));
        }
    };
    rule(
        source.untouched.overall >= SOURCE_NEEDS,
        format!("the source has {}", source.untouched.overall),
    );
    for (number, scored) in source.honest.iter().enumerate() {
        rule(
            scored.passed,
            format!("honest answer {number} has {} and is {}", scored.overall, scored.status),
        );
    }
    for (degradation, scored) in &source.degraded {
        let name = degradation.name();
        let overall: Vec<u16> =
            [&source.untouched].into_iter().chain(scored).map(|scored| scored.overall).collect();
        rule(
            overall.is_sorted_by(|a, b| a >= b),
            format!("{name} does not fall all the way: {overall:?}"),
        );
        rule(
            scored.last().is_none_or(|worst| !worst.passed),
            format!("{name} passes at its worst: {overall:?}"),
        );
    }
    broken
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |tenths: u16| f64::from(tenths) / 10.0;
        writeln!(
            f,
            "{:<16} lowest and highest overall of {} clips, at strengths 1 to 5",
            "",
            self.sources.len()
        )?;
        let line =
            |f: &mut fmt::Formatter<'_>, name: &str, of: &dyn Fn(&SourceReport) -> Vec<Scored>| {
                write!(f, "{name:<16}")?;
                let all: Vec<Vec<Scored>> = self.sources.iter().map(of).collect();
                for at in 0..all.first().map_or(0, Vec::len) {
                    let here = || all.iter().filter_map(|scored| scored.get(at));
                    let (low, high) =
                        (here().map(|s| s.overall).min(), here().map(|s| s.overall).max());
                    let passed = here().filter(|scored| scored.passed).count();
                    write!(
                        f,
                        " {:5.1}-{:<5.1}({passed})",
                        points(low.unwrap_or(0)),
                        points(high.unwrap_or(0))
                    )?;
                }
                writeln!(f)
            };
        line(f, "untouched", &|source| vec![source.untouched.clone()])?;
        line(f, "encoded anew", &|source| {
            source.recoded.iter().map(|(_, scored)| scored.clone()).collect()
        })?;
        line(f, "honest", &|source| source.honest.clone())?;
        let degradations = self.sources.first().map(|source| &source.degraded);
        for (index, (degradation, _)) in degradations.into_iter().flatten().enumerate() {
            line(f, degradation.name(), &|source| {
                source.degraded[index].1.iter().take(STRENGTHS).cloned().collect()
            })?;
        }
        writeln!(
            f,
            "(n): how many passed. Honest answers from {}, the worst up to {}",
            points(self.lowest_honest),
            points(self.highest_worst)
        )?;
        write!(f, "{}", self.rendered)?;
        for broken in self.sources.iter().flat_map(broken) {
            writeln!(f, "broken: {broken}")?;
        }
        Ok(())
    }
}
