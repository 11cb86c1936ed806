//! The headers and the body that both sides write.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::body_hash::{BodyHash, python_str};
use super::class::{FieldKind, Fields, SynapseClass};
use crate::python_json::Value;
use crate::{Hotkey, Signature};

/// The version whose wire format this is, as the SDK writes it: 10.2.0.
pub(super) const SDK_VERSION: u32 = 10_002_000;

/// One end of a request. The SDK leaves what is `None` out of the headers and writes it as `null`
/// into the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Terminal {
    pub(super) status_code: Option<u16>,
    pub(super) status_message: Option<String>,
    pub(super) process_time: Option<f64>,
    pub(super) ip: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) version: Option<u32>,
    pub(super) nonce: Option<u64>,
    pub(super) uuid: Option<String>,
    pub(super) hotkey: Option<Hotkey>,
    pub(super) signature: Option<Signature>,
}

impl Terminal {
    /// In the SDK's order.
    fn members(&self) -> [(&'static str, Value); 10] {
        fn text(value: Option<String>) -> Value {
            value.map_or(Value::Null, Value::from)
        }
        fn number(value: Option<impl Into<u64>>) -> Value {
            value.map_or(Value::Null, |number| Value::from(number.into()))
        }
        [
            ("status_code", number(self.status_code)),
            ("status_message", text(self.status_message.clone())),
            ("process_time", self.process_time.map_or(Value::Null, Value::Float)),
            ("ip", text(self.ip.map(|ip| ip.to_string()))),
            ("port", number(self.port)),
            ("version", number(self.version)),
            ("nonce", number(self.nonce)),
            ("uuid", text(self.uuid.clone())),
            ("hotkey", text(self.hotkey.map(|hotkey| hotkey.to_string()))),
            ("signature", text(self.signature.map(|signature| signature.to_hex()))),
        ]
    }

    fn json(&self) -> String {
        object(self.members().iter().map(|(name, value)| (*name, value.to_string())))
    }
}

/// The sizes of Python's objects, which the SDK sends along and nothing checks. Ours are zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub(super) header: u64,
    pub(super) total: u64,
}

/// A synapse on its way.
#[derive(Clone, Debug)]
pub(super) struct Document<'a> {
    pub(super) class: &'a SynapseClass,
    /// In seconds.
    pub(super) timeout: f64,
    pub(super) sizes: Sizes,
    pub(super) dendrite: &'a Terminal,
    pub(super) axon: &'a Terminal,
    pub(super) fields: &'a Fields,
    pub(super) body_hash: BodyHash,
}

impl Document<'_> {
    /// Names and values, in the SDK's order.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![
            ("name".to_owned(), self.class.name.to_owned()),
            ("timeout".to_owned(), Value::Float(self.timeout).to_string()),
        ];
        for (end, terminal) in [("axon", self.axon), ("dendrite", self.dendrite)] {
            for (name, value) in
                terminal.members().iter().filter(|(_, value)| *value != Value::Null)
            {
                let text = python_str(value).unwrap_or_default();
                headers.push((format!("bt_header_{end}_{name}"), text));
            }
        }
        let required = self.class.fields.iter().filter(|field| field.required);
        for field in required.filter(|field| self.fields.get(field.name) != Some(&Value::Null)) {
            let stand_in = STANDARD.encode(empty(field.kind));
            headers.push((format!("bt_header_input_obj_{}", field.name), stand_in));
        }
        headers.push(("header_size".to_owned(), self.sizes.header.to_string()));
        headers.push(("total_size".to_owned(), self.sizes.total.to_string()));
        headers.push(("computed_body_hash".to_owned(), self.body_hash.to_string()));
        headers
    }

    /// The body, as `json.dumps` writes the SDK's model.
    pub(super) fn body(&self) -> String {
        let shared = [
            ("name", Value::from(self.class.name).to_string()),
            ("timeout", Value::Float(self.timeout).to_string()),
            ("total_size", self.sizes.total.to_string()),
            ("header_size", "0".to_owned()),
            ("dendrite", self.dendrite.json()),
            ("axon", self.axon.json()),
            ("computed_body_hash", "\"\"".to_owned()),
        ];
        let own = self.class.fields.iter().map(|field| {
            let value = self.fields.get(field.name).unwrap_or(&Value::Null);
            (field.name, value.to_string())
        });
        object(shared.into_iter().chain(own))
    }
}

/// The empty value of a type, as JSON: with it the SDK builds a synapse from headers alone.
const fn empty(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "\"\"",
        FieldKind::Integer => "0",
        FieldKind::Float => "0.0",
        FieldKind::Bool => "false",
        FieldKind::List => "[]",
        FieldKind::Object => "{}",
    }
}

/// An object whose members keep their order, which [`Value`] does not.
fn object<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members: Vec<String> =
        members.map(|(name, json)| format!("{}: {json}", Value::from(name))).collect();
    format!("{{{}}}", members.join(", "))
}
