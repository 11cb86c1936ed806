//! Reads back from the chain what each validator set, block by block.
//!
//! The chain says in each block whose weights it stored, whether they were set in the open or
//! revealed there. Committed weights are stored in the epoch after the one they are for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use leoma_chain::{ChainClient, ChainError, Head};
use leoma_protocol::{BlockNumber, Hotkey, Netuid};
use subxt::client::OnlineClient;
use subxt::config::substrate::SubstrateConfig;
use subxt::rpcs::RpcClient;
use subxt::utils::H256;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::agreement::{EpochWeights, History, epoch_of, longest_agreement};
use super::mechanism::Mechanism;
use super::plan::NETUID;
use super::weights::WeightMode;

/// The event that is emitted when weights are stored; its fields are the storage index and the uid.
const STORED: (&str, &str) = ("SubtensorModule", "WeightsSet");

/// The subnet that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) validators: Vec<Hotkey>,
    pub(super) owner: Hotkey,
    pub(super) weights: WeightMode,
    pub(super) mechanism: Mechanism,
    /// The start that times are counted from.
    pub(super) start: Instant,
}

/// Follows the chain until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
    heads: watch::Receiver<Head>,
    _stop: DropGuard,
}

/// What the chain has shown so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) histories: BTreeMap<Hotkey, History>,
    /// How long after the start the first agreed weights were there.
    pub(super) first_agreed: Option<Duration>,
}

impl Watch {
    /// Starts to follow a subnet.
    pub(super) async fn start(
        chain: ChainClient,
        rpc: RpcClient,
        watched: Watched,
    ) -> Result<Self, ChainError> {
        let stop = CancellationToken::new();
        let mut heads = chain.follow_heads(stop.clone()).await?;
        let api = OnlineClient::from_rpc_client(rpc).await.map_err(|error| read_error(&error))?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut reader =
            Reader { chain, api, watched, seen: Arc::clone(&seen), next: heads.borrow().number };
        let (ended, receiver) = (stop.clone(), heads.clone());
        tokio::spawn(async move {
            while let Some(Ok(())) = ended.run_until_cancelled(heads.changed()).await {
                let head = *heads.borrow_and_update();
                if let Err(error) = reader.read_up_to(head).await {
                    tracing::warn!(
                        block = head.number.0,
                        %error,
                        "cannot read the weights; trying again at the next block"
                    );
                }
            }
        });
        Ok(Self { seen, heads: receiver, _stop: stop.drop_guard() })
    }

    /// The newest block.
    pub(super) fn block(&self) -> u64 {
        self.heads.borrow().number.0
    }

    /// Everything seen so far.
    pub(super) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_error(error: &dyn std::error::Error) -> ChainError {
    ChainError::Read { what: "stored weights", reason: leoma_chain::causes(error) }
}

struct Reader {
    chain: ChainClient,
    api: OnlineClient<SubstrateConfig>,
    watched: Watched,
    seen: Arc<Mutex<Seen>>,
    /// The first block that was not read.
    next: BlockNumber,
}

impl Reader {
    /// Reads every block up to `head`: blocks may come faster than they are read.
    async fn read_up_to(&mut self, head: Head) -> Result<(), ChainError> {
        while self.next <= head.number {
            let hash = if self.next == head.number {
                head.hash
            } else {
                self.chain.block_hash(self.next).await?
            };
            self.read(Head { number: self.next, hash }).await?;
            self.next = BlockNumber(self.next.0 + 1);
        }
        Ok(())
    }

    async fn read(&self, block: Head) -> Result<(), ChainError> {
        let uids = self.stored_in(block).await?;
        if uids.is_empty() {
            return Ok(());
        }
        let metagraph = self.chain.metagraph(block).await?;
        for hotkey in &self.watched.validators {
            let Some(neuron) =
                metagraph.neuron(hotkey).filter(|neuron| uids.contains(&neuron.uid.0))
            else {
                continue;
            };
            let weights: Vec<(u16, u16)> = self
                .chain
                .weights(block, neuron.uid)
                .await?
                .into_iter()
                .map(|(uid, value)| (uid.0, value))
                .collect();
            // The first of equally large weights, so that the reading does not depend on the order
            // of later ones.
            let winner = weights
                .iter()
                .max_by_key(|(uid, value)| (*value, std::cmp::Reverse(*uid)))
                .map(|(uid, _)| *uid);
            let winner = winner.and_then(|uid| metagraph.neurons.get(usize::from(uid)));
            let offset = self.watched.mechanism.epoch_offset();
            let until_stored = self.watched.weights.blocks_until_stored(offset);
            let epoch = epoch_of(block.number.0, offset);
            let Some(epoch_block) = epoch.checked_sub(until_stored) else {
                continue;
            };
            let winner_hotkey = winner.map(|neuron| neuron.hotkey);
            let entry =
                EpochWeights { epoch_block, winner_hotkey, weights, set_at_block: block.number.0 };
            lock(&self.seen).histories.entry(*hotkey).or_default().insert(epoch_block, entry);
        }
        self.note_agreement();
        Ok(())
    }

    /// The uids whose weights for the mechanism a block stored.
    async fn stored_in(&self, block: Head) -> Result<Vec<u16>, ChainError> {
        let hash = H256(block.hash.0);
        let at = self
            .api
            .at_block_hash_and_number(hash, block.number.0)
            .await
            .map_err(|error| read_error(&error))?;
        let events = at.events().fetch().await.map_err(|error| read_error(&error))?;
        let mut uids = Vec::new();
        for event in events.iter() {
            let event = event.map_err(|error| read_error(&error))?;
            if (event.pallet_name(), event.event_name()) != STORED {
                continue;
            }
            let (index, uid) = event
                .decode_fields_unchecked_as::<(u16, u16)>()
                .map_err(|error| read_error(&error))?;
            if index == self.watched.mechanism.index(Netuid(NETUID)).0 {
                uids.push(uid);
            }
        }
        Ok(uids)
    }

    fn note_agreement(&self) {
        let mut seen = lock(&self.seen);
        if seen.first_agreed.is_some() || seen.histories.len() < self.watched.validators.len() {
            return;
        }
        let histories: Vec<&History> = seen.histories.values().collect();
        if longest_agreement(&histories, &self.watched.owner).is_some() {
            seen.first_agreed = Some(self.watched.start.elapsed());
        }
    }
}
