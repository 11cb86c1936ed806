//! Disputes: who does not attest to a file, and why.

use std::collections::BTreeSet;

use super::intake::{Agreement, Taken};
use super::inventory::dispute_item;
use crate::mesh::core::limits::MAX_DISPUTES_PER_PAIR;
use crate::mesh::core::mesh_event::MeshEvent;
use crate::messages::{Context, Dispute, DisputeKey, MessageError};
use crate::{FileId, Hotkey, faulty};

impl Agreement {
    /// Takes in a dispute. The first one of a disputer about a file stays.
    pub(in crate::mesh::core) fn dispute(
        &mut self,
        context: &Context<'_>,
        dispute: &Dispute,
    ) -> Result<Taken, MessageError> {
        let key = dispute.key();
        if self.disputes.contains_key(&key) {
            return Ok(Taken::Known);
        }
        dispute.verify(context)?;
        let count = self.disputes_of.entry((key.disputer, key.file.producer)).or_default();
        if *count >= MAX_DISPUTES_PER_PAIR {
            return Ok(Taken::Known);
        }
        *count += 1;
        let was_proven = self.is_proven(context, &key.file);
        self.disputes.insert(key, dispute.clone());
        self.inventory.add(dispute_item(&key));
        let proven = !was_proven && self.is_proven(context, &key.file);
        Ok(Taken::New(vec![MeshEvent::Disputed { dispute: dispute.clone(), proven }]))
    }

    /// Whether more validators accuse the file's producer of a wrong result than may lie, so that
    /// an honest one is among them.
    fn is_proven(&self, context: &Context<'_>, file: &FileId) -> bool {
        let accusing = self.of_file(file).filter(|dispute| dispute.reason.accuses());
        accusing.count() > faulty(context.allowlists.for_task(file.task_id).len())
    }

    pub(super) fn of_file(&self, file: &FileId) -> impl Iterator<Item = &Dispute> {
        let key = |bytes| DisputeKey { file: *file, disputer: Hotkey::from_bytes(bytes) };
        self.disputes.range(key([0; 32])..=key([u8::MAX; 32])).map(|(_, dispute)| dispute)
    }

    /// All disputes.
    pub(in crate::mesh::core) fn all_disputes(&self) -> impl Iterator<Item = &Dispute> {
        self.disputes.values()
    }

    /// The files about which a dispute is proven.
    pub(in crate::mesh::core) fn proven_disputes(&self, context: &Context<'_>) -> BTreeSet<FileId> {
        let files: BTreeSet<FileId> = self.disputes.keys().map(|key| key.file).collect();
        files.into_iter().filter(|file| self.is_proven(context, file)).collect()
    }
}
