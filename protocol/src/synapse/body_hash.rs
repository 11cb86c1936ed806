//! The hash of the fields that a signature covers.

use std::fmt;

use sha3::{Digest as _, Sha3_256};

use super::class::{Fields, SynapseClass};
use crate::python_json::Value;

/// SHA3-256 of the concatenated hexadecimal SHA3-256 hashes of Python's `str(value)` of each
/// hashed field. A class without such fields has one hash for every body: that of the empty text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyHash([u8; 32]);

impl BodyHash {
    /// The hash of a synapse; `None` where a hashed field is missing or has no text that Python
    /// would write too.
    #[must_use]
    pub fn of(class: &SynapseClass, fields: &Fields) -> Option<Self> {
        let mut hashes = String::with_capacity(64 * class.hashed.len());
        for name in class.hashed {
            let text = python_str(fields.get(name)?)?;
            hashes.push_str(&hex::encode(Sha3_256::digest(text)));
        }
        Some(Self(Sha3_256::digest(hashes).into()))
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        // Another spelling would be another signed text.
        text.bytes().all(|digit| !digit.is_ascii_uppercase()).then_some(Self(bytes))
    }
}

impl fmt::Display for BodyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Python's `str(value)`; `None` for objects, whose text depends on the order in which they were
/// filled, for NaN and infinities, and for texts that are not ASCII inside lists, where Python asks
/// its Unicode tables which characters to escape.
pub(super) fn python_str(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.as_str().map(str::to_owned),
        value => python_repr(value),
    }
}

fn python_repr(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Integer(integer) => integer.as_str().to_owned(),
        Value::Float(float) if float.is_finite() => value.to_string(),
        Value::String(text) => quoted(text.as_str()?)?,
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(python_repr).collect::<Option<_>>()?;
            format!("[{}]", elements.join(", "))
        }
        Value::Float(_) | Value::Object(_) => return None,
    })
}

/// A text as Python shows it inside a list.
fn quoted(text: &str) -> Option<String> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            '\'' if quote == '\'' => out.push_str("\\'"),
            ' '..='~' => out.push(character),
            '\0'..='\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ => return None,
        }
    }
    out.push(quote);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_hashes_are_pythons() {
        let cases = Value::parse(include_bytes!("../../../vectors/synapse_text.json")).unwrap();
        let cases = cases.get("cases").unwrap().as_array().unwrap();
        assert!(cases.len() > 80);
        for case in cases {
            let (value, text) = (case.get("value").unwrap(), case.get("str").unwrap());
            assert_eq!(python_str(value).as_deref(), text.as_str(), "{value}");
            let hash = hex::encode(Sha3_256::digest(text.as_str().unwrap()));
            assert_eq!(Some(hash.as_str()), case.get("sha3").unwrap().as_str());
        }
    }

    #[test]
    fn what_python_may_write_otherwise_is_not_hashed() {
        for json in
            [r#"{"a": 1}"#, r#"[{"a": 1}]"#, "NaN", "[-Infinity]", r#"["\u00e9"]"#, r#""\ud800""#]
        {
            assert_eq!(python_str(&Value::parse(json.as_bytes()).unwrap()), None, "{json}");
        }
    }
}
