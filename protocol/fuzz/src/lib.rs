//! What each fuzz target does with its input: reads it as if it came from a stranger, and checks
//! what must hold whatever it was. A panic is a finding.

mod core;
mod decoders;

pub use self::core::{core, kit};
pub use decoders::{gossip, market, python_json, streams, synapse, texts, verdict};

use leoma_protocol::verdict::VerdictDraft;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, MinerCommitment, Netuid, Network, TaskId, Witness,
};
use leoma_rotation::{Allowlist, PolicyRecord};
use leoma_storage::{EndpointPolicy, Grant, StaticPeers};

/// The allowlist's file, a grant of a peer, and the operator's list of peers.
pub fn files_of_the_subnet(data: &[u8]) {
    if let Ok(allowlist) = Allowlist::parse(data) {
        assert_eq!(allowlist.canonical_json().as_bytes(), data, "two files for one allowlist");
    }
    for policy in [EndpointPolicy::Public, EndpointPolicy::Trusted] {
        if let Ok(grant) = Grant::decode(data, policy) {
            let again = Grant::decode(&grant.encode(), policy).expect("our own encoding is read");
            assert_eq!(again.encode(), grant.encode());
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = StaticPeers::parse(text);
        if let Ok(record) = PolicyRecord::parse(text) {
            let (_, pools) = (record.digest(), record.pools.len());
            assert!(pools > 0 && record.params().window_tasks == record.window.tasks);
        }
    }
}

/// One good input for each thing that is read: target, name, bytes.
#[must_use]
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = kit().seeds();
    let mut add = |target, name: &str, bytes: Vec<u8>| seeds.push((target, name.to_owned(), bytes));
    let draft = VerdictDraft {
        network: Network { genesis: Digest::of(b"a fuzzed chain"), netuid: Netuid(99) },
        task_id: TaskId(7),
        params: ConsensusParams::default().digest(),
        judge: "judge".into(),
        block: BlockNumber(700),
        metadata_sha256: None,
        entries: decoders::entries(),
    };
    add("verdict", "file", self::core::signer(1).sign_verdict_file(draft).expect("a fresh memory").bytes);
    add("verdict", "empty", br#"{"signature":"0x00","data":[],"envelope":{}}"#.to_vec());
    add("python_json", "numbers", b"[1, -0, 1e16, 0.1, 1.5e-7, NaN, Infinity, 123456789012345678901234567890]".to_vec());
    add("python_json", "texts", br#"{"b": "\u00e9\ud800", "a": [true, false, null, {"\n": ""}]}"#.to_vec());
    let producer = kit().producer();
    let commitment = MinerCommitment {
        model_name: format!("owner/leoma-{producer}"),
        model_revision: "0".repeat(40),
        chute_id: "00000000-0000-0000-0000-000000000000".into(),
    };
    add("texts", "commitment", commitment.to_text().into_bytes());
    add("texts", "hotkey", producer.to_string().into_bytes());
    let held = (0..60).rev().map(|task| (TaskId(task), vec![task % 3 > 0, task % 5 > 0]));
    add("texts", "witness", Witness::new(BlockNumber(6480), held).to_bytes());
    add("texts", "digest", Digest::of(b"").to_string().into_bytes());
    let allowlist = Allowlist::new(100, [producer]).expect("one validator is a list");
    add("texts", "policy", leoma_rotation::record::VIDEO.into());
    add("texts", "allowlist", allowlist.canonical_json().into_bytes());
    let bucket = r#"{"endpoint":"https://account.r2.cloudflarestorage.com","bucket":"leoma-verdicts","access_key":"k","secret_key":"s"}"#;
    let bucket = serde_json::from_str(bucket).expect("a bucket's settings");
    add("texts", "grant", Grant::with_keys(&bucket).expect("keys can be granted").encode());
    let golden = include_str!("../../../vectors/synapse_requests.txt");
    let signed = golden.split("\n== ").find(|part| part.starts_with("Signed")).expect("a request");
    let headers = signed.lines().filter_map(|line| line.strip_prefix("   "));
    let headers: String = headers.map(|line| line.replacen(" : ", ": ", 1) + "\n").collect();
    let body = signed.lines().find_map(|line| line.strip_prefix("body ")).expect("a body");
    let answer = body.replace("null", "\"done\"");
    for (kind, name, text) in [(0, "headers", &headers[..]), (1, "body", body), (2, "answer", &answer)] {
        add("synapse", name, [&[kind][..], text.as_bytes()].concat());
    }
    add("market", "feed", br#" [{"t": 1736521200, "close": "5000.12"}, {"close": "4999.5", "t": 1736521500}]"#.to_vec());
    add("market", "forecast", br#"![5000.12, "5001", 5002, 5e3, 4999.123456789, 5000.0]"#.to_vec());
    // Events one after the other, and time between them.
    add("core", "every-event", (0..=255).flat_map(|kind: u8| [3, kind, kind / 20, 2, 1, 4]).collect());
    add("core", "two-peers-prove-themselves", [[9, 0, 1, 0, 9, 5, 1, 3], [9, 0, 2, 0, 9, 5, 2, 6]].concat());
    seeds
}
