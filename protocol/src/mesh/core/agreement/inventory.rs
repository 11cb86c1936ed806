//! A summary of what is held, equal for two validators that have nothing to tell each other: one
//! digest for each task, and one for all.
//!
//! A digest covers the sorted hashes of a task's items. A sum of hashes, such as their exclusive
//! or, would be cheaper to keep, but its collisions are a matter of linear algebra.

use std::collections::{BTreeMap, BTreeSet};

use crate::messages::{DisputeKey, EvidenceKey};
use crate::{Digest, FileId, Hotkey, TaskId};

/// The first 16 bytes of the hash of a task's items.
pub(in crate::mesh::core) type TaskDigest = [u8; 16];

/// Something held, about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    task: TaskId,
    hash: Digest,
}

#[derive(Debug, Default)]
struct OfTask {
    items: BTreeSet<Digest>,
    digest: TaskDigest,
}

/// What is held, and its digests as of the last [`Self::settle`].
#[derive(Debug, Default)]
pub(super) struct Inventory {
    tasks: BTreeMap<TaskId, OfTask>,
    changed: BTreeSet<TaskId>,
    all: Digest,
}

impl Inventory {
    pub(super) fn add(&mut self, item: Item) {
        self.tasks.entry(item.task).or_default().items.insert(item.hash);
        self.changed.insert(item.task);
    }

    pub(super) fn remove(&mut self, item: Item) {
        if let Some(task) = self.tasks.get_mut(&item.task) {
            task.items.remove(&item.hash);
            self.changed.insert(item.task);
        }
    }

    /// Forgets the tasks before `oldest`.
    pub(super) fn prune(&mut self, oldest: TaskId) {
        let kept = self.tasks.split_off(&oldest);
        let dropped = std::mem::replace(&mut self.tasks, kept);
        self.changed.extend(dropped.into_keys());
    }

    /// Computes the digests again where something changed. Called once for each event, however much
    /// the event changed.
    pub(super) fn settle(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        for task in std::mem::take(&mut self.changed) {
            let Some(of_task) = self.tasks.get_mut(&task) else { continue };
            if of_task.items.is_empty() {
                self.tasks.remove(&task);
                continue;
            }
            let hashes: Vec<&[u8]> = of_task.items.iter().map(|hash| &hash.0[..]).collect();
            of_task.digest.copy_from_slice(&Digest::of_parts(&hashes).0[..16]);
        }
        let numbers: Vec<[u8; 8]> = self.tasks.keys().map(|task| task.0.to_be_bytes()).collect();
        let digests = self.tasks.values().map(|task| &task.digest[..]);
        let parts: Vec<&[u8]> = numbers
            .iter()
            .zip(digests)
            .flat_map(|(number, digest)| [&number[..], digest])
            .collect();
        self.all = if parts.is_empty() { Digest::default() } else { Digest::of_parts(&parts) };
    }

    /// The digest of everything.
    pub(super) const fn all(&self) -> Digest {
        self.all
    }

    /// The digest of a task; `None` if nothing about it is held.
    pub(super) fn of(&self, task: TaskId) -> Option<TaskDigest> {
        self.tasks.get(&task).map(|task| task.digest)
    }

    /// The newest tasks with their digests, at most `most`, ascending.
    pub(super) fn newest(&self, most: usize) -> Vec<(TaskId, TaskDigest)> {
        let surplus = self.tasks.len().saturating_sub(most);
        self.tasks.iter().skip(surplus).map(|(task, of_task)| (*task, of_task.digest)).collect()
    }
}

fn item(kind: &[u8], file: &FileId, digest: &Digest, who: &Hotkey) -> Item {
    let number = file.task_id.0.to_be_bytes();
    let hash =
        Digest::of_parts(&[kind, &number, file.producer.as_bytes(), &digest.0, who.as_bytes()]);
    Item { task: file.task_id, hash }
}

pub(super) fn announced_item(file: &FileId, digest: &Digest) -> Item {
    item(b"announced", file, digest, &file.producer)
}

pub(super) fn certified_item(file: &FileId, digest: &Digest) -> Item {
    item(b"certified", file, digest, &file.producer)
}

pub(super) fn vote_item(file: &FileId, digest: &Digest, attester: &Hotkey) -> Item {
    item(b"vote", file, digest, attester)
}

pub(super) fn evidence_item(key: &EvidenceKey) -> Item {
    let kind: &[u8] = if key.as_producer { b"evidence of files" } else { b"evidence of votes" };
    item(kind, &key.file, &Digest::default(), &key.accused)
}

pub(super) fn dispute_item(key: &DisputeKey) -> Item {
    item(b"dispute", &key.file, &Digest::default(), &key.disputer)
}
