//! Forgetting old states, so that a chain can run for weeks in the same memory.
//!
//! Blocks stay. Of states the chain keeps those of the newest blocks, as an ordinary node does;
//! asked for an older one it answers that the state is discarded. What is forgotten is where trie
//! nodes lie in the journal: the file itself keeps them, and a chain that is opened again with a
//! longer memory finds them there.
//!
//! A node is needed if the oldest kept state reaches it, or if a later block wrote it. The first is
//! found by walking that state, which is done whenever the index has doubled: its cost per block
//! does not grow with the chain.

use super::entries::StoredBlock;
use super::error::ChainError;
use super::ledger::{Index, Ledger};
use node_subtensor_runtime::executor::{Nodes, Snapshot};
use parking_lot::Mutex;
use sp_core::H256;
use std::collections::HashSet;
use std::sync::Arc;

/// Final states that are kept unless told otherwise. An ordinary node keeps 256; a local chain has
/// short blocks, and its auditors read back as far as an hour or two.
pub(crate) const DEFAULT_KEPT_STATES: u32 = 8_192;

/// Trie nodes below which walking a state is not worth it.
const LEAST_NODES: usize = 16_384;

/// A store that notes what is read from it.
struct Footprint {
    index: Arc<Index>,
    seen: Mutex<HashSet<H256>>,
}

impl Nodes for Footprint {
    fn node(&self, hash: &H256) -> Result<Option<Vec<u8>>, String> {
        self.seen.lock().insert(*hash);
        self.index.node(hash)
    }
}

impl Ledger {
    /// Gives up the states before the newest `kept` final ones; `None` keeps what there is.
    pub(super) fn prune(&self, kept: Option<u32>) -> Result<(), ChainError> {
        let Some(kept) = kept else { return Ok(()) };
        let oldest = {
            let mut entries = self.index.entries.write();
            let from = entries.finalized.saturating_sub(kept);
            if from <= entries.kept_from {
                return Ok(());
            }
            entries.kept_from = from;
            let due = entries.nodes.len() > LEAST_NODES.max(entries.swept.saturating_mul(2));
            if !due {
                return Ok(());
            }
            entries.chain.get(from as usize).copied()
        };
        let oldest = oldest.map(|hash| self.by_hash(&hash)).transpose();
        match oldest.map_err(ChainError::file("reading", self.path()))?.flatten() {
            Some(oldest) => self.sweep(&oldest),
            None => Ok(()),
        }
    }

    /// Drops every trie node that neither the state after `oldest` nor a later block holds.
    fn sweep(&self, oldest: &StoredBlock) -> Result<(), ChainError> {
        let footprint =
            Arc::new(Footprint { index: Arc::clone(&self.index), seen: Mutex::default() });
        let state =
            Snapshot::new(Arc::clone(&footprint) as Arc<dyn Nodes>, oldest.header.state_root);
        // Keys reach every node of the trie, values those that lie beside it.
        for key in state.keys(&[], None, usize::MAX)? {
            state.storage(&key)?;
        }
        let seen = footprint.seen.lock();
        let mut entries = self.index.entries.write();
        let before = entries.nodes.len();
        let number = oldest.header.number;
        entries.nodes.retain(|hash, node| node.written > number || seen.contains(hash));
        let left = entries.nodes.len();
        entries.swept = left;
        if entries.nodes.capacity() / 8 > left {
            entries.nodes.shrink_to(left * 4);
        }
        tracing::debug!(before, left, oldest = number, "forgot trie nodes of old states");
        Ok(())
    }
}
