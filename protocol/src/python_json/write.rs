//! Writing as `json.dumps(value, sort_keys=True)` does.

use std::fmt::{self, Write as _};

use super::text::Text;
use super::value::Value;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(true) => f.write_str("true"),
            Self::Bool(false) => f.write_str("false"),
            Self::Integer(integer) => f.write_str(integer.as_str()),
            Self::Float(float) => write_float(*float, f),
            Self::String(text) => write_text(text, f),
            Self::Array(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    fmt::Display::fmt(element, f)?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write_text(key, f)?;
                    f.write_str(": ")?;
                    fmt::Display::fmt(value, f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_text(text: &Text, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for point in text.code_points() {
        match point {
            0x22 => f.write_str("\\\"")?,
            0x5C => f.write_str("\\\\")?,
            0x0A => f.write_str("\\n")?,
            0x0D => f.write_str("\\r")?,
            0x09 => f.write_str("\\t")?,
            0x0C => f.write_str("\\f")?,
            0x08 => f.write_str("\\b")?,
            0x20..=0x7E => f.write_char(char::from(point as u8))?,
            0..=0xFFFF => write!(f, "\\u{point:04x}")?,
            _ => {
                let offset = point - 0x1_0000;
                write!(
                    f,
                    "\\u{:04x}\\u{:04x}",
                    0xD800 | (offset >> 10),
                    0xDC00 | (offset & 0x3FF)
                )?;
            }
        }
    }
    f.write_char('"')
}

/// Python's `float.__repr__`: the shortest digits that read back, positional for exponents from -4
/// to 15.
fn write_float(float: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if float.is_nan() {
        return f.write_str("NaN");
    }
    if float.is_infinite() {
        return f.write_str(if float > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // Rust's `{:e}` gives the same shortest digits, as `d.ddde<exponent>`.
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        // `{}` never uses an exponent; Python adds `.0` to whole numbers.
        write!(f, "{float}")?;
        return if float.fract() == 0.0 { f.write_str(".0") } else { Ok(()) };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(f, "{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}
