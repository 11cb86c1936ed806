//! Finds secrets in bytes, in each form that a secret is written in.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// As much of a secret, in any form, as must not show.
const NEEDLE: usize = 16;

/// What is looked for: the first bytes of each form of each secret.
#[derive(Default)]
pub(super) struct Detector(HashMap<[u8; NEEDLE], String>);

impl Detector {
    fn needle(&mut self, what: &str, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<NEEDLE>() {
            self.0.insert(*first, what.to_owned());
        }
    }

    fn forms(&mut self, name: &str, bytes: &[u8]) {
        self.needle(&format!("{name} in clear"), bytes);
        self.needle(&format!("{name} in hexadecimal"), hex::encode(bytes).as_bytes());
        self.needle(&format!("{name} in hexadecimal"), hex::encode_upper(bytes).as_bytes());
        for before in 0..3 {
            // Where it stands in a longer text decides how base64 cuts it; the first characters are
            // shared with what comes before.
            let padded = [&vec![0; before][..], bytes].concat();
            let skip = [0, 2, 3][before];
            for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
                self.needle(&format!("{name} in base64"), &text.as_bytes()[skip..]);
            }
        }
        let escaped: String = url::form_urlencoded::byte_serialize(bytes).collect();
        self.needle(&format!("{name} in a URL"), escaped.as_bytes());
        self.needle(&format!("{name} in a URL"), escaped.replace('+', "%20").as_bytes());
        let numbers: Vec<String> = bytes.iter().take(8).map(u8::to_string).collect();
        self.needle(&format!("{name} as numbers"), numbers.join(", ").as_bytes());
    }

    /// A secret as it stands in a setting or a file.
    pub(super) fn plant(&mut self, name: &str, text: &str) {
        assert!(text.len() >= NEEDLE, "{name} is too short to be told from other texts");
        self.forms(name, text.as_bytes());
        if let Ok(bytes) = hex::decode(text.trim_start_matches("0x"))
            && bytes.len() >= NEEDLE
        {
            self.forms(name, &bytes);
        }
    }

    pub(super) fn find(&self, bytes: &[u8]) -> Option<&str> {
        let mut windows = bytes.array_windows_of();
        windows.find_map(|window| self.0.get(window)).map(String::as_str)
    }

    pub(super) fn assert_none(&self, place: &str, bytes: &[u8]) {
        if let Some(found) = self.find(bytes) {
            panic!("{place} shows {found}");
        }
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains("X-Amz-Signature="),
            "{place} shows the signature of a presigned URL"
        );
    }
}

/// All runs of as many bytes as a needle has.
trait Windows {
    fn array_windows_of(&self) -> impl Iterator<Item = &[u8; NEEDLE]>;
}

impl Windows for [u8] {
    fn array_windows_of(&self) -> impl Iterator<Item = &[u8; NEEDLE]> {
        self.windows(NEEDLE).filter_map(|window| window.first_chunk())
    }
}
