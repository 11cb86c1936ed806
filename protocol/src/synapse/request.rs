//! A question, and the signed request that asks it.

use std::net::IpAddr;
use std::time::Duration;

use super::body_hash::BodyHash;
use super::class::{BodyFault, Fields, SynapseClass};
use super::document::{Document, SDK_VERSION, Sizes, Terminal};
use super::signed::RequestText;
use super::uuid::CallerUuid;
use crate::{Hotkey, HotkeySigner};

/// Whom a request is for: the entry of an axon on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address; it is not to be trusted.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its hotkey: a request that is signed for one axon is refused by every other.
    pub hotkey: Hotkey,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Our public address, where it is known. Nothing reads it.
    pub ip: Option<IpAddr>,
    /// The identifier of this process.
    pub uuid: CallerUuid,
}

/// Why a request cannot be made: a fault of the mechanism, not of a miner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A field is missing or has another type.
    #[error(transparent)]
    Field(#[from] BodyFault),
    /// A field that the class does not have.
    #[error("the synapse has no field {0}")]
    UnknownField(&'static str),
    /// A hashed field whose text Python would write in a way that is not known here.
    #[error("a hashed field has a value that cannot be hashed")]
    NotHashable,
    /// No time to answer.
    #[error("the timeout is zero")]
    Timeout,
}

/// A checked question: asking it of a miner cannot fail on our side.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    class: SynapseClass,
    fields: Fields,
    timeout: f64,
    body_hash: BodyHash,
}

impl Question {
    /// A question whose answer is awaited for up to `timeout`.
    ///
    /// # Errors
    /// [`BuildError`] where `fields` are not those of the class.
    pub fn new(
        class: &SynapseClass,
        fields: &Fields,
        timeout: Duration,
    ) -> Result<Self, BuildError> {
        if timeout.is_zero() {
            return Err(BuildError::Timeout);
        }
        let fields = checked(class, fields)?;
        let body_hash = BodyHash::of(class, &fields).ok_or(BuildError::NotHashable)?;
        Ok(Self { class: *class, fields, timeout: timeout.as_secs_f64(), body_hash })
    }

    /// The class.
    #[must_use]
    pub const fn class(&self) -> &SynapseClass {
        &self.class
    }

    /// How long the answer is waited for.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout).unwrap_or(Duration::MAX)
    }

    /// The request that asks it of `target`. `nonce` is the time in nanoseconds since 1970, and
    /// greater than in every earlier request of this process.
    #[must_use]
    pub fn sign(
        &self,
        target: &Target,
        caller: &Caller,
        nonce: u64,
        signer: &HotkeySigner,
    ) -> SynapseRequest {
        self.sign_with(Sizes::default(), target, caller, nonce, signer)
    }

    fn sign_with(
        &self,
        sizes: Sizes,
        target: &Target,
        caller: &Caller,
        nonce: u64,
        signer: &HotkeySigner,
    ) -> SynapseRequest {
        let text = RequestText {
            nonce,
            dendrite: signer.hotkey(),
            axon: target.hotkey,
            uuid: &caller.uuid,
            body_hash: self.body_hash,
        };
        let dendrite = Terminal {
            ip: caller.ip,
            version: Some(SDK_VERSION),
            nonce: Some(nonce),
            uuid: Some(caller.uuid.to_string()),
            hotkey: Some(signer.hotkey()),
            signature: Some(text.sign(signer)),
            ..Terminal::default()
        };
        let axon = Terminal {
            ip: Some(target.ip),
            port: Some(target.port),
            hotkey: Some(target.hotkey),
            ..Terminal::default()
        };
        let document = Document {
            class: &self.class,
            timeout: self.timeout,
            sizes,
            dendrite: &dendrite,
            axon: &axon,
            fields: &self.fields,
            body_hash: self.body_hash,
        };
        SynapseRequest {
            path: format!("/{}", self.class.name),
            headers: document.headers(),
            body: document.body().into_bytes(),
        }
    }
}

/// A request, ready to be sent to `http://{ip}:{port}{path}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynapseRequest {
    /// `/` and the class's name.
    pub path: String,
    /// Names and values. Names have underscores, which some proxies drop.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// The class's fields, each of its type.
pub(super) fn checked(class: &SynapseClass, fields: &Fields) -> Result<Fields, BuildError> {
    if let Some(name) = fields.keys().find(|name| class.field(name).is_none()) {
        return Err(BuildError::UnknownField(name));
    }
    let missing = |name| BodyFault { field: Some(name), reason: "missing" };
    let accept = |field: &super::Field| {
        let value = fields.get(field.name).ok_or(missing(field.name))?;
        Ok((field.name, field.accept(value)?))
    };
    Ok(class.fields.iter().map(accept).collect::<Result<_, BodyFault>>()?)
}

#[cfg(test)]
mod tests;
