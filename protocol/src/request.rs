//! Signed HTTP requests.

use crate::{Digest, Hotkey, Signature};

/// Whether `hotkey` signed this body with this timestamp, that is, the text
/// `sha256hex(body):timestamp`. The caller checks that the timestamp is fresh.
#[must_use]
pub fn verify_request(
    hotkey: &Hotkey,
    body: &[u8],
    timestamp: &str,
    signature: &Signature,
) -> bool {
    let signed_text = format!("{}:{timestamp}", Digest::of(body));
    signature.verifies(signed_text.as_bytes(), hotkey)
}
