//! Canonical JSON against documents whose canonical form Python computed, and against random ones.

use leoma_protocol::python_json::{MAX_DEPTH, MAX_INTEGER_DIGITS, Value};
use proptest::prelude::*;

/// `(document, json.dumps(json.loads(document), sort_keys=True))`, from CPython 3.11.
const WRITTEN_BY_PYTHON: &[(&str, &str)] = &[
    ("-0", "0"),
    ("-0.0", "-0.0"),
    ("1E400", "Infinity"),
    ("[NaN, Infinity, -Infinity]", "[NaN, Infinity, -Infinity]"),
    ("1e16", "1e+16"),
    ("1e15", "1000000000000000.0"),
    ("123456789012345680.0", "1.2345678901234568e+17"),
    ("0.0001", "0.0001"),
    ("0.00001", "1e-05"),
    ("1.5e-7", "1.5e-07"),
    ("5e-324", "5e-324"),
    ("1.7976931348623157e308", "1.7976931348623157e+308"),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    (
        r#""\u007f\u0080\u2028\ud83d\ude00\ud800x\udc00""#,
        r#""\u007f\u0080\u2028\ud83d\ude00\ud800x\udc00""#,
    ),
    (r#""\ud800\ud83d\ude00""#, r#""\ud800\ud83d\ude00""#),
    (r#""\/\b\f\n\r\t\"\\""#, r#""/\b\f\n\r\t\"\\""#),
    (r#"{"b":1,"a":{"z":[],"y":{}},"b":2}"#, r#"{"a": {"y": {}, "z": []}, "b": 2}"#),
    // Sorted by code point: U+FF5E before U+1F600, though UTF-16 would have it the other way round.
    (
        "{\"\u{1F600}\":1,\"\u{FF5E}\":2,\"\\udc00\":3}",
        r#"{"\udc00": 3, "\uff5e": 2, "\ud83d\ude00": 1}"#,
    ),
    (" \t\r\n[ 1 , 2 ] \n", "[1, 2]"),
];

#[test]
fn documents_are_rewritten_as_python_rewrites_them() {
    for (document, canonical) in WRITTEN_BY_PYTHON {
        assert_eq!(
            Value::parse(document.as_bytes()).unwrap().to_string(),
            *canonical,
            "{document}"
        );
    }
}

#[test]
fn what_python_refuses_is_refused() {
    let refused = [
        "",
        " ",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "--1",
        "nul",
        "nan",
        "[1,]",
        "[1 2]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "\"",
        "\"\u{1}\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "[",
        "]",
        "{",
        "1 1",
        "'a'",
        "\u{feff}1",
    ];
    for document in refused {
        assert!(Value::parse(document.as_bytes()).is_err(), "{document:?}");
    }
    assert!(Value::parse(&[b'"', 0xFF, b'"']).is_err());
    assert!(Value::parse("[".repeat(MAX_DEPTH + 2).as_bytes()).is_err());
    assert!(Value::parse("9".repeat(MAX_INTEGER_DIGITS + 1).as_bytes()).is_err());
    assert!(Value::parse("9".repeat(MAX_INTEGER_DIGITS).as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn floats_read_back_to_the_same_bits(bits: u64) {
        let float = f64::from_bits(bits);
        prop_assume!(float.is_finite());
        let text = Value::Float(float).to_string();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
        prop_assert!(matches!(Value::parse(text.as_bytes()), Ok(Value::Float(again)) if again.to_bits() == bits));
    }

    #[test]
    fn writing_is_a_fixed_point_of_reading(text in any::<String>(), number: i64) {
        let document = Value::Array(vec![text.as_str().into(), number.into(), Value::object([(text.as_str(), true.into())])]);
        let written = document.to_string();
        let read = Value::parse(written.as_bytes()).unwrap();
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(read.to_string(), written);
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _answered_without_panic = Value::parse(&bytes);
    }
}
