//! Numbers and hashes that must not be mixed up, each with its own type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, crate::codec::Encode, crate::codec::Decode,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number!(
    /// A subnet's number on the chain, or the storage index of one of its mechanisms: the chain
    /// keeps weights, their commits and the block of the last ones under
    /// `netuid + 4096 · mecid`. For mechanism 0 the two are the same.
    Netuid(u16)
);

impl Netuid {
    /// The distance between the storage indices of two mechanisms. Subnets have lower numbers.
    ///
    /// Source: pallet `SubtensorModule`, `GLOBAL_MAX_SUBNET_COUNT`.
    pub const STRIDE: u16 = 4096;
    /// How many mechanisms have an index: 16 bits hold 16 strides.
    pub const MECHANISMS: u8 = 16;

    /// The storage index of this subnet's mechanism; `None` if the number is not a subnet's, or if
    /// the mechanism has no index.
    #[must_use]
    pub const fn with_mechanism(self, mecid: u8) -> Option<Self> {
        if self.0 >= Self::STRIDE || mecid >= Self::MECHANISMS {
            return None;
        }
        Some(Self(self.0 + Self::STRIDE * mecid as u16))
    }

    /// The subnet's own number: its neurons, commitments, allowlist and hyperparameters are there.
    #[must_use]
    pub const fn subnet(self) -> Self {
        Self(self.0 % Self::STRIDE)
    }

    /// The mechanism's id.
    #[must_use]
    pub const fn mecid(self) -> u8 {
        // Below 16: the quotient of 16 bits by 4096.
        (self.0 / Self::STRIDE) as u8
    }
}
number!(
    /// A neuron's slot in a subnet. Slots are reused, so a uid means nothing without the block at
    /// which it was read.
    Uid(u16)
);
number!(
    /// A chain block's height.
    BlockNumber(u64)
);
number!(
    /// A sampling task: `block / interval`, with the interval of the allowlist then in force.
    TaskId(u64)
);

/// A text that is not 32 bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not 64 hexadecimal digits")]
pub struct DigestError {
    /// The refused text, cut to 80 characters.
    pub text: String,
}

/// A SHA-256 digest, or another 32-byte hash such as a block's. Written as 64 lower-case
/// hexadecimal digits.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    crate::codec::Encode,
    crate::codec::Decode,
)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// SHA-256 of the parts, one after the other.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// SHA-256 of all that a reader gives, however long it is.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader(mut reader: impl std::io::Read) -> std::io::Result<Self> {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        std::io::copy(&mut reader, &mut hasher)?;
        Ok(Self(hasher.finalize().into()))
    }

    /// The first eight hexadecimal digits, for topics and logs.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    /// Accepts 64 hexadecimal digits with or without `0x`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| DigestError { text: text.chars().take(80).collect() })?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_index_is_taken_apart_into_what_it_was_made_of() {
        let subnet = Netuid(99);
        assert_eq!(subnet.with_mechanism(0), Some(subnet));
        assert_eq!(subnet.with_mechanism(1), Some(Netuid(4195)));
        for mecid in 0..Netuid::MECHANISMS {
            let index = Netuid(4095).with_mechanism(mecid).unwrap();
            assert_eq!((index.subnet(), index.mecid()), (Netuid(4095), mecid));
        }
        assert_eq!(subnet.with_mechanism(16), None);
        assert_eq!(Netuid(4096).with_mechanism(0), None);
    }

    #[test]
    fn digests_read_both_spellings_and_refuse_others() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(format!("0x{digest}").parse::<Digest>().unwrap(), digest);
        assert_eq!(Digest::of_parts(&[b"a", b"bc"]), digest);
        assert!("abc".parse::<Digest>().is_err());
    }
}
