//! What the parts of a running chain share, and what they announce to subscribers.

use super::drand::Beacon;
use super::entries::StoredBlock;
use super::ledger::Ledger;
use super::pool::Pool;
use super::switches::Switches;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Something that subscribers hear of.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// A block of any fork; `best` if it is the new best head.
    Imported {
        block: StoredBlock,
        best: bool,
    },
    Finalized(StoredBlock),
}

/// News with the number of its event: a subscriber skips what it has seen already.
#[derive(Debug, Clone)]
pub(super) struct Announcement {
    pub(super) at: u64,
    pub(super) news: News,
}

/// What the parts of the node share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ledger: Ledger,
    pub(super) pool: Pool,
    pub(super) beacon: Beacon,
    pub(super) switches: Mutex<Switches>,
    /// Held while the chain grows or is reorganized, so that one does it at a time.
    pub(super) making: Mutex<()>,
    pub(super) news: broadcast::Sender<Announcement>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn announce(&self, announcement: Announcement) {
        // Nobody may be listening.
        let _ = self.news.send(announcement);
    }
}
