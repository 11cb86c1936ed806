//! The periodic check of all miners.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_chain::{Commitment, Metagraph};
use leoma_protocol::{BlockNumber, Hotkey, Uid};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lookups::{Lookups, Subject};
use super::table::check_table;
use super::{ChutesClient, HuggingFaceClient, MinerState, MinerTable, Validity};
use crate::alarms::Alarms;
use crate::config::ServicesConfig;
use crate::metrics::Metrics;

/// Checks miners against the services.
#[derive(Debug)]
pub(crate) struct MinerValidator {
    lookups: Lookups,
    /// How long a result stands while a service gives no new one.
    state_ttl: Duration,
    /// When each miner was last found valid or invalid.
    known_at: HashMap<Hotkey, Instant>,
}

impl MinerValidator {
    /// A validator that knows nothing yet. It raises an alarm for a service that fails us.
    pub(crate) fn new(
        chutes: ChutesClient,
        hugging_face: HuggingFaceClient,
        config: &ServicesConfig,
        alarms: Alarms,
    ) -> Self {
        let lookups = Lookups::new(chutes, hugging_face, config, alarms);
        Self { lookups, state_ttl: config.miner_state_ttl, known_at: HashMap::new() }
    }

    /// Checks the miners every `every`, and publishes the table in `tables`, until `stop`.
    pub(crate) async fn run(
        mut self,
        metagraphs: watch::Receiver<Arc<Metagraph>>,
        every: Duration,
        metrics: Metrics,
        tables: watch::Sender<Arc<MinerTable>>,
        stop: CancellationToken,
    ) {
        loop {
            let metagraph = Arc::clone(&metagraphs.borrow());
            let previous = Arc::clone(&tables.borrow());
            let mut table = tokio::select! {
                () = stop.cancelled() => return,
                table = self.check(metagraph.block, subjects(&metagraph), &previous) => table,
            };
            table.miners.extend(unreadable(&metagraph));
            let valid = table.valid().count();
            log_changes(&previous, &table, valid);
            metrics.valid_miners.set(i64::try_from(valid).unwrap_or(i64::MAX));
            tables.send_replace(Arc::new(table));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Checks every miner in `subjects`. The result in `previous` stands for a while where a
    /// service cannot be asked.
    async fn check(
        &mut self,
        block: BlockNumber,
        subjects: Vec<Subject>,
        previous: &MinerTable,
    ) -> MinerTable {
        let checked = self.lookups.check(subjects).await;
        let now = Instant::now();
        self.known_at.retain(|hotkey, _| checked.contains_key(hotkey));
        for (hotkey, miner) in &checked {
            if !matches!(miner.validity, Validity::Unknown { .. }) {
                self.known_at.insert(*hotkey, now);
            }
        }
        let keeps = |hotkey: &Hotkey| {
            self.known_at.get(hotkey).is_some_and(|known| now - *known < self.state_ttl)
        };
        check_table(block, checked, previous, keeps)
    }
}

/// The neurons whose newest commitment cannot be read: each concerns only that hotkey. A
/// validator's witness is no miner's commitment.
fn unreadable(metagraph: &Metagraph) -> BTreeMap<Hotkey, MinerState> {
    let of_neuron = |(hotkey, unreadable): (&Hotkey, &leoma_chain::UnreadableCommitment)| {
        if unreadable.reason == leoma_chain::CommitmentDecodeError::Witness {
            return None;
        }
        let reason = format!("unreadable_commitment: {unreadable}");
        let validity = Validity::Invalid { reason };
        let uid = metagraph.uid(hotkey)?;
        Some((*hotkey, MinerState { uid, commit_block: unreadable.block, validity }))
    };
    metagraph.unreadable.iter().filter_map(of_neuron).collect()
}

/// Every registered hotkey that has a commitment to a model.
fn subjects(metagraph: &Metagraph) -> Vec<Subject> {
    let committed = |neuron: &leoma_chain::Neuron| -> Option<(Hotkey, Uid, Commitment)> {
        let commitment = metagraph.commitments.get(&neuron.hotkey)?;
        // The owner's commitment names the allowlist, not a model.
        leoma_rotation::allowlist::committed_hash(&commitment.text)
            .is_none()
            .then(|| (neuron.hotkey, neuron.uid, commitment.clone()))
    };
    metagraph
        .neurons
        .iter()
        .filter_map(committed)
        .map(|(hotkey, uid, commitment)| Subject { hotkey, uid, commitment })
        .collect()
}

fn log_changes(previous: &MinerTable, table: &MinerTable, valid: usize) {
    if table.miners == previous.miners {
        return;
    }
    tracing::info!(valid, committed = table.miners.len(), block = %table.block, "miners checked");
    for (hotkey, miner) in &table.miners {
        if previous.miners.get(hotkey) != Some(miner) {
            tracing::info!(miner = %hotkey, validity = ?miner.validity, "miner changed");
        }
    }
}

#[cfg(test)]
mod tests;
