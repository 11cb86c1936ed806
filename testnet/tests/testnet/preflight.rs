//! `leoma preflight` against the local chain and the S3 server: a validator that could start, and
//! what keeps others from it.
//!
//! Needs the validator's program: `cargo build --workspace --bins`, beside this test or in
//! `LEOMA_BIN_DIR`; and ffmpeg.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{self, NETUID, source_settings, write_key};
use leoma_chain::{Call, ChainClient, ChainWeights};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard, Netuid, Uid};
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, FaultProxy, GenesisConfig, NeuronGenesis, SubnetGenesis,
    beacon_public_key,
};
use leoma_testnet::storage::{self, BucketKeys, Handle};
use leoma_wallet::{KeyFile, PasswordSources, public_path};
use serde_json::Value;

const BLOCK_TIME: Duration = Duration::from_millis(200);
/// The live chain's block, for steps.
const STEP: Duration = Duration::from_secs(12);
const TAO: u64 = 1_000_000_000;
/// Wallets with their stake in TAO: those with stake have a permit. `stranger` and `absent` are not
/// registered.
const NEURONS: [(&str, u64); 5] =
    [("owner", 0), ("ready", 50), ("unlisted", 40), ("poor", 0), ("tired", 30)];
/// A node this many blocks behind is reported as lagging.
const LAG: u32 = 20;
/// An address at which nothing listens.
const DEAD: &str = "ws://127.0.0.1:1";

/// A chain, two buckets, wallets.
struct Bench {
    chain: ChainHandle,
    storage: Handle,
    source: BucketKeys,
    own: BucketKeys,
    hotkeys: BTreeMap<&'static str, Hotkey>,
    folder: tempfile::TempDir,
}

/// What `leoma preflight --json` said.
struct Report {
    succeeded: bool,
    report: Value,
}

impl Report {
    fn checks(&self) -> &[Value] {
        self.report["checks"].as_array().unwrap()
    }

    /// Outcomes of the checks of this name, in their order, and what they say.
    fn of(&self, name: &str) -> (Vec<&str>, String) {
        let checks = || self.checks().iter().filter(|check| check["name"] == name);
        let said = checks().map(|check| format!("{} {}\n", check["finding"], check["next_step"]));
        (checks().map(|check| check["outcome"].as_str().unwrap()).collect(), said.collect())
    }
}

impl Bench {
    async fn start(commit_reveal: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wallets = folder.path().join("wallets");
        let names = NEURONS.iter().map(|(name, _)| *name).chain(["stranger"]);
        let hotkeys: BTreeMap<_, _> = names
            .map(|name| (name, write_key(&wallets.join(name).join("hotkeys/default"), None)))
            .collect();
        let account = |name: &str| (*hotkeys[name].as_bytes()).into();
        let neurons = NEURONS.map(|(name, stake)| NeuronGenesis {
            hotkey: account(name),
            coldkey: account("owner"),
            stake: stake * TAO,
            validator_permit: stake > 0,
        });
        let subnet = SubnetGenesis {
            commit_reveal,
            ..SubnetGenesis::new(NETUID, account("owner"), account("owner"), 360, neurons.to_vec())
        };
        let genesis = GenesisConfig {
            name: "test".to_owned(),
            subnets: vec![subnet],
            stake_threshold: 10 * TAO,
            ..GenesisConfig::default()
        };
        let config = ChainConfig::new(folder.path().join("chain"), genesis);
        let chain =
            chain::spawn(ChainConfig { block_time: BLOCK_TIME, step: Some(STEP), ..config })
                .await
                .unwrap();
        let (source, own) =
            (BucketKeys::generate("leoma-source"), BucketKeys::generate("leoma-own"));
        let storage =
            storage::Config::new(folder.path().join("storage"), vec![source.clone(), own.clone()]);
        Self {
            chain,
            storage: storage::spawn(storage).await.unwrap(),
            source,
            own,
            hotkeys,
            folder,
        }
    }

    /// The settings of a validator that could start.
    fn settings(&self) -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap();
        let beacon = hex::encode(beacon_public_key());
        let mut settings = source_settings(self.storage.endpoint(), &self.source);
        settings.extend([
            ("PATH", path.as_str()),
            ("NETWORK", &self.chain.ws_url),
            ("LEOMA_DRAND_PUBLIC_KEY", &beacon),
            ("WALLET_NAME", "ready"),
            ("R2_OWN_BUCKET", &self.own.bucket),
            ("R2_OWN_WRITE_ACCESS_KEY", &self.own.write.access),
            ("R2_OWN_WRITE_SECRET_KEY", &self.own.write.secret),
            ("R2_OWN_READ_ACCESS_KEY", &self.own.read.access),
            ("R2_OWN_READ_SECRET_KEY", &self.own.read.secret),
            ("GEMINI_API_KEY", "planted-secret"),
            // Without it preflight would ask Gemini, which is not here.
            ("LEOMA_JUDGE", "local"),
            ("CHUTES_API_KEY", "planted-secret"),
            // Nobody listens there, which is a warning.
            ("HF_API_URL", "http://127.0.0.1:1"),
            ("LEOMA_HTTP_LISTEN", "127.0.0.1:0"),
            ("LEOMA_MESH_LISTEN", "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1"),
            ("LEOMA_MESH_EXTERNAL", "/ip4/8.8.8.8/tcp/4070"),
        ]);
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// With these settings changed; an empty value unsets one.
    async fn leoma(&self, changes: &[(&str, &str)], arguments: &[&str]) -> cli::Said {
        let mut settings = self.settings();
        settings
            .extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        settings.retain(|_, value| !value.is_empty());
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        cli::leoma(self.folder.path(), &settings, arguments).await
    }

    async fn preflight(&self, changes: &[(&str, &str)], flags: &[&str]) -> Report {
        let said = self.leoma(changes, &[&["preflight", "--json"], flags].concat()).await;
        let report: Value = serde_json::from_str(&said.output)
            .unwrap_or_else(|_| panic!("{}{}", said.output, said.errors));
        let report = Report { succeeded: said.succeeded, report };
        assert!(
            !format!("{}{}", said.output, said.errors).contains("planted-secret"),
            "{}",
            said.output
        );
        // What holds for every report.
        let failed = report.checks().iter().filter(|check| check["outcome"] == "fail").count();
        assert_eq!(
            (report.succeeded, &report.report["ready"]),
            (failed == 0, &(failed == 0).into()),
            "{}",
            said.output
        );
        for check in report.checks() {
            let finding = check["finding"].as_str().unwrap();
            assert!(!finding.is_empty(), "{check}");
            assert_eq!(finding.starts_with("skipped: "), check["outcome"] == "skip", "{check}");
            let needs_step = check["outcome"] == "warn" || check["outcome"] == "fail";
            assert_eq!(check["next_step"].is_string(), needs_step, "{check}");
        }
        report
    }

    async fn publish_allowlist(&self) {
        let listed = ["ready", "poor", "tired", "stranger"]
            .map(|name| self.hotkeys[name].to_string())
            .join(",");
        let arguments = ["validator", "publish", "--validators", &listed];
        self.leoma(&[("WALLET_NAME", "owner")], &arguments).await.says(true, &["read back"]);
    }

    async fn set_weights(&self, name: &str) {
        let client = ChainClient::connect(&self.chain.ws_url, Netuid(NETUID)).await.unwrap();
        let key = KeyFile::open(&self.hotkey_path(name))
            .unwrap()
            .load(&PasswordSources::default())
            .unwrap();
        let signer = HotkeySigner::new(key.pair, Arc::new(MemoryGuard::default()));
        let weights = ChainWeights { uids: vec![Uid(0)], values: vec![u16::MAX], version_key: 0 };
        client.submit(&signer, &Call::SetWeights(weights)).await.unwrap();
    }

    fn hotkey_path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("wallets").join(name).join("hotkeys/default")
    }

    /// Waits for the block clock: stepped blocks would carry the chain's time away from ours.
    async fn reach_block(&self, number: u32) {
        while self.chain.best_number() < number {
            tokio::time::sleep(BLOCK_TIME).await;
        }
    }

    async fn stop(self) {
        self.chain.stop().await.unwrap();
        self.storage.stop().await;
    }
}

/// An encrypted hotkey whose password nobody gave, with a public half that says whose it is.
fn write_sealed(from: &Path, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, [&b"$NACL"[..], &[0; 100]].concat()).unwrap();
    std::fs::copy(public_path(from), public_path(path)).unwrap();
}

/// A stand-in for Hugging Face that knows the public model which is asked for.
fn a_public_model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _request = stream.read(&mut [0; 4096]);
            let body = r#"{"id":"openai-community/gpt2"}"#;
            let length = body.len();
            let _answered = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_missing_is_found_and_the_next_step_named() {
    let bench = Bench::start(false).await;
    bench.publish_allowlist().await;
    write_sealed(&bench.hotkey_path("ready"), &bench.hotkey_path("sealed"));
    let lagging = FaultProxy::start(&bench.chain.ws_url).await.unwrap();
    bench.reach_block(LAG + 2).await;
    lagging.lag(LAG);

    let hugging_face = a_public_model();
    let local = [("HF_API_URL", hugging_face.as_str()), ("LEOMA_LOCAL_NETWORK", "true")];
    let ready = bench.preflight(&local, &[]).await;
    assert!(ready.checks().iter().all(|check| check["outcome"] == "pass"), "{:#}", ready.report);
    let names: Vec<_> =
        ready.checks().iter().map(|check| check["name"].as_str().unwrap()).collect();
    let expected = [
        "mechanism",
        "hotkey file",
        "hotkey mode",
        "hotkey folder",
        "hotkey secret",
        "hotkey address",
        "hotkey public half",
        "chain endpoint",
        "genesis",
        "clock",
        "subnet",
        "registration",
        "validator permit",
        "stake",
        "subnet identity",
        "allowlist",
        "source bucket",
        "weights version",
        "weights rate limit",
        "commit-reveal",
        "drand",
        "witness",
        "witness cost",
        "own bucket",
        "read key",
        "state folder",
        "http port",
        "mesh port",
        "mesh port",
        "mesh address",
        "disk",
        "memory",
        "device",
        "ffmpeg",
        "service keys",
        "Chutes",
        "Hugging Face",
        "decoder jail",
        "judge",
    ];
    assert_eq!(names, expected, "scripts know them by these names");
    let weights_only = [("R2_OWN_BUCKET", ""), ("PATH", ""), ("GEMINI_API_KEY", "")];
    let report = bench.preflight(&weights_only, &["--weights-only"]).await;
    assert!(
        report.succeeded && report.checks().len() == expected.len() - 10,
        "{:#}",
        report.report
    );

    let [url, other] = [bench.chain.ws_url.as_str(), lagging.url()];
    let [one_dead, lags] = [format!("{DEAD},{url}"), format!("{other},{url}")];
    let write = [bench.own.write.access.as_str(), bench.own.write.secret.as_str()];
    let list_them = format!("leoma validator add {}", bench.hotkeys["unlisted"]);
    let stranger = bench.hotkeys["stranger"].to_string();
    // One entry is malformed, the other one's bucket does not exist.
    let peers = serde_json::json!([
        {"hotkey": "5bad"},
        {
            "hotkey": stranger, "bucket": "leoma-nowhere", "endpoint": bench.storage.endpoint(),
            "read_access_key": bench.own.read.access, "read_secret_key": bench.own.read.secret,
        },
    ])
    .to_string();
    // Changed settings, whether a validator could start, and checks with their outcomes and what
    // they say.
    type Case<'a> = (&'a [(&'a str, &'a str)], bool, &'a [(&'a str, &'a [&'a str], &'a str)]);
    let cases: &[Case] = &[
        (
            &[("WALLET_NAME", "tired")],
            true,
            &[("weights rate limit", &["warn"], "blocks until weights may be set")],
        ),
        (
            &[("WALLET_NAME", "stranger")],
            false,
            &[
                ("registration", &["fail"], "leoma register"),
                ("validator permit", &["skip"], "not registered"),
                ("stake", &["skip"], "not registered"),
                ("allowlist", &["pass"], ""),
                ("weights rate limit", &["skip"], "registered"),
            ],
        ),
        (
            &[("WALLET_NAME", "poor")],
            false,
            &[
                ("registration", &["pass"], "uid 3"),
                ("validator permit", &["fail"], "add stake"),
                ("stake", &["fail"], "at least 10.000"),
            ],
        ),
        (
            &[("WALLET_NAME", "owner")],
            false,
            &[
                ("validator permit", &["pass"], "owner"),
                ("stake", &["pass"], "owner"),
                ("witness", &["warn"], "allowlist"),
                ("witness cost", &["pass"], "free"),
            ],
        ),
        (
            &[("WALLET_NAME", "unlisted")],
            false,
            &[("allowlist", &["fail"], &list_them), ("stake", &["pass"], "40.000")],
        ),
        (
            &[("CHAIN_ENDPOINTS", &one_dead)],
            true,
            &[
                ("chain endpoint", &["warn", "pass"], DEAD),
                ("genesis", &["skip", "pass"], DEAD),
                ("stake", &["pass"], ""),
            ],
        ),
        (
            &[("CHAIN_ENDPOINTS", &lags)],
            true,
            &[("chain endpoint", &["warn", "pass"], "behind the newest")],
        ),
        (
            &[("NETWORK", DEAD)],
            false,
            &[
                ("hotkey secret", &["pass"], ""),
                ("chain endpoint", &["fail"], "refused"),
                ("genesis", &["skip"], ""),
                ("clock", &["skip"], ""),
                ("subnet", &["skip"], ""),
                ("registration", &["skip"], ""),
                ("allowlist", &["skip"], ""),
                ("drand", &["skip"], ""),
                ("witness", &["skip"], ""),
                ("own bucket", &["pass"], ""),
            ],
        ),
        (
            &[("NETWORK", "finney"), ("CHAIN_ENDPOINTS", url)],
            false,
            &[
                ("chain endpoint", &["pass"], url),
                ("genesis", &["fail"], "of another chain"),
                ("registration", &["skip"], "no chain endpoint can be used"),
            ],
        ),
        (
            &[("NETUID", "8")],
            false,
            &[("subnet", &["fail"], "NETUID"), ("registration", &["skip"], "subnet")],
        ),
        (
            &[("WALLET_NAME", "absent")],
            false,
            &[
                ("hotkey file", &["fail"], "leoma wallet new-hotkey"),
                ("hotkey secret", &["skip"], ""),
                ("subnet", &["pass"], ""),
                ("registration", &["skip"], "address is not known"),
                ("own bucket", &["skip"], "address is not known"),
            ],
        ),
        (
            &[("WALLET_NAME", "sealed")],
            false,
            &[
                ("hotkey secret", &["fail"], "WALLET_PASSWORD_FILE"),
                ("registration", &["pass"], "uid 1"),
            ],
        ),
        (
            &[("R2_SOURCE_BUCKET", "")],
            false,
            &[("allowlist", &["fail"], "R2_SOURCE_BUCKET"), ("registration", &["pass"], "")],
        ),
        (
            &[("NETIUD", "7"), ("EVAL_SERVER_URLS", "x")],
            true,
            &[("configuration", &["warn", "warn"], "did you mean NETUID?")],
        ),
        (
            &[("LEOMA_SUBNET_OWNER", &stranger)],
            true,
            &[("subnet identity", &["warn"], "LEOMA_SUBNET_OWNER")],
        ),
        (
            &[("PEER_VALIDATORS", &peers)],
            true,
            &[("peer buckets", &["warn", "warn"], "PEER_VALIDATORS, ")],
        ),
        (
            &[("LEOMA_MESH_EXTERNAL", "/ip4/172.17.0.2/tcp/4070")],
            true,
            &[("mesh address", &["warn"], "Docker")],
        ),
        (
            &[("R2_OWN_WRITE_SECRET_KEY", "wrong")],
            false,
            &[("own bucket", &["fail"], "the write key"), ("read key", &["skip"], "own bucket")],
        ),
        (
            &[("R2_OWN_READ_ACCESS_KEY", ""), ("R2_OWN_READ_SECRET_KEY", "")],
            true,
            &[("read key", &["warn"], "attest to none")],
        ),
        (
            &[("R2_OWN_READ_ACCESS_KEY", write[0]), ("R2_OWN_READ_SECRET_KEY", write[1])],
            false,
            &[("read key", &["fail"], "can write")],
        ),
        (&[("PATH", "")], false, &[("ffmpeg", &["fail"], "apt-get install ffmpeg")]),
        (&[("GEMINI_API_KEY", "")], true, &[("service keys", &["pass"], "")]),
        (
            &[("GEMINI_API_KEY", ""), ("LEOMA_JUDGE", "both")],
            false,
            &[("service keys", &["fail"], "GEMINI_API_KEY")],
        ),
        (
            &[("LEOMA_TASK", "t2v")],
            false,
            &[("service keys", &["fail"], "set LEOMA_JUDGE to gemini or both")],
        ),
    ];
    // The rate limit is over after 20 s, so its case comes first.
    bench.set_weights("tired").await;
    for (changes, ready, expected) in cases {
        let report = bench.preflight(changes, &[]).await;
        assert_eq!(report.succeeded, *ready, "{changes:?}: {:#}", report.report);
        for (name, outcomes, part) in *expected {
            let (found, said) = report.of(name);
            assert_eq!(found, *outcomes, "{changes:?}: {name}: {said}");
            assert!(said.contains(part), "{changes:?}: {part:?} is missing: {said}");
        }
    }
    let said = bench.leoma(&[("WALLET_NAME", "stranger")], &["preflight"]).await;
    said.says(
        false,
        &[
            "FAIL  registration",
            "-> register it",
            "pass  chain endpoint",
            "skip  stake",
            "not ready: 1 of",
        ],
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_and_a_beacon_that_stands_still_are_told() {
    let bench = Bench::start(true).await;
    let said = async |name: &'static str| {
        let report = bench.preflight(&[], &[]).await;
        let (outcomes, said) = report.of(name);
        assert_eq!(outcomes.len(), 1);
        (outcomes[0].to_owned(), said)
    };
    let expect = |(outcome, said): (String, String), expected: &str, part: &str| {
        assert!(
            outcome == expected && said.contains(part),
            "not {expected} with {part:?} but {outcome}: {said}"
        );
    };
    bench.reach_block(1).await;
    let report = bench.preflight(&[], &[]).await;
    for (name, part) in
        [("clock", "s old"), ("commit-reveal", "timelocked (version 4)"), ("drand", "newest pulse")]
    {
        let (outcomes, said) = report.of(name);
        assert!(outcomes == ["pass"] && said.contains(part), "{name}: {said}");
    }
    // Nobody has committed an allowlist here.
    expect(said("allowlist").await, "fail", "has committed no allowlist");
    bench.chain.pause_beacon(true);
    // Eight minutes of chain time: our clock is as much behind, and no pulse came.
    bench.chain.controls().step(40).await.unwrap();
    expect(said("drand").await, "warn", "open once the chain's nodes have the pulses");
    expect(said("clock").await, "warn", "timedatectl");
    bench.chain.controls().step(40).await.unwrap();
    expect(said("clock").await, "fail", "buckets refuse");
    bench.stop().await;
}
