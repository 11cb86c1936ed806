//! What a simulation plays: validators, miners, faults and a market, read from a TOML file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use leoma_protocol::verdict::{MAX_COUNTS, Name};
use leoma_rotation::ChainLimits;
use serde::Deserialize;

/// The format of a scenario.
const SCHEMA: &str = "leoma.scenario/1";
/// Largest scenario that is read.
const MAX_SCENARIO_BYTES: u64 = 64 * 1024;
/// More validators than any subnet has: they and the miners share 256 slots.
const MAX_VALIDATORS: u16 = 128;
const MAX_MINERS: usize = 256;
const MAX_TASKS: u64 = 2000;
const MAX_INTERVAL: u64 = 10_000;

/// A scenario. All that happens follows from it and its seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    schema: String,
    /// Another seed gives other noise.
    #[serde(default)]
    pub(super) seed: u64,
    /// How many validators take turns.
    pub(super) validators: u16,
    /// How many tasks are played.
    pub(super) tasks: u64,
    /// Blocks of a task.
    #[serde(default = "interval")]
    pub(super) interval: u64,
    #[serde(default)]
    chain: Chain,
    #[serde(default)]
    pub(super) faults: Faults,
    #[serde(default)]
    pub(super) market: Market,
    #[serde(default)]
    pub(super) collusion: Option<Collusion>,
    #[serde(rename = "miner")]
    pub(super) miners: Vec<MinerKind>,
}

/// The chain's limits of a weight vector.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Chain {
    max_weight: u16,
    min_weights: u16,
}

/// Shares, from 0 to 1, of what does not happen through no fault of a miner.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Faults {
    /// Tasks without a verdict file.
    pub(super) tasks: f64,
    /// Entries that are missing from a file.
    pub(super) entries: f64,
}

/// A price that walks at random, for records that rank forecasts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Market {
    /// The price at the first task.
    pub(super) price: f64,
    /// The most that it moves in one step.
    pub(super) step: f64,
}

/// Validators that say what one kind of miners wants.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Collusion {
    /// The kind of miners that they favour. In their files these pass with the best value of the
    /// scenario, all others fail, and what they read themselves is half of the truth.
    pub(super) favours: Name,
}

/// Miners that behave alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MinerKind {
    pub(super) name: Name,
    /// How many there are.
    #[serde(default = "one")]
    pub(super) number: u16,
    /// How often an answer passes, from 0 to 1.
    pub(super) passes: f64,
    /// The middle value of an answer. Of a forecast it is how good it is: 1 hits, 0 is noise of the
    /// size of a step. Without it, as `passes`.
    #[serde(default)]
    value: Option<f64>,
    /// The middle value in single pools, before `value`.
    #[serde(default)]
    values: BTreeMap<Name, f64>,
    /// By how much of itself a value varies, up and down.
    #[serde(default)]
    pub(super) spread: f64,
    /// How often there is an answer at all, from 0 to 1.
    #[serde(default = "always")]
    pub(super) answers: f64,
    /// The first task that it takes part in.
    #[serde(default)]
    pub(super) from_task: u64,
    /// Counted events of each task.
    #[serde(default)]
    pub(super) counts: BTreeMap<Name, u32>,
}

const fn interval() -> u64 {
    100
}

const fn one() -> u16 {
    1
}

const fn always() -> f64 {
    1.0
}

impl Default for Chain {
    fn default() -> Self {
        let ChainLimits { max_weight, min_weights } = ChainLimits::default();
        Self { max_weight, min_weights }
    }
}

impl Default for Market {
    fn default() -> Self {
        Self { price: 100.0, step: 1.0 }
    }
}

impl MinerKind {
    /// The middle value in a pool.
    pub(super) fn value_in(&self, pool: &Name) -> f64 {
        self.values.get(pool).copied().or(self.value).unwrap_or(self.passes)
    }
}

/// Reads a text file of at most `most` bytes.
pub(super) fn read_text(path: &Path, most: u64) -> anyhow::Result<String> {
    let shown = || path.display().to_string();
    let size = std::fs::metadata(path).with_context(shown)?.len();
    ensure!(size <= most, "{} has {size} bytes, more than {most}", path.display());
    std::fs::read_to_string(path).with_context(shown)
}

impl Scenario {
    /// Reads and checks a scenario.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read_text(path, MAX_SCENARIO_BYTES)?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.schema == SCHEMA, "schema: must be {SCHEMA}");
        let in_range = (1..=MAX_VALIDATORS).contains(&self.validators);
        ensure!(in_range, "validators: must be 1 to {MAX_VALIDATORS}");
        ensure!((1..=MAX_TASKS).contains(&self.tasks), "tasks: must be 1 to {MAX_TASKS}");
        let in_range = (1..=MAX_INTERVAL).contains(&self.interval);
        ensure!(in_range, "interval: must be 1 to {MAX_INTERVAL}");
        ensure!(self.chain.max_weight > 0, "chain.max_weight: must be above zero");
        share(self.faults.tasks, "faults.tasks")?;
        share(self.faults.entries, "faults.entries")?;
        let is_price = |price: f64| price.is_finite() && (0.0..=1e9).contains(&price);
        ensure!(is_price(self.market.price), "market.price: must be 0 to 10^9");
        ensure!(is_price(self.market.step), "market.step: must be 0 to 10^9");
        let number: usize = self.miners.iter().map(|kind| usize::from(kind.number)).sum();
        ensure!((1..=MAX_MINERS).contains(&number), "miner: must be 1 to {MAX_MINERS} miners");
        for (index, kind) in self.miners.iter().enumerate() {
            let is_new = self.miners[..index].iter().all(|other| other.name != kind.name);
            ensure!(is_new, "miner {}: is listed twice", kind.name);
            kind.check().with_context(|| format!("miner {}", kind.name))?;
        }
        if let Some(Collusion { favours }) = self.collusion
            && self.miners.iter().all(|kind| kind.name != favours)
        {
            bail!("collusion.favours: there is no miner {favours}");
        }
        Ok(())
    }

    pub(super) const fn limits(&self) -> ChainLimits {
        ChainLimits { max_weight: self.chain.max_weight, min_weights: self.chain.min_weights }
    }
}

impl MinerKind {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.number > 0, "number: must be above zero");
        share(self.passes, "passes")?;
        share(self.answers, "answers")?;
        share(self.spread, "spread")?;
        // A value may grow by its spread, and a Nano ends at 9.2·10^9.
        let fits = |value: &f64| value.is_finite() && value.abs() <= 4e9;
        ensure!(self.value.iter().chain(self.values.values()).all(fits), "value: beyond 4·10^9");
        ensure!(self.counts.len() <= MAX_COUNTS, "counts: must be at most {MAX_COUNTS}");
        Ok(())
    }
}

fn share(value: f64, name: &str) -> anyhow::Result<()> {
    ensure!((0.0..=1.0).contains(&value), "{name}: must be 0 to 1");
    Ok(())
}
