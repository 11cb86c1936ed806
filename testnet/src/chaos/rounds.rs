//! Rounds against real processes: faults are ordered, watched until each took effect, and ended;
//! the mesh must be whole again before the next round.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use leoma::state::{Books, Slot, StateError};
use leoma_protocol::{Digest, Hotkey, TaskId};

use super::audit::{Audit, audit};
use super::fault::{Fault, FaultKind};
use super::ordered::{Ordered, Pages, before_boundary};
use super::report::ChaosReport;
use super::schedule::Schedule;
use crate::launch::{EPOCH_BLOCKS, History, LaunchError, Subnet};

/// The first agreement comes within this on a busy machine: start, two epochs, and some.
const FIRST_AGREEMENT: Duration = Duration::from_secs(420);
/// Faults of a round are in force for at most this long: a dead connection is noticed within half a
/// minute, a task is published every 20 seconds.
const HOLD_MOST: Duration = Duration::from_secs(55);
/// Rounds after the seed's, at most, of the kinds that had no effect.
const MORE_ROUNDS: usize = 3;
/// How often status pages are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often validators are checked for a publication.
const STRIKE_EVERY: Duration = Duration::from_millis(50);
/// The connections of a mesh are whole again within this: a validator that was killed starts and
/// tests its scorer, dials are tried at most 96 seconds apart, and a link that stayed one-sided is
/// cut after another 30.
const CONNECT_MOST: Duration = Duration::from_secs(180);
/// A validator whose turn was lost under a fault is ready again after a turn that succeeds. Its
/// next turn may have begun under the fault too.
const ROUNDS_OF_TURNS: u64 = 2;
/// Blocks from the end of the last fault to agreement, at most. The next boundary comes within an
/// epoch, and may lack witnesses that were to be written under the fault; the one after it does
/// not. From there half an epoch for what comes after a boundary: missing files, a transaction, and
/// a few tries 6 to 60 seconds apart where one of these fails.
const AGREEMENT_BLOCKS: u64 = 2 * EPOCH_BLOCKS + EPOCH_BLOCKS / 2;
/// Files that validators still lack in the end have this long to arrive.
const FILES_LIMIT: Duration = Duration::from_secs(120);
/// Tasks of the window.
const WINDOW_TASKS: u64 = 100;
/// The newest tasks may still be on their way: their files are not looked for.
const FRESH_TASKS: u64 = 2;

/// Why a run could not be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChaosError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Books(#[from] StateError),
}

/// A subnet that is being hurt.
pub(super) struct Chaos<'a> {
    pub(super) subnet: &'a mut Subnet,
    pub(super) schedule: Schedule,
    pub(super) interval: u64,
    pub(super) block_time: Duration,
    pub(super) report: ChaosReport,
    /// What was signed at earlier moments.
    signed: Vec<(Hotkey, Slot, Digest)>,
    /// Validators in whose name lies were told.
    liars: BTreeSet<Hotkey>,
    start: Instant,
}

impl<'a> Chaos<'a> {
    pub(super) fn new(
        subnet: &'a mut Subnet,
        schedule: Schedule,
        interval: u64,
        block_time: Duration,
        report: ChaosReport,
    ) -> Self {
        let start = subnet.start;
        let (signed, liars) = (Vec::new(), BTreeSet::new());
        Self { subnet, schedule, interval, block_time, report, signed, liars, start }
    }

    /// Everything: the first agreement, rounds for `time` and until every kind had its turn, the
    /// last agreement, the audit.
    pub(super) async fn run(mut self, time: Duration) -> Result<ChaosReport, ChaosError> {
        self.say("waiting for the first agreement");
        self.subnet.wait_until(FIRST_AGREEMENT, |view| view.agreement.is_some()).await?;
        let begin = Instant::now();
        let mut round = 0;
        while round < self.schedule.rounds_for_all() || begin.elapsed() < time {
            self.round(self.schedule.round(round)).await?;
            round += 1;
        }
        // On a busy machine a fault may come too late for its effect. Such a kind has shown
        // nothing.
        for _ in 0..MORE_ROUNDS {
            let unseen = self.report.without_effect();
            if unseen.is_empty() {
                break;
            }
            self.round(self.schedule.only(unseen).round(round)).await?;
            round += 1;
        }
        self.settle().await?;
        let impaired = self.subnet.impaired();
        (self.report.packets_delayed, self.report.packets_lost) = (impaired.delayed, impaired.lost);
        self.report.duration_s = self.start.elapsed().as_secs_f64();
        Ok(self.report)
    }

    fn say(&self, text: &str) {
        eprintln!(
            "{:>5.0} s, block {:>4}: {text}",
            self.start.elapsed().as_secs_f64(),
            self.subnet.block()
        );
    }

    async fn round(&mut self, faults: Vec<Fault>) -> Result<(), ChaosError> {
        self.report.rounds += 1;
        let names: Vec<String> = faults.iter().map(Fault::to_string).collect();
        self.say(&format!("round {}: {}", self.report.rounds, names.join(", ")));
        self.note_signatures()?;
        let at_boundary = faults.iter().any(|fault| fault.kind().is_at_boundary());
        let mut ordered = Vec::with_capacity(faults.len());
        // Two files wait for a turn, which may come after a boundary.
        let (first, then): (Vec<Fault>, Vec<Fault>) =
            faults.into_iter().partition(|fault| fault.kind() == FaultKind::TwoFiles);
        for fault in first {
            ordered.push(self.order(fault, 0).await?);
        }
        let boundary = if at_boundary { before_boundary(self.subnet).await } else { 0 };
        for fault in then {
            ordered.push(self.order(fault, boundary).await?);
        }
        self.hold(&mut ordered).await?;
        for fault in &ordered {
            if let Some(count) = self.report.faults.get_mut(&fault.kind()) {
                count.fired += u64::from(fault.seen.is_some());
            }
            if fault.seen.is_none() {
                self.say(&format!("{}: no effect was seen", fault.fault));
            }
            self.report.strangers += fault.stranger_counts();
        }
        self.end(ordered).await?;
        self.heal().await
    }

    async fn order(&mut self, fault: Fault, boundary: u64) -> Result<Ordered, ChaosError> {
        self.report.faults.entry(fault.kind()).or_default().ordered += 1;
        if let Fault::TwoFiles(liar, _) | Fault::LateSecondFile(liar) = fault {
            self.liars.insert(self.subnet.plan.validators[liar].account.hotkey);
        }
        Ok(Ordered::order(fault, self.subnet, boundary).await?)
    }

    /// Keeps faults in force until the effect of each was seen.
    async fn hold(&mut self, ordered: &mut [Ordered]) -> Result<(), ChaosError> {
        let mut begin = Instant::now();
        let least = ordered.iter().map(Ordered::least).max().unwrap_or_default();
        let mut lie_is_pending = ordered.iter().any(Ordered::is_unseen_lie);
        loop {
            let pages = Pages::read(self.subnet).await;
            for fault in ordered.iter_mut() {
                let seen_before = fault.seen.is_some();
                fault.look(self.subnet, &pages).await?;
                if let (false, Some(effect)) = (seen_before, &fault.seen) {
                    self.say(&format!("{}: {effect}", fault.fault));
                }
            }
            self.note_exits();
            self.subnet.check_infrastructure()?;
            if lie_is_pending && !ordered.iter().any(Ordered::is_unseen_lie) {
                lie_is_pending = false;
                begin = Instant::now();
            }
            let held = begin.elapsed();
            if held >= HOLD_MOST
                || (held >= least && ordered.iter().all(|fault| fault.seen.is_some()))
            {
                return Ok(());
            }
            let next = Instant::now() + LOOK_EVERY;
            while Instant::now() < next {
                // Whoever is killed first hears no lie, and a half may be a single validator.
                for fault in
                    ordered.iter_mut().filter(|fault| !lie_is_pending || fault.is_at_boundary())
                {
                    if let Some(effect) = fault.strike(self.subnet)?.map(str::to_owned) {
                        self.say(&format!("{}: {effect}", fault.fault));
                    }
                }
                tokio::time::sleep(STRIKE_EVERY).await;
            }
        }
    }

    /// Ends the faults of a round. A killed validator is started again.
    async fn end(&mut self, ordered: Vec<Ordered>) -> Result<(), ChaosError> {
        self.subnet.heal()?;
        self.subnet.clear_ordered_faults().await?;
        for fault in &ordered {
            if let Fault::Pause(one) = fault.fault {
                self.subnet.resume_validator(one);
            }
        }
        // This ends the strangers, too.
        drop(ordered);
        self.restart_all()
    }

    fn restart_all(&mut self) -> Result<(), ChaosError> {
        for one in 0..self.subnet.plan.validators.len() {
            self.subnet.restart_validator(one)?;
        }
        Ok(())
    }

    /// A mesh is whole again within this.
    fn heal_most(&self) -> Duration {
        let turns = ROUNDS_OF_TURNS * self.subnet.plan.validators.len() as u64;
        let blocks = u32::try_from(turns * self.interval).unwrap_or(u32::MAX);
        CONNECT_MOST + self.block_time * blocks
    }

    /// Waits until every validator is ready and has all its peers.
    async fn heal(&mut self) -> Result<(), ChaosError> {
        let begin = Instant::now();
        loop {
            self.note_exits();
            self.restart_all()?;
            self.subnet.check_infrastructure()?;
            let incomplete = Pages::read(self.subnet).await.incomplete();
            let took = begin.elapsed();
            self.report.longest_to_heal_s = self.report.longest_to_heal_s.max(took.as_secs_f64());
            if incomplete.is_empty() {
                self.say(&format!("whole again after {:.0} s", took.as_secs_f64()));
                return Ok(());
            }
            if took > self.heal_most() {
                self.say(&format!(
                    "not whole after {:.0} s: {}",
                    took.as_secs_f64(),
                    incomplete.join(", ")
                ));
                self.report.not_healed += 1;
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Validators that ended by themselves are part of what happened, not the end of the run.
    fn note_exits(&mut self) {
        for (one, error) in self.subnet.take_ended() {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            let first = text.lines().next().unwrap_or_default();
            self.say(&format!("{first} {last}"));
            self.report.validator_exits.push(format!("validator-{}: {last}", one + 1));
        }
    }

    fn books(&self) -> Result<BTreeMap<Hotkey, Books>, ChaosError> {
        let mut all = BTreeMap::new();
        for (one, validator) in self.subnet.plan.validators.iter().enumerate() {
            if let Some(folder) = self.subnet.validator_folder(one) {
                all.insert(validator.account.hotkey, Books::read(&folder.join("state"))?);
            }
        }
        Ok(all)
    }

    /// Remembers what is signed now, to be compared with later books.
    fn note_signatures(&mut self) -> Result<(), ChaosError> {
        let known: BTreeSet<(Hotkey, Slot)> =
            self.signed.iter().map(|(signer, slot, _)| (*signer, slot.clone())).collect();
        for (signer, books) in self.books()? {
            let new = books
                .signed
                .into_iter()
                .filter(|(slot, _)| !known.contains(&(signer, slot.clone())));
            self.signed.extend(new.map(|(slot, digest)| (signer, slot, digest)));
        }
        Ok(())
    }

    /// Waits for agreement after the last fault, then for files that are still on their way, and
    /// audits.
    async fn settle(&mut self) -> Result<(), ChaosError> {
        let healed_at = self.subnet.block();
        self.say("all faults are over; waiting for agreement");
        // A chain on a busy machine makes fewer blocks than it should.
        let limit = self.block_time * u32::try_from(2 * AGREEMENT_BLOCKS).unwrap_or(u32::MAX);
        let deadline = Instant::now() + limit;
        let mut agreed = None;
        while agreed.is_none() && Instant::now() < deadline {
            self.note_exits();
            self.restart_all()?;
            self.subnet.check_infrastructure()?;
            let histories = self.histories().await;
            agreed = agreed_epochs(&histories).into_iter().find(|(epoch, _)| *epoch > healed_at);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.report.healed_to_agreement_bound = AGREEMENT_BLOCKS;
        self.report.healed_to_agreement_blocks = agreed.map(|(_, block)| block - healed_at);
        let newest = TaskId((self.subnet.block() / self.interval).saturating_sub(FRESH_TASKS));
        let deadline = Instant::now() + FILES_LIMIT;
        let mut found = self.audit(newest)?;
        while !(found.lost.is_empty() && found.unproven.is_empty()) && Instant::now() < deadline {
            self.note_exits();
            self.restart_all()?;
            tokio::time::sleep(LOOK_EVERY).await;
            found = self.audit(newest)?;
        }
        let longest = longest_to_agreement(&self.histories().await);
        self.report.longest_to_agreement_blocks = longest;
        self.report.longest_to_agreement_s =
            self.block_time.mul_f64(u32::try_from(longest).map_or(0.0, f64::from)).as_secs_f64();
        self.take_over(found);
        Ok(())
    }

    async fn histories(&mut self) -> Vec<History> {
        self.subnet.view().await.validators.into_iter().map(|validator| validator.history).collect()
    }

    fn audit(&self, newest: TaskId) -> Result<Audit, ChaosError> {
        let window = TaskId(newest.0.saturating_sub(WINDOW_TASKS - 1))..=newest;
        Ok(audit(&self.books()?, &self.signed, &self.liars, &window))
    }

    fn take_over(&mut self, found: Audit) {
        let report = &mut self.report;
        report.disagreements = found.disagreements().count() as u64;
        (report.abstentions, report.unexplained) = (found.abstentions(), found.unexplained());
        (report.verdicts, report.verdicts_unreleased) = (found.verdicts, found.unreleased);
        report.verdicts_lost = found.lost.len() as u64;
        report.double_signed = found.double_signed.len() as u64;
        report.lies_unproven = found.unproven.len() as u64;
        let disagreed = found.disagreements();
        let disagreed: Vec<String> = disagreed
            .map(|epoch| {
                format!("epoch {}: different weights {:?}", epoch.epoch_block, epoch.vectors)
            })
            .collect();
        report.findings = [disagreed, found.lost, found.double_signed, found.unproven].concat();
        report.epochs = found.epochs;
    }
}

/// Epochs in which all validators set the same weights, each with the block in which the last one
/// did.
fn agreed_epochs(histories: &[History]) -> Vec<(u64, u64)> {
    let Some((first, others)) = histories.split_first() else { return Vec::new() };
    let same = first.iter().filter_map(|(epoch, weights)| {
        let mut last = weights.set_at_block;
        for history in others {
            let other = history.get(epoch).filter(|other| other.weights == weights.weights)?;
            last = last.max(other.set_at_block);
        }
        Some((*epoch, last))
    });
    same.collect()
}

/// The longest time in blocks from a boundary to agreement, from the first epoch that was agreed
/// on.
fn longest_to_agreement(histories: &[History]) -> u64 {
    let agreed = agreed_epochs(histories);
    let waits = agreed.iter().scan(None, |previous: &mut Option<u64>, (epoch, block)| {
        // An epoch without agreement is waited through.
        let since = previous.map_or(*epoch, |previous| previous + EPOCH_BLOCKS);
        *previous = Some(*epoch);
        Some(block.saturating_sub(since))
    });
    waits.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::EpochWeights;

    fn history(entries: &[(u64, u16, u64)]) -> History {
        let entry = |&(epoch_block, uid, set_at_block): &(u64, u16, u64)| {
            let weights = vec![(uid, u16::MAX)];
            (epoch_block, EpochWeights { epoch_block, winner_hotkey: None, weights, set_at_block })
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn agreement_is_when_the_last_validator_has_the_same_weights() {
        let one = history(&[(180, 5, 184), (360, 5, 365), (540, 5, 544)]);
        let other = history(&[(180, 5, 190), (360, 6, 366), (540, 5, 560)]);
        assert_eq!(agreed_epochs(&[one.clone(), other.clone()]), [(180, 190), (540, 560)]);
        // Epoch 360 is waited through: from its boundary to block 560.
        assert_eq!(longest_to_agreement(&[one.clone(), other]), 200);
        assert_eq!(longest_to_agreement(std::slice::from_ref(&one)), 5);
        assert_eq!(longest_to_agreement(&[one, History::new()]), 0);
        assert_eq!(longest_to_agreement(&[]), 0);
    }
}
