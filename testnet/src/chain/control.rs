//! Steering a running chain: time travel, and the faults that a client must survive.
//!
//! The same switches are reached from Rust through [`Controls`] and, where the chain was started
//! with them, over JSON-RPC as `testnet_*` (see `rpc/testnet.rs`).

use super::entries::StoredBlock;
use super::error::ChainError;
use super::producer::{self, Pace, advance_finality, make_block};
use super::shared::Shared;
use super::switches::Switches;
use node_subtensor_runtime::{AccountId, TYPED_IDS};
use serde::{Deserialize, Serialize};
use sp_core::H256;
use std::sync::Arc;

/// Longest reorg: longer ones do not happen on a chain with finality.
pub const MAX_REORG: u32 = 256;
/// Blocks that a reorg may add beyond those it replaces.
pub const MAX_GROWTH: u32 = 256;

/// Most blocks made for one request, so that no long work is done for a client that has left.
pub(super) const MAX_STEPS: u32 = 256;

/// A control could not be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ControlError {
    /// The depth is 0 or reaches into final blocks.
    #[error(
        "a reorg of {depth} blocks is not possible: {unfinalized} are not final; \
         set a finality lag or stall finality first"
    )]
    Depth { depth: u32, unfinalized: u32 },
    /// Longer than the bound.
    #[error("a reorg replaces at most {MAX_REORG} blocks and adds at most {MAX_GROWTH}")]
    TooLong,
    /// The chain is beyond that block.
    #[error("the chain is already at block {best}, beyond block {asked}")]
    Passed { best: u32, asked: u32 },
    /// The chain is being stopped.
    #[error("the chain is stopping")]
    Stopping,
    /// The chain failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// One end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Block number.
    pub number: u32,
    /// Block hash.
    pub hash: H256,
}

/// Where the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    /// The newest block of the best chain.
    pub best: Head,
    /// The newest final block.
    pub finalized: Head,
}

impl From<&StoredBlock> for Head {
    fn from(block: &StoredBlock) -> Self {
        Self { number: block.header.number, hash: block.hash }
    }
}

/// Handle on a running chain's switches; clones steer the same chain. Every order fails if the
/// chain fails.
#[derive(Debug, Clone)]
pub struct Controls {
    shared: Arc<Shared>,
}

impl Controls {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Where the chain is.
    pub fn heads(&self) -> Heads {
        let view = self.shared.ledger.view();
        Heads { best: Head::from(&view.best), finalized: Head::from(&view.finalized) }
    }

    /// Makes `blocks` blocks as fast as it can. Each carries its parent's Timestamp plus the
    /// chain's step.
    ///
    /// # Errors
    /// When the chain fails or stops.
    pub async fn step(&self, blocks: u32) -> Result<Heads, ControlError> {
        self.blocking(move |controls| controls.step_now(blocks)).await
    }

    /// Replaces the last `depth` blocks by as many others without transactions, and adds `growth`
    /// more; what the dropped blocks held waits for the next block. Dropped blocks stay readable by
    /// hash.
    ///
    /// # Errors
    /// When fewer blocks are not final.
    pub async fn reorg(&self, depth: u32, growth: u32) -> Result<Heads, ControlError> {
        self.blocking(move |controls| controls.reorg_now(depth, growth)).await
    }

    /// Keeps the finalized head `blocks` behind the best one. A longer lag takes nothing back.
    pub async fn set_finality_lag(&self, blocks: u32) -> Result<Heads, ControlError> {
        self.switch(move |switches| switches.finality_lag = blocks).await
    }

    /// Stops finality; blocks go on.
    pub async fn stall_finality(&self) -> Result<Heads, ControlError> {
        self.switch(|switches| switches.finality_stalled = true).await
    }

    /// Lets finality catch up.
    pub async fn resume_finality(&self) -> Result<Heads, ControlError> {
        self.switch(|switches| switches.finality_stalled = false).await
    }

    /// Stops the block clock; connections stay, and steps still make blocks.
    pub async fn stall_production(&self) -> Result<Heads, ControlError> {
        self.switch(|switches| switches.production_stalled = true).await
    }

    /// Starts the block clock again.
    pub async fn resume_production(&self) -> Result<Heads, ControlError> {
        self.switch(|switches| switches.production_stalled = false).await
    }

    /// Makes chain time run `seconds` ahead, or behind where negative. It never turns back: a chain
    /// that is to be late from its first block starts so, see
    /// [`ChainConfig::clock_skew`](super::ChainConfig::clock_skew).
    pub async fn set_clock_skew(&self, seconds: i64) -> Result<Heads, ControlError> {
        self.switch(move |switches| switches.clock.set_skew(seconds.saturating_mul(1_000))).await
    }

    /// Upgrades the runtime in the next block: after it `spec_version` is one higher, the metadata
    /// names it (constant `System.Version`), and transactions signed for the old one are refused.
    /// Returns the new version.
    ///
    /// # Errors
    /// When the state does not tell the version.
    pub async fn upgrade_spec(&self) -> Result<u32, ControlError> {
        self.blocking(|controls| controls.upgrade_spec_now(0)).await
    }

    /// As [`Controls::upgrade_spec`], to a version whose metadata gives ids and amounts types of
    /// their own; on the wire nothing changes.
    ///
    /// # Errors
    /// When the state does not tell the version.
    pub async fn upgrade_to_typed_ids(&self) -> Result<u32, ControlError> {
        self.blocking(|controls| controls.upgrade_spec_now(TYPED_IDS)).await
    }

    /// Makes a hotkey and its coldkey the owners of a subnet in the next block, as an owner change
    /// by conviction does. A reorg that drops this block takes it back.
    pub async fn change_owner(
        &self,
        netuid: u16,
        hotkey: AccountId,
    ) -> Result<Heads, ControlError> {
        self.switch(move |switches| switches.orders.owner = Some((netuid, hotkey))).await
    }

    /// Makes the chain skip a round of the beacon that it does not have yet: it is never stored,
    /// and later ones are.
    pub async fn skip_round(&self, round: u64) -> Result<Heads, ControlError> {
        self.switch(move |switches| {
            switches.orders.skipped.insert(round);
        })
        .await
    }

    pub(super) fn step_now(&self, blocks: u32) -> Result<Heads, ControlError> {
        for _ in 0..blocks {
            if self.shared.stop.is_cancelled() {
                return Err(ControlError::Stopping);
            }
            let _making = self.shared.making.lock();
            make_block(&self.shared, Pace::Stepped)?;
        }
        Ok(self.heads())
    }

    /// Makes at most `most` blocks on the way to `block`.
    pub(super) fn run_to_now(&self, block: u32, most: u32) -> Result<Heads, ControlError> {
        let best = self.heads().best.number;
        if best > block {
            return Err(ControlError::Passed { best, asked: block });
        }
        for _ in 0..most {
            // The block clock may be running as well.
            if self.heads().best.number >= block {
                break;
            }
            self.step_now(1)?;
        }
        Ok(self.heads())
    }

    pub(super) fn reorg_now(&self, depth: u32, growth: u32) -> Result<Heads, ControlError> {
        if depth > MAX_REORG || growth > MAX_GROWTH {
            return Err(ControlError::TooLong);
        }
        let _making = self.shared.making.lock();
        let Heads { best, finalized } = self.heads();
        let unfinalized = best.number.saturating_sub(finalized.number);
        if depth == 0 || depth > unfinalized {
            return Err(ControlError::Depth { depth, unfinalized });
        }
        producer::reorganize(&self.shared, depth, growth)?;
        Ok(self.heads())
    }

    /// Turns a switch, then advances finality and prunes states as it demands.
    pub(super) fn switch_now(
        &self,
        turn: impl FnOnce(&mut Switches),
    ) -> Result<Heads, ControlError> {
        let _making = self.shared.making.lock();
        turn(&mut self.shared.switches.lock());
        advance_finality(&self.shared)?;
        let kept = self.shared.switches.lock().kept_states;
        self.shared.ledger.prune(kept)?;
        Ok(self.heads())
    }

    /// Upgrades to the next version, or to `least` where that is later.
    pub(super) fn upgrade_spec_now(&self, least: u32) -> Result<u32, ControlError> {
        let _making = self.shared.making.lock();
        let version = self
            .shared
            .ledger
            .state(&self.shared.ledger.best())
            .version()
            .map_err(ChainError::from)?;
        let next = version.spec_version.saturating_add(1).max(least);
        self.shared.switches.lock().orders.upgrade = Some(next);
        Ok(next)
    }

    async fn switch(
        &self,
        turn: impl FnOnce(&mut Switches) + Send + 'static,
    ) -> Result<Heads, ControlError> {
        self.blocking(move |controls| controls.switch_now(turn)).await
    }

    /// Runs an action on the ledger on a thread that may block.
    async fn blocking<R: Send + 'static>(
        &self,
        action: impl FnOnce(&Self) -> Result<R, ControlError> + Send + 'static,
    ) -> Result<R, ControlError> {
        let controls = self.clone();
        let done = tokio::task::spawn_blocking(move || action(&controls)).await;
        done.map_err(|error| ChainError::Task("control", error))?
    }
}
