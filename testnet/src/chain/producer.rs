//! The clock that makes blocks.

use super::error::ChainError;
use super::ledger::StoredBlock;
use super::node::Shared;
use node_subtensor_runtime::executor::{self, Outcome};
use sp_core::H256;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Makes a block every `block_time` until told to stop; a block that takes longer delays the next one.
pub(super) async fn produce(
    shared: Arc<Shared>,
    block_time: Duration,
    stop: CancellationToken,
) -> Result<(), ChainError> {
    let mut ticks = tokio::time::interval(block_time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate; clients get a whole block time to connect before block 1.
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let shared = Arc::clone(&shared);
        let made = tokio::task::spawn_blocking(move || make_block(&shared)).await;
        made.map_err(|error| ChainError::Task("block production", error))??;
    }
}

/// Builds, stores and announces one block.
fn make_block(shared: &Shared) -> Result<(), ChainError> {
    let waiting = shared.pool.by_priority();
    let candidates: Vec<_> = waiting.iter().map(|waiting| waiting.transaction.clone()).collect();
    let parent = shared.ledger.best();
    let snapshot = shared.ledger.state(&parent);
    let after = snapshot.timestamp()?.saturating_add(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let now = now.max(after);
    let pulses = shared.beacon.pulses(snapshot.last_stored_round()?, now);
    let proposal = executor::build_block(&snapshot, &parent.header, now, &pulses, &candidates)?;
    let block = shared.ledger.append(&proposal)?;
    for (waiting, outcome) in waiting.iter().zip(&proposal.outcomes) {
        settle(shared, &block, waiting.hash, outcome);
    }
    drop_outdated(shared, &block)?;
    tracing::debug!(number = block.header.number, hash = ?block.hash, pulses = pulses.len(), extrinsics = proposal.extrinsics.len(), "block");
    // Nobody may be listening.
    let _ = shared.heads.send(block);
    Ok(())
}

fn settle(shared: &Shared, block: &StoredBlock, transaction: H256, outcome: &Outcome) {
    match outcome {
        Outcome::Included(result) => {
            if let Err(error) = result {
                tracing::debug!(?transaction, ?error, "transaction failed");
            }
            shared.pool.included(&transaction, block.hash);
        }
        Outcome::Deferred => {}
        Outcome::Refused(error) => {
            tracing::debug!(?transaction, ?error, "transaction dropped");
            shared.pool.refused(&transaction);
        }
        Outcome::Panicked => {
            tracing::warn!(?transaction, "transaction panicked the runtime and was dropped");
            shared.pool.refused(&transaction);
        }
    }
}

/// Judges what still waits against the new state: eras end, and others used the nonce.
fn drop_outdated(shared: &Shared, block: &StoredBlock) -> Result<(), ChainError> {
    let waiting = shared.pool.by_priority();
    if waiting.is_empty() {
        return Ok(());
    }
    let snapshot = shared.ledger.state(block);
    for waiting in waiting {
        if snapshot.validate(waiting.transaction, block.hash)?.is_err() {
            shared.pool.refused(&waiting.hash);
        }
    }
    Ok(())
}
