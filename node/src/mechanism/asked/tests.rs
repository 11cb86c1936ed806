//! Real axons, asked over loopback.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::synapse::{Field, FieldKind, Fields, Question, Refusal, SynapseClass, Target};
use leoma_protocol::verdict::EntryStatus;
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard, TaskId};
use leoma_storage::Format;
use leoma_synapse::{Axon, AxonLimits, Call, Dendrite, Forward};
use sp_core::{Pair as _, sr25519};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::mechanism::TaskError;
use crate::mechanism::folder::TaskFolder;
use crate::outbound::Reach;

const ECHO: SynapseClass = SynapseClass {
    name: "Echo",
    fields: &[Field::new("text", FieldKind::Text), Field::new("reply", FieldKind::Text).mutable()],
    hashed: &[],
};

pub(crate) fn signer(seed: u8) -> HotkeySigner {
    let pair = sr25519::Pair::from_seed(&[seed; 32]);
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

/// Says one text, counts how often it was asked, or sleeps.
#[derive(Clone)]
struct Says {
    text: &'static str,
    asked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Forward for Says {
    async fn forward(&self, _call: Call) -> Result<Fields, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.text {
            "sleep" => sleep(Duration::from_secs(60)).await,
            "refuse" => return Err(Refusal::Forbidden("not today")),
            _ => {}
        }
        Ok(Fields::from([("reply", self.text.into())]))
    }
}

/// A miner with an axon on loopback.
struct Miner {
    target: Target,
    asked: Arc<AtomicUsize>,
    _stop: DropGuard,
}

async fn miner(seed: u8, text: &'static str) -> Miner {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::default();
    let says = Says { text, asked: Arc::clone(&asked) };
    let axon = Axon::new(signer(seed), AxonLimits::default(), |_| Ok(())).route(ECHO, says);
    let stop = CancellationToken::new();
    tokio::spawn(axon.serve(listener, stop.clone()));
    let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey: signer(seed).hotkey() };
    Miner { target, asked, _stop: stop.drop_guard() }
}

/// A miner that nobody can reach.
async fn gone(seed: u8) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    Target { ip: [127, 0, 0, 1].into(), port, hotkey: signer(seed).hotkey() }
}

impl Miner {
    /// Nobody reaches it from now on.
    async fn hang_up(self) {
        let Target { ip, port, .. } = self.target;
        drop(self);
        while TcpStream::connect((ip, port)).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A miner to which nothing gets through, as over a line that is down: its listener's queue is full
/// for as long as the streams are held.
async fn dark(seed: u8) -> (Target, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let target = Target { ip: address.ip(), port: address.port(), hotkey: signer(seed).hotkey() };
    (target, listener, queued)
}

struct World {
    folder: TaskFolder,
    dendrite: Dendrite,
    question: Question,
    _spool: tempfile::TempDir,
}

fn world(timeout: Duration) -> World {
    let spool = tempfile::tempdir().unwrap();
    let folder = TaskFolder::new(spool.path(), TaskId(7));
    folder.begin_asking(&"begun", &[]).unwrap();
    let fields = Fields::from([("text", "hello".into()), ("reply", "".into())]);
    let question = Question::new(&ECHO, &fields, timeout).unwrap();
    let dendrite = dendrite(Reach::new(true), signer(1)).unwrap();
    World { folder, dendrite, question, _spool: spool }
}

impl World {
    fn asking(&self) -> Asking<'_> {
        Asking {
            dendrite: &self.dendrite,
            question: &self.question,
            rules: AskRules { at_a_time: 8, pause: Duration::from_millis(20), reply_bytes: 20_000 },
            folder: &self.folder,
            format: Format::Json,
        }
    }

    async fn ask(&self, targets: &[Target]) -> Result<Vec<Reply>, TaskError> {
        self.asking().run(targets, std::future::pending(), read).await
    }

    /// How many replies are kept for the next try.
    fn kept(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("kept")).unwrap().count()
    }
}

fn read(fields: &Fields) -> Result<Bytes, String> {
    match fields["reply"].as_str() {
        Some("") => Err("it says nothing".to_owned()),
        Some(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        None => Err("no text".to_owned()),
    }
}

fn status_of(replies: &[Reply], miner: Hotkey) -> Option<EntryStatus> {
    let reply = replies.iter().find(|reply| reply.miner == miner).unwrap();
    reply.failed_entry().map(|entry| entry.status)
}

#[tokio::test]
async fn each_miner_has_a_reply_of_its_own_and_nobody_who_replied_is_asked_again() {
    let world = world(Duration::from_secs(2));
    let miners = [
        miner(2, "fine").await,
        miner(3, "").await,
        miner(4, "refuse").await,
        miner(5, "sleep").await,
        miner(6, "also fine").await,
    ];
    let gone = gone(7).await;
    let targets: Vec<Target> = miners.iter().map(|miner| miner.target).chain([gone]).collect();
    let replies = world.ask(&targets).await.unwrap();
    assert_eq!(replies.len(), 6);
    assert!(replies.is_sorted_by_key(|reply| reply.miner));
    let expected = [
        None,
        Some(EntryStatus::Malformed),
        Some(EntryStatus::HttpError),
        Some(EntryStatus::Timeout),
        None,
        Some(EntryStatus::NoResponse),
    ];
    for (target, expected) in targets.iter().zip(expected) {
        assert_eq!(status_of(&replies, target.hotkey), expected);
    }
    let answer = world.folder.read_answer(miners[0].target.hotkey, Format::Json).unwrap();
    assert_eq!(answer, b"fine");
    // Another try, as after a restart: only who could not be reached is asked again.
    let again = world.ask(&targets).await.unwrap();
    let kept = |replies: &[Reply]| -> Vec<Reply> {
        replies.iter().filter(|reply| reply.miner != gone.hotkey).cloned().collect()
    };
    assert_eq!(kept(&again), kept(&replies));
    assert_eq!(status_of(&again, gone.hotkey), Some(EntryStatus::NoResponse));
    for miner in &miners {
        assert_eq!(miner.asked.load(Ordering::Relaxed), 1);
    }
    // An answer that was damaged meanwhile is asked for again.
    let name = format!("answers/{}.json", miners[0].target.hotkey);
    std::fs::write(world.folder.path().join(name), "fi").unwrap();
    let mended = world.ask(&targets).await.unwrap();
    assert_eq!(mended.len(), 6);
    assert_eq!(miners[0].asked.load(Ordering::Relaxed), 2);
    // Whoever is no longer admitted has no reply, and its answer is not published.
    let fewer = world.ask(&targets[..2]).await.unwrap();
    assert_eq!(fewer.len(), 2);
    let kept: Vec<Hotkey> = fewer.iter().map(|reply| reply.miner).collect();
    world.folder.finish_asking(&"metadata", &kept).unwrap();
    assert_eq!(world.folder.answer_objects().unwrap().len(), 1);
}

#[tokio::test]
async fn where_nobody_can_be_reached_nothing_is_said_of_anybody() {
    let world = world(Duration::from_secs(2));
    let targets = [gone(2).await, gone(3).await];
    let error = world.ask(&targets).await.unwrap_err();
    assert!(matches!(error, TaskError::Unreached { of: 2 }), "{error}");
    assert!(error.alarm().is_some() && !error.ends_the_turn());
    // One that can be reached shows that our network works.
    let one = miner(4, "fine").await;
    let replies = world.ask(&[targets[0], one.target]).await.unwrap();
    assert_eq!(status_of(&replies, targets[0].hotkey), Some(EntryStatus::NoResponse));
}

#[test]
fn no_more_miners_are_asked_at_a_time_than_fit_into_memory() {
    let width =
        |at_a_time, reply_bytes| AskRules { at_a_time, pause: Duration::ZERO, reply_bytes }.width();
    assert_eq!((width(40, 16 << 10), width(256, 16 << 10)), (40, 256));
    // The longest sound, and one of some ten seconds.
    assert_eq!((width(256, 20 << 20), width(40, 11 << 20)), (25, 40));
    assert_eq!((width(40, usize::MAX), width(0, 0)), (1, 1));
}

#[tokio::test]
async fn silence_is_a_miners_own_only_where_our_network_is_known_to_work() {
    let world = world(Duration::from_secs(1));
    let (dark, _listener, _queued) = dark(2).await;
    let error = world.ask(&[dark]).await.unwrap_err();
    assert!(matches!(error, TaskError::Unreached { of: 1 }), "{error}");
    assert_eq!(world.kept(), 0, "it is asked again in the next try");
    // Who takes a connection and says nothing shows it, however few miners there are.
    let silent = miner(3, "sleep").await;
    let replies = world.ask(&[silent.target]).await.unwrap();
    assert_eq!(status_of(&replies, silent.target.hotkey), Some(EntryStatus::Timeout));
    assert_eq!(world.kept(), 1);
    let replies = world.ask(&[dark, silent.target]).await.unwrap();
    assert_eq!(status_of(&replies, dark.hotkey), Some(EntryStatus::Timeout));
    assert_eq!(silent.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn replies_of_an_earlier_try_do_not_show_that_our_network_still_works() {
    let world = world(Duration::from_secs(2));
    let (one, other) = (miner(2, "fine").await, miner(3, "fine").await);
    let targets = [one.target, other.target, gone(4).await];
    let _replies = world.ask(&targets[..2]).await.unwrap();
    // One of those who replied can still be reached.
    one.hang_up().await;
    let replies = world.ask(&targets).await.unwrap();
    assert_eq!(status_of(&replies, targets[2].hotkey), Some(EntryStatus::NoResponse));
    other.hang_up().await;
    let error = world.ask(&targets).await.unwrap_err();
    assert!(matches!(error, TaskError::Unreached { of: 3 }), "{error}");
    assert_eq!(world.kept(), 2);
}

#[tokio::test]
async fn what_this_machine_lacks_is_said_of_no_miner() {
    let mut world = world(Duration::from_secs(2));
    let one = miner(2, "fine").await;
    // No machine has this address, so it has no port there.
    let client = reqwest::Client::builder().local_address(IpAddr::from([192, 0, 2, 1]));
    world.dendrite = Dendrite::new(client, signer(1), None, |_| true).unwrap();
    let error = world.ask(&[one.target]).await.unwrap_err();
    assert!(matches!(error, TaskError::Machine(_)), "{error}");
    assert_eq!((error.alarm(), error.ends_the_turn()), (Some("miners"), false));
    assert_eq!((world.kept(), one.asked.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn a_turn_that_ends_too_early_says_so_and_keeps_what_it_has() {
    let world = world(Duration::from_secs(30));
    let (quick, slow) = (miner(2, "fine").await, miner(3, "sleep").await);
    let targets = [quick.target, slow.target];
    let deadline = tokio::time::sleep(Duration::from_millis(1500));
    let error = world.asking().run(&targets, deadline, read).await.unwrap_err();
    assert!(matches!(error, TaskError::CutShort { cut: 1, of: 2 }), "{error}");
    let replies = world.ask(&targets[..1]).await.unwrap();
    assert_eq!(status_of(&replies, quick.target.hotkey), None);
    assert_eq!(quick.asked.load(Ordering::Relaxed), 1);
}
