//! When forecasts are asked for: the hours of the New York Stock Exchange, from a moment alone.
//!
//! There is no table of holidays. On a holiday miners are asked as on any weekday, no price comes,
//! and forecasts of it are never ranked.

use std::fmt;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// First and last moment of a day at which forecasts begin, in seconds of the local day: 9:30, and
/// 15:30, from which half an hour of forecasts ends with the trading.
const FORECASTS: [i64; 2] = [34_200, 55_800];
/// Until here closing prices are still read, 18:00: what was forecast in the afternoon is only
/// ranked once enough validators have had a turn after it.
const LAST_READING: i64 = 64_800;
/// From here on a day of trading has prices, also in a feed that is late: 11:00.
const FIRST_PRICES: i64 = 39_600;
/// Standard time in New York is this many seconds behind UTC; in summer it is an hour less.
const BEHIND: i64 = 5 * 3600;
/// Hour of UTC at which summer time begins, 2:00 of standard time, and ends, 2:00 of summer time.
const CHANGES: [i64; 2] = [7 * 3600, 6 * 3600];
/// Days of the months in a year that is no leap year.
const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Which hours count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hours {
    /// Those of New York.
    NewYork,
    /// All: for a market that never closes.
    Always,
}

/// What is done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Session {
    /// Miners are asked for forecasts, and closing prices are read.
    Open,
    /// Closing prices are read.
    Reading,
    /// Nothing.
    Closed,
}

impl Hours {
    /// The hours of a setting's word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::NewYork, Self::Always].into_iter().find(|hours| hours.to_string() == word)
    }

    /// What is done at a moment in seconds since 1970.
    pub(crate) fn at(self, moment: u32) -> Session {
        if self == Self::Always {
            return Session::Open;
        }
        let (day, second) = new_york(moment);
        if weekday(day) >= 5 || second < FORECASTS[0] || second > LAST_READING {
            Session::Closed
        } else if second <= FORECASTS[1] {
            Session::Open
        } else {
            Session::Reading
        }
    }

    /// Whether a feed knows prices of the hours before a moment, holidays aside.
    pub(super) fn has_prices(self, moment: u32) -> bool {
        let is_late = || new_york(moment).1 >= FIRST_PRICES && self.at(moment) != Session::Closed;
        self == Self::Always || is_late()
    }
}

/// The day since 1970 and the second of it that New York's clocks show at a moment.
fn new_york(moment: u32) -> (i64, i64) {
    let local = i64::from(moment) - behind(moment.into());
    (local.div_euclid(DAY), local.rem_euclid(DAY))
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewYork => "new_york",
            Self::Always => "always",
        })
    }
}

/// A moment as the clocks of New York show it, in ISO 8601: `2025-01-10T10:05:00-05:00`.
pub(super) fn new_york_text(moment: u32) -> String {
    let behind = behind(moment.into());
    let (day, second) = new_york(moment);
    let (year, first) = year_of(day);
    let (mut month, mut day) = (1, day - first);
    for days in month_days(year) {
        if day < days {
            break;
        }
        (month, day) = (month + 1, day - days);
    }
    let [hour, minute, second] = [second / 3600, second / 60 % 60, second % 60];
    let (day, zone) = (day + 1, behind / 3600);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}-{zone:02}:00")
}

/// How many seconds New York is behind UTC at a moment, by the rule of 2007: summer time from the
/// second Sunday in March to the first one in November.
fn behind(moment: i64) -> i64 {
    // Neither change is near the turn of a year, so the year of UTC is the local one here.
    let (year, first) = year_of(moment.div_euclid(DAY));
    let months = month_days(year);
    let march = first + months[..2].iter().sum::<i64>();
    let november = first + months[..10].iter().sum::<i64>();
    let begins = (sunday_from(march) + 7) * DAY + CHANGES[0];
    let ends = sunday_from(november) * DAY + CHANGES[1];
    if (begins..ends).contains(&moment) { BEHIND - 3600 } else { BEHIND }
}

/// The weekday of a day since 1970, Monday is zero: 1970 began on a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// The first Sunday from a day on.
fn sunday_from(day: i64) -> i64 {
    day + 6 - weekday(day)
}

/// The year of a day since 1970, and that year's first day.
fn year_of(day: i64) -> (i64, i64) {
    let (mut year, mut first) = (1970, 0);
    // At most 136 years, as moments have 32 bits; the evening before 1970 is taken for a part of it.
    while day >= first + year_days(year) {
        first += year_days(year);
        year += 1;
    }
    (year, first)
}

fn year_days(year: i64) -> i64 {
    month_days(year).iter().sum()
}

fn month_days(year: i64) -> [i64; 12] {
    let mut months = MONTHS;
    months[1] += i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    months
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970, as `date -u -d … +%s` says, beside what New York's clocks show.
    const KNOWN: [(u32, &str); 11] = [
        (1_736_519_700, "2025-01-10T09:35:00-05:00"),
        // Both sides of both changes of 2025.
        (1_741_503_599, "2025-03-09T01:59:59-05:00"),
        (1_741_503_600, "2025-03-09T03:00:00-04:00"),
        (1_762_063_199, "2025-11-02T01:59:59-04:00"),
        (1_762_063_200, "2025-11-02T01:00:00-05:00"),
        // A leap day, and the turn of a year.
        (1_709_218_800, "2024-02-29T10:00:00-05:00"),
        (1_735_707_599, "2024-12-31T23:59:59-05:00"),
        (1_735_707_600, "2025-01-01T00:00:00-05:00"),
        // 2026 has its changes on other dates: 8 March and 1 November.
        (1_772_953_199, "2026-03-08T01:59:59-05:00"),
        (1_772_953_200, "2026-03-08T03:00:00-04:00"),
        (1_793_512_800, "2026-11-01T01:00:00-05:00"),
    ];

    #[test]
    fn moments_are_shown_as_new_yorks_clocks_show_them() {
        for (moment, text) in KNOWN {
            assert_eq!(new_york_text(moment), text);
        }
        assert_eq!(new_york_text(u32::MAX), "2106-02-07T01:28:15-05:00");
    }

    #[test]
    fn forecasts_are_asked_for_in_new_yorks_hours_whatever_the_season() {
        // Friday in January, and Tuesday in July 2025; both begin at 9:30.
        for opening in [1_736_519_400, 1_751_981_400] {
            let at = |after: i64| Hours::NewYork.at((i64::from(opening) + after) as u32);
            assert_eq!(at(-1), Session::Closed);
            assert_eq!(at(0), Session::Open);
            assert_eq!(at(6 * 3600), Session::Open, "15:30");
            assert_eq!(at(6 * 3600 + 1), Session::Reading);
            assert_eq!(at(8 * 3600 + 1800), Session::Reading, "18:00");
            assert_eq!(at(8 * 3600 + 1801), Session::Closed);
            assert!(new_york_text(opening).contains("T09:30:00"), "{}", new_york_text(opening));
        }
        // Around a change the same hour of UTC is another one in New York: Fridays before and after.
        assert_eq!(Hours::NewYork.at(1_741_355_400), Session::Closed, "7 March 2025, 8:50");
        assert_eq!(Hours::NewYork.at(1_741_355_400 + 7 * 86_400), Session::Open, "14 March, 9:50");
    }

    #[test]
    fn a_weekend_has_no_moment_at_which_anything_is_done() {
        // From Friday's last reading to Monday's opening, in steps of five minutes.
        let friday = 1_736_519_400_u32 + 8 * 3600 + 1800;
        let monday = 1_736_519_400_u32 + 3 * 86_400;
        let open = (friday + 300..monday).step_by(300);
        assert!(open.clone().count() > 700);
        assert!(open.clone().all(|moment| Hours::NewYork.at(moment) == Session::Closed));
        assert_eq!(Hours::NewYork.at(monday), Session::Open);
        assert_eq!(Hours::Always.at(friday + 86_400), Session::Open);
    }

    #[test]
    fn from_eleven_on_a_day_of_trading_has_prices() {
        let opening = 1_736_519_400_u32;
        let has = |after: u32| Hours::NewYork.has_prices(opening + after);
        assert!(!has(0) && !has(5399) && has(5400));
        assert!(has(8 * 3600 + 1800) && !has(8 * 3600 + 1801), "18:00");
        assert!(!has(86_400 + 7200), "a Saturday");
        assert!(Hours::Always.has_prices(opening + 86_400));
    }

    #[test]
    fn hours_have_a_word_each() {
        for hours in [Hours::NewYork, Hours::Always] {
            assert_eq!(Hours::of_word(&hours.to_string()), Some(hours));
        }
        assert_eq!(Hours::of_word("london"), None);
    }
}
