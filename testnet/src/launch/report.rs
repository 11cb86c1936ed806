//! What a run has shown: the JSON of `--json`, and the table at the end.

use std::fmt::Write as _;

use leoma_protocol::Hotkey;
use serde::{Deserialize, Serialize};

use super::agreement::EpochWeights;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Everyone who sets weights.
    pub validators: Vec<ValidatorReport>,
    /// Whether all set the same weights for the same winner in as many consecutive epochs as were asked for.
    pub agreed: bool,
    /// That winner.
    pub winner: Option<Hotkey>,
    /// The good miner.
    pub expected_winner: Option<Hotkey>,
    /// Seconds since the processes started.
    pub duration_s: f64,
    /// Seconds from then until all had set the same weights for the first time.
    pub first_weights_s: Option<f64>,
}

/// One validator in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorReport {
    /// Who.
    pub hotkey: Hotkey,
    /// Its place on the subnet.
    pub uid: u16,
    /// Peers it is connected with.
    pub peers: u64,
    /// What it set, read back from the chain, oldest first.
    pub epochs: Vec<EpochWeights>,
    /// Tasks that it sampled.
    pub tasks_sampled: u64,
}

impl Report {
    /// Whether the run showed what it should: agreement on the good miner.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.agreed && self.winner.is_some() && self.winner == self.expected_winner
    }

    /// The table for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:>4}  {:<14} {:>5} {:>6}  weights on chain (epoch: winner)",
            "uid", "validator", "peers", "tasks"
        );
        for validator in &self.validators {
            let epochs: Vec<String> = validator
                .epochs
                .iter()
                .map(|epoch| {
                    let winner = epoch.winner_hotkey.as_ref().map_or_else(|| "none".into(), short);
                    let uids: Vec<String> = epoch.weights.iter().map(|(uid, value)| format!("{uid}={value}")).collect();
                    format!("{}: {winner} [{}]", epoch.epoch_block, uids.join(" "))
                })
                .collect();
            let shown = if epochs.is_empty() { "none".into() } else { epochs.join(", ") };
            let (uid, name) = (validator.uid, short(&validator.hotkey));
            let _ =
                writeln!(text, "{uid:>4}  {name:<14} {:>5} {:>6}  {shown}", validator.peers, validator.tasks_sampled);
        }
        let name = |hotkey: &Option<Hotkey>| hotkey.map_or_else(|| "nobody".into(), |hotkey| hotkey.to_string());
        let verdict = match (self.succeeded(), self.agreed) {
            (true, _) => "agreed on the expected winner",
            (false, true) => "agreed, but not on the expected winner",
            (false, false) => "not agreed",
        };
        let _ = writeln!(text, "\n{verdict}");
        let _ = writeln!(text, "winner    {}\nexpected  {}", name(&self.winner), name(&self.expected_winner));
        let first = self.first_weights_s.map_or_else(|| "never".into(), |seconds| format!("after {seconds:.0} s"));
        let _ = write!(text, "first agreed weights {first}, whole run {:.0} s", self.duration_s);
        text
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

    fn report(agreed: bool, winner: Option<u8>) -> Report {
        let key = |byte: u8| Hotkey::from_bytes([byte; 32]);
        let epochs = vec![EpochWeights {
            epoch_block: 180,
            winner_hotkey: winner.map(key),
            weights: vec![(6, 65535)],
            set_at_block: 183,
        }];
        Report {
            validators: vec![ValidatorReport { hotkey: key(1), uid: 1, peers: 3, epochs, tasks_sampled: 2 }],
            agreed,
            winner: winner.map(key),
            expected_winner: Some(key(9)),
            duration_s: 200.4,
            first_weights_s: Some(99.0),
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
    fn the_json_has_the_promised_names() {
        let json = serde_json::to_value(report(true, Some(9))).unwrap();
        for name in ["validators", "agreed", "winner", "expected_winner", "duration_s", "first_weights_s"] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["validators"][0]["epochs"][0]["weights"], serde_json::json!([[6, 65535]]));
        assert_eq!(json["validators"][0]["epochs"][0]["set_at_block"], 183);
    }

    #[test]
    fn the_table_names_uids_values_and_the_verdict() {
        let table = report(true, Some(9)).table();
        assert!(table.contains("[6=65535]") && table.contains("agreed on the expected winner"), "{table}");
        assert!(report(false, None).table().contains("not agreed"));
    }
}
