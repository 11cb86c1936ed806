//! The source bucket, this validator's own, and those of peers.

use leoma_storage::{BucketConfig, Secret, StaticPeers};

use super::error::ConfigError;
use super::setting::Setting;
use super::values::{Values, http_url};

super::declare::settings! {
    /// the source bucket's S3 endpoint
    R2_ENDPOINT = setting("an http:// or https:// address", None);
    /// the source bucket's region
    R2_REGION = setting("a region's name", Some("auto"));
    /// the source bucket
    R2_SOURCE_BUCKET = setting("a bucket's name", None);
    /// read key of the source bucket
    R2_VIDEOS_READ_ACCESS_KEY = secret("a text");
    /// read key of the source bucket
    R2_VIDEOS_READ_SECRET_KEY = secret("a text");
    /// subnet owner only: write key of the source bucket
    R2_VIDEOS_WRITE_ACCESS_KEY = secret("a text");
    /// subnet owner only: write key of the source bucket
    R2_VIDEOS_WRITE_SECRET_KEY = secret("a text");
    /// this validator's own S3 endpoint; R2_ENDPOINT where unset
    R2_OWN_ENDPOINT = setting("an http:// or https:// address", None);
    /// the own bucket's region
    R2_OWN_REGION = setting("a region's name", Some("auto"));
    /// this validator's own bucket
    R2_OWN_BUCKET = setting("a bucket's name", None);
    /// write key of the own bucket
    R2_OWN_WRITE_ACCESS_KEY = secret("a text");
    /// write key of the own bucket
    R2_OWN_WRITE_SECRET_KEY = secret("a text");
    /// read-only key of the own bucket, handed to peers over the mesh
    R2_OWN_READ_ACCESS_KEY = secret("a text");
    /// read-only key of the own bucket, handed to peers over the mesh
    R2_OWN_READ_SECRET_KEY = secret("a text");
    /// peers' buckets, for a mesh without grants; takes precedence over a grant
    PEER_VALIDATORS = secret(
        "a JSON list of {hotkey, bucket, endpoint, region?, read_access_key, read_secret_key}"
    );
}

/// Buckets are options, since no command needs them all.
#[derive(Clone, Debug)]
pub(crate) struct BucketsConfig {
    pub(crate) source: Option<BucketConfig>,
    /// The source bucket with the owner's keys.
    pub(crate) source_write: Option<BucketConfig>,
    pub(crate) own: Option<BucketConfig>,
    /// The own bucket with the read-only key for peers.
    pub(crate) own_read: Option<BucketConfig>,
    pub(crate) peers: StaticPeers,
}

impl BucketsConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let source = |key| bucket(values, [&R2_ENDPOINT, &R2_REGION, &R2_SOURCE_BUCKET], key);
        let own = |key| bucket(values, [&R2_OWN_ENDPOINT, &R2_OWN_REGION, &R2_OWN_BUCKET], key);
        Ok(Self {
            source: source([&R2_VIDEOS_READ_ACCESS_KEY, &R2_VIDEOS_READ_SECRET_KEY])?,
            source_write: source([&R2_VIDEOS_WRITE_ACCESS_KEY, &R2_VIDEOS_WRITE_SECRET_KEY])?,
            own: own([&R2_OWN_WRITE_ACCESS_KEY, &R2_OWN_WRITE_SECRET_KEY])?,
            own_read: own([&R2_OWN_READ_ACCESS_KEY, &R2_OWN_READ_SECRET_KEY])?,
            peers: peers(values)?,
        })
    }

    pub(crate) fn need_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.source.as_ref().ok_or_else(|| ConfigError::missing(&R2_SOURCE_BUCKET))
    }

    pub(crate) fn need_source_write(&self) -> Result<&BucketConfig, ConfigError> {
        self.source_write.as_ref().ok_or_else(|| ConfigError::missing(&R2_VIDEOS_WRITE_ACCESS_KEY))
    }

    /// The source bucket with whichever keys are set: an owner may have only the write keys.
    pub(crate) fn need_readable_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.need_source().or_else(|missing| self.source_write.as_ref().ok_or(missing))
    }

    pub(crate) fn need_own(&self) -> Result<&BucketConfig, ConfigError> {
        self.own.as_ref().ok_or_else(|| ConfigError::missing(&R2_OWN_BUCKET))
    }
}

/// A bucket, or `None` when its name or both of its keys are unset.
fn bucket(
    values: &Values,
    [endpoint, region, bucket]: [&Setting; 3],
    [access_key, secret_key]: [&Setting; 2],
) -> Result<Option<BucketConfig>, ConfigError> {
    let Some(bucket) = values.text(bucket) else { return Ok(None) };
    let (access, secret) = match (values.text(access_key), values.text(secret_key)) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(ConfigError::missing(access_key)),
        (Some(_), None) => return Err(ConfigError::missing(secret_key)),
        (Some(access), Some(secret)) => (access, secret),
    };
    let endpoint = if values.text(endpoint).is_some() { endpoint } else { &R2_ENDPOINT };
    Ok(Some(BucketConfig {
        endpoint: values.parsed(endpoint, http_url)?,
        bucket: bucket.to_owned(),
        region: values.parsed(region, |text| Some(text.to_owned()))?,
        access_key: Secret::new(access),
        secret_key: Secret::new(secret),
    }))
}

fn peers(values: &Values) -> Result<StaticPeers, ConfigError> {
    let Some(text) = values.text(&PEER_VALIDATORS) else { return Ok(StaticPeers::default()) };
    StaticPeers::parse(text).map_err(|error| {
        values.refuse(&PEER_VALIDATORS, Some(format!("malformed ({})", error.reason)))
    })
}
