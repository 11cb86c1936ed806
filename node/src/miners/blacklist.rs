//! Blacklisted miners are not sampled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::Hotkey;
use leoma_web::{Board, BoardError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{MinerTable, Validity};

/// The reason word, as other tools know it.
const BLACKLISTED: &str = "blacklisted";
/// How often the blacklist is read: `leoma blacklist` writes to it from another process.
const READ_EVERY: Duration = Duration::from_secs(15);

/// Applies the blacklist to each new table of miners.
#[derive(Clone, Debug)]
pub(crate) struct Blacklist {
    /// Where it is kept.
    pub(crate) board: Arc<dyn Board>,
}

impl Blacklist {
    async fn hotkeys(&self) -> Result<BTreeSet<Hotkey>, BoardError> {
        let entries = self.board.blacklist().await?;
        Ok(entries.iter().filter_map(|one| one.hotkey.parse().ok()).collect())
    }

    /// The table with the miners invalid that are blacklisted now.
    ///
    /// # Errors
    /// [`BoardError`] when the blacklist cannot be read.
    pub(crate) async fn apply(&self, table: &MinerTable) -> Result<MinerTable, BoardError> {
        Ok(without(table, &self.hotkeys().await?))
    }

    /// Passes on each table of `checked`, and each change of the blacklist, until `stop`.
    pub(crate) async fn run(
        self,
        mut checked: watch::Receiver<Arc<MinerTable>>,
        applied: watch::Sender<Arc<MinerTable>>,
        stop: CancellationToken,
    ) {
        let mut hotkeys = BTreeSet::new();
        loop {
            match self.hotkeys().await {
                Ok(read) => hotkeys = read,
                // The last one that was read stays in force.
                Err(error) => tracing::warn!(%error, "failed to read the blacklist"),
            }
            let table = without(&checked.borrow_and_update(), &hotkeys);
            applied.send_if_modified(|shown| {
                let changed = **shown != table;
                if changed {
                    *shown = Arc::new(table);
                }
                changed
            });
            tokio::select! {
                () = stop.cancelled() => return,
                changed = checked.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(READ_EVERY) => {}
            }
        }
    }
}

/// The table with blacklisted miners invalid.
fn without(table: &MinerTable, blacklist: &BTreeSet<Hotkey>) -> MinerTable {
    let mut table = table.clone();
    for (hotkey, miner) in &mut table.miners {
        if blacklist.contains(hotkey) {
            miner.validity = Validity::Invalid { reason: BLACKLISTED.to_owned() };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leoma_protocol::{BlockNumber, Uid};
    use leoma_web::{Blacklisted, testing::MemoryBoard};

    use super::*;
    use crate::miners::MinerState;

    #[tokio::test]
    async fn a_blacklisted_miner_is_not_sampled_and_comes_back_when_it_is_taken_off() {
        let hotkey = Hotkey::from_bytes([7; 32]);
        let validity = Validity::Valid {
            slug: "s".into(),
            model_revision: "r".into(),
            model_hash: "h".into(),
        };
        let state = MinerState { uid: Uid(1), commit_block: BlockNumber(2), validity };
        let table = MinerTable { block: BlockNumber(9), miners: BTreeMap::from([(hotkey, state)]) };
        let board = Arc::new(MemoryBoard::default());
        let entry = Blacklisted {
            hotkey: hotkey.to_string(),
            reason: None,
            added_by: None,
            created_at: None,
        };
        board.blacklist_add(entry).await.unwrap();
        let (checks, checked) = watch::channel(Arc::new(table.clone()));
        let (applied, mut tables) = watch::channel(Arc::default());
        let stop = CancellationToken::new();
        let running =
            tokio::spawn(Blacklist { board: board.clone() }.run(checked, applied, stop.clone()));
        tables.wait_for(|table| !table.miners.is_empty()).await.unwrap();
        let reason = Validity::Invalid { reason: "blacklisted".to_owned() };
        assert_eq!(tables.borrow().miners[&hotkey].validity, reason);
        board.blacklist_remove(&hotkey.to_string()).await.unwrap();
        checks.send_replace(Arc::new(table));
        tables.wait_for(|table| table.valid().count() == 1).await.unwrap();
        stop.cancel();
        running.await.unwrap();
    }
}
