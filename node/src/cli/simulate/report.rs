//! What a policy makes of a scenario: its weights from epoch to epoch, what the last one follows
//! from, and how many colluding validators it takes.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Digest, Hotkey};
use leoma_rotation::{
    ChainLimits, EpochSnapshot, PolicyOutcome, PolicyRecord, Slot, TaskObservations, WeightVector,
    policy_outcome,
};
use serde::Serialize;

use super::world::World;

/// Epochs that are shown at most; of more, evenly chosen ones.
const MAX_EPOCHS: u64 = 100;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) mechanism: String,
    pub(super) mecid: u8,
    pub(super) policy: Digest,
    pub(super) validators: u16,
    /// Oldest first; the last is the one that `miners` explains.
    pub(super) epochs: Vec<EpochReport>,
    pub(super) miners: Vec<MinerReport>,
    pub(super) collusion: Option<CollusionReport>,
}

/// The weights of one epoch.
#[derive(Debug, Serialize)]
pub(super) struct EpochReport {
    pub(super) block: BlockNumber,
    /// Tasks in the window.
    pub(super) tasks: usize,
    /// Each miner's part of the whole, from 0 to 1, by name; those without one are not listed.
    pub(super) parts: BTreeMap<String, f64>,
    /// What is burned, from 0 to 1.
    pub(super) burned: f64,
    /// Why no weights can be set.
    pub(super) unset: Option<String>,
}

/// One miner at the last epoch.
#[derive(Debug, Serialize)]
pub(super) struct MinerReport {
    pub(super) name: String,
    pub(super) weight: u16,
    pub(super) part: f64,
    /// The mean of the validators' pass rates; `None` if it is not eligible.
    pub(super) pass_rate: Option<f64>,
    /// By pool; exact, and as a decimal number.
    pub(super) scores: BTreeMap<String, ScoreReport>,
    /// Why it is not eligible.
    pub(super) ineligible: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ScoreReport {
    pub(super) exact: String,
    pub(super) decimal: f64,
}

/// The last epoch if validators collude.
#[derive(Debug, Serialize)]
pub(super) struct CollusionReport {
    /// The kind of miners that they favour.
    pub(super) favours: String,
    /// The part of the favoured miners, from 0 to 1, by the number of colluders from zero on.
    pub(super) parts: Vec<f64>,
    /// The least number with which a favoured miner has more weight than any other; zero if it has
    /// that without help, `None` if all validators are not enough.
    pub(super) flips_at: Option<usize>,
}

impl Report {
    pub(super) fn of(world: &World<'_>) -> Self {
        let files = world.files(0);
        let end = world.end();
        let length = world.record.window.epoch_blocks;
        let number = end.0 / length;
        let step = number.div_ceil(MAX_EPOCHS).max(1);
        let blocks = (1..=number).filter(|epoch| (number - epoch).is_multiple_of(step));
        let epoch = |epoch: u64| Epoch::of(world, &files, BlockNumber(epoch * length));
        let epochs: Vec<Epoch> = blocks.map(epoch).filter(|epoch| epoch.tasks > 0).collect();
        let names: Vec<(String, Hotkey)> =
            world.miners.iter().map(|miner| (miner.name.clone(), miner.hotkey)).collect();
        let owner = world.snapshot(end).owner;
        Self {
            mechanism: world.record.mechanism.to_string(),
            mecid: world.record.mecid,
            policy: world.record.digest(),
            validators: world.scenario.validators,
            miners: epochs.last().map_or_else(Vec::new, |last| last.miners(&names)),
            epochs: epochs.iter().map(|epoch| epoch.report(&names, owner)).collect(),
            collusion: CollusionReport::of(world),
        }
    }
}

/// The result of the record for one window.
pub(super) struct Epoch {
    block: BlockNumber,
    tasks: usize,
    outcome: PolicyOutcome,
    weights: Result<WeightVector, String>,
}

impl Epoch {
    fn of(world: &World<'_>, files: &[TaskObservations], block: BlockNumber) -> Self {
        let (window, snapshot) = (world.window(files, block), world.snapshot(block));
        Self::of_window(world.record, &snapshot, &window, world.scenario.limits())
    }

    /// What a record makes of these files at the block of the snapshot.
    pub(super) fn of_window(
        record: &PolicyRecord,
        snapshot: &EpochSnapshot,
        window: &[&TaskObservations],
        limits: ChainLimits,
    ) -> Self {
        let outcome = policy_outcome(record, snapshot, window);
        let weights = outcome.weights(snapshot, limits).map_err(|reason| reason.to_string());
        Self { block: snapshot.block, tasks: window.len(), outcome, weights }
    }

    /// A hotkey's weight, and its part of the whole.
    fn weight_of(&self, hotkey: &Hotkey) -> (u16, f64) {
        let entries = self.weights.as_ref().map_or(&[][..], |weights| &weights.entries);
        let sum: u64 = entries.iter().map(|entry| u64::from(entry.share)).sum();
        let own = entries.iter().find(|entry| entry.hotkey == *hotkey);
        own.map_or((0, 0.0), |entry| (entry.share, f64::from(entry.share) / sum as f64))
    }

    /// `names` are the miners' and `owner` is where weight is burned.
    pub(super) fn report(&self, names: &[(String, Hotkey)], owner: Option<Slot>) -> EpochReport {
        let part = |(name, hotkey): &(String, Hotkey)| {
            let (weight, part) = self.weight_of(hotkey);
            (weight > 0).then(|| (name.clone(), part))
        };
        let parts: BTreeMap<String, f64> = names.iter().filter_map(part).collect();
        EpochReport {
            block: self.block,
            tasks: self.tasks,
            burned: owner.map_or(0.0, |owner| self.weight_of(&owner.hotkey).1),
            parts,
            unset: self.weights.as_ref().err().cloned(),
        }
    }

    /// All miners, the heaviest first.
    pub(super) fn miners(&self, names: &[(String, Hotkey)]) -> Vec<MinerReport> {
        let report = |(name, hotkey): &(String, Hotkey)| {
            let (weight, part) = self.weight_of(hotkey);
            let ranked = self.outcome.ranks.iter().find(|ranked| ranked.miner == *hotkey);
            let refused = self.outcome.ineligible.iter().find(|(other, _)| other == hotkey);
            let no_entry = || ranked.is_none().then(|| "no entry in the window".to_owned());
            let score = |pool: &leoma_rotation::PoolOutcome| {
                let (_, score) = pool.scores.iter().find(|(other, _)| other == hotkey)?;
                let score = ScoreReport { exact: score.to_string(), decimal: score.to_f64() };
                Some((pool.name.to_string(), score))
            };
            MinerReport {
                name: name.clone(),
                weight,
                part,
                pass_rate: ranked.map(|ranked| ranked.rate.to_f64()),
                scores: self.outcome.pools.iter().filter_map(score).collect(),
                ineligible: refused.map(|(_, reason)| reason.to_string()).or_else(no_entry),
            }
        };
        let mut miners: Vec<MinerReport> = names.iter().map(report).collect();
        miners.sort_by_key(|miner| std::cmp::Reverse(miner.weight));
        miners
    }
}

impl CollusionReport {
    fn of(world: &World<'_>) -> Option<Self> {
        let favours = world.scenario.collusion?.favours;
        let number = usize::from(world.scenario.validators);
        let mut parts = Vec::with_capacity(number + 1);
        let mut flips_at = None;
        for colluders in 0..=number {
            let epoch = Epoch::of(world, &world.files(colluders), world.end());
            let heaviest = |is_favoured: bool| {
                let kind = |miner: &&super::world::Simulated<'_>| {
                    (miner.kind.name == favours) == is_favoured
                };
                let weights = world.miners.iter().filter(kind);
                weights
                    .map(|miner| epoch.weight_of(&miner.hotkey))
                    .fold((0, 0.0), |(most, sum), (weight, part)| (most.max(weight), sum + part))
            };
            let ((favoured, part), (other, _)) = (heaviest(true), heaviest(false));
            parts.push(part);
            if favoured > other && flips_at.is_none() {
                flips_at = Some(colluders);
            }
        }
        Some(Self { favours: favours.to_string(), parts, flips_at })
    }
}
