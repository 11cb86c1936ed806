//! Whole tries at a task, with real axons and a real feed over loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use leoma_chain::Head;
use leoma_protocol::python_json::Value;
use leoma_protocol::synapse::{Fields, Refusal};
use leoma_protocol::verdict::VerdictEntry;
use leoma_protocol::{
    BlockNumber, Digest, Hotkey, HotkeySigner, MemoryGuard, Netuid, Network, TaskId,
};
use leoma_storage::Format;
use leoma_synapse::{Axon, AxonLimits, Call, Forward};
use sp_core::{Pair as _, sr25519};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::challenge::CHALLENGE;
use super::hours::Session;
use super::proof::tests::{plan, rules};
use super::proof::{OracleMetadata, Plan};
use super::turn::Begun;
use super::*;
use crate::config::OracleConfig;
use crate::corpus::Seed;
use crate::mechanism::asked::{Admitted, dendrite};
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::{Scored, TaskError, TurnContext};
use crate::outbound::Reach;

const START: BlockNumber = BlockNumber(700);
const TASK: TaskId = TaskId(7);

fn signer(seed: u8) -> HotkeySigner {
    let pair = sr25519::Pair::from_seed(&[seed; 32]);
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

/// A miner that answers with this JSON, and counts how often it is asked.
#[derive(Clone)]
struct Says {
    prediction: &'static str,
    asked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Forward for Says {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(call.fields["timestamp"].as_str(), Some("2025-01-10T09:40:00-05:00"));
        let prediction = Value::parse(self.prediction.as_bytes()).unwrap();
        Ok(Fields::from([("prediction", prediction)]))
    }
}

/// A subnet of axons, and a feed that can be down.
struct World {
    desk: Desk,
    miners: Admitted,
    folder: TaskFolder,
    heads: watch::Sender<Head>,
    feed_is_down: Arc<AtomicBool>,
    asked: Vec<Arc<AtomicUsize>>,
    _spool: tempfile::TempDir,
    _stop: DropGuard,
}

fn head(number: u64) -> Head {
    Head { number: BlockNumber(number), hash: Digest::of(b"h") }
}

async fn feed(is_down: Arc<AtomicBool>) -> MarketClient {
    let body = r#"[{"t": 1736519400, "close": "5000.12"}, {"t": 1736519700, "close": "5001"}]"#;
    let answer = move || async move {
        if is_down.load(Ordering::Relaxed) {
            return StatusCode::NOT_FOUND.into_response();
        }
        body.into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Some(format!("http://{}/closes", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/closes", get(answer))).await
    });
    let config = OracleConfig { url, key: None, hours: Hours::NewYork };
    MarketClient::new(Reach::new(true), &config).unwrap()
}

/// Miners from seed 2 on, each with this answer.
async fn world(predictions: &[&'static str]) -> World {
    let stop = CancellationToken::new();
    let (mut asked, mut miners) = (Vec::new(), Admitted::new());
    for (seed, prediction) in (2..).zip(predictions.iter().copied()) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counter = Arc::<AtomicUsize>::default();
        let says = Says { prediction, asked: Arc::clone(&counter) };
        // Axons serve whoever signs.
        let axon = Axon::new(signer(seed), AxonLimits::default(), |_| Ok(()));
        tokio::spawn(axon.route(CHALLENGE, says).serve(listener, stop.clone()));
        miners.insert(signer(seed).hotkey(), address);
        asked.push(counter);
    }
    let spool = tempfile::tempdir().unwrap();
    let feed_is_down = Arc::<AtomicBool>::default();
    let desk = Desk {
        rules: rules(),
        market: feed(Arc::clone(&feed_is_down)).await,
        dendrite: dendrite(Reach::new(true), signer(1)).unwrap(),
        at_a_time: 8,
    };
    let (heads, _) = watch::channel(head(START.0 + 1));
    let folder = TaskFolder::new(spool.path(), TASK);
    let _stop = stop.drop_guard();
    World { desk, miners, folder, heads, feed_is_down, asked, _spool: spool, _stop }
}

impl World {
    fn begin(&self, session: Session) -> Begun {
        let miners = self.miners.clone();
        let begun = Begun { seed: seed(), at: BlockNumber(701), plan: plan(session), miners };
        self.folder.begin_asking(&begun, &[]).unwrap();
        begun
    }

    async fn take(&self, begun: &Begun) -> Result<Scored, TaskError> {
        let context = TurnContext {
            task_id: TASK,
            seed: seed(),
            network: Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) },
            validator: signer(1).hotkey(),
            heads: &self.heads.subscribe(),
            ask_until: BlockNumber(START.0 + 160),
            folder: &self.folder,
        };
        self.desk.take(begun, &context).await
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.iter().map(|asked| asked.load(Ordering::Relaxed)).collect()
    }
}

fn seed() -> Seed {
    Seed { block: START, hash: Digest::of(b"hash") }
}

fn entry_of(scored: &Scored, hotkey: Hotkey) -> &VerdictEntry {
    scored.entries.iter().find(|entry| entry.hotkey == hotkey).unwrap()
}

const SIX: &str = "[5000.5, 5001, 5002, 5003, 5004, 5005.25]";

#[tokio::test]
async fn a_task_ends_in_an_entry_for_everybody_and_what_it_follows_from() {
    let world =
        world(&[SIX, "[1, 2, 3, 4, 5]", "[\"up\", \"up\", \"up\", \"up\", \"up\", \"up\"]"]).await;
    let begun = world.begin(Session::Open);
    let scored = world.take(&begun).await.unwrap();
    let statuses = [2, 3, 4, 1].map(|seed| {
        let entry = entry_of(&scored, signer(seed).hotkey());
        (entry.status.as_str().to_owned(), entry.passed)
    });
    let expected = ["passed", "malformed", "malformed", "reference"];
    assert_eq!(statuses, expected.map(|status| (status.to_owned(), status == "passed")));
    assert_eq!(entry_of(&scored, signer(3).hotkey()).reasoning, "it has 5 values instead of 6");
    let reading = &entry_of(&scored, signer(1).hotkey()).observations[0];
    assert_eq!(reading.values.iter().flatten().count(), 2);
    assert_eq!(reading.values[63].unwrap().0, 5_001_000_000_000);

    let bytes = std::fs::read(world.folder.path().join("metadata.json")).unwrap();
    assert_eq!(Digest::of(&bytes), scored.metadata_sha256);
    let metadata: OracleMetadata = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(metadata.entries(&rules()), scored.entries, "the entries follow from it");
    // The forecast itself is published beside it, and no other answer is.
    assert_eq!(world.folder.answer_objects().unwrap().len(), 1);
    let answer = world.folder.read_answer(signer(2).hotkey(), Format::Json).unwrap();
    assert_eq!(answer, b"[5000.5, 5001, 5002, 5003, 5004, 5005.25]");
}

#[tokio::test]
async fn a_kill_between_asking_and_signing_asks_nobody_again() {
    let world = world(&[SIX, "null", SIX]).await;
    let begun = world.begin(Session::Open);
    world.feed_is_down.store(true, Ordering::Relaxed);
    let error = world.take(&begun).await.unwrap_err();
    assert!(matches!(error, TaskError::Feed(_)), "{error}");
    assert_eq!((error.alarm(), error.ends_the_turn()), (Some("market"), false));
    assert_eq!(world.asked(), [1, 1, 1]);
    // What a new process finds in the folder is what the old one began with and heard.
    assert_eq!(world.folder.begun_asking::<Begun>(), Some(begun.clone()));
    world.feed_is_down.store(false, Ordering::Relaxed);
    let scored = world.take(&begun).await.unwrap();
    assert_eq!(world.asked(), [1, 1, 1], "nobody is asked twice");
    assert!(entry_of(&scored, signer(4).hotkey()).passed);
    // Killed after that and before signing: the next try says the same.
    let again = world.take(&begun).await.unwrap();
    assert_eq!((again.entries, again.metadata_sha256), (scored.entries, scored.metadata_sha256));
    assert_eq!(world.asked(), [1, 1, 1]);
}

#[tokio::test]
async fn after_the_last_forecasts_nobody_is_asked_and_prices_are_read() {
    let world = world(&[SIX, SIX]).await;
    let begun = world.begin(Session::Reading);
    // Readings have no deadline but that of every file.
    world.heads.send_replace(head(START.0 + 90));
    let scored = world.take(&begun).await.unwrap();
    assert_eq!(world.asked(), [0, 0]);
    let closed = entry_of(&scored, signer(2).hotkey());
    assert_eq!((closed.status.as_str(), closed.observations.len()), ("closed", 0));
    assert!(closed.reasoning.contains("2025-01-10T09:40:00-05:00"), "{}", closed.reasoning);
    assert_eq!(entry_of(&scored, signer(1).hotkey()).observations.len(), 1);
}

#[tokio::test]
async fn forecasts_that_would_not_count_are_not_signed() {
    let world = world(&[SIX]).await;
    let begun = world.begin(Session::Open);
    world.heads.send_replace(head(START.0 + 23));
    let error = world.take(&begun).await.unwrap_err();
    assert!(matches!(error, TaskError::CutShort { cut: 1, of: 1 }), "{error}");
    // All that was asked is there, but it is too late.
    world.heads.send_replace(head(START.0 + 1));
    world.take(&begun).await.unwrap();
    world.heads.send_replace(head(START.0 + 24));
    world.take(&begun).await.unwrap();
    // A file that is signed in the last block reaches nobody in time.
    world.heads.send_replace(head(START.0 + 25));
    let error = world.take(&begun).await.unwrap_err();
    assert!(error.ends_the_turn(), "{error}");
}

#[test]
fn a_task_is_worth_a_file_while_the_market_is_open_and_its_forecasts_can_count() {
    let worth = |session, at: u64| {
        rules().is_worth_a_file(&plan(session), START, BlockNumber(START.0 + at))
    };
    assert!(worth(Session::Open, 0) && worth(Session::Open, 22));
    assert!(!worth(Session::Open, 23), "who stands in comes too late");
    assert!(worth(Session::Reading, 150) && !worth(Session::Closed, 0));
}

#[test]
fn the_tasks_of_a_weekend_have_no_plan_and_the_others_follow_from_the_chains_clock() {
    let plan_of = |start_ms| turn::plan(&rules(), Hours::NewYork, start_ms).unwrap();
    // Friday, 23:05 UTC, and 190 tasks of twenty minutes after it.
    let friday = 1_736_550_300_000_u64;
    for task in 0..190 {
        let plan: Plan = plan_of(friday + task * 1_200_000);
        assert_eq!(plan.session, Session::Closed, "{task}");
    }
    let monday = plan_of(friday + 193 * 1_200_000);
    assert_eq!(monday.session, Session::Open, "{monday:?}");
    // The clock of another block is another moment, and none before its time.
    assert!(u64::from(monday.begin) * 1000 >= monday.start_ms);
    assert_eq!(turn::plan(&rules(), Hours::Always, 0), None);
}
