//! The fields of a synapse, and reading them from a stranger's JSON.

use std::collections::BTreeMap;
use std::fmt;

use crate::python_json::Value;

/// Most values in a request, nested ones included. A number takes two bytes on the wire and fifty
/// in memory: without a bound, a body of 8 MiB could cost a quarter of a gibibyte, and an axon
/// holds many bodies at a time.
pub const MAX_REQUEST_VALUES: usize = 10_000;
/// Most values in an answer. A caller expects only one answer at a time, and embeddings are long
/// lists.
pub const MAX_ANSWER_VALUES: usize = 100_000;

/// The values of a synapse's own fields, by name.
pub type Fields = BTreeMap<&'static str, Value>;

/// A field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Python's `str`.
    Text,
    /// Python's `int`.
    Integer,
    /// Python's `float`; finite. An integer is read as a float, as pydantic reads it.
    Float,
    /// Python's `bool`.
    Bool,
    /// Python's `list`.
    List,
    /// Python's `dict`. Cannot be hashed: its text depends on the order in which it was filled.
    Object,
}

/// A field of a synapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in Python and in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: FieldKind,
    /// Whether `None` is a value too.
    pub nullable: bool,
    /// Whether the class gives it no default. The SDK refuses headers that lack a stand-in for
    /// such a field.
    pub required: bool,
    /// Whether the axon fills it in. Whatever an answer says of other fields is passed over.
    pub mutable: bool,
}

impl Field {
    /// A field with a default, never `None`, that the axon does not change.
    #[must_use]
    pub const fn new(name: &'static str, kind: FieldKind) -> Self {
        Self { name, kind, nullable: false, required: false, mutable: false }
    }

    /// The class gives it no default.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// `None` is a value too.
    #[must_use]
    pub const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The axon fills it in.
    #[must_use]
    pub const fn mutable(self) -> Self {
        Self { mutable: true, ..self }
    }

    /// `value` as this field holds it.
    pub(super) fn accept(&self, value: &Value) -> Result<Value, BodyFault> {
        let fault = |reason| Err(BodyFault { field: Some(self.name), reason });
        if let Some(reason) = unusable(value) {
            return fault(reason);
        }
        match (self.kind, value) {
            (_, Value::Null) if self.nullable => Ok(Value::Null),
            (FieldKind::Float, Value::Integer(integer)) => match integer.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(Value::Float(float)),
                _ => fault("too large for a float"),
            },
            (FieldKind::Text, Value::String(_))
            | (FieldKind::Integer, Value::Integer(_))
            | (FieldKind::Float, Value::Float(_))
            | (FieldKind::Bool, Value::Bool(_))
            | (FieldKind::List, Value::Array(_))
            | (FieldKind::Object, Value::Object(_)) => Ok(value.clone()),
            (FieldKind::Text, _) => fault("not a text"),
            (FieldKind::Integer, _) => fault("not an integer"),
            (FieldKind::Float, _) => fault("not a number"),
            (FieldKind::Bool, _) => fault("neither true nor false"),
            (FieldKind::List, _) => fault("not a list"),
            (FieldKind::Object, _) => fault("not an object"),
        }
    }
}

/// Why nothing here can use a value, at any depth; `None` if it can be used.
fn unusable(value: &Value) -> Option<&'static str> {
    match value {
        Value::Float(float) if !float.is_finite() => Some("not a finite number"),
        Value::String(text) if text.as_str().is_none() => Some("half of a surrogate pair"),
        Value::Array(elements) => elements.iter().find_map(unusable),
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            key.as_str().map_or(Some("half of a surrogate pair"), |_| unusable(value))
        }),
        _ => None,
    }
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BodyFault {
    /// The field, where the fault is in one.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "field {field}: {}", self.reason),
            None => write!(f, "body: {}", self.reason),
        }
    }
}

/// A synapse class, as both sides know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynapseClass {
    /// The class's name: the path of its requests.
    pub name: &'static str,
    /// Its own fields, in the order in which the class defines them.
    pub fields: &'static [Field],
    /// Those that the signature covers: Python's `required_hash_fields`, in its order. Most
    /// subnets name none, and then the signature does not bind the body.
    pub hashed: &'static [&'static str],
}

impl SynapseClass {
    /// The field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The class's own fields from a request's body. Every field has to be there: the SDK sends
    /// all of them. What the body says of the caller is not read.
    ///
    /// # Errors
    /// [`BodyFault`] for the first thing that is wrong.
    pub fn read_body(&self, body: &[u8]) -> Result<Fields, BodyFault> {
        self.read(body, MAX_REQUEST_VALUES, |_| true)
    }

    /// The mutable fields from the body of an answer. All else stays as we sent it.
    ///
    /// # Errors
    /// [`BodyFault`] for the first thing that is wrong.
    pub fn read_answer(&self, body: &[u8]) -> Result<Fields, BodyFault> {
        self.read(body, MAX_ANSWER_VALUES, |field| field.mutable)
    }

    fn read(
        &self,
        body: &[u8],
        most: usize,
        wanted: fn(&Field) -> bool,
    ) -> Result<Fields, BodyFault> {
        let document = document(body, most)?;
        let mut fields = Fields::new();
        for field in self.fields.iter().filter(|field| wanted(field)) {
            let value = document
                .get(field.name)
                .ok_or(BodyFault { field: Some(field.name), reason: "missing" })?;
            fields.insert(field.name, field.accept(value)?);
        }
        Ok(fields)
    }
}

/// Reads a JSON object whose keys differ and that takes a bounded amount of memory.
fn document(body: &[u8], most: usize) -> Result<Value, BodyFault> {
    let fault = |reason| BodyFault { field: None, reason };
    let extent = Extent::of(body);
    if extent.values > most {
        return Err(fault("too many values"));
    }
    let value = Value::parse(body).map_err(|error| fault(error.reason))?;
    let members = value.as_object().ok_or_else(|| fault("not a JSON object"))?;
    // Two readers of one body must not read different values from it.
    if members.len() != extent.keys {
        return Err(fault("a field twice"));
    }
    Ok(value)
}

/// How much a JSON text holds, counted without building anything.
struct Extent {
    /// At least as many as there are values and keys.
    values: usize,
    /// The keys of the outermost object.
    keys: usize,
}

impl Extent {
    fn of(text: &[u8]) -> Self {
        let (mut values, mut keys, mut depth) = (1, 0, 0_usize);
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => {
                    while let Some(byte) = bytes.next() {
                        match byte {
                            b'"' => break,
                            b'\\' => drop(bytes.next()),
                            _ => {}
                        }
                    }
                }
                b'[' | b'{' => {
                    values += 1;
                    depth += 1;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' => values += 1,
                b':' => {
                    values += 1;
                    keys += usize::from(depth == 1);
                }
                _ => {}
            }
        }
        Self { values, keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLASS: SynapseClass = SynapseClass {
        name: "Kinds",
        fields: &[
            Field::new("text", FieldKind::Text),
            Field::new("count", FieldKind::Integer),
            Field::new("ratio", FieldKind::Float),
            Field::new("flag", FieldKind::Bool),
            Field::new("list", FieldKind::List),
            Field::new("object", FieldKind::Object).nullable(),
            Field::new("reply", FieldKind::Text).mutable(),
        ],
        hashed: &[],
    };
    const GOOD: [(&str, &str); 7] = [
        ("text", r#""a, [b] {c}: \"d\"""#),
        ("count", "5"),
        ("ratio", "2"),
        ("flag", "true"),
        ("list", "[1, {\"text\": 3}]"),
        ("object", "null"),
        ("reply", "\"\""),
    ];

    fn with(name: &str, value: &str) -> String {
        let members = GOOD.map(|(field, good)| {
            format!("\"{field}\": {}", if field == name { value } else { good })
        });
        format!("{{{}}}", members.join(", "))
    }

    #[test]
    fn a_good_body_is_read_and_an_integer_is_a_float_too() {
        let fields = CLASS.read_body(with("", "").as_bytes()).unwrap();
        assert_eq!(fields["ratio"], Value::Float(2.0));
        assert_eq!(fields["text"].as_str(), Some("a, [b] {c}: \"d\""));
        assert_eq!(CLASS.read_answer(br#"{"reply": "x", "count": []}"#).unwrap().len(), 1);
    }

    #[test]
    fn each_wrong_field_has_one_clear_reason() {
        let huge = format!("1{}", "0".repeat(400));
        for (field, value, reason) in [
            ("text", "5", "not a text"),
            ("text", "null", "not a text"),
            ("text", r#""\ud800""#, "half of a surrogate pair"),
            ("count", "5.0", "not an integer"),
            ("count", "true", "not an integer"),
            ("ratio", "NaN", "not a finite number"),
            ("ratio", "1e999", "not a finite number"),
            ("ratio", huge.as_str(), "too large for a float"),
            ("ratio", "\"1\"", "not a number"),
            ("flag", "1", "neither true nor false"),
            ("list", "{}", "not a list"),
            ("list", "[[[-Infinity]]]", "not a finite number"),
            ("object", "[]", "not an object"),
            ("object", r#"{"\ud800": 1}"#, "half of a surrogate pair"),
        ] {
            let fault = CLASS.read_body(with(field, value).as_bytes()).unwrap_err();
            assert_eq!((fault.field, fault.reason), (Some(field), reason), "{value}");
        }
    }

    #[test]
    fn what_is_no_single_object_is_refused() {
        let twice = with("", "").replacen("\"count\"", "\"text\"", 1);
        let many = with("list", &format!("[{}]", vec!["0"; MAX_REQUEST_VALUES].join(",")));
        let deep = with("list", &"[".repeat(500));
        for (body, reason) in [
            (twice.as_str(), "a field twice"),
            (many.as_str(), "too many values"),
            (deep.as_str(), "nested too deeply"),
            ("[]", "not a JSON object"),
            ("", "expected a value"),
            ("{\"a\": 1} x", "more after the document's end"),
        ] {
            let fault = CLASS.read_body(body.as_bytes()).unwrap_err();
            assert_eq!((fault.field, fault.reason), (None, reason));
        }
        assert_eq!(CLASS.read_answer(many.as_bytes()).unwrap().len(), 1);
        let fault = CLASS.read_body(b"{}").unwrap_err();
        assert_eq!(fault.to_string(), "field text: missing");
        assert_eq!(CLASS.read_body(b"{\"\xff\": 1}").unwrap_err().reason, "not UTF-8");
    }

    proptest! {
        #[test]
        fn the_extent_never_understates(text in "[\\[\\]{}:,\"\\\\a0 ]{0,40}") {
            fn values(value: &Value) -> usize {
                1 + match value {
                    Value::Array(elements) => elements.iter().map(values).sum(),
                    Value::Object(members) => members.values().map(|value| 1 + values(value)).sum(),
                    _ => 0,
                }
            }
            if let Ok(value) = Value::parse(text.as_bytes()) {
                let extent = Extent::of(text.as_bytes());
                // One more for each opened bracket, filled or not.
                prop_assert!(extent.values >= values(&value));
                if let Some(members) = value.as_object() {
                    prop_assert!(extent.keys >= members.len());
                }
            }
        }
    }
}
