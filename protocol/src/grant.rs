//! Access grants. What is in one is the storage crate's matter; its size is the same for those who
//! write, carry and read it.

/// Largest access grant: 200 presigned URLs of about 600 bytes with their keys, and room for longer
/// ones.
pub const MAX_GRANT_BYTES: usize = 192 * 1024;
