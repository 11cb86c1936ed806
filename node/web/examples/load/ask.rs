//! Asks a server for pages and paths in turn, each request on time however long others take. The
//! test of `leoma api` with a full store includes this file too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Requests a second.
const PER_SECOND: u64 = 50;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What stands for the placeholders of paths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// A miner's hotkey.
    pub(crate) miner: &'a str,
    /// The sampler of the task.
    pub(crate) producer: &'a str,
    /// The miner's slot.
    pub(crate) uid: u16,
    /// A task with its files.
    pub(crate) task: u64,
    /// A task whose verdict file is passed on as it was signed.
    pub(crate) verdict: u64,
    /// An epoch's block.
    pub(crate) epoch: u64,
    /// SHA-256 of an allowlist.
    pub(crate) allowlist: &'a str,
}

impl Names<'_> {
    fn fill(&self, path: &str) -> String {
        // Whose hotkey a path of the API asks for.
        let hotkey = if path.contains("validator") { self.producer } else { self.miner };
        let task = self.task.to_string();
        path.replace("{hotkey}", hotkey)
            .replace("{miner}", self.miner)
            .replace("{producer}", self.producer)
            .replace("{task_id}", &task)
            .replace("{id}", &task)
            .replace("{uid}", &self.uid.to_string())
            .replace("{verdict}", &self.verdict.to_string())
            .replace("{epoch}", &self.epoch.to_string())
            .replace("{allowlist}", self.allowlist)
    }
}

/// The paths beside those of the OpenAPI document; `/events` never ends.
const OTHER_PATHS: [&str; 23] = [
    "/",
    "/ui/miners",
    "/ui/miners/{miner}",
    "/ui/tasks/{id}",
    "/ui/validators",
    "/ui/epochs",
    "/ui/epochs/{epoch}",
    "/ui/node",
    "/assets/leoma.css",
    "/assets/leoma.js",
    "/assets/icon.svg",
    "/openapi.json",
    "/media/{producer}/{id}/metadata.json",
    "/media/{producer}/{id}/first_frame.png",
    "/media/{producer}/{id}/original_clip.mp4",
    "/media/{producer}/{id}/generated_videos/{miner}.mp4",
    "/verdicts/{verdict}/{producer}",
    "/allowlists/{allowlist}",
    "/agreement",
    "/livez",
    "/readyz",
    "/status",
    "/metrics",
];
/// Who has no mesh may answer these with 503.
const WITHOUT_MESH: [&str; 2] = ["/agreement", "/readyz"];

/// Every page, and every other path that answers to GET.
pub(crate) fn paths(names: &Names<'_>) -> Result<Vec<String>> {
    let document: serde_json::Value = serde_json::from_str(&leoma_web::openapi_json())?;
    let api = document["paths"].as_object().ok_or("no paths in the OpenAPI document")?;
    let api = api.iter().filter(|(_, methods)| methods.get("get").is_some());
    let all = api.map(|(path, _)| path.as_str()).chain(OTHER_PATHS);
    Ok(all.map(|path| names.fill(path)).collect())
}

/// Asks all paths in turn for some seconds, prints how long each took, and returns the times of all
/// requests, the shortest first.
pub(crate) async fn ask(server: &str, paths: &[String], seconds: u64) -> Result<Vec<Duration>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut ticks = tokio::time::interval(Duration::from_millis(1000 / PER_SECOND));
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..(seconds * PER_SECOND) as usize {
        ticks.tick().await;
        let (path, client) = (paths[number % paths.len()].clone(), client.clone());
        let url = format!("{server}{path}");
        asked.spawn(async move {
            let begun = Instant::now();
            let answer = client.get(url).send().await?;
            let status = answer.status();
            let bytes = answer.bytes().await?.len();
            Ok::<_, reqwest::Error>((path, status, begun.elapsed(), bytes))
        });
    }
    let mut all = Vec::new();
    let mut by_path: BTreeMap<String, Vec<(Duration, usize)>> = BTreeMap::new();
    while let Some(done) = asked.join_next().await {
        let (path, status, took, bytes) = done??;
        if status != 200 && !WITHOUT_MESH.contains(&path.as_str()) {
            return Err(format!("{path} answered {status}").into());
        }
        all.push(took);
        by_path.entry(path).or_default().push((took, bytes));
    }
    for (path, mut took) in by_path {
        took.sort_unstable();
        let (middle, bytes) = took[took.len() / 2];
        let worst = took[took.len() - 1].0;
        let (middle, worst) = (millis(middle), millis(worst));
        println!("{middle:>8.1} ms, {worst:>8.1} ms at most, {bytes:>9} bytes  {path}");
    }
    all.sort_unstable();
    let (p50, p99) = (millis(at(&all, 0.5)), millis(at(&all, 0.99)));
    println!("{} requests: p50 {p50:.1} ms, p99 {p99:.1} ms", all.len());
    Ok(all)
}

/// The time within which this share of the requests was answered.
pub(crate) fn at(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What `/proc` says of a process's memory in this field, such as `VmRSS:`, in KiB.
pub(crate) fn memory_kib(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut values = status.lines().filter_map(|line| line.strip_prefix(field));
    let value = values.next().and_then(|value| value.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("/proc/{pid}/status has no {field}"))?.parse()?)
}
