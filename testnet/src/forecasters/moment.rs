//! The moment in a request: `2025-01-10T09:35:00-05:00`.

/// Days before each month of a year that is no leap year.
const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// The seconds since 1970 of an ISO 8601 text with an offset; `None` for any other text.
pub fn moment_of(text: &str) -> Option<u64> {
    let (clock, sign, offset) = match (text.get(..19)?, text.get(19..20)?, text.get(20..)?) {
        (clock, "-", offset) => (clock, -1, offset),
        (clock, "+", offset) => (clock, 1, offset),
        _ => return None,
    };
    let (date, time) = clock.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let [hours, minutes] = numbers(offset, ':')?;
    let month_index = usize::try_from(month.checked_sub(1)?).ok()?;
    let before = *BEFORE.get(month_index)?;
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let is_leap = leaps(year) > leaps(year - 1);
    let leap_day = i64::from(is_leap && month > 2);
    let days = 365 * (year - 1970) + leaps(year - 1) - leaps(1969) + before + leap_day + day - 1;
    let local = 86_400 * days + 3600 * hour + 60 * minute + second;
    u64::try_from(local - sign * (3600 * hours + 60 * minutes)).ok()
}

/// As many numbers as are asked for, between separators.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>());
    let numbers: Vec<i64> =
        text.split(separator).map(|part| number(part)?.ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_season_and_year() {
        for (text, moment) in [
            ("2025-01-10T09:35:00-05:00", 1_736_519_700),
            ("2025-03-09T03:00:00-04:00", 1_741_503_600),
            ("2024-02-29T10:00:00-05:00", 1_709_218_800),
            ("2024-12-31T23:59:59-05:00", 1_735_707_599),
            ("1970-01-01T00:00:00+00:00", 0),
            ("2106-02-07T01:28:15-05:00", 4_294_967_295),
        ] {
            assert_eq!(moment_of(text), Some(moment), "{text}");
        }
        for text in [
            "",
            "2025-01-10",
            "2025-01-10T09:35:00",
            "2025-01-10T09:35:00Z",
            "2025-13-10T09:35:00-05:00",
            "2025-00-10T09:35:00-05:00",
            "2025-01-10 09:35:00-05:00",
            "2025-01-10T09:35:00-05",
            "+025-01-10T09:35:00-05:00",
        ] {
            assert_eq!(moment_of(text), None, "{text}");
        }
    }
}
