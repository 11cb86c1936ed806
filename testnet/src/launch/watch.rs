//! Reads back from the chain what each validator set, block by block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use leoma::chain::{ChainClient, ChainError, Head};
use leoma_protocol::Hotkey;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::agreement::{EpochWeights, History, epoch_of, longest_agreement};

/// Follows the chain; dropping it ends the following.
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
    /// Starts to follow `validators` of a subnet of `owner`; times count from `start`.
    pub(super) async fn start(
        chain: ChainClient,
        validators: Vec<Hotkey>,
        owner: Hotkey,
        start: Instant,
    ) -> Result<Self, ChainError> {
        let stop = CancellationToken::new();
        let mut heads = chain.follow_heads(stop.clone()).await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let reader = Reader { chain, validators, owner, start, seen: Arc::clone(&seen) };
        let (ended, receiver) = (stop.clone(), heads.clone());
        tokio::spawn(async move {
            while let Some(Ok(())) = ended.run_until_cancelled(heads.changed()).await {
                let head = *heads.borrow_and_update();
                if let Err(error) = reader.read(head).await {
                    tracing::warn!(block = head.number.0, %error, "weights not read, trying again at the next block");
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

struct Reader {
    chain: ChainClient,
    validators: Vec<Hotkey>,
    owner: Hotkey,
    start: Instant,
    seen: Arc<Mutex<Seen>>,
}

impl Reader {
    async fn read(&self, head: Head) -> Result<(), ChainError> {
        let metagraph = self.chain.metagraph(head).await?;
        for hotkey in &self.validators {
            let Some(neuron) = metagraph.neuron(hotkey) else {
                continue;
            };
            let set_at_block = neuron.last_update.0;
            if set_at_block == 0 || self.knows(hotkey, set_at_block) {
                continue;
            }
            let weights: Vec<(u16, u16)> =
                self.chain.weights(head, neuron.uid).await?.into_iter().map(|(uid, value)| (uid.0, value)).collect();
            // The first of equally large weights, so that the reading does not depend on the order of later ones.
            let winner =
                weights.iter().max_by_key(|(uid, value)| (*value, std::cmp::Reverse(*uid))).map(|(uid, _)| *uid);
            let winner = winner.and_then(|uid| metagraph.neurons.get(usize::from(uid)));
            let epoch_block = epoch_of(set_at_block);
            let winner_hotkey = winner.map(|neuron| neuron.hotkey);
            let entry = EpochWeights { epoch_block, winner_hotkey, weights, set_at_block };
            lock(&self.seen).histories.entry(*hotkey).or_default().insert(epoch_block, entry);
        }
        self.note_agreement();
        Ok(())
    }

    fn knows(&self, hotkey: &Hotkey, set_at_block: u64) -> bool {
        let seen = lock(&self.seen);
        let history = seen.histories.get(hotkey);
        history
            .and_then(|history| history.get(&epoch_of(set_at_block)))
            .is_some_and(|known| known.set_at_block == set_at_block)
    }

    fn note_agreement(&self) {
        let mut seen = lock(&self.seen);
        if seen.first_agreed.is_some() || seen.histories.len() < self.validators.len() {
            return;
        }
        let histories: Vec<&History> = seen.histories.values().collect();
        if longest_agreement(&histories, &self.owner).is_some() {
            seen.first_agreed = Some(self.start.elapsed());
        }
    }
}
