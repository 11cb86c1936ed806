//! The content of a decrypted key file: JSON as the Python wallet writes it, a secret in
//! hexadecimal, or a mnemonic.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sp_core::{Pair as _, sr25519};
use zeroize::{Zeroize as _, Zeroizing};

/// The chain's number for sr25519 keys.
const SR25519: i64 = 1;
/// Errors show at most this much of an address; no address is longer.
const MAX_SHOWN: usize = 64;

/// How a decrypted file holds its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// A JSON object with the names of the Python wallet.
    Json,
    /// 64 or 128 hexadecimal digits: a seed or a private key.
    Hex,
    /// The words alone.
    Mnemonic,
}

impl KeyFormat {
    /// A name for people and scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Hex => "hex",
            Self::Mnemonic => "mnemonic",
        }
    }
}

/// A key as read, not yet checked against any address.
pub(super) struct Content {
    pub(super) pair: sr25519::Pair,
    pub(super) format: KeyFormat,
    /// The address that the file states.
    pub(super) address: Option<String>,
}

/// Why the content is not a key. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentError {
    Malformed(&'static str),
    CryptoType(String),
    PolkadotExport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyJson {
    secret_phrase: Option<SecretText>,
    secret_seed: Option<SecretText>,
    private_key: Option<SecretText>,
    ss58_address: Option<String>,
    #[serde(rename = " ss58Address")]
    legacy_ss58_address: Option<String>,
    crypto_type: Option<CryptoType>,
    // Present in a polkadot.js export.
    encoded: Option<IgnoredAny>,
    encoding: Option<IgnoredAny>,
}

/// A secret as it is written.
enum SecretText {
    /// Wiped when dropped.
    Text(Zeroizing<String>),
    /// A list, as some tools write the words of a mnemonic.
    List,
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = SecretText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText::Text(Zeroizing::new(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SecretText, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(SecretText::List)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Some tools write a number, some a string of its digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum CryptoType {
    Number(i64),
    Text(String),
    Other(IgnoredAny),
}

impl CryptoType {
    fn check(&self) -> Result<(), ContentError> {
        match self {
            Self::Number(SR25519) => Ok(()),
            Self::Text(text) if text.trim().parse() == Ok(SR25519) => Ok(()),
            Self::Number(number) => Err(ContentError::CryptoType(number.to_string())),
            Self::Text(text) => Err(ContentError::CryptoType(format!(
                "{:?}",
                text.chars().take(16).collect::<String>()
            ))),
            Self::Other(_) => Err(ContentError::CryptoType("no number".to_owned())),
        }
    }
}

/// Reads a decrypted file.
pub(super) fn read(bytes: &[u8]) -> Result<Content, ContentError> {
    let text = std::str::from_utf8(bytes).map_err(|_| NOT_A_KEY)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.starts_with('{') {
        return read_json(text);
    }
    if let Some(pair) = from_hex(text) {
        return Ok(Content { pair: pair?, format: KeyFormat::Hex, address: None });
    }
    if text.starts_with('[') {
        return Err(if serde_json::from_str::<Vec<IgnoredAny>>(text).is_ok() {
            WORDS_IN_A_LIST
        } else {
            NOT_A_KEY
        });
    }
    // Words are tried last: nothing else consists of words from the list, the right number of them,
    // with a checksum.
    let pair = from_phrase(text).map_err(|reason| match reason {
        ContentError::Malformed(reason) if reason == NO_MNEMONIC => NOT_A_KEY,
        other => other,
    })?;
    Ok(Content { pair, format: KeyFormat::Mnemonic, address: None })
}

const NOT_A_KEY: ContentError = ContentError::Malformed(
    "not a key file (JSON with secretPhrase, secretSeed or privateKey; a seed in hexadecimal; or a mnemonic)",
);

const WORDS_IN_A_LIST: ContentError = ContentError::Malformed(
    "holds its mnemonic as a JSON list: write the words as one text, with spaces between them",
);
const CAPITALS: ContentError = ContentError::Malformed(
    "its mnemonic has capital letters: write the words in small letters, as they were given",
);
const NO_MNEMONIC: &str =
    "secretPhrase is not a mnemonic (12, 15, 18, 21 or 24 words with spaces between them)";

fn read_json(text: &str) -> Result<Content, ContentError> {
    let json: KeyJson = serde_json::from_str(text).map_err(|_| NOT_A_KEY)?;
    if json.encoded.is_some() || json.encoding.is_some() {
        return Err(ContentError::PolkadotExport);
    }
    if let Some(crypto_type) = &json.crypto_type {
        crypto_type.check()?;
    }
    let pair = pair_of(&json)?;
    let address =
        json.ss58_address.or(json.legacy_ss58_address).filter(|address| !address.is_empty());
    let address = address.map(|address| address.trim().chars().take(MAX_SHOWN).collect());
    Ok(Content { pair, format: KeyFormat::Json, address })
}

/// Secrets are tried in the Python wallet's order, so that both programs read the same key from a
/// file whose secrets differ.
fn pair_of(json: &KeyJson) -> Result<sr25519::Pair, ContentError> {
    fn stated(secret: &Option<SecretText>) -> Result<Option<&str>, ContentError> {
        match secret {
            None => Ok(None),
            Some(SecretText::List) => Err(WORDS_IN_A_LIST),
            Some(SecretText::Text(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        }
    }
    if let Some(phrase) = stated(&json.secret_phrase)? {
        return from_phrase(phrase);
    }
    let Some(secret) = stated(&json.secret_seed)?.or(stated(&json.private_key)?) else {
        return Err(ContentError::Malformed(
            "holds no secret (secretPhrase, secretSeed or privateKey): is it the public half?",
        ));
    };
    let bytes = decode_hex(secret.strip_prefix("0x").unwrap_or(secret))
        .ok_or(ContentError::Malformed("its secret is not hexadecimal"))?;
    pair_of_bytes(&bytes)
}

/// `None` for anything but 32 or 64 bytes in hexadecimal.
fn from_hex(text: &str) -> Option<Result<sr25519::Pair, ContentError>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = decode_hex(digits).filter(|_| matches!(digits.len(), 64 | 128))?;
    Some(pair_of_bytes(&bytes))
}

fn decode_hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; digits.len() / 2]);
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

fn pair_of_bytes(bytes: &[u8]) -> Result<sr25519::Pair, ContentError> {
    if !matches!(bytes.len(), 32 | 64) {
        return Err(ContentError::Malformed("its secret has neither 32 nor 64 bytes"));
    }
    sr25519::Pair::from_seed_slice(bytes)
        .map_err(|_| ContentError::Malformed("its secret is not an sr25519 key"))
}

fn from_phrase(text: &str) -> Result<sr25519::Pair, ContentError> {
    let phrase = words(text);
    if let Ok((pair, mut seed)) = sr25519::Pair::from_phrase(&phrase, None) {
        seed.zeroize();
        return Ok(pair);
    }
    let lower = Zeroizing::new(phrase.to_lowercase());
    let is_capitals = sr25519::Pair::from_phrase(&lower, None).is_ok_and(|(_, mut seed)| {
        seed.zeroize();
        true
    });
    Err(if is_capitals { CAPITALS } else { ContentError::Malformed(NO_MNEMONIC) })
}

/// The words with single spaces between them: people break lines.
fn words(text: &str) -> Zeroizing<String> {
    let mut phrase = Zeroizing::new(String::with_capacity(text.len()));
    for word in text.split_whitespace() {
        if !phrase.is_empty() {
            phrase.push(' ');
        }
        phrase.push_str(word);
    }
    phrase
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    const SEED: &str = "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";

    fn error(text: &str) -> ContentError {
        read(text.as_bytes()).err().unwrap()
    }

    #[test]
    fn bare_secrets_give_the_key_that_json_gives() {
        let json = read(format!(r#"{{"secretPhrase": "{PHRASE}"}}"#).as_bytes()).unwrap();
        let private = hex::encode(json.pair.to_raw_vec());
        let broken = PHRASE.replace(" basket ", "\n  basket\t");
        for (text, format) in [
            (SEED.to_owned(), KeyFormat::Hex),
            (format!("0x{SEED}\n"), KeyFormat::Hex),
            (format!("0x{private}"), KeyFormat::Hex),
            (private, KeyFormat::Hex),
            (format!("{PHRASE}\n"), KeyFormat::Mnemonic),
            (broken, KeyFormat::Mnemonic),
        ] {
            let content = read(text.as_bytes()).unwrap();
            assert_eq!(content.pair.public(), json.pair.public());
            assert_eq!((content.format, content.address), (format, None));
        }
    }

    #[test]
    fn the_phrase_wins_over_the_seed_and_the_seed_over_the_private_key() {
        let other = sr25519::Pair::from_seed(&[7; 32]);
        let (seed, private) =
            (hex::encode([7; 32]), hex::encode(sr25519::Pair::from_seed(&[8; 32]).to_raw_vec()));
        let all = format!(
            r#"{{"privateKey":"{private}","secretSeed":"{seed}","secretPhrase":"{PHRASE}"}}"#
        );
        let by_phrase = read(PHRASE.as_bytes()).unwrap();
        assert_eq!(read(all.as_bytes()).unwrap().pair.public(), by_phrase.pair.public());
        let no_phrase =
            format!(r#"{{"privateKey":"{private}","secretSeed":"0x{seed}","secretPhrase":null}}"#);
        assert_eq!(read(no_phrase.as_bytes()).unwrap().pair.public(), other.public());
        let empty_seed =
            format!(r#"{{"privateKey":"0x{private}","secretSeed":"","secretPhrase":""}}"#);
        let by_private = read(empty_seed.as_bytes()).unwrap();
        assert_eq!(by_private.pair.public(), sr25519::Pair::from_seed(&[8; 32]).public());
    }

    #[test]
    fn a_key_of_another_kind_is_refused_and_said_so() {
        for (written, said) in
            [("0", "0"), ("\"0\"", "\"0\""), ("7", "7"), ("\"x\"", "\"x\""), ("1.5", "no number")]
        {
            let text = format!(r#"{{"secretSeed":"{SEED}","cryptoType":{written}}}"#);
            assert_eq!(error(&text), ContentError::CryptoType(said.to_owned()));
        }
        for written in ["1", "\"1\"", "null"] {
            let text = format!(r#"{{"secretSeed":"{SEED}","cryptoType":{written}}}"#);
            assert!(read(text.as_bytes()).is_ok(), "{written}");
        }
    }

    #[test]
    fn b9_mnemonics_as_people_write_them() {
        let expected = read(PHRASE.as_bytes()).unwrap().pair.public();
        for spaced in [
            PHRASE.replace(' ', "  "),
            PHRASE.replace(' ', "\\t"),
            PHRASE.replace(' ', "\u{a0}"),
            format!("{PHRASE}\\n"),
        ] {
            let text = format!("\u{feff}{{\"secretPhrase\": \"{spaced}\"}}");
            assert_eq!(read(text.as_bytes()).unwrap().pair.public(), expected, "{text}");
        }
        let list = format!("[\"{}\"]", PHRASE.replace(' ', "\", \""));
        for (text, part) in [
            (format!(r#"{{"secretPhrase": {list}}}"#), "JSON list"),
            (list, "JSON list"),
            (format!(r#"{{"secretPhrase": "{}"}}"#, PHRASE.to_uppercase()), "small letters"),
            (PHRASE.replace("bottom", "Bottom"), "small letters"),
            (format!(r#"{{"secretPhrase": "{}"}}"#, PHRASE.replace(' ', ", ")), "12, 15, 18"),
        ] {
            let ContentError::Malformed(reason) = error(&text) else { panic!("{text}") };
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn the_address_is_read_under_both_names() {
        for name in ["ss58Address", " ss58Address"] {
            let text = format!(r#"{{"secretSeed":"{SEED}","{name}":"5abc"}}"#);
            assert_eq!(read(text.as_bytes()).unwrap().address.as_deref(), Some("5abc"));
        }
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        assert_eq!(
            error(r#"{"encoded":"x","encoding":{"version":"3"},"address":"5x"}"#),
            ContentError::PolkadotExport
        );
        for (text, part) in [
            ("", "not a key file"),
            ("{", "not a key file"),
            ("[1", "not a key file"),
            ("0x12", "not a key file"),
            ("bottom drive", "not a key file"),
            (r#"{"secretSeed":"0xzz"}"#, "hexadecimal"),
            (r#"{"secretSeed":"0x123"}"#, "hexadecimal"),
            (r#"{"secretSeed":"0x12"}"#, "neither 32 nor 64"),
            (r#"{"secretPhrase":"bottom drive"}"#, "mnemonic"),
            (r#"{"publicKey":"0x00","ss58Address":"5x"}"#, "public half"),
        ] {
            let ContentError::Malformed(reason) = error(text) else { panic!("{text}") };
            assert!(reason.contains(part), "{text}: {reason}");
        }
        let no_scalar = "ff".repeat(64);
        assert!(
            matches!(error(&no_scalar), ContentError::Malformed(reason) if reason.contains("not an sr25519 key"))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, text: String, hex in "(0x)?[0-9a-f]{0,130}") {
            let _ = read(&bytes);
            let _ = read(text.as_bytes());
            let _ = read(hex.as_bytes());
            let object = serde_json::json!({"secretPhrase": text, "cryptoType": text, "ss58Address": hex});
            let _ = read(object.to_string().as_bytes());
            let _ = read(format!(r#"{{"privateKey":"{hex}"}}"#).as_bytes());
        }
    }
}
