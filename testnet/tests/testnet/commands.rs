//! The commands of the subnet's owner and of miners, as programs against the local chain and the S3
//! server.
//!
//! Needs the validator's program: `cargo build --workspace --bins`, beside this test or in
//! `LEOMA_BIN_DIR`.

use std::time::Duration;

use crate::cli::{self, NETUID, Said, source_settings, write_key};
use leoma_chain::{ChainClient, Metagraph};
use leoma_protocol::{BlockNumber, Digest, Hotkey, MinerCommitment, Netuid, TaskId};
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, Endowment, GenesisConfig, NeuronGenesis, SubnetGenesis,
};
use leoma_testnet::storage::{self, BucketKeys, Handle};
use leoma_wallet::{NewHotkey, Password, PasswordSources};
use serde_json::Value;

const BLOCK_TIME: Duration = Duration::from_millis(200);
/// Rao that a registration burns, and that a rich coldkey has.
const BURN: u64 = 250_000_000;
const RICH: u64 = 2_000_000_000;
const PASSWORD: &str = "correct horse";
const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// A chain, a bucket, and wallets: `owner` of the subnet, `a` and `b` registered on it, `new` with
/// an encrypted coldkey that can pay, `poor` with one that cannot.
struct Bench {
    chain: ChainHandle,
    storage: Handle,
    source: BucketKeys,
    hotkeys: Vec<(&'static str, Hotkey)>,
    folder: tempfile::TempDir,
}

fn sources() -> PasswordSources {
    PasswordSources { value: Some(Password::new(PASSWORD)), ..PasswordSources::default() }
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wallets = folder.path().join("wallets");
        let hotkeys = ["owner", "a", "b", "new", "poor"]
            .map(|name| (name, write_key(&wallets.join(name).join("hotkeys/default"), None)))
            .to_vec();
        let rich = write_key(&wallets.join("new/coldkey"), Some(&sources()));
        write_key(&wallets.join("poor/coldkey"), None);
        // The genesis endows coldkeys of its neurons.
        let founder = NewHotkey::generate().hotkey();
        let account = |hotkey: &Hotkey| (*hotkey.as_bytes()).into();
        let neurons = hotkeys[..3].iter().map(|(_, hotkey)| NeuronGenesis {
            hotkey: account(hotkey),
            coldkey: account(&founder),
            stake: 0,
            validator_permit: false,
        });
        let owner = account(&hotkeys[0].1);
        let subnet = SubnetGenesis {
            burn: BURN,
            ..SubnetGenesis::new(NETUID, account(&founder), owner, 360, neurons.collect())
        };
        let balances = vec![Endowment { account: account(&rich), free: RICH }];
        let genesis = GenesisConfig {
            name: "test".to_owned(),
            subnets: vec![subnet],
            balances,
            ..GenesisConfig::default()
        };
        let dir = folder.path().join("chain");
        let config = ChainConfig { block_time: BLOCK_TIME, ..ChainConfig::new(dir, genesis) };
        let chain = chain::spawn(config).await.unwrap();
        let source = BucketKeys::generate("leoma-source");
        let storage = storage::Config::new(folder.path().join("storage"), vec![source.clone()]);
        Self { chain, storage: storage::spawn(storage).await.unwrap(), source, hotkeys, folder }
    }

    fn hotkey(&self, name: &str) -> Hotkey {
        self.hotkeys.iter().find(|(known, _)| *known == name).unwrap().1
    }

    async fn leoma(&self, wallet: &str, arguments: &[&str]) -> Said {
        let mut settings = source_settings(self.storage.endpoint(), &self.source);
        settings.extend([
            ("NETWORK", self.chain.ws_url.as_str()),
            ("WALLET_NAME", wallet),
            ("WALLET_PASSWORD", PASSWORD),
        ]);
        cli::leoma(self.folder.path(), &settings, arguments).await
    }

    async fn metagraph(&self) -> Metagraph {
        let client = ChainClient::connect(&self.chain.ws_url, Netuid(NETUID)).await.unwrap();
        client.metagraph(client.head().await.unwrap()).await.unwrap()
    }

    async fn stop(self) {
        self.chain.stop().await.unwrap();
        self.storage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowlist_goes_from_draft_to_bucket_and_chain() {
    let bench = Bench::start().await;
    let [a, b, stranger] = ["a", "b", "poor"].map(|name| bench.hotkey(name).to_string());
    bench.leoma("owner", &["validator", "list"]).await.says(false, &["leoma validator add"]);
    bench.leoma("owner", &["validator", "remove", &a]).await.says(false, &[&a, "not on the list"]);
    bench.leoma("owner", &["validator", "publish"]).await.says(false, &["would be empty"]);
    bench
        .leoma("owner", &["validator", "add", &a, &stranger, "--interval", "50"])
        .await
        .says(true, &["2 validators"]);
    let listed = bench.leoma("owner", &["validator", "list", "--json"]).await.json();
    assert_eq!(
        (&listed["sha256"], &listed["chain"], &listed["agrees"]),
        (&Value::Null, &Value::Null, &false.into())
    );
    assert_eq!(listed["draft"]["changes"]["added"].as_array().unwrap().len(), 2);
    // Another hotkey cannot publish, and its attempt leaves the draft.
    bench
        .leoma("a", &["validator", "publish"])
        .await
        .says(false, &["is not the owner of subnet 7"]);
    bench
        .leoma("owner", &["validator", "publish", "--dry-run"])
        .await
        .says(true, &["\"interval\":50", &a]);
    let warning = format!("warning: {stranger} is not registered");
    let added = format!("+ {a}");
    let said = bench.leoma("owner", &["validator", "publish"]).await;
    said.says(
        true,
        &[&warning, &added, "a task every 50 blocks", "read back", "the draft is published"],
    );

    let listed = bench.leoma("owner", &["validator", "list", "--json"]).await.json();
    assert_eq!(
        (&listed["agrees"], &listed["draft"], &listed["interval"]),
        (&true.into(), &Value::Null, &50.into())
    );
    assert_eq!(listed["chain"]["validators"], listed["validators"]);
    let metagraph = bench.metagraph().await;
    let text = &metagraph.commitments[&metagraph.owner].text;
    assert_eq!(*text, format!("leoma:allowlist:v1:{}", listed["sha256"].as_str().unwrap()));

    bench.leoma("owner", &["validator", "add", &a]).await.says(true, &["already on the list"]);
    bench.leoma("owner", &["validator", "remove", &stranger]).await.says(true, &["1 validators"]);
    bench.leoma("owner", &["validator", "add", &b]).await.says(true, &["2 validators"]);
    let (removed, added) = (format!("- {stranger}"), format!("+ {b}"));
    bench
        .leoma("owner", &["validator", "list"])
        .await
        .says(true, &["on chain: the same", &removed, &added]);
    bench.leoma("owner", &["validator", "discard"]).await.says(true, &["dropped"]);
    bench.leoma("owner", &["validator", "discard"]).await.says(true, &["no draft"]);
    // As before drafts: the whole list, or changes to the present one, on the command line.
    let said =
        bench.leoma("owner", &["validator", "publish", "--remove", &stranger, "--add", &b]).await;
    said.says(true, &[&removed, &added, "read back"]);
    let listed = bench.leoma("owner", &["validator", "list", "--json"]).await.json();
    let mut expected = [a, b];
    let mut validators: Vec<_> =
        listed["validators"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    expected.sort_unstable();
    validators.sort_unstable();
    assert_eq!(validators, expected);
    // A draft from before another list was published would undo that one.
    bench.leoma("owner", &["validator", "add", &stranger]).await.says(true, &["3 validators"]);
    let ([a, _], added_again) = (&expected, format!("+ {stranger}"));
    bench
        .leoma("owner", &["validator", "publish", "--validators", a])
        .await
        .says(true, &["read back"]);
    let listed = bench.leoma("owner", &["validator", "list", "--json"]).await.json();
    assert_eq!(
        (&listed["draft"]["outdated"], &listed["validators"]),
        (&true.into(), &vec![a.as_str()].into())
    );
    let said = bench.leoma("owner", &["validator", "publish"]).await;
    said.says(
        false,
        &["based on another list", &added_again, "leoma validator discard", "--validators"],
    );
    let after = bench.leoma("owner", &["validator", "list", "--json"]).await.json();
    assert_eq!((&after["sha256"], &after["draft"]), (&listed["sha256"], &listed["draft"]));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hotkey_is_registered_once_and_only_when_asked_to_pay() {
    let bench = Bench::start().await;
    let hotkey = bench.hotkey("new");
    bench.leoma("a", &["register", "--yes"]).await.says(true, &["already: uid 1"]);
    bench.leoma("poor", &["register", "--yes"]).await.says(false, &["has 0 TAO", "costs 0.25 TAO"]);
    bench.leoma("new", &["register"]).await.says(false, &["0.25 TAO", "2 TAO", "--yes"]);
    let said = bench.leoma("new", &["register", "--yes", "--max-burn", "0.1"]).await;
    said.says(false, &["--max-burn 0.1 TAO"]);
    // What unlocks the hotkey does not unlock the money.
    bench
        .leoma("new", &["register", "--yes"])
        .await
        .says(false, &["new/coldkey", "COLDKEY_PASSWORD_FILE"]);
    assert_eq!(bench.metagraph().await.uid(&hotkey), None);

    let password = bench.folder.path().join("coldkey-password");
    std::fs::write(&password, PASSWORD).unwrap();
    let setting = format!("COLDKEY_PASSWORD_FILE={}\n", password.display());
    std::fs::write(bench.folder.path().join(".env"), setting).unwrap();
    let registered = bench.leoma("new", &["register", "--yes", "--json"]).await.json();
    assert_eq!((&registered["uid"], &registered["burn_rao"]), (&3.into(), &BURN.into()));
    assert_eq!(bench.metagraph().await.uid(&hotkey).unwrap().0, 3);
    let client = ChainClient::connect(&bench.chain.ws_url, Netuid(NETUID)).await.unwrap();
    let coldkey = registered["coldkey"].as_str().unwrap().parse().unwrap();
    let left = client.free_balance(client.head().await.unwrap(), &coldkey).await.unwrap();
    assert!(left <= RICH - BURN, "{left}");
    let again = bench.leoma("new", &["register", "--yes", "--json"]).await.json();
    assert_eq!((&again["uid"], &again["transaction"]), (&3.into(), &Value::Null));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_commits_what_validators_will_read() {
    let bench = Bench::start().await;
    let hotkey = bench.hotkey("a");
    let (name, other) = (format!("studio/leoma-model-{hotkey}"), bench.hotkey("b"));
    let commit = |wallet: &'static str, name: &str, chute: &str, flags: &[&str]| {
        let arguments = [
            "miner",
            "commit",
            "--model-name",
            name,
            "--model-revision",
            REVISION,
            "--chute-id",
            chute,
        ];
        let arguments: Vec<String> =
            arguments.iter().chain(flags).map(|text| (*text).to_owned()).collect();
        let bench = &bench;
        async move {
            bench.leoma(wallet, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
        }
    };
    let wrong = format!("studio/leoma-model-{other}");
    commit("a", &wrong, "chute", &[]).await.says(false, &["model_name_must_end_with_hotkey"]);
    commit("a", &name, "", &[]).await.says(false, &["missing_chute_id"]);
    commit("a", &name, &"x".repeat(500), &[]).await.says(false, &["512 bytes"]);
    let unregistered = format!("studio/leoma-{}", bench.hotkey("new"));
    commit("new", &unregistered, "chute", &[]).await.says(false, &["leoma register"]);
    commit("a", &name, "chute", &["--dry-run"]).await.says(true, &[&name]);
    let dry = commit("a", &name, "chute", &["--dry-run", "--json"]).await.json();
    let text = dry["commitment"].as_str().unwrap();
    assert!(MinerCommitment::parse(text, &hotkey).is_ok(), "{dry}");
    assert!(dry["block"].is_null() && dry["transaction"].is_null(), "{dry}");
    assert!(bench.metagraph().await.commitments.is_empty());

    let committed = commit("a", &name, "chute", &["--json"]).await.json();
    let found = bench.metagraph().await.commitments[&hotkey].clone();
    assert_eq!(
        (committed["block"].as_u64().unwrap(), &committed["uid"]),
        (found.block.0, &1.into())
    );
    let expected = MinerCommitment {
        model_name: name.clone(),
        model_revision: REVISION.into(),
        chute_id: "chute".into(),
    };
    assert_eq!(MinerCommitment::parse(&found.text, &hotkey).unwrap(), expected);
    // Committing the same again would only lose its place in the order.
    commit("a", &name, "chute", &[]).await.says(true, &["nothing was sent"]);
    assert_eq!(bench.metagraph().await.commitments[&hotkey], found);
    commit("a", &name, "other", &[])
        .await
        .says(true, &["this replaces the commitment of block", "committed at block"]);
    assert!(bench.metagraph().await.commitments[&hotkey].text.contains("\"other\""));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_of_a_clip_is_looked_up_on_chain() {
    let bench = Bench::start().await;
    let a = bench.hotkey("a");
    let list = a.to_string();
    let said = bench
        .leoma("owner", &["validator", "publish", "--validators", &list, "--interval", "5"])
        .await;
    said.says(true, &["read back"]);
    let client = ChainClient::connect(&bench.chain.ws_url, Netuid(NETUID)).await.unwrap();
    // The first task that surely begins under the list.
    let task_id = TaskId(client.head().await.unwrap().number.0 / 5 + 1);
    let start = BlockNumber(task_id.0 * 5);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while client.head().await.unwrap().number < start {
        assert!(std::time::Instant::now() < deadline, "the chain stands still");
        tokio::time::sleep(BLOCK_TIME).await;
    }
    let proof = |block: BlockNumber, hash: Digest| {
        serde_json::json!({
            "task_id": task_id, "netuid": NETUID, "genesis": client.network().genesis, "validator": a, "block": start,
            "prompt": "p", "judge": "j", "clip": {
                "schema": 1, "seed": {"block": block, "hash": hash}, "skipped": [], "index": 0, "key": "clips/a.mp4",
                "corpus": {"kind": "manifest", "sha256": Digest::of(b"m"), "videos": 1}, "source_sha256": Digest::of(b"v"),
                "source_bytes": 1, "shots": [[0, 6000]], "shot": 0, "start_ms": 0, "offset_ms": 0,
                "shape": [16, 81, 832, 480], "clip_sha256": Digest::of(b"c"), "first_frame_sha256": Digest::of(b"f"),
                "ffmpeg": "5.1",
            },
        })
    };
    let hash = client.block_hash(start).await.unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut settings = source_settings(bench.storage.endpoint(), &bench.source);
    settings.extend([("NETWORK", bench.chain.ws_url.as_str()), ("PATH", &path)]);
    let task = task_id.to_string();
    for (name, block, hash, expected) in [
        ("honest", start, hash, ["pass", "pass"]),
        ("other-block", BlockNumber(start.0 - 1), hash, ["fail", "pass"]),
        ("other-hash", start, Digest::of(b"ground"), ["pass", "fail"]),
    ] {
        let folder = bench.folder.path().join(name).join(&task);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("metadata.json"), proof(block, hash).to_string()).unwrap();
        let bucket = format!("file://{}/{name}", bench.folder.path().display());
        let arguments = ["audit", "--task", &task, "--buckets", &bucket, "--json"];
        let said = cli::leoma(bench.folder.path(), &settings, &arguments).await;
        let report: Value =
            serde_json::from_str(&said.output).unwrap_or_else(|_| panic!("{}", said.errors));
        assert_eq!(
            [&report["steps"][1], &report["steps"][2]]
                .map(|step| step["outcome"].as_str().unwrap()),
            expected
        );
    }
    bench.stop().await;
}
