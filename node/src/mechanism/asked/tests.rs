//! Real axons, asked over loopback.

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
use tokio::net::TcpListener;
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
            "sleep" => tokio::time::sleep(Duration::from_secs(60)).await,
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
