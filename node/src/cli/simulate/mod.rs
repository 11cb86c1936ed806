//! `leoma simulate`: what a policy record pays, before it is on chain.
//!
//! | file | subject |
//! |---|---|
//! | `scenario.rs` | what is played, from a file |
//! | `world.rs` | the verdict files that follow from it |
//! | `recorded.rs` | the same for epochs that were played |
//! | `report.rs` | what the policy makes of them |
//! | `plot.rs` | the same as a picture |

mod plot;
mod recorded;
mod report;
mod scenario;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use leoma_rotation::PolicyRecord;
use leoma_rotation::record::MAX_POLICY_BYTES;

use self::report::{EpochReport, MinerReport, Report};
use self::scenario::{Scenario, read_text};
use self::world::World;
use super::output::print_json;

/// Show what a policy record pays, before validators use it.
///
/// A policy record says how verdict files become weights: which tasks count, how a miner's
/// observations fold to a score, how scores become weights. A scenario describes validators and
/// miners: how good they are, how often they answer, when they join, what is left out, and who
/// colludes. The command plays the scenario, applies the record at every epoch by the same code
/// that computes weights, and shows scores, weights, and how many colluding validators it takes to
/// give the most weight to a miner of their choice.
///
/// The same files give the same result. docs/mechanisms.md explains both files; examples are in
/// rotation/policies and docs/simulate:
///
///   leoma simulate --policy rotation/policies/motion.toml \
///     --scenario docs/simulate/motion.toml --svg motion.svg
///
/// With --recorded it applies the record to an epoch of a real subnet:
///
///   leoma audit snapshot --epoch 5148000 --out epoch.json
///   leoma simulate --policy own.toml --recorded epoch.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct SimulateArgs {
    /// The policy record; without it Leoma's own rule for video.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The scenario.
    #[arg(long, value_name = "FILE", required_unless_present = "recorded")]
    scenario: Option<PathBuf>,
    /// Epochs that were played, each in a file that `leoma audit snapshot` wrote, instead of a
    /// scenario: what the record would have paid in them.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["scenario", "svg"])]
    recorded: Vec<PathBuf>,
    /// Print JSON: every epoch's weights, exact scores, and all numbers of colluders.
    #[arg(long)]
    json: bool,
    /// Write a picture of the weights over time, and of the favoured miners' part by the number of
    /// colluders.
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

impl SimulateArgs {
    pub(super) fn run(self, config_file: Option<PathBuf>) -> anyhow::Result<()> {
        let record = match &self.policy {
            Some(path) => {
                let text = read_text(path, MAX_POLICY_BYTES as u64)?;
                PolicyRecord::parse(&text).with_context(|| path.display().to_string())?
            }
            None => PolicyRecord::parse(leoma_rotation::record::VIDEO)?,
        };
        let report = match &self.scenario {
            Some(path) => self.play(&Scenario::read(path)?, &record)?,
            None => {
                let config = super::settings::load(config_file, BTreeMap::new())?;
                recorded::report(&record, &self.recorded, &config.mechanism.consensus())?
            }
        };
        if self.json {
            return print_json(&report);
        }
        print_report(&report);
        Ok(())
    }

    fn play(&self, scenario: &Scenario, record: &PolicyRecord) -> anyhow::Result<Report> {
        let world = World::new(scenario, record)?;
        let report = Report::of(&world);
        if let Some(path) = &self.svg {
            std::fs::write(path, plot::svg(&report, &world))
                .with_context(|| path.display().to_string())?;
        }
        Ok(report)
    }
}

fn print_report(report: &Report) {
    println!("{} (mechanism id {}), policy {}", report.mechanism, report.mecid, report.policy);
    let Some(last) = report.epochs.last() else {
        println!("no epoch has a task that counts: play more tasks");
        return;
    };
    let EpochReport { block, tasks, burned, unset, .. } = last;
    println!("epoch at block {block}: {tasks} tasks of {} validators", report.validators);
    if let Some(reason) = unset {
        println!("no weights: {reason}");
    }
    for miner in &report.miners {
        println!("{}", line(miner));
    }
    if *burned > 0.0 {
        println!("{:>6.2} %  burned", burned * 100.0);
    }
    let Some(collusion) = &report.collusion else { return };
    for (number, part) in collusion.parts.iter().enumerate() {
        let (favours, part) = (&collusion.favours, part * 100.0);
        println!("{number:>3} colluding validators: {favours} has {part:.2} %");
    }
    match collusion.flips_at {
        Some(0) => println!("{} has the most weight without help", collusion.favours),
        Some(number) => println!(
            "{number} of {} validators are enough to give {} the most weight",
            report.validators, collusion.favours
        ),
        None => println!("no number of validators gives {} the most weight", collusion.favours),
    }
}

fn line(miner: &MinerReport) -> String {
    let pools = miner.scores.iter();
    let scores: Vec<String> =
        pools.map(|(pool, score)| format!("{pool} {:.9}", score.decimal)).collect();
    let why = match (&miner.ineligible, miner.pass_rate) {
        (Some(reason), _) => format!("not eligible: {reason}"),
        (None, Some(rate)) => format!("passed {:.1} %, {}", rate * 100.0, scores.join(", ")),
        (None, None) => scores.join(", "),
    };
    format!("{:>6.2} %  {:>5}  {:<20} {why}", miner.part * 100.0, miner.weight, miner.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: &str = leoma_rotation::record::VIDEO;

    /// A scenario of the documentation under the record of its name.
    fn example(name: &str) -> (PolicyRecord, Scenario) {
        let read = |path: String| {
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let record = read(format!("../rotation/policies/{name}.toml"));
        let scenario = read(format!("../docs/simulate/{name}.toml"));
        (PolicyRecord::parse(&record).unwrap(), Scenario::parse(&scenario).unwrap())
    }

    fn report(record: &PolicyRecord, scenario: &Scenario) -> Report {
        Report::of(&World::new(scenario, record).unwrap())
    }

    #[test]
    fn every_example_pays_its_miners_in_the_expected_order() {
        for (name, expected) in [
            ("video", &["better"][..]),
            ("motion", &["honest-1", "slow", "weak"]),
            ("tokens", &["fast-1", "middle-1", "patchy"]),
            ("load", &["large", "small", "careless", "idle"]),
            ("splat", &["fine-1", "uneven", "rough"]),
            ("oracle", &["near", "fair", "noise", "silent"]),
        ] {
            let (record, scenario) = example(name);
            let report = report(&record, &scenario);
            let last = report.epochs.last().unwrap();
            assert_eq!(last.unset, None, "{name}");
            let sum: f64 = last.parts.values().sum::<f64>() + last.burned;
            assert!((sum - 1.0).abs() < 1e-9, "{name}: {sum}");
            let part = |miner: &&str| last.parts.get(*miner).copied().unwrap_or(0.0);
            let parts: Vec<f64> = expected.iter().map(part).collect();
            assert!(parts.is_sorted_by(|a, b| a > b), "{name}: {parts:?} of {last:?}");
            let collusion = report.collusion.unwrap();
            let flips_at = collusion.flips_at.unwrap_or_else(|| panic!("{name}: {collusion:?}"));
            assert!(flips_at > 0, "{name}: {collusion:?}");
        }
    }

    #[test]
    fn late_and_silent_miners_and_their_reasons_are_shown() {
        let (record, scenario) = example("motion");
        let report = report(&record, &scenario);
        let miner = |name: &str| report.miners.iter().find(|miner| miner.name == name).unwrap();
        let late = miner("late").ineligible.as_deref();
        assert!(late.is_some_and(|reason| reason.starts_with("evaluated on ")), "{late:?}");
        assert!(miner("silent").part < miner("slow").part);
        let score = &miner("honest-2").scores["motion"];
        let (numerator, denominator) = score.exact.split_once('/').unwrap();
        let [numerator, denominator] =
            [numerator, denominator].map(|digits| digits.parse::<f64>().unwrap());
        assert!((numerator / denominator - score.decimal).abs() < 1e-12);
    }

    #[test]
    fn the_same_seed_gives_the_same_report_and_another_one_does_not() {
        let (record, mut scenario) = example("motion");
        let text = |scenario: &Scenario| serde_json::to_string(&report(&record, scenario)).unwrap();
        let once = text(&scenario);
        assert_eq!(text(&scenario), once);
        scenario.seed += 1;
        assert_ne!(text(&scenario), once);
    }

    #[test]
    fn a_limit_that_nobody_can_meet_is_named() {
        let scenario = "schema = \"leoma.scenario/1\"\nvalidators = 1\ntasks = 20\n\
                        chain = { max_weight = 9000 }\n\
                        [[miner]]\nname = \"one\"\npasses = 1.0\n";
        let record = PolicyRecord::parse(VIDEO).unwrap();
        let report = report(&record, &Scenario::parse(scenario).unwrap());
        let unset = report.epochs.last().unwrap().unset.as_deref().unwrap();
        assert!(unset.contains("at most 9000"), "{unset}");
        assert_eq!(report.miners[0].weight, 0);
    }

    #[test]
    fn the_picture_has_a_line_for_each_kind_and_one_for_collusion() {
        let (record, scenario) = example("motion");
        let world = World::new(&scenario, &record).unwrap();
        let picture = plot::svg(&Report::of(&world), &world);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        // Five kinds, what is burned, and the favoured kind.
        assert_eq!(picture.matches("<polyline").count(), 7);
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert!(picture.contains(">honest</text>") && picture.contains("colluding validators"));
    }

    #[test]
    fn a_malformed_scenario_is_refused_with_its_place() {
        let good = "schema = \"leoma.scenario/1\"\nvalidators = 2\ntasks = 20\n\
                    [[miner]]\nname = \"one\"\npasses = 0.5\n";
        assert!(Scenario::parse(good).is_ok());
        for (from, to, named) in [
            ("scenario/1", "scenario/2", "schema"),
            ("validators = 2", "validators = 0", "validators"),
            ("tasks = 20", "tasks = 2001", "tasks"),
            ("tasks = 20", "tasks = 20\ninterval = 0", "interval"),
            ("tasks = 20", "tasks = 20\nmore = 1", "more"),
            ("tasks = 20", "tasks = 20\nfaults = { tasks = 1.5 }", "faults.tasks"),
            ("tasks = 20", "tasks = 20\ncollusion = { favours = \"two\" }", "two"),
            ("tasks = 20", "tasks = 20\nmarket = { price = nan }", "market.price"),
            ("passes = 0.5", "passes = nan", "passes"),
            ("passes = 0.5", "passes = 0.5\nvalue = 1e10", "value"),
            ("passes = 0.5", "passes = 0.5\nvalue = inf", "value"),
            ("passes = 0.5", "passes = 0.5\nnumber = 0", "256 miners"),
            ("passes = 0.5", "passes = 0.5\nnumber = 300", "256 miners"),
            ("name = \"one\"", "name = \"<b>\"", "<b>"),
        ] {
            let changed = good.replace(from, to);
            assert_ne!(changed, good, "{from}");
            let error = format!("{:#}", Scenario::parse(&changed).unwrap_err());
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
