//! The feed of closing prices. It is the operator's own: no validator trusts another's.

use std::time::Duration;

use leoma_protocol::market::{Closes, MAX_FEED_BYTES, read_closes};
use leoma_storage::{RetryPolicy, Secret};
use reqwest::Client;
use url::Url;

use super::hours::Hours;
use super::proof::Plan;
use crate::config::OracleConfig;
use crate::outbound::{Reach, Service, ServiceError, ask};

/// A task has a few minutes, so a feed that is down is given up early and asked again at the next
/// try.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 3,
    attempt_timeout: Duration::from_secs(5),
    deadline: Duration::from_secs(12),
    first_delay: Duration::from_millis(300),
    max_delay: Duration::from_secs(3),
};
const SERVICE: Service =
    Service { retry: RETRY, ..Service::api("the market feed", "MARKET_API_KEY", MAX_FEED_BYTES) };

/// A client of the feed.
#[derive(Clone, Debug)]
pub(crate) struct MarketClient {
    http: Client,
    reach: Reach,
    url: Url,
    key: Option<Secret>,
    hours: Hours,
}

impl MarketClient {
    /// A client of the feed that the settings name.
    ///
    /// # Errors
    /// Without `MARKET_URL`, or when TLS cannot be set up.
    pub(crate) fn new(reach: Reach, config: &OracleConfig) -> anyhow::Result<Self> {
        let url = Url::parse(config.need_url()?)?;
        let (http, key, hours) = (reach.api_client()?, config.key.clone(), config.hours);
        Ok(Self { http, reach, url, key, hours })
    }

    /// A task's reading: the closing prices up to its first block.
    ///
    /// # Errors
    /// As of [`closes`](Self::closes), and where the feed knows no price at an hour at which there
    /// must be some.
    pub(crate) async fn reading(&self, plan: &Plan, step_s: u32) -> Result<Closes, ServiceError> {
        let closes = self.closes(plan.read, step_s).await?;
        if closes.is_empty() && self.hours.has_prices(plan.read[1]) {
            let [first, last] = plan.read;
            let reason =
                format!("no price from {first} to {last}, unless there is no trading today");
            return Err(ServiceError::unreadable(&SERVICE, &reason));
        }
        Ok(closes)
    }

    /// The closing prices that the feed knows at whole steps from `first` to `last`, in seconds
    /// since 1970. What it says of other moments is passed over.
    ///
    /// # Errors
    /// [`ServiceError`] if it gives no answer that can be read, or only moments between the steps:
    /// such a feed would never have a price.
    pub(crate) async fn closes(
        &self,
        [first, last]: [u32; 2],
        step_s: u32,
    ) -> Result<Closes, ServiceError> {
        let mut url = self.url.clone();
        for (name, value) in [("from", first), ("to", last), ("step", step_s)] {
            url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        let reached = self.reach.check(&url).await;
        reached.map_err(|error| ServiceError::out_of_reach(&SERVICE, &error))?;
        let body = ask(&SERVICE, || {
            let request = self.http.get(url.clone());
            match &self.key {
                Some(key) => request.bearer_auth(key.expose()),
                None => request,
            }
        })
        .await?;
        let mut closes = read_closes(&body)
            .map_err(|fault| ServiceError::unreadable(&SERVICE, &fault.to_string()))?;
        let is_step = |moment: &u64| moment.is_multiple_of(u64::from(step_s.max(1)));
        if !closes.is_empty() && !closes.keys().any(is_step) {
            let reason = format!("none of its moments is a multiple of {step_s} seconds");
            return Err(ServiceError::unreadable(&SERVICE, &reason));
        }
        let asked = u64::from(first)..=u64::from(last);
        closes.retain(|moment, _| asked.contains(moment) && is_step(moment));
        Ok(closes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::Router;
    use axum::extract::Query;
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use leoma_protocol::Nano;

    use super::super::hours::Session;
    use super::*;

    /// A feed that answers with `status` and `body`, and its client.
    async fn feed(status: StatusCode, body: String, hours: Hours) -> MarketClient {
        let answer = move |Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap| {
            let asked: Vec<u32> = query.values().map(|value| value.parse().unwrap()).collect();
            assert_eq!(query.keys().collect::<Vec<_>>(), ["from", "step", "to"]);
            assert!(asked[1] == 300 && asked[2] == asked[0] + 600, "{query:?}");
            assert_eq!(headers["authorization"], "Bearer a key");
            async move { (status, body).into_response() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/closes", listener.local_addr().unwrap());
        let router = Router::new().route("/closes", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (url, key) = (Some(url), Some(Secret::new("a key")));
        let config = OracleConfig { url, key, hours };
        MarketClient::new(Reach::new(true), &config).unwrap()
    }

    async fn asked(status: StatusCode, body: &str) -> Result<Closes, ServiceError> {
        feed(status, body.to_owned(), Hours::Always).await.closes([600, 1200], 300).await
    }

    #[tokio::test]
    async fn the_feed_is_asked_for_whole_steps_and_others_are_passed_over() {
        let body = r#"[{"t":300,"close":"1"},{"t":600,"close":"2"},{"t":700,"close":"3"},{"t":900,"close":"4.5"},{"t":1500,"close":"5"}]"#;
        let closes = asked(StatusCode::OK, body).await.unwrap();
        assert_eq!(closes, [(600, Nano(2_000_000_000)), (900, Nano(4_500_000_000))].into());
    }

    #[tokio::test]
    async fn a_feed_that_fails_says_how_without_address_or_key() {
        let endless = format!("[{}]", " ".repeat(MAX_FEED_BYTES));
        for (status, body, part) in [
            (StatusCode::OK, "[{\"t\": 600, \"close\": 5000.1}]", "line 1, column"),
            (StatusCode::OK, "<html>", "line 1, column"),
            (StatusCode::OK, r#"[{"t": 600, "close": "-1"}]"#, "price at 600"),
            (StatusCode::OK, endless.as_str(), "over 262144 bytes"),
            (StatusCode::OK, r#"[{"t": 599, "close": "1"}]"#, "is a multiple of 300 seconds"),
            (StatusCode::UNAUTHORIZED, "", "MARKET_API_KEY"),
            (StatusCode::NOT_FOUND, "", "404"),
            (StatusCode::BAD_GATEWAY, "", "unavailable after 3 attempts: HTTP 502"),
        ] {
            let said = asked(status, body).await.unwrap_err().to_string();
            assert!(said.starts_with("the market feed") && said.contains(part), "{said}");
            assert!(!said.contains("127.0.0.1") && !said.contains("a key"), "{said}");
        }
    }

    #[tokio::test]
    async fn an_empty_reading_is_a_fault_where_there_must_be_prices() {
        // New York opens at 9:30 on this Friday.
        let opening = 1_736_519_400;
        let reading = async |body: &str, hours: Hours, last: u32| {
            let start_ms = 1000 * u64::from(last);
            let plan =
                Plan { start_ms, begin: last, read: [last - 600, last], session: Session::Open };
            feed(StatusCode::OK, body.to_owned(), hours).await.reading(&plan, 300).await
        };
        let said = reading("[]", Hours::NewYork, opening + 5400).await.unwrap_err().to_string();
        assert!(said.contains("no price from"), "{said}");
        assert!(reading("[]", Hours::Always, opening - 300).await.is_err());
        let early = reading("[]", Hours::NewYork, opening + 5100).await;
        assert_eq!(early, Ok(Closes::new()), "the first prices may be late");
        let body = format!(r#"[{{"t": {opening}, "close": "1"}}]"#);
        let one = reading(&body, Hours::NewYork, opening + 600).await;
        assert_eq!(one.unwrap().len(), 1);
    }

    #[test]
    fn without_an_address_the_setting_is_named() {
        let config = OracleConfig { url: None, key: None, hours: Hours::NewYork };
        let error = MarketClient::new(Reach::new(true), &config).unwrap_err();
        assert!(error.to_string().contains("MARKET_URL"), "{error}");
    }
}
