//! What makes tasks and judges answers. The turns of a validator know nothing of what a task is
//! about: a mechanism gets a task of ours and a folder, and returns entries to sign.
//!
//! | file | subject |
//! |---|---|
//! | `error.rs` | why a task is given up |
//! | `folder.rs`, `on_disk.rs` | where it keeps what is done of a task |
//! | `video/` | a clip, the miners' continuations of it, and their scores |
//! | `motion/` | a challenge of the owner's list, the miners' skeletons, and their distance |
//! | `oracle/` | forecasts of a price, and what a validator reads of it |
//! | `asked/` | what mechanisms share whose miners are asked through their axons |
//! | `worked_example.rs` | a small mechanism that only its tests run, for whoever writes one |
//!
//! A mechanism is a module here and a policy record. Adding one touches `config/mechanism.rs`, which
//! names it, and `serve/plugs.rs`, which opens it; `docs/mechanisms.md` names all files.

pub(crate) mod asked;
mod error;
pub(crate) mod folder;
pub(crate) mod motion;
pub(crate) mod on_disk;
pub(crate) mod oracle;
pub(crate) mod video;
#[cfg(test)]
mod worked_example;

use leoma_chain::Head;
use leoma_protocol::verdict::VerdictEntry;
use leoma_protocol::{BlockNumber, Digest, Hotkey, Network, TaskId};
use tokio::sync::watch;

pub(crate) use error::{TURN, TaskError};

use crate::corpus::Seed;
use folder::TaskFolder;

/// A try at a task of ours.
#[derive(Debug)]
pub(crate) struct TurnContext<'a> {
    /// The task.
    pub(crate) task_id: TaskId,
    /// Its first block and that block's hash: every choice that an audit can make again follows
    /// from it.
    pub(crate) seed: Seed,
    /// Chain and mechanism, for what the folder says about itself.
    pub(crate) network: Network,
    /// Who takes the turn.
    pub(crate) validator: Hotkey,
    /// The chain's head.
    pub(crate) heads: &'a watch::Receiver<Head>,
    /// The last block at which miners may be asked.
    pub(crate) ask_until: BlockNumber,
    /// The task's folder. What is in it outlives a try, and a restart.
    pub(crate) folder: &'a TaskFolder,
}

/// The result of a task, to be signed.
#[derive(Debug)]
pub(crate) struct Scored {
    /// One for every admitted miner, but none for a miner that failed through our fault.
    pub(crate) entries: Vec<VerdictEntry>,
    /// SHA-256 of the `metadata.json` in the task's folder.
    pub(crate) metadata_sha256: Digest,
}

/// A mechanism, as the turns of a validator use it.
#[async_trait::async_trait]
pub(crate) trait Turns: Send + Sync + std::fmt::Debug {
    /// What judges: versions and models, for the envelope of a verdict file.
    fn judge_id(&self) -> &str;

    /// One try at a task. What is done stays done for the next try at the same task. `None` where
    /// there is nothing to do now: then no file is made. A try that is not done when the file has to
    /// be signed is dropped.
    ///
    /// # Errors
    /// Why the try failed. It is never a miner's fault: that is an entry.
    async fn turn(&mut self, context: TurnContext<'_>) -> Result<Option<Scored>, TaskError>;
}

/// Waits until the head is past `last`, or for ever where heads end.
pub(crate) async fn past(mut heads: watch::Receiver<Head>, last: BlockNumber) {
    if heads.wait_for(|head| head.number > last).await.is_err() {
        std::future::pending::<()>().await;
    }
}
