//! The chain through one or several nodes.
//!
//! With several, a node that fails is skipped for a while, a lagging one is asked last, and one
//! that disagrees with the others about a past block's hash is dropped with a warning. A majority
//! of honest nodes is enough. Of two nodes that contradict each other, the client believes the one
//! that can show the block, and if both can, the one configured first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::future::join_all;
use leoma_protocol::{
    BlockNumber, Digest, Hotkey, HotkeySigner, MemoryGuard, Netuid, Network, Uid,
};
use sp_core::{Pair as _, sr25519};
use tokio::time::Instant;

use super::address::without_keys;
use super::member::{Connector, EndpointStatus, Member};
use super::node::Endpoint;
use super::pace::{self, Pace};
use super::source::{Chain, HashCommit, TimelockedCommit};
use crate::error::{ChainError, Result, SubmitError};
use crate::head::Head;
use crate::read::{Hyperparameters, Metagraph};
use crate::settings::ChainSettings;
use crate::submit::{Call, MemoryLog, TransactionLog};

/// How long one of several nodes may take before the next one is asked.
const FAILOVER_AFTER: Duration = Duration::from_secs(10);
/// Lifetime, in blocks, of the transaction whose fee is queried; it is never sent.
const FEE_LIFE: u64 = 32;
/// Blocks over which the chain's pace is measured: twenty minutes of the live chain.
const PACE_BLOCKS: u64 = 100;
/// A node this many blocks behind the newest head is asked last: two minutes of the live chain.
const LAGGING_BY: u64 = 10;

pub(crate) struct Inner {
    pub(crate) network: Network,
    pub(crate) members: Vec<Member>,
    pub(crate) log: Arc<dyn TransactionLog>,
    pub(crate) submitting: tokio::sync::Mutex<()>,
    /// Whether transactions are only logged, not sent.
    pub(crate) rehearsing: AtomicBool,
}

/// The chain. Clones share connections and the order of transactions.
#[derive(Clone)]
pub struct ChainClient {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainClient").field("network", &self.inner.network).finish_non_exhaustive()
    }
}

impl ChainClient {
    /// Connects to one node for a subnet, or for a mechanism by its index, for short commands: the
    /// log of transactions ends with the process.
    ///
    /// # Errors
    /// [`ChainError::Connect`] when the node does not answer in time.
    pub async fn connect(url: &str, netuid: Netuid) -> Result<Self> {
        Self::connect_all(&[url.to_owned()], netuid, None, Arc::new(MemoryLog::default())).await
    }

    /// Connects to the configured nodes, for short commands.
    ///
    /// # Errors
    /// [`ChainError`] when none can be used.
    pub async fn of(settings: &ChainSettings, netuid: Netuid) -> Result<Self> {
        let ChainSettings { urls, genesis, .. } = settings;
        Self::connect_all(urls, netuid, *genesis, Arc::new(MemoryLog::default())).await
    }

    /// Connects to the nodes at `urls`; one that answers is enough. All must be nodes of one chain,
    /// that of the `expected` genesis or else that of the first node that answers.
    ///
    /// # Errors
    /// [`ChainError`] when none can be used; it says why of each.
    pub async fn connect_all(
        urls: &[String],
        netuid: Netuid,
        expected: Option<Digest>,
        log: Arc<dyn TransactionLog>,
    ) -> Result<Self> {
        let node = |url: &String| {
            let (name, url, pace) = (without_keys(url), url.clone(), Arc::<Pace>::default());
            let connect: Connector = Box::new(move || {
                let (url, pace) = (url.clone(), Arc::clone(&pace));
                Box::pin(async move {
                    let endpoint = Endpoint::connect_paced(&url, netuid, pace).await?;
                    Ok(Arc::new(endpoint) as Arc<dyn Chain>)
                })
            });
            (name, connect)
        };
        Self::connect_through(urls.iter().map(node).collect(), netuid, expected, log).await
    }

    /// Connects to nodes, each given as its name in logs and a function that connects to it;
    /// otherwise as [`ChainClient::connect_all`].
    ///
    /// # Errors
    /// [`ChainError`] when none can be used; it says why of each.
    pub async fn connect_through(
        nodes: Vec<(String, Connector)>,
        netuid: Netuid,
        expected: Option<Digest>,
        log: Arc<dyn TransactionLog>,
    ) -> Result<Self> {
        let members: Vec<Member> =
            nodes.into_iter().map(|(name, connect)| Member::new(name, connect)).collect();
        let opened = join_all(members.iter().map(|member| member.open(expected))).await;
        let genesis =
            expected.or_else(|| opened.iter().flatten().next().map(|chain| chain.genesis()));
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
                    ChainError::OtherChain { url: member.name.clone(), found, expected }
                }
            };
            member.failed(&error);
            if members.len() > 1 {
                tracing::warn!(endpoint = member.name, %error, "chain endpoint is unusable");
            }
            errors.push(error);
        }
        match genesis {
            Some(genesis) if usable > 0 => {
                let network = Network { genesis, netuid };
                let submitting = tokio::sync::Mutex::new(());
                Ok(Self {
                    inner: Arc::new(Inner {
                        network,
                        members,
                        log,
                        submitting,
                        rehearsing: AtomicBool::new(false),
                    }),
                })
            }
            _ if errors.len() == 1 => Err(errors.remove(0)),
            _ => {
                let reason = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                Err(ChainError::NoEndpoint { reason })
            }
        }
    }

    /// Genesis hash and subnet.
    pub fn network(&self) -> Network {
        self.inner.network
    }

    /// The status of each node, in the order of the configuration.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let newest =
            self.inner.members.iter().filter_map(Member::head).map(|head| head.number.0).max();
        let status = |member: &Member| {
            let dropped = member.is_banned();
            let state = member.state();
            EndpointStatus {
                url: member.name.clone(),
                connected: state.chain.as_ref().is_some_and(|chain| chain.is_connected()),
                head: state.head.map(|head| head.number),
                lag: state.head.and_then(|head| Some(newest?.saturating_sub(head.number.0))),
                dropped,
                last_error: state.last_error.clone(),
            }
        };
        self.inner.members.iter().map(status).collect()
    }

    /// The nodes in the order in which to ask them: as configured, with lagging and failed ones
    /// last and without those that were dropped.
    pub(crate) fn order(&self) -> Vec<&Member> {
        let now = Instant::now();
        let members = &self.inner.members;
        let newest = members.iter().filter_map(Member::head).map(|head| head.number.0).max();
        let mut order: Vec<(bool, bool, usize)> = Vec::with_capacity(members.len());
        for (index, member) in members.iter().enumerate().filter(|(_, member)| !member.is_banned())
        {
            let state = member.state();
            let rests = state.rests_until.is_some_and(|until| until > now);
            let lag = state
                .head
                .zip(newest)
                .map_or(0, |(head, newest)| newest.saturating_sub(head.number.0));
            order.push((rests, lag > LAGGING_BY, index));
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, index)| &members[index]).collect()
    }

    /// Asks one node after the other until one answers.
    pub(crate) async fn ask<T, A: Future<Output = Result<T>>>(
        &self,
        what: &'static str,
        question: impl Fn(Arc<dyn Chain>) -> A,
    ) -> Result<T> {
        let order = self.order();
        let several = order.len() > 1;
        let mut first = None;
        for member in order {
            let answer =
                async { question(member.open(Some(self.inner.network.genesis)).await?).await };
            let answer = if several {
                tokio::time::timeout(FAILOVER_AFTER, answer)
                    .await
                    .unwrap_or(Err(ChainError::Timeout { what }))
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
        Err(first.unwrap_or(ChainError::NoEndpoint {
            reason: "all endpoints were dropped for contradicting each other".to_owned(),
        }))
    }

    /// Does work with this client whose answers nobody waits for, such as what pages show. Its
    /// requests are few in a second, so that they do not hold up a transaction that has a deadline.
    pub async fn in_background<F: Future>(&self, work: F) -> F::Output {
        pace::in_background(work).await
    }

    /// The newest final block. With three nodes or more, two must have reached it, so that no
    /// single node can claim a block ahead of the chain.
    pub async fn head(&self) -> Result<Head> {
        if self.inner.members.len() == 1 {
            return self.ask("the newest block", |chain| async move { chain.head().await }).await;
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
        Head::believed(self.inner.members.len(), heads).ok_or_else(|| {
            first.unwrap_or(ChainError::NoEndpoint { reason: "all were dropped".to_owned() })
        })
    }

    /// The hash of the final block at a height, as the nodes agree on it.
    ///
    /// # Errors
    /// [`ChainError`], also for a height that no node has reached.
    pub async fn block_hash(&self, number: BlockNumber) -> Result<Digest> {
        const WHAT: &str = "a block's hash";
        if self.inner.members.len() == 1 {
            return self
                .ask(WHAT, move |chain| async move { chain.block_hash(number).await })
                .await;
        }
        let order = self.order();
        let asked = order.iter().map(|member| async move {
            let asked = async {
                let chain = member.open(Some(self.inner.network.genesis)).await?;
                // Honest nodes agree only on blocks up to their final one.
                let head = chain.head().await?;
                if head.number < number {
                    return Err(ChainError::NotReached { number });
                }
                let hash = chain.block_hash(number).await?;
                Ok((hash, chain))
            };
            tokio::time::timeout(FAILOVER_AFTER, asked)
                .await
                .unwrap_or(Err(ChainError::Timeout { what: WHAT }))
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
            return Err(
                first.unwrap_or(ChainError::NoEndpoint { reason: "all were dropped".to_owned() })
            );
        };
        if answers.iter().all(|(_, other, _)| other == hash) {
            return Ok(*hash);
        }
        Ok(self.settle_hash(number, &answers).await)
    }

    /// Decides between nodes that contradict each other, and drops those that are outvoted.
    async fn settle_hash(
        &self,
        number: BlockNumber,
        answers: &[(&Member, Digest, Arc<dyn Chain>)],
    ) -> Digest {
        let shown = answers.iter().map(|(_, hash, chain)| async move {
            let block = Head { number, hash: *hash };
            tokio::time::timeout(FAILOVER_AFTER, chain.has_block(block))
                .await
                .is_ok_and(|shown| shown.unwrap_or(false))
        });
        let shown = join_all(shown).await;
        let mut votes: BTreeMap<Digest, (bool, usize)> = BTreeMap::new();
        for ((_, hash, _), shown) in answers.iter().zip(shown) {
            let vote = votes.entry(*hash).or_default();
            vote.0 |= shown;
            vote.1 += 1;
        }
        // `max_by_key` keeps the last of equals, so the order is reversed: the first node wins.
        let best = answers
            .iter()
            .rev()
            .map(|(_, hash, _)| *hash)
            .max_by_key(|hash| votes[hash])
            .unwrap_or_default();
        for (member, hash, _) in answers.iter().filter(|(_, hash, _)| *hash != best) {
            tracing::warn!(
                endpoint = member.name, block = %number, said = %hash, others = %best,
                "chain endpoint contradicts the others about a past block, dropping it"
            );
            member
                .ban(format!("contradicted the other endpoints about the hash of block {number}"));
        }
        best
    }

    /// The subnet at a block: owner, neurons, commitments.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::NoSubnet`] where there is no such subnet.
    pub async fn metagraph(&self, at: Head) -> Result<Metagraph> {
        self.ask("the metagraph", move |chain| async move { chain.metagraph(at).await }).await
    }

    /// What the subnet demands of weights at a block.
    pub async fn hyperparameters(&self, at: Head) -> Result<Hyperparameters> {
        self.ask("the hyperparameters", move |chain| async move { chain.hyperparameters(at).await })
            .await
    }

    /// The chain's clock at a block, Unix milliseconds.
    pub async fn timestamp(&self, at: Head) -> Result<u64> {
        self.ask("the chain's clock", move |chain| async move { chain.timestamp(at).await }).await
    }

    /// The chain's clock at a block, and the milliseconds that a block takes, measured over the
    /// hundred blocks before it. `None` for the pace of a chain that has made too few blocks.
    pub async fn pace(&self, at: Head) -> Result<(u64, Option<u64>)> {
        let at_ms = self.timestamp(at).await?;
        // The first block's clock is the time at which the chain was created.
        let blocks = PACE_BLOCKS.min(at.number.0.saturating_sub(1));
        if blocks == 0 {
            return Ok((at_ms, None));
        }
        let number = BlockNumber(at.number.0 - blocks);
        let before = Head { number, hash: self.block_hash(number).await? };
        let elapsed = at_ms.saturating_sub(self.timestamp(before).await?);
        Ok((at_ms, Some(elapsed / blocks)))
    }

    /// The weights of a slot at a block, `(uid, weight)` each, as the chain scaled them.
    pub async fn weights(&self, at: Head, uid: Uid) -> Result<Vec<(Uid, u16)>> {
        self.ask("weights", move |chain| async move { chain.weights(at, uid).await }).await
    }

    /// Hashes of weights that a hotkey has committed and not revealed.
    pub async fn hash_commits(&self, at: Head, hotkey: Hotkey) -> Result<Vec<HashCommit>> {
        self.ask(
            "weight commits",
            move |chain| async move { chain.hash_commits(at, &hotkey).await },
        )
        .await
    }

    /// Encrypted weights that a hotkey committed in a subnet epoch and that the chain has not
    /// opened.
    pub async fn timelocked_commits(
        &self,
        at: Head,
        hotkey: Hotkey,
        epoch: u64,
    ) -> Result<Vec<TimelockedCommit>> {
        self.ask("timelocked commits", move |chain| async move {
            chain.timelocked_commits(at, &hotkey, epoch).await
        })
        .await
    }

    /// The newest drand round whose signature the chain has; `None` where it keeps none.
    pub async fn newest_drand_round(&self, at: Head) -> Result<Option<u64>> {
        self.ask("the drand round", move |chain| async move { chain.newest_drand_round(at).await })
            .await
    }

    /// What a registration on the subnet burns at a block, in rao. It rises with every registration
    /// and falls with time.
    pub async fn registration_burn(&self, at: Head) -> Result<u64> {
        self.ask("the cost of a registration", move |chain| async move {
            chain.registration_burn(at).await
        })
        .await
    }

    /// The fee for sending `call`, in rao, besides what the call itself costs. The fee depends on
    /// the call alone, so it is queried for a transaction signed with a throwaway key.
    ///
    /// # Errors
    /// [`SubmitError`] when it cannot be read.
    pub async fn fee(&self, call: &Call) -> Result<u64, SubmitError> {
        let (pair, _) = sr25519::Pair::generate();
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        let order = self.order();
        let member = order
            .first()
            .ok_or(ChainError::NoEndpoint { reason: "all were dropped".to_owned() })?;
        let chain = member.open(Some(self.inner.network.genesis)).await?;
        let signed = chain.sign(&signer, call, 0, FEE_LIFE).await?;
        Ok(chain.fee(&signed).await?)
    }

    /// What an account can spend at a block, in rao.
    pub async fn free_balance(&self, at: Head, account: &Hotkey) -> Result<u64> {
        let account = *account;
        self.ask("an account's balance", move |chain| async move {
            chain.free_balance(at, &account).await
        })
        .await
    }
}

#[cfg(test)]
mod tests;
