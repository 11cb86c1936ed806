//! Reading a request's headers. What they claim and what is verified are two types, so that no
//! caller is taken for another.

use std::time::Duration;

use super::body_hash::BodyHash;
use super::class::{Fields, SynapseClass};
use super::refusal::Refusal;
use super::signed::RequestText;
use super::uuid::CallerUuid;
use crate::{Hotkey, Signature};

/// Most headers of a request. The SDK sends about twenty, and one for each field without default.
pub const MAX_HEADERS: usize = 96;
/// Most bytes of all headers, names included. The SDK sends about a kilobyte.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How far a caller's clock may be ahead of ours, and how late a request may be besides its own
/// time-out: the SDK's four seconds.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(4);

/// What a request's headers claim. Nothing of it is known to be true.
#[derive(Clone, Debug)]
pub struct RequestHead {
    caller: Hotkey,
    uuid: CallerUuid,
    nonce: u64,
    timeout: Duration,
    body_hash: BodyHash,
    signature: Signature,
}

impl RequestHead {
    /// Reads the headers of a request for `class` that came to `axon`. Names are compared without
    /// regard to case; headers that mean nothing here are passed over.
    ///
    /// # Errors
    /// [`Refusal`] for the first header that is missing, stated twice or malformed, for a request
    /// without a signature, and for one that is addressed to somebody else.
    pub fn read<'a>(
        class: &SynapseClass,
        axon: &Hotkey,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Refusal> {
        let known = Known::collect(headers)?;
        if known.text(NAME)? != class.name {
            return Err(Refusal::Header { name: NAME, reason: "not the name in the path" });
        }
        // Before anything is signed or verified: the reason is clearer than a wrong signature.
        if known.parsed::<Hotkey>(AXON_HOTKEY)? != *axon {
            return Err(Refusal::NotVerified("addressed to another hotkey"));
        }
        if known.is_missing(SIGNATURE) {
            return Err(Refusal::NotVerified("the request carries no signature"));
        }
        let malformed = |name, reason| Refusal::Header { name, reason };
        let signature = known.text(SIGNATURE)?;
        Ok(Self {
            caller: known.parsed(DENDRITE_HOTKEY)?,
            uuid: CallerUuid::parse(known.text(UUID)?)
                .ok_or(malformed(UUID, "not 1 to 64 letters, digits and dashes"))?,
            nonce: known.digits(NONCE)?,
            timeout: seconds(known.text(TIMEOUT)?)
                .ok_or(malformed(TIMEOUT, "not a positive number of seconds"))?,
            body_hash: BodyHash::from_hex(known.text(BODY_HASH)?)
                .ok_or(malformed(BODY_HASH, "not 64 hexadecimal digits"))?,
            signature: signature
                .strip_prefix("0x")
                .and_then(Signature::from_hex)
                .ok_or(malformed(SIGNATURE, "not 0x and 128 hexadecimal digits"))?,
        })
    }

    /// Who the request says it comes from: good enough to refuse it, for nothing else.
    #[must_use]
    pub const fn claimed_caller(&self) -> Hotkey {
        self.caller
    }

    /// Whether the nonce, the caller's clock in nanoseconds, is as old as a request under way can
    /// be: the request's own time-out, at most `longest`, and four seconds. The time-out is not
    /// signed, so without `longest` an old request could be made fresh.
    ///
    /// # Errors
    /// [`Refusal::NotVerified`].
    pub fn check_fresh(&self, now: u64, longest: Duration) -> Result<(), Refusal> {
        let tolerance = nanoseconds(CLOCK_TOLERANCE);
        let age = tolerance.saturating_add(nanoseconds(self.timeout.min(longest)));
        if self.nonce <= now.saturating_sub(age) {
            return Err(Refusal::NotVerified("the nonce is too old: is the caller's clock right?"));
        }
        if self.nonce > now.saturating_add(tolerance) {
            return Err(Refusal::NotVerified("the nonce is ahead: is the caller's clock right?"));
        }
        Ok(())
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`Refusal::NotVerified`].
    pub fn verify(self, axon: &Hotkey) -> Result<VerifiedHead, Refusal> {
        let text = RequestText {
            nonce: self.nonce,
            dendrite: self.caller,
            axon: *axon,
            uuid: &self.uuid,
            body_hash: self.body_hash,
        };
        if !text.is_signed_by_its_dendrite(&self.signature) {
            return Err(Refusal::NotVerified("the signature does not match"));
        }
        Ok(VerifiedHead(self))
    }
}

/// How long after its nonce a request may still be fresh.
pub(super) const fn longest_age(longest_timeout: Duration) -> u64 {
    nanoseconds(CLOCK_TOLERANCE).saturating_add(nanoseconds(longest_timeout))
}

const fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

/// The head of a request that its caller signed for us. It may still be a replay: ask
/// [`super::NonceStore`].
#[derive(Clone, Debug)]
pub struct VerifiedHead(RequestHead);

impl VerifiedHead {
    /// Who asks.
    #[must_use]
    pub const fn caller(&self) -> Hotkey {
        self.0.caller
    }

    /// The caller's clock in nanoseconds when it signed.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.0.nonce
    }

    /// How long the caller waits for the answer. Not signed.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Whether these are the fields that the caller signed. Without hashed fields that proves
    /// nothing about the body.
    ///
    /// # Errors
    /// [`Refusal::NotVerified`].
    pub fn check_body(&self, class: &SynapseClass, fields: &Fields) -> Result<(), Refusal> {
        match BodyHash::of(class, fields) {
            Some(hash) if hash == self.0.body_hash => Ok(()),
            Some(_) => Err(Refusal::NotVerified("the body is not the one that was signed")),
            None => Err(Refusal::NotVerified("a signed field has a value that cannot be hashed")),
        }
    }
}

const NAME: &str = "name";
const TIMEOUT: &str = "timeout";
const AXON_HOTKEY: &str = "bt_header_axon_hotkey";
const DENDRITE_HOTKEY: &str = "bt_header_dendrite_hotkey";
const NONCE: &str = "bt_header_dendrite_nonce";
const UUID: &str = "bt_header_dendrite_uuid";
const SIGNATURE: &str = "bt_header_dendrite_signature";
const BODY_HASH: &str = "computed_body_hash";
const READ: [&str; 8] =
    [NAME, TIMEOUT, AXON_HOTKEY, DENDRITE_HOTKEY, NONCE, UUID, SIGNATURE, BODY_HASH];

/// The values of [`READ`].
struct Known<'a>([Option<&'a [u8]>; READ.len()]);

impl<'a> Known<'a> {
    fn collect(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Refusal> {
        let (mut values, mut number, mut bytes) = ([None; READ.len()], 0, 0);
        for (name, value) in headers {
            number += 1;
            bytes += name.len() + value.len();
            if number > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
                return Err(Refusal::HeadersTooLarge);
            }
            let Some(at) = READ.iter().position(|known| known.eq_ignore_ascii_case(name)) else {
                continue;
            };
            if values[at].replace(value).is_some() {
                return Err(Refusal::Header { name: READ[at], reason: "stated twice" });
            }
        }
        Ok(Self(values))
    }

    fn value(&self, name: &'static str) -> Option<&'a [u8]> {
        READ.iter().position(|known| *known == name).and_then(|at| self.0[at])
    }

    fn is_missing(&self, name: &'static str) -> bool {
        self.value(name).is_none_or(<[u8]>::is_empty)
    }

    fn text(&self, name: &'static str) -> Result<&'a str, Refusal> {
        let value = self.value(name).ok_or(Refusal::Header { name, reason: "missing" })?;
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        text.ok_or(Refusal::Header { name, reason: "not ASCII" })
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, Refusal> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| Refusal::Header { name, reason: "not an SS58 address of a hotkey" })
    }

    /// A number whose text is the only one for it: it is part of what was signed.
    fn digits(&self, name: &'static str) -> Result<u64, Refusal> {
        let text = self.text(name)?;
        let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
        number.ok_or(Refusal::Header { name, reason: "not a number of nanoseconds" })
    }
}

/// A positive, finite number of seconds.
fn seconds(text: &str) -> Option<Duration> {
    // Python writes nothing longer, and parsing a long text takes long.
    let number = (text.len() <= 32).then(|| text.parse::<f64>().ok()).flatten()?;
    let duration = Duration::try_from_secs_f64(number).ok()?;
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests;
