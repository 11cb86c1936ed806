//! How much memory answers take that are as large as they may be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::never;
use super::world::{RULES, Table, asked};
use crate::config::{Config, Sources};
use crate::mechanism::video::answer::Answer;
use crate::mechanism::video::ask::Round;
use crate::mechanism::video::copies::Judged;
use crate::mechanism::video::judging::Judgment;
use crate::mechanism::video::memory::Memory;
use crate::mechanism::video::requests::Chutes;
use crate::miners::ChutesClient;
use crate::outbound::Reach;

/// Answers in a turn: all miners of a subnet.
const ANSWERS: usize = 256;
/// Answers on disk at a time, as the disk of a test machine is smaller than a validator's: more
/// than are asked for at a time.
const MOST_ON_DISK: usize = 48;

/// A server whose every answer is a video padded to the largest that is taken. Each takes a place
/// before it begins.
async fn padding_server(places: Arc<Semaphore>) -> String {
    use axum::body::Body;
    use futures::{StreamExt as _, stream};
    const PIECE: usize = 64 << 10;
    let pieces = leoma_scoring::media::Limits::ANSWER.file_bytes / PIECE;
    let answer = move |_asked: Bytes| {
        let places = Arc::clone(&places);
        async move {
            places.acquire().await.unwrap().forget();
            let first = [b"\0\0\0\x08ftyp".as_slice(), &[0; PIECE - 8]].concat();
            let rest = stream::repeat(Bytes::from_static(&[0; PIECE])).take(pieces - 1);
            let body = stream::iter([Bytes::from(first)]).chain(rest);
            Body::from_stream(body.map(Ok::<_, std::io::Error>))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/{slug}", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

/// Most resident memory of this process so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process whose memory another test reads"]
async fn padded_answers() {
    if std::env::var_os("LEOMA_PADDED_ANSWERS").is_none() {
        return println!("skipped: padded_answers_do_not_add_up_in_memory starts it");
    }
    let places = Arc::new(Semaphore::new(MOST_ON_DISK));
    let base = padding_server(Arc::clone(&places)).await;
    let settings = [
        ("CHUTES_GENERATE_URL", format!("{base}/{{slug}}")),
        ("CHUTES_REQUESTS_PER_MINUTE", "60000".to_owned()),
    ];
    let environment = settings.map(|(name, value)| (name.to_owned(), value)).into();
    let config = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
    let client = ChutesClient::new(Reach::new(true), &config.services).unwrap();
    let (mut table, memory) = (Table::new(), Memory::new());
    let endpoints = Chutes { client: &client, body: Bytes::from_static(b"{}") };
    let judge = |answer: Answer| {
        let (file, memory, places) = (table.folder.video(answer.miner), &memory, &places);
        async move {
            let loaded = memory.load(&file).await.unwrap();
            assert_eq!(loaded.video.len(), 64 << 20);
            sleep(Duration::from_millis(100)).await;
            drop(loaded);
            std::fs::write(&file, b"").unwrap();
            places.add_permits(1);
            let entry = VerdictEntry::unusable(answer.miner, EntryStatus::Passed, String::new(), 1);
            Ok(Judgment::Entry(Box::new(Judged::of(&answer, entry))))
        }
    };
    let (folder, known) = (&table.folder, &mut table.known);
    let mut round = Round { endpoints: &endpoints, rules: RULES, folder, known };
    let miners = (0..ANSWERS).map(asked).collect();
    round.run(miners, &mut table.done, never(), judge).await.unwrap();
    assert_eq!(table.done.judged.len(), ANSWERS);
    println!("peak {} KiB", peak_kib());
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn padded_answers_do_not_add_up_in_memory() {
    let name = "mechanism::video::tests::padded::padded_answers";
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["--ignored", "--exact", name, "--nocapture"]).env("LEOMA_PADDED_ANSWERS", "1");
    let said = String::from_utf8(test.output().unwrap().stdout).unwrap();
    let peak = said.split("peak ").nth(1).and_then(|rest| rest.split(' ').next());
    let peak_kib: u64 = peak.and_then(|kib| kib.parse().ok()).expect(&said);
    assert!(peak_kib < 512 << 10, "{peak_kib} KiB for {ANSWERS} answers of 64 MiB");
}
