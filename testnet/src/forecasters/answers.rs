//! What each forecaster answers.

use leoma_protocol::python_json::Value;

use super::cast::Forecaster;
use crate::market::Market;

/// Prices in a forecast.
pub const CELLS: u64 = 6;
/// Steps by whose mean change the market is taken to go on.
const TREND_STEPS: i64 = 6;

/// The field `prediction` of a forecaster's answer about the moment `begin`, with a price every
/// `step` seconds; `None` for one that never answers, or not as an axon does.
pub fn prediction(forecaster: Forecaster, market: &Market, begin: u64, step: u64) -> Option<Value> {
    let present = market.cents(begin);
    let coming = (1..=CELLS).map(|cell| market.cents(begin + cell * step));
    let prices = |cents: Vec<i64>| cents.into_iter().map(price).collect();
    let values: Vec<Value> = match forecaster {
        Forecaster::Mute | Forecaster::Unending | Forecaster::Redirect => return None,
        Forecaster::Oracle | Forecaster::Copier => prices(coming.collect()),
        Forecaster::LastPrice => prices(vec![market.cents(begin.saturating_sub(step)); 6]),
        Forecaster::Trend => {
            let earlier = begin.saturating_sub(TREND_STEPS.unsigned_abs() * step);
            let last = market.cents(begin.saturating_sub(step));
            let trend = (last - market.cents(earlier)) / TREND_STEPS;
            prices((1..=CELLS as i64).map(|cell| last + cell * trend).collect())
        }
        Forecaster::Contrarian => {
            // One cent on the wrong side where the price stays.
            let wrong = |cents: i64| {
                if cents > present { 2 * present - cents } else { 2 * present - cents + 1 }
            };
            prices(coming.map(wrong).collect())
        }
        Forecaster::FiveValues => prices(coming.take(5).collect()),
        Forecaster::Strings => coming.map(|_| Value::from("about five thousand")).collect(),
    };
    Some(Value::Array(values))
}

fn price(cents: i64) -> Value {
    Value::Float(cents as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use leoma_protocol::Nano;
    use leoma_protocol::market::read_forecast;

    use super::*;
    use crate::market::STEP_S;
    use crate::seed::Seed;

    const BEGIN: u64 = 1_736_519_700;

    fn prediction(forecaster: Forecaster, market: &Market, begin: u64) -> Option<Value> {
        super::prediction(forecaster, market, begin, u64::from(STEP_S))
    }

    fn forecast(forecaster: Forecaster, market: &Market, begin: u64) -> Result<Vec<Nano>, String> {
        let value = prediction(forecaster, market, begin).ok_or("silent")?;
        read_forecast(&value, 6).map_err(|fault| fault.to_string())
    }

    /// How often the direction is right by the rule of the mechanism, and the sum of errors.
    fn skill(forecaster: Forecaster, market: &Market) -> (usize, u64) {
        let (mut right, mut errors) = (0, 0);
        for begin in (0..200).map(|task| BEGIN + 80 * task) {
            let before = Nano(market.cents(begin) * 10_000_000);
            let forecast = forecast(forecaster, market, begin).unwrap();
            for (cell, value) in (1..).zip(forecast) {
                let after = Nano(market.cents(begin + cell * 20) * 10_000_000);
                right += usize::from((before >= after) == (before >= value));
                errors += value.0.abs_diff(after.0);
            }
        }
        (right, errors)
    }

    #[test]
    fn forecasts_are_as_far_apart_as_is_asked() {
        let market = Market::new(Seed::new("1"));
        let values = super::prediction(Forecaster::Oracle, &market, BEGIN, 120).unwrap();
        let expected: Vec<Nano> =
            (1..=6).map(|cell| Nano(market.cents(BEGIN + 120 * cell) * 10_000_000)).collect();
        assert_eq!(read_forecast(&values, 6), Ok(expected));
    }

    #[test]
    fn the_best_is_always_right_and_the_contrarian_never() {
        for seed in ["1", "2", "oracle"] {
            let market = Market::new(Seed::new(seed));
            let [best, last, trend, wrong] = [
                Forecaster::Oracle,
                Forecaster::LastPrice,
                Forecaster::Trend,
                Forecaster::Contrarian,
            ]
            .map(|forecaster| skill(forecaster, &market));
            assert_eq!((best, wrong.0), ((1200, 0), 0), "{seed}");
            assert!((200..1000).contains(&last.0) && (200..1100).contains(&trend.0), "{seed}");
            assert!(last.1 > 0 && trend.1 > 0 && wrong.1 > 0, "{seed}");
        }
    }

    #[test]
    fn cheats_are_found_out_for_their_own_reason() {
        let market = Market::new(Seed::new("1"));
        for forecaster in Forecaster::ALL {
            let answered = forecast(forecaster, &market, BEGIN);
            let is_axon = prediction(forecaster, &market, BEGIN).is_some();
            match forecaster.expected() {
                None => assert!(answered.is_ok(), "{forecaster}"),
                Some(expected) if is_axon => {
                    assert_eq!(expected.status, "malformed", "{forecaster}");
                    assert!(answered.unwrap_err().contains(expected.reason), "{forecaster}");
                }
                Some(_) => assert_eq!(answered, Err("silent".to_owned())),
            }
        }
        let both =
            [Forecaster::Oracle, Forecaster::Copier].map(|one| prediction(one, &market, BEGIN));
        assert_eq!(both[0], both[1]);
    }
}
