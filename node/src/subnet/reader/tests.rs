//! Which allowlist is taken in, without a chain.

use std::collections::BTreeMap;

use bytes::Bytes;
use leoma_chain::{Commitment, CommitmentDecodeError, Neuron, PlainCommitment};
use leoma_protocol::{Netuid, Uid};
use leoma_storage::Bucket;

use super::*;

fn hotkey(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn list(interval: u64) -> Allowlist {
    Allowlist::new(interval, [hotkey(11), hotkey(12)]).unwrap()
}

/// A subnet whose owner committed this text at this block.
fn metagraph(owner: Hotkey, commitment: Option<(String, u64)>) -> Metagraph {
    let commitments = commitment
        .map(|(text, block)| (owner, Commitment { text, block: BlockNumber(block), count: 1 }));
    Metagraph {
        block: BlockNumber(500),
        owner,
        min_weights: 1,
        max_weight: u16::MAX,
        serving_rate_limit: 0,
        neurons: Vec::new(),
        commitments: commitments.into_iter().collect(),
        unreadable: BTreeMap::new(),
        plain: BTreeMap::new(),
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    source: SourceBucket,
    lists: Lists,
    sender: watch::Sender<Arc<AllowlistHistory>>,
}

impl Bench {
    fn new(source: SourceBucket) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = Network { genesis: Digest([1; 32]), netuid: Netuid(99) };
        let state = State::open(folder.path(), network, hotkey(11)).unwrap();
        let (lists, history) = Lists::kept(network, source.clone(), state).unwrap();
        let (sender, _) = watch::channel(Arc::new(history));
        Self { _folder: folder, source, lists, sender }
    }

    async fn put(&self, list: &Allowlist) {
        let bytes = Bytes::from(list.canonical_json());
        let _new = self.source.write_allowlist_version(&list.digest(), bytes).await.unwrap();
    }

    async fn take(&mut self, metagraph: &Metagraph) -> Result<(), SubnetError> {
        self.lists.take(metagraph, &self.sender).await
    }

    fn entries(&self) -> Vec<(u64, u64)> {
        let history = Arc::clone(&self.sender.borrow());
        let entry =
            |entry: &leoma_rotation::Effective| (entry.committed_at.0, entry.allowlist.interval());
        history.entries().iter().map(entry).collect()
    }
}

fn source() -> SourceBucket {
    SourceBucket::new(Bucket::in_memory("source"))
}

#[tokio::test]
async fn a23_a_list_is_found_under_its_hash_while_the_newest_is_another() {
    let source = source();
    let (committed, ahead) = (list(100), list(200));
    let missing = allowlist_of(&source, committed.digest()).await.unwrap_err();
    assert!(matches!(missing, SubnetError::NotPublished { .. }), "{missing}");
    source.write_allowlist(Bytes::from(ahead.canonical_json())).await.unwrap();
    let other = allowlist_of(&source, committed.digest()).await.unwrap_err();
    assert!(matches!(other, SubnetError::Allowlist(_)), "{other}");
    let bytes = Bytes::from(committed.canonical_json());
    let _new = source.write_allowlist_version(&committed.digest(), bytes).await.unwrap();
    assert_eq!(allowlist_of(&source, committed.digest()).await.unwrap(), committed);
}

#[tokio::test]
async fn a17_running_and_fresh_validators_take_the_same_list_of_a_new_owner() {
    let (old, new) = (hotkey(1), hotkey(2));
    let source = source();
    let mut running = Bench::new(source.clone());
    running.put(&list(100)).await;
    running.put(&list(50)).await;
    running.take(&metagraph(old, Some((list(100).commitment(), 74)))).await.unwrap();
    assert_eq!(running.entries(), [(74, 100)]);

    // A new owner without a list, or with another text: the last list goes on.
    for commitment in [None, Some(("{}".to_owned(), 80))] {
        let error = running.take(&metagraph(new, commitment)).await.unwrap_err();
        assert!(matches!(error, SubnetError::NotCommitted { .. }), "{error}");
        assert_eq!(running.entries(), [(74, 100)]);
    }
    // One with an older list: that one, for those who knew another as for those who did not.
    let older = metagraph(new, Some((list(50).commitment(), 10)));
    running.take(&older).await.unwrap();
    let mut fresh = Bench::new(source);
    fresh.take(&older).await.unwrap();
    assert_eq!(running.entries(), fresh.entries());
    assert_eq!(fresh.entries(), [(10, 50)]);
    // The same after a restart.
    let Lists { network, source, state, .. } = running.lists;
    let (mut lists, history) = Lists::kept(network, source, state).unwrap();
    assert_eq!(*lists.owner.borrow(), Some(new));
    let (sender, receiver) = watch::channel(Arc::new(history));
    lists.take(&older, &sender).await.unwrap();
    assert_eq!(receiver.borrow().entries().len(), 1);
}

#[tokio::test]
async fn a3_an_unreadable_commitment_of_the_owner_is_named_and_the_last_list_goes_on() {
    let owner = hotkey(1);
    let mut bench = Bench::new(source());
    bench.put(&list(100)).await;
    bench.take(&metagraph(owner, Some((list(100).commitment(), 74)))).await.unwrap();
    let mut failed = metagraph(owner, None);
    let reason = CommitmentDecodeError::RevealFailed;
    failed.unreadable.insert(owner, UnreadableCommitment { block: BlockNumber(90), reason });
    let error = bench.take(&failed).await.unwrap_err().to_string();
    assert!(error.contains("unreadable commitment") && error.contains("decrypt"), "{error}");
    assert_eq!(bench.entries(), [(74, 100)]);
}

#[tokio::test]
async fn while_the_owners_commitment_cannot_be_read_nobody_takes_another_list() {
    for (reason, named) in [
        (CommitmentDecodeError::NotRevealed, "not revealed yet"),
        (CommitmentDecodeError::Witness, "witness has replaced it"),
    ] {
        let owner = hotkey(1);
        let source = source();
        let mut running = Bench::new(source.clone());
        running.put(&list(100)).await;
        running.take(&metagraph(owner, Some((list(100).commitment(), 74)))).await.unwrap();
        let mut fresh = Bench::new(source);
        let mut hidden = metagraph(owner, None);
        hidden.unreadable.insert(owner, UnreadableCommitment { block: BlockNumber(90), reason });
        for bench in [&mut running, &mut fresh] {
            let error = bench.take(&hidden).await.unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert_eq!(running.entries(), [(74, 100)]);
        assert!(fresh.entries().is_empty());
    }
}

#[test]
fn a25_commitments_of_which_none_is_a_neurons_are_counted() {
    let mut metagraph = metagraph(hotkey(1), None);
    assert_eq!(strangers(&metagraph), 0);
    let plain = PlainCommitment { block: BlockNumber(1), bytes: b"x".to_vec() };
    metagraph.plain = BTreeMap::from([(hotkey(7), plain.clone()), (hotkey(8), plain.clone())]);
    assert_eq!(strangers(&metagraph), 2);
    metagraph.plain.insert(hotkey(1), plain);
    assert_eq!(strangers(&metagraph), 0, "the owner's");
    metagraph.plain.remove(&hotkey(1));
    metagraph.neurons.push(Neuron {
        uid: Uid(0),
        hotkey: hotkey(7),
        validator_permit: false,
        stake: 0,
        last_update: BlockNumber(0),
        registered_at: BlockNumber(0),
        axon: None,
        axon_block: BlockNumber(0),
    });
    assert_eq!(strangers(&metagraph), 0);
}

#[test]
fn the_list_in_force_at_the_oldest_kept_block_stays() {
    let kept = |head: u64| -> Vec<u64> {
        let list = |at| Committed { at: BlockNumber(at), allowlist: String::new() };
        let mut all: Vec<_> = [100, 200, 70_000].map(list).into();
        forget(&mut all, BlockNumber(head));
        all.iter().map(|list| list.at.0).collect()
    };
    assert_eq!(kept(50_000), [100, 200, 70_000]);
    assert_eq!(kept(61_000), [200, 70_000], "block 1000 lies under the list of block 200");
    assert_eq!(kept(200_000), [70_000]);
}
