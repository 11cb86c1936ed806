//! The identifier of a process.

use std::fmt;

/// Longest identifier that is read: a UUID has 36 characters.
const MAX_UUID: usize = 64;

/// The identifier of a dendrite's or axon's process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallerUuid(String);

impl CallerUuid {
    /// A UUID (version 4) of these random bytes.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let digits = hex::encode(bytes);
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        Self(parts.join("-"))
    }

    /// Letters, digits and dashes: a dot would let one signed text be read in two ways.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_UUID).contains(&text.len());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (fits && is_plain).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for CallerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CallerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
