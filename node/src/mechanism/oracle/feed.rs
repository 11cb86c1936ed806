//! The feed of closing prices. It is the operator's own: no validator trusts another's.

use std::time::Duration;

use leoma_protocol::market::{Closes, MAX_FEED_BYTES, read_closes};
use leoma_storage::{RetryPolicy, Secret};
use reqwest::Client;
use url::Url;

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
}

impl MarketClient {
    /// A client of the feed that the settings name.
    ///
    /// # Errors
    /// Without `MARKET_URL`, or when TLS cannot be set up.
    pub(crate) fn new(reach: Reach, config: &OracleConfig) -> anyhow::Result<Self> {
        let url = Url::parse(config.need_url()?)?;
        Ok(Self { http: reach.api_client()?, reach, url, key: config.key.clone() })
    }

    /// The closing prices that the feed knows at whole steps from `first` to `last`, in seconds
    /// since 1970. What it says of other moments is passed over.
    ///
    /// # Errors
    /// [`ServiceError`] if it gives no answer that can be read.
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
        let asked = u64::from(first)..=u64::from(last);
        closes.retain(|moment, _| {
            asked.contains(moment) && moment.is_multiple_of(u64::from(step_s.max(1)))
        });
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

    use super::*;
    use crate::mechanism::oracle::Hours;

    /// A feed that answers with `status` and `body`, and its client.
    async fn feed(status: StatusCode, body: String) -> MarketClient {
        let answer = move |Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap| {
            let asked: Vec<&str> = query.values().map(String::as_str).collect();
            assert_eq!(asked, ["600", "300", "1200"], "from, step, to: {query:?}");
            assert_eq!(headers["authorization"], "Bearer a key");
            async move { (status, body).into_response() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/closes", listener.local_addr().unwrap());
        let router = Router::new().route("/closes", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (url, key) = (Some(url), Some(Secret::new("a key")));
        let config = OracleConfig { url, key, hours: Hours::Always };
        MarketClient::new(Reach::new(true), &config).unwrap()
    }

    async fn asked(status: StatusCode, body: &str) -> Result<Closes, ServiceError> {
        feed(status, body.to_owned()).await.closes([600, 1200], 300).await
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
            (StatusCode::UNAUTHORIZED, "", "MARKET_API_KEY"),
            (StatusCode::NOT_FOUND, "", "404"),
            (StatusCode::BAD_GATEWAY, "", "unavailable after 3 attempts: HTTP 502"),
        ] {
            let said = asked(status, body).await.unwrap_err().to_string();
            assert!(said.starts_with("the market feed") && said.contains(part), "{said}");
            assert!(!said.contains("127.0.0.1") && !said.contains("a key"), "{said}");
        }
    }

    #[test]
    fn without_an_address_the_setting_is_named() {
        let config = OracleConfig { url: None, key: None, hours: Hours::NewYork };
        let error = MarketClient::new(Reach::new(true), &config).unwrap_err();
        assert!(error.to_string().contains("MARKET_URL"), "{error}");
    }
}
