//! Both directions with Bittensor's own SDK, as its package installs it.
//!
//! `LEOMA_BITTENSOR_PYTHON` names an interpreter that has the package (`pip install
//! bittensor==10.2.0`); without it, `python3` is tried. Nothing is downloaded here.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use leoma_protocol::python_json::Value;
use leoma_protocol::synapse::{Field, FieldKind, Fields, Question, Refusal, SynapseClass, Target};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard};
use leoma_synapse::{Axon, AxonLimits, Call, Dendrite, Forward, Outcome};
use sp_core::{Pair as _, sr25519};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

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
const ANIMATION: SynapseClass = SynapseClass {
    name: "VPA2ASynapse",
    fields: &[
        Field::new("input_type", FieldKind::Text),
        Field::new("audio_input", FieldKind::Text),
        Field::new("animation_output", FieldKind::Text).mutable(),
    ],
    hashed: &[],
};
const FAILING: SynapseClass =
    SynapseClass { name: "Failing", fields: &[Field::new("text", FieldKind::Text)], hashed: &[] };

fn signer(uri: &str) -> HotkeySigner {
    let pair = sr25519::Pair::from_string(uri, None).unwrap();
    HotkeySigner::new(pair, std::sync::Arc::new(MemoryGuard::default()))
}

/// An interpreter that has the SDK, and the SDK's version.
async fn python() -> Option<(PathBuf, String)> {
    let named = std::env::var_os("LEOMA_BITTENSOR_PYTHON").map(PathBuf::from);
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let version = ["-c", "import bittensor; print(bittensor.__version__)"];
    let tried = Command::new(&python).args(version).stderr(Stdio::null()).output().await;
    match tried {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            eprintln!("bittensor {version} of {}", python.display());
            Some((python, version))
        }
        // Who names an interpreter wants the test to run.
        _ if named.is_some() => panic!("{} has no package bittensor", python.display()),
        _ => {
            println!(
                "skipped: python3 has no package bittensor; LEOMA_BITTENSOR_PYTHON can name an \
                 interpreter that has it"
            );
            None
        }
    }
}

fn command(python: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/synapse/interop.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn started_axon(python: &PathBuf, port: u16) -> Child {
    let mut axon = command(python, &["axon", &port.to_string()]).spawn().unwrap();
    let mut line = String::new();
    let ready = async {
        let mut output = BufReader::new(axon.stdout.take().unwrap());
        while line.trim() != "ready" {
            line.clear();
            assert!(output.read_line(&mut line).await.unwrap() > 0, "the SDK's axon ended");
        }
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ready).await.expect("the SDK's axon started");
    axon
}

fn signed_fields() -> Fields {
    Fields::from([
        ("prompt", "a red fox \u{e9}".into()),
        ("steps", Value::from(4_u64)),
        ("seeds", Value::Array([1_u64, 2, 3].map(Value::from).to_vec())),
        ("guidance", Value::Float(5.0)),
        ("flag", true.into()),
        ("note", Value::Null),
    ])
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn our_dendrite_asks_the_sdks_axon() {
    let Some((python, _)) = python().await else { return };
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let _axon = started_axon(&python, port).await;
    let client = reqwest::Client::builder().no_proxy();
    let dendrite = Dendrite::new(client, signer("//Alice"), None, |_| true).unwrap();
    let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey: signer("//Bob").hotkey() };
    let ask = async |class: &SynapseClass, fields: Fields, target: Target| {
        let question = Question::new(class, &fields, Duration::from_secs(12)).unwrap();
        dendrite.ask(&question, &target, 1 << 20).await.outcome
    };

    let alice = signer("//Alice").hotkey();
    let note = format!("{alice}: a red fox \u{e9} [1, 2, 3] 5.0");
    let answered = Outcome::Filled(Fields::from([("note", note.into())]));
    for _ in 0..3 {
        assert_eq!(ask(&SIGNED, signed_fields(), target).await, answered);
    }
    let animation = |audio: &str| {
        Fields::from([
            ("input_type", "data".into()),
            ("audio_input", audio.into()),
            ("animation_output", "".into()),
        ])
    };
    let Outcome::Filled(filled) = ask(&ANIMATION, animation("\n\u{e9}"), target).await else {
        panic!("no answer");
    };
    assert_eq!(filled["animation_output"].as_str(), Some("\n\u{e9}".repeat(100_000).as_str()));
    assert_eq!(ask(&ANIMATION, animation("0123456789abc"), target).await, Outcome::TooLarge);
    let failing = Fields::from([("text", "x".into())]);
    assert_eq!(ask(&FAILING, failing, target).await, Outcome::Refused(500));
    let elsewhere = Target { hotkey: signer("//Charlie").hotkey(), ..target };
    assert_eq!(ask(&SIGNED, signed_fields(), elsewhere).await, Outcome::Refused(401));
}

struct Notes;

#[async_trait::async_trait]
impl Forward for Notes {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        let prompt = call.fields["prompt"].as_str().unwrap_or_default();
        Ok(Fields::from([("note", format!("{}: {prompt}", call.caller).into())]))
    }
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn the_sdks_dendrite_asks_our_axon() {
    let Some((python, _)) = python().await else { return };
    let alice = signer("//Alice").hotkey();
    let serves =
        move |caller: &Hotkey| if *caller == alice { Ok(()) } else { Err("not registered") };
    let axon = Axon::new(signer("//Bob"), AxonLimits::default(), serves).route(SIGNED, Notes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(axon.serve(listener, stop.clone()));

    let (port, bob) = (port.to_string(), signer("//Bob").hotkey().to_string());
    let output = command(&python, &["dendrite", &port, &bob]).output().await.unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let result: serde_json::Value =
        serde_json::from_str(output.lines().last().unwrap()).expect("one JSON object");

    let note = format!("{alice}: a red fox \u{e9}");
    assert_eq!(result["answered"], serde_json::json!([200, "Success", note]));
    assert_eq!(result["axon"], serde_json::json!([bob, 10_002_000, "a red fox \u{e9}"]));
    assert_eq!(result["at_once"], serde_json::json!([200, 200, 200, 200]));
    for (what, status, message) in [
        ("unknown", 404, "no such synapse is served here"),
        ("unsigned", 401, "not verified: the request carries no signature"),
        ("tampered", 401, "not verified: the signature does not match"),
        ("stranger", 403, "this hotkey is not served: not registered"),
    ] {
        assert_eq!(result[what], serde_json::json!([status, message, null]), "{what}");
    }
    stop.cancel();
    serving.await.unwrap();
}
