//! Create-once: an object is written by one conditional put. Where the outcome of a put is in
//! doubt, the object is read back.
//!
//! | answer to the put | what is in the bucket | result |
//! |---|---|---|
//! | success | our bytes | [`Created::New`] |
//! | exists (412, or a raw 409), timeout, 5xx, broken connection | our bytes | [`Created::AlreadyThere`] |
//! | the same | other bytes | [`StoreError::Conflict`] |
//! | the same | nothing | put again, within the bounds of the policy |
//! | the same | cannot be read | put again, within the bounds of the policy |
//! | this machine's clock is wrong | | put once more, then that error |
//! | denied, full, misconfigured | | that error, at once |

use bytes::Bytes;
use leoma_protocol::Digest;
use object_store::path::Path;
use object_store::{PutMode, PutOptions, PutPayload};

use crate::bucket::{Bucket, Polled};
use crate::error::StoreError;
use crate::fault::{Class, Fault};
use crate::layout::Key;
use crate::retry::Attempts;

/// How an object came to be in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// This call wrote it.
    New,
    /// It was there with the same bytes, from an earlier run or from a put of this call whose
    /// answer was lost.
    AlreadyThere,
}

/// What a failed put left in the bucket.
enum Left {
    Nothing,
    Ours,
    Other(Option<Digest>),
}

impl Bucket {
    /// Writes an object that must not exist with other bytes.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it does. Any other [`StoreError`] if the bytes could not be
    /// written, or if it stayed unknown whether they were, within the policy's bounds.
    pub async fn create(&self, key: &Key, bytes: Bytes) -> Result<Created, StoreError> {
        let path = self.path(key)?;
        let mut attempts = self.policy.begin();
        loop {
            attempts.start();
            let fault = match self.put_once(&path, &bytes, PutMode::Create, &attempts).await {
                Ok(()) => return Ok(Created::New),
                Err(fault) => fault,
            };
            tracing::debug!(object = %self.object(key), attempt = attempts.made(), reason = fault.reason, "attempt failed");
            if fault.class == Class::Clock && attempts.may_sign_anew() {
                // Nothing was written, and the next put is signed with a new time.
                continue;
            }
            if !fault.is_transient() {
                return Err(self.put_error(key, fault, &attempts));
            }
            let fault = match self.left_behind(&path, &bytes, &attempts).await {
                Ok(Left::Ours) => return Ok(Created::AlreadyThere),
                Ok(Left::Other(theirs)) => {
                    return Err(StoreError::Conflict {
                        object: self.object(key),
                        ours: Digest::of(&bytes),
                        theirs,
                    });
                }
                Ok(Left::Nothing) => fault,
                Err(unread) if unread.is_transient() => unread,
                Err(unread) => return Err(self.put_error(key, unread, &attempts)),
            };
            if !attempts.pause(None).await {
                return Err(self.put_error(key, fault, &attempts));
            }
        }
    }

    /// Writes an object and replaces what was there: for the owner's allowlist and manifest.
    /// Everything else is written with [`create`](Self::create).
    ///
    /// # Errors
    /// Any [`StoreError`] but `Conflict` and `TooLarge`; transient ones after retries.
    pub async fn replace(&self, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let mut attempts = self.policy.begin();
        loop {
            attempts.start();
            let Err(fault) = self.put_once(&path, &bytes, PutMode::Overwrite, &attempts).await
            else {
                return Ok(());
            };
            if !fault.may_pass(&mut attempts) || !attempts.pause(None).await {
                return Err(self.put_error(key, fault, &attempts));
            }
        }
    }

    fn put_error(&self, key: &Key, fault: Fault, attempts: &Attempts) -> StoreError {
        fault.into_error(self.object(key), attempts.made(), attempts.elapsed(), 0)
    }

    async fn put_once(
        &self,
        path: &Path,
        bytes: &Bytes,
        mode: PutMode,
        attempts: &Attempts,
    ) -> Result<(), Fault> {
        let is_create = mode == PutMode::Create;
        let options = PutOptions::from(mode);
        let put = self.store.put_opts(path, PutPayload::from_bytes(bytes.clone()), options);
        match tokio::time::timeout(attempts.time_left(), put).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let fault = if is_create {
                    Fault::of_create(&error, &self.scrubber)
                } else {
                    Fault::of(&error, &self.scrubber)
                };
                // A put of a new object is answered "not found" only if the bucket is missing.
                match fault.class {
                    Class::Absent => Err(Fault { class: Class::Misconfigured, ..fault }),
                    _ => Err(fault),
                }
            }
            Err(_) => Err(Fault::new(Class::Timeout, "the put timed out")),
        }
    }

    async fn left_behind(
        &self,
        path: &Path,
        ours: &Bytes,
        attempts: &Attempts,
    ) -> Result<Left, Fault> {
        let read = self.read_once(path, ours.len() as u64, None);
        match tokio::time::timeout(attempts.time_left(), read).await {
            Ok(Ok(Polled::Changed(found))) if found.bytes == *ours => Ok(Left::Ours),
            Ok(Ok(Polled::Changed(found))) => Ok(Left::Other(Some(Digest::of(&found.bytes)))),
            Ok(Ok(Polled::Absent)) => Ok(Left::Nothing),
            Ok(Ok(Polled::Unchanged)) => {
                Err(Fault::new(Class::Unavailable, "\"not modified\" to an unconditional read"))
            }
            Ok(Err(fault)) if fault.class == Class::TooLarge => Ok(Left::Other(None)),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::new(Class::Timeout, "reading back after a put timed out")),
        }
    }
}
