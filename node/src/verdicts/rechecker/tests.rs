use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leoma_chain::Head;
use leoma_protocol::verdict::{EntryStatus, SignedEnvelope};
use leoma_protocol::{Digest, FileId, Netuid, Network, Signature, TaskId};
use leoma_storage::{Bucket, EndpointPolicy, Key, PeerBuckets, SourceBucket, TaskKey, TaskObject};
use tokio::sync::watch;

use super::*;
use crate::rescoring::read_object;

const TASK: TaskId = TaskId(7);
const METADATA: &[u8] = b"what the entries follow from";

/// What reading a task comes to, beside its `metadata.json`.
#[derive(Clone, Copy, Debug)]
enum Chain {
    Answers,
    /// It fails so many times before it answers.
    Fails(usize),
    Hangs,
}

/// A mechanism whose entries pass, and which reads `metadata.json` and then the chain.
#[derive(Debug)]
struct Passing {
    chain: Chain,
    tries: AtomicUsize,
}

#[async_trait::async_trait]
impl Recheck for Passing {
    type Task = ();

    fn judge(&self) -> &'static str {
        "passing/1"
    }

    async fn owed(&self, _: BlockNumber) -> Result<Owed, Unread> {
        let earlier = self.tries.fetch_add(1, Ordering::Relaxed);
        match self.chain {
            Chain::Fails(times) if earlier < times => {
                Err(Unread::Ours("the chain does not answer".to_owned()))
            }
            _ => Ok(Owed::To([hotkey(10)].into())),
        }
    }

    async fn task(&self, bucket: &dyn Objects, envelope: &Envelope) -> Result<(), Unread> {
        let bytes = read_object(bucket, envelope.task_id, TaskObject::Metadata, 1 << 10).await?;
        if bytes != METADATA {
            return Err(Unread::Unknown("it has another schema".to_owned()));
        }
        let earlier = self.tries.fetch_add(1, Ordering::Relaxed);
        match self.chain {
            Chain::Answers => Ok(()),
            Chain::Fails(times) if earlier >= times => Ok(()),
            Chain::Fails(_) => Err(Unread::Ours("the chain does not answer".to_owned())),
            Chain::Hangs => std::future::pending().await,
        }
    }

    fn false_entry(&self, _: &(), entries: &[VerdictEntry]) -> Option<(Hotkey, Rescored)> {
        let found = entries.iter().find(|entry| !entry.passed)?;
        let finding = Finding { passed: true, score: 0 };
        Some((found.hotkey, Rescored::Differs(finding, "it passes".to_owned())))
    }

    async fn entry(&self, _: &(), _: &dyn Objects, _: &VerdictEntry) -> Result<Rescored, Unread> {
        Ok(Rescored::Agrees)
    }
}

fn hotkey(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn head(number: u64) -> Head {
    Head { number: BlockNumber(number), hash: Digest::of(&number.to_be_bytes()) }
}

/// A file with these miners' entries, of which the last one fails if `fails`.
fn file(miners: &[u8], fails: bool) -> VerifiedVerdict {
    let id = FileId { task_id: TASK, producer: hotkey(1) };
    let envelope = Envelope {
        network: Network { genesis: Digest::default(), netuid: Netuid(99) },
        task_id: TASK,
        validator: id.producer,
        params: Digest::default(),
        judge: "passing/1".to_owned(),
        block: BlockNumber(701),
        data_sha256: Digest::default(),
        metadata_sha256: Some(Digest::of(METADATA)),
    };
    let entry = |byte: &u8| VerdictEntry {
        passed: !fails || Some(byte) != miners.last(),
        ..VerdictEntry::unusable(hotkey(*byte), EntryStatus::Passed, String::new(), 1)
    };
    VerifiedVerdict {
        id,
        digest: Digest::of(b"file"),
        envelope: Some(SignedEnvelope { envelope, signature: Signature([0; 64]) }),
        entries: miners.iter().map(entry).collect(),
    }
}

/// What a validator finds whose head is at 710, and whose source bucket answers. The producer's
/// bucket has this `metadata.json`, if any.
struct Validator {
    rechecker: Rechecker<Passing>,
    heads: watch::Sender<Head>,
}

impl Validator {
    async fn new(chain: Chain, metadata: Option<&'static [u8]>) -> Self {
        let bucket = Bucket::in_memory("producer");
        if let Some(metadata) = metadata {
            let key: Key = TaskKey::new(TASK, TaskObject::Metadata).into();
            let _ = bucket.create(&key, Bytes::from_static(metadata)).await.unwrap();
        }
        let buckets = PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap();
        let _ = buckets.insert(hotkey(1), bucket).unwrap();
        let (heads, followed) = watch::channel(head(710));
        let waiting = Waiting {
            buckets: Arc::new(buckets),
            subnet: SourceBucket::new(Bucket::in_memory("source")),
            heads: followed,
        };
        let passing = Passing { chain, tries: AtomicUsize::new(0) };
        Self { rechecker: Rechecker::new(passing, waiting), heads }
    }

    /// What it finds of the file's first entry. Its time is over after a minute.
    async fn finds(&self, file: &VerifiedVerdict) -> Vec<(Hotkey, Rescored)> {
        let drawn: Vec<&VerdictEntry> = file.entries.iter().take(1).collect();
        let patience = BlockNumber(800);
        let over = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            self.heads.send_replace(head(800));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            found = self.rechecker.rescore(file, &drawn, patience) => found,
            () = over => Vec::new(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_we_could_not_read_ourselves_is_read_again() {
    let validator = Validator::new(Chain::Fails(2), Some(METADATA)).await;
    let found = validator.finds(&file(&[10], false)).await;
    assert_eq!(found, [(hotkey(10), Rescored::Agrees)]);
    assert_eq!(validator.rechecker.recheck.tries.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_does_not_answer_is_never_the_producers_fault() {
    for chain in [Chain::Hangs, Chain::Fails(usize::MAX)] {
        let validator = Validator::new(chain, Some(METADATA)).await;
        let found = validator.finds(&file(&[10], false)).await;
        assert!(matches!(&found[..], [(_, Rescored::NotChecked(_))]), "{chain:?}: {found:?}");
    }
    // What the producer itself keeps back, it withholds.
    let validator = Validator::new(Chain::Answers, None).await;
    let found = validator.finds(&file(&[10], false)).await;
    assert!(matches!(&found[..], [(_, Rescored::Withheld(_))]), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_what_another_release_wrote() {
    let validator = Validator::new(Chain::Answers, Some(b"of a later release")).await;
    let found = validator.finds(&file(&[10], false)).await;
    assert!(matches!(&found[..], [(_, Rescored::Foreign(_))]), "{found:?}");
    assert!(validator.rechecker.knows("passing/1") && !validator.rechecker.knows("passing/2"));
}

#[tokio::test(start_paused = true)]
async fn a_false_entry_is_named_though_it_was_not_drawn() {
    let validator = Validator::new(Chain::Answers, Some(METADATA)).await;
    let found = validator.finds(&file(&[10, 11], true)).await;
    assert!(matches!(&found[..], [(miner, Rescored::Differs(..))] if *miner == hotkey(11)));
    let found = validator.finds(&file(&[10, 11], false)).await;
    assert_eq!(found, [(hotkey(10), Rescored::Agrees)]);
}

#[tokio::test(start_paused = true)]
async fn who_must_have_an_entry_is_asked_for_again_while_there_is_time() {
    let (start, patience) = (BlockNumber(700), BlockNumber(800));
    let validator = Validator::new(Chain::Fails(2), None).await;
    let owed = validator.rechecker.owed(start, patience).await;
    assert_eq!(owed, Owed::To([hotkey(10)].into()));
    let validator = Validator::new(Chain::Fails(usize::MAX), None).await;
    let owed = validator.rechecker.owed(start, BlockNumber(711)).await;
    assert!(matches!(owed, Owed::Unknown(_)), "{owed:?}");
}
