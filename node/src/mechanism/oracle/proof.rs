//! What a task's `metadata.json` says: everything that its entries follow from.

use std::collections::BTreeMap;

use leoma_protocol::market::Closes;
use leoma_protocol::verdict::{EntryStatus, Name, Observation, VerdictEntry};
use leoma_protocol::{BlockNumber, Digest, Hotkey, Nano, Netuid, TaskId};
use serde::{Deserialize, Serialize};

use super::challenge::told_text;
use super::hours::{Session, new_york_text};
use super::rules::Rules;
use crate::corpus::Seed;

/// The version of this form.
pub(crate) const SCHEMA: &str = "leoma.oracle/1";
/// Who judges: the forecasts are not scored here, but ranked by everybody.
pub(crate) const JUDGE: &str = "oracle/1";
/// The count that says at which moment an observation begins.
const MOMENT: &str = "t0";

/// The status of an answer that cannot be used.
const MALFORMED: &str = "malformed";
/// The status of a validator's own reading.
pub(crate) const REFERENCE: &str = "reference";
/// The status of miners that were not asked, because no forecasts begin at this hour.
const CLOSED: &str = "closed";

/// When a task takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The chain's clock at the task's first block, in milliseconds since 1970.
    pub(crate) start_ms: u64,
    /// The moment at which the forecasts begin, in seconds since 1970.
    pub(crate) begin: u32,
    /// The first and the last moment of the reading.
    pub(crate) read: [u32; 2],
    /// What is done at that moment.
    pub(crate) session: Session,
}

/// What one miner said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// Our time to the end of its answer.
    pub(crate) took_ms: u64,
    /// Its answer, or why there is none.
    pub(crate) said: Said,
}

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// The JSON of the field with the forecast.
    Prediction(String),
    /// There is none, or none that can be read.
    Nothing {
        /// The status of the entry.
        status: String,
        /// The reason, for people.
        reason: String,
    },
}

/// A task's `metadata.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OracleMetadata {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// The task.
    pub(crate) task_id: TaskId,
    /// The mechanism's index.
    pub(crate) netuid: Netuid,
    /// The chain.
    pub(crate) genesis: Digest,
    /// Who asked.
    pub(crate) validator: Hotkey,
    /// The chain's head when the task was taken up.
    pub(crate) block: BlockNumber,
    /// The task's first block.
    pub(crate) seed: Seed,
    /// When the task takes place.
    pub(crate) plan: Plan,
    /// The moment as miners were told it.
    pub(crate) timestamp: String,
    /// What our feed said, in parts of 10⁹.
    pub(crate) closes: Closes,
    /// What each miner said.
    pub(crate) heard: BTreeMap<Hotkey, Heard>,
}

impl OracleMetadata {
    /// The entries that follow from it, sorted by hotkey.
    pub(crate) fn entries(&self, rules: &Rules) -> Vec<VerdictEntry> {
        let of_miner = |(miner, heard): (&Hotkey, &Heard)| entry(*miner, heard, &self.plan, rules);
        let mut entries: Vec<VerdictEntry> = self.heard.iter().map(of_miner).collect();
        entries.push(reading(self.validator, &self.closes, &self.plan, rules));
        entries.sort_by_key(|entry| entry.hotkey);
        entries
    }
}

/// What is written where no forecasts begin: miners are not asked.
pub(crate) fn not_asked(plan: &Plan) -> Heard {
    let reason = format!("no forecasts begin at {}", new_york_text(plan.begin));
    Heard { took_ms: 0, said: Said::Nothing { status: CLOSED.to_owned(), reason } }
}

/// A miner's entry. Whoever was asked and gave no forecast is observed with nulls: it is last, and
/// earns nothing.
fn entry(miner: Hotkey, heard: &Heard, plan: &Plan, rules: &Rules) -> VerdictEntry {
    let nothing = || vec![None; usize::from(rules.cells)];
    let (status, reason, values) = match &heard.said {
        Said::Nothing { status, reason } => {
            (EntryStatus::from_word(status), reason.clone(), nothing())
        }
        Said::Prediction(text) => match told_text(text, rules.cells).forecast {
            Ok(forecast) => {
                let reason = format!("forecasts from {}", new_york_text(plan.begin));
                (EntryStatus::Passed, reason, forecast.into_iter().map(Some).collect())
            }
            Err(reason) => (EntryStatus::from_word(MALFORMED), reason, nothing()),
        },
    };
    let observed = (plan.session == Session::Open).then(|| of(rules.pool, values, plan.begin));
    VerdictEntry {
        passed: status == EntryStatus::Passed,
        observations: observed.into_iter().flatten().collect(),
        ..VerdictEntry::unusable(miner, status, reason, heard.took_ms)
    }
}

/// The validator's own entry.
fn reading(validator: Hotkey, closes: &Closes, plan: &Plan, rules: &Rules) -> VerdictEntry {
    let values = rules.values(closes, plan.read);
    let known = values.iter().flatten().count();
    let reason = format!("{known} closing prices up to {}", new_york_text(plan.read[1]));
    let status = EntryStatus::from_word(REFERENCE);
    VerdictEntry {
        observations: of(rules.truth, values, plan.read[0]).into_iter().collect(),
        ..VerdictEntry::unusable(validator, status, reason, 0)
    }
}

/// An observation that begins at a moment; `None` never, as the count's name is one.
fn of(pool: Name, values: Vec<Option<Nano>>, begin: u32) -> Option<Observation> {
    let moment = MOMENT.parse().ok()?;
    Some(Observation { pool, values, counts: vec![(moment, begin)] })
}

#[cfg(test)]
pub(super) mod tests {
    use leoma_rotation::PolicyRecord;

    use super::*;

    pub(in crate::mechanism::oracle) fn rules() -> Rules {
        let record = include_str!("../../../../rotation/policies/oracle.toml");
        Rules::of(&PolicyRecord::parse(record).unwrap()).unwrap()
    }

    pub(in crate::mechanism::oracle) fn plan(session: Session) -> Plan {
        let start_ms = 1_736_519_701_000;
        let rules = rules();
        let (begin, read) = (rules.begin(start_ms).unwrap(), rules.read(start_ms).unwrap());
        Plan { start_ms, begin, read, session }
    }

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    pub(in crate::mechanism::oracle) fn metadata(
        session: Session,
        heard: Vec<(u8, Heard)>,
    ) -> OracleMetadata {
        let plan = plan(session);
        OracleMetadata {
            schema: SCHEMA.to_owned(),
            task_id: TaskId(7),
            netuid: Netuid(99),
            genesis: Digest::of(b"chain"),
            validator: hotkey(5),
            block: BlockNumber(701),
            seed: Seed { block: BlockNumber(700), hash: Digest::of(b"hash") },
            plan,
            timestamp: new_york_text(plan.begin),
            closes: [(1_736_519_700, Nano(5)), (1_736_519_400, Nano(6))].into(),
            heard: heard.into_iter().map(|(seed, heard)| (hotkey(seed), heard)).collect(),
        }
    }

    fn heard(said: Said) -> Heard {
        Heard { took_ms: 40, said }
    }

    fn nothing(status: &str) -> Heard {
        heard(Said::Nothing { status: status.into(), reason: "why".into() })
    }

    #[test]
    fn every_miner_has_an_entry_and_so_has_the_validators_own_reading() {
        let good = heard(Said::Prediction("[1, 2, 3, 4, 5, 6.5]".into()));
        let five = heard(Said::Prediction("[1, 2, 3, 4, 5]".into()));
        let metadata = metadata(Session::Open, vec![(9, good), (1, five), (7, nothing("timeout"))]);
        let entries = metadata.entries(&rules());
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                let [observed] = &entry.observations[..] else { panic!("{entry:?}") };
                let known = observed.values.iter().flatten().count();
                let begin = observed.counts[0].1;
                (entry.status.as_str(), entry.passed, observed.pool.as_str(), known, begin)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("malformed", false, "forecast", 0, 1_736_520_000),
                ("reference", false, "close", 2, 1_736_519_700 - 63 * 300),
                ("timeout", false, "forecast", 0, 1_736_520_000),
                ("passed", true, "forecast", 6, 1_736_520_000),
            ]
        );
        assert_eq!(entries[0].reasoning, "it has 5 values instead of 6");
        assert_eq!(entries[3].observations[0].values[5], Some(Nano(6_500_000_000)));
        let silent = &entries[2].observations[0].values;
        assert_eq!(silent[..], [None; 6], "asked, and silent");
        // The newest moments of a reading are at its end.
        assert_eq!(entries[1].observations[0].values[62..], [Some(Nano(6)), Some(Nano(5))]);
    }

    #[test]
    fn after_the_last_forecasts_prices_are_still_read() {
        let plan = plan(Session::Reading);
        let metadata = metadata(Session::Reading, vec![(9, not_asked(&plan))]);
        let entries = metadata.entries(&rules());
        assert_eq!(entries[1].status.as_str(), "closed");
        assert!(entries[1].observations.is_empty() && !entries[1].passed);
        assert_eq!(entries[0].observations[0].pool.as_str(), "close");
    }

    #[test]
    fn metadata_is_read_as_it_is_written() {
        let metadata = metadata(Session::Open, vec![(9, nothing("no_response"))]);
        let text = serde_json::to_string(&metadata).unwrap();
        assert_eq!(serde_json::from_str::<OracleMetadata>(&text).unwrap(), metadata);
        assert!(text.contains(r#""schema":"leoma.oracle/1""#), "{text}");
    }
}
