//! A feed's closing prices: `[{"t": 1736521200, "close": "5000.12"}, …]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Nano;

/// Largest answer of a feed that is read: a year of hours stays below it.
pub const MAX_FEED_BYTES: usize = 256 << 10;
/// Most prices in an answer.
pub const MAX_CLOSES: usize = 4096;

/// Closing prices by their moment, in seconds since 1970.
pub type Closes = BTreeMap<u64, Nano>;

/// Why an answer of a feed is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedFault {
    /// Longer than any answer that is asked for.
    #[error("it has {0} bytes, more than {MAX_FEED_BYTES}")]
    TooLarge(usize),
    /// Not a JSON array of objects with an integer `t` and a text `close`, each once; a list of the
    /// two is read like such an object.
    #[error("line {line}, column {column}: not [{{\"t\": seconds, \"close\": \"5000.12\"}}, …]")]
    Form {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// More prices than anybody asks for.
    #[error("it has {0} prices, more than {MAX_CLOSES}")]
    TooMany(usize),
    /// A moment that no observation can name.
    #[error("the moment {0} is not a time in seconds since 1970")]
    Moment(u64),
    /// A price that is not a decimal text above zero and below nine milliards.
    #[error("the price at {0} is not a decimal text above zero")]
    Price(u64),
    /// Two prices for one moment.
    #[error("there are two prices at {0}")]
    Twice(u64),
}

/// A price as a feed writes it. Further members are passed over: vendors add volumes and names.
#[derive(Deserialize)]
struct Written<'a> {
    t: u64,
    /// A number would be read as a float by most writers and readers, so only a text is taken.
    #[serde(borrow)]
    close: std::borrow::Cow<'a, str>,
}

/// The closing prices in an answer of a feed, in any order.
///
/// # Errors
/// [`FeedFault`] for the first thing that is wrong. Nothing of such an answer is used: half of a
/// reading could be what somebody wants to have read.
pub fn read_closes(body: &[u8]) -> Result<Closes, FeedFault> {
    if body.len() > MAX_FEED_BYTES {
        return Err(FeedFault::TooLarge(body.len()));
    }
    let written: Vec<Written<'_>> = serde_json::from_slice(body)
        .map_err(|error| FeedFault::Form { line: error.line(), column: error.column() })?;
    if written.len() > MAX_CLOSES {
        return Err(FeedFault::TooMany(written.len()));
    }
    let mut closes = Closes::new();
    for Written { t, close } in written {
        if t == 0 || u32::try_from(t).is_err() {
            return Err(FeedFault::Moment(t));
        }
        let price = Nano::from_decimal(&close).filter(|price| *price > Nano::ZERO);
        let price = price.ok_or(FeedFault::Price(t))?;
        if closes.insert(t, price).is_some() {
            return Err(FeedFault::Twice(t));
        }
    }
    Ok(closes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(close: &str) -> Result<Closes, FeedFault> {
        read_closes(format!(r#"[{{"t": 300, "close": {close}}}]"#).as_bytes())
    }

    #[test]
    fn prices_are_read_exactly_in_any_order() {
        let closes = read_closes(
            br#"[{"close": "5000.12", "t": 600, "volume": 7}, {"t": 300, "close": "4999.999999999"}]"#,
        );
        let expected = [(300, Nano(4_999_999_999_999)), (600, Nano(5_000_120_000_000))];
        assert_eq!(closes.unwrap(), expected.into());
        assert_eq!(read_closes(b" [] ").unwrap(), Closes::new());
        assert_eq!(read_closes(br#"[[300, "5"]]"#).unwrap()[&300], Nano(5_000_000_000));
        assert_eq!(of(r#""\u0035""#).unwrap()[&300], Nano(5_000_000_000));
    }

    #[test]
    fn each_malformed_field_has_one_clear_reason() {
        let is_form =
            |result: Result<Closes, FeedFault>| matches!(result, Err(FeedFault::Form { .. }));
        for close in
            ["5000.12", "null", "true", "[]", "{}", "NaN", "\"\\ud800\"", "\"5", "\"\u{1}\""]
        {
            assert!(is_form(of(close)), "{close}");
        }
        for close in
            ["", "-1", "0", "0.0000000001", "1e3", "NaN", "Infinity", "5 000", "10000000000"]
        {
            assert_eq!(of(&format!("\"{close}\"")), Err(FeedFault::Price(300)), "{close}");
        }
        let at = |t: &str| read_closes(format!(r#"[{{"t": {t}, "close": "1"}}]"#).as_bytes());
        for t in ["-300", "300.0", "3e2", "\"300\"", "null", "true", "99999999999999999999", "NaN"]
        {
            assert!(is_form(at(t)), "{t}");
        }
        assert_eq!(at("0"), Err(FeedFault::Moment(0)));
        assert_eq!(at("4294967296"), Err(FeedFault::Moment(1 << 32)));
        for text in [
            "",
            "{}",
            "null",
            "[1]",
            "[null]",
            r#"[{"t": 300}]"#,
            r#"[{"close": "1"}]"#,
            r#"[{"t": 300, "t": 600, "close": "1"}]"#,
            r#"[{"t": 300, "close": "1", "close": "2"}]"#,
            r#"[{"t": 300, "close": "1"}"#,
            r#"[{"t": 300, "close": "1"}] x"#,
        ] {
            assert!(is_form(read_closes(text.as_bytes())), "{text}");
        }
        assert!(is_form(read_closes(b"[{\"t\": 300, \"close\": \"\xff\"}]")));
    }

    #[test]
    fn answers_that_are_too_long_or_contradict_themselves_are_refused() {
        let twice =
            br#"[{"t": 300, "close": "1"}, {"t": 600, "close": "1"}, {"t": 300, "close": "1"}]"#;
        assert_eq!(read_closes(twice), Err(FeedFault::Twice(300)));
        let many = |number: usize| {
            let one = |t: usize| format!(r#"{{"t":{t},"close":"1"}}"#);
            let all: Vec<String> = (1..=number).map(one).collect();
            read_closes(format!("[{}]", all.join(",")).as_bytes())
        };
        assert_eq!(many(MAX_CLOSES).unwrap().len(), MAX_CLOSES);
        assert_eq!(many(MAX_CLOSES + 1), Err(FeedFault::TooMany(MAX_CLOSES + 1)));
        let padded = vec![b' '; MAX_FEED_BYTES + 1];
        assert_eq!(read_closes(&padded), Err(FeedFault::TooLarge(padded.len())));
        let said = FeedFault::Form { line: 1, column: 9 }.to_string();
        assert_eq!(said, r#"line 1, column 9: not [{"t": seconds, "close": "5000.12"}, …]"#);
    }
}
