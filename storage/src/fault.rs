//! One failed attempt: classifies the error of the S3 client, of a folder or of the network, and
//! decides whether to try again.

use std::error::Error;
use std::io;

use http::StatusCode;
use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{ObjectName, StoreError};
use crate::http::StatusError;
use crate::retry::Attempts;
use crate::scrub::{Cause, Scrubber};

/// Error codes of S3, R2 and MinIO that mean "no space", with any status.
const FULL_CODES: [&str; 4] =
    ["QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageFull"];

/// What to look at when a store knows no such bucket.
const NO_BUCKET: &str = "there is no such bucket at this endpoint: compare its name, and note that R2 buckets under a jurisdiction have \
     an endpoint of their own, https://<account>.eu.r2.cloudflarestorage.com";
/// The same for a refusal, which some stores send in its place.
const NO_ACCESS: &str = "the key has no access to this bucket, or it lies under a jurisdiction with an endpoint of its own";

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The store reports that it holds no such object.
    Absent,
    /// The object still has the given ETag.
    NotModified,
    /// A conditional put lost: the object exists, or another put is in progress.
    AlreadyExists,
    Denied,
    /// The store refused the time at which the request was signed.
    Clock,
    Timeout,
    Unavailable,
    Full,
    Misconfigured,
    /// The object has more bytes than the caller's limit.
    TooLarge,
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

impl Fault {
    pub(crate) fn new(class: Class, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { class, cause: Cause::text(reason.clone()), reason }
    }

    /// Whether another attempt may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.class, Class::Timeout | Class::Unavailable | Class::AlreadyExists)
    }

    /// Whether the next of `attempts` may succeed.
    pub(crate) fn may_pass(&self, attempts: &mut Attempts) -> bool {
        self.is_transient() || (self.class == Class::Clock && attempts.may_sign_anew())
    }

    /// Classifies an error of the client.
    pub(crate) fn of(error: &object_store::Error, scrubber: &Scrubber) -> Self {
        let (class, reason) = classify(error);
        Self { class, reason: scrubber.clean(&reason), cause: Cause::of(error, scrubber) }
    }

    /// The fault of a put on the condition that the object is new: a store that does not know the
    /// condition says so in one of these ways.
    pub(crate) fn of_create(error: &object_store::Error, scrubber: &Scrubber) -> Self {
        let fault = Self::of(error, scrubber);
        let status = chain(error).find_map(|error| error.downcast_ref::<StatusError>());
        let unknown = status.is_some_and(|status| match status.status.as_u16() {
            501 => true,
            400 => {
                matches!(
                    status.code.as_str(),
                    "NotImplemented" | "InvalidArgument" | "InvalidRequest"
                )
            }
            _ => false,
        });
        if unknown {
            let reason = format!("this provider has no conditional writes ({})", fault.reason);
            return Self { class: Class::Misconfigured, reason, ..fault };
        }
        fault
    }

    /// The error for the caller, after `attempts` attempts.
    pub(crate) fn into_error(
        self,
        object: ObjectName,
        attempts: u32,
        elapsed: std::time::Duration,
        limit: u64,
    ) -> StoreError {
        let Self { class, reason, cause } = self;
        match class {
            Class::Denied => StoreError::PermissionDenied { object, reason, cause },
            Class::Clock => StoreError::Clock { object, reason, cause },
            Class::Full => StoreError::Full { object, reason, cause },
            Class::Misconfigured => StoreError::Misconfigured { object, reason, cause },
            Class::TooLarge => StoreError::TooLarge { object, limit },
            Class::Timeout => StoreError::Timeout { object, after: elapsed, attempts },
            Class::Absent | Class::NotModified | Class::AlreadyExists | Class::Unavailable => {
                StoreError::Unavailable { object, attempts, reason, cause }
            }
        }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn classify(error: &object_store::Error) -> (Class, String) {
    if let Some(status) = chain(error).find_map(|error| error.downcast_ref::<StatusError>()) {
        let hint = match status.code.as_str() {
            "NoSuchBucket" => Some(NO_BUCKET),
            "AccessDenied" => Some(NO_ACCESS),
            _ => None,
        };
        let said = status.to_string();
        return (of_status(status), hint.map_or(said.clone(), |hint| format!("{hint} ({said})")));
    }
    if let Some(io) = chain(error).find_map(|error| error.downcast_ref::<io::Error>())
        && let Some(class) = of_io(io)
    {
        return (class, io.to_string());
    }
    if let Some(http) = chain(error).find_map(|error| error.downcast_ref::<HttpError>()) {
        let class =
            if http.kind() == HttpErrorKind::Timeout { Class::Timeout } else { Class::Unavailable };
        return (class, innermost(http));
    }
    let class = match error {
        object_store::Error::NotFound { .. } => Class::Absent,
        object_store::Error::NotModified { .. } => Class::NotModified,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            Class::AlreadyExists
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Class::Denied,
        object_store::Error::InvalidPath { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => Class::Misconfigured,
        _ => Class::Unavailable,
    };
    (class, innermost(error))
}

/// The innermost cause: "connection refused" says more than four layers of "error sending request".
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn of_status(error: &StatusError) -> Class {
    if error.status == StatusCode::INSUFFICIENT_STORAGE || FULL_CODES.contains(&error.code.as_str())
    {
        return Class::Full;
    }
    if error.is_clock() {
        return Class::Clock;
    }
    match error.status.as_u16() {
        // Only this code means that the object is absent. A missing bucket, or a web server's "not
        // found", does not.
        404 if error.code == "NoSuchKey" => Class::Absent,
        304 => Class::NotModified,
        409 | 412 => Class::AlreadyExists,
        401 | 403 => Class::Denied,
        408 | 425 | 429 | 500..=599 if error.status != StatusCode::NOT_IMPLEMENTED => {
            Class::Unavailable
        }
        // S3 answers 400 to a body that arrived incomplete.
        400 if matches!(error.code.as_str(), "RequestTimeout" | "IncompleteBody" | "BadDigest") => {
            Class::Unavailable
        }
        _ => Class::Misconfigured,
    }
}

/// Classifies errors of a folder, and of sockets where the client passes them on.
fn of_io(error: &io::Error) -> Option<Class> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Class::Full),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Class::Denied),
        io::ErrorKind::TimedOut => Some(Class::Timeout),
        io::ErrorKind::InvalidFilename => Some(Class::Misconfigured),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: &str) -> Class {
        of_status(&StatusError {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.into(),
            message: String::new(),
        })
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        assert_eq!(class(404, "NoSuchKey"), Class::Absent);
        assert_eq!(class(404, ""), Class::Misconfigured);
        assert_eq!(class(404, "NoSuchBucket"), Class::Misconfigured);
    }

    #[test]
    fn a_refused_time_is_our_clocks_and_no_key() {
        assert_eq!(class(403, "RequestTimeTooSkewed"), Class::Clock);
        assert_eq!(class(403, "AccessDenied"), Class::Denied);
    }

    #[test]
    fn statuses_are_sorted_by_what_to_do() {
        assert_eq!(class(429, "SlowDown"), Class::Unavailable);
        assert_eq!(class(503, "QuotaExceeded"), Class::Full);
        assert_eq!(class(507, ""), Class::Full);
        assert_eq!(class(403, "SignatureDoesNotMatch"), Class::Denied);
        assert_eq!(class(400, "AuthorizationHeaderMalformed"), Class::Misconfigured);
        assert_eq!(class(301, ""), Class::Misconfigured);
        assert_eq!(class(501, "NotImplemented"), Class::Misconfigured);
    }

    #[test]
    fn a_full_disk_behind_a_folder_is_named() {
        let error = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        };
        assert_eq!(Fault::of(&error, &Scrubber::default()).class, Class::Full);
    }
}
