//! The loop over the blocks of a run, what goes wrong in it, and what is checked at its end.

use leoma_protocol::{BlockNumber, FileId};
use leoma_rotation::{EpochInputs, TaskVerdicts, WeightVector, epoch};

use super::chain::Chain;
use super::mutation::Mutation;
use super::plan::{EPOCH_BLOCKS, FAULTS_FROM, FINALITY, Fault, INTERVAL, MOST_LAG, Plan, params};
use super::random::Random;
use super::state::Honest;
pub(crate) use super::state::{Report, Violation, World};

impl World {
    pub(crate) fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let honest = (0..plan.hotkeys.len())
            .filter(|place| plan.honest() >> place & 1 == 1)
            .map(|place| Honest { place, ..Honest::default() })
            .collect();
        let chain = Chain::new(plan.list(plan.first, INTERVAL));
        Self {
            random,
            params: params(),
            mutation,
            block: 0,
            chain,
            files: Vec::new(),
            honest,
            later: Vec::new(),
            voted_on: 0,
            set: std::collections::BTreeMap::new(),
            report: Report::default(),
            plan,
        }
    }

    /// Runs to the end of the second healed epoch.
    pub(crate) fn run(mut self) -> Result<Report, Violation> {
        while self.block < self.plan.end() {
            self.block += 1;
            self.faults();
            self.chain.include(self.block);
            self.liars_act();
            for v in 0..self.honest.len() {
                // What liars have just shown is attested to before peers can warn of it.
                self.produce(v);
                self.attest(v)?;
                self.pull(v);
                self.witness(v);
                self.compute(v)?;
            }
        }
        self.check_end()?;
        Ok(self.report)
    }

    /// The faults that must happen in this run.
    pub(crate) fn planned(&self) -> Vec<Fault> {
        self.plan.faults.iter().copied().collect()
    }

    pub(super) fn is_faulty(&self) -> bool {
        (FAULTS_FROM..self.plan.healed_at).contains(&self.block)
    }

    fn faults(&mut self) {
        if let Some((at, members, interval)) = self.plan.second
            && at == self.block
        {
            self.chain.commit_list(at, self.plan.list(members, interval));
            for fault in [Fault::ListChange, Fault::IntervalChange] {
                if self.plan.has(fault) {
                    self.fire(fault);
                }
            }
        }
        if self.block == self.plan.healed_at {
            for honest in &mut self.honest {
                (honest.side, honest.lag) = (0, 0);
            }
        }
        if !self.is_faulty() {
            return;
        }
        // Drawn anew some time before each epoch block, and now and then once more after it.
        let until = EPOCH_BLOCKS - self.block % EPOCH_BLOCKS;
        if until == 20 || (until == 50 && self.random.chance(25)) {
            self.cut();
            self.lag();
        }
        if until == 30 && self.strikes(Fault::LostFiles, 60) {
            self.lose_files();
        }
        if until == EPOCH_BLOCKS && self.plan.has(Fault::Forks) {
            let forked = (0..self.honest.len())
                .filter(|v| self.is_forked(*v, self.block, self.block))
                .count();
            (0..forked).for_each(|_| self.fire(Fault::Forks));
        }
    }

    /// One alone, or any two parts, for an epoch or several; sometimes whole again.
    fn cut(&mut self) {
        if !self.plan.has(Fault::Partition) {
            return;
        }
        let is_first = !self.report.fired.contains_key(&Fault::Partition);
        if !is_first && self.random.chance(50) {
            return;
        }
        let kind = if is_first { 1 } else { self.random.below(4) };
        let alone = self.random.index(self.honest.len());
        for v in 0..self.honest.len() {
            self.honest[v].side = match kind {
                0 => 0,
                1 => u64::from(v == alone),
                _ => self.random.below(2),
            };
        }
    }

    fn lag(&mut self) {
        if !self.plan.has(Fault::LaggingChain) {
            return;
        }
        // One for certain and some, or nearly all.
        let percent = [25, 25, 75][self.random.index(3)];
        let certain = self.random.index(self.honest.len());
        for v in 0..self.honest.len() {
            self.honest[v].lag = match v == certain || self.random.chance(percent) {
                true => self.random.between(3, MOST_LAG),
                false => self.random.below(2),
            };
            if self.honest[v].lag > FINALITY {
                self.fire(Fault::LaggingChain);
            }
        }
    }

    /// One disk loses most of its files, or every disk one file.
    fn lose_files(&mut self) {
        if self.random.chance(30) && !self.files.is_empty() {
            let recent = self.files.len().min(8);
            let file = self.files.len() - 1 - self.random.index(recent);
            self.honest.iter_mut().for_each(|honest| honest.held[file] = false);
        }
        let v = self.random.index(self.honest.len());
        for file in 0..self.files.len() {
            if self.honest[v].held[file] && self.random.chance(60) {
                self.honest[v].held[file] = false;
            }
        }
    }

    /// Whether a validator sees another block at the epoch's height, until that is final.
    pub(super) fn is_forked(&self, v: usize, epoch_block: u64, head: u64) -> bool {
        let in_faults = (FAULTS_FROM..self.plan.healed_at).contains(&epoch_block);
        let is_chosen = (v as u64 + epoch_block / EPOCH_BLOCKS).is_multiple_of(3);
        in_faults && self.plan.has(Fault::Forks) && is_chosen && head < epoch_block + FINALITY
    }

    pub(super) fn side(&self, side: u64) -> u128 {
        let on_side = self.honest.iter().filter(|honest| honest.side == side);
        on_side.map(|honest| 1 << honest.place).sum()
    }

    fn check_end(&mut self) -> Result<(), Violation> {
        for set in self.set.values() {
            self.report.abstained += u32::from(set.len() < self.honest.len());
        }
        for epoch in self.plan.healed_epochs() {
            let set = self.set.get(&epoch);
            let missing =
                (0..self.honest.len()).find(|v| !set.is_some_and(|set| set.contains_key(v)));
            if let Some(v) = missing {
                return Err(Violation::NotHealed { epoch, place: self.honest[v].place });
            }
        }
        for (epoch_block, set) in &self.set {
            let (weights, window) = self.by_everything(*epoch_block);
            if set.values().any(|set| Some(set) != weights.as_ref()) {
                return Err(Violation::NotTheRule { epoch: *epoch_block });
            }
            if self.plan.healed_epochs().contains(epoch_block) && window.is_empty() {
                return Err(Violation::EmptyWindow { epoch: *epoch_block });
            }
        }
        Ok(())
    }

    /// The weights of an epoch by the chain and by every file and vote that there is.
    fn by_everything(&self, epoch_block: u64) -> (Option<WeightVector>, Vec<FileId>) {
        let files: Vec<&TaskVerdicts> = self.files.iter().map(|file| &file.verdicts).collect();
        let is_certified = |file: &usize| self.is_quorum(*file, self.possible_votes(*file));
        let certified = (0..self.files.len()).filter(is_certified);
        let certificates = certified.map(|file| (files[file].id, files[file].digest)).collect();
        let (outcome, decision) = epoch(&EpochInputs {
            params: &self.params,
            history: self.chain.history_at(epoch_block),
            snapshot: &self.chain.snapshot_at(epoch_block, false),
            files: &files,
            certificates: &certificates,
        });
        debug_assert_eq!(outcome.epoch_block, BlockNumber(epoch_block));
        (decision.weights().cloned(), outcome.window)
    }
}
