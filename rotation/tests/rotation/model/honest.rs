//! What an honest validator does in a block: by the crate's functions, unless a mutation says
//! otherwise.

use std::ops::Range;

use leoma_protocol::{BlockNumber, FileId};
use leoma_rotation::{
    Certificates, Counted, Decision, EpochInputs, Reason, TaskVerdicts, WeightVector,
    attestation_deadline, counted, epoch, own_witness, witness_span,
};

use super::mutation::{Mutation, counting_params, decide, in_range, lowest_steps};
use super::plan::{EPOCH_BLOCKS, FINALITY, Fault};
use super::state::{Violation, World};

/// Peers that a validator asks for what they hold, in each block.
const PULLS: usize = 2;
/// Blocks between two tries to compute an epoch.
const RETRY_BLOCKS: u64 = 4;
/// Blocks after which a witness that was not included is sent again.
const RESEND_BLOCKS: u64 = 3;

impl World {
    fn head(&self, v: usize) -> u64 {
        self.block.saturating_sub(self.honest[v].lag)
    }

    /// Takes over what a few peers hold.
    pub(super) fn pull(&mut self, v: usize) {
        let everything = self.block.is_multiple_of(8);
        let from = if everything { 0 } else { self.active_from() };
        for _ in 0..PULLS {
            let peer = self.random.index(self.honest.len());
            if peer == v {
                continue;
            }
            if self.honest[peer].side != self.honest[v].side {
                self.fire(Fault::Partition);
                continue;
            }
            let [ours, theirs] = self.honest.get_disjoint_mut([v, peer]).unwrap();
            for file in from..self.files.len() {
                ours.votes[file] |= theirs.votes[file];
                ours.held[file] |= theirs.held[file];
            }
            ours.evidence |= theirs.evidence;
        }
        self.certify(v, from..self.files.len());
    }

    fn certify(&mut self, v: usize, files: Range<usize>) {
        for file in files {
            let id = self.files[file].verdicts.id;
            if self.is_quorum(file, self.honest[v].votes[file]) {
                self.honest[v].certified.entry(id).or_insert(file);
            }
        }
    }

    /// Signs a file if it is its turn, some blocks later.
    pub(super) fn produce(&mut self, v: usize) {
        let (head, place) = (self.head(v), self.honest[v].place);
        let block = BlockNumber(head);
        let hotkey = self.plan.hotkeys[place];
        let history = self.chain.history_at(head);
        let Some(schedule) = history.schedule_at(block, &self.params) else { return };
        let task_id = schedule.allowlist().task_at(block);
        let primary = schedule.primary(task_id);
        let by_primary = self.honest[v].held.iter().zip(&self.files).any(|(held, file)| {
            let id = file.verdicts.id;
            *held && id.task_id == task_id && Some(id.producer) == primary
        });
        let turn = schedule.turn(block, by_primary);
        let is_ours = turn.is_some_and(|turn| turn.producer == hotkey);
        if is_ours && self.honest[v].producing.is_none() && self.honest[v].produced.insert(task_id)
        {
            let slow = self.is_faulty() && self.strikes(Fault::SlowProducers, 30);
            let takes = if slow { self.random.between(40, 75) } else { self.random.between(1, 7) };
            self.honest[v].producing = Some((task_id, self.block + takes));
        }
        if let Some((task_id, due)) = self.honest[v].producing
            && due <= self.block
        {
            self.honest[v].producing = None;
            let file = self.sign_file(FileId { task_id, producer: hotkey });
            self.honest[v].held[file] = true;
        }
    }

    /// Attests once to each task and producer, in time.
    pub(super) fn attest(&mut self, v: usize) -> Result<(), Violation> {
        let head = self.head(v);
        for number in self.active_from()..self.files.len() {
            let file = &self.files[number];
            let honest = &mut self.honest[v];
            let id = file.verdicts.id;
            if !honest.held[number] || honest.attested.contains(&(id, number)) {
                continue;
            }
            let producer = self.plan.place(&id.producer);
            if file.siblings.iter().any(|sibling| honest.held[*sibling]) {
                honest.evidence |= 1 << producer;
            }
            let is_first = !honest.attested.iter().any(|(attested, _)| *attested == id);
            let may_repeat = self.mutation == Some(Mutation::AttestTwice);
            let blamed = honest.evidence >> producer & 1 == 1 && !may_repeat;
            let history = self.chain.history_at(head);
            let deadline = attestation_deadline(&self.params, history, id.task_id);
            let in_time = deadline.is_some_and(|deadline| head <= deadline.0);
            let in_time = in_time || self.mutation == Some(Mutation::AttestLate);
            let listed = file.listed >> honest.place & 1 == 1;
            if !listed || blamed || !in_time || head < file.start || !(is_first || may_repeat) {
                continue;
            }
            if self.block >= file.settles_at {
                return Err(Violation::LateAttestation { file: id, block: self.block });
            }
            honest.attested.insert((id, number));
            honest.votes[number] |= 1 << honest.place;
            let siblings = file.siblings.clone();
            self.check_certificates(number, &siblings)?;
        }
        Ok(())
    }

    /// No two files of one task and producer may have quorums, whatever the liars sign.
    fn check_certificates(&self, file: usize, siblings: &[usize]) -> Result<(), Violation> {
        let certifiable = |file: usize| self.is_quorum(file, self.possible_votes(file));
        if certifiable(file) && siblings.iter().any(|sibling| certifiable(*sibling)) {
            return Err(Violation::TwoCertificates { file: self.files[file].verdicts.id });
        }
        Ok(())
    }

    /// Says on chain what it holds, once it is in the span by its own head, and again if that was
    /// not included.
    pub(super) fn witness(&mut self, v: usize) {
        let (head, place) = (self.head(v), self.honest[v].place);
        let hotkey = self.plan.hotkeys[place];
        let epoch_block = self.epoch_of(head) + EPOCH_BLOCKS;
        let history = self.chain.history_at(head);
        let is_listed = history
            .at_block(BlockNumber(epoch_block))
            .is_some_and(|entry| entry.allowlist.contains(&hotkey));
        let span = witness_span(&self.params, history, BlockNumber(epoch_block));
        // Two blocks into the span, so that a file of its last moment is in.
        if !is_listed || span.is_none_or(|span| head < span.start.0 + 2) {
            return;
        }
        match self.honest[v].submitted {
            Some((epoch, at)) if epoch == epoch_block => {
                let waits = self.block < at + RESEND_BLOCKS;
                if waits || self.chain.has_witness(&hotkey, epoch_block, head) {
                    return;
                }
            }
            _ => {}
        }
        let honest = &self.honest[v];
        let holds = |id: &FileId| match self.mutation {
            Some(Mutation::WitnessWithoutFile) => honest.certified.contains_key(id),
            Some(Mutation::WitnessUncertified) => {
                let held = honest.held.iter().zip(&self.files);
                held.into_iter().any(|(held, file)| *held && file.verdicts.id == *id)
            }
            _ => honest.certified.get(id).is_some_and(|file| honest.held[*file]),
        };
        let params = counting_params(self.mutation);
        let witness = own_witness(&params, history, BlockNumber(epoch_block), holds);
        self.honest[v].submitted = Some((epoch_block, self.block));
        if self.is_faulty() && self.strikes(Fault::LostWitnesses, 30) {
            return;
        }
        let included_at = self.block + self.random.between(1, 2);
        if included_at >= epoch_block && self.honest[v].lag > 2 {
            self.fire(Fault::LaggingChain);
        }
        self.chain.submit(included_at, hotkey, witness);
    }

    /// Computes the newest epoch that is final, until its weights are set.
    pub(super) fn compute(&mut self, v: usize) -> Result<(), Violation> {
        let head = self.head(v);
        let before_finality = self.mutation == Some(Mutation::BeforeFinality);
        let known = if before_finality { head } else { head.saturating_sub(FINALITY) };
        let epoch_block = self.epoch_of(known);
        let is_due = (self.block + v as u64).is_multiple_of(RETRY_BLOCKS)
            || self.honest[v].counted.as_ref().is_none_or(|(epoch, _)| *epoch != epoch_block);
        // Some are busy for a while, so that epochs are computed at different times.
        let busy = (self.honest[v].place as u64 * 5 + epoch_block / EPOCH_BLOCKS * 3) % 8;
        let is_due = is_due && known >= epoch_block + busy;
        if epoch_block == 0 || self.honest[v].done == epoch_block || !is_due {
            return Ok(());
        }
        let Some(weights) = self.weights(v, epoch_block) else {
            self.report.waited.insert((epoch_block, v));
            return Ok(());
        };
        self.honest[v].done = epoch_block;
        self.honest[v].last_weights = Some(weights.clone());
        self.report.set += 1;
        let set = self.set.entry(epoch_block).or_default();
        if set.values().any(|other| *other != weights) {
            return Err(Violation::DifferentWeights { epoch: epoch_block });
        }
        set.insert(v, weights);
        Ok(())
    }

    fn weights(&mut self, v: usize, epoch_block: u64) -> Option<WeightVector> {
        let decision = match self.mutation {
            None => self.by_the_rule(v, epoch_block),
            Some(mutation) => self.by_mutation(v, epoch_block, mutation),
        };
        let last = self.honest[v].last_weights.clone();
        match decision {
            Decision::Set { weights, .. } => Some(weights),
            Decision::Abstain { .. } => {
                last.filter(|_| self.mutation == Some(Mutation::LastWinner))
            }
        }
    }

    /// What counts, read from the chain once.
    fn counted(&mut self, v: usize, epoch_block: u64) -> Result<Counted, Reason> {
        if let Some((epoch, counted)) = &self.honest[v].counted
            && *epoch == epoch_block
        {
            return counted.clone();
        }
        let history = self.chain.history_at(epoch_block);
        let snapshot = self.chain.snapshot_at(epoch_block, false);
        let found = counted(&self.params, history, &snapshot);
        self.honest[v].counted = Some((epoch_block, found.clone()));
        found
    }

    fn by_the_rule(&mut self, v: usize, epoch_block: u64) -> Decision {
        let counted = match self.counted(v, epoch_block) {
            Ok(counted) => counted,
            Err(reason) => return Decision::Abstain { reason },
        };
        let missing = self.missing(v, &counted.files).len();
        if missing > 0 {
            return Decision::Abstain { reason: Reason::MissingFiles { files: missing } };
        }
        let honest = &self.honest[v];
        let held = honest.held.iter().zip(&self.files).filter(|(held, _)| **held);
        let files: Vec<&TaskVerdicts> = held.map(|(_, file)| &file.verdicts).collect();
        let digest = |file: &usize| self.files[*file].verdicts.digest;
        let certificates: Certificates =
            honest.certified.iter().map(|(id, file)| (*id, digest(file))).collect();
        let (outcome, decision) = epoch(&EpochInputs {
            params: &self.params,
            history: self.chain.history_at(epoch_block),
            snapshot: &self.chain.snapshot_at(epoch_block, false),
            files: &files,
            certificates: &certificates,
        });
        assert_eq!(outcome.window, counted.files);
        decision
    }

    fn missing(&self, v: usize, files: &[FileId]) -> Vec<FileId> {
        let honest = &self.honest[v];
        let has = |id: &&FileId| honest.certified.get(id).is_some_and(|file| honest.held[*file]);
        files.iter().filter(|id| !has(id)).copied().collect()
    }

    fn by_mutation(&mut self, v: usize, epoch_block: u64, mutation: Mutation) -> Decision {
        let head = self.head(v);
        let history = self.chain.history_at(epoch_block).clone();
        let is_forked = self.is_forked(v, epoch_block, head);
        let mut snapshot = match mutation {
            Mutation::WitnessAfterEpoch => self.chain.snapshot(epoch_block, head),
            Mutation::BeforeFinality => self.chain.snapshot_at(epoch_block, is_forked),
            _ => self.chain.snapshot_at(epoch_block, false),
        };
        mutation.reread(&mut snapshot);
        let params = counting_params(Some(mutation));
        let counted = match counted(&params, &history, &snapshot) {
            Ok(counted) => counted,
            Err(reason) => return Decision::Abstain { reason },
        };
        self.honest[v].counted = Some((epoch_block, Ok(counted.clone())));
        // Each polls the list at times of its own.
        let polled_at = head.saturating_sub(self.honest[v].place as u64 * 7 % 13);
        let mut files = mutation.recount(&history, self.chain.history_at(polled_at), &counted);
        let honest = &self.honest[v];
        let in_range = |id: &FileId| in_range(&history, BlockNumber(epoch_block), id.task_id);
        match mutation {
            Mutation::UncertifiedCount => {
                let held = honest.held.iter().zip(&self.files).filter(|(held, _)| **held);
                let held = held.map(|(_, file)| file.verdicts.id).filter(in_range);
                files = lowest_steps(&history, held);
            }
            Mutation::OwnCertificates => {
                let certified = honest.certified.keys().copied().filter(in_range);
                files = lowest_steps(&history, certified);
            }
            Mutation::EvidenceInWindow => {
                files.retain(|id| honest.evidence >> self.plan.place(&id.producer) & 1 == 0);
            }
            Mutation::PassOverMissing => {
                let missing = self.missing(v, &files);
                files.retain(|id| !missing.contains(id));
            }
            _ => {}
        }
        let Some(chosen) = self.chosen(v, &files, mutation) else {
            return Decision::Abstain { reason: Reason::MissingFiles { files: 1 } };
        };
        decide(&params, &history, &snapshot, &chosen)
    }

    /// The files behind the names; `None` if one is missing.
    fn chosen(&self, v: usize, files: &[FileId], mutation: Mutation) -> Option<Vec<&TaskVerdicts>> {
        let honest = &self.honest[v];
        let of_name = |id: &FileId| {
            let certified = honest.certified.get(id).copied();
            let first_held = || {
                (0..self.files.len())
                    .find(|file| honest.held[*file] && self.files[*file].verdicts.id == *id)
            };
            let file = match mutation {
                Mutation::UncertifiedCount => certified.or_else(first_held)?,
                _ => certified?,
            };
            honest.held[file].then_some(&self.files[file].verdicts)
        };
        files.iter().map(of_name).collect()
    }
}
