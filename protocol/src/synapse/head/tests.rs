use std::sync::Arc;

use proptest::prelude::*;
use sp_core::{Pair as _, sr25519};

use super::super::{Caller, Field, FieldKind, Question, SynapseRequest, Target};
use super::*;
use crate::python_json::Value;
use crate::{HotkeySigner, MemoryGuard};

const NOW: u64 = 1_760_000_000_000_000_000;
const CLASS: SynapseClass = SynapseClass {
    name: "Echo",
    fields: &[Field::new("text", FieldKind::Text), Field::new("reply", FieldKind::Text).mutable()],
    hashed: &["text"],
};

fn signer(seed: u8) -> HotkeySigner {
    let pair = sr25519::Pair::from_seed(&[seed; 32]);
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

fn axon() -> Hotkey {
    signer(2).hotkey()
}

fn fields(text: &str) -> Fields {
    Fields::from([("text", text.into()), ("reply", "".into())])
}

fn request() -> SynapseRequest {
    let target = Target { ip: [1, 1, 1, 1].into(), port: 8091, hotkey: axon() };
    let caller = Caller { ip: None, uuid: CallerUuid::from_random([1; 16]) };
    let question = Question::new(&CLASS, &fields("hello"), Duration::from_secs(12)).unwrap();
    question.sign(&target, &caller, NOW, &signer(1))
}

fn read(headers: &[(String, String)]) -> Result<RequestHead, Refusal> {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    RequestHead::read(&CLASS, &axon(), headers)
}

fn with(name: &str, value: &str) -> Vec<(String, String)> {
    let mut headers = request().headers;
    for header in headers.iter_mut().filter(|header| header.0 == name) {
        header.1 = value.to_owned();
    }
    headers
}

#[test]
fn each_wrong_header_has_one_clear_status() {
    let alice = signer(1).hotkey().to_string();
    let long = "1".repeat(65);
    let upper =
        request().headers.iter().find(|header| header.0 == BODY_HASH).unwrap().1.to_uppercase();
    for (name, value, status) in [
        (NAME, "Other", 400),
        (TIMEOUT, "0", 400),
        (TIMEOUT, "-1", 400),
        (TIMEOUT, "nan", 400),
        (TIMEOUT, "inf", 400),
        (TIMEOUT, "None", 400),
        (TIMEOUT, "1e400", 400),
        (AXON_HOTKEY, alice.as_str(), 401),
        (AXON_HOTKEY, "5", 400),
        (DENDRITE_HOTKEY, "", 400),
        (DENDRITE_HOTKEY, "5\u{e9}", 400),
        (NONCE, "", 400),
        (NONCE, "-1", 400),
        (NONCE, "+1", 400),
        (NONCE, "01", 400),
        (NONCE, "1.0", 400),
        (NONCE, "99999999999999999999", 400),
        (UUID, "", 400),
        (UUID, "a.b", 400),
        (UUID, long.as_str(), 400),
        (SIGNATURE, "", 401),
        (SIGNATURE, "0x00", 400),
        (SIGNATURE, "none", 400),
        (BODY_HASH, "", 400),
        (BODY_HASH, upper.as_str(), 400),
    ] {
        let refusal = read(&with(name, value)).unwrap_err();
        assert_eq!(refusal.status(), status, "{name}: {value}: {refusal}");
        assert!(refusal.to_string().is_ascii(), "goes into a header");
    }
}

#[test]
fn a_header_that_is_missing_or_stated_twice_is_refused() {
    for name in READ {
        let without: Vec<_> =
            request().headers.into_iter().filter(|header| header.0 != name).collect();
        let refusal = read(&without).unwrap_err();
        // The SDK accepts a request without a signature.
        assert_eq!(refusal.status(), if name == SIGNATURE { 401 } else { 400 }, "{name}");
        let mut twice = request().headers;
        twice.push((name.to_uppercase(), "1".to_owned()));
        assert_eq!(read(&twice).unwrap_err(), Refusal::Header { name, reason: "stated twice" });
    }
}

#[test]
fn headers_are_bounded() {
    let mut many = request().headers;
    many.extend((0..MAX_HEADERS).map(|n| (format!("x{n}"), String::new())));
    assert_eq!(read(&many).unwrap_err(), Refusal::HeadersTooLarge);
    let mut long = request().headers;
    long.push(("x".to_owned(), "y".repeat(MAX_HEADER_BYTES)));
    assert_eq!(read(&long).unwrap_err(), Refusal::HeadersTooLarge);
    let mut others = request().headers;
    others.push(("bt_header_dendrite_port".to_owned(), "anything".to_owned()));
    assert!(read(&others).is_ok());
}

#[test]
fn nothing_signed_can_be_changed() {
    let mallory = signer(3).hotkey().to_string();
    for (name, value) in [
        (DENDRITE_HOTKEY, mallory.as_str()),
        (NONCE, "1760000000000000001"),
        (UUID, "another"),
        (BODY_HASH, "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
    ] {
        let refusal = read(&with(name, value)).unwrap().verify(&axon()).unwrap_err();
        assert_eq!(refusal, Refusal::NotVerified("the signature does not match"), "{name}");
    }
    let head = read(&request().headers).unwrap().verify(&axon()).unwrap();
    head.check_body(&CLASS, &fields("hello")).unwrap();
    assert_eq!(head.check_body(&CLASS, &fields("hullo")).unwrap_err().status(), 401);
    let mut odd = fields("");
    odd.insert("text", Value::Object(Default::default()));
    assert_eq!(head.check_body(&CLASS, &odd).unwrap_err().status(), 401);
}

#[test]
fn a_nonce_is_fresh_for_the_timeout_and_four_seconds() {
    let second = 1_000_000_000;
    let head = read(&request().headers).unwrap();
    let fresh = |now, longest| head.check_fresh(now, Duration::from_secs(longest)).is_ok();
    assert!(fresh(NOW, 60));
    assert!(fresh(NOW + 16 * second - 1, 60));
    assert!(!fresh(NOW + 16 * second, 60));
    assert!(fresh(NOW - 4 * second, 60));
    assert!(!fresh(NOW - 4 * second - 1, 60));
    // The time-out is not signed, so it must not make an old request fresh.
    assert!(!fresh(NOW + 9 * second, 5));
    let replayed = read(&with(TIMEOUT, "1000000000")).unwrap();
    assert!(replayed.check_fresh(NOW + 64 * second, Duration::from_secs(60)).is_err());
}

proptest! {
    #[test]
    fn no_header_makes_reading_panic(
        at in 0_usize..READ.len(),
        value in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let headers = request().headers;
        let headers = headers.iter().map(|(name, good)| {
            let replaced = name == READ[at];
            (name.as_str(), if replaced { value.as_slice() } else { good.as_bytes() })
        });
        if let Ok(head) = RequestHead::read(&CLASS, &axon(), headers) {
            let _ = (head.check_fresh(NOW, Duration::MAX), head.verify(&axon()).is_ok());
        }
    }
}
