//! The request of the S&P 500 oracle's miners, and what an answer to it is.

use std::time::Duration;

use leoma_protocol::Nano;
use leoma_protocol::market::read_forecast;
use leoma_protocol::python_json::Value;
use leoma_protocol::synapse::{BuildError, Field, FieldKind, Fields, Question, SynapseClass};

use super::hours::new_york_text;

/// The class `Challenge` of snpOracle at 5302a25, field for field. It names no hashed fields, so
/// the signature does not cover the moment that is asked about; our own file does.
pub(crate) const CHALLENGE: SynapseClass = SynapseClass {
    name: "Challenge",
    fields: &[
        Field::new("repo_id", FieldKind::Text).nullable(),
        Field::new("model", FieldKind::Text).nullable(),
        Field::new("decryption_key", FieldKind::Text).nullable(),
        Field::new("data", FieldKind::Text).nullable(),
        Field::new("timestamp", FieldKind::Text).required(),
        Field::new(PREDICTION, FieldKind::List).nullable().mutable(),
    ],
    hashed: &[],
};
/// The field with the forecast.
const PREDICTION: &str = "prediction";
/// Time that a miner has to answer: the SDK's own, which upstream leaves as it is.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(12);
/// Largest answer: the synapse of the SDK has about two KiB.
pub(crate) const ANSWER_BYTES: usize = 16 << 10;
/// Longest list of prices, as text. It is kept for whoever checks the task.
const MAX_PREDICTION_CHARS: usize = 1024;

/// The question for forecasts from `begin` on, in seconds since 1970. The text shows the moment as
/// upstream does, by the clocks of New York.
///
/// # Errors
/// [`BuildError`], which no moment leads to.
pub(crate) fn question(begin: u32, timeout: Duration) -> Result<Question, BuildError> {
    let nothing = ["repo_id", "model", "decryption_key", "data", PREDICTION];
    let mut fields: Fields = nothing.map(|name| (name, Value::Null)).into();
    fields.insert("timestamp", new_york_text(begin).into());
    Question::new(&CHALLENGE, &fields, timeout)
}

/// A miner's answer as it is judged: its text, for whoever repeats this, and the prices in it or
/// the reason why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The JSON of the field, cut after so many characters that it stays too long.
    pub(crate) text: String,
    /// As many prices as were asked for.
    pub(crate) forecast: Result<Vec<Nano>, String>,
}

/// What the filled fields of an answer say.
pub(crate) fn told(fields: &Fields, cells: u8) -> Told {
    told_text(&fields.get(PREDICTION).unwrap_or(&Value::Null).to_string(), cells)
}

/// What the JSON of the field says: the same for the miner's answer and for what is kept of it.
pub(crate) fn told_text(text: &str, cells: u8) -> Told {
    let is_short = text.chars().nth(MAX_PREDICTION_CHARS).is_none();
    let forecast = if is_short {
        let value = Value::parse(text.as_bytes()).map_err(|error| error.to_string());
        value.and_then(|value| {
            read_forecast(&value, cells.into()).map_err(|fault| fault.to_string())
        })
    } else {
        Err(format!("it has more than {MAX_PREDICTION_CHARS} characters"))
    };
    Told { text: text.chars().take(MAX_PREDICTION_CHARS + 1).collect(), forecast }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an axon that sends this body says.
    fn answered(body: &str) -> Result<Told, String> {
        let fields = CHALLENGE.read_answer(body.as_bytes()).map_err(|fault| fault.to_string())?;
        Ok(told(&fields, 6))
    }

    #[test]
    fn the_question_names_the_moment_by_new_yorks_clocks() {
        let question = question(1_736_519_700, TIMEOUT).unwrap();
        assert_eq!((question.class().name, question.timeout()), ("Challenge", TIMEOUT));
        let shown = format!("{question:?}");
        assert!(shown.contains("2025-01-10T09:35:00-05:00"), "{shown}");
    }

    #[test]
    fn six_prices_are_a_forecast_and_what_is_kept_is_judged_alike() {
        let prices = r#"[5000.12, 5001, "5002.5", 4999.999999999, 5e3, 5000.0]"#;
        let told = answered(&format!(
            r#"{{"timestamp": 5, "prediction": {prices}, "model": "m", "total_size": 0}}"#
        ));
        let told = told.unwrap();
        let expected = [
            5_000_120_000_000,
            5_001_000_000_000,
            5_002_500_000_000,
            4_999_999_999_999,
            5_000_000_000_000,
            5_000_000_000_000,
        ];
        assert_eq!(told.forecast.as_deref(), Ok(&expected.map(Nano)[..]));
        assert_eq!(told_text(&told.text, 6), told);
    }

    #[test]
    fn each_malformed_answer_has_its_reason() {
        let reason = |prediction: &str| {
            let told = answered(&format!(r#"{{"prediction": {prediction}}}"#))?;
            assert_eq!(told_text(&told.text, 6).forecast, told.forecast, "{prediction}");
            told.forecast.map(drop)
        };
        let long = format!("[{}\"]", "\"1".to_owned() + &"0".repeat(1100));
        for (prediction, part) in [
            ("[1, 2, 3, 4, 5]", "5 values instead of 6"),
            ("[1, 2, 3, 4, 5, 6, 7]", "7 values instead of 6"),
            ("[]", "0 values"),
            ("null", "no forecast"),
            (r#"["up", "up", "up", "down", "down", "up"]"#, "value 1 is not a price"),
            ("[1, 2, 3, 4, 5, null]", "value 6 is not a price"),
            ("[1, 2, 3, NaN, 5, 6]", "not a finite number"),
            ("[1, 2, 3, 1e999, 5, 6]", "not a finite number"),
            ("[1, 2, 3, 1e300, 5, 6]", "value 4 is not a price"),
            ("[1, 2, 3, 99999999999, 5, 6]", "value 4 is not a price"),
            ("[1, -2, 3, 4, 5, 6]", "value 2 is not a price"),
            ("[0, 2, 3, 4, 5, 6]", "value 1 is not a price"),
            ("[[1], 2, 3, 4, 5, 6]", "value 1 is not a price"),
            ("{}", "not a list"),
            ("\"[1, 2, 3, 4, 5, 6]\"", "not a list"),
            ("5", "not a list"),
            (long.as_str(), "more than 1024 characters"),
            ("[1, 2, 3, 4, 5, 6], \"prediction\": [7]", "twice"),
        ] {
            let reason = reason(prediction).unwrap_err();
            assert!(reason.contains(part), "{prediction}: {reason}");
        }
        assert!(answered("{}").unwrap_err().contains("missing"));
        assert!(answered("[1, 2, 3, 4, 5, 6]").unwrap_err().contains("not a JSON object"));
    }
}
