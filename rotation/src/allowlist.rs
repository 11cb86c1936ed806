//! The allowlist: which validators produce tasks, and how often. The subnet owner commits its hash
//! on chain.

use std::num::NonZeroU64;

pub use leoma_protocol::messages::MAX_VALIDATORS;
use leoma_protocol::python_json::{JsonError, Value};
use leoma_protocol::{BlockNumber, Digest, DigestError, Hotkey, TaskId};

/// The start of a commitment to an allowlist; the hash follows in hexadecimal.
pub const COMMITMENT_PREFIX: &str = "leoma:allowlist:v1:";
/// The version of the file that is read.
pub const ALLOWLIST_VERSION: u64 = 1;
/// The largest file that is read: [`MAX_VALIDATORS`] hotkeys of 48 characters take 13 KiB in the
/// canonical form. With room to spare, so that a list of too many is refused with their number.
pub const MAX_ALLOWLIST_BYTES: usize = 64 * 1024;

/// An allowlist: hotkeys sorted and unique, and the length of a task in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowlist {
    interval: NonZeroU64,
    validators: Vec<Hotkey>,
}

/// Why a file is not the allowlist.
#[derive(Debug, thiserror::Error)]
pub enum AllowlistError {
    /// More bytes than an allowlist can have.
    #[error("the allowlist has {bytes} bytes, more than {MAX_ALLOWLIST_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the file that the owner committed.
    #[error("the allowlist's sha256 is {found}, the subnet owner committed {committed}")]
    HashDiffers {
        /// SHA-256 of the file.
        found: Digest,
        /// What the chain says.
        committed: Digest,
    },
    /// The committed text is not a hash, so no file can match it.
    #[error("the committed allowlist hash is unusable")]
    CommittedHash(#[from] DigestError),
    /// Not JSON.
    #[error("the allowlist is not JSON")]
    NotJson(#[from] JsonError),
    /// JSON of another shape.
    #[error("the allowlist: {0}")]
    Shape(&'static str),
    /// An element that is not a hotkey.
    #[error("the allowlist: validator {index} is not an SS58 address with prefix 42")]
    Validator {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// Tasks of no blocks.
    #[error("the allowlist: `interval` must be at least 1 block")]
    Interval,
    /// More validators than a list may have.
    #[error("the allowlist has {validators} validators, more than {MAX_VALIDATORS}")]
    TooMany {
        /// How many.
        validators: usize,
    },
    /// The right members, but not in the canonical bytes: unsorted or repeated hotkeys, spaces, or
    /// further members.
    #[error(
        "the allowlist is not in canonical form: {{\"interval\":…,\"validators\":[…],\"version\":1}}, hotkeys sorted and unique, no spaces"
    )]
    NotCanonical,
}

impl Allowlist {
    /// A list of these validators, in any order; repeated ones count once. `interval` is in blocks.
    ///
    /// # Errors
    /// [`AllowlistError::Interval`] for zero, [`AllowlistError::TooMany`] beyond
    /// [`MAX_VALIDATORS`].
    pub fn new(
        interval: u64,
        validators: impl IntoIterator<Item = Hotkey>,
    ) -> Result<Self, AllowlistError> {
        let interval = NonZeroU64::new(interval).ok_or(AllowlistError::Interval)?;
        let mut validators: Vec<_> = validators.into_iter().collect();
        validators.sort_unstable();
        validators.dedup();
        if validators.len() > MAX_VALIDATORS {
            return Err(AllowlistError::TooMany { validators: validators.len() });
        }
        Ok(Self { interval, validators })
    }

    /// Reads `allowlist/v1.json` and checks it against the hash that the subnet owner committed.
    ///
    /// # Errors
    /// [`AllowlistError::HashDiffers`] for any other file; the remaining errors are for a committed
    /// file that is malformed.
    pub fn verify(bytes: &[u8], committed: Digest) -> Result<Self, AllowlistError> {
        if bytes.len() > MAX_ALLOWLIST_BYTES {
            return Err(AllowlistError::TooLarge { bytes: bytes.len() });
        }
        let found = Digest::of(bytes);
        if found != committed {
            return Err(AllowlistError::HashDiffers { found, committed });
        }
        Self::parse(bytes)
    }

    /// Reads a list that no committed hash vouches for, such as one given on the command line.
    ///
    /// # Errors
    /// [`AllowlistError`] for anything but the canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, AllowlistError> {
        if bytes.len() > MAX_ALLOWLIST_BYTES {
            return Err(AllowlistError::TooLarge { bytes: bytes.len() });
        }
        let value = Value::parse(bytes)?;
        if value.get("version").and_then(Value::as_u64) != Some(ALLOWLIST_VERSION) {
            return Err(AllowlistError::Shape("`version` is not 1"));
        }
        let interval =
            value.get("interval").and_then(Value::as_u64).ok_or(AllowlistError::Interval)?;
        let elements = value
            .get("validators")
            .and_then(Value::as_array)
            .ok_or(AllowlistError::Shape("`validators` is not an array"))?;
        let read = |(index, element): (usize, &Value)| {
            element
                .as_str()
                .and_then(|text| text.parse().ok())
                .ok_or(AllowlistError::Validator { index })
        };
        let validators: Vec<Hotkey> =
            elements.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let allowlist = Self::new(interval, validators)?;
        if allowlist.canonical_json().as_bytes() != bytes {
            return Err(AllowlistError::NotCanonical);
        }
        Ok(allowlist)
    }

    /// The bytes of `allowlist/v1.json`.
    pub fn canonical_json(&self) -> String {
        let quoted: Vec<_> = self.validators.iter().map(|hotkey| format!("\"{hotkey}\"")).collect();
        format!(
            "{{\"interval\":{},\"validators\":[{}],\"version\":{ALLOWLIST_VERSION}}}",
            self.interval,
            quoted.join(",")
        )
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical_json().as_bytes())
    }

    /// The text that the subnet owner commits on chain.
    pub fn commitment(&self) -> String {
        format!("{COMMITMENT_PREFIX}{}", self.digest())
    }

    /// Length of a task in blocks.
    pub const fn interval(&self) -> u64 {
        self.interval.get()
    }

    /// The number of the task that `block` lies in.
    pub const fn task_at(&self, block: BlockNumber) -> TaskId {
        TaskId(block.0 / self.interval.get())
    }

    /// The first block of a task; `None` beyond the last block number there can be.
    pub fn start_of(&self, task_id: TaskId) -> Option<BlockNumber> {
        task_id.0.checked_mul(self.interval.get()).map(BlockNumber)
    }

    /// The validators, sorted; their order is the rotation's.
    pub fn validators(&self) -> &[Hotkey] {
        &self.validators
    }

    /// Whether `hotkey` is listed.
    pub fn contains(&self, hotkey: &Hotkey) -> bool {
        self.position(hotkey).is_some()
    }

    pub(crate) fn position(&self, hotkey: &Hotkey) -> Option<usize> {
        self.validators.binary_search(hotkey).ok()
    }
}

/// The hash in a commitment text, as it was written; `None` for any other text. Spaces around the
/// hash are dropped; a space before the prefix makes it another text.
#[must_use]
pub fn committed_hash(text: &str) -> Option<&str> {
    // Python's `strip` also drops the four ASCII separators, which are not white space in Unicode.
    let is_space = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
    Some(text.strip_prefix(COMMITMENT_PREFIX)?.trim_matches(is_space))
        .filter(|hash| !hash.is_empty())
}

/// The digest in a commitment text; `None` if the text is not a commitment to an allowlist.
///
/// # Errors
/// [`AllowlistError::CommittedHash`] if it is one whose hash is not a SHA-256.
pub fn committed_digest(text: &str) -> Result<Option<Digest>, AllowlistError> {
    Ok(committed_hash(text).map(str::parse).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::messages::Allowlists;
    use proptest::prelude::*;

    fn hotkeys(seeds: impl IntoIterator<Item = u8>) -> Vec<Hotkey> {
        seeds.into_iter().map(|seed| Hotkey::from_bytes([seed; 32])).collect()
    }

    #[test]
    fn an_allowlist_whose_hash_differs_is_refused() {
        let committed = Allowlist::new(100, hotkeys([1, 2])).unwrap();
        let other = Allowlist::new(100, hotkeys([1, 2, 3])).unwrap();
        let error =
            Allowlist::verify(other.canonical_json().as_bytes(), committed.digest()).unwrap_err();
        assert!(matches!(error, AllowlistError::HashDiffers { .. }));
        let line = error.to_string();
        assert!(
            line.contains(&committed.digest().to_string())
                && line.contains(&other.digest().to_string()),
            "{line}"
        );
        let digest = committed_digest(&committed.commitment()).unwrap().unwrap();
        assert_eq!(
            Allowlist::verify(committed.canonical_json().as_bytes(), digest).unwrap(),
            committed
        );
    }

    #[test]
    fn a_committed_file_of_another_form_is_refused_with_what_is_wrong() {
        let good = Allowlist::new(5, hotkeys([1])).unwrap().canonical_json();
        let cases = [
            (good.replace("\"version\":1", "\"version\":2"), "`version` is not 1"),
            (good.replace("\"interval\":5", "\"interval\":0"), "at least 1 block"),
            (good.replace("\"interval\":5", "\"interval\":-5"), "at least 1 block"),
            (good.replace("\"interval\":5", "\"interval\":5.0"), "at least 1 block"),
            (good.replace("\"interval\":5", "\"interval\":true"), "at least 1 block"),
            (good.replace(":[\"5", ":[\"6"), "validator 0"),
            (good.replace(":[", ":[7,"), "validator 0"),
            (good.replace(',', ", "), "canonical form"),
            (good.replace("}", ",\"z\":1}"), "canonical form"),
            (good.replace("[\"", "{\"a\":\"").replace("\"]", "\"}"), "not an array"),
            ("{".to_owned(), "not JSON"),
            ("[]".to_owned(), "`version` is not 1"),
            (" ".repeat(MAX_ALLOWLIST_BYTES + 1), "more than"),
        ];
        for (text, reason) in cases {
            let error = Allowlist::verify(text.as_bytes(), Digest::of(text.as_bytes()))
                .unwrap_err()
                .to_string();
            assert!(error.contains(reason), "{error:?} should say {reason:?}");
        }
        let twice = good.replace(":[", &format!(":[\"{}\",", Hotkey::from_bytes([1; 32])));
        assert!(matches!(Allowlist::parse(twice.as_bytes()), Err(AllowlistError::NotCanonical)));
    }

    #[test]
    fn a_commitment_without_a_usable_hash_is_told_from_another_commitment() {
        assert!(matches!(committed_digest("{\"model_name\":\"m\"}"), Ok(None)));
        assert!(matches!(committed_digest("leoma:allowlist:v1:\x1f \u{a0}"), Ok(None)));
        assert!(matches!(
            committed_digest("leoma:allowlist:v1:abc"),
            Err(AllowlistError::CommittedHash(_))
        ));
    }

    #[test]
    fn the_largest_list_fits_the_largest_file() {
        let key = |n: usize| {
            let mut bytes = [0xff; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            Hotkey::from_bytes(bytes)
        };
        let list = Allowlist::new(u64::MAX, (0..MAX_VALIDATORS).map(key)).unwrap();
        assert!(Allowlist::parse(list.canonical_json().as_bytes()).is_ok());
        assert!(matches!(
            Allowlist::new(1, (0..=MAX_VALIDATORS).map(key)),
            Err(AllowlistError::TooMany { .. })
        ));
        // As many as the mesh takes: with one more the two would disagree on turns and quorums.
        let mesh = Allowlists::single(1, list.validators().iter().copied());
        assert_eq!(mesh.newest_in_order().0, list.validators());
        let error = Allowlist::new(1, (0..257).map(key)).unwrap_err().to_string();
        assert_eq!(error, "the allowlist has 257 validators, more than 256");
    }

    proptest! {
        #[test]
        fn the_order_of_hotkeys_never_changes_the_hash(mut seeds: Vec<u8>, interval in 1u64..) {
            let first = Allowlist::new(interval, hotkeys(seeds.clone())).unwrap();
            seeds.reverse();
            let twice = seeds.iter().chain(&seeds).copied();
            prop_assert_eq!(first.digest(), Allowlist::new(interval, hotkeys(twice)).unwrap().digest());
            prop_assert_eq!(Allowlist::parse(first.canonical_json().as_bytes()).unwrap(), first);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Allowlist::verify(&bytes, Digest::of(&bytes));
        }
    }
}
