//! Python's conversions that the reference's normalisation uses: `float()`, `str()`, `strip()` and
//! truth values.

use leoma_protocol::python_json::{Text, Value};

/// The characters that `str.strip()` removes: Unicode white space and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `float(value)`; `None` where Python raises. Unlike Python, this refuses digits outside ASCII.
pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        // For an integer out of range Python raises, and Rust returns infinity.
        Value::Integer(integer) => {
            integer.as_str().parse().ok().filter(|number: &f64| number.is_finite())
        }
        Value::Float(number) => Some(*number),
        Value::String(text) => float_of_text(&text.to_string_lossy()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Rust parses the same forms, except for surrounding space and underscores between digits.
fn float_of_text(text: &str) -> Option<f64> {
    let text = strip(text);
    let bytes = text.as_bytes();
    let digit = |index: Option<usize>| {
        index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit)
    };
    let misplaced = |(index, byte): (usize, &u8)| {
        *byte == b'_' && !(digit(index.checked_sub(1)) && digit(Some(index + 1)))
    };
    if bytes.iter().enumerate().any(misplaced) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// `bool(value)`.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Integer(integer) => integer.as_str() != "0",
        Value::Float(number) => *number != 0.0,
        Value::String(text) => text.code_points().next().is_some(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// `str(value)`, but with an object's members in the order of their keys, where Python keeps the
/// order of the text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        other => repr(other),
    }
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Float(number) if number.is_nan() => "nan".to_owned(),
        Value::Float(number) if number.is_infinite() => {
            if *number > 0.0 { "inf" } else { "-inf" }.to_owned()
        }
        Value::Integer(_) | Value::Float(_) => value.to_string(),
        Value::String(text) => repr_of_text(text),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(repr).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(members) => {
            let member =
                |(key, value): (&Text, &Value)| format!("{}: {}", repr_of_text(key), repr(value));
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// `repr` of a string: single quotes unless only those occur inside; control characters escaped.
fn repr_of_text(text: &Text) -> String {
    let text = text.to_string_lossy();
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut repr = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => repr.push_str("\\\\"),
            '\n' => repr.push_str("\\n"),
            '\r' => repr.push_str("\\r"),
            '\t' => repr.push_str("\\t"),
            c if c == quote => repr.extend(['\\', c]),
            c if c.is_control() => repr.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => repr.push(c),
        }
    }
    repr.push(quote);
    repr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn floats_are_read_as_python_reads_them() {
        for (json, expected) in [
            ("\" 80\\n\"", Some(80.0)),
            ("\"1_000\"", Some(1000.0)),
            ("\"1__0\"", None),
            ("\"_1\"", None),
            ("\"1_\"", None),
            ("\"1e2\"", Some(100.0)),
            ("\".5\"", Some(0.5)),
            ("\"5.\"", Some(5.0)),
            ("\"0x10\"", None),
            ("\"\"", None),
            ("true", Some(1.0)),
            ("null", None),
            ("[]", None),
            ("\"-Infinity\"", Some(f64::NEG_INFINITY)),
        ] {
            assert_eq!(float(&value(json)), expected, "{json}");
        }
        assert_eq!(float(&value(&format!("1{}", "0".repeat(400)))), None);
        assert!(float(&value("\"NaN\"")).unwrap().is_nan());
    }

    #[test]
    fn text_is_what_str_gives() {
        for (json, expected) in [
            ("\"a\"", "a"),
            ("2", "2"),
            ("2.0", "2.0"),
            ("1e16", "1e+16"),
            ("NaN", "nan"),
            ("-Infinity", "-inf"),
            ("null", "None"),
            ("[true, \"it's\", \"\\n\", {\"k\": [1]}]", "[True, \"it's\", '\\n', {'k': [1]}]"),
            ("[\"both ' and \\\"\"]", "['both \\' and \"']"),
        ] {
            assert_eq!(text(&value(json)), expected, "{json}");
        }
    }

    #[test]
    fn truth_is_python_truth() {
        for json in ["null", "false", "0", "0.0", "-0.0", "\"\"", "[]", "{}"] {
            assert!(!truth(&value(json)), "{json}");
        }
        for json in ["true", "5", "0.1", "NaN", "\" \"", "[0]", "{\"a\": 0}"] {
            assert!(truth(&value(json)), "{json}");
        }
    }
}
