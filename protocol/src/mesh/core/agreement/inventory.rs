//! A summary of what is held, equal for two validators that have nothing to tell each other.

use crate::messages::EvidenceKey;
use crate::{Digest, FileId, Hotkey};

/// The exclusive or of all items' hashes: an item enters and leaves by the same step, and the order
/// does not matter.
#[derive(Debug, Default)]
pub(super) struct Inventory(pub(super) [u8; 32]);

impl Inventory {
    pub(super) fn toggle(&mut self, item: Digest) {
        for (sum, byte) in self.0.iter_mut().zip(item.0) {
            *sum ^= byte;
        }
    }
}

fn item(kind: &[u8], file: &FileId, digest: &Digest, who: &Hotkey) -> Digest {
    let task = file.task_id.0.to_be_bytes();
    Digest::of_parts(&[kind, &task, file.producer.as_bytes(), &digest.0, who.as_bytes()])
}

pub(super) fn announced_item(file: &FileId, digest: &Digest) -> Digest {
    item(b"announced", file, digest, &file.producer)
}

pub(super) fn certified_item(file: &FileId, digest: &Digest) -> Digest {
    item(b"certified", file, digest, &file.producer)
}

pub(super) fn vote_item(file: &FileId, digest: &Digest, attester: &Hotkey) -> Digest {
    item(b"vote", file, digest, attester)
}

pub(super) fn evidence_item(key: &EvidenceKey) -> Digest {
    let kind: &[u8] = if key.as_producer { b"evidence of files" } else { b"evidence of votes" };
    item(kind, &key.file, &Digest::default(), &key.accused)
}
