use std::sync::Arc;

use sp_core::{Pair as _, sr25519};

use super::super::class::{Field, FieldKind};
use super::super::{RequestHead, SynapseAnswer};
use super::*;
use crate::python_json::Value;
use crate::{MemoryGuard, Signature};

/// Two requests that the SDK built.
const GOLDEN: &str = include_str!("../../../../vectors/synapse_requests.txt");
const NONCE: u64 = 1_760_000_000_123_456_789;

const ANIMATION: SynapseClass = SynapseClass {
    name: "VPA2ASynapse",
    fields: &[
        Field::new("input_type", FieldKind::Text),
        Field::new("audio_input", FieldKind::Text),
        Field::new("animation_output", FieldKind::Text).mutable(),
    ],
    hashed: &[],
};
const SIGNED: SynapseClass = SynapseClass {
    name: "Signed",
    fields: &[
        Field::new("prompt", FieldKind::Text).required(),
        Field::new("steps", FieldKind::Integer).required(),
        Field::new("seeds", FieldKind::List),
        Field::new("guidance", FieldKind::Float),
        Field::new("flag", FieldKind::Bool),
        Field::new("note", FieldKind::Text).nullable().mutable(),
    ],
    hashed: &["prompt", "steps", "seeds", "guidance", "flag", "note"],
};

fn signer(uri: &str) -> HotkeySigner {
    let pair = sr25519::Pair::from_string(uri, None).unwrap();
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

fn animation() -> Fields {
    Fields::from([
        ("input_type", "url".into()),
        ("audio_input", "https://example.org/a.wav".into()),
        ("animation_output", "".into()),
    ])
}

fn signed() -> Fields {
    Fields::from([
        ("prompt", "a red fox".into()),
        ("steps", Value::from(4_u64)),
        ("seeds", Value::Array([1_u64, 2, 3].map(Value::from).to_vec())),
        ("guidance", Value::Float(5.0)),
        ("flag", true.into()),
        ("note", Value::Null),
    ])
}

/// Headers, body and signed text of a request in the golden file.
struct Golden {
    headers: Vec<(String, String)>,
    body: String,
    text: String,
}

fn golden(class: &str) -> Golden {
    let part = GOLDEN.split("\n== ").find(|part| part.starts_with(class)).unwrap();
    let line =
        |start: &str| part.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let header = |line: &str| {
        let (name, value) = line.strip_prefix("   ")?.split_once(" : ")?;
        Some((name.to_owned(), value.to_owned()))
    };
    Golden {
        headers: part.lines().filter_map(header).collect(),
        body: line("body "),
        text: line("message "),
    }
}

fn ours(class: &SynapseClass, fields: &Fields, timeout: u64, sizes: Sizes) -> SynapseRequest {
    let target =
        Target { ip: [203, 0, 113, 7].into(), port: 8091, hotkey: signer("//Bob").hotkey() };
    let uuid = CallerUuid::parse("5ecbd69c-1cec-11ee-b0dc-e29ce36fec1a").unwrap();
    let caller = Caller { ip: Some([198, 51, 100, 4].into()), uuid };
    let alice = signer("//Alice");
    let question = Question::new(class, fields, Duration::from_secs(timeout)).unwrap();
    question.sign_with(sizes, &target, &caller, NONCE, &alice)
}

/// Signatures differ each time that something is signed.
fn without_signature(text: &str) -> String {
    let at = text.find("0x").unwrap();
    assert!(Signature::from_hex(&text[at..at + 130]).is_some());
    [&text[..at], &text[at + 130..]].concat()
}

#[test]
fn a_request_is_the_sdks_byte_for_byte() {
    for (class, fields, timeout, total) in
        [(&ANIMATION, animation(), 180, 3184), (&SIGNED, signed(), 12, 3688)]
    {
        let request = ours(class, &fields, timeout, Sizes { header: 464, total });
        let golden = golden(class.name);
        assert_eq!(request.path, format!("/{}", class.name));
        let body = String::from_utf8(request.body).unwrap();
        assert_eq!(without_signature(&body), without_signature(&golden.body));
        let text = |headers: &[(String, String)]| {
            let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
            without_signature(&lines.collect::<String>())
        };
        assert_eq!(text(&request.headers), text(&golden.headers));
    }
}

#[test]
fn the_sdks_own_requests_are_verified() {
    for (class, fields) in [(&ANIMATION, animation()), (&SIGNED, signed())] {
        let golden = golden(class.name);
        let headers = golden.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let bob = signer("//Bob").hotkey();
        let head = RequestHead::read(class, &bob, headers).unwrap().verify(&bob).unwrap();
        assert_eq!((head.caller(), head.nonce()), (signer("//Alice").hotkey(), NONCE));
        let read = class.read_body(golden.body.as_bytes()).unwrap();
        assert_eq!(read, fields);
        head.check_body(class, &read).unwrap();
    }
}

#[test]
fn the_signed_texts_are_the_sdks() {
    let (alice, bob) = (signer("//Alice").hotkey(), signer("//Bob").hotkey());
    let uuid = CallerUuid::parse("5ecbd69c-1cec-11ee-b0dc-e29ce36fec1a").unwrap();
    for (class, fields) in [(&ANIMATION, animation()), (&SIGNED, signed())] {
        let body_hash = BodyHash::of(class, &fields).unwrap();
        let text =
            RequestText { nonce: NONCE, dendrite: alice, axon: bob, uuid: &uuid, body_hash }.text();
        assert_eq!(text, golden(class.name).text);
    }
    let text = super::super::signed::AnswerText {
        nonce: 1_760_000_000_223_456_789,
        dendrite: alice,
        axon: bob,
        uuid: &CallerUuid::parse("11111111-1cec-11ee-b0dc-e29ce36fec1a").unwrap(),
    };
    let golden = GOLDEN.lines().find_map(|line| line.strip_prefix("axon msg ")).unwrap();
    assert_eq!(text.text(), golden);
}

#[test]
fn an_answer_keeps_what_was_asked_and_fills_in_what_is_mutable() {
    let request = ours(&SIGNED, &signed(), 12, Sizes::default());
    let bob = signer("//Bob");
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let head = RequestHead::read(&SIGNED, &bob.hotkey(), headers).unwrap();
    let head = head.verify(&bob.hotkey()).unwrap();
    let stamp = super::super::AxonStamp {
        nonce: NONCE + 1,
        uuid: CallerUuid::from_random([3; 16]),
        took: Duration::from_millis(1500),
    };
    let answer =
        |filled: Fields| SynapseAnswer::filled(&SIGNED, &head, &signed(), &filled, &stamp, &bob);
    let filled = Fields::from([("note", "done".into())]);
    let good = answer(filled.clone()).unwrap();
    assert_eq!(SIGNED.read_answer(&good.body).unwrap(), filled);
    let value = |name: &str| {
        good.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(value("bt_header_axon_status_code"), Some("200"));
    assert_eq!(value("bt_header_axon_process_time"), Some("1.5"));
    assert!(value("bt_header_axon_signature").is_some());
    // The asked fields cannot be rewritten, and a field has its type.
    assert!(answer(Fields::from([("prompt", "another".into())])).is_err());
    assert!(answer(Fields::from([("note", true.into())])).is_err());
}

#[test]
fn a_mechanisms_faults_are_found_before_anything_is_asked() {
    let refused =
        |fields: &Fields| Question::new(&SIGNED, fields, Duration::from_secs(1)).unwrap_err();
    let with = |name, value| {
        let mut fields = signed();
        fields.insert(name, value);
        fields
    };
    assert_eq!(refused(&with("other", Value::Null)), BuildError::UnknownField("other"));
    assert_eq!(refused(&with("steps", "4".into())).to_string(), "field steps: not an integer");
    let unhashable = Value::Array(vec!["\u{e9}".into()]);
    assert_eq!(refused(&with("seeds", unhashable)), BuildError::NotHashable);
    let in_no_time = Question::new(&SIGNED, &signed(), Duration::ZERO);
    assert_eq!(in_no_time.unwrap_err(), BuildError::Timeout);
    let mut fields = signed();
    fields.remove("flag");
    assert_eq!(refused(&fields).to_string(), "field flag: missing");
}
