//! The source bucket, this validator's own, and those of peers.

use leoma_storage::{BucketConfig, Secret, StaticPeers, service_address};

use super::error::ConfigError;
use super::setting::Setting;
use super::values::Values;

super::declare::settings! {
    /// the source bucket's S3 endpoint
    R2_ENDPOINT = setting("an http:// or https:// address of an S3 service", None);
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
    R2_OWN_ENDPOINT = setting("an http:// or https:// address of an S3 service", None);
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
    missing: Missing,
}

/// The settings that the buckets lack which a validator needs.
#[derive(Clone, Debug)]
struct Missing {
    source: Vec<&'static Setting>,
    own: Vec<&'static Setting>,
}

impl BucketsConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let source = |key| bucket(values, [&R2_ENDPOINT, &R2_REGION, &R2_SOURCE_BUCKET], key);
        let own = |key| bucket(values, [&R2_OWN_ENDPOINT, &R2_OWN_REGION, &R2_OWN_BUCKET], key);
        let read_source = source([&R2_VIDEOS_READ_ACCESS_KEY, &R2_VIDEOS_READ_SECRET_KEY])?;
        let write_own = own([&R2_OWN_WRITE_ACCESS_KEY, &R2_OWN_WRITE_SECRET_KEY])?;
        let lacking = |bucket: &Result<BucketConfig, Vec<&'static Setting>>| {
            bucket.as_ref().err().cloned().unwrap_or_default()
        };
        let missing = Missing { source: lacking(&read_source), own: lacking(&write_own) };
        Ok(Self {
            source: read_source.ok(),
            source_write: source([&R2_VIDEOS_WRITE_ACCESS_KEY, &R2_VIDEOS_WRITE_SECRET_KEY])?.ok(),
            own: write_own.ok(),
            own_read: own([&R2_OWN_READ_ACCESS_KEY, &R2_OWN_READ_SECRET_KEY])?.ok(),
            peers: peers(values)?,
            missing,
        })
    }

    pub(crate) fn need_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.source.as_ref().ok_or_else(|| ConfigError::missing_all(&self.missing.source))
    }

    pub(crate) fn need_source_write(&self) -> Result<&BucketConfig, ConfigError> {
        self.source_write.as_ref().ok_or_else(|| ConfigError::missing(&R2_VIDEOS_WRITE_ACCESS_KEY))
    }

    /// The source bucket with whichever keys are set: an owner may have only the write keys.
    pub(crate) fn need_readable_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.need_source().or_else(|missing| self.source_write.as_ref().ok_or(missing))
    }

    pub(crate) fn need_own(&self) -> Result<&BucketConfig, ConfigError> {
        self.own.as_ref().ok_or_else(|| ConfigError::missing_all(&self.missing.own))
    }
}

/// A bucket, or the settings that it lacks. One key without the other is an error.
fn bucket(
    values: &Values,
    [endpoint, region, bucket]: [&'static Setting; 3],
    [access_key, secret_key]: [&'static Setting; 2],
) -> Result<Result<BucketConfig, Vec<&'static Setting>>, ConfigError> {
    match (values.text(access_key), values.text(secret_key)) {
        (None, Some(_)) => return Err(ConfigError::missing(access_key)),
        (Some(_), None) => return Err(ConfigError::missing(secret_key)),
        _ => {}
    }
    let endpoint = if values.text(endpoint).is_some() { endpoint } else { &R2_ENDPOINT };
    let (Some(name), Some(access), Some(secret), Some(address)) = (
        values.text(bucket),
        values.text(access_key),
        values.text(secret_key),
        values.text(endpoint),
    ) else {
        let all = [endpoint, bucket, access_key, secret_key];
        let lacking = all.into_iter().filter(|setting| values.text(setting).is_none());
        return Ok(Err(lacking.collect()));
    };
    // An own bucket may borrow the source's endpoint, which may have the source bucket's name in
    // it.
    let source_name = values.text(&R2_SOURCE_BUCKET).filter(|_| endpoint.name == R2_ENDPOINT.name);
    let endpoint = service_address(address, name)
        .or_else(|error| source_name.map_or(Err(error), |source| service_address(address, source)))
        .map_err(|error| {
            values.refuse(endpoint, Some(format!("`{}`: {}", error.endpoint, error.reason)))
        })?;
    Ok(Ok(BucketConfig {
        endpoint,
        bucket: name.to_owned(),
        region: values.parsed(region, |text| Some(text.to_owned()))?,
        access_key: Secret::new(access),
        secret_key: Secret::new(secret),
    }))
}

pub(super) fn peers(values: &Values) -> Result<StaticPeers, ConfigError> {
    let Some(text) = values.text(&PEER_VALIDATORS) else { return Ok(StaticPeers::default()) };
    StaticPeers::parse(text).map_err(|error| {
        values.refuse(&PEER_VALIDATORS, Some(format!("malformed ({})", error.reason)))
    })
}
