//! Access rules: a key reaches its own bucket only, and a read key changes nothing.

use std::collections::HashMap;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use super::keys::BucketKeys;

/// Operations of read keys, and of write keys too.
const READS: [&str; 6] =
    ["GetObject", "HeadObject", "ListObjects", "ListObjectsV2", "HeadBucket", "GetBucketLocation"];
/// Operations that need a write key. Operations listed nowhere are refused to every key.
const WRITES: [&str; 2] = ["PutObject", "DeleteObject"];

#[derive(Clone)]
struct Holder {
    bucket: String,
    secret: SecretKey,
    may_write: bool,
}

/// All keys of a server.
#[derive(Clone)]
pub(super) struct KeyRing {
    holders: HashMap<String, Holder>,
}

impl KeyRing {
    /// Takes keys that [`check`](super::keys::check) has passed.
    pub(super) fn new(keys: &[BucketKeys]) -> Self {
        let holders = keys.iter().flat_map(|entry| {
            [(&entry.write, true), (&entry.read, false)].map(|(pair, may_write)| {
                let secret = SecretKey::from(pair.secret.as_str());
                (pair.access.clone(), Holder { bucket: entry.bucket.clone(), secret, may_write })
            })
        });
        Self { holders: holders.collect() }
    }

    fn allows(&self, access_key: Option<&str>, bucket: Option<&str>, operation: &str) -> bool {
        let (Some(holder), Some(bucket)) =
            (access_key.and_then(|key| self.holders.get(key)), bucket)
        else {
            return false;
        };
        let allowed =
            READS.contains(&operation) || (holder.may_write && WRITES.contains(&operation));
        allowed && holder.bucket == bucket
    }
}

#[async_trait::async_trait]
impl S3Auth for KeyRing {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.holders.get(access_key) {
            Some(holder) => Ok(holder.secret.clone()),
            None => Err(s3_error!(InvalidAccessKeyId)),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for KeyRing {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        // SigV2 signs neither the time nor the body.
        let header = cx
            .headers()
            .get("authorization")
            .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
        let query = cx.uri().query().is_some_and(|query| query.contains("X-Amz-Algorithm=AWS4-"));
        let access_key = cx.credentials().map(|credentials| credentials.access_key.as_str());
        let allowed = self.allows(access_key, cx.s3_path().get_bucket_name(), cx.s3_op().name());
        if allowed && (header || query) { Ok(()) } else { Err(s3_error!(AccessDenied)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_they_are_for_in_their_own_bucket() {
        let (one, two) = (BucketKeys::generate("leoma-one"), BucketKeys::generate("leoma-two"));
        let ring = KeyRing::new(&[one.clone(), two]);
        let allows = |key: Option<&str>, operation| ring.allows(key, Some("leoma-one"), operation);
        let (write, read) = (Some(one.write.access.as_str()), Some(one.read.access.as_str()));
        for operation in READS {
            assert!(allows(write, operation) && allows(read, operation));
            assert!(!allows(None, operation) && !allows(Some("stranger"), operation));
            assert!(
                !ring.allows(read, Some("leoma-two"), operation)
                    && !ring.allows(read, None, operation)
            );
        }
        for operation in WRITES {
            assert!(allows(write, operation) && !allows(read, operation));
            assert!(!ring.allows(write, Some("leoma-two"), operation));
        }
        for operation in [
            "CopyObject",
            "PostObject",
            "CreateBucket",
            "DeleteObjects",
            "PutBucketPolicy",
            "ListBuckets",
        ] {
            assert!(!allows(write, operation));
        }
    }
}
