//! The chain through one or several nodes.
//!
//! With several, a node that fails is passed over for a while, one that lags comes last, and one that names another hash for
//! a past block than the others is dropped with a warning. Three honest nodes of five, or two of three, are enough; of two
//! that contradict each other the one that can show the block is believed, and where both can the one named first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, join_all};
use leoma_protocol::{BlockNumber, Digest, Hotkey, HotkeySigner, Netuid, Network, Uid};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{ChainConfig, Config};

use super::endpoint::{Chain, Endpoint, HashCommit, TimelockedCommit};
use super::submission::{MemoryLog, Pending, TransactionLog};
use super::{Axon, Call, ChainError, Head, Hyperparameters, Metagraph, SubmitError, WeightVector};

/// Longest wait for one of several nodes before the next one is asked.
const FAILOVER_AFTER: Duration = Duration::from_secs(10);
/// Blocks behind the newest head from which a node is asked last: two minutes of the live chain.
const LAGGING_BY: u64 = 10;
/// Rest of a node after its first failure; doubled with each further one, up to the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a node that lied is left out: its operator may repair it, and a restart asks anew.
const BANNED_FOR: Duration = Duration::from_secs(3600);
/// A head that has not moved for so long is a fault: ten blocks of the live chain.
const STALLED_AFTER: Duration = Duration::from_secs(120);
/// Shortest such time, for chains of fast blocks.
const SHORTEST_STALL: Duration = Duration::from_secs(10);
/// Blocks that may be missed before a head has stalled.
const STALL_BLOCKS: u32 = 10;

/// Makes a connection.
type Connector = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Chain>, ChainError>> + Send + Sync>;

/// One of the nodes.
struct Member {
    name: String,
    connect: Connector,
    state: Mutex<MemberState>,
}

#[derive(Default)]
struct MemberState {
    chain: Option<Arc<dyn Chain>>,
    head: Option<Head>,
    failures: u32,
    rests_until: Option<Instant>,
    banned_until: Option<Instant>,
    last_error: String,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EndpointStatus {
    /// Its address, without keys.
    pub url: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Its newest final block, where heads are followed.
    pub head: Option<BlockNumber>,
    /// Blocks behind the newest head of all.
    pub lag: Option<u64>,
    /// Whether it was dropped for naming another hash than the others.
    pub dropped: bool,
    /// What it failed with last, empty for nothing since it last answered.
    pub last_error: String,
}

impl Member {
    fn new(url: &str, netuid: Netuid) -> Self {
        let owned = url.to_owned();
        let connect: Connector = Box::new(move || {
            let url = owned.clone();
            Box::pin(async move { Ok(Arc::new(Endpoint::connect(&url, netuid).await?) as Arc<dyn Chain>) })
        });
        Self { name: crate::config::without_keys(url), connect, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chain(&self) -> Option<Arc<dyn Chain>> {
        self.state().chain.clone()
    }

    fn is_banned(&self) -> bool {
        self.state().banned_until.is_some_and(|until| until > Instant::now())
    }

    /// Connects where there is no connection; a node of another chain is an error.
    async fn open(&self, expected: Option<Digest>) -> Result<Arc<dyn Chain>, ChainError> {
        if let Some(chain) = self.chain() {
            return Ok(chain);
        }
        let chain = (self.connect)().await.inspect_err(|error| self.failed(error))?;
        if let Some(expected) = expected.filter(|expected| *expected != chain.genesis()) {
            let error = ChainError::OtherChain { url: self.name.clone(), found: chain.genesis(), expected };
            self.failed(&error);
            return Err(error);
        }
        self.state().chain = Some(Arc::clone(&chain));
        Ok(chain)
    }

    fn answered(&self) {
        let mut state = self.state();
        (state.failures, state.rests_until) = (0, None);
        state.last_error.clear();
    }

    /// The connection is given up: an old one can be open and dead. What it said last says nothing about the head any more.
    fn lost(&self, error: &ChainError) {
        {
            let mut state = self.state();
            (state.chain, state.head) = (None, None);
        }
        self.failed(error);
    }

    fn failed(&self, error: &ChainError) {
        let mut state = self.state();
        state.last_error = error.to_string();
        // That the state is gone or the subnet unknown is an answer.
        if matches!(error, ChainError::Pruned { .. } | ChainError::NoSubnet { .. }) {
            return;
        }
        let rest = FIRST_REST.saturating_mul(1 << state.failures.min(6)).min(LONGEST_REST);
        state.failures = state.failures.saturating_add(1);
        state.rests_until = Some(Instant::now() + rest);
    }
}

struct Inner {
    network: Network,
    members: Vec<Member>,
    log: Arc<dyn TransactionLog>,
    submitting: tokio::sync::Mutex<()>,
}

/// The chain. Clones share connections and the order of transactions.
#[derive(Clone)]
pub struct ChainClient {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainClient").field("network", &self.inner.network).finish_non_exhaustive()
    }
}

impl ChainClient {
    /// Connects to one node, for commands that end soon: what is sent is remembered while the process lives.
    ///
    /// # Errors
    /// [`ChainError::Connect`] when the node does not answer in time.
    pub async fn connect(url: &str, netuid: Netuid) -> Result<Self, ChainError> {
        Self::connect_all(&[url.to_owned()], netuid, None, Arc::new(MemoryLog::default())).await
    }

    /// Connects to the configured nodes, for commands that end soon.
    ///
    /// # Errors
    /// [`ChainError`] when none can be used.
    pub async fn of(config: &Config) -> Result<Self, ChainError> {
        let ChainConfig { urls, genesis, .. } = &config.chain;
        Self::connect_all(urls, config.netuid, *genesis, Arc::new(MemoryLog::default())).await
    }

    /// Connects to the nodes at `urls`, of which one is enough to begin with. All must be of one chain: that of `expected`,
    /// else that of the first node that answers.
    ///
    /// # Errors
    /// [`ChainError`] when none can be used; it says why of each.
    pub async fn connect_all(
        urls: &[String],
        netuid: Netuid,
        expected: Option<Digest>,
        log: Arc<dyn TransactionLog>,
    ) -> Result<Self, ChainError> {
        let members = urls.iter().map(|url| Member::new(url, netuid)).collect();
        Self::open(members, netuid, expected, log).await
    }

    async fn open(
        members: Vec<Member>,
        netuid: Netuid,
        expected: Option<Digest>,
        log: Arc<dyn TransactionLog>,
    ) -> Result<Self, ChainError> {
        let opened = join_all(members.iter().map(|member| member.open(expected))).await;
        let genesis = expected.or_else(|| opened.iter().flatten().next().map(|chain| chain.genesis()));
        let mut errors: Vec<ChainError> = Vec::new();
        let mut usable = 0;
        for (member, opened) in members.iter().zip(opened) {
            let error = match opened {
                Err(error) => error,
                Ok(chain) if Some(chain.genesis()) == genesis => {
                    usable += 1;
                    continue;
                }
                Ok(chain) => {
                    member.state().chain = None;
                    let (found, expected) = (chain.genesis(), genesis.unwrap_or_default());
                    let error = ChainError::OtherChain { url: member.name.clone(), found, expected };
                    member.failed(&error);
                    error
                }
            };
            if members.len() > 1 {
                tracing::warn!(endpoint = member.name, %error, "chain endpoint cannot be used now");
            }
            errors.push(error);
        }
        match genesis {
            Some(genesis) if usable > 0 => {
                let network = Network { genesis, netuid };
                let submitting = tokio::sync::Mutex::new(());
                Ok(Self { inner: Arc::new(Inner { network, members, log, submitting }) })
            }
            _ if errors.len() == 1 => Err(errors.remove(0)),
            _ => {
                let reason = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                Err(ChainError::NoEndpoint { reason })
            }
        }
    }

    /// Genesis hash and subnet.
    #[must_use]
    pub fn network(&self) -> Network {
        self.inner.network
    }

    /// What is known of each node, in the order they were named.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let newest = self.inner.members.iter().filter_map(|member| member.state().head).map(|head| head.number.0).max();
        let status = |member: &Member| {
            let dropped = member.is_banned();
            let state = member.state();
            EndpointStatus {
                url: member.name.clone(),
                connected: state.chain.is_some(),
                head: state.head.map(|head| head.number),
                lag: state.head.and_then(|head| Some(newest?.saturating_sub(head.number.0))),
                dropped,
                last_error: state.last_error.clone(),
            }
        };
        self.inner.members.iter().map(status).collect()
    }

    /// The nodes in the order in which they should be asked: as named, those that lag or rest last, liars not at all.
    fn order(&self) -> Vec<&Member> {
        let now = Instant::now();
        let members = &self.inner.members;
        let newest = members.iter().filter_map(|member| member.state().head).map(|head| head.number.0).max();
        let mut order: Vec<(bool, bool, usize)> = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate().filter(|(_, member)| !member.is_banned()) {
            let state = member.state();
            let rests = state.rests_until.is_some_and(|until| until > now);
            let lag = state.head.zip(newest).map_or(0, |(head, newest)| newest.saturating_sub(head.number.0));
            order.push((rests, lag > LAGGING_BY, index));
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, index)| &members[index]).collect()
    }

    /// Asks one node after the other until one answers.
    async fn ask<T>(
        &self,
        what: &'static str,
        question: impl Fn(Arc<dyn Chain>) -> BoxFuture<'static, Result<T, ChainError>>,
    ) -> Result<T, ChainError> {
        let order = self.order();
        let several = order.len() > 1;
        let mut first = None;
        for member in order {
            let answer = async { question(member.open(Some(self.inner.network.genesis)).await?).await };
            let answer = if several {
                tokio::time::timeout(FAILOVER_AFTER, answer).await.unwrap_or(Err(ChainError::Timeout { what }))
            } else {
                answer.await
            };
            match answer {
                Ok(answer) => {
                    member.answered();
                    return Ok(answer);
                }
                Err(error) => {
                    member.failed(&error);
                    if several {
                        tracing::debug!(endpoint = member.name, %error, "chain endpoint failed, asking the next one");
                    }
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or(ChainError::NoEndpoint { reason: "each was dropped for lying".to_owned() }))
    }

    /// The newest final block: of three nodes or more the newest that two have reached, so that none can run ahead of the
    /// chain alone.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn head(&self) -> Result<Head, ChainError> {
        if self.inner.members.len() == 1 {
            return self.ask("the newest block", |chain| Box::pin(async move { chain.head().await })).await;
        }
        let asked = self.order().into_iter().map(|member| async move {
            let asked = async { member.open(Some(self.inner.network.genesis)).await?.head().await };
            let limited = tokio::time::timeout(FAILOVER_AFTER, asked).await;
            let head = limited.unwrap_or(Err(ChainError::Timeout { what: "the newest block" }));
            match &head {
                Ok(head) => {
                    member.answered();
                    member.state().head = Some(*head);
                }
                Err(error) => member.failed(error),
            }
            head
        });
        let mut heads = Vec::new();
        let mut first = None;
        for answer in join_all(asked).await {
            match answer {
                Ok(head) => heads.push(head),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        believed(heads).ok_or_else(|| first.unwrap_or(ChainError::NoEndpoint { reason: "none answers".to_owned() }))
    }

    /// The hash of the final block at a height, as the nodes agree on it.
    ///
    /// # Errors
    /// [`ChainError`], also for a height that no node has reached.
    pub async fn block_hash(&self, number: BlockNumber) -> Result<Digest, ChainError> {
        const WHAT: &str = "a block's hash";
        if self.inner.members.len() == 1 {
            return self.ask(WHAT, move |chain| Box::pin(async move { chain.block_hash(number).await })).await;
        }
        let order = self.order();
        let asked = order.iter().map(|member| async move {
            let asked = async {
                let chain = member.open(Some(self.inner.network.genesis)).await?;
                // Below a node's final block only: above it honest nodes may differ.
                let head = chain.head().await?;
                if head.number < number {
                    return Err(ChainError::Read { what: WHAT, reason: format!("block {number} is not final there") });
                }
                let hash = chain.block_hash(number).await?;
                Ok((hash, chain))
            };
            tokio::time::timeout(FAILOVER_AFTER, asked).await.unwrap_or(Err(ChainError::Timeout { what: WHAT }))
        });
        let mut answers: Vec<(&Member, Digest, Arc<dyn Chain>)> = Vec::new();
        let mut first = None;
        for (member, answer) in order.iter().zip(join_all(asked).await) {
            match answer {
                Ok((hash, chain)) => answers.push((member, hash, chain)),
                Err(error) => {
                    member.failed(&error);
                    first.get_or_insert(error);
                }
            }
        }
        let Some((_, hash, _)) = answers.first() else {
            return Err(first.unwrap_or(ChainError::NoEndpoint { reason: "none answers".to_owned() }));
        };
        if answers.iter().all(|(_, other, _)| other == hash) {
            return Ok(*hash);
        }
        Ok(self.settle_hash(number, &answers).await)
    }

    /// Decides between nodes that contradict each other, and drops the others.
    async fn settle_hash(&self, number: BlockNumber, answers: &[(&Member, Digest, Arc<dyn Chain>)]) -> Digest {
        let shown = answers.iter().map(|(_, hash, chain)| async move {
            let block = Head { number, hash: *hash };
            tokio::time::timeout(FAILOVER_AFTER, chain.has_block(block)).await.is_ok_and(|shown| shown.unwrap_or(false))
        });
        let shown = join_all(shown).await;
        let mut votes: BTreeMap<Digest, (bool, usize)> = BTreeMap::new();
        for ((_, hash, _), shown) in answers.iter().zip(shown) {
            let vote = votes.entry(*hash).or_default();
            vote.0 |= shown;
            vote.1 += 1;
        }
        // `max_by_key` keeps the last of equals: the first named comes last.
        let best = answers.iter().rev().map(|(_, hash, _)| *hash).max_by_key(|hash| votes[hash]).unwrap_or_default();
        for (member, hash, _) in answers.iter().filter(|(_, hash, _)| *hash != best) {
            tracing::warn!(
                endpoint = member.name, block = %number, said = %hash, others = %best,
                "chain endpoint names another hash for a past block than the others: dropped"
            );
            let mut state = member.state();
            state.banned_until = Some(Instant::now() + BANNED_FOR);
            state.last_error = format!("named another hash for block {number}");
        }
        best
    }

    /// The subnet at a block: owner, neurons, commitments.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::NoSubnet`] where there is no such subnet.
    pub async fn metagraph(&self, at: Head) -> Result<Metagraph, ChainError> {
        self.ask("the metagraph", move |chain| Box::pin(async move { chain.metagraph(at).await })).await
    }

    /// What the subnet demands of weights at a block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn hyperparameters(&self, at: Head) -> Result<Hyperparameters, ChainError> {
        self.ask("the hyperparameters", move |chain| Box::pin(async move { chain.hyperparameters(at).await })).await
    }

    /// The chain's clock at a block, Unix milliseconds.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn timestamp(&self, at: Head) -> Result<u64, ChainError> {
        self.ask("the chain's clock", move |chain| Box::pin(async move { chain.timestamp(at).await })).await
    }

    /// The weights of a slot at a block, `(uid, weight)` each, as the chain scaled them.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn weights(&self, at: Head, uid: Uid) -> Result<Vec<(Uid, u16)>, ChainError> {
        self.ask("weights", move |chain| Box::pin(async move { chain.weights(at, uid).await })).await
    }

    /// Hashes of weights that a hotkey has committed and not revealed.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn hash_commits(&self, at: Head, hotkey: Hotkey) -> Result<Vec<HashCommit>, ChainError> {
        self.ask("weight commits", move |chain| Box::pin(async move { chain.hash_commits(at, &hotkey).await })).await
    }

    /// Encrypted weights that a hotkey committed in a subnet epoch and that the chain has not opened.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn timelocked_commits(
        &self,
        at: Head,
        hotkey: Hotkey,
        epoch: u64,
    ) -> Result<Vec<TimelockedCommit>, ChainError> {
        let question = move |chain: Arc<dyn Chain>| -> BoxFuture<'static, _> {
            Box::pin(async move { chain.timelocked_commits(at, &hotkey, epoch).await })
        };
        self.ask("timelocked commits", question).await
    }

    /// The newest drand round whose signature the chain has; `None` where it keeps none.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn newest_drand_round(&self, at: Head) -> Result<Option<u64>, ChainError> {
        self.ask("the drand round", move |chain| Box::pin(async move { chain.newest_drand_round(at).await })).await
    }

    /// What a registration on the subnet burns at a block, in rao. It rises with every registration and falls with time.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn registration_burn(&self, at: Head) -> Result<u64, ChainError> {
        self.ask("the cost of a registration", move |chain| Box::pin(async move { chain.registration_burn(at).await }))
            .await
    }

    /// What an account can spend at a block, in rao.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn free_balance(&self, at: Head, account: &Hotkey) -> Result<u64, ChainError> {
        let account = *account;
        self.ask("an account's balance", move |chain| Box::pin(async move { chain.free_balance(at, &account).await }))
            .await
    }

    /// Registers `hotkey` on the subnet, paid by `coldkey`, and waits until it is in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn burned_register(&self, coldkey: &HotkeySigner, hotkey: &Hotkey) -> Result<Digest, SubmitError> {
        self.submit(coldkey, &Call::BurnedRegister { hotkey: *hotkey }).await
    }

    /// Sets weights as `(uid, weight)` in the open and waits until they are in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn set_weights(
        &self,
        signer: &HotkeySigner,
        weights: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<Digest, SubmitError> {
        let (uids, values) = weights.iter().copied().unzip();
        self.submit(signer, &Call::SetWeights(WeightVector { uids, values, version_key })).await
    }

    /// Commits a text under the signer's hotkey and waits until it is in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn set_commitment(&self, signer: &HotkeySigner, text: &str) -> Result<Digest, SubmitError> {
        self.submit(signer, &Call::SetCommitment { text: text.to_owned() }).await
    }

    /// Announces the address at which peers reach the signer, and waits until it is in a final block.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn serve_axon(&self, signer: &HotkeySigner, axon: Axon) -> Result<Digest, SubmitError> {
        self.submit(signer, &Call::ServeAxon(axon)).await
    }

    /// Sends a transaction and waits until it is in a final block; its hash. One at a time, and none while an earlier one of
    /// this key may yet be included.
    ///
    /// # Errors
    /// [`SubmitError`]. After [`SubmitError::Chain`] the transaction may have taken effect: read back.
    pub async fn submit(&self, signer: &HotkeySigner, call: &Call) -> Result<Digest, SubmitError> {
        let _turn = self.inner.submitting.lock().await;
        let account = signer.hotkey();
        self.settle_pending(&account).await?;
        let nonces =
            self.ask("the account's nonce", move |chain| Box::pin(async move { chain.nonces(&account).await })).await?;
        let order = self.order();
        let member = order.first().ok_or(ChainError::NoEndpoint { reason: "none is left".to_owned() })?;
        let chain = member.open(Some(self.inner.network.genesis)).await?;
        let signed = chain.sign(signer, call, nonces.next).await?;
        let (nonce, valid_until) = (signed.nonce, signed.valid_until);
        let pending = Pending { account, nonce, valid_until, what: signed.what.to_owned() };
        self.inner.log.record(Some(&pending)).map_err(SubmitError::Unrecorded)?;
        let sent = chain.send(&signed).await;
        match &sent {
            Err(SubmitError::Rejected { rejection, .. }) if rejection.may_be_our_own() => {}
            // In a final block, or refused: either way it is decided.
            Ok(_) | Err(SubmitError::Rejected { .. }) => {
                self.inner.log.record(None).map_err(SubmitError::Unrecorded)?
            }
            Err(SubmitError::Chain(error)) => {
                tracing::warn!(endpoint = member.name, call = signed.what, nonce, %error, "transaction sent, its fate is unknown");
                member.failed(error);
            }
            Err(_) => {}
        }
        sent
    }

    /// Makes sure that the transaction sent last can no longer be included, or was.
    async fn settle_pending(&self, account: &Hotkey) -> Result<(), SubmitError> {
        let pending = self.inner.log.pending().map_err(SubmitError::Unrecorded)?;
        let Some(pending) = pending.filter(|pending| pending.account == *account) else { return Ok(()) };
        let account = *account;
        let head = self.head().await?;
        let nonces =
            self.ask("the account's nonce", move |chain| Box::pin(async move { chain.nonces(&account).await })).await?;
        if !pending.is_decided(head.number, nonces) {
            return Err(SubmitError::InFlight { nonce: pending.nonce, until: pending.valid_until });
        }
        self.inner.log.record(None).map_err(SubmitError::Unrecorded)?;
        // Whoever asks for another one has read the chain before this was included, and must look again.
        if nonces.finalized > pending.nonce { Err(SubmitError::Included { nonce: pending.nonce }) } else { Ok(()) }
    }

    /// Follows final blocks in the background until `stop`; the receiver always holds the newest one.
    ///
    /// # Errors
    /// [`ChainError`] when not even the first block can be read.
    pub async fn follow_heads(&self, stop: CancellationToken) -> Result<watch::Receiver<Head>, ChainError> {
        let first = self.head().await?;
        let (sender, receiver) = watch::channel(first);
        let sender = Arc::new(sender);
        for index in 0..self.inner.members.len() {
            let (client, sender, stop) = (self.clone(), Arc::clone(&sender), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = client.follow_member(index, &sender) => {}
                }
            });
        }
        Ok(receiver)
    }

    /// Follows one node for ever, connecting anew whenever its stream ends or falls silent.
    async fn follow_member(&self, index: usize, sender: &watch::Sender<Head>) {
        let member = &self.inner.members[index];
        let mut failures: u32 = 0;
        loop {
            let error = match self.forward_heads(member, sender, &mut failures).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            member.lost(&error);
            tracing::warn!(endpoint = member.name, %error, "chain endpoint lost, connecting anew");
            let rest = FIRST_REST.saturating_mul(1 << failures.min(6)).min(LONGEST_REST);
            failures = failures.saturating_add(1);
            tokio::time::sleep(rest.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    async fn forward_heads(
        &self,
        member: &Member,
        sender: &watch::Sender<Head>,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, ChainError> {
        const WHAT: &str = "new blocks";
        let chain = member.open(Some(self.inner.network.genesis)).await?;
        let mut heads = chain.heads().await?;
        let mut stall = STALLED_AFTER;
        let mut last = Instant::now();
        let mut count: u32 = 0;
        loop {
            let next = tokio::time::timeout(stall, heads.next()).await;
            let ended = || ChainError::Read { what: WHAT, reason: "the stream ended".to_owned() };
            let head = match next {
                Ok(head) => head.ok_or_else(ended)??,
                Err(_) => {
                    return Err(ChainError::Read { what: WHAT, reason: format!("none for {} s", stall.as_secs()) });
                }
            };
            *failures = 0;
            member.answered();
            member.state().head = Some(head);
            count = count.saturating_add(1);
            if count > 2 {
                // After the first ones, which may come in a burst, the pace is that of the chain.
                let pace = last.elapsed().saturating_mul(STALL_BLOCKS).clamp(SHORTEST_STALL, STALLED_AFTER);
                stall = if count == 3 { pace } else { stall.max(pace) };
            }
            last = Instant::now();
            self.publish(sender);
        }
    }

    /// Tells of the newest head that is believed. Heads of a node that lags behind another one must not turn time back.
    fn publish(&self, sender: &watch::Sender<Head>) {
        let heads = self.inner.members.iter().filter(|member| !member.is_banned());
        let Some(newest) = believed(heads.filter_map(|member| member.state().head).collect()) else { return };
        sender.send_if_modified(|current| {
            let newer = newest.number > current.number;
            if newer {
                *current = newest;
            }
            newer
        });
    }
}

/// The head to act on: the highest of one or two, of more the highest that a second node has reached too.
fn believed(mut heads: Vec<Head>) -> Option<Head> {
    heads.sort_by_key(|head| std::cmp::Reverse(head.number));
    let place = usize::from(heads.len() > 2);
    heads.get(place).copied()
}

#[cfg(test)]
mod tests;
