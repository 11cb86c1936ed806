//! What a validator measured of a miner's answers, as integers that every validator can fold.
//!
//! ```json
//! {"counts": {"failed_user": 2, "ok_user": 10}, "pool": "load", "values": [659109538, null]}
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Nano;
use crate::python_json::Value;

/// Most observations in an entry, each in a pool of its own.
pub const MAX_POOLS: usize = 16;
/// Most values in an observation.
pub const MAX_VALUES: usize = 64;
/// Most counts in an observation.
pub const MAX_COUNTS: usize = 8;
/// Longest name of a pool or a count.
const MAX_NAME_BYTES: usize = 16;

/// A text that is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a name of 1 to 16 of the characters a-z, 0-9, `_` and `-`")]
pub struct NameError {
    /// The refused text, cut to 80 characters.
    pub text: String,
}

/// The name of a pool or of a count: 1 to 16 of `a-z`, `0-9`, `_` and `-`. Names sort as their
/// texts do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name([u8; MAX_NAME_BYTES]);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(MAX_NAME_BYTES);
        // Only ASCII is ever stored.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl Ord for Name {
    /// Compares as the texts do, but as one number: folds compare names for every observation.
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for Name {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(known) {
            return Err(NameError { text: text.chars().take(80).collect() });
        }
        let mut name = [0; MAX_NAME_BYTES];
        name[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(name))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What one validator measured of one miner in one pool of one task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observation {
    /// The pool that it belongs to.
    pub pool: Name,
    /// At most [`MAX_VALUES`], in the order in which they happened; `None` where the miner was
    /// asked and gave nothing usable.
    pub values: Vec<Option<Nano>>,
    /// At most [`MAX_COUNTS`], ascending by name, each name once.
    pub counts: Vec<(Name, u32)>,
}

impl Observation {
    /// The count of this name; zero if it is not there.
    #[inline]
    pub fn count(&self, name: &Name) -> u32 {
        // At most eight: to look at each is faster than a search.
        self.counts.iter().find(|(of, _)| of == name).map_or(0, |(_, count)| *count)
    }

    pub(super) fn to_value(&self) -> Value {
        let value = |value: &Option<Nano>| value.map_or(Value::Null, |value| value.0.into());
        let counts = self.counts.iter().map(|(name, count)| (name.as_str(), (*count).into()));
        let counts: Vec<(&str, Value)> =
            counts.map(|(name, count): (&str, u64)| (name, count.into())).collect();
        Value::object([
            ("pool", self.pool.as_str().into()),
            ("values", Value::Array(self.values.iter().map(value).collect())),
            ("counts", Value::object(counts)),
        ])
    }

    /// Reads an observation strictly: it is input to consensus, and validators that passed over
    /// different parts of it would disagree.
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if value.as_object().is_none_or(|members| members.len() != 3) {
            return Err("an observation is not an object of `pool`, `values` and `counts`");
        }
        let pool = value.get("pool").and_then(Value::as_str).and_then(|name| name.parse().ok());
        let values = value.get("values").and_then(Value::as_array);
        let values = values.filter(|values| values.len() <= MAX_VALUES);
        let values = values.ok_or("an observation's `values` is not an array of at most 64")?;
        let value_of = |value: &Value| match value {
            Value::Null => Ok(None),
            Value::Integer(integer) => integer.as_str().parse().map(|parts| Some(Nano(parts))),
            _ => "".parse().map(|parts| Some(Nano(parts))),
        };
        let values = values.iter().map(value_of).collect::<Result<_, _>>();
        let counts = value.get("counts").and_then(Value::as_object);
        let counts = counts.filter(|counts| counts.len() <= MAX_COUNTS);
        let counts = counts.ok_or("an observation's `counts` is not an object of at most 8")?;
        let count = |(name, count): (&crate::python_json::Text, &Value)| {
            let name = name.as_str()?.parse().ok()?;
            Some((name, u32::try_from(count.as_u64()?).ok()?))
        };
        Ok(Self {
            pool: pool.ok_or("an observation's `pool` is not a name")?,
            values: values.map_err(|_| "an observation's value is not null or 64 bits")?,
            // An object is sorted by key and has each key once.
            counts: counts
                .iter()
                .map(count)
                .collect::<Option<_>>()
                .ok_or("an observation's count is not a name and 32 bits")?,
        })
    }
}

/// Checks an entry's observations as a reader will, before they are signed: every reader refuses a
/// file with invalid ones.
pub(super) fn check(observations: &[Observation]) -> Result<(), &'static str> {
    if observations.len() > MAX_POOLS {
        return Err("an entry has more than 16 observations");
    }
    for (index, observation) in observations.iter().enumerate() {
        if observations[..index].iter().any(|other| other.pool == observation.pool) {
            return Err("two observations of one pool");
        }
        if observation.values.len() > MAX_VALUES {
            return Err("an observation has more than 64 values");
        }
        if observation.counts.len() > MAX_COUNTS {
            return Err("an observation has more than 8 counts");
        }
        // Written as an object, a name that is there twice would lose one of its counts.
        if !observation.counts.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err("an observation's counts are not ascending by name, each once");
        }
    }
    Ok(())
}

/// Reads an entry's `observations`; none if the entry has no such member.
pub(super) fn observations_from(entry: &Value) -> Result<Vec<Observation>, &'static str> {
    let Some(value) = entry.get("observations") else { return Ok(Vec::new()) };
    let observations = value.as_array().filter(|observations| observations.len() <= MAX_POOLS);
    let observations = observations.ok_or("`observations` is not an array of at most 16")?;
    let observations: Vec<_> =
        observations.iter().map(Observation::from_value).collect::<Result<_, _>>()?;
    let mut pools: Vec<_> = observations.iter().map(|observation| observation.pool).collect();
    pools.sort_unstable();
    if pools.windows(2).any(|two| two[0] == two[1]) {
        return Err("two observations of one pool");
    }
    Ok(observations)
}

#[cfg(test)]
mod tests {
    use super::super::{EntryStatus, VerdictEntry};
    use super::*;
    use crate::Hotkey;

    fn entry(observations: Vec<Observation>) -> VerdictEntry {
        let hotkey = Hotkey::from_bytes([7; 32]);
        let entry = VerdictEntry::unusable(hotkey, EntryStatus::Timeout, String::new(), 9);
        VerdictEntry { observations, ..entry }
    }

    /// What an entry with this text as its observations is read as.
    fn read(observations: &str) -> Result<Vec<Observation>, &'static str> {
        let text = entry(Vec::new()).to_value().to_string();
        let open = text.strip_suffix('}').unwrap();
        let text = format!("{open}, \"observations\": {observations}}}");
        let value = Value::parse(text.as_bytes()).unwrap();
        VerdictEntry::from_value(&value).map(|entry| entry.observations)
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_without_observations_has_the_bytes_that_it_always_had() {
        let text = entry(Vec::new()).to_value().to_string();
        assert_eq!(
            text,
            r#"{"aspect_scores": null, "confidence": 100, "fingerprint": null, "generated_artifacts": "{\"aspect_scores\": {}}", "hotkey": "5CDvHBym6RLoxTdX9MS1acpaDbNxaFagqM5LpBiFGjWT6o1n", "latency_ms": 9, "model_revision": null, "original_artifacts": "[]", "passed": false, "presentation_order": "single-video benchmark", "reasoning": "", "score": null, "status": "timeout", "video_sha256": null}"#
        );
    }

    #[test]
    fn observations_are_read_as_they_are_written() {
        let observed = Observation {
            pool: name("load"),
            values: vec![Some(Nano(659_109_538)), None, Some(Nano(i64::MIN))],
            counts: vec![(name("failed_user"), 2), (name("ok_user"), u32::MAX)],
        };
        let empty = Observation { pool: name("x"), values: vec![], counts: vec![] };
        let written = entry(vec![observed, empty]);
        let value = written.to_value();
        assert!(value.to_string().contains(
            r#""observations": [{"counts": {"failed_user": 2, "ok_user": 4294967295}, "pool": "load", "values": [659109538, null, -9223372036854775808]}"#
        ));
        assert_eq!(VerdictEntry::from_value(&value).unwrap(), written);
        assert_eq!(written.observations[0].count(&name("failed_user")), 2);
        assert_eq!(written.observations[0].count(&name("late")), 0);
        assert_eq!(read("[]").unwrap(), []);
    }

    #[test]
    fn a_malformed_observation_is_refused() {
        let one = |pool: &str, values: &str, counts: &str| {
            format!(r#"[{{"pool": {pool}, "values": {values}, "counts": {counts}}}]"#)
        };
        assert!(read(&one("\"a\"", "[1]", "{}")).is_ok());
        let many = |number: usize| format!("[{}]", vec!["0"; number].join(", "));
        assert!(read(&one("\"a\"", &many(64), "{}")).is_ok());
        let counts = |number: u32| {
            let counts: Vec<_> = (0..number).map(|count| format!("\"c{count}\": 1")).collect();
            format!("{{{}}}", counts.join(", "))
        };
        assert!(read(&one("\"a\"", "[]", &counts(8))).is_ok());
        for (text, why) in [
            ("null".to_owned(), "array"),
            ("{}".to_owned(), "array"),
            ("[1]".to_owned(), "object"),
            (r#"[{"pool": "a", "values": []}]"#.to_owned(), "object"),
            (r#"[{"pool": "a", "values": [], "counts": {}, "x": 1}]"#.to_owned(), "object"),
            (one("\"A\"", "[]", "{}"), "pool"),
            (one("\"\"", "[]", "{}"), "pool"),
            (one("\"seventeen-letters\"", "[]", "{}"), "pool"),
            (one("7", "[]", "{}"), "pool"),
            (one("\"a\"", "[0.5]", "{}"), "value"),
            (one("\"a\"", "[NaN]", "{}"), "value"),
            (one("\"a\"", "[true]", "{}"), "value"),
            (one("\"a\"", "[\"1\"]", "{}"), "value"),
            (one("\"a\"", "[9223372036854775808]", "{}"), "value"),
            (one("\"a\"", &many(65), "{}"), "values"),
            (one("\"a\"", "[]", "[]"), "counts"),
            (one("\"a\"", "[]", &counts(9)), "counts"),
            (one("\"a\"", "[]", r#"{"b": -1}"#), "count"),
            (one("\"a\"", "[]", r#"{"b": 4294967296}"#), "count"),
            (one("\"a\"", "[]", r#"{"B": 1}"#), "count"),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        let pool = r#"{"pool": "a", "values": [], "counts": {}}"#;
        assert_eq!(read(&format!("[{pool}, {pool}]")), Err("two observations of one pool"));
        let pools = |number: u32| {
            let pools = (0..number).map(|n| pool.replace("\"a\"", &format!("\"a{n}\"")));
            format!("[{}]", pools.collect::<Vec<_>>().join(", "))
        };
        assert_eq!(read(&pools(16)).unwrap().len(), 16);
        assert!(read(&pools(17)).is_err());
    }

    #[test]
    fn names_sort_as_their_texts() {
        let texts = ["-", "0", "a", "a-b", "a0", "ab", "sixteen-letters-"];
        let names = texts.map(name);
        assert!(names.is_sorted());
        assert_eq!(names.map(|name| name.to_string()), texts);
        for text in ["", "A", "a b", "a\0", "ä", "seventeen-letters"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
