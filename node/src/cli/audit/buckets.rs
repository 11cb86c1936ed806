//! The buckets that an audit reads, as they are named on the command line.

use std::str::FromStr;

use leoma_protocol::Hotkey;
use leoma_storage::{Bucket, BucketConfig, Secret};

#[derive(Clone, Debug)]
pub(super) struct BucketArg {
    /// Whose it is; `None` if it was not said.
    pub(super) owner: Option<Hotkey>,
    endpoint: String,
    pub(super) bucket: String,
}

impl FromStr for BucketArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (owner, address) = match text.split_once('=') {
            Some((owner, address)) if !owner.contains(':') => {
                (Some(owner.parse::<Hotkey>().map_err(|error| error.to_string())?), address)
            }
            _ => (None, text),
        };
        let (endpoint, bucket) =
            address.trim_end_matches('/').rsplit_once('/').ok_or("not an address")?;
        if !["http://", "https://", "file://"].iter().any(|scheme| endpoint.starts_with(scheme))
            || bucket.is_empty()
        {
            return Err(
                "must be file:///folder/bucket, http://endpoint/bucket or https://endpoint/bucket"
                    .to_owned(),
            );
        }
        Ok(Self { owner, endpoint: endpoint.to_owned(), bucket: bucket.to_owned() })
    }
}

impl BucketArg {
    /// Opens the bucket with the keys of the environment; without any, as one that is public.
    pub(super) fn open(&self) -> anyhow::Result<Bucket> {
        let key = |name| Secret::new(std::env::var(name).unwrap_or_default());
        if !self.endpoint.starts_with("file://") && key("AUDIT_ACCESS_KEY").expose().is_empty() {
            return Ok(leoma_storage::open_public(&self.endpoint, &self.bucket)?);
        }
        let config = BucketConfig {
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone(),
            region: leoma_storage::DEFAULT_REGION.to_owned(),
            access_key: key("AUDIT_ACCESS_KEY"),
            secret_key: key("AUDIT_SECRET_KEY"),
        };
        Ok(config.open()?)
    }
}
