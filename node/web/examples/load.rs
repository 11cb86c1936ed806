//! Asks every page and every path of a full subnet in turn, 50 times a second, and prints how long
//! answers take, and what the server costs while nobody asks.
//!
//! ```sh
//! cargo run --release -p leoma-web --example load -- 20
//! ```

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use leoma_web::testing::{MemorySource, Scale, subnet};
use leoma_web::view::Snapshot;
use leoma_web::{Audience, Blacklisted, Site, SiteSettings, Start, bind, serve};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// What the figures are for: see the page on benchmarks.
const SCALE: Scale = Scale { miners: 256, tasks: 100, validators: 16 };
const PER_SECOND: u64 = 50;
/// About the size of a first frame, and of a miner's answer.
const FRAME_BYTES: usize = 512 * 1024;
const VIDEO_BYTES: usize = 2 * 1024 * 1024;
/// How long nobody asks, for the cost of an idle server.
const IDLE: Duration = Duration::from_secs(20);
/// The argument with which the server's process is started.
const SERVE: &str = "serve";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let first = std::env::args().nth(1);
    if first.as_deref() == Some(SERVE) {
        return serve_subnet().await;
    }
    let seconds: u64 = first.map_or(Ok(10), |text| text.parse())?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg(SERVE)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = server.stdout.take().ok_or("no output")?;
    let address = BufReader::new(said).lines().next_line().await?.ok_or("it did not start")?;
    let pid = server.id().ok_or("it has ended")?;
    println!("resident before the load: {} MiB", resident_mib(pid)?);
    let before = processor_ticks(pid)?;
    tokio::time::sleep(IDLE).await;
    let ticks = processor_ticks(pid)? - before;
    println!(
        "nobody asks: {ticks} ticks of 10 ms in {} s, {:.2} % of a core",
        IDLE.as_secs(),
        ticks as f64 / IDLE.as_secs_f64()
    );
    ask(&format!("http://{address}"), seconds).await?;
    println!("resident after the load: {} MiB", resident_mib(pid)?);
    Ok(())
}

/// A server of its own process, so that its memory is its own.
async fn serve_subnet() -> Result<(), Box<dyn std::error::Error>> {
    let (start, progress) = Start::new("making up a subnet");
    let snapshot = subnet(SCALE);
    let hotkey = snapshot.miners[0].hotkey.to_string();
    let listed = Blacklisted { hotkey, reason: None, added_by: None, created_at: None };
    let (frame, video) = (vec![0_u8; FRAME_BYTES], vec![0_u8; VIDEO_BYTES]);
    let source = MemorySource::with_media(snapshot, frame.into(), video.into());
    source.board().blacklist_add(listed).await?;
    start.finish(source);
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into(), "LEOMA_HTTP_LISTEN").await?;
    println!("{}", listener.local_addr()?);
    let site = Site::new(progress, SiteSettings::default(), CancellationToken::new());
    Ok(serve(listener, site, Audience::Operator).await?)
}

/// Asks all paths in turn, each request on time however long others take.
async fn ask(server: &str, seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
    let paths = paths(&subnet(SCALE))?;
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
    let at = |share: f64| millis(all[((all.len() - 1) as f64 * share) as usize]);
    println!("{} requests: p50 {:.1} ms, p99 {:.1} ms", all.len(), at(0.5), at(0.99));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Resident memory of a process.
fn resident_mib(pid: u32) -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse::<u64>()? / 1024)
}

/// The processor time of a process so far, in hundredths of a second.
fn processor_ticks(pid: u32) -> Result<u64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before them is in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(") ").ok_or("no name")?;
    let mut fields = rest.split(' ').skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or("no time");
    Ok(next()? + next()?)
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
    "/verdicts/7/{producer}",
    "/allowlists/{allowlist}",
    "/agreement",
    "/livez",
    "/readyz",
    "/status",
    "/metrics",
];
/// The made-up subnet has no mesh, so that these answer 503.
const WITHOUT_MESH: [&str; 2] = ["/agreement", "/readyz"];

/// Every page, and every other path that answers to GET.
fn paths(snapshot: &Snapshot) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let document: serde_json::Value = serde_json::from_str(&leoma_web::openapi_json())?;
    let api = document["paths"].as_object().ok_or("no paths in the OpenAPI document")?;
    let api = api.iter().filter(|(_, methods)| methods.get("get").is_some());
    let (verdict, miner) = (&snapshot.files[50].verdict, &snapshot.miners[0]);
    let (task, producer) = (verdict.task_id.to_string(), &verdict.producer);
    let uid = miner.uid.ok_or("the miner has no slot")?.to_string();
    let epoch = snapshot.epochs[0].block.to_string();
    let filled = |path: &str| {
        // Whose hotkey a path of the API asks for.
        let hotkey = if path.contains("validator") { producer } else { &miner.hotkey };
        path.replace("{hotkey}", hotkey)
            .replace("{miner}", &miner.hotkey)
            .replace("{producer}", producer)
            .replace("{task_id}", &task)
            .replace("{id}", &task)
            .replace("{uid}", &uid)
            .replace("{epoch}", &epoch)
            .replace("{allowlist}", &"a".repeat(64))
    };
    Ok(api.map(|(path, _)| path.as_str()).chain(OTHER_PATHS).map(filled).collect())
}
