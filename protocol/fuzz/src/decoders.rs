//! The decoders of `leoma-protocol`.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::codec::Wire;
use leoma_protocol::hello::{Hello, HelloAnswer};
use leoma_protocol::market::{read_closes, read_forecast};
use leoma_protocol::mesh::core::{CatchupPage, CatchupRequest};
use leoma_protocol::mesh::{GrantAnswer, GrantOffer, PageAnswer, VerdictAnswer, VerdictRequest};
use leoma_protocol::messages::{
    Announcement, Attestation, Beacon, Certificate, Dispute, Evidence, MinerReport,
};
use leoma_protocol::python_json::Value;
use leoma_protocol::synapse::{
    BodyHash, Caller, CallerUuid, Field, FieldKind, Question, RequestHead, SynapseClass, Target,
};
use leoma_protocol::verdict::{self, EntryStatus, Expected, VerdictEntry};
use leoma_protocol::{
    ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, MinerCommitment, Nano,
    Netuid, Network, Signature, TaskId, Witness,
};
use sp_core::{Pair as _, sr25519};

/// Bytes that are read have one meaning, and a meaning has one encoding.
fn exact<T: Wire + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = T::from_wire(bytes) {
        assert_eq!(value.to_wire().as_deref(), Ok(bytes), "{value:?} has two encodings");
    }
}

/// A good verdict and a bad one.
pub(crate) fn entries() -> Vec<VerdictEntry> {
    let [producer, other] = [super::kit().producer(), Hotkey::from_bytes([5; 32])];
    let unusable =
        VerdictEntry::unusable(other, EntryStatus::TooShort, "3 frames \u{e9}".into(), 900);
    let good = VerdictEntry {
        passed: true,
        status: EntryStatus::Passed,
        score: Some(815),
        video_sha256: Some(Digest::of(b"video")),
        model_revision: Some("0".repeat(40)),
        ..VerdictEntry::unusable(producer, EntryStatus::Passed, String::new(), 1200)
    };
    vec![good, unusable]
}

/// Gossip of every topic, and certificates as they are kept.
pub fn gossip(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 7 {
        0 => exact::<Announcement>(bytes),
        1 => exact::<Attestation>(bytes),
        2 => exact::<Evidence>(bytes),
        3 => exact::<Beacon>(bytes),
        4 => exact::<MinerReport>(bytes),
        6 => exact::<Dispute>(bytes),
        _ => exact::<Certificate>(bytes),
    }
}

/// Requests and answers of every stream protocol.
pub fn streams(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 9 {
        0 => exact::<Hello>(bytes),
        1 => exact::<HelloAnswer>(bytes),
        2 => exact::<GrantOffer>(bytes),
        3 => exact::<GrantAnswer>(bytes),
        4 => exact::<VerdictRequest>(bytes),
        5 => exact::<VerdictAnswer>(bytes),
        6 => exact::<CatchupRequest>(bytes),
        7 => exact::<CatchupPage>(bytes),
        _ => exact::<PageAnswer>(bytes),
    }
}

/// A verdict file from a bucket, with and without an envelope.
pub fn verdict(data: &[u8]) {
    let network = Network { genesis: Digest::of(b"a fuzzed chain"), netuid: Netuid(99) };
    let producer = super::kit().producer();
    for accept_v1 in [false, true] {
        let id = FileId { task_id: TaskId(7), producer };
        let expected =
            Expected { id, network, params: ConsensusParams::default().digest(), accept_v1 };
        if let Ok(read) = verdict::verify(data, &expected) {
            assert_eq!(read.id, id);
            assert!(read.entries.len() <= verdict::MAX_ENTRIES);
            assert!(accept_v1 || read.envelope.is_some(), "a file without an envelope counts");
        }
    }
}

/// JSON as Python writes it: what is read is written in a form that is read as the same.
pub fn python_json(data: &[u8]) {
    if let Ok(value) = Value::parse(data) {
        let text = value.to_string();
        assert!(text.is_ascii());
        let again = Value::parse(text.as_bytes()).expect("our own text is read");
        assert_eq!(again.to_string(), text);
    }
}

/// Short texts: what hotkeys commit on chain, hotkeys, digests, signatures.
pub fn texts(data: &[u8]) {
    if let Some(Ok(witness)) = Witness::decode(data) {
        assert_eq!(witness.to_bytes(), data, "{witness:?} has two encodings");
        assert!(witness.held().all(|(task, step)| witness.holds(task, step)));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let miner = super::kit().producer();
    if let Ok(commitment) = MinerCommitment::parse(text, &miner) {
        assert_eq!(MinerCommitment::parse(&commitment.to_text(), &miner), Ok(commitment));
    }
    if let Ok(hotkey) = text.parse::<Hotkey>() {
        assert_eq!(hotkey.to_string(), text, "a hotkey has two addresses");
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }
    if let Some(signature) = Signature::from_hex(text) {
        assert_eq!(Signature::from_hex(&signature.to_hex()), Some(signature));
    }
}

/// A feed's prices and a miner's forecast: every price is above zero, and is read again from the text
/// that we show of it.
pub fn market(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let check = |price: &Nano| {
        assert!(*price > Nano::ZERO);
        assert_eq!(Nano::from_decimal(&price.to_string()), Some(*price));
    };
    if kind % 2 == 0 {
        let Ok(closes) = read_closes(bytes) else { return };
        closes.values().for_each(check);
        let written = closes.iter().map(|(t, close)| format!(r#"{{"t":{t},"close":"{close}"}}"#));
        let written = format!("[{}]", written.collect::<Vec<_>>().join(","));
        assert_eq!(read_closes(written.as_bytes()), Ok(closes));
    } else {
        let Ok(value) = Value::parse(bytes) else { return };
        let asked = value.as_array().map_or(6, <[Value]>::len);
        let Ok(forecast) = read_forecast(&value, asked) else { return };
        assert_eq!(forecast.len(), asked);
        forecast.iter().for_each(check);
    }
}

/// A synapse with a field of each kind.
pub(crate) const KINDS: SynapseClass = SynapseClass {
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

/// Headers and bodies of synapses: no header is verified that its caller did not sign, and what is
/// read of a body is read again from what we would send.
pub fn synapse(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let signer =
        HotkeySigner::new(sr25519::Pair::from_seed(&[7; 32]), Arc::new(MemoryGuard::default()));
    match kind % 3 {
        0 => {
            let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
                let at = line.iter().position(|byte| *byte == b':')?;
                Some((std::str::from_utf8(&line[..at]).ok()?, line.get(at + 2..)?))
            });
            // Bob of the well-known keys, to whom the seeds are addressed.
            let bob = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty".parse().unwrap();
            if let Ok(head) = RequestHead::read(&KINDS, &bob, lines) {
                let _ = head.check_fresh(1_760_000_000_000_000_000, Duration::from_secs(60));
                let claimed = head.claimed_caller();
                if let Ok(head) = head.verify(&bob) {
                    assert_eq!(head.caller(), claimed);
                }
            }
        }
        1 => {
            let Ok(fields) = KINDS.read_body(bytes) else { return };
            let hash = BodyHash::of(&KINDS, &fields);
            match Question::new(&KINDS, &fields, Duration::from_secs(1)) {
                Ok(question) => {
                    let hotkey = signer.hotkey();
                    let target = Target { ip: [1, 1, 1, 1].into(), port: 1, hotkey };
                    let caller = Caller { ip: None, uuid: CallerUuid::from_random([1; 16]) };
                    let request = question.sign(&target, &caller, 1, &signer);
                    assert_eq!(KINDS.read_body(&request.body).as_ref(), Ok(&fields));
                    let headers = request.headers.iter();
                    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
                    let head = RequestHead::read(&KINDS, &hotkey, headers).expect("our own");
                    let head = head.verify(&hotkey).expect("our own signature");
                    head.check_body(&KINDS, &fields).expect("our own body");
                }
                Err(_) => assert!(hash.is_none(), "what is read can be asked"),
            }
        }
        _ => {
            if let Ok(fields) = KINDS.read_answer(bytes) {
                assert!(fields.keys().eq(["note"].iter()), "only what is mutable");
            }
        }
    }
}
