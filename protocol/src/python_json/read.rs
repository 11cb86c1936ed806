//! Reading as `json.loads` does.

use std::collections::BTreeMap;

use super::text::Text;
use super::value::{Integer, Value};

/// Deepest nesting. Python gives up near 1000; nothing here is deeper than five, and a bound keeps
/// our own stack safe.
pub const MAX_DEPTH: usize = 128;
/// Longest integer, Python's own limit for `int(text)`.
pub const MAX_INTEGER_DIGITS: usize = 4300;

/// Why bytes are not a JSON document for Python.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {offset}: {reason}")]
pub struct JsonError {
    /// Where reading stopped.
    pub offset: usize,
    /// What was wrong there.
    pub reason: &'static str,
}

impl Value {
    /// Reads one document.
    ///
    /// # Errors
    /// [`JsonError`] with the byte offset for whatever `json.loads` refuses, and for nesting beyond
    /// [`MAX_DEPTH`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonError { offset: error.valid_up_to(), reason: "not UTF-8" })?;
        let mut reader = Reader { text, offset: 0 };
        reader.skip_space();
        let value = reader.value(0)?;
        reader.skip_space();
        if reader.offset < text.len() {
            return reader.fail("more after the document's end");
        }
        Ok(value)
    }
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, JsonError> {
        Err(JsonError { offset: self.offset, reason })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.offset += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [
                    ("null", Value::Null),
                    ("true", Value::Bool(true)),
                    ("false", Value::Bool(false)),
                    ("NaN", Value::Float(f64::NAN)),
                    ("Infinity", Value::Float(f64::INFINITY)),
                ];
                for (word, value) in words {
                    if self.take(word) {
                        return Ok(value);
                    }
                }
                self.fail("expected a value")
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.offset += 1;
        let mut elements = Vec::new();
        self.skip_space();
        if self.take("]") {
            return Ok(Value::Array(elements));
        }
        loop {
            self.skip_space();
            elements.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take("]") {
                return Ok(Value::Array(elements));
            }
            if !self.take(",") {
                return self.fail("expected `,` or `]`");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.offset += 1;
        let mut members = BTreeMap::new();
        self.skip_space();
        if self.take("}") {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fail("expected a key in double quotes");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(":") {
                return self.fail("expected `:`");
            }
            self.skip_space();
            let value = self.value(depth + 1)?;
            members.insert(key, value);
            self.skip_space();
            if self.take("}") {
                return Ok(Value::Object(members));
            }
            if !self.take(",") {
                return self.fail("expected `,` or `}`");
            }
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.offset;
        if self.take("-") && self.take("Infinity") {
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        if !self.take("0") && self.digits() == 0 {
            return self.fail("expected a digit");
        }
        let integer_end = self.offset;
        let is_fraction = self.optional_part(|reader| reader.take("."));
        let is_exponent = self.optional_part(|reader| {
            let exponent = reader.take("e") || reader.take("E");
            if exponent && !reader.take("+") {
                reader.take("-");
            }
            exponent
        });
        let literal = &self.text[start..self.offset];
        if is_fraction || is_exponent {
            // Cannot fail: the literal is in a form that Rust's float parser reads, and overflow is
            // infinity in both.
            return match literal.parse() {
                Ok(float) => Ok(Value::Float(float)),
                Err(_) => self.fail("not a number"),
            };
        }
        if integer_end - start > MAX_INTEGER_DIGITS {
            return self.fail("an integer of more than 4300 digits");
        }
        Ok(Value::Integer(Integer::from_literal(literal)))
    }

    /// Reads an introducer and the digits after it; without digits nothing is consumed, as in
    /// Python's number pattern.
    fn optional_part(&mut self, introducer: impl FnOnce(&mut Self) -> bool) -> bool {
        let start = self.offset;
        let found = introducer(self) && self.digits() > 0;
        if !found {
            self.offset = start;
        }
        found
    }

    fn digits(&mut self) -> usize {
        let start = self.offset;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
        self.offset - start
    }

    fn string(&mut self) -> Result<Text, JsonError> {
        self.offset += 1;
        let mut text = Text::default();
        loop {
            let plain = self
                .rest()
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .unwrap_or(self.rest().len());
            text.push_str(&self.rest()[..plain]);
            self.offset += plain;
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(_) => return self.fail("a control character in a string"),
                None => return self.fail("a string without end"),
            }
        }
    }

    fn escape(&mut self, text: &mut Text) -> Result<(), JsonError> {
        self.offset += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(text),
            _ => return self.fail("an unknown escape"),
        };
        self.offset += 1;
        text.push_code_point(plain.into());
        Ok(())
    }

    fn unicode_escape(&mut self, text: &mut Text) -> Result<(), JsonError> {
        let first = self.four_digits()?;
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u") {
            let pair = self.offset;
            self.offset += 1;
            let second = self.four_digits()?;
            if (0xDC00..0xE000).contains(&second) {
                text.push_code_point(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00));
                return Ok(());
            }
            self.offset = pair;
        }
        text.push_code_point(first);
        Ok(())
    }

    /// Reads the `u` of an escape and its four hexadecimal digits.
    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.offset + 1..self.offset + 5);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        {
            Some(code) => {
                self.offset += 5;
                Ok(code)
            }
            None => self.fail("expected four hexadecimal digits"),
        }
    }
}
