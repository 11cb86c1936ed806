//! No secret shows: two real validators run with every line of their logs on, others are started so
//! that they fail, and everything they leave or answer is searched for every secret they know, in
//! each form that a secret is written in.

mod detector;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use detector::Detector;
use leoma_scoring::JudgeChoice;
use leoma_testnet::launch::{Options, Programs, Subnet};

/// Two validators sample a task within this on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
/// A validator that cannot start says so within this.
const FAILURE_LIMIT: Duration = Duration::from_secs(120);
/// How long a program may wait for a chain or a bucket that does not answer.
const WAITED: Duration = Duration::from_secs(45);
/// Stands for what an operator typed wrongly.
const TYPED: &str = "PLANTED/secret+that=was&typed in";
/// Files that hold secrets because that is what they are for.
const KEEPERS: [&str; 5] = [".env", "libp2p.key", "wallets", "storage-keys.json", "services.json"];

type Settings = Vec<(String, String)>;

fn settings_of(folder: &Path) -> Settings {
    let text = std::fs::read_to_string(folder.join(".env")).unwrap();
    let pair =
        |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let unquoted = |(name, value): (String, String)| (name, value.trim_matches('"').to_owned());
    text.lines().filter_map(pair).map(unquoted).collect()
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    settings.retain(|(known, _)| known != name);
    settings.push((name.to_owned(), value.to_owned()));
}

fn get<'a>(settings: &'a Settings, name: &str) -> &'a str {
    settings.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Settings that are secrets: those that the validator hides, and the halves of keys.
fn is_secret(name: &str) -> bool {
    leoma::config::find_setting(name).is_some_and(|setting| setting.secret)
        && name != "PEER_VALIDATORS"
}

/// Runs the validator's program to its end, and returns whether it succeeded and all it said.
async fn leoma(arguments: &[&str], folder: &Path, settings: &Settings) -> (bool, Vec<u8>) {
    // Where it waits for something to come back, it is asked to stop after a while.
    let mut command = tokio::process::Command::new("timeout");
    command.args(["--signal=TERM", "--kill-after=30", &WAITED.as_secs().to_string()]);
    command.arg(Programs::find().unwrap().leoma);
    command.args(arguments).current_dir(folder).env_clear().kill_on_drop(true).stdin(Stdio::null());
    for name in ["PATH", "HOME", "LD_LIBRARY_PATH"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    let output = tokio::time::timeout(FAILURE_LIMIT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} did not end")).unwrap();
    (output.status.success(), [output.stdout, output.stderr].concat())
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if KEEPERS.contains(&name.as_str()) || name.ends_with(".mp4") {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn no_secret_is_in_anything_that_a_validator_says_or_leaves() {
    // Gemini's key is one of the secrets.
    let options = Options {
        validators: 2,
        miners: 2,
        seed: "secrets".into(),
        judge: JudgeChoice::Both,
        ..Options::default()
    };
    let mut subnet = Subnet::start(options, |text| eprintln!("{text}"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let folders = [0, 1].map(|index| subnet.validator_folder(index).unwrap().to_owned());
    let mut detector = Detector::default();
    let mut all = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        subnet.kill_validator(index);
        let mut settings = settings_of(folder);
        set(&mut settings, "LOG_LEVEL", "trace");
        set(&mut settings, "HF_TOKEN", "hf_planted0123456789abcdef");
        let dotenv: String =
            settings.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
        for (name, value) in settings.iter().filter(|(name, _)| is_secret(name)) {
            detector.plant(&format!("{name} of validator {}", index + 1), value);
        }
        // The first knows the second's bucket from its operator, the second the first's by a grant.
        let other = &subnet.plan.validators[1 - index];
        let peers = serde_json::json!([{
            "hotkey": other.account.hotkey, "bucket": other.bucket.bucket, "region": "auto",
            "endpoint": subnet.addresses.storage, "read_access_key": other.bucket.read.access,
            "read_secret_key": other.bucket.read.secret,
        }]);
        let peers = if index == 0 { format!("PEER_VALIDATORS='{peers}'\n") } else { String::new() };
        std::fs::write(folder.join(".env"), format!("{dotenv}{peers}")).unwrap();
        detector.plant("the mesh key", &subnet.plan.validators[index].mesh_key);
        all.push(settings);
    }
    let wallets = subnet.folder().join("wallets");
    for wallet in std::fs::read_dir(&wallets).unwrap() {
        let path = wallet.unwrap().path().join("hotkeys/default");
        let file: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        detector.plant("a hotkey's seed", file["secretSeed"].as_str().unwrap());
        detector.plant("a hotkey's private key", file["privateKey"].as_str().unwrap());
    }
    let owner = &subnet.plan.source.write;
    detector.plant("the owner's access key", &owner.access);
    detector.plant("the owner's secret key", &owner.secret);
    detector.plant("what an operator typed", TYPED);
    // The detector finds the secrets where they do show.
    for folder in &folders {
        let env = std::fs::read(folder.join(".env")).unwrap();
        assert!(detector.find(&env).is_some());
        assert!(detector.find(STANDARD_NO_PAD.encode(&env).as_bytes()).is_some());
        assert!(detector.find(hex::encode(&env).as_bytes()).is_some());
    }

    (0..2).for_each(|index| subnet.restart_validator(index).unwrap());
    until_it_listens(get(&all[0], "LEOMA_HTTP_LISTEN")).await;
    // A turn that is lost on a busy machine makes its validator not ready until the next one.
    let mut met = [false; 2];
    let sampled = subnet.wait_until(LIMIT, |view| {
        for (met, validator) in met.iter_mut().zip(&view.validators) {
            *met |= validator.status.ready && validator.status.peers == 1;
        }
        let sampled = view.validators.iter().any(|validator| validator.status.tasks_sampled > 0);
        sampled && met == [true; 2]
    });
    sampled.await.unwrap_or_else(|error| panic!("{error}"));
    for folder in &folders {
        until_attested(folder).await;
    }

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (folder, settings) in folders.iter().zip(&all) {
        for path in ["metrics", "status", "agreement", "readyz?verbose"] {
            let url = format!("http://{}/{path}", get(settings, "LEOMA_HTTP_LISTEN"));
            let body = client.get(url).send().await.unwrap().bytes().await.unwrap();
            assert!(!body.is_empty());
            detector.assert_none(path, &body);
            if path == "metrics" {
                assert_openmetrics(std::str::from_utf8(&body).unwrap());
            }
        }
        for arguments in [
            &["config", "show"][..],
            &["config", "show", "--json"],
            &["config", "check"],
            &["mesh"],
            &["mesh", "--json"],
            &["mesh", "certificates", "--json"],
            &["validator", "list"],
        ] {
            let (succeeded, said) = leoma(arguments, folder, &Settings::new()).await;
            assert!(succeeded, "{arguments:?}: {}", String::from_utf8_lossy(&said));
            detector.assert_none(&arguments.join(" "), &said);
            match arguments {
                ["mesh"] => assert_mesh_shown(std::str::from_utf8(&said).unwrap()),
                ["mesh", "--json"] => assert_mesh_json(&serde_json::from_slice(&said).unwrap()),
                ["mesh", "certificates", "--json"] => {
                    assert_signed(&serde_json::from_slice(&said).unwrap())
                }
                _ => {}
            }
        }
    }
    fail_in_every_way(&detector, &all[0], subnet.folder()).await;

    (0..2).for_each(|index| subnet.kill_validator(index));
    let mut files = Vec::new();
    walk(subnet.folder(), &mut files);
    for (name, part) in [
        ("a log", "logs/validator-1.log"),
        ("the state", "state/state.sqlite"),
        ("the chain", "chain/"),
    ] {
        assert!(
            files.iter().any(|path| path.display().to_string().contains(part)),
            "{name} was not searched"
        );
    }
    let log = std::fs::read_to_string(subnet.folder().join("logs/validator-1.log")).unwrap();
    assert!(
        log.contains("DEBUG") && log.contains("bucket access granted"),
        "the log says too little to show anything"
    );
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        detector.assert_none(&path.display().to_string(), &bytes);
    }
    subnet.stop().await;
}

/// Sees a validator that has just started listen for a double of its hotkey, which it does for many
/// seconds.
async fn until_it_listens(http: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = tokio::time::Instant::now() + LIMIT;
    let readiness = async || {
        let answer = client.get(format!("http://{http}/readyz?verbose")).send().await.ok()?;
        assert_eq!(answer.status(), reqwest::StatusCode::SERVICE_UNAVAILABLE);
        Some(answer.text().await.unwrap()).filter(|text| !text.starts_with("starting: "))
    };
    loop {
        if let Some(checks) = readiness().await {
            assert!(
                checks.contains("[-] identity: listening for a double of this hotkey"),
                "{checks}"
            );
            let status = client
                .get(format!("http://{http}/status"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            assert!(status.contains("\"listening_for_double\":true"), "{status}");
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "it does not answer");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until a validator holds signatures for a file: they come after the file is stored.
async fn until_attested(folder: &Path) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let (succeeded, said) =
            leoma(&["mesh", "certificates", "--json"], folder, &Settings::new()).await;
        let signed = serde_json::from_slice::<serde_json::Value>(&said).ok().filter(|_| succeeded);
        if signed.is_some_and(|signed| {
            signed["attestations"].as_array().is_some_and(|rows| !rows.is_empty())
        }) {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "no attestation: {}",
            String::from_utf8_lossy(&said)
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Starts that an operator's mistake makes fail, each with a secret in the wrong place.
async fn fail_in_every_way(detector: &Detector, settings: &Settings, folder: &Path) {
    let place = folder.join("failing");
    let wallets = place.join("wallets");
    std::fs::create_dir_all(wallets.join("w/hotkeys")).unwrap();
    let with = |changes: &[(&str, &str)]| {
        let mut settings = settings.clone();
        let state = place.join("state").display().to_string();
        set(&mut settings, "LEOMA_STATE_DIR", &state);
        set(&mut settings, "LEOMA_HTTP_LISTEN", "127.0.0.1:0");
        set(&mut settings, "LEOMA_MESH_LISTEN", "/ip4/127.0.0.1/tcp/0");
        changes.iter().for_each(|(name, value)| set(&mut settings, name, value));
        settings
    };
    let wallet = wallets.display().to_string();
    let own_wallet = [("WALLET_PATH", wallet.as_str()), ("WALLET_NAME", "w"), ("HOTKEY_NAME", "h")];
    let url = format!("ws://user:{}@127.0.0.1:1/v3/x?token={}", escaped(TYPED), escaped(TYPED));
    let store = url.replace("ws://", "http://");
    let json = format!(r#"[{{"hotkey": "x", "read_secret_key": "{TYPED}""#);
    let cases: Vec<(&str, &[&str], Settings)> = vec![
        (
            "a wrong bucket key",
            &["servers", "validator"],
            with(&[("R2_OWN_WRITE_SECRET_KEY", TYPED)]),
        ),
        (
            "a wrong bucket key id",
            &["servers", "validator"],
            with(&[("R2_OWN_WRITE_ACCESS_KEY", TYPED)]),
        ),
        (
            "a judge's key that no header carries",
            &["serve"],
            with(&[("GEMINI_API_KEY", &format!("{TYPED}\n{TYPED}"))]),
        ),
        ("a list that is no JSON", &["serve"], with(&[("PEER_VALIDATORS", &json)])),
        ("a key in the chain's address", &["servers", "validator"], with(&[("NETWORK", &url)])),
        (
            "a password in a bucket's address",
            &["servers", "validator"],
            with(&[("R2_OWN_ENDPOINT", &store)]),
        ),
        ("a broken hotkey", &["servers", "validator"], with(&own_wallet)),
        ("a broken mesh key", &["servers", "validator"], with(&[])),
    ];
    for (name, arguments, settings) in cases {
        let _made_by_the_case_before = std::fs::remove_dir_all(place.join("state"));
        std::fs::create_dir_all(place.join("state")).unwrap();
        std::fs::write(wallets.join("w/hotkeys/h"), format!(r#"{{"secretSeed": "{TYPED}"}}"#))
            .unwrap();
        if name == "a broken mesh key" {
            std::fs::write(place.join("state/libp2p.key"), TYPED).unwrap();
        }
        let (succeeded, said) = leoma(arguments, &place, &settings).await;
        let text = String::from_utf8_lossy(&said).into_owned();
        let gave_up_or_waits = text.contains("leoma: ") || text.contains("will retry");
        assert!(!succeeded && gave_up_or_waits, "{name}: {text}");
        detector.assert_none(&format!("the failure of {name}"), &said);
        let (_, said) = leoma(&["config", "show"], &place, &settings).await;
        detector.assert_none(&format!("the listing of {name}"), &said);
    }
    std::fs::write(place.join("leoma.toml"), format!("gemini_api_key = {TYPED}\n")).unwrap();
    let (succeeded, said) =
        leoma(&["config", "check", "--config", "leoma.toml"], &place, &with(&[])).await;
    assert!(!succeeded);
    detector.assert_none("a file that is no TOML", &said);
    std::fs::write(place.join(".env"), format!("GEMINI_API_KEY=\"{TYPED}\nno name\n")).unwrap();
    let (succeeded, said) = leoma(&["config", "check"], &place, &with(&[])).await;
    assert!(!succeeded);
    detector.assert_none("a .env with a broken line", &said);
    std::fs::remove_dir_all(&place).unwrap();
}

/// An operator sees who is there and what was agreed.
fn assert_mesh_shown(text: &str) {
    let peer = text
        .lines()
        .find(|line| line.starts_with("peer 5"))
        .unwrap_or_else(|| panic!("no peer: {text}"));
    for part in [
        "(uid ",
        "/ip4/127.0.0.1/",
        "bound ",
        "mutual",
        " ms",
        "6 topics",
        "score 0",
        "head ",
        "last task ",
    ] {
        assert!(peer.contains(part), "no `{part}` in: {peer}");
    }
    assert!(
        text.lines().any(|line| line.starts_with("task ") && line.contains("attesters")),
        "no file: {text}"
    );
}

fn assert_mesh_json(mesh: &serde_json::Value) {
    let peer = &mesh["peers"][0];
    for (member, is_right) in [
        ("hotkey", peer["hotkey"].is_string()),
        ("uid", peer["uid"].is_u64()),
        ("address", peer["address"].is_string()),
        ("outbound", peer["outbound"].is_boolean()),
        ("rtt_ms", peer["rtt_ms"].is_f64()),
        ("mutual", peer["mutual"] == true),
        ("topics", peer["topics"].as_array().is_some_and(|topics| topics.len() == 6)),
        ("score", peer["score"].is_number()),
        ("last_announcement", peer.get("last_announcement").is_some()),
        ("files", mesh["files"].as_array().is_some_and(|files| !files.is_empty())),
        ("evidence", mesh["evidence"] == serde_json::json!([])),
        ("voice", mesh["voice"] == "alone"),
    ] {
        assert!(is_right, "{member} in {mesh:#}");
    }
}

fn assert_signed(signed: &serde_json::Value) {
    let rows = signed["attestations"].as_array().unwrap();
    assert!(!rows.is_empty(), "nobody has attested to anything");
    for row in rows {
        let count = |member: &str| row[member].as_array().unwrap().len();
        assert!(count("attesters") > 0 && count("attesters") == count("signatures"), "{row}");
    }
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What `/metrics` answers is what a scraper reads: every sample is a number, and belongs to a
/// family that is described.
fn assert_openmetrics(text: &str) {
    assert!(text.ends_with("# EOF\n"));
    let families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut asked = 0;
    for file in [
        include_str!("../../../../node/deploy/alerts.yml"),
        include_str!("../../../../node/deploy/grafana/leoma.json"),
    ] {
        let words = file.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("leoma_")) {
            let is_of = |family: &&str| {
                name.strip_prefix(*family)
                    .is_some_and(|rest| ["", "_total", "_bucket", "_sum", "_count"].contains(&rest))
            };
            assert!(families.iter().any(is_of), "no {name}: {text}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    let mut samples = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        let plain = name.split('{').next().unwrap();
        assert!(
            families.iter().any(|family| plain.starts_with(family)),
            "{line} belongs to no family"
        );
        samples.insert(name.to_owned(), value);
    }
    assert_eq!(samples["leoma_mesh_peers_connected"], 1.0);
    assert_eq!(samples["leoma_mesh_may_sign"], 1.0);
    assert!(samples["leoma_head_block"] > 0.0);
    for family in ["leoma_mesh_gossip_messages", "libp2p_bandwidth_bytes", "leoma_mesh_peer_score"]
    {
        assert!(samples.keys().any(|name| name.starts_with(family)), "no {family}: {text}");
    }
}
