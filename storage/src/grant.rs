//! Grants: read-only access to a validator's bucket, for allowlisted peers, sent over the encrypted
//! mesh.
//!
//! On the wire a grant is JSON of at most [`MAX_GRANT_BYTES`]: `endpoint`, `bucket`, `region`, and
//! either `read_access_key` and `read_secret_key`, or `urls`, an object from keys to presigned
//! URLs. A peer names its endpoint, so [`EndpointPolicy`] decides where that may lead.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::bucket::Bucket;
use crate::config::{BucketConfig, ConfigError, DEFAULT_REGION, connector};
use crate::endpoint::{EndpointPolicy, check_reach, parse_endpoint, service_address};
use crate::layout::Key;
use crate::presigned::PresignedStore;
use crate::retry::RetryPolicy;
use crate::scrub::Scrubber;
use crate::secret::{PresignedUrl, Secret};

pub use leoma_protocol::MAX_GRANT_BYTES;

/// Most presigned URLs in a grant: a window of 100 tasks and as many to come.
const MAX_GRANT_URLS: usize = 200;
/// Longest presigned URL that is accepted; R2's have about 500 bytes.
const MAX_URL_BYTES: usize = 2048;

/// What opens the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
enum GrantAccess {
    /// A read-only key of the bucket.
    Keys {
        /// The access key id.
        access_key: Secret,
        /// The secret access key.
        secret_key: Secret,
    },
    /// One URL for each object.
    Urls(BTreeMap<Key, PresignedUrl>),
}

/// Read-only access to a bucket. Checked when it is made or decoded; `Debug` hides the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    endpoint: String,
    bucket: String,
    region: String,
    access: GrantAccess,
}

/// A grant that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// It is too long, or not the JSON of a grant.
    #[error("the grant is malformed: {0}")]
    Malformed(&'static str),
    /// Its bucket cannot be opened or is not allowed.
    #[error("the grant is refused: {0}")]
    Bucket(#[from] ConfigError),
    /// One of its URLs is not allowed.
    #[error("the grant's URL for `{key}` is refused: {reason}")]
    Url {
        /// Which object it is for.
        key: Key,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More peers sent grants than a subnet can have.
    #[error("there are grants of {limit} peers already")]
    TooManyPeers {
        /// The most peers whose grants are held.
        limit: usize,
    },
}

/// The JSON. Not `Debug`: it holds keys.
#[derive(Serialize, Deserialize)]
struct Wire {
    endpoint: String,
    bucket: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_access_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_secret_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    urls: Option<BTreeMap<String, String>>,
}

impl Grant {
    /// A grant of our own: the bucket that `config` describes, with `config`'s keys, which must be
    /// read-only ones.
    ///
    /// # Errors
    /// [`GrantError`] if no peer would accept it.
    pub fn with_keys(config: &BucketConfig) -> Result<Self, GrantError> {
        let access = GrantAccess::Keys {
            access_key: config.access_key.clone(),
            secret_key: config.secret_key.clone(),
        };
        // The service's address, not the one that our operator wrote: peers are stricter.
        let endpoint =
            service_address(&config.endpoint, &config.bucket).map_err(ConfigError::from)?;
        Self::checked(&endpoint, &config.bucket, &config.region, access, EndpointPolicy::Trusted)
    }

    fn checked(
        endpoint: &str,
        bucket: &str,
        region: &str,
        access: GrantAccess,
        policy: EndpointPolicy,
    ) -> Result<Self, GrantError> {
        let grant = Self {
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            region: region.into(),
            access,
        };
        grant.open(policy)?;
        Ok(grant)
    }

    /// The JSON for an allowlisted peer. It holds the keys, so it is sent over the encrypted stream
    /// and stored nowhere.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Wire {
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone(),
            region: Some(self.region.clone()),
            read_access_key: None,
            read_secret_key: None,
            urls: None,
        };
        match &self.access {
            GrantAccess::Keys { access_key, secret_key } => {
                wire.read_access_key = Some(access_key.expose().to_owned());
                wire.read_secret_key = Some(secret_key.expose().to_owned());
            }
            GrantAccess::Urls(urls) => {
                let text =
                    |(key, url): (&Key, &PresignedUrl)| (key.to_string(), url.expose().to_string());
                wire.urls = Some(urls.iter().map(text).collect());
            }
        }
        #[expect(
            clippy::expect_used,
            reason = "a struct of strings and a map with string keys always serialises"
        )]
        serde_json::to_vec(&wire).expect("strings serialise")
    }

    /// Reads a peer's grant and checks it against `policy`.
    ///
    /// # Errors
    /// [`GrantError`] names the part that is refused.
    pub fn decode(bytes: &[u8], policy: EndpointPolicy) -> Result<Self, GrantError> {
        if bytes.len() > MAX_GRANT_BYTES {
            return Err(GrantError::Malformed("longer than 192 KiB"));
        }
        // The parser's own message may quote a key.
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| {
            GrantError::Malformed("not JSON with endpoint, bucket, and keys or URLs")
        })?;
        let access = match (wire.read_access_key, wire.read_secret_key, wire.urls) {
            (Some(access), Some(secret), None) => GrantAccess::Keys {
                access_key: Secret::new(access),
                secret_key: Secret::new(secret),
            },
            (None, None, Some(urls)) => GrantAccess::Urls(read_urls(urls)?),
            _ => return Err(GrantError::Malformed("it must have either both read keys or URLs")),
        };
        let region = wire.region.as_deref().unwrap_or(DEFAULT_REGION);
        Self::checked(&wire.endpoint, &wire.bucket, region, access, policy)
    }

    /// Opens the bucket for reading. Nothing is sent yet.
    ///
    /// # Errors
    /// [`GrantError`] if the grant is not allowed under `policy`.
    pub fn open(&self, policy: EndpointPolicy) -> Result<Bucket, GrantError> {
        match &self.access {
            GrantAccess::Keys { access_key, secret_key } => {
                let config = BucketConfig {
                    endpoint: self.endpoint.clone(),
                    bucket: self.bucket.clone(),
                    region: self.region.clone(),
                    access_key: access_key.clone(),
                    secret_key: secret_key.clone(),
                };
                Ok(config.open_under(policy)?.with_policy(RetryPolicy::for_peers()))
            }
            GrantAccess::Urls(urls) => self.open_urls(urls, policy),
        }
    }

    fn open_urls(
        &self,
        urls: &BTreeMap<Key, PresignedUrl>,
        policy: EndpointPolicy,
    ) -> Result<Bucket, GrantError> {
        let endpoint =
            parse_endpoint(&self.endpoint, &self.bucket, policy).map_err(ConfigError::from)?;
        if urls.is_empty() || urls.len() > MAX_GRANT_URLS {
            return Err(GrantError::Malformed("it must have 1 to 200 URLs"));
        }
        for (key, url) in urls {
            let refuse = |reason| GrantError::Url { key: key.clone(), reason };
            let url = url.expose();
            if url.origin() != endpoint.origin() {
                return Err(refuse("it does not lead to the grant's endpoint"));
            }
            if url.as_str().len() > MAX_URL_BYTES
                || !url.username().is_empty()
                || url.password().is_some()
            {
                return Err(refuse("it is too long or has a user name in it"));
            }
            check_reach(url, policy).map_err(refuse)?;
        }
        let client = connector(&endpoint, policy)
            .client()
            .map_err(|_| GrantError::Malformed("cannot build an HTTP client for it"))?;
        let mut bucket = Bucket::over(
            Arc::new(PresignedStore::new(client, urls.clone())),
            format!("presigned://{}", Scrubber::default().clean(&self.bucket)),
        );
        bucket.policy = RetryPolicy::for_peers();
        Ok(bucket)
    }
}

fn read_urls(urls: BTreeMap<String, String>) -> Result<BTreeMap<Key, PresignedUrl>, GrantError> {
    let read = |(key, url): (String, String)| {
        let key: Key = key
            .parse()
            .map_err(|_| GrantError::Malformed("a URL for something that is not an object key"))?;
        match Url::parse(&url) {
            Ok(url) => Ok((key, PresignedUrl::new(url))),
            Err(_) => Err(GrantError::Url { key, reason: "it is not a URL" }),
        }
    };
    urls.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(endpoint: &str) -> BucketConfig {
        BucketConfig {
            endpoint: endpoint.to_owned(),
            bucket: "leoma-peer".to_owned(),
            region: "auto".to_owned(),
            access_key: Secret::new("AKIDPLANTED"),
            secret_key: Secret::new("secretplanted"),
        }
    }

    #[test]
    fn keys_travel_and_are_not_shown() {
        let grant = Grant::with_keys(&config("https://a.r2.cloudflarestorage.com")).unwrap();
        let read = Grant::decode(&grant.encode(), EndpointPolicy::Public).unwrap();
        assert_eq!(read, grant);
        assert!(!format!("{read:?}").to_lowercase().contains("planted"));
    }

    #[test]
    fn d1_peers_are_sent_the_services_address_and_take_it() {
        for pasted in
            ["a.r2.cloudflarestorage.com", "https://a.r2.cloudflarestorage.com/leoma-peer"]
        {
            let bytes = Grant::with_keys(&config(pasted)).unwrap().encode();
            assert!(Grant::decode(&bytes, EndpointPolicy::Public).is_ok(), "{pasted}");
        }
    }

    #[test]
    fn a_peer_cannot_send_us_into_our_own_network() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "https://10.0.0.1",
            "http://169.254.169.254",
            "https://db.internal",
        ] {
            let bytes = Grant::with_keys(&config(endpoint)).unwrap().encode();
            assert!(Grant::decode(&bytes, EndpointPolicy::Public).is_err(), "{endpoint}");
        }
        let bytes = Grant::with_keys(&config("http://127.0.0.1:9000")).unwrap().encode();
        assert!(Grant::decode(&bytes, EndpointPolicy::Loopback).is_ok());
        for endpoint in ["file:///etc", "memory:"] {
            let wire = format!(
                r#"{{"endpoint":"{endpoint}","bucket":"leoma-x","read_access_key":"a","read_secret_key":"b"}}"#
            );
            for policy in [EndpointPolicy::Public, EndpointPolicy::Loopback] {
                assert!(Grant::decode(wire.as_bytes(), policy).is_err(), "{endpoint}");
            }
        }
    }

    #[test]
    fn presigned_urls_lead_to_the_endpoint_only() {
        let config = config("https://a.r2.cloudflarestorage.com");
        let key: Key = "7/metadata.json".parse().unwrap();
        let grant_of = |urls: BTreeMap<Key, &str>| {
            let wire = serde_json::json!({
                "endpoint": config.endpoint, "bucket": config.bucket, "urls": urls,
            });
            Grant::decode(wire.to_string().as_bytes(), EndpointPolicy::Public)
        };
        let grant = |url| grant_of(BTreeMap::from([(key.clone(), url)]));
        let good = grant(
            "https://a.r2.cloudflarestorage.com/leoma-peer/7/metadata.json?X-Amz-Signature=planted",
        )
        .unwrap();
        assert_eq!(Grant::decode(&good.encode(), EndpointPolicy::Public).unwrap(), good);
        assert!(!format!("{good:?}").contains("planted"));
        let error = grant("https://127.0.0.1/leoma-peer/7/metadata.json?X-Amz-Signature=planted")
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
        assert!(matches!(error, GrantError::Url { .. }));
        assert!(grant_of(BTreeMap::new()).is_err());
    }

    #[test]
    fn malformed_grants_are_refused_without_quoting_them() {
        for bytes in [
            &b""[..],
            b"[]",
            br#"{"endpoint":"https://a.com","bucket":"leoma-x"}"#,
            br#"{"endpoint":"https://a.com","bucket":"leoma-x","read_access_key":"a"}"#,
            br#"{"endpoint":"https://a.com","bucket":"leoma-x","read_access_key":"a","read_secret_key":{"planted":1}}"#,
            br#"{"endpoint":"https://a.com","bucket":"leoma-x","urls":{"../x":"https://a.com/"}}"#,
            br#"{"endpoint":"https://a.com","bucket":"../x","read_access_key":"a","read_secret_key":"b"}"#,
        ] {
            let error = Grant::decode(bytes, EndpointPolicy::Public).unwrap_err();
            assert!(!error.to_string().contains("planted"));
        }
        assert!(Grant::decode(&vec![b' '; MAX_GRANT_BYTES + 1], EndpointPolicy::Public).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Grant::decode(&bytes, EndpointPolicy::Public);
        }
    }
}
