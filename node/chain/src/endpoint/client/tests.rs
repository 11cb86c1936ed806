//! Several nodes, of which some fail, lag, lie or belong to another chain.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::stream::{self, BoxStream};
use std::sync::Mutex;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::endpoint::member::{Connector, LONGEST_REST};
use crate::endpoint::{Nonces, Signed};
use crate::submit::Rejection;

const NETUID: Netuid = Netuid(99);

/// What a scripted node does.
#[derive(Debug, Default)]
struct Script {
    genesis: u8,
    head: AtomicU64,
    /// Fails every call.
    is_broken: AtomicBool,
    /// Names other hashes than the chain's.
    lies: AtomicBool,
    /// Can show the blocks that it lies about.
    forges: AtomicBool,
    finalized_nonce: AtomicU64,
    sent: Mutex<Vec<u64>>,
    /// What sending ends in.
    fate: Mutex<Option<SubmitError>>,
}

fn hash(number: u64, lie: bool) -> Digest {
    Digest::of(&[number.to_le_bytes().as_slice(), &[u8::from(lie)]].concat())
}

impl Script {
    fn up(&self) -> Result<(), ChainError> {
        if self.is_broken.load(Ordering::Relaxed) {
            Err(ChainError::Timeout { what: "anything" })
        } else {
            Ok(())
        }
    }

    fn head_now(&self) -> Head {
        let number = self.head.load(Ordering::Relaxed);
        Head { number: BlockNumber(number), hash: hash(number, false) }
    }
}

#[async_trait::async_trait]
impl Chain for Script {
    fn genesis(&self) -> Digest {
        Digest([self.genesis; 32])
    }

    async fn head(&self) -> Result<Head, ChainError> {
        self.up()?;
        Ok(self.head_now())
    }

    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError> {
        self.up()?;
        Ok(stream::iter([Ok(self.head_now())]).chain(stream::pending()).boxed())
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Digest, ChainError> {
        self.up()?;
        Ok(hash(number.0, self.lies.load(Ordering::Relaxed)))
    }

    async fn has_block(&self, block: Head) -> Result<bool, ChainError> {
        self.up()?;
        Ok(block.hash == hash(block.number.0, false) || self.forges.load(Ordering::Relaxed))
    }

    async fn timestamp(&self, _: Head) -> Result<u64, ChainError> {
        self.up()?;
        Ok(u64::from(self.genesis))
    }

    async fn metagraph(&self, _: Head) -> Result<Metagraph, ChainError> {
        Err(ChainError::Pruned { what: "the metagraph" })
    }

    async fn hyperparameters(&self, _: Head) -> Result<Hyperparameters, ChainError> {
        Err(ChainError::NoSubnet { netuid: NETUID })
    }

    async fn weights(&self, _: Head, uid: Uid) -> Result<Vec<(Uid, u16)>, ChainError> {
        self.up()?;
        Ok(vec![(uid, self.sent.lock().unwrap().len() as u16)])
    }

    async fn hash_commits(&self, _: Head, _: &Hotkey) -> Result<Vec<HashCommit>, ChainError> {
        Ok(Vec::new())
    }

    async fn timelocked_commits(
        &self,
        _: Head,
        _: &Hotkey,
        _: u64,
    ) -> Result<Vec<TimelockedCommit>, ChainError> {
        Ok(Vec::new())
    }

    async fn newest_drand_round(&self, _: Head) -> Result<Option<u64>, ChainError> {
        Ok(None)
    }

    async fn registration_burn(&self, _: Head) -> Result<u64, ChainError> {
        Ok(1)
    }

    async fn free_balance(&self, _: Head, _: &Hotkey) -> Result<u64, ChainError> {
        Ok(1)
    }

    async fn nonces(&self, _: &Hotkey) -> Result<Nonces, ChainError> {
        self.up()?;
        let finalized = self.finalized_nonce.load(Ordering::Relaxed);
        Ok(Nonces { at: self.head_now().number, finalized, next: finalized })
    }

    async fn fee(&self, _: &Signed) -> Result<u64, ChainError> {
        Ok(0)
    }

    async fn sign(
        &self,
        _: &HotkeySigner,
        call: &Call,
        nonce: u64,
        blocks: u64,
    ) -> Result<Signed, SubmitError> {
        self.up()?;
        let valid_until = BlockNumber(self.head.load(Ordering::Relaxed) + blocks);
        Ok(Signed { what: call.name(), bytes: Vec::new(), nonce, valid_until })
    }

    async fn send(&self, transaction: &Signed) -> Result<Digest, SubmitError> {
        self.sent.lock().unwrap().push(transaction.nonce);
        match self.fate.lock().unwrap().take() {
            Some(error) => Err(error),
            None => {
                self.finalized_nonce.fetch_add(1, Ordering::Relaxed);
                Ok(Digest::default())
            }
        }
    }
}

fn node(head: u64) -> Arc<Script> {
    Arc::new(Script { genesis: 1, head: AtomicU64::new(head), ..Script::default() })
}

async fn client(nodes: &[Arc<Script>]) -> Result<ChainClient, ChainError> {
    let named = |(index, node): (usize, &Arc<Script>)| {
        let node = Arc::clone(node);
        let connect: Connector = Box::new(move || {
            let node = Arc::clone(&node);
            Box::pin(async move {
                node.up()?;
                Ok(node as Arc<dyn Chain>)
            })
        });
        (format!("node {index}"), connect)
    };
    let nodes = nodes.iter().enumerate().map(named).collect();
    ChainClient::connect_through(nodes, NETUID, None, Arc::new(MemoryLog::default())).await
}

fn set(flag: &AtomicBool) {
    flag.store(true, Ordering::Relaxed);
}

fn signer() -> HotkeySigner {
    HotkeySigner::new(sp_core::sr25519::Pair::from_seed(&[7; 32]), Arc::new(MemoryGuard::default()))
}

fn commitment() -> Call {
    Call::SetCommitment { text: "x".into() }
}

#[tokio::test]
async fn a_failing_node_is_passed_over_and_comes_back() {
    let nodes = [node(10), node(10)];
    let client = client(&nodes).await.unwrap();
    set(&nodes[0].is_broken);
    assert_eq!(client.block_hash(BlockNumber(5)).await.unwrap(), hash(5, false));
    assert_eq!(client.head().await.unwrap().number, BlockNumber(10));
    assert!(!client.endpoints()[0].last_error.is_empty());
    // While it rests the other one is asked first; afterwards it is the preferred one again.
    assert_eq!(client.order()[0].name, "node 1");
    nodes[0].is_broken.store(false, Ordering::Relaxed);
    client.inner.members[0].state().rests_until = Some(Instant::now());
    assert_eq!(client.order()[0].name, "node 0");
    client.timestamp(client.head().await.unwrap()).await.unwrap();
    assert!(client.endpoints()[0].last_error.is_empty());
}

#[tokio::test]
async fn one_usable_node_is_enough_to_begin_and_none_says_why_of_each() {
    let nodes = [node(1), node(1)];
    set(&nodes[0].is_broken);
    assert_eq!(client(&nodes).await.unwrap().head().await.unwrap().number, BlockNumber(1));
    set(&nodes[1].is_broken);
    let error = client(&nodes).await.unwrap_err().to_string();
    assert_eq!(error.matches("no answer").count(), 2, "{error}");
}

#[tokio::test]
async fn a_node_of_another_chain_is_not_used() {
    let foreign = Arc::new(Script { genesis: 2, head: AtomicU64::new(99), ..Script::default() });
    let client = client(&[node(10), foreign]).await.unwrap();
    assert_eq!(client.head().await.unwrap().number, BlockNumber(10));
    assert!(client.endpoints()[1].last_error.contains("another chain"), "{:?}", client.endpoints());
}

#[tokio::test]
async fn the_majority_decides_a_past_hash_and_the_liar_is_dropped() {
    let nodes = [node(10), node(10), node(10)];
    let client = client(&nodes).await.unwrap();
    set(&nodes[0].lies);
    set(&nodes[0].forges);
    set(&nodes[1].forges);
    set(&nodes[2].forges);
    assert_eq!(client.block_hash(BlockNumber(5)).await.unwrap(), hash(5, false));
    let dropped: Vec<bool> = client.endpoints().iter().map(|status| status.dropped).collect();
    assert_eq!(dropped, [true, false, false]);
    // It is not asked again.
    set(&nodes[1].is_broken);
    set(&nodes[2].is_broken);
    assert!(client.head().await.is_err());
}

#[tokio::test]
async fn of_two_that_contradict_each_other_the_one_that_shows_the_block_is_believed() {
    let nodes = [node(10), node(10)];
    let client = client(&nodes).await.unwrap();
    set(&nodes[0].lies);
    assert_eq!(client.block_hash(BlockNumber(5)).await.unwrap(), hash(5, false));
    assert!(client.endpoints()[0].dropped && !client.endpoints()[1].dropped);
}

#[tokio::test]
async fn a_node_whose_final_block_is_earlier_has_no_say_about_later_ones() {
    let nodes = [node(4), node(10)];
    let client = client(&nodes).await.unwrap();
    set(&nodes[0].lies);
    assert_eq!(client.block_hash(BlockNumber(5)).await.unwrap(), hash(5, false));
    assert!(!client.endpoints()[0].dropped, "it may be on a fork that is not final");
}

#[tokio::test]
async fn a_lagging_node_is_asked_last_and_one_alone_cannot_run_ahead() {
    let nodes = [node(50), node(100), node(101)];
    let client = client(&nodes).await.unwrap();
    assert_eq!(client.head().await.unwrap().number, BlockNumber(100));
    let order: Vec<&str> = client.order().iter().map(|member| member.name.as_str()).collect();
    assert_eq!(order, ["node 1", "node 2", "node 0"]);
    assert_eq!(client.endpoints()[0].lag, Some(51));
    nodes[2].head.store(1_000_000, Ordering::Relaxed);
    assert_eq!(client.head().await.unwrap().number, BlockNumber(100));
}

#[tokio::test]
async fn of_three_one_that_is_lost_leaves_no_other_to_make_up_a_head() {
    let nodes = [node(100), node(100), node(180)];
    let client = client(&nodes).await.unwrap();
    let (sender, receiver) = watch::channel(client.head().await.unwrap());
    client.inner.members[1].lost(&ChainError::Timeout { what: "new blocks" });
    client.publish(&sender);
    assert_eq!(receiver.borrow().number, BlockNumber(100));
    set(&nodes[1].is_broken);
    assert_eq!(client.head().await.unwrap().number, BlockNumber(100));
}

#[tokio::test]
async fn nodes_that_are_lost_do_not_hold_the_head_back() {
    let nodes = [node(100), node(100), node(200)];
    let client = client(&nodes).await.unwrap();
    assert_eq!(client.head().await.unwrap().number, BlockNumber(100));
    let (sender, receiver) = watch::channel(client.head().await.unwrap());
    client.publish(&sender);
    assert_eq!(receiver.borrow().number, BlockNumber(100), "one alone cannot run ahead");
    for member in &client.inner.members[..2] {
        member.lost(&ChainError::Timeout { what: "new blocks" });
    }
    client.publish(&sender);
    assert_eq!(receiver.borrow().number, BlockNumber(200));
}

#[tokio::test]
async fn a_head_that_was_made_up_is_forgotten_with_the_node_that_named_it() {
    let nodes = [node(100), node(1_000_000)];
    let client = client(&nodes).await.unwrap();
    let (sender, receiver) = watch::channel(client.head().await.unwrap());
    assert_eq!(receiver.borrow().number, BlockNumber(1_000_000), "of two, either may be right");
    client.publish(&sender);
    client.inner.members[1].ban("contradicted the other endpoints".to_owned());
    assert_eq!(client.endpoints()[0].lag, Some(0), "a dropped node's head does not count");
    client.publish(&sender);
    assert_eq!(receiver.borrow().number, BlockNumber(100));
    // A little behind is only lag.
    nodes[0].head.store(90, Ordering::Relaxed);
    client.head().await.unwrap();
    client.publish(&sender);
    assert_eq!(receiver.borrow().number, BlockNumber(100));
}

#[tokio::test]
async fn a_node_that_still_synchronises_does_not_turn_time_back_when_the_others_are_lost() {
    let nodes = [node(50_000), node(100)];
    let client = client(&nodes).await.unwrap();
    let (sender, receiver) = watch::channel(client.head().await.unwrap());
    client.inner.members[0].lost(&ChainError::Timeout { what: "new blocks" });
    client.publish(&sender);
    assert_eq!(receiver.borrow().number, BlockNumber(50_000));
}

#[tokio::test]
async fn what_was_not_sent_blocks_nothing() {
    let nodes = [node(10)];
    let client = client(&nodes).await.unwrap();
    let fault = ChainError::Timeout { what: "the newest block" };
    *nodes[0].fate.lock().unwrap() = Some(SubmitError::Unsent(fault));
    client.submit(&signer(), &commitment()).await.unwrap_err();
    client.submit(&signer(), &commitment()).await.unwrap();
}

#[tokio::test]
async fn heads_are_followed_on_all_nodes() {
    let nodes = [node(50), node(100)];
    let client = client(&nodes).await.unwrap();
    let stop = CancellationToken::new();
    let mut heads = client.follow_heads(stop.clone()).await.unwrap();
    let newest = heads.wait_for(|head| head.number == BlockNumber(100));
    tokio::time::timeout(Duration::from_secs(10), newest).await.unwrap().unwrap();
    stop.cancel();
}

#[tokio::test]
async fn nothing_is_sent_while_an_earlier_transaction_may_be_included() {
    let nodes = [node(10), node(10)];
    let client = client(&nodes).await.unwrap();
    let lost = ChainError::Read { what: "set_commitment", reason: "connection lost".into() };
    *nodes[0].fate.lock().unwrap() = Some(lost.into());
    assert!(matches!(client.submit(&signer(), &commitment()).await, Err(SubmitError::Chain(_))));
    // The other node knows nothing of it, and would give out the same nonce.
    let again = client.submit(&signer(), &commitment()).await;
    assert!(
        matches!(again, Err(SubmitError::InFlight { nonce: 0, until: BlockNumber(42) })),
        "{again:?}"
    );
    assert_eq!(nodes[1].sent.lock().unwrap().len(), 0);
    // Its era is over: it never was included, and its nonce is free.
    for node in &nodes {
        node.head.store(43, Ordering::Relaxed);
    }
    client.submit(&signer(), &commitment()).await.unwrap();
    // If it was included after all, the next one has the next nonce.
    nodes[1].finalized_nonce.store(1, Ordering::Relaxed);
    *nodes[1].fate.lock().unwrap() = Some(ChainError::Timeout { what: "set_commitment" }.into());
    client.inner.members[0].state().rests_until = Some(Instant::now() + LONGEST_REST);
    assert!(matches!(client.submit(&signer(), &commitment()).await, Err(SubmitError::Chain(_))));
    nodes[0].finalized_nonce.store(2, Ordering::Relaxed);
    nodes[1].finalized_nonce.store(2, Ordering::Relaxed);
    let included = client.submit(&signer(), &commitment()).await;
    assert!(matches!(included, Err(SubmitError::Included { nonce: 1 })), "{included:?}");
    client.submit(&signer(), &commitment()).await.unwrap();
    let sent: Vec<u64> = nodes.iter().flat_map(|node| node.sent.lock().unwrap().clone()).collect();
    assert_eq!(sent.iter().filter(|nonce| **nonce == 2).count(), 1, "{sent:?}");
}

#[tokio::test]
async fn a_refused_transaction_blocks_nothing() {
    let nodes = [node(10)];
    let client = client(&nodes).await.unwrap();
    let rejection = Rejection::RateLimited;
    *nodes[0].fate.lock().unwrap() =
        Some(SubmitError::Rejected { what: "set_commitment", rejection });
    let refused = client.submit(&signer(), &commitment()).await.unwrap_err();
    assert_eq!(refused.rejection(), Some(&Rejection::RateLimited));
    client.submit(&signer(), &commitment()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_may_be_of_our_own_transaction_is_waited_out() {
    let nodes = [node(10)];
    let client = client(&nodes).await.unwrap();
    *nodes[0].fate.lock().unwrap() =
        Some(SubmitError::Rejected { what: "set_commitment", rejection: Rejection::NonceTaken });
    client.submit(&signer(), &commitment()).await.unwrap_err();
    let waiting = client.submit(&signer(), &commitment()).await;
    assert!(matches!(waiting, Err(SubmitError::InFlight { .. })), "{waiting:?}");
    nodes[0].finalized_nonce.store(1, Ordering::Relaxed);
    let included = client.submit(&signer(), &commitment()).await;
    assert!(matches!(included, Err(SubmitError::Included { nonce: 0 })), "{included:?}");
    client.submit(&signer(), &commitment()).await.unwrap();
}

#[tokio::test]
async fn a_pruned_state_is_asked_of_every_node_and_said() {
    let client = client(&[node(10), node(10)]).await.unwrap();
    let head = client.head().await.unwrap();
    assert!(matches!(client.metagraph(head).await, Err(ChainError::Pruned { .. })));
    assert_eq!(client.order()[0].name, "node 0", "an answer is not a failure");
}
