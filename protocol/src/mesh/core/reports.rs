//! Which miners validators call valid: the newest report of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::messages::{MinerReport, MinerTally, tally};
use crate::{BlockNumber, Hotkey};

/// The newest report of each listed validator: at most 256, of at most 32 KiB each.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<Hotkey, Arc<MinerReport>>);

impl Reports {
    /// Keeps a verified report if it is newer than all others of its reporter. Returns whether it
    /// is.
    pub(super) fn take(&mut self, report: MinerReport) -> bool {
        let newer = self.0.get(&report.reporter).is_none_or(|newest| report.block > newest.block);
        if newer {
            self.0.insert(report.reporter, Arc::new(report));
        }
        newer
    }

    /// Forgets validators that are no longer listed.
    pub(super) fn retain(&mut self, is_listed: impl Fn(&Hotkey) -> bool) {
        self.0.retain(|hotkey, _| is_listed(hotkey));
    }

    /// What the reports that are fresh at `head` say of each miner.
    pub(super) fn tally(&self, head: BlockNumber) -> BTreeMap<Hotkey, MinerTally> {
        tally(self.0.values().map(|report| &**report), head)
    }

    /// The newest report of each validator.
    pub(super) fn newest(&self) -> Vec<Arc<MinerReport>> {
        self.0.values().cloned().collect()
    }
}
