//! Signed HTTP requests: the text that is signed, and its check.

use crate::{Digest, Hotkey, Signature};

/// The text a request's signature covers: `sha256hex(body):timestamp`.
#[must_use]
pub fn signed_text(body: &[u8], timestamp: &str) -> String {
    format!("{}:{timestamp}", Digest::of(body))
}

/// Whether `hotkey` signed this body with this timestamp. The caller checks that the timestamp is
/// fresh.
#[must_use]
pub fn verify_request(
    hotkey: &Hotkey,
    body: &[u8],
    timestamp: &str,
    signature: &Signature,
) -> bool {
    signature.verifies(signed_text(body, timestamp).as_bytes(), hotkey)
}
