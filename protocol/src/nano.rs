//! Numbers of consensus: integers in parts of 10⁹.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number in parts of 10⁹, between ±9.22·10⁹: prices, tokens per second, distances and scores
/// fit. Whoever measures something rounds it into one of these once and signs it; everything that
/// validators compute from it is integer arithmetic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nano(pub i64);

impl Nano {
    /// Parts of one.
    pub const PARTS: i64 = 1_000_000_000;
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(Self::PARTS);

    /// The nearest number, halves up; `None` for NaN, an infinity, or one out of range. Only for
    /// measurements: no float takes part in consensus.
    pub fn from_f64(number: f64) -> Option<Self> {
        let parts = (number * Self::PARTS as f64 + 0.5).floor();
        // -2^63 is a float, 2^63 is the first one above the range.
        let limit = 2f64.powi(63);
        (parts >= -limit && parts < limit).then_some(Self(parts as i64))
    }

    /// The number that a decimal text says: digits with an optional `-` before them and an optional
    /// point and further digits after them. Places after the ninth are rounded, halves away from
    /// zero. `None` for every other text, and for a number out of range. No float takes part, so
    /// every machine reads the same number.
    pub fn from_decimal(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, places) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if whole.is_empty() || !whole.bytes().chain(places.bytes()).all(is_digit) {
            return None;
        }
        // With more digits it is out of range, unless it has leading zeros, which nobody writes.
        let whole: u64 = whole.parse().ok()?;
        let place = |index: usize| places.as_bytes().get(index).map_or(0, |byte| byte - b'0');
        let parts = (0..9).fold(0_i128, |parts, index| parts * 10 + i128::from(place(index)));
        let rounded = parts + i128::from(place(9) >= 5);
        let parts = sign * (i128::from(whole) * i128::from(Self::PARTS) + rounded);
        i64::try_from(parts).ok().map(Self)
    }

    /// The nearest float, for people.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::PARTS as f64
    }
}

/// As a decimal number with all nine places.
impl fmt::Display for Nano {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (parts, one) = (self.0.unsigned_abs(), Self::PARTS.unsigned_abs());
        write!(f, "{sign}{}.{:09}", parts / one, parts % one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_rounded_halves_up_and_refused_where_they_do_not_fit() {
        assert_eq!(Nano::from_f64(0.886_737_799_4), Some(Nano(886_737_799)));
        assert_eq!(Nano::from_f64(1.5e-9), Some(Nano(2)));
        assert_eq!(Nano::from_f64(-1.5e-9), Some(Nano(-1)));
        assert_eq!(Nano::from_f64(-0.0), Some(Nano::ZERO));
        for outside in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 9.3e9, -9.3e9] {
            assert_eq!(Nano::from_f64(outside), None, "{outside}");
        }
        let limit = 2f64.powi(63) / 1e9;
        assert_eq!(Nano::from_f64(-limit), Some(Nano(i64::MIN)));
        assert_eq!(Nano::from_f64(limit), None);
        assert_eq!(Nano(2_500_000_000).to_f64(), 2.5);
    }

    #[test]
    fn decimal_texts_are_read_exactly() {
        for (text, parts) in [
            ("5000.12", 5_000_120_000_000),
            ("0", 0),
            ("-0.000000001", -1),
            ("0.1", 100_000_000),
            ("0.0000000005", 1),
            ("-0.0000000005", -1),
            ("0.00000000049999", 0),
            ("0.9999999999", 1_000_000_000),
            // A float has neither of these.
            ("9007199.254740993", 9_007_199_254_740_993),
            ("9223372036.854775807", i64::MAX),
            ("-9223372036.854775808", i64::MIN),
        ] {
            assert_eq!(Nano::from_decimal(text), Some(Nano(parts)), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "5.",
            ".5",
            "+5",
            "--5",
            "1e3",
            "1_000",
            "1,5",
            " 5",
            "5 ",
            "NaN",
            "inf",
            "0x10",
            "1.2.3",
            "1.-2",
            "\u{0665}",
            "9223372036.854775808",
            "99999999999999999999",
            "-9223372036.8547758085",
        ] {
            assert_eq!(Nano::from_decimal(text), None, "{text:?}");
        }
        // What we show is read as what it was.
        for parts in [0, 1, -1, 1_500_000_000, i64::MAX, i64::MIN] {
            assert_eq!(Nano::from_decimal(&Nano(parts).to_string()), Some(Nano(parts)));
        }
    }

    #[test]
    fn all_nine_places_are_shown() {
        assert_eq!(Nano(1_500_000_000).to_string(), "1.500000000");
        assert_eq!(Nano(-1).to_string(), "-0.000000001");
        assert_eq!(Nano(i64::MIN).to_string(), "-9223372036.854775808");
    }
}
