//! A bucket's address and keys, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::bucket::Bucket;
use crate::endpoint::{EndpointError, EndpointPolicy, is_loopback, parse_endpoint};
use crate::http::BoundedConnector;
use crate::retry::RetryPolicy;
use crate::scrub::Scrubber;
use crate::secret::Secret;

/// R2's only region.
pub const DEFAULT_REGION: &str = "auto";

fn default_region() -> String {
    DEFAULT_REGION.to_owned()
}

/// A bucket's address and keys. `Debug` and `Serialize` hide the keys, so it may be printed and
/// logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketConfig {
    /// `https://…` of an S3 store, `file:///folder`, or `memory:`. Without a scheme it is `https`.
    pub endpoint: String,
    /// The bucket's name: for a folder, the name of a folder in it.
    pub bucket: String,
    /// `auto` on R2.
    #[serde(default = "default_region")]
    pub region: String,
    /// The access key id; empty for folders and memory.
    #[serde(default)]
    pub access_key: Secret,
    /// The secret access key; empty for folders and memory.
    #[serde(default)]
    pub secret_key: Secret,
}

/// A bucket that cannot be opened as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The endpoint is malformed or not allowed.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Another field is malformed or missing.
    #[error("bucket `{bucket}`: {field} {reason}")]
    Field {
        /// The bucket's name.
        bucket: String,
        /// The field's name.
        field: &'static str,
        /// What is wrong with it, and what would be accepted.
        reason: String,
    },
}

impl BucketConfig {
    fn refuse(&self, field: &'static str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Field {
            bucket: self.bucket.escape_debug().take(80).collect(),
            field,
            reason: reason.into(),
        }
    }

    /// Opens the bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ConfigError`] names the field that is malformed or missing.
    pub fn open(&self) -> Result<Bucket, ConfigError> {
        self.open_under(EndpointPolicy::Trusted)
    }

    /// Opens a bucket whose endpoint is trusted as far as `policy` says.
    ///
    /// # Errors
    /// [`ConfigError`] names the field that is malformed, missing or not allowed.
    pub(crate) fn open_under(&self, policy: EndpointPolicy) -> Result<Bucket, ConfigError> {
        self.check_names()?;
        match (self.endpoint.split_once(':'), policy) {
            (Some(("memory", "")), EndpointPolicy::Trusted) => {
                Ok(Bucket::over(Arc::new(InMemory::new()), format!("memory:{}", self.bucket)))
            }
            (Some(("file", _)), EndpointPolicy::Trusted) => self.open_folder(),
            _ => self.open_s3(policy),
        }
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        // The rules of S3, which R2 shares; they also keep a folder's bucket inside the folder.
        let letters = self
            .bucket
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let ends = self.bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
            && self.bucket.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !(3..=63).contains(&self.bucket.len()) || !letters || !ends || self.bucket.contains("..")
        {
            return Err(
                self.refuse("name", "must have 3 to 63 lower-case letters, digits, `-` or `.`")
            );
        }
        let region = self.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !(1..=32).contains(&self.region.len()) || !region {
            return Err(
                self.refuse("region", "must be a region's name such as `auto` or `eu-central-1`")
            );
        }
        Ok(())
    }

    fn open_folder(&self) -> Result<Bucket, ConfigError> {
        let not_a_folder = || self.refuse("endpoint", "must be `file:///` and an absolute path");
        let url = Url::parse(&self.endpoint).map_err(|_| not_a_folder())?;
        let folder: PathBuf = url.to_file_path().map_err(|()| not_a_folder())?.join(&self.bucket);
        // It is not created here: on a disk that is not mounted it would be an empty bucket.
        if !folder.is_dir() {
            return Err(self.refuse(
                "folder",
                format!("{} does not exist; create it first", folder.display()),
            ));
        }
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| self.refuse("folder", Scrubber::default().clean(&error.to_string())))?
            .with_fsync(true);
        let mut bucket = Bucket::over(Arc::new(store), format!("file://{}", folder.display()));
        bucket.folder = Some(folder);
        bucket.ordered = false;
        Ok(bucket)
    }

    fn open_s3(&self, policy: EndpointPolicy) -> Result<Bucket, ConfigError> {
        for (field, secret) in [("access key", &self.access_key), ("secret key", &self.secret_key)]
        {
            check_key(secret).map_err(|reason| self.refuse(field, reason))?;
        }
        let endpoint = parse_endpoint(&self.endpoint, &self.bucket, policy)?;
        let connector = connector(&endpoint, policy);
        let scrubber = Scrubber::hiding([self.access_key.clone(), self.secret_key.clone()]);
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(self.access_key.expose())
            .with_secret_access_key(self.secret_key.expose())
            .with_virtual_hosted_style_request(false)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_http_connector(connector)
            .with_client_options(ClientOptions::new().with_allow_http(endpoint.scheme() == "http"))
            // `Bucket` retries: it knows which answers leave a put in doubt.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .map_err(|error| self.refuse("settings", scrubber.clean(&error.to_string())))?;
        let store = Arc::new(store);
        let mut bucket = Bucket::over(
            Arc::clone(&store) as Arc<dyn ObjectStore>,
            format!("s3://{}", self.bucket),
        );
        bucket.signer = Some(store as Arc<dyn Signer>);
        bucket.scrubber = Arc::new(scrubber);
        if policy != EndpointPolicy::Trusted {
            bucket.policy = RetryPolicy::for_peers();
        }
        Ok(bucket)
    }
}

/// Opens a bucket that anybody may read, without keys. Its address may have a path, as that of a
/// validator's pages does, which pass on the files of a bucket.
///
/// # Errors
/// [`ConfigError`] names the field that is malformed.
pub fn open_public(endpoint: &str, bucket: &str) -> Result<Bucket, ConfigError> {
    let config = BucketConfig {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        region: default_region(),
        access_key: Secret::default(),
        secret_key: Secret::default(),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if bucket.len() > 63 || bucket.starts_with('.') || !bucket.bytes().all(plain) {
        return Err(config.refuse("name", "must have up to 63 letters, digits, `-` or `.`"));
    }
    let url = Url::parse(endpoint).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let url =
        url.ok_or_else(|| config.refuse("endpoint", "must be an http:// or https:// address"))?;
    let store = AmazonS3Builder::new()
        .with_endpoint(url.as_str().trim_end_matches('/'))
        .with_bucket_name(bucket)
        .with_region(&config.region)
        .with_skip_signature(true)
        .with_virtual_hosted_style_request(false)
        .with_http_connector(connector(&url, EndpointPolicy::Trusted))
        .with_client_options(ClientOptions::new().with_allow_http(url.scheme() == "http"))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .map_err(|error| {
            config.refuse("settings", Scrubber::default().clean(&error.to_string()))
        })?;
    Ok(Bucket::over(Arc::new(store), format!("{}/{bucket}", url.as_str().trim_end_matches('/'))))
}

/// The client for `endpoint`, as far as `policy` trusts it.
pub(crate) fn connector(endpoint: &Url, policy: EndpointPolicy) -> BoundedConnector {
    let loopback = is_loopback(endpoint);
    BoundedConnector {
        public_only: policy != EndpointPolicy::Trusted && !loopback,
        direct: loopback,
    }
}

/// Keys travel in headers, so they are printable ASCII, and no store's are longer than 256.
fn check_key(secret: &Secret) -> Result<(), &'static str> {
    let text = secret.expose();
    if text.is_empty() {
        return Err("is missing");
    }
    if text.len() > 256 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be at most 256 printable characters without spaces");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str) -> BucketConfig {
        BucketConfig {
            endpoint: endpoint.to_owned(),
            bucket: "leoma-test".to_owned(),
            region: DEFAULT_REGION.to_owned(),
            access_key: Secret::new("AKIDPLANTED"),
            secret_key: Secret::new("secretplanted"),
        }
    }

    #[test]
    fn keys_are_shown_nowhere() {
        let config = config("http://127.0.0.1:1");
        let bucket = config.open().unwrap();
        for shown in
            [format!("{config:?}"), serde_json::to_string(&config).unwrap(), format!("{bucket:?}")]
        {
            assert!(!shown.contains("planted") && !shown.contains("PLANTED"), "{shown}");
        }
    }

    #[test]
    fn errors_name_the_field_and_the_accepted_form() {
        let bad = [
            (BucketConfig { bucket: "../x".to_owned(), ..config("https://a.com") }, "3 to 63"),
            (BucketConfig { region: "eu west".to_owned(), ..config("https://a.com") }, "region"),
            (
                BucketConfig { secret_key: Secret::default(), ..config("https://a.com") },
                "secret key is missing",
            ),
            (
                BucketConfig { access_key: Secret::new("a b"), ..config("https://a.com") },
                "access key must",
            ),
            (config("https://r2 example.com"), "not a URL such as"),
            (config("file:///nonexistent-folder"), "does not exist"),
            (config("ftp://example.com"), "neither http"),
        ];
        for (config, part) in bad {
            let error = config.open().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("planted"), "{error}");
        }
    }

    #[test]
    fn peers_do_not_open_our_files() {
        assert!(config("file:///tmp").open_under(EndpointPolicy::Public).is_err());
        assert!(config("memory:").open_under(EndpointPolicy::Loopback).is_err());
        assert!(config("http://127.0.0.1:9").open_under(EndpointPolicy::Public).is_err());
        assert!(config("http://127.0.0.1:9").open_under(EndpointPolicy::Loopback).is_ok());
    }

    #[tokio::test]
    async fn a_refused_connection_is_unavailable_and_tells_no_secret() {
        let quick = RetryPolicy {
            attempts: 2,
            first_delay: std::time::Duration::ZERO,
            ..RetryPolicy::default()
        };
        // Port 1 of loopback has no listener.
        let bucket = config("http://127.0.0.1:1").open().unwrap().with_policy(quick);
        let key = "7/metadata.json".parse().unwrap();
        let error = bucket.get(&key, 10).await.unwrap_err();
        assert!(matches!(error, crate::StoreError::Unavailable { attempts: 2, .. }), "{error:?}");
        let listed = bucket.list(None, None, 10).await.unwrap_err();
        let url = bucket.presign_get(&key, std::time::Duration::from_secs(60)).await.unwrap();
        for shown in
            [format!("{error} {error:?}"), format!("{listed} {listed:?}"), format!("{url:?}")]
        {
            assert!(
                !shown.contains("planted")
                    && !shown.contains("PLANTED")
                    && !shown.contains("Signature"),
                "{shown}"
            );
        }
        assert!(url.expose().as_str().contains("X-Amz-Signature"));
    }
}
