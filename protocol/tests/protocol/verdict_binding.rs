//! A verdict file counts in one place only: every other place, reader or state refuses it with its
//! reason.

use std::sync::Arc;

use leoma_protocol::verdict::{
    self, AspectScores, EntryStatus, Expected, MAX_FILE_BYTES, MAX_FINGERPRINT_BYTES, Refusal,
    SignedVerdict, VerdictDraft, VerdictEntry,
};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network, NotSafe, TaskId,
};
use sp_core::{Pair, sr25519};

fn signer(seed: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[seed; 32]), Arc::new(MemoryGuard::default()))
}

fn draft(passed: bool) -> VerdictDraft {
    let miner = |n| Hotkey::from_bytes([n; 32]);
    let mut good =
        VerdictEntry::unusable(miner(9), EntryStatus::Failed, "söme text\n\u{1F600}".into(), 1234);
    good.passed = passed;
    good.score = Some(835);
    good.fingerprint = Some((0..=255).collect());
    VerdictDraft {
        network: Network { genesis: Digest::of(b"genesis"), netuid: Netuid(99) },
        task_id: TaskId(7),
        params: ConsensusParams::default().digest(),
        judge: "metrics/1".into(),
        block: BlockNumber(701),
        metadata_sha256: Some(Digest::of(b"metadata")),
        entries: vec![
            good,
            VerdictEntry::unusable(miner(3), EntryStatus::NoResponse, String::new(), 0),
        ],
    }
}

fn expected(file: &SignedVerdict) -> Expected {
    let VerdictDraft { network, params, .. } = draft(true);
    Expected { id: file.id, network, params, accept_v1: false }
}

fn refusal(bytes: &[u8], expected: &Expected) -> Refusal {
    verdict::verify(bytes, expected).unwrap_err()
}

#[test]
fn what_was_signed_is_read_back_sorted_by_miner() {
    let file = signer(1).sign_verdict_file(draft(true)).unwrap();
    let read = verdict::verify(&file.bytes, &expected(&file)).unwrap();
    assert_eq!(read.digest, file.digest);
    let mut entries = draft(true).entries;
    entries.reverse();
    assert_eq!(
        read.entries.iter().map(|entry| entry.hotkey).collect::<Vec<_>>(),
        [entries[0].hotkey, entries[1].hotkey]
    );
    assert_eq!(read.entries, entries);
}

#[test]
fn a_fingerprint_that_cannot_be_read_is_none_and_the_entry_counts() {
    let with = |fingerprint: Option<Vec<u8>>| {
        let mut draft = draft(true);
        draft.entries[0].fingerprint = fingerprint;
        let file = signer(1).sign_verdict_file(draft).unwrap();
        let entries = verdict::verify(&file.bytes, &expected(&file)).unwrap().entries;
        (entries.into_iter().find(|entry| entry.passed).unwrap().fingerprint, file.bytes)
    };
    for length in [0, 1, 2, MAX_FINGERPRINT_BYTES - 1, MAX_FINGERPRINT_BYTES] {
        assert_eq!(with(Some(vec![0xfb; length])).0, Some(vec![0xfb; length]));
    }
    let (read, written) = with(Some(vec![7; MAX_FINGERPRINT_BYTES + 1]));
    assert_eq!(read, None);
    assert!(written.len() < MAX_FINGERPRINT_BYTES);
    // As another tool may write it, which signs with the same key.
    let pair = sr25519::Pair::from_seed(&[1; 32]);
    let producer = signer(1).hotkey();
    let texts =
        ["null", "7", "[]", "\"\"", "\"AA\"", "\"A===\"", "\"AAA=AAAA\"", "\"not base64 \\u20ac\""];
    let long = format!("\"{}\"", "AAAA".repeat(MAX_FINGERPRINT_BYTES / 3 + 1));
    for text in texts.into_iter().chain([&long[..]]) {
        let data =
            format!("[{{\"fingerprint\": {text}, \"hotkey\": \"{producer}\", \"passed\": true}}]");
        let signature = leoma_protocol::Signature::from_hex(&format!(
            "0x{}",
            hex(&pair.sign(&Digest::of(data.as_bytes()).0).0)
        ));
        let file =
            format!("{{\"data\": {data}, \"signature\": \"{}\"}}", signature.unwrap().to_hex());
        let VerdictDraft { network, params, .. } = draft(true);
        let expected = Expected {
            id: FileId { task_id: TaskId(7), producer },
            network,
            params,
            accept_v1: true,
        };
        let entries = verdict::verify(file.as_bytes(), &expected).unwrap().entries;
        let found = entries[0].fingerprint.as_deref();
        assert_eq!(found, (text == "\"\"").then_some(&[][..]), "{text}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_full_subnet_writes_half_of_what_is_read() {
    let entry = |n: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        let mut entry = VerdictEntry::unusable(
            Hotkey::from_bytes(key),
            EntryStatus::Duplicate,
            "x".repeat(2000),
            u64::MAX,
        );
        entry.fingerprint = Some(vec![1; MAX_FINGERPRINT_BYTES]);
        entry.model_revision = Some("0".repeat(40));
        entry.video_sha256 = Some(Digest::of(b"video"));
        entry.score = Some(1000);
        entry.aspect_scores = Some(AspectScores::default());
        entry
    };
    let file = signer(1)
        .sign_verdict_file(VerdictDraft { entries: (0..256).map(entry).collect(), ..draft(true) })
        .unwrap();
    assert!(file.bytes.len() <= MAX_FILE_BYTES / 2, "{}", file.bytes.len());
    assert_eq!(verdict::verify(&file.bytes, &expected(&file)).unwrap().entries.len(), 256);
}

#[test]
fn a_file_copied_elsewhere_is_refused() {
    let file = signer(1).sign_verdict_file(draft(true)).unwrap();
    let here = expected(&file);
    let other_task = Expected { id: FileId { task_id: TaskId(8), ..here.id }, ..here };
    assert!(matches!(
        refusal(&file.bytes, &other_task),
        Refusal::WrongTask { found: TaskId(7), expected: TaskId(8) }
    ));
    let other_producer =
        Expected { id: FileId { producer: signer(2).hotkey(), ..here.id }, ..here };
    assert!(matches!(refusal(&file.bytes, &other_producer), Refusal::BadSignature { .. }));
    let other_subnet = Expected { network: Network { netuid: Netuid(1), ..here.network }, ..here };
    assert!(matches!(refusal(&file.bytes, &other_subnet), Refusal::WrongNetwork { .. }));
    let other_chain =
        Expected { network: Network { genesis: Digest::of(b"other"), ..here.network }, ..here };
    assert!(matches!(refusal(&file.bytes, &other_chain), Refusal::WrongNetwork { .. }));
    let other_rules = Expected { params: Digest::of(b"other"), ..here };
    assert!(matches!(refusal(&file.bytes, &other_rules), Refusal::WrongParams { .. }));
}

#[test]
fn a_file_made_under_another_policy_record_is_refused_and_both_are_named() {
    let serving = |record: Option<&[u8]>| {
        let policy = record.map(Digest::of);
        ConsensusParams { policy, ..ConsensusParams::default() }.digest()
    };
    let params = serving(Some(b"one record"));
    let file = signer(1).sign_verdict_file(VerdictDraft { params, ..draft(true) }).unwrap();
    let ours = Expected { params, ..expected(&file) };
    assert!(verdict::verify(&file.bytes, &ours).is_ok());
    for other in [serving(Some(b"another")), serving(None)] {
        let refused = refusal(&file.bytes, &Expected { params: other, ..ours });
        assert!(matches!(refused, Refusal::WrongParams { .. }));
        let text = refused.to_string();
        assert!(text.contains(&params.short()) && text.contains(&other.short()), "{text}");
    }
}

#[test]
fn an_envelope_does_not_fit_other_data_of_the_same_validator() {
    // Two signers with one key and separate records stand for a validator that lost its database.
    let (one, two) = (
        signer(1).sign_verdict_file(draft(true)).unwrap(),
        signer(1).sign_verdict_file(draft(false)).unwrap(),
    );
    assert_ne!(one.digest, two.digest);
    let mut first: serde_json::Value = serde_json::from_slice(&one.bytes).unwrap();
    let second: serde_json::Value = serde_json::from_slice(&two.bytes).unwrap();
    first["envelope"] = second["envelope"].clone();
    assert_eq!(refusal(first.to_string().as_bytes(), &expected(&one)), Refusal::WrongData);
}

#[test]
fn spacing_and_a_second_signature_do_not_change_the_digest() {
    let signer = signer(1);
    let (one, two) = (
        signer.sign_verdict_file(draft(true)).unwrap(),
        signer.sign_verdict_file(draft(true)).unwrap(),
    );
    assert_eq!(one.digest, two.digest);
    let spaced = serde_json::to_vec_pretty(
        &serde_json::from_slice::<serde_json::Value>(&one.bytes).unwrap(),
    )
    .unwrap();
    assert_eq!(verdict::verify(&spaced, &expected(&one)).unwrap().digest, one.digest);
}

#[test]
fn nothing_is_signed_twice_with_different_verdicts() {
    let signer = signer(1);
    signer.sign_verdict_file(draft(true)).unwrap();
    assert!(matches!(signer.sign_verdict_file(draft(false)), Err(NotSafe::Conflict { .. })));
}

#[test]
fn damaged_and_odd_files_are_refused_with_a_reason() {
    let file = signer(1).sign_verdict_file(draft(true)).unwrap();
    let here = expected(&file);
    let edit = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_slice(&file.bytes).unwrap();
        change(&mut value);
        refusal(value.to_string().as_bytes(), &here)
    };
    assert!(matches!(refusal(b"", &here), Refusal::NotJson(_)));
    assert!(matches!(refusal(&file.bytes[..file.bytes.len() / 2], &here), Refusal::NotJson(_)));
    assert!(matches!(refusal(&vec![b' '; MAX_FILE_BYTES + 1], &here), Refusal::TooLarge { .. }));
    assert!(matches!(refusal(b"[]", &here), Refusal::Shape(_)));
    assert_eq!(edit(&|file| file["signature"] = serde_json::Value::Null), Refusal::Unsigned);
    assert!(matches!(
        edit(&|file| file["data"][0]["passed"] = true.into()),
        Refusal::BadSignature { .. }
    ));
    assert_eq!(edit(&|file| file["envelope"] = serde_json::Value::Null), Refusal::NoEnvelope);
    assert!(matches!(
        edit(&|file| file["envelope"]["task_id"] = 8.into()),
        Refusal::BadEnvelopeSignature { .. }
    ));
    assert!(matches!(edit(&|file| file["envelope"]["more"] = 1.into()), Refusal::EnvelopeShape(_)));
    assert!(matches!(edit(&|file| file["more"] = 1.into()), Refusal::Shape(_)));
}
