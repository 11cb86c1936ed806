//! What the liars do in a block. They share everything that they know.

use leoma_protocol::{BlockNumber, FileId};
use leoma_rotation::own_witness;

use super::plan::{EPOCH_BLOCKS, FAULTS_FROM, Fault, SPAN};
use super::state::{Shown, World};

impl World {
    pub(super) fn liars_act(&mut self) {
        self.liars_produce();
        self.liars_vote();
        if self.block.is_multiple_of(EPOCH_BLOCKS) {
            self.liars_accuse();
        }
        if (self.block + SPAN).is_multiple_of(EPOCH_BLOCKS) {
            self.liars_witness(self.block + SPAN);
        }
        let block = self.block;
        let due: Vec<_> = self.later.extract_if(.., |(at, _)| *at <= block).collect();
        for (_, shown) in due {
            self.show(shown);
        }
    }

    /// On a liar's turn: one file for all, two files for two halves, one file for some at a bad
    /// moment, or none.
    fn liars_produce(&mut self) {
        let block = BlockNumber(self.block);
        let history = self.chain.history_at(self.block);
        let Some(schedule) = history.schedule_at(block, &self.params) else { return };
        let (list, grace) = (schedule.allowlist(), schedule.grace_blocks());
        let task_id = list.task_at(block);
        let offset = self.block % list.interval();
        let Some(producer) = schedule.producers(task_id).nth((offset / grace) as usize) else {
            return;
        };
        let place = self.plan.place(&producer);
        if self.plan.liars >> place & 1 == 0 || offset % grace != 1 {
            return;
        }
        let id = FileId { task_id, producer };
        let times = |fault| self.report.fired.get(&fault).copied().unwrap_or_default();
        let is_late_next = times(Fault::LateFiles) < times(Fault::TwoFiles);
        if !is_late_next && self.strikes(Fault::TwoFiles, 50) {
            self.show_two_files(id);
        } else if self.strikes(Fault::LateFiles, 50) {
            self.show_late_file(id);
        } else if self.random.chance(70) {
            let file = self.sign_file(id);
            self.show(Shown::File { file, to: self.plan.honest() });
        }
    }

    fn show_two_files(&mut self, id: FileId) {
        let honest = self.plan.honest();
        // By halves, by chance, or along the cut.
        let one = match self.random.below(3) {
            0 => self.side(0),
            _ => self.random.subset(honest, 50),
        };
        for to in [one, honest & !one] {
            let file = self.sign_file(id);
            self.show(Shown::File { file, to });
        }
    }

    fn show_late_file(&mut self, id: FileId) {
        let file = self.sign_file(id);
        let (deadline, settles_at) = (self.files[file].deadline, self.files[file].settles_at);
        let at = match self.random.below(4) {
            0 => deadline - self.random.between(0, 3),
            1 => deadline + self.random.between(1, 4),
            2 => settles_at - self.random.between(1, SPAN),
            _ => settles_at + self.random.between(0, 20),
        };
        let percent = [20, 50, 80][self.random.index(3)];
        let to = self.random.subset(self.plan.honest(), percent);
        self.later.push((at, Shown::File { file, to }));
    }

    /// On honest validators' files: votes at once to all, or late and to some.
    fn liars_vote(&mut self) {
        for file in self.voted_on..self.files.len() {
            if self.plan.liars >> self.plan.place(&self.files[file].verdicts.id.producer) & 1 == 1 {
                continue;
            }
            let honest = self.plan.honest();
            if !self.strikes(Fault::LateVotes, 70) {
                self.show(Shown::Votes { file, to: honest });
                continue;
            }
            let boundary = self.files[file].settles_at.div_ceil(EPOCH_BLOCKS) * EPOCH_BLOCKS;
            let at = boundary + self.random.between(0, 2 * SPAN) - SPAN;
            let to = self.random.subset(honest, 50);
            self.later.push((at, Shown::Votes { file, to }));
        }
        self.voted_on = self.files.len();
    }

    /// Right after an epoch block, some hear of evidence against a producer of the window.
    fn liars_accuse(&mut self) {
        // Once the window has filled.
        let is_early = self.block < FAULTS_FROM + 2 * EPOCH_BLOCKS;
        if is_early || !self.strikes(Fault::LateEvidence, 50) {
            return;
        }
        let liars: Vec<usize> = (0..self.plan.hotkeys.len())
            .filter(|place| self.plan.liars >> place & 1 == 1)
            .collect();
        if liars.is_empty() {
            return;
        }
        let producer = liars[self.random.index(liars.len())];
        let to = self.random.subset(self.plan.honest(), 50);
        let at = self.block + self.random.between(1, 3);
        self.later.push((at, Shown::Evidence { producer, to }));
    }

    /// Each liar's transactions around an epoch block, included when it likes.
    fn liars_witness(&mut self, epoch_block: u64) {
        let liars = self.plan.liars;
        for place in (0..self.plan.hotkeys.len()).filter(|place| liars >> place & 1 == 1) {
            let hotkey = self.plan.hotkeys[place];
            let lies = self.plan.has(Fault::FalseWitnesses);
            if lies {
                self.fire(Fault::FalseWitnesses);
            }
            let draw = self.random.next();
            let kind = if lies { draw % 6 } else { 1 };
            let known = |id: &FileId| self.files.iter().any(|file| file.verdicts.id == *id);
            let noise =
                |id: &FileId| (id.task_id.0 ^ draw).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1;
            let holds = |id: &FileId| match kind {
                0 => true,
                1 => known(id),
                2 => noise(id),
                3 => noise(id) && known(id),
                _ => draw & 64 == 0 || known(id),
            };
            let history = self.chain.history_at(self.block);
            let witness = own_witness(&self.params, history, BlockNumber(epoch_block), holds);
            let within = epoch_block - 1 - draw / 64 % 6;
            match kind {
                // Replaced at the epoch block or after it, or only written then.
                4 => {
                    self.chain.submit(within, hotkey, witness.clone());
                    self.chain.submit(epoch_block + draw / 512 % 4, hotkey, witness);
                }
                5 => self.chain.submit(epoch_block + draw / 512 % 6, hotkey, witness),
                _ => self.chain.submit(within, hotkey, witness),
            }
        }
    }
}
