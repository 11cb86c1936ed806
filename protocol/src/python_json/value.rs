//! A JSON value.

use std::collections::BTreeMap;

use super::text::Text;

/// One JSON value. Objects are sorted by key, by code point, and keep the last of equal keys, as
/// Python's do once written with `sort_keys`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of any size in its shortest decimal form.
    Integer(Integer),
    /// A number with a fraction or an exponent; may be infinite or NaN.
    Float(f64),
    /// A string, lone surrogates included.
    String(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(BTreeMap<Text, Value>),
}

/// A decimal integer without leading zeros or `-0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Integer(String);

impl Integer {
    pub(super) fn from_literal(literal: &str) -> Self {
        Self(if literal == "-0" { "0".to_owned() } else { literal.to_owned() })
    }

    /// The decimal digits, with a leading `-` when negative.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value {
    /// The member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(key.as_bytes()),
            _ => None,
        }
    }

    /// The string, where it is one without lone surrogates.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => text.as_str(),
            _ => None,
        }
    }

    /// The boolean, where it is one. Numbers are not.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, where it is one that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(integer) => integer.0.parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of an object.
    pub const fn as_object(&self) -> Option<&BTreeMap<Text, Self>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// An object of these members.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (Text::from(key), value)).collect())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(Integer(value.to_string()))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Integer(value.to_string()))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(Text::from(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(Text::from(value.as_str()))
    }
}
