//! Asks every page and every path of a full subnet in turn, 50 times a second, and prints how long
//! answers take, and what the server costs while nobody asks.
//!
//! ```sh
//! cargo run --release -p leoma-web --example load -- 20
//! ```

mod ask;

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use ask::{Names, Result, ask, memory_kib, paths};
use leoma_web::testing::{MemorySource, Scale, subnet};
use leoma_web::view::Snapshot;
use leoma_web::{Audience, Blacklisted, Site, SiteSettings, Start, bind, serve};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// What the figures are for: see the page on benchmarks.
const SCALE: Scale = Scale { miners: 256, tasks: 100, validators: 16 };
/// About the size of a first frame, and of a miner's answer.
const FRAME_BYTES: usize = 512 * 1024;
const VIDEO_BYTES: usize = 2 * 1024 * 1024;
/// The made-up subnet passes on the verdict files of this task alone.
const VERDICT: u64 = 7;
/// How long nobody asks, for the cost of an idle server.
const IDLE: Duration = Duration::from_secs(20);
/// The argument with which the server's process is started.
const SERVE: &str = "serve";

#[tokio::main]
async fn main() -> Result<()> {
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
    println!("resident before the load: {} MiB", memory_kib(pid, "VmRSS:")? / 1024);
    let before = processor_ticks(pid)?;
    tokio::time::sleep(IDLE).await;
    let ticks = processor_ticks(pid)? - before;
    println!(
        "nobody asks: {ticks} ticks of 10 ms in {} s, {:.2} % of a core",
        IDLE.as_secs(),
        ticks as f64 / IDLE.as_secs_f64()
    );
    ask(&format!("http://{address}"), &subnet_paths(&subnet(SCALE))?, seconds).await?;
    println!("resident after the load: {} MiB", memory_kib(pid, "VmRSS:")? / 1024);
    Ok(())
}

/// A server of its own process, so that its memory is its own.
async fn serve_subnet() -> Result<()> {
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

fn subnet_paths(snapshot: &Snapshot) -> Result<Vec<String>> {
    let (verdict, miner) = (&snapshot.files[50].verdict, &snapshot.miners[0]);
    paths(&Names {
        miner: &miner.hotkey,
        producer: &verdict.producer,
        uid: miner.uid.ok_or("the miner has no slot")?,
        task: verdict.task_id,
        verdict: VERDICT,
        epoch: snapshot.epochs[0].block,
        allowlist: &"a".repeat(64),
    })
}

/// The processor time of a process so far, in hundredths of a second.
fn processor_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before them is in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(") ").ok_or("no name")?;
    let mut fields = rest.split(' ').skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or("no time");
    Ok(next()? + next()?)
}
