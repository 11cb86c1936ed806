//! An axon's answers.

use std::time::Duration;

use super::body_hash::BodyHash;
use super::class::{Fields, SynapseClass};
use super::document::{Document, SDK_VERSION, Sizes, Terminal};
use super::head::VerifiedHead;
use super::refusal::Refusal;
use super::request::{BuildError, checked};
use super::signed::AnswerText;
use super::uuid::CallerUuid;
use crate::HotkeySigner;

/// An axon's nonce, process id and elapsed time, which it signs or sends with an answer.
#[derive(Clone, Debug)]
pub struct AxonStamp {
    /// The time in nanoseconds since 1970.
    pub nonce: u64,
    /// The identifier of the axon's process.
    pub uuid: CallerUuid,
    /// How long the answer took.
    pub took: Duration,
}

/// An answer: an HTTP status, headers, and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynapseAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl SynapseAnswer {
    /// The answer to a request: what was asked, with the mutable fields of `filled` in it.
    ///
    /// # Errors
    /// [`BuildError`] where `filled` has other fields or types than the class's mutable ones.
    pub fn filled(
        class: &SynapseClass,
        head: &VerifiedHead,
        asked: &Fields,
        filled: &Fields,
        stamp: &AxonStamp,
        signer: &HotkeySigner,
    ) -> Result<Self, BuildError> {
        let mut fields = asked.clone();
        for (name, value) in filled {
            let is_mutable = class.field(name).is_some_and(|field| field.mutable);
            if !is_mutable {
                return Err(BuildError::UnknownField(name));
            }
            fields.insert(name, value.clone());
        }
        let fields = checked(class, &fields)?;
        let text = AnswerText {
            nonce: stamp.nonce,
            dendrite: head.caller(),
            axon: signer.hotkey(),
            uuid: &stamp.uuid,
        };
        let axon = Terminal {
            status_code: Some(200),
            status_message: Some("Success".to_owned()),
            process_time: Some(stamp.took.as_secs_f64()),
            version: Some(SDK_VERSION),
            nonce: Some(stamp.nonce),
            uuid: Some(stamp.uuid.to_string()),
            hotkey: Some(signer.hotkey()),
            signature: Some(text.sign(signer)),
            ..Terminal::default()
        };
        let dendrite = Terminal { hotkey: Some(head.caller()), ..Terminal::default() };
        let document = Document {
            class,
            timeout: head.timeout().as_secs_f64(),
            sizes: Sizes::default(),
            dendrite: &dendrite,
            axon: &axon,
            fields: &fields,
            body_hash: BodyHash::of(class, &fields).ok_or(BuildError::NotHashable)?,
        };
        Ok(Self { status: 200, headers: document.headers(), body: document.body().into_bytes() })
    }

    /// The answer to a request that is refused. It is not signed: signing costs as much as
    /// checking, and strangers would cause it.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let status = refusal.status();
        let headers = vec![
            ("bt_header_axon_status_code".to_owned(), status.to_string()),
            ("bt_header_axon_status_message".to_owned(), refusal.to_string()),
        ];
        Self { status, headers, body: refusal.body().into_bytes() }
    }
}
