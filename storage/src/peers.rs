//! Peers' buckets, read-only, by hotkey.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use leoma_protocol::verdict::MAX_FILE_BYTES;
use leoma_protocol::{Hotkey, TaskId};
use tokio::sync::Semaphore;

use crate::bucket::Bucket;
use crate::config::ConfigError;
use crate::endpoint::EndpointPolicy;
use crate::error::StoreError;
use crate::grant::{Grant, GrantError};
use crate::layout::{Key, TaskKey};
use crate::retry::RetryPolicy;
use crate::static_peers::StaticPeer;

/// Most peers whose grants are held: as many as a subnet has neurons.
const MAX_PEERS: usize = 256;
/// Most reads of peers' buckets at a time, all peers together: at 4 MiB each, 64 MiB of memory.
const MAX_READS: usize = 16;
/// Most reads of peers' buckets for pages at a time: of all peers together, and of one. Pages have
/// limits of their own, so that visitors of a bucket that hangs do not stop the reads for
/// agreement.
const MAX_PAGE_READS: usize = 8;
const MAX_PAGE_READS_OF_PEER: usize = 2;

/// Who gave us access to a peer's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerOrigin {
    /// The operator, in `PEER_VALIDATORS`.
    Static,
    /// The peer, by a grant.
    Granted,
}

/// What was done with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Granted {
    /// It is used from now on, and replaces any earlier one.
    Stored,
    /// It is ignored: the operator's list names this peer, and wins.
    StaticWins,
}

/// One peer's bucket.
#[derive(Clone, Debug)]
pub struct PeerBucket {
    hotkey: Hotkey,
    origin: PeerOrigin,
    bucket: Bucket,
    reads: Reads,
    page_reads_of_peer: Arc<Semaphore>,
}

/// The places of reads, which all peers share.
#[derive(Clone, Debug)]
struct Reads {
    all: Arc<Semaphore>,
    pages: Arc<Semaphore>,
}

impl Reads {
    fn new() -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self { all: places(MAX_READS), pages: places(MAX_PAGE_READS) }
    }
}

fn page_reads_of_peer() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_PAGE_READS_OF_PEER))
}

impl PeerBucket {
    /// The peer's own verdict file on `task_id`, of at most 4 MiB. The caller checks its
    /// signatures.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn verdict(&self, task_id: TaskId) -> Result<Option<Bytes>, StoreError> {
        let _permit = self.reads.all.acquire().await;
        self.bucket.get(&self.verdict_key(task_id), MAX_FILE_BYTES as u64).await
    }

    /// Any other object of the peer's bucket, of at most `max_bytes`.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn get(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        let _permit = self.reads.all.acquire().await;
        self.bucket.get(key, max_bytes).await
    }

    /// An object of the peer's bucket that a page shows, of at most `max_bytes`. Such reads wait
    /// for each other and take no place from [`get`](Self::get) and [`verdict`](Self::verdict).
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn get_for_page(
        &self,
        key: &Key,
        max_bytes: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        // In this order: whoever waits for a peer that hangs takes no place from other peers'
        // pages.
        let _of_peer = self.page_reads_of_peer.acquire().await;
        let _of_all = self.reads.pages.acquire().await;
        self.bucket.get(key, max_bytes).await
    }

    fn verdict_key(&self, task_id: TaskId) -> Key {
        TaskKey::verdict(task_id, self.hotkey).into()
    }
}

/// The peers' buckets that can be read, by the operator's list and by grants.
#[derive(Debug)]
pub struct PeerBuckets {
    policy: EndpointPolicy,
    peers: RwLock<HashMap<Hotkey, PeerBucket>>,
    reads: Reads,
}

impl PeerBuckets {
    /// Opens the buckets of the operator's list. `policy` says where grants may lead.
    ///
    /// # Errors
    /// [`ConfigError`] if an entry of the list cannot be opened; those of
    /// [`StaticPeers`](crate::StaticPeers) can.
    pub fn new(fixed: Vec<StaticPeer>, policy: EndpointPolicy) -> Result<Self, ConfigError> {
        let reads = Reads::new();
        let open = |peer: StaticPeer| {
            let bucket = PeerBucket {
                hotkey: peer.hotkey,
                origin: PeerOrigin::Static,
                bucket: peer.bucket.open()?.with_policy(RetryPolicy::for_peers()),
                reads: reads.clone(),
                page_reads_of_peer: page_reads_of_peer(),
            };
            Ok((peer.hotkey, bucket))
        };
        let peers = fixed.into_iter().map(open).collect::<Result<_, ConfigError>>()?;
        Ok(Self { policy, peers: RwLock::new(peers), reads })
    }

    /// Accepts a grant, `bytes`, from `hotkey`, which proved itself on the stream that it came
    /// over.
    ///
    /// # Errors
    /// [`GrantError`] says what is wrong with it. An earlier grant of the peer stays in use.
    pub fn grant(&self, hotkey: Hotkey, bytes: &[u8]) -> Result<Granted, GrantError> {
        let bucket = Grant::decode(bytes, self.policy)?.open(self.policy)?;
        self.insert(hotkey, bucket)
    }

    /// Uses an already opened bucket as `hotkey`'s, unless the operator's list names another: for
    /// auditors and tests.
    ///
    /// # Errors
    /// [`GrantError::TooManyPeers`].
    pub fn insert(&self, hotkey: Hotkey, bucket: Bucket) -> Result<Granted, GrantError> {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        match peers.get(&hotkey) {
            Some(known) if known.origin == PeerOrigin::Static => return Ok(Granted::StaticWins),
            None if peers.len() >= MAX_PEERS => {
                return Err(GrantError::TooManyPeers { limit: MAX_PEERS });
            }
            _ => {}
        }
        // A new grant of a peer whose bucket hangs brings no new places.
        let known = peers.get(&hotkey).map(|known| Arc::clone(&known.page_reads_of_peer));
        let bucket = PeerBucket {
            hotkey,
            origin: PeerOrigin::Granted,
            bucket,
            reads: self.reads.clone(),
            page_reads_of_peer: known.unwrap_or_else(page_reads_of_peer),
        };
        peers.insert(hotkey, bucket);
        Ok(Granted::Stored)
    }

    /// Forgets the grants of peers for which `keep` returns false, as of those that left the
    /// allowlist. The operator's list stays.
    pub fn retain(&self, keep: impl Fn(&Hotkey) -> bool) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|hotkey, peer| peer.origin == PeerOrigin::Static || keep(hotkey));
    }

    /// At most `most` buckets of other peers than `hotkey`, in no particular order.
    pub fn others(&self, hotkey: &Hotkey, most: usize) -> Vec<PeerBucket> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let others = peers.values().filter(|peer| peer.hotkey != *hotkey);
        others.take(most).cloned().collect()
    }

    /// The peer's bucket, if we have access to it.
    pub fn get(&self, hotkey: &Hotkey) -> Option<PeerBucket> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(hotkey).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::config::BucketConfig;
    use crate::secret::Secret;

    fn config(bucket: &str) -> BucketConfig {
        BucketConfig {
            endpoint: "https://a.r2.cloudflarestorage.com".to_owned(),
            bucket: bucket.to_owned(),
            region: "auto".to_owned(),
            access_key: Secret::new("a"),
            secret_key: Secret::new("b"),
        }
    }

    fn hotkey(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    #[test]
    fn the_operators_list_wins_over_grants() {
        let fixed = StaticPeer { hotkey: hotkey(1), uid: None, bucket: config("leoma-static") };
        let peers = PeerBuckets::new(vec![fixed], EndpointPolicy::Public).unwrap();
        let grant = Grant::with_keys(&config("leoma-granted")).unwrap().encode();
        assert_eq!(peers.grant(hotkey(1), &grant).unwrap(), Granted::StaticWins);
        assert_eq!(peers.grant(hotkey(2), &grant).unwrap(), Granted::Stored);
        assert_eq!(peers.get(&hotkey(1)).unwrap().bucket.name(), "s3://leoma-static");
        assert_eq!(peers.get(&hotkey(2)).unwrap().bucket.name(), "s3://leoma-granted");
        peers.retain(|_| false);
        assert!(peers.get(&hotkey(1)).is_some() && peers.get(&hotkey(2)).is_none());
    }

    #[test]
    fn a_bad_grant_leaves_the_earlier_one() {
        let peers = PeerBuckets::new(vec![], EndpointPolicy::Public).unwrap();
        let grant = Grant::with_keys(&config("leoma-granted")).unwrap().encode();
        let _ = peers.grant(hotkey(2), &grant).unwrap();
        assert!(peers.grant(hotkey(2), b"{}").is_err());
        assert!(peers.get(&hotkey(2)).is_some());
    }

    #[test]
    fn grants_are_bounded() {
        let peers = PeerBuckets::new(vec![], EndpointPolicy::Public).unwrap();
        let bucket = Bucket::in_memory("peer");
        for n in 0..MAX_PEERS {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&u16::try_from(n).unwrap().to_le_bytes());
            let _ = peers.insert(Hotkey::from_bytes(bytes), bucket.clone()).unwrap();
        }
        let one_more = peers.insert(Hotkey::from_bytes([255; 32]), bucket.clone());
        assert!(matches!(one_more, Err(GrantError::TooManyPeers { .. })));
        assert_eq!(peers.insert(Hotkey::from_bytes([0; 32]), bucket).unwrap(), Granted::Stored);
    }

    #[tokio::test]
    async fn pages_of_a_bucket_that_hangs_take_no_places_from_agreement_and_other_pages() {
        let peers = PeerBuckets::new(vec![], EndpointPolicy::Public).unwrap();
        for n in [1, 2] {
            let _ = peers.insert(hotkey(n), Bucket::in_memory("peer")).unwrap();
        }
        let [hangs, answers] = [1, 2].map(|n| peers.get(&hotkey(n)).unwrap());
        let key = Key::from(TaskKey::verdict(TaskId(7), hotkey(1)));
        // As two reads hold them that never end.
        let places = u32::try_from(MAX_PAGE_READS_OF_PEER).unwrap();
        let _held = hangs.page_reads_of_peer.acquire_many(places).await.unwrap();
        let _ = peers.insert(hotkey(1), Bucket::in_memory("again")).unwrap();
        let again = peers.get(&hotkey(1)).unwrap();
        let third = timeout(Duration::from_millis(50), again.get_for_page(&key, 9)).await;
        assert!(third.is_err(), "a third page reads it");
        assert_eq!(again.get(&key, 9).await.unwrap(), None);
        assert_eq!(again.verdict(TaskId(7)).await.unwrap(), None);
        // Nor does agreement take the pages' places.
        let places = u32::try_from(MAX_READS).unwrap();
        let _held = again.reads.all.acquire_many(places).await.unwrap();
        assert_eq!(answers.get_for_page(&key, 9).await.unwrap(), None);
    }
}
