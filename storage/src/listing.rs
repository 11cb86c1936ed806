//! Listings of a bucket.

use std::collections::HashSet;

use futures::{FutureExt, StreamExt};
use object_store::path::Path;

use crate::bucket::Bucket;
use crate::error::{ObjectName, StoreError};
use crate::fault::{Class, Fault};
use crate::layout::Key;

/// Most entries that a listing reads, in a folder, which has no order, or past keys that it skips.
pub(crate) const MAX_WALKED: usize = 100_000;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
}

/// A part of a bucket's contents, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, at most as many as were asked for.
    pub objects: Vec<ObjectInfo>,
    /// Whether there are more after them.
    pub truncated: bool,
    /// How many objects were left out because their name is not a [`Key`].
    pub unusable: usize,
}

impl Bucket {
    /// Up to `limit` objects whose key begins with the folder `prefix`, in the order of keys, from
    /// the first after `after`.
    ///
    /// # Errors
    /// Any [`StoreError`] but `Conflict`, `TooLarge` and `Full`; transient ones after retries.
    pub async fn list(
        &self,
        prefix: Option<&Key>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Listing, StoreError> {
        let prefix = prefix.map(|prefix| self.path(prefix)).transpose()?;
        let after = after.map(|after| self.path(after)).transpose()?;
        let object = ObjectName {
            bucket: self.name.clone(),
            key: prefix.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        self.attempt(object, 0, || self.list_once(prefix.as_ref(), after.as_ref(), limit).boxed())
            .await
    }

    async fn list_once(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
        limit: usize,
    ) -> Result<Listing, Fault> {
        if let Some(folder) = &self.folder
            && !folder.is_dir()
        {
            return Err(Fault::new(Class::Misconfigured, "the bucket's folder does not exist"));
        }
        let mut stream = match after {
            Some(after) => self.store.list_with_offset(prefix, after),
            None => self.store.list(prefix),
        };
        let mut listing = Listing::default();
        let mut walked = 0;
        let mut seen = HashSet::new();
        while let Some(meta) = stream.next().await {
            let meta = meta.map_err(|error| Fault::of(&error, &self.scrubber))?;
            walked += 1;
            match meta.location.as_ref().parse() {
                Ok(key) => {
                    let key: Key = key;
                    if !seen.insert(key.clone()) {
                        let reason = format!("the store lists `{key}` twice: its listing repeats");
                        return Err(Fault::new(Class::Unavailable, reason));
                    }
                    listing.objects.push(ObjectInfo { key, size: meta.size });
                }
                Err(_) => listing.unusable += 1,
            }
            if self.ordered && listing.objects.len() > limit {
                break;
            }
            if walked >= MAX_WALKED {
                if self.ordered {
                    listing.truncated = true;
                    break;
                }
                // A part of an unordered folder would be an arbitrary part.
                return Err(Fault::new(
                    Class::Misconfigured,
                    format!("more than {MAX_WALKED} files in the folder"),
                ));
            }
        }
        if !self.ordered {
            listing.objects.sort_by(|a, b| a.key.cmp(&b.key));
        }
        listing.truncated |= listing.objects.len() > limit;
        listing.objects.truncate(limit);
        Ok(listing)
    }
}
