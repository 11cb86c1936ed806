//! The verdict files of a scenario: what its validators would have signed about its miners.

use leoma_protocol::verdict::{Name, Observation};
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Nano, TaskId, Uid};
use leoma_rotation::record::{Fold, Pool};
use leoma_rotation::window::{HeldFile, UncertifiedWindow};
use leoma_rotation::{
    Allowlist, AllowlistHistory, EpochSnapshot, Miner, MinerObservations, PolicyRecord, Slot,
    TaskObservations, WindowRange,
};

use super::scenario::{MinerKind, Scenario};

/// The moment of the first task in a market, in seconds since 1970. Any will do.
const MARKET_OPENS: u64 = 1_700_000_000;
/// The word of observations for the moment at which they begin.
const MOMENT: &str = "t0";

/// A scenario under a policy.
pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) record: &'a PolicyRecord,
    pub(super) miners: Vec<Simulated<'a>>,
    params: ConsensusParams,
    validators: Vec<Hotkey>,
    history: AllowlistHistory,
    moment: Name,
}

/// One miner.
pub(super) struct Simulated<'a> {
    pub(super) name: String,
    pub(super) hotkey: Hotkey,
    pub(super) kind: &'a MinerKind,
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, record: &'a PolicyRecord) -> anyhow::Result<Self> {
        let validators: Vec<Hotkey> = (1..=scenario.validators)
            .map(|number| hotkey(&format!("validator-{number}")))
            .collect();
        let allowlist = Allowlist::new(scenario.interval, validators.iter().copied())?;
        let miner = |kind: &'a MinerKind, number: u16| {
            let name = if kind.number == 1 {
                kind.name.to_string()
            } else {
                format!("{}-{number}", kind.name)
            };
            Simulated { hotkey: hotkey(&format!("miner-{name}")), name, kind }
        };
        let of_kind =
            |kind: &'a MinerKind| (1..=kind.number).map(move |number| miner(kind, number));
        Ok(Self {
            miners: scenario.miners.iter().flat_map(of_kind).collect(),
            params: record.params(),
            history: AllowlistHistory::since_genesis(allowlist),
            moment: MOMENT.parse()?,
            scenario,
            record,
            validators,
        })
    }

    /// The last epoch of the scenario.
    pub(super) fn end(&self) -> BlockNumber {
        let settled = self.scenario.tasks + self.params.settle_margin;
        self.params.epoch_block(BlockNumber(settled.saturating_mul(self.scenario.interval)))
    }

    /// The neurons at a block: the owner, the validators, and the miners that have come by then.
    pub(super) fn snapshot(&self, block: BlockNumber) -> EpochSnapshot {
        let owner = Slot { hotkey: hotkey("owner"), uid: Uid(0) };
        let neurons = [owner.hotkey].into_iter().chain(self.validators.iter().copied());
        let neuron = |(uid, hotkey)| Miner { hotkey, uid: Uid(uid), commit_block: None };
        let mut miners: Vec<Miner> = (0..).zip(neurons).map(neuron).collect();
        for (index, miner) in self.miners.iter().enumerate() {
            // One block after the other, so that the order of the scenario is that of commitments.
            let joined = miner.kind.from_task * self.scenario.interval + index as u64;
            if joined <= block.0 {
                miners.push(Miner {
                    hotkey: miner.hotkey,
                    uid: Uid(1 + self.scenario.validators + index as u16),
                    commit_block: Some(BlockNumber(joined)),
                });
            }
        }
        EpochSnapshot { block, miners, owner: Some(owner), witnesses: Default::default() }
    }

    /// The files that count at an epoch, out of all.
    pub(super) fn window<'f>(
        &self,
        files: &'f [TaskObservations],
        block: BlockNumber,
    ) -> Vec<&'f TaskObservations> {
        let range = WindowRange::new(&self.params, &self.history, block);
        let held: Vec<HeldFile> =
            files.iter().map(|file| HeldFile { id: file.id, digest: file.digest }).collect();
        let window = UncertifiedWindow::select(&range, &held).files;
        files.iter().filter(|file| window.binary_search(&file.id).is_ok()).collect()
    }

    /// The files of all tasks if the first `colluders` validators collude.
    pub(super) fn files(&self, colluders: usize) -> Vec<TaskObservations> {
        let happens = |task: &u64| self.draw("file", [*task, 0, 0]) >= self.scenario.faults.tasks;
        let tasks = (0..self.scenario.tasks).filter(happens);
        tasks.filter_map(|task| self.file(TaskId(task), colluders)).collect()
    }

    fn file(&self, task_id: TaskId, colluders: usize) -> Option<TaskObservations> {
        let producer = self.history.schedule_of(task_id, &self.params)?.primary(task_id)?;
        let colludes = self.validators[..colluders].contains(&producer);
        let start = BlockNumber(task_id.0 * self.scenario.interval);
        let takes_part = |(index, miner): &(usize, &Simulated<'_>)| {
            miner.kind.from_task <= task_id.0
                && self.draw("entry", [task_id.0, *index as u64, 0]) >= self.scenario.faults.entries
        };
        let present = self.miners.iter().enumerate().filter(takes_part);
        let mut entries: Vec<_> =
            present.map(|(index, _)| self.entry(task_id, index, colludes)).collect();
        let truths = self.record.pools.iter().filter_map(|pool| self.reading(pool, task_id));
        let mut truths: Vec<Observation> = truths.collect();
        truths.sort_unstable_by_key(|reading| reading.pool);
        truths.dedup_by_key(|reading| reading.pool);
        if !truths.is_empty() {
            if colludes {
                let values = truths.iter_mut().flat_map(|reading| reading.values.iter_mut());
                values.flatten().for_each(|value| value.0 /= 2);
            }
            let miner = producer;
            entries.push(MinerObservations { miner, passed: false, observations: truths });
        }
        let digest = Digest::of_parts(&[b"simulated", &task_id.0.to_le_bytes()]);
        let id = FileId { task_id, producer };
        Some(TaskObservations::new(id, digest, start, start, entries))
    }

    fn entry(&self, task_id: TaskId, index: usize, colludes: bool) -> MinerObservations {
        let Simulated { hotkey, kind, .. } = &self.miners[index];
        let numbers = [task_id.0, index as u64, 0];
        let favours = |name| self.scenario.collusion.is_some_and(|given| given.favours == name);
        let is_favoured = colludes && favours(kind.name);
        let answers = match colludes {
            true => is_favoured,
            false => self.draw("answer", numbers) < kind.answers,
        };
        let passed = answers && (is_favoured || self.draw("pass", numbers) < kind.passes);
        let observation = |(number, pool): (u64, &Pool)| {
            let key = [task_id.0, index as u64, number];
            self.observation(pool, kind, key, answers, is_favoured)
        };
        let pools = (0..).zip(&self.record.pools);
        let observed = pools.filter(|(_, pool)| pool.fold != Fold::PassRate);
        MinerObservations {
            miner: *hotkey,
            passed,
            observations: observed.map(observation).collect(),
        }
    }

    fn observation(
        &self,
        pool: &Pool,
        kind: &MinerKind,
        key: [u64; 3],
        answers: bool,
        is_favoured: bool,
    ) -> Observation {
        let best = || {
            let kinds = self.scenario.miners.iter();
            kinds.map(|kind| kind.value_in(&pool.name)).fold(f64::MIN, f64::max)
        };
        let middle = if is_favoured { best() } else { kind.value_in(&pool.name) };
        let noise = |step: u64| {
            let [task, miner, number] = key;
            2.0 * self.draw("value", [task, miner, number << 8 | step]) - 1.0
        };
        let value = |value: f64| Nano::from_f64(value).filter(|_| answers);
        let (values, moment) = match &pool.fold {
            Fold::RankCells { step_s, cells, .. } => {
                let begin = self.moment_of(TaskId(key[0]), *step_s);
                let forecast = |cell: u64| {
                    let truth = self.price(begin + cell * u64::from(*step_s), *step_s);
                    let error = (1.0 - middle).max(0.0) * self.scenario.market.step;
                    value(truth + error * noise(cell))
                };
                ((1..=u64::from(*cells)).map(forecast).collect(), Some(begin))
            }
            _ => (vec![value(middle * (1.0 + kind.spread * noise(0)))], None),
        };
        let mut counts: Vec<(Name, u32)> = match moment {
            Some(begin) => vec![(self.moment, count(begin))],
            None => kind.counts.iter().map(|(name, count)| (*name, *count)).collect(),
        };
        counts.sort_unstable();
        Observation { pool: pool.name, values, counts }
    }

    /// What every honest producer reads for a pool that ranks forecasts: the newest prices.
    fn reading(&self, pool: &Pool, task_id: TaskId) -> Option<Observation> {
        let Fold::RankCells { truth, step_s, .. } = &pool.fold else { return None };
        let step = u64::from(*step_s);
        let now = self.moment_of(task_id, *step_s);
        let bars = leoma_protocol::verdict::MAX_VALUES as u64;
        let first = now.saturating_sub((bars - 1) * step);
        let value = |bar: u64| Nano::from_f64(self.price(first + bar * step, *step_s));
        Some(Observation {
            pool: *truth,
            values: (0..bars).map(value).collect(),
            counts: vec![(self.moment, count(first))],
        })
    }

    /// The market's moment at the start of a task, of blocks of twelve seconds.
    fn moment_of(&self, task_id: TaskId, step_s: u32) -> u64 {
        let step = u64::from(step_s);
        (MARKET_OPENS + task_id.0 * self.scenario.interval * 12).div_ceil(step) * step
    }

    /// A sum of two waves and noise: it never leaves the neighbourhood of its first price, and
    /// needs no history.
    fn price(&self, moment: u64, step_s: u32) -> f64 {
        let step = moment / u64::from(step_s);
        let phase = step as f64;
        let waves = (phase / 7.0).sin() * 4.0 + (phase / 41.0).sin() * 20.0;
        let noise = self.draw("price", [step, 0, 0]) - 0.5;
        self.scenario.market.price + self.scenario.market.step * (waves + noise)
    }

    /// A number from 0 to 1 that follows from the seed and its key alone.
    fn draw(&self, purpose: &str, key: [u64; 3]) -> f64 {
        let [a, b, c] = key.map(u64::to_le_bytes);
        let seed = self.scenario.seed.to_le_bytes();
        let digest = Digest::of_parts(&[&seed, purpose.as_bytes(), &a, &b, &c]).0;
        let bits = u64::from_le_bytes(std::array::from_fn(|index| digest[index]));
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A moment as a count; zero, which is none, where it does not fit.
fn count(moment: u64) -> u32 {
    u32::try_from(moment).unwrap_or(0)
}

/// The hotkey of a name. Nobody has its secret.
fn hotkey(name: &str) -> Hotkey {
    Hotkey::from_bytes(Digest::of_parts(&[b"leoma:simulate\0", name.as_bytes()]).0)
}
