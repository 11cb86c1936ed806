//! The wire formats against cases computed by the Python implementation, and those that it does not
//! have against cases of our own in `protocol/vectors`.
//!
//! Reads the folder that `LEOMA_VECTORS` names for Python's, else the copy in the repository.

use std::path::{Path, PathBuf};

use leoma_protocol::python_json::Value;
use leoma_protocol::verdict::{self, Expected, Refusal};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, MinerCommitment, Netuid, Network,
    Signature, TaskId, Witness, check_commit_count, request,
};

fn cases(file: &str) -> Vec<serde_json::Value> {
    // Tests run in their package's folder, whoever sets the variable stands in the workspace's, and
    // `join` keeps an absolute path as it is. A path fixed by the compiler would be another
    // checkout's where two share a target folder.
    let folder =
        std::env::var_os("LEOMA_VECTORS").map_or_else(|| PathBuf::from("vectors"), PathBuf::from);
    let path = Path::new("..").join(folder).join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases = document["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{file} holds no case");
    cases
}

#[test]
fn verdict_files_are_canonicalised_and_checked_as_python_does() {
    let network = Network { genesis: Digest::default(), netuid: Netuid(99) };
    for (index, case) in cases("verdict_file.json").iter().enumerate() {
        let text = case["file"].as_str().unwrap();
        let data = Value::parse(text.as_bytes()).unwrap().get("data").cloned().unwrap();
        assert_eq!(data.to_string(), case["canonical"].as_str().unwrap(), "case {index}");
        assert_eq!(
            Digest::of(data.to_string().as_bytes()).to_string(),
            case["sha256"].as_str().unwrap(),
            "case {index}"
        );

        let producer: Hotkey = case["hotkey"].as_str().unwrap().parse().unwrap();
        let id = FileId { task_id: TaskId(0), producer };
        let params = ConsensusParams::default().digest();
        let found =
            verdict::verify(text.as_bytes(), &Expected { id, network, params, accept_v1: true });
        if case["valid"].as_bool().unwrap() {
            assert_eq!(
                found.unwrap().entries.len(),
                data.as_array().unwrap().len(),
                "case {index}"
            );
            let strict = verdict::verify(
                text.as_bytes(),
                &Expected { id, network, params, accept_v1: false },
            );
            assert_eq!(strict, Err(Refusal::NoEnvelope), "case {index}");
        } else {
            assert!(found.is_err(), "case {index} must be refused");
        }
    }
}

#[test]
fn miner_commitments_are_judged_as_python_does() {
    for (index, case) in cases("miner_commitment.json").iter().enumerate() {
        let hotkey: Hotkey = case["hotkey"].as_str().unwrap().parse().unwrap();
        let fields = MinerCommitment::parse(case["value"].as_str().unwrap(), &hotkey);
        assert_eq!(fields.is_ok(), case["fields_ok"].as_bool().unwrap(), "case {index}");
        assert_eq!(
            fields.err().map(|error| error.to_string()).as_deref(),
            case["fields_reason"].as_str(),
            "case {index}"
        );
        let count =
            check_commit_count(usize::try_from(case["commit_count"].as_u64().unwrap()).unwrap());
        assert_eq!(count.is_ok(), case["count_ok"].as_bool().unwrap(), "case {index}");
        assert_eq!(
            count.err().map(|error| error.to_string()).as_deref(),
            case["count_reason"].as_str(),
            "case {index}"
        );
    }
}

#[test]
fn request_signatures_verify_as_python_does() {
    for (index, case) in cases("request_signature.json").iter().enumerate() {
        let hotkey: Hotkey = case["hotkey"].as_str().unwrap().parse().unwrap();
        let body = case["body"].as_str().unwrap().as_bytes();
        let signature = Signature::from_hex(case["signature"].as_str().unwrap());
        let verified = signature.is_some_and(|signature| {
            request::verify_request(&hotkey, body, case["timestamp"].as_str().unwrap(), &signature)
        });
        assert_eq!(verified, case["valid"].as_bool().unwrap(), "case {index}");
    }
}

#[test]
fn witnesses_have_exactly_these_bytes() {
    let text = std::fs::read_to_string("vectors/witness.json").unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let bytes = |text: &serde_json::Value| hex::decode(text.as_str().unwrap()).unwrap();
    for case in document["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let tasks = case["tasks"].as_array().unwrap().iter().map(|task| {
            let held = task[1].as_str().unwrap().chars().map(|digit| digit == '1').collect();
            (TaskId(task[0].as_u64().unwrap()), held)
        });
        let epoch_block = BlockNumber(case["epoch_block"].as_u64().unwrap());
        let witness = Witness::new(epoch_block, tasks);
        let fields: Vec<Vec<u8>> = case["fields"].as_array().unwrap().iter().map(bytes).collect();
        assert_eq!(witness.encode(), fields, "{name}");
        assert_eq!(Witness::decode(&fields.concat()), Some(Ok(witness)), "{name}");
    }
    for case in document["refused"].as_array().unwrap() {
        let found = Witness::decode(&bytes(&case["bytes"]));
        assert!(matches!(found, Some(Err(_))), "{}: {found:?}", case["name"]);
    }
}
