//! Signed calls: `X-Validator-Hotkey`, `X-Signature` and `X-Timestamp` over the body.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use leoma_protocol::request::verify_request;
use leoma_protocol::{Hotkey, Signature};

/// Signatures of one caller that are remembered until they expire. Only validators' and
/// administrators' valid ones are, so this bounds what each of them can post within the expiry.
const MAX_REMEMBERED: usize = 4096;

/// Why a signed call is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
    #[error("X-Timestamp is more than {seconds} s off: check this machine's clock")]
    Expired { seconds: u64 },
    #[error("the signature is not this hotkey's over `sha256hex(body):timestamp`")]
    Signature,
    #[error("this signature was used before: sign each call separately")]
    Replayed,
    #[error("too many signed calls, try again in some minutes")]
    TooMany,
}

/// The rules for signed calls, and the signatures that were used.
#[derive(Debug)]
pub(crate) struct SignedCalls {
    expiry: Duration,
    /// Each caller's used signatures, with the time at which they expire.
    used: Mutex<BTreeMap<Hotkey, BTreeMap<[u8; 64], i64>>>,
}

/// A call's signature, not yet checked.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) hotkey: Hotkey,
    signature: Signature,
    timestamp: String,
    at: i64,
}

impl SignedCalls {
    pub(crate) fn new(expiry: Duration) -> Self {
        Self { expiry, used: Mutex::default() }
    }

    /// Reads the headers and checks the time: cheap, so that it comes before everything else.
    pub(crate) fn claim(&self, headers: &HeaderMap, now: i64) -> Result<Claim, Denied> {
        let text = |name: &'static str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.map(str::trim).ok_or(Denied::Header(name))
        };
        let [key, signature, timestamp] = ["x-validator-hotkey", "x-signature", "x-timestamp"];
        let claim = Claim {
            hotkey: text(key)?.parse().map_err(|_| Denied::Header(key))?,
            signature: Signature::from_hex(text(signature)?).ok_or(Denied::Header(signature))?,
            timestamp: text(timestamp)?.to_owned(),
            at: text(timestamp)?.parse().map_err(|_| Denied::Header(timestamp))?,
        };
        let seconds = self.expiry.as_secs();
        if now.abs_diff(claim.at) > seconds {
            return Err(Denied::Expired { seconds });
        }
        Ok(claim)
    }

    /// Checks the signature over the body, and takes it: it is not accepted again on any path. The
    /// signed text names no path, so that one signature would otherwise serve for several calls.
    pub(crate) fn take(&self, claim: &Claim, body: &[u8], now: i64) -> Result<(), Denied> {
        if !verify_request(&claim.hotkey, body, &claim.timestamp, &claim.signature) {
            return Err(Denied::Signature);
        }
        let mut callers = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = callers.entry(claim.hotkey).or_default();
        if used.len() >= MAX_REMEMBERED {
            used.retain(|_, expires| *expires >= now);
        }
        if used.contains_key(&claim.signature.0) {
            return Err(Denied::Replayed);
        }
        if used.len() >= MAX_REMEMBERED {
            return Err(Denied::TooMany);
        }
        let expires = claim.at.saturating_add_unsigned(self.expiry.as_secs());
        used.insert(claim.signature.0, expires);
        Ok(())
    }
}

/// Calls that the Python client made, and some that were changed afterwards.
#[cfg(test)]
pub(crate) mod recorded {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    pub(crate) struct Case {
        pub(crate) hotkey: String,
        pub(crate) body: String,
        pub(crate) timestamp: String,
        pub(crate) signature: String,
        pub(crate) valid: bool,
    }

    pub(crate) fn cases() -> Vec<Case> {
        let folder = std::env::var_os("LEOMA_VECTORS").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors"),
            Into::into,
        );
        let text = std::fs::read(folder.join("request_signature.json")).unwrap();
        serde_json::from_slice::<Vectors>(&text).unwrap().cases
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::recorded::{Case, cases};
    use super::*;

    fn headers(case: &Case) -> HeaderMap {
        let fields = [
            ("x-validator-hotkey", &case.hotkey),
            ("x-signature", &case.signature),
            ("x-timestamp", &case.timestamp),
        ];
        fields
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .into_iter()
            .collect()
    }

    fn check(calls: &SignedCalls, case: &Case, now: i64) -> Result<(), Denied> {
        let headers = headers(case);
        let claim = calls.claim(&headers, now)?;
        calls.take(&claim, case.body.as_bytes(), now)
    }

    #[test]
    fn the_recorded_calls_of_the_python_client_are_accepted_once() {
        let cases = cases();
        assert!(cases.iter().any(|case| case.valid) && cases.iter().any(|case| !case.valid));
        let calls = SignedCalls::new(Duration::from_secs(300));
        for case in cases {
            let signed_at: i64 = case.timestamp.parse().unwrap();
            for off in [-301, 301] {
                let late = check(&calls, &case, signed_at + off);
                assert_eq!(late, Err(Denied::Expired { seconds: 300 }), "{}", case.signature);
            }
            let first = check(&calls, &case, signed_at + 300);
            let expected = if case.valid { Ok(()) } else { Err(Denied::Signature) };
            assert_eq!(first, expected, "{}", case.signature);
            if case.valid {
                assert_eq!(check(&calls, &case, signed_at - 300), Err(Denied::Replayed));
                let bare = case.signature.trim_start_matches("0x").to_uppercase();
                let respelled = Case { signature: bare, ..case };
                assert_eq!(check(&calls, &respelled, signed_at), Err(Denied::Replayed));
            }
        }
    }

    #[test]
    fn a_missing_or_malformed_header_is_named() {
        let case = cases().into_iter().find(|case| case.valid).unwrap();
        let now = case.timestamp.parse().unwrap();
        let calls = SignedCalls::new(Duration::from_secs(300));
        for name in ["x-validator-hotkey", "x-signature", "x-timestamp"] {
            let mut missing = headers(&case);
            missing.remove(name);
            assert_eq!(calls.claim(&missing, now).unwrap_err(), Denied::Header(name));
            missing.insert(name, HeaderValue::from_static("x"));
            assert_eq!(calls.claim(&missing, now).unwrap_err(), Denied::Header(name));
        }
    }
}
