//! Making blocks: by the clock, by steps, and forks.

use super::entries::{Change, StoredBlock};
use super::error::ChainError;
use super::shared::{Announcement, News, Shared};
use super::switches::Switches;
use node_subtensor_runtime::UncheckedExtrinsic;
use node_subtensor_runtime::executor::{self, Orders, Outcome, Proposal};
use sp_core::H256;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// What makes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The clock; chain time is the wall clock's.
    Ticked,
    /// Somebody who asks for it; chain time moves by the step.
    Stepped,
}

/// Makes a block every `block_time` until told to stop; a block that takes longer delays the next
/// one. Without a block time every block is asked for.
pub(super) async fn produce(
    shared: Arc<Shared>,
    block_time: Duration,
    stop: CancellationToken,
) -> Result<(), ChainError> {
    if block_time.is_zero() {
        stop.cancelled().await;
        return Ok(());
    }
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
        let made = tokio::task::spawn_blocking(move || {
            let _making = shared.making.lock();
            // Checked under the lock, so that no block follows after the order to stall production
            // was answered.
            if shared.switches.lock().production_stalled {
                return Ok(());
            }
            make_block(&shared, Pace::Ticked).map(drop)
        });
        made.await.map_err(|error| ChainError::Task("block production", error))??;
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Builds, stores and announces one block on the best one. The caller holds `making`.
pub(super) fn make_block(shared: &Shared, pace: Pace) -> Result<StoredBlock, ChainError> {
    let waiting = shared.pool.by_priority();
    let candidates: Vec<_> = waiting.iter().map(|waiting| waiting.transaction.clone()).collect();
    let view = shared.ledger.view();
    let parent = view.best;
    let previous = shared.ledger.state(&parent).timestamp()?;
    let (now, orders, finalized) = {
        let mut switches = shared.switches.lock();
        let now = match pace {
            Pace::Ticked => switches.clock.ticked(previous, wall_clock()),
            Pace::Stepped => switches.clock.stepped(previous, wall_clock()),
        };
        let finalized = finality(
            &switches,
            parent.header.number.saturating_add(1),
            view.finalized.header.number,
        );
        (now, switches.orders.clone(), finalized)
    };
    let proposal = propose(shared, &parent, now, &candidates, &orders)?;
    let (block, change, at) = shared.ledger.append(&proposal, finalized)?;
    shared.switches.lock().orders = orders.lasting();
    for (waiting, outcome) in waiting.iter().zip(&proposal.outcomes) {
        settle(shared, &block, waiting.hash, outcome);
    }
    drop_outdated(shared, &block)?;
    tracing::debug!(
        number = block.header.number,
        hash = ?block.hash,
        transactions = proposal.extrinsics.len() - 1,
        "block"
    );
    shared.announce(Announcement { at, news: News::Imported { block: block.clone(), best: true } });
    announce_finality(shared, &change, at)?;
    let kept = shared.switches.lock().kept_states;
    shared.ledger.prune(kept)?;
    Ok(block)
}

/// The one place where blocks are built.
fn propose(
    shared: &Shared,
    parent: &StoredBlock,
    now: u64,
    candidates: &[UncheckedExtrinsic],
    orders: &Orders,
) -> Result<Proposal, ChainError> {
    let snapshot = shared.ledger.state(parent);
    let pulses = shared.beacon.pulses(snapshot.last_stored_round()?, now);
    Ok(executor::build_block(&snapshot, &parent.header, now, &pulses, candidates, orders)?)
}

/// How far the chain is final once its best block is `best`.
fn finality(switches: &Switches, best: u32, finalized: u32) -> u32 {
    if switches.finality_stalled {
        finalized
    } else {
        best.saturating_sub(switches.finality_lag).max(finalized)
    }
}

/// Lets finality catch up with the switches. The caller holds `making`.
pub(super) fn advance_finality(shared: &Shared) -> Result<(), ChainError> {
    let view = shared.ledger.view();
    let finalized = view.finalized.header.number;
    let target = finality(&shared.switches.lock(), view.best.header.number, finalized);
    if target > finalized {
        let (change, at) = shared.ledger.finalize(target)?;
        announce_finality(shared, &change, at)?;
    }
    Ok(())
}

/// Tells of new finality: watchers of each block's transactions, and followers of the newest head
/// alone.
fn announce_finality(shared: &Shared, change: &Change, at: u64) -> Result<(), ChainError> {
    for block in &change.finalized {
        shared.pool.finalized(*block);
    }
    let Some(newest) = change.finalized.last() else { return Ok(()) };
    if let Some(block) =
        shared.ledger.by_hash(newest).map_err(ChainError::file("reading", shared.ledger.path()))?
    {
        shared.announce(Announcement { at, news: News::Finalized(block) });
    }
    Ok(())
}

/// Replaces the last `depth` blocks by as many empty ones of a millisecond later each, and `growth`
/// more; their transactions wait again, and so does an upgrade. The caller holds `making` and has
/// checked that these blocks are not final.
pub(super) fn reorganize(
    shared: &Shared,
    depth: u32,
    growth: u32,
) -> Result<StoredBlock, ChainError> {
    let reading = || ChainError::file("reading", shared.ledger.path());
    let view = shared.ledger.view();
    let fork_point = view.best.header.number.saturating_sub(depth);
    let finalized = view.finalized.header.number;
    let at_number = |number| -> Result<Option<StoredBlock>, ChainError> {
        shared
            .ledger
            .hash(number)
            .map_or(Ok(None), |hash| shared.ledger.by_hash(&hash).map_err(reading()))
    };
    let mut parent = at_number(fork_point)?.unwrap_or(view.finalized);
    let mut imported = Vec::new();
    let orders = shared.switches.lock().orders.lasting();
    for number in fork_point + 1..=fork_point.saturating_add(depth).saturating_add(growth) {
        let replaced = at_number(number)?.filter(|_| number <= view.best.header.number);
        let time = match replaced {
            Some(replaced) => shared.ledger.state(&replaced).timestamp()?.saturating_add(1),
            None => {
                let previous = shared.ledger.state(&parent).timestamp()?;
                shared.switches.lock().clock.forked(previous, wall_clock())
            }
        };
        let proposal = propose(shared, &parent, time, &[], &orders)?;
        let (block, _, at) = shared.ledger.append(&proposal, finalized)?;
        imported.push((block.clone(), at));
        parent = block;
    }
    let (change, chosen) = shared.ledger.choose(parent.hash)?;
    let last = imported.len().saturating_sub(1);
    for (index, (block, at)) in imported.into_iter().enumerate() {
        // As on other nodes, only the block that tips the scales is a new best head.
        let best = index == last;
        shared.announce(Announcement {
            at: if best { chosen } else { at },
            news: News::Imported { block, best },
        });
    }
    for block in &change.retracted {
        shared.pool.retracted(*block);
    }
    let spec_of = |block| Ok::<_, ChainError>(shared.ledger.state(block).version()?.spec_version);
    let (dropped, kept) = (spec_of(&view.best)?, spec_of(&parent)?);
    if kept < dropped {
        let mut switches = shared.switches.lock();
        switches.orders.upgrade = switches.orders.upgrade.max(Some(dropped));
    }
    drop_outdated(shared, &parent)?;
    tracing::info!(
        depth,
        growth,
        number = parent.header.number,
        hash = ?parent.hash,
        "reorganized"
    );
    advance_finality(shared)?;
    Ok(parent)
}

fn settle(shared: &Shared, block: &StoredBlock, transaction: H256, outcome: &Outcome) {
    let number = block.header.number;
    match outcome {
        Outcome::Included(result) => {
            if let Err(error) = result {
                tracing::debug!(?transaction, ?error, "transaction failed");
            }
            shared.pool.included(&transaction, number, block.hash);
        }
        Outcome::Deferred => {}
        Outcome::Refused(error) => {
            tracing::debug!(?transaction, ?error, "transaction dropped");
            shared.pool.refused(&transaction, number);
        }
        Outcome::Panicked => {
            tracing::warn!(?transaction, "dropped a transaction that made the runtime panic");
            shared.pool.refused(&transaction, number);
        }
    }
}

/// Judges what still waits against the new state: eras end, and others used the nonce.
fn drop_outdated(shared: &Shared, block: &StoredBlock) -> Result<(), ChainError> {
    shared.pool.expire(block.header.number);
    let waiting = shared.pool.by_priority();
    if waiting.is_empty() {
        return Ok(());
    }
    let snapshot = shared.ledger.state(block);
    for waiting in waiting {
        if snapshot.validate(waiting.transaction, block.hash)?.is_err() {
            shared.pool.refused(&waiting.hash, block.header.number);
        }
    }
    Ok(())
}
