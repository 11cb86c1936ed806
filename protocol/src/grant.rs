//! Access grants. The storage crate defines what is in one; this is what writers, carriers and
//! readers share.

use std::fmt;

/// Largest access grant: 200 presigned URLs of about 600 bytes with their keys, and room for longer
/// ones.
pub const MAX_GRANT_BYTES: usize = 192 * 1024;

/// An encoded grant: read access to a validator's bucket. `Debug` shows the length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantBytes(Vec<u8>);

impl GrantBytes {
    /// A grant of these bytes; `None` beyond [`MAX_GRANT_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_GRANT_BYTES).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for GrantBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantBytes({} bytes)", self.0.len())
    }
}
