//! Amounts: written in TAO, stored in rao.

use std::fmt;
use std::str::FromStr;

/// Rao of one TAO, and its digits after the point.
const RAO: u64 = 1_000_000_000;
const DIGITS: usize = 9;

/// An amount in rao, written in TAO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tao(u64);

impl Tao {
    pub(super) const fn of_rao(rao: u64) -> Self {
        Self(rao)
    }

    pub(super) const fn rao(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Tao {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % RAO);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{} TAO", self.0 / RAO),
            fraction => write!(f, "{}.{fraction} TAO", self.0 / RAO),
        }
    }
}

impl FromStr for Tao {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be an amount such as 0.5, with at most 9 digits after the point";
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
        if whole.is_empty() || fraction.len() > DIGITS || !digits(whole) || !digits(fraction) {
            return Err(FORM);
        }
        let whole: u64 = whole.parse().map_err(|_| FORM)?;
        let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().map_err(|_| FORM)?;
        whole.checked_mul(RAO).and_then(|rao| rao.checked_add(fraction)).map(Self).ok_or(FORM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_and_written_in_tao() {
        for (text, rao) in [
            ("0", 0),
            ("1", RAO),
            ("0.5", 500_000_000),
            ("2.000000001", 2 * RAO + 1),
            ("3.", 3 * RAO),
        ] {
            assert_eq!(text.parse(), Ok(Tao(rao)), "{text}");
        }
        for text in ["", ".5", "-1", "1e3", "0.0000000001", "99999999999999", "1,5"] {
            assert!(text.parse::<Tao>().is_err(), "{text}");
        }
        assert_eq!(Tao(1_500_000_000).to_string(), "1.5 TAO");
        assert_eq!(Tao(RAO).to_string(), "1 TAO");
    }

    proptest! {
        #[test]
        fn every_amount_comes_back(rao: u64) {
            let text = Tao(rao).to_string();
            prop_assert_eq!(text.trim_end_matches(" TAO").parse(), Ok(Tao(rao)));
        }
    }
}
