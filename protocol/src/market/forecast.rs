//! A miner's forecast: as many prices as were asked for.

use crate::Nano;
use crate::python_json::Value;

/// Why a forecast is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForecastFault {
    /// `null`.
    #[error("it holds no forecast")]
    Nothing,
    /// Not a list.
    #[error("it is not a list")]
    NotAList,
    /// Another number of values than was asked for.
    #[error("it has {found} values instead of {asked}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many were asked for.
        asked: usize,
    },
    /// A value that is neither a number nor a decimal text above zero and in range.
    #[error("value {place} is not a price")]
    Price {
        /// Its place, from one on.
        place: usize,
    },
}

/// The prices of a forecast: JSON numbers, or decimal texts, which the SDK's models also take for
/// numbers. A number means the shortest decimal text that gives its float, as Python writes it, and
/// is read from that text exactly. Prices with more than nine places are rounded.
///
/// # Errors
/// [`ForecastFault`] for the first thing that is wrong. A forecast with one bad value has none.
pub fn read_forecast(value: &Value, asked: usize) -> Result<Vec<Nano>, ForecastFault> {
    if *value == Value::Null {
        return Err(ForecastFault::Nothing);
    }
    let values = value.as_array().ok_or(ForecastFault::NotAList)?;
    if values.len() != asked {
        return Err(ForecastFault::Length { found: values.len(), asked });
    }
    let price = |(place, value): (usize, &Value)| {
        price(value).filter(|price| *price > Nano::ZERO).ok_or(ForecastFault::Price { place })
    };
    (1..).zip(values).map(price).collect()
}

fn price(value: &Value) -> Option<Nano> {
    match value {
        Value::Integer(integer) => Nano::from_decimal(integer.as_str()),
        // Rust writes the shortest such text, and never an exponent.
        Value::Float(float) => Nano::from_decimal(&float.to_string()),
        _ => Nano::from_decimal(value.as_str()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Nano>, ForecastFault> {
        read_forecast(&Value::parse(text.as_bytes()).unwrap(), 2)
    }

    #[test]
    fn numbers_and_decimal_texts_are_read_exactly() {
        let read = |text| read(text).unwrap().into_iter().map(|price| price.0).collect::<Vec<_>>();
        assert_eq!(read("[5000.12, 5001]"), [5_000_120_000_000, 5_001_000_000_000]);
        assert_eq!(read(r#"["5000.12", "5001"]"#), [5_000_120_000_000, 5_001_000_000_000]);
        // The float nearest to 5021.3378906251234 times 10⁹ would lose the last places.
        assert_eq!(read("[5021.337890625123, 0.1]"), [5_021_337_890_625, 100_000_000]);
        assert_eq!(read("[5e3, 0.000000001]"), [5_000_000_000_000, 1]);
        assert_eq!(read("[9223372036.0, 9223372036]"), [9_223_372_036_000_000_000; 2]);
        // Flat forecasts are allowed.
        assert_eq!(read("[7, 7]"), [7_000_000_000; 2]);
    }

    #[test]
    fn each_malformed_forecast_has_one_clear_reason() {
        use ForecastFault::{Length, NotAList, Nothing, Price};
        assert_eq!(read("null"), Err(Nothing));
        for text in ["5", "\"[1, 2]\"", "{}", "true"] {
            assert_eq!(read(text), Err(NotAList), "{text}");
        }
        assert_eq!(read("[1]"), Err(Length { found: 1, asked: 2 }));
        assert_eq!(read("[]"), Err(Length { found: 0, asked: 2 }));
        assert_eq!(read("[1, 2, 3]"), Err(Length { found: 3, asked: 2 }));
        let digits = "9".repeat(400);
        for value in [
            "null",
            "true",
            "[]",
            "{}",
            "\"up\"",
            "\"\"",
            "\"1e3\"",
            "\"NaN\"",
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "-0.0",
            "-5000",
            "1e-10",
            "1e10",
            "1e308",
            &digits,
            "\"\\ud800\"",
        ] {
            assert_eq!(read(&format!("[{value}, 1]")), Err(Price { place: 1 }), "{value}");
            assert_eq!(read(&format!("[1, {value}]")), Err(Price { place: 2 }), "{value}");
        }
        assert_eq!(Length { found: 5, asked: 6 }.to_string(), "it has 5 values instead of 6");
    }

    proptest! {
        /// A price with nine places or fewer survives its way through a float's shortest text.
        #[test]
        fn a_price_in_cents_is_read_from_a_number_as_from_a_text(cents in 1i64..1_000_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            let forecast = read(&format!("[{text}, \"{text}\"]"));
            let expected = cents.checked_mul(10_000_000).map(|parts| vec![Nano(parts); 2]);
            prop_assert_eq!(forecast.ok(), expected);
        }
    }
}
