//! `leoma api` on a local subnet: it shows what lies in a validator's bucket, and what validators
//! report to it at `API_URL`.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use leoma_testnet::launch::{Options, Programs, Subnet};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Two validators sample a task each within this on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// `leoma api` with the keys of the source bucket, and of the first validator's.
fn start_api(subnet: &Subnet, folder: &Path, public: &str) -> Child {
    let (plan, storage) = (&subnet.plan, &subnet.addresses.storage);
    let first = &plan.validators[0];
    let peers = json!([{
        "hotkey": first.account.hotkey, "bucket": first.bucket.bucket, "endpoint": storage,
        "region": "auto", "read_access_key": first.bucket.read.access,
        "read_secret_key": first.bucket.read.secret,
    }]);
    let settings = [
        ("HOME", folder.display().to_string()),
        ("NETWORK", subnet.addresses.chain.clone()),
        ("R2_ENDPOINT", storage.clone()),
        ("R2_SOURCE_BUCKET", plan.source.bucket.clone()),
        ("R2_VIDEOS_READ_ACCESS_KEY", plan.source.read.access.clone()),
        ("R2_VIDEOS_READ_SECRET_KEY", plan.source.read.secret.clone()),
        ("PEER_VALIDATORS", peers.to_string()),
        ("LEOMA_LOCAL_NETWORK", "true".to_owned()),
        ("LEOMA_API_LISTEN", public.to_owned()),
        ("LEOMA_HTTP_LISTEN", free_address()),
        ("LEOMA_STATE_DIR", folder.display().to_string()),
    ];
    let mut program = Command::new(Programs::find().unwrap().leoma);
    program.arg("api").env_clear().envs(settings).current_dir(folder);
    program.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn get(address: &str, path: &str) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://{address}{path}")).send().await.ok()?.json().await.ok()
}

/// Asks until the answer is as wanted.
async fn until(address: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = get(address, path).await;
        match answer {
            Some(answer) if wanted(&answer) => return answer,
            answer => assert!(Instant::now() < deadline, "{path}: {answer:?}"),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// A task that only the first validator sampled: the second has sampled a later one, so it stands
/// in for the first no more.
async fn task_of_one(public: &str, first: &str, second: &str) -> u64 {
    let deadline = Instant::now() + LIMIT;
    let tasks = async |validator: &str| -> BTreeSet<u64> {
        let rows = get(public, &format!("/samples/validator/{validator}")).await;
        let rows = rows.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row["task_id"].as_u64()).collect()
    };
    loop {
        let (mine, others) = (tasks(first).await, tasks(second).await);
        let newest = others.last().copied().unwrap_or(0);
        if let Some(task) = mine.difference(&others).find(|task| **task < newest) {
            return *task;
        }
        assert!(Instant::now() < deadline, "{first}: {mine:?}, {second}: {others:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn an_api_shows_a_validators_bucket_and_what_validators_report() {
    let options =
        Options { validators: 2, miners: 2, seed: "owner's API".into(), ..Options::default() };
    let mut subnet = Subnet::start(options, |text| eprintln!("{text}"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let public = free_address();
    for index in 0..2 {
        subnet.kill_validator(index);
        let dotenv = subnet.validator_folder(index).unwrap().join(".env");
        let text = std::fs::read_to_string(&dotenv).unwrap();
        std::fs::write(&dotenv, format!("{text}API_URL=\"http://{public}\"\n")).unwrap();
        subnet.restart_validator(index).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut api = start_api(&subnet, folder.path(), &public);

    // It checks no miner itself: validators reported that one as valid.
    let miners = until(&public, "/miners/list", |miners| miners["valid_count"] == 2).await;
    assert!(miners["miners"][0]["model_hash"].is_string(), "{miners}");
    let [first, second] = [0, 1].map(|index| subnet.plan.validators[index].account.hotkey);
    // Nobody is connected to it: who reports is online.
    for validator in [first, second] {
        let path = format!("/validators/{validator}");
        until(&public, &path, |it| it["online"] == true).await;
    }
    // It cannot read the second validator's bucket: its verdicts were posted.
    let path = format!("/samples/validator/{second}");
    let samples = until(&public, &path, |rows| rows.as_array().is_some_and(|all| all.len() >= 2));
    let samples = samples.await;
    assert!(samples[0]["prompt"].as_str().is_some_and(|prompt| !prompt.is_empty()), "{samples}");
    assert!(samples[0]["evaluated_at"].is_string() && samples[0]["passed"].is_boolean());

    // The first's file is read from its bucket, and says what the validator says of it.
    let own = subnet.pages().next().unwrap().trim_start_matches("http://").to_owned();
    let task = task_of_one(&public, &first.to_string(), &second.to_string()).await;
    let from_api = until(&public, &format!("/tasks/{task}"), |it| it["miner_count"] == 2).await;
    let from_validator = until(&own, &format!("/tasks/{task}"), |it| it["miner_count"] == 2).await;
    for field in ["sampler_hotkey", "first_frame_path", "description"] {
        assert_eq!(from_api[field], from_validator[field], "{field}");
    }
    let passed = |task: &Value| {
        let rows = task["miners"].as_array().unwrap().iter();
        rows.map(|row| (row["miner_hotkey"].clone(), row["passed"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(passed(&from_api), passed(&from_validator));
    // A file that is held is shown once, although its samples were posted too.
    let of_task = get(&public, &format!("/samples/task/{task}")).await.unwrap();
    assert_eq!(of_task.as_array().map(Vec::len), Some(2), "{of_task}");
    // It ranks the miners by that validator's files, and says whose chute serves which.
    let ranked = |it: &Value| {
        let rows = it["ranks"].as_array();
        rows.is_some_and(|all| all.len() == 2 && all.iter().all(|row| row["eligible"] == true))
    };
    let ranks = until(&public, "/scores/rank", ranked).await;
    assert_eq!(ranks["ranks"][0]["rank"], 1, "{ranks}");
    let won = |weights: &Value| {
        let heaviest = weights["miners"].as_array().and_then(|rows| rows.first());
        weights["winner_uid"].is_u64() && heaviest.is_some_and(|row| row["weight"] == 1.0)
    };
    until(&public, "/weights", won).await;
    let served = |rows: &Value| {
        let eligible = |row: &Value| row["eligible"] == true && row["chute_slug"].is_string();
        rows.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(eligible))
    };
    until(&public, "/miners/active", served).await;
    for path in ["/health", "/overview", "/validators", "/scores", "/weights", "/tasks/window"] {
        let answer = get(&public, path).await;
        assert!(answer.as_ref().is_some_and(|it| it["detail"].is_null()), "{path}: {answer:?}");
    }
    api.start_kill().unwrap();
    let _ended = api.wait().await;
    subnet.stop().await;
}
