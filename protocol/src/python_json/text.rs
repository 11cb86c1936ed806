//! A Python `str`: Unicode code points, lone surrogates allowed.

use std::borrow::Borrow;
use std::fmt;

/// A string as generalised UTF-8: like UTF-8, and a lone surrogate takes three bytes. Byte order is
/// code point order.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    pub(super) fn push_str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Adds a code point up to U+10FFFF, surrogates included.
    pub(super) fn push_code_point(&mut self, code_point: u32) {
        match char::from_u32(code_point) {
            Some(character) => {
                let mut buffer = [0; 4];
                self.push_str(character.encode_utf8(&mut buffer));
            }
            None => self.0.extend_from_slice(&[
                0xE0 | ((code_point >> 12) & 0x0F) as u8,
                0x80 | ((code_point >> 6) & 0x3F) as u8,
                0x80 | (code_point & 0x3F) as u8,
            ]),
        }
    }

    /// The text, unless it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text with lone surrogates replaced by U+FFFD, for logs.
    pub fn to_string_lossy(&self) -> String {
        self.code_points()
            .map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }

    /// The code points, as Python iterates over a `str`.
    pub fn code_points(&self) -> impl Iterator<Item = u32> + '_ {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (&first, _) = rest.split_first()?;
            let (length, bits) = match first {
                0x00..=0x7F => (1, u32::from(first)),
                0x80..=0xDF => (2, u32::from(first & 0x1F)),
                0xE0..=0xEF => (3, u32::from(first & 0x0F)),
                0xF0..=0xFF => (4, u32::from(first & 0x07)),
            };
            let (head, tail) = rest.split_at(length.min(rest.len()));
            rest = tail;
            Some(head[1..].iter().fold(bits, |point, byte| (point << 6) | u32::from(byte & 0x3F)))
        })
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}
