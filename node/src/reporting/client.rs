//! Signed posts to the API at `API_URL`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use leoma_protocol::HotkeySigner;
use leoma_storage::RetryPolicy;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use crate::outbound::{Reach, Service, ServiceError, ask};

/// A post that does not arrive is made again in the reporter's next round.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 2,
    attempt_timeout: Duration::from_secs(20),
    deadline: Duration::from_secs(45),
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(2),
};
/// Longest answer: a count, or an error in words.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The API, and the hotkey that signs what it is sent.
#[derive(Debug)]
pub(super) struct OwnersApi {
    base: String,
    client: Client,
    signer: HotkeySigner,
    service: Service,
}

impl OwnersApi {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(super) fn new(base: &str, signer: HotkeySigner) -> Result<Self, reqwest::Error> {
        // The operator named this address, so it may be private, as that of its own bucket may. A
        // redirect would lead to one that nobody named.
        let client = Reach::new(true).miner_client()?;
        let api = Service::api("the API at API_URL", "API_URL", MAX_ANSWER_BYTES);
        let service = Service { retry: RETRY, error_code: detail, ..api };
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client, signer, service })
    }

    /// Posts `body` to a path. Each attempt has its own signature, as each is accepted once.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), ServiceError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ServiceError::unreadable(&self.service, &error.to_string()))?;
        let body = Bytes::from(body);
        let request = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let signature = self.signer.sign_request(&body, now).to_hex();
            let request = self.client.post(format!("{}/{path}", self.base));
            request
                .header("X-Validator-Hotkey", self.signer.hotkey().to_string())
                .header("X-Signature", signature)
                .header("X-Timestamp", now.to_string())
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone())
        };
        ask(&self.service, request).await.map(drop)
    }
}

/// The words of `{"detail": …}`.
fn detail(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    value["detail"].as_str().unwrap_or_default().chars().take(200).collect()
}
