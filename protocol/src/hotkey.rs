//! A validator's or miner's hotkey: an sr25519 public key, written as SS58 with prefix 42.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sp_core::crypto::{Ss58AddressFormat, Ss58Codec};
use sp_core::sr25519;

/// The generic Substrate prefix that Bittensor uses; addresses begin with `5`.
pub const SS58_PREFIX: u16 = 42;
/// Longest text that is parsed: an SS58 address of 32 bytes has 48 characters.
const MAX_TEXT: usize = 64;

/// A text that is not a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a hotkey (an SS58 address with prefix 42, 48 characters that begin with 5): \
     {reason}"
)]
pub struct HotkeyError {
    /// The refused text, cut to fit a log line.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// An sr25519 public key.
///
/// Sorts as its SS58 text does: all texts have the same length and base58's alphabet is sorted. So
/// a list that is sorted here is sorted for Python too.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, crate::codec::Encode, crate::codec::Decode,
)]
pub struct Hotkey([u8; 32]);

impl Hotkey {
    /// The key with these public bytes. They need not be a point on the curve; then no signature
    /// verifies.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 public bytes, the chain's `AccountId32`.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn public(&self) -> sr25519::Public {
        sr25519::Public::from_raw(self.0)
    }
}

impl From<sr25519::Public> for Hotkey {
    fn from(public: sr25519::Public) -> Self {
        Self(public.0)
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self.public().to_ss58check_with_version(Ss58AddressFormat::custom(SS58_PREFIX)),
        )
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hotkey {
    type Err = HotkeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| HotkeyError { text: text.chars().take(MAX_TEXT).collect(), reason };
        if text.len() > MAX_TEXT {
            return Err(refuse("too long"));
        }
        let (public, format) = sr25519::Public::from_ss58check_with_version(text)
            .map_err(|_| refuse("bad characters, length or checksum"))?;
        if u16::from(format) != SS58_PREFIX {
            return Err(refuse("another network's prefix"));
        }
        let hotkey = Self(public.0);
        // Each key has one text, because other tools sort by it and use it as a map key.
        if hotkey.to_string() != text {
            return Err(refuse("not in canonical form"));
        }
        Ok(hotkey)
    }
}

impl Serialize for Hotkey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hotkey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn reads_and_writes_ss58() {
        let hotkey: Hotkey = ALICE.parse().unwrap();
        assert_eq!(hotkey.to_string(), ALICE);
        assert_eq!(serde_json::to_string(&hotkey).unwrap(), format!("\"{ALICE}\""));
    }

    #[test]
    fn refuses_other_networks_and_typing_errors() {
        let polkadot = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5";
        assert_eq!(polkadot.parse::<Hotkey>().unwrap_err().reason, "another network's prefix");
        assert!(ALICE.replace('G', "H").parse::<Hotkey>().is_err());
        assert!("".parse::<Hotkey>().is_err());
        assert!("5".repeat(100_000).parse::<Hotkey>().unwrap_err().to_string().len() < 300);
    }

    proptest! {
        #[test]
        fn sorting_keys_sorts_their_texts(a: [u8; 32], b: [u8; 32]) {
            let (a, b) = (Hotkey::from_bytes(a), Hotkey::from_bytes(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().parse::<Hotkey>().unwrap(), a);
        }
    }
}
