//! Signed HTTP requests.

use crate::{Digest, Hotkey, HotkeySigner, Signature};

/// Whether `hotkey` signed this body with this timestamp, that is, the text
/// `sha256hex(body):timestamp`. The caller checks that the timestamp is fresh.
#[must_use]
pub fn verify_request(
    hotkey: &Hotkey,
    body: &[u8],
    timestamp: &str,
    signature: &Signature,
) -> bool {
    signature.verifies(signed_text(body, timestamp).as_bytes(), hotkey)
}

fn signed_text(body: &[u8], timestamp: &str) -> String {
    format!("{}:{timestamp}", Digest::of(body))
}

impl HotkeySigner {
    /// Signs a request's body with a timestamp in Unix seconds, for [`verify_request`].
    #[must_use]
    pub fn sign_request(&self, body: &[u8], timestamp: u64) -> Signature {
        self.sign_request_text(&signed_text(body, &timestamp.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::MemoryGuard;

    #[test]
    fn a_request_holds_for_its_body_time_and_signer_only() {
        let signer = |seed: u8| {
            HotkeySigner::new(
                sr25519::Pair::from_seed(&[seed; 32]),
                Arc::new(MemoryGuard::default()),
            )
        };
        let signature = signer(1).sign_request(b"{}", 1_780_000_000);
        let holds = |seed: u8, body: &[u8], time: &str| {
            verify_request(&signer(seed).hotkey(), body, time, &signature)
        };
        assert!(holds(1, b"{}", "1780000000"));
        assert!(!holds(2, b"{}", "1780000000"));
        assert!(!holds(1, b"{} ", "1780000000"));
        assert!(!holds(1, b"{}", "1780000001"));
    }
}
