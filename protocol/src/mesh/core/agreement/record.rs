//! What is known of one file.

use std::collections::BTreeMap;

use super::inventory::{Item, announced_item, certified_item, vote_item};
use crate::messages::{Allowlist, Announcement, Certificate};
use crate::{Digest, FileId, Hotkey, Network, Signature};

#[derive(Debug, Default)]
pub(super) struct FileRecord {
    /// At most two, of different digests.
    pub(super) announcements: Vec<Announcement>,
    pub(super) votes: BTreeMap<Digest, BTreeMap<Hotkey, Signature>>,
    pub(super) certified: Option<Digest>,
}

impl FileRecord {
    pub(super) fn is_announced(&self, digest: &Digest) -> bool {
        self.announcements.iter().any(|announcement| announcement.digest == *digest)
    }

    pub(super) fn has_vote(&self, digest: &Digest, attester: &Hotkey) -> bool {
        self.votes.get(digest).is_some_and(|votes| votes.contains_key(attester))
    }

    /// All votes for `digest` by validators of the task's list as a certificate.
    pub(super) fn certificate(
        &self,
        network: Network,
        file: FileId,
        digest: Digest,
        list: &Allowlist,
    ) -> Certificate {
        let votes = self.votes.get(&digest).into_iter().flatten();
        let votes = votes.filter(|(who, _)| list.contains(who));
        Certificate { network, file, digest, votes: votes.map(|(k, v)| (*k, *v)).collect() }
    }

    /// The file's items in the inventory. If a producer signed three digests, validators may hold
    /// different pairs of them. Each pair is evidence, so the difference is not worth asking about.
    /// Nor are further votes once a file is certified.
    pub(super) fn items(&self, file: &FileId) -> Vec<Item> {
        let mut items = Vec::new();
        if let [announcement] = &self.announcements[..] {
            items.push(announced_item(file, &announcement.digest));
        }
        match &self.certified {
            Some(digest) => items.push(certified_item(file, digest)),
            None => {
                let votes = self
                    .votes
                    .iter()
                    .flat_map(|(digest, votes)| votes.keys().map(move |who| (digest, who)));
                items.extend(votes.map(|(digest, attester)| vote_item(file, digest, attester)));
            }
        }
        items
    }
}
