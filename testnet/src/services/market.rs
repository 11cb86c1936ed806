//! Stand-in for a feed of closing prices.
//!
//! `GET /closes?from=T&to=T&step=S` → `[{"t": T, "close": "5000.12"}, …]` for each whole step that
//! has passed. `GET /lies` says another price: it is the feed of a validator that is to be outvoted.

use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::market::{Market, decimal};

/// Most prices in an answer, as validators take them.
const MOST: u64 = 4096;

#[derive(Debug, Deserialize)]
struct Asked {
    from: u64,
    to: u64,
    step: u64,
}

/// The feed of a market, and one that lies about it.
pub(crate) fn feed(market: Market) -> Router {
    Router::new().route("/closes", get(closes)).route("/lies", get(lies)).with_state(market)
}

async fn closes(State(market): State<Market>, Query(asked): Query<Asked>) -> Response {
    answer(&asked, now(), |moment| market.cents(moment))
}

async fn lies(State(market): State<Market>, Query(asked): Query<Asked>) -> Response {
    answer(&asked, now(), |moment| market.lie(moment))
}

fn answer(asked: &Asked, now: u64, price: impl Fn(u64) -> i64) -> Response {
    match bars(asked, now, price) {
        Some(bars) => Json(bars).into_response(),
        None => (StatusCode::BAD_REQUEST, "from, to and step in seconds").into_response(),
    }
}

/// The prices asked for, up to `now`; `None` for a question that makes no sense.
fn bars(asked: &Asked, now: u64, price: impl Fn(u64) -> i64) -> Option<Vec<Value>> {
    let Asked { from, to, step } = *asked;
    let steps = to.checked_sub(from)?.checked_div(step)?;
    if steps >= MOST {
        return None;
    }
    let first = from.div_ceil(step).checked_mul(step)?;
    let moments = (first..=to.min(now)).step_by(usize::try_from(step).ok()?);
    Some(moments.map(|t| json!({"t": t, "close": decimal(price(t))})).collect())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_steps_that_have_passed_are_answered() {
        let ask =
            |from, to, step| bars(&Asked { from, to, step }, 100, |moment| 100 * moment as i64);
        let expected = vec![json!({"t": 40, "close": "40.00"}), json!({"t": 60, "close": "60.00"})];
        assert_eq!(ask(30, 70, 20), Some(expected));
        assert_eq!(ask(80, 200, 20).unwrap().len(), 2, "the future is not known");
        assert_eq!(ask(200, 300, 20), Some(vec![]));
        for (from, to, step) in [(70, 30, 20), (30, 70, 0), (0, u64::MAX, 1), (0, 4096, 1)] {
            assert_eq!(ask(from, to, step), None, "{from} {to} {step}");
        }
        assert_eq!(ask(u64::MAX, u64::MAX, 20), None);
    }
}
