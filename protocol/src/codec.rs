//! Encoding and decoding. This is the only module that names bincode.
//!
//! Every encoding begins with [`VERSION`]. Integers have fixed width, so that a value has exactly
//! one encoding. A reader refuses input that is longer than its type allows, limits what bincode
//! may allocate for a claimed length, and refuses trailing bytes.

pub(crate) use bincode::de::Decoder;
pub(crate) use bincode::enc::Encoder;
pub(crate) use bincode::error::{DecodeError, EncodeError};
pub(crate) use bincode::impl_borrow_decode;
pub use bincode::{Decode, Encode};

/// First byte of every encoding. Another format gets another number.
pub const VERSION: u8 = 1;

/// Why a value cannot be decoded or encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There are no bytes.
    #[error("empty message")]
    Empty,
    /// This build does not know the format.
    #[error("unknown encoding version {found}, this build reads version {VERSION}")]
    Version {
        /// The first byte.
        found: u8,
    },
    /// There are more bytes than the type allows.
    #[error("{bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The number of bytes.
        bytes: usize,
        /// The type's limit.
        limit: usize,
    },
    /// The input is cut short, claims a length beyond the limit, or has an unknown variant or
    /// invalid UTF-8.
    #[error("malformed: {reason}")]
    Malformed {
        /// bincode's message, cut to fit a log line.
        reason: String,
    },
    /// There are bytes after the value.
    #[error("{bytes} bytes after the end of the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl CodecError {
    /// Whether a newer release wrote the bytes. They cannot be read here, and nobody is to blame.
    pub const fn is_from_a_newer_release(&self) -> bool {
        matches!(self, Self::Version { found } if *found > VERSION)
    }
}

/// A type that validators send to each other, with a limit on its encoding.
pub trait Wire: Encode + Decode<()> + Sized {
    /// Length of the longest encoding in bytes, version byte included.
    const MAX_BYTES: usize;

    /// The value's only encoding.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] beyond [`Wire::MAX_BYTES`].
    fn to_wire(&self) -> Result<Vec<u8>, CodecError> {
        let bytes = payload(self);
        if bytes.len() > Self::MAX_BYTES {
            return Err(CodecError::TooLarge { bytes: bytes.len(), limit: Self::MAX_BYTES });
        }
        Ok(bytes)
    }

    /// Decodes exactly one value from untrusted bytes.
    ///
    /// # Errors
    /// The first [`CodecError`] that applies.
    fn from_wire(bytes: &[u8]) -> Result<Self, CodecError>;
}

/// Implements [`Wire`] with a limit. This is a macro because bincode takes its limit as a const
/// generic argument.
macro_rules! wire {
    ($type:ty, $max:expr) => {
        impl $crate::codec::Wire for $type {
            const MAX_BYTES: usize = $max;

            fn from_wire(bytes: &[u8]) -> Result<Self, $crate::codec::CodecError> {
                // Elements may be padded in memory. Twice the encoded size is enough for every type
                // here.
                $crate::codec::decode::<Self, { 2 * $max }>(bytes, $max)
            }
        }
    };
}
pub(crate) use wire;

const fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding()
}

/// Version byte and encoding: what is sent, and what signatures cover.
#[expect(
    clippy::expect_used,
    reason = "writing plain data into a growing vector has no way to fail"
)]
pub(crate) fn payload(value: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bincode::encode_into_std_write(value, &mut bytes, configuration())
        .expect("a vector takes every encoding");
    bytes
}

pub(crate) fn decode<T: Decode<()>, const ALLOCATION: usize>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit });
    }
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != VERSION {
        return Err(CodecError::Version { found: *version });
    }
    let configuration =
        bincode::config::standard().with_fixed_int_encoding().with_limit::<ALLOCATION>();
    let (value, read) = bincode::decode_from_slice(body, configuration).map_err(|error| {
        CodecError::Malformed { reason: error.to_string().chars().take(120).collect() }
    })?;
    if read < body.len() {
        return Err(CodecError::Trailing { bytes: body.len() - read });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Note {
        number: u32,
        names: Vec<String>,
    }
    wire!(Note, 64);

    fn note() -> Note {
        Note { number: 7, names: vec!["a".into(), "bc".into()] }
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let bytes = note().to_wire().unwrap();
        assert_eq!(bytes[0], VERSION);
        assert_eq!(Note::from_wire(&bytes).unwrap(), note());
    }

    #[test]
    fn refuses_another_version_leftovers_cuts_and_excess() {
        let good = note().to_wire().unwrap();
        let mut bytes = good.clone();
        bytes[0] = 2;
        assert_eq!(Note::from_wire(&bytes), Err(CodecError::Version { found: 2 }));
        let mut bytes = good.clone();
        bytes.push(0);
        assert_eq!(Note::from_wire(&bytes), Err(CodecError::Trailing { bytes: 1 }));
        assert!(matches!(
            Note::from_wire(&good[..good.len() - 1]),
            Err(CodecError::Malformed { .. })
        ));
        assert_eq!(Note::from_wire(&[]), Err(CodecError::Empty));
        assert_eq!(Note::from_wire(&[1; 65]), Err(CodecError::TooLarge { bytes: 65, limit: 64 }));
        let long = Note { number: 0, names: vec!["x".repeat(64)] };
        assert!(matches!(long.to_wire(), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn a_claimed_length_is_refused_before_memory_is_set_aside() {
        // A vector that claims 2^60 strings in an input of 13 bytes.
        let mut bytes = vec![VERSION, 7, 0, 0, 0];
        bytes.extend((1u64 << 60).to_le_bytes());
        assert!(matches!(Note::from_wire(&bytes), Err(CodecError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn no_input_has_two_encodings(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = VERSION }
            if let Ok(note) = Note::from_wire(&bytes) {
                prop_assert_eq!(note.to_wire().unwrap(), bytes);
            }
        }
    }
}
