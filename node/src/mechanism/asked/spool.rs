//! What is in the folder of a task whose miners are asked through their axons.
//!
//! | file | written |
//! |---|---|
//! | `challenge.*`, `reference.*` | when the task is begun |
//! | `begun.json` | after them: where it exists, they do |
//! | `answers/{hotkey}.*` | when a miner's answer is complete |
//! | `kept/{hotkey}.json` | after it: what the miner replied |
//! | `metadata.json` | before the verdicts are signed |

use std::io;

use bytes::Bytes;
use leoma_protocol::{Digest, Hotkey};
use leoma_storage::Format;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::reply::{Reply, Said};
use crate::mechanism::folder::{TaskFolder, miner_of, sync_folder, write_whole};

impl TaskFolder {
    /// Writes what the task is about, in place of anything that was there. `files` are its objects,
    /// by their names.
    pub(crate) fn begin_asking(
        &self,
        begun: &impl Serialize,
        files: &[(&str, Bytes)],
    ) -> io::Result<()> {
        self.remove()?;
        std::fs::create_dir_all(self.path().join("answers"))?;
        std::fs::create_dir_all(self.path().join("kept"))?;
        for (name, bytes) in files {
            write_whole(&self.path().join(name), bytes)?;
        }
        write_whole(&self.path().join("begun.json"), &serde_json::to_vec(begun)?)?;
        // What is in the folder is on the disk; the folder itself is a name in the one above it.
        self.path().parent().map_or(Ok(()), sync_folder)
    }

    /// What the task was begun with earlier, if that can be read. Whoever calls checks that it
    /// belongs to this task and that its files are whole.
    pub(crate) fn begun_asking<B: DeserializeOwned>(&self) -> Option<B> {
        let file = std::fs::read(self.path().join("begun.json")).ok()?;
        serde_json::from_slice(&file).ok()
    }

    /// Keeps an answer that has arrived; returns its hash.
    pub(super) fn keep_answer(
        &self,
        miner: Hotkey,
        format: Format,
        answer: &[u8],
    ) -> io::Result<Digest> {
        let name = format!("{miner}.{}", format.ending());
        write_whole(&self.path().join("answers").join(name), answer)?;
        Ok(Digest::of(answer))
    }

    /// Keeps what a miner replied.
    pub(super) fn keep_reply(&self, reply: &Reply) -> io::Result<()> {
        let path = self.path().join("kept").join(format!("{}.json", reply.miner));
        write_whole(&path, &serde_json::to_vec(reply)?)
    }

    /// What miners replied earlier. A reply whose answer is not there as it was is left out: its
    /// miner is asked again.
    pub(super) fn kept_replies(&self, format: Format) -> io::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        for entry in std::fs::read_dir(self.path().join("kept"))? {
            let path = entry?.path();
            let Some(miner) = miner_of(&path) else { continue };
            let Ok(file) = std::fs::read(&path) else { continue };
            let Ok(reply) = serde_json::from_slice::<Reply>(&file) else { continue };
            let is_whole = match &reply.said {
                Said::Failure { .. } => true,
                Said::Answer { sha256 } => self
                    .read_answer(miner, format)
                    .is_ok_and(|answer| Digest::of(&answer) == *sha256),
            };
            if is_whole && reply.miner == miner {
                replies.push(reply);
            }
        }
        replies.sort_by_key(|reply| reply.miner);
        Ok(replies)
    }

    /// A miner's answer.
    pub(crate) fn read_answer(&self, miner: Hotkey, format: Format) -> io::Result<Vec<u8>> {
        std::fs::read(self.path().join("answers").join(format!("{miner}.{}", format.ending())))
    }

    /// Writes what peers read beside the verdicts, and drops answers of miners without an entry: a
    /// later start would publish them. Returns the SHA-256 of `metadata.json`.
    pub(crate) fn finish_asking(
        &self,
        metadata: &impl Serialize,
        miners: &[Hotkey],
    ) -> io::Result<Digest> {
        for (_, path) in self.answer_objects()? {
            if miner_of(&path).is_none_or(|miner| !miners.contains(&miner)) {
                std::fs::remove_file(path)?;
            }
        }
        let bytes = serde_json::to_vec(metadata)?;
        write_whole(&self.path().join("metadata.json"), &bytes)?;
        Ok(Digest::of(&bytes))
    }
}
