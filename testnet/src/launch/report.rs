//! The result of a run: the JSON of `--json`, and the table at the end.

use std::fmt::Write as _;

use leoma_protocol::Hotkey;
use serde::{Deserialize, Serialize};

use super::agreement::EpochWeights;
use super::mechanism::Mechanism;
use super::order::Order;
use super::verdicts::MinerVerdicts;
use crate::chain::{Emissions, NeuronEmission};

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The validators.
    pub validators: Vec<ValidatorReport>,
    /// Whether all set the same weights for the same winner in as many consecutive epochs as were
    /// asked for.
    pub agreed: bool,
    /// That winner.
    pub winner: Option<Hotkey>,
    /// The good miner.
    pub expected_winner: Option<Hotkey>,
    /// Seconds since the processes started.
    pub duration_s: f64,
    /// Seconds from then until all had set the same weights for the first time.
    pub first_weights_s: Option<f64>,
    /// The further mechanisms that were served.
    #[serde(default)]
    pub mechanisms: Vec<MechanismReport>,
    /// What verdicts say of the miners.
    pub miners: Vec<MinerVerdicts>,
    /// The miners in the order of the weights that all agreed on last, where their cast has one.
    #[serde(default)]
    pub order: Option<Order>,
    /// What everyone earned in the chain's last epoch, which is not the validators' epoch.
    pub emissions: Emissions,
}

/// A further mechanism in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismReport {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// As for the run.
    pub agreed: bool,
    /// As for the run.
    pub winner: Option<Hotkey>,
    /// The validators.
    pub validators: Vec<ValidatorReport>,
    /// What verdicts say of the miners.
    pub miners: Vec<MinerVerdicts>,
}

/// One validator in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorReport {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Its place on the subnet.
    pub uid: u16,
    /// Peers it is connected with.
    pub peers: u64,
    /// What it set, read back from the chain, oldest first.
    pub epochs: Vec<EpochWeights>,
    /// Tasks that it sampled.
    pub tasks_sampled: u64,
    /// Files whose certificates it holds.
    pub certificates: u64,
    /// Epochs that it witnessed on chain in time.
    pub witnesses: u64,
    /// What it earned in the chain's last epoch, parts of 10⁹.
    pub emission: u64,
}

impl Report {
    /// Whether the validators agreed on the good miner, and in each further mechanism on a miner that
    /// its verdicts pass. Those judge less than video does: where no first frame is given, a blurred
    /// answer passes too (`docs/judging.md`, "Task types").
    pub fn succeeded(&self) -> bool {
        let is_expected = self.winner.is_some() && self.winner == self.expected_winner;
        let in_order = self.order.as_ref().is_none_or(|order| order.breach.is_none());
        self.agreed
            && is_expected
            && in_order
            && self.mechanisms.iter().all(|further| {
                let passes = |miner: &MinerVerdicts| {
                    Some(miner.hotkey) == further.winner && miner.entries.contains_key("passed")
                };
                further.agreed && further.miners.iter().any(passes)
            })
    }

    /// The miners whose verdicts are not what they should be, each in a line. What is expected holds
    /// where video's miners are given frame and prompt, and the metrics judge them.
    pub fn unexpected(&self) -> Vec<String> {
        let others = self.miners.iter().filter(|miner| !miner.is_as_expected());
        let line = |miner: &MinerVerdicts| {
            let (name, role, uid) = (short(&miner.hotkey), miner.role, miner.uid);
            let answers = miner.as_expected + miner.unexpected;
            let count = miner.unexpected;
            format!("{role} (uid {uid}, {name}): {count} of {answers} verdicts not as expected")
        };
        others.map(line).collect()
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let mut text = self.validators(&self.validators);
        text.push_str(&self.verdicts(&self.miners));
        for further in &self.mechanisms {
            let winner = further.winner.as_ref().map_or_else(|| "nobody".into(), short);
            let agreed = if further.agreed { "agreed on" } else { "not agreed, at best on" };
            let _ = writeln!(text, "\nmechanism {}: {agreed} {winner}", further.mechanism);
            text.push_str(&self.validators(&further.validators));
            text.push_str(&self.verdicts(&further.miners));
        }
        text.push_str(&self.earning_miners());
        if let Some(order) = &self.order {
            let _ = writeln!(text, "\n{}", order.line());
        }
        let name = |hotkey: &Option<Hotkey>| {
            hotkey.map_or_else(|| "nobody".into(), |hotkey| hotkey.to_string())
        };
        let verdict = match (self.succeeded(), self.agreed) {
            (true, _) => "agreed on the expected winner",
            (false, true) => "agreed, but not on the expected winner or order",
            (false, false) => "not agreed",
        };
        let _ = writeln!(text, "\n{verdict}");
        let _ = writeln!(
            text,
            "winner    {}\nexpected  {}",
            name(&self.winner),
            name(&self.expected_winner)
        );
        let first = self
            .first_weights_s
            .map_or_else(|| "never".into(), |seconds| format!("after {seconds:.0} s"));
        let _ = write!(text, "first agreed weights {first}, whole run {:.0} s", self.duration_s);
        text
    }
}

impl Report {
    /// What each validator has done.
    fn validators(&self, validators: &[ValidatorReport]) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:>4}  {:<14} {:>5} {:>6} {:>9} {:>9} {:>9}  weights on chain (epoch: winner)",
            "uid", "validator", "peers", "tasks", "certified", "witnessed", "earned"
        );
        for validator in validators {
            let epochs: Vec<String> = validator
                .epochs
                .iter()
                .map(|epoch| {
                    let winner = epoch.winner_hotkey.as_ref().map_or_else(|| "none".into(), short);
                    let uids: Vec<String> =
                        epoch.weights.iter().map(|(uid, value)| format!("{uid}={value}")).collect();
                    format!("{}: {winner} [{}]", epoch.epoch_block, uids.join(" "))
                })
                .collect();
            let shown = if epochs.is_empty() { "none".into() } else { epochs.join(", ") };
            let (uid, name, earned) =
                (validator.uid, short(&validator.hotkey), self.earned(validator.uid));
            let ValidatorReport { peers, tasks_sampled, certificates, witnesses, .. } = validator;
            let _ = writeln!(
                text,
                "{uid:>4}  {name:<14} {peers:>5} {tasks_sampled:>6} {certificates:>9} {witnesses:>9} {earned:>9}  {shown}"
            );
        }
        text
    }

    /// A validator's share of the last epoch's emission, or that there was no epoch.
    fn earned(&self, uid: u16) -> String {
        let neuron = self.emissions.of_uid(uid).filter(|_| self.emissions.epoch_block > 0);
        neuron.map_or_else(|| "-".into(), NeuronEmission::share)
    }

    /// The verdicts about each miner.
    fn verdicts(&self, miners: &[MinerVerdicts]) -> String {
        let mut text = format!("\n{:>4}  {:<14} {:<14} verdicts\n", "uid", "miner", "is");
        for miner in miners {
            let said: Vec<String> =
                miner.entries.iter().map(|(status, count)| format!("{status} {count}")).collect();
            let said = if said.is_empty() { "none".into() } else { said.join(", ") };
            let (name, role, named) = (short(&miner.hotkey), miner.role, miner.as_expected);
            let _ = writeln!(
                text,
                "{:>4}  {name:<14} {role:<14} {said} ({named} as expected)",
                miner.uid
            );
        }
        text
    }

    /// The miners that earned in the chain's last epoch.
    fn earning_miners(&self) -> String {
        let validates = |uid: u16| self.validators.iter().any(|validator| validator.uid == uid);
        let earned = |neuron: &&NeuronEmission| neuron.emission > 0 && !validates(neuron.uid);
        let lines: Vec<String> = self
            .emissions
            .neurons
            .iter()
            .filter(earned)
            .map(|neuron| {
                format!("uid {} {} {}", neuron.uid, short(&neuron.hotkey), neuron.share())
            })
            .collect();
        match (self.emissions.epoch_block, lines.is_empty()) {
            (0, _) => "\nthe chain had no epoch yet: nobody earned\n".into(),
            (epoch, true) => format!("\nepoch of block {epoch}: no miner earned\n"),
            (epoch, false) => {
                format!("\nepoch of block {epoch}: miners earned {}\n", lines.join(", "))
            }
        }
    }
}

/// A hotkey as a table shows it.
fn short(hotkey: &Hotkey) -> String {
    let text = hotkey.to_string();
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::Played;
    use crate::miners::Role;

    fn report(agreed: bool, winner: Option<u8>) -> Report {
        let key = |byte: u8| Hotkey::from_bytes([byte; 32]);
        let epochs = vec![EpochWeights {
            epoch_block: 180,
            winner_hotkey: winner.map(key),
            weights: vec![(6, 65535)],
            set_at_block: 183,
        }];
        let validator = ValidatorReport {
            hotkey: key(1),
            uid: 1,
            peers: 3,
            epochs,
            tasks_sampled: 2,
            certificates: 5,
            witnesses: 1,
            emission: 500_000_000,
        };
        let neuron = |uid: u16, emission| NeuronEmission {
            uid,
            hotkey: key(uid as u8),
            incentive: 0,
            dividends: 0,
            emission,
            validator_permit: uid == 1,
            last_update: 170,
        };
        let neurons = vec![neuron(0, 0), neuron(1, 500_000_000), neuron(9, 499_999_999)];
        let miner = MinerVerdicts {
            hotkey: key(9),
            uid: 9,
            role: Played::Video(Role::Good),
            entries: [("passed".to_owned(), 3), ("timeout".to_owned(), 1)].into(),
            as_expected: 3,
            unexpected: 0,
        };
        Report {
            validators: vec![validator],
            miners: vec![miner],
            agreed,
            winner: winner.map(key),
            expected_winner: Some(key(9)),
            duration_s: 200.4,
            first_weights_s: Some(99.0),
            mechanisms: Vec::new(),
            order: None,
            emissions: Emissions { netuid: 99, block: 370, epoch_block: 360, neurons },
        }
    }

    #[test]
    fn only_agreement_on_the_good_miner_succeeds() {
        assert!(report(true, Some(9)).succeeded());
        assert!(!report(true, Some(8)).succeeded());
        assert!(!report(false, Some(9)).succeeded());
        assert!(!Report { expected_winner: None, ..report(true, None) }.succeeded());
    }

    #[test]
    fn verdicts_that_are_not_as_expected_are_named() {
        let mut report = report(true, Some(9));
        assert!(report.unexpected().is_empty());
        report.miners[0].role = Played::Video(Role::Overlay);
        report.miners[0].unexpected = 1;
        let lines = report.unexpected();
        let [line] = &lines[..] else { panic!("one miner") };
        assert!(line.starts_with("overlay (uid 9, "), "{line}");
        assert!(line.ends_with(": 1 of 4 verdicts not as expected"), "{line}");
        assert!(report.succeeded(), "agreement is another question");
    }

    #[test]
    fn the_json_has_the_promised_names() {
        let json = serde_json::to_value(report(true, Some(9))).unwrap();
        for name in [
            "validators",
            "agreed",
            "winner",
            "expected_winner",
            "duration_s",
            "first_weights_s",
            "miners",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["validators"][0]["epochs"][0]["weights"], serde_json::json!([[6, 65535]]));
        assert_eq!(json["validators"][0]["epochs"][0]["set_at_block"], 183);
        assert_eq!(json["validators"][0]["emission"], 500_000_000);
        assert_eq!(json["emissions"]["neurons"][2]["emission"], 499_999_999);
    }

    #[test]
    fn the_table_names_uids_values_and_the_verdict() {
        let table = report(true, Some(9)).table();
        assert!(
            table.contains("[6=65535]") && table.contains("agreed on the expected winner"),
            "{table}"
        );
        assert!(table.contains("good           passed 3, timeout 1 (3 as expected)"), "{table}");
        assert!(report(false, None).table().contains("not agreed"));
        assert!(
            table.contains("50.00 %  180:")
                && table.contains("epoch of block 360: miners earned uid 9"),
            "{table}"
        );
        let mut early = report(true, Some(9));
        early.emissions.epoch_block = 0;
        assert!(
            early.table().contains("nobody earned") && early.table().contains("-  180:"),
            "{}",
            early.table()
        );
    }
}
