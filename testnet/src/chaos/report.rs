//! The result of a run: the JSON of `--json`, and the summary at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::audit::EpochAudit;
use super::fault::FaultKind;
use super::tally::StrangerCounts;

/// How often a kind was ordered, and how often its effect was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCount {
    /// Ordered.
    pub ordered: u64,
    /// Seen.
    pub fired: u64,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChaosReport {
    /// What the schedule was drawn from.
    pub seed: String,
    /// Minutes of faults that were asked for.
    pub minutes: f64,
    /// Validators.
    pub validators: u64,
    /// Miners.
    pub miners: u64,
    /// Whether each validator had a network namespace of its own.
    pub namespaces: bool,
    /// Rounds of faults.
    pub rounds: u64,
    /// Faults by kind.
    pub faults: BTreeMap<FaultKind, FaultCount>,
    /// Kinds that are not part of the run, with the reason.
    pub skipped: BTreeMap<FaultKind, String>,
    /// The epochs that anyone decided.
    pub epochs: Vec<EpochAudit>,
    /// Epochs for which two validators computed different weights.
    pub disagreements: u64,
    /// How often a validator set nothing.
    pub abstentions: u64,
    /// How often one set nothing and does not say why.
    pub unexplained: u64,
    /// Verdict files that were signed.
    pub verdicts: u64,
    /// Of those in the window, how many are missing somewhere in the end.
    pub verdicts_lost: u64,
    /// Signatures that were lost with their process before anybody could see them.
    pub verdicts_unreleased: u64,
    /// Things signed twice.
    pub double_signed: u64,
    /// Validators that hold no evidence of a lie in the end, each counted once for each liar.
    pub lies_unproven: u64,
    /// What `disagreements`, `verdicts_lost`, `double_signed` and `lies_unproven` count, in words.
    pub findings: Vec<String>,
    /// Longest time from an epoch's boundary until all validators had the same weights on chain, in
    /// blocks; an epoch in which they did not counts on until the one in which they did.
    pub longest_to_agreement_blocks: u64,
    /// The same in seconds.
    pub longest_to_agreement_s: f64,
    /// From the end of the last fault to the same weights of all validators, in blocks; none if
    /// they did not agree again.
    pub healed_to_agreement_blocks: Option<u64>,
    /// Within how many blocks they must.
    pub healed_to_agreement_bound: u64,
    /// Longest time from the end of a round's faults until every validator was ready and had all
    /// its peers.
    pub longest_to_heal_s: f64,
    /// Rounds after which that did not happen in time.
    pub not_healed: u64,
    /// Validators that ended by themselves and were started again, with the reason.
    pub validator_exits: Vec<String>,
    /// What strangers did.
    pub strangers: StrangerCounts,
    /// Packets that were delayed.
    pub packets_delayed: u64,
    /// Packets that were lost by delay or loss; cuts are not counted.
    pub packets_lost: u64,
    /// Seconds of the whole run.
    pub duration_s: f64,
}

impl ChaosReport {
    /// Whether the mesh held: nothing lost, nothing signed twice, no disagreement, and agreement in
    /// the end.
    pub fn passed(&self) -> bool {
        let healed = self
            .healed_to_agreement_blocks
            .is_some_and(|blocks| blocks <= self.healed_to_agreement_bound);
        let clean = self.disagreements == 0
            && self.unexplained == 0
            && self.verdicts_lost == 0
            && self.double_signed == 0
            && self.lies_unproven == 0;
        clean && healed && self.not_healed == 0
    }

    /// Kinds that were ordered and never had an effect.
    pub(super) fn without_effect(&self) -> BTreeSet<FaultKind> {
        self.faults.iter().filter(|(_, count)| count.fired == 0).map(|(kind, _)| *kind).collect()
    }

    /// The summary for people.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{:<22} {:>7} {:>7}", "fault", "ordered", "fired");
        for (kind, count) in &self.faults {
            let _ =
                writeln!(text, "{:<22} {:>7} {:>7}", kind.to_string(), count.ordered, count.fired);
        }
        for (kind, reason) in &self.skipped {
            let _ = writeln!(text, "{:<22} skipped: {reason}", kind.to_string());
        }
        for finding in &self.findings {
            let _ = writeln!(text, "found: {finding}");
        }
        for epoch in &self.epochs {
            for (reason, count) in &epoch.abstained {
                let block = epoch.epoch_block;
                let _ = writeln!(text, "epoch {block}: {count} set nothing ({reason})");
            }
        }
        let agreed = match self.healed_to_agreement_blocks {
            Some(blocks) => format!("{blocks} blocks (bound {})", self.healed_to_agreement_bound),
            None => "never".into(),
        };
        let _ = writeln!(
            text,
            "{} rounds, {} epochs with two different vectors of {}, {} abstentions ({} without a \
             reason), {} of {} verdicts lost, {} signed twice",
            self.rounds,
            self.disagreements,
            self.epochs.len(),
            self.abstentions,
            self.unexplained,
            self.verdicts_lost,
            self.verdicts,
            self.double_signed
        );
        let _ = writeln!(
            text,
            "longest to agreement {} blocks ({:.0} s), longest to heal {:.0} s, \
             {} rounds not healed",
            self.longest_to_agreement_blocks,
            self.longest_to_agreement_s,
            self.longest_to_heal_s,
            self.not_healed
        );
        let _ = writeln!(text, "from the last fault's end to agreement: {agreed}");
        let _ = write!(
            text,
            "{}",
            if self.passed() { "the mesh held" } else { "the mesh did not hold" }
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_loss_fails_a_run() {
        let good = ChaosReport {
            healed_to_agreement_blocks: Some(100),
            healed_to_agreement_bound: 200,
            ..ChaosReport::default()
        };
        assert!(good.passed());
        for bad in [
            ChaosReport { disagreements: 1, ..good.clone() },
            ChaosReport { unexplained: 1, ..good.clone() },
            ChaosReport { verdicts_lost: 1, ..good.clone() },
            ChaosReport { double_signed: 1, ..good.clone() },
            ChaosReport { lies_unproven: 1, ..good.clone() },
            ChaosReport { not_healed: 1, ..good.clone() },
            ChaosReport { healed_to_agreement_blocks: None, ..good.clone() },
            ChaosReport { healed_to_agreement_blocks: Some(201), ..good.clone() },
        ] {
            assert!(!bad.passed() && bad.summary().ends_with("the mesh did not hold"));
        }
    }

    #[test]
    fn the_json_names_faults_as_the_command_line_does() {
        let mut report = ChaosReport::default();
        report.faults.insert(FaultKind::OneWay, FaultCount { ordered: 2, fired: 1 });
        report.skipped.insert(FaultKind::Delay, "no /dev/net/tun".into());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["faults"]["one_way"], serde_json::json!({"ordered": 2, "fired": 1}));
        assert_eq!(json["skipped"]["delay"], "no /dev/net/tun");
        assert_eq!(serde_json::from_value::<ChaosReport>(json).unwrap(), report);
    }
}
