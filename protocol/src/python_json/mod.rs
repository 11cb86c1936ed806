//! JSON exactly as Python's `json` module reads and writes it.
//!
//! A verdict file is signed over `json.dumps(data, sort_keys=True)`, so a verifier has to reproduce
//! those bytes for any document that `json.loads` accepts: integers of any size, `NaN` and
//! `Infinity`, lone surrogates, Python's float repr. No JSON crate does that, and `serde_json` only
//! comes near with features that change every other user of it in the build, so the reader and the
//! writer are here.
//!
//! ```
//! use leoma_protocol::python_json::Value;
//! let value = Value::parse(br#"{"b": 1e16, "a": [1.0, 1234567890123456789, "\u00e9"]}"#).unwrap();
//! assert_eq!(value.to_string(), r#"{"a": [1.0, 1234567890123456789, "\u00e9"], "b": 1e+16}"#);
//! ```

mod read;
mod text;
mod value;
mod write;

pub use read::{JsonError, MAX_DEPTH, MAX_INTEGER_DIGITS};
pub use text::Text;
pub use value::{Integer, Value};
