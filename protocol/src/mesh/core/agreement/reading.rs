//! Answers to others' questions about what is held.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::intake::Agreement;
use super::inventory::TaskDigest;
use super::record::FileRecord;
use crate::mesh::core::catchup::{CatchupPage, CatchupRequest, FileState, Filling};
use crate::mesh::core::limits::MAX_TASK_DIGESTS;
use crate::mesh::core::views::FileView;
use crate::messages::{Announcement, Attestation, Context, Dispute, Evidence, EvidenceKey, Tally};
use crate::{Digest, FileId, Hotkey, Network, Signature, TaskId};

/// Everything after a key, or everything.
fn after<Key: Ord>(key: Option<Key>) -> (Bound<Key>, Bound<Key>) {
    (key.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn file_state(file: &FileId, record: &FileRecord) -> FileState {
    let tally = |(digest, votes): (&Digest, &BTreeMap<Hotkey, Signature>)| Tally {
        digest: *digest,
        votes: votes.iter().map(|(attester, signature)| (*attester, *signature)).collect(),
    };
    FileState {
        file: *file,
        announcements: record.announcements.clone(),
        tallies: record.votes.iter().map(tally).collect(),
    }
}

impl Agreement {
    /// Checks the signatures of everything new in a page together. A vote checked singly costs
    /// nearly twice as much, and a validator that comes back after a day has thousands to check.
    pub(in crate::mesh::core) fn prepare(&self, context: &Context<'_>, page: &CatchupPage) {
        let is_news = |announcement: &&Announcement| {
            let record = self.files.get(&announcement.file);
            let known = record.is_some_and(|record| record.is_announced(&announcement.digest));
            !known && context.admits(&announcement.file, announcement.file.producer)
        };
        let is_new_vote =
            |vote: &Attestation| !self.has_vote(vote) && context.admits(&vote.file, vote.attester);
        let files = page.files.iter().flat_map(|state| {
            let votes = state
                .tallies
                .iter()
                .flat_map(|tally| tally.attestations(context.network, state.file));
            let announcements = state.announcements.iter().filter(is_news);
            let votes = votes.filter(is_new_vote).map(|vote| vote.claim());
            announcements.map(Announcement::claim).chain(votes)
        });
        let accused = |evidence: &&Evidence| {
            let EvidenceKey { accused, file, .. } = evidence.key();
            !self.evidence.contains_key(&evidence.key()) && context.admits(&file, accused)
        };
        let evidence = page.evidence.iter().filter(accused).flat_map(Evidence::claims);
        let is_new_dispute = |dispute: &&Dispute| {
            !self.disputes.contains_key(&dispute.key())
                && context.admits(&dispute.file, dispute.disputer)
        };
        let disputes = page.disputes.iter().filter(is_new_dispute).map(Dispute::claim);
        context.signatures.prepare(files.chain(evidence).chain(disputes));
    }

    /// Summary of what is held: equal for two validators that have nothing to tell each other.
    pub(in crate::mesh::core) const fn inventory(&self) -> Digest {
        self.inventory.all()
    }

    /// The digests of the newest tasks, for a peer to compare.
    pub(in crate::mesh::core) fn task_digests(&self) -> Vec<(TaskId, TaskDigest)> {
        self.inventory.newest(MAX_TASK_DIGESTS)
    }

    /// A page of what is held and the asker does not, from where the request says. Tasks of which
    /// both hold the same are left out.
    pub(in crate::mesh::core) fn page(&self, request: &CatchupRequest) -> CatchupPage {
        let cursor = &request.cursor;
        let held: BTreeMap<TaskId, TaskDigest> = request.held.iter().copied().collect();
        let differs = |task| self.inventory.of(task).as_ref() != held.get(&task);
        let mut filling = Filling::default();
        let files = self.files.range(after(cursor.file)).filter(|(file, _)| differs(file.task_id));
        for (file, record) in files {
            if !filling.has_room() {
                return filling.page;
            }
            filling.add_file(file_state(file, record));
        }
        let evidence = self.evidence.range(after(cursor.evidence));
        for (_, evidence) in evidence.filter(|(key, _)| differs(key.file.task_id)) {
            if !filling.has_room() {
                return filling.page;
            }
            filling.add_evidence(evidence.clone());
        }
        let disputes = self.disputes.range(after(cursor.dispute));
        for (_, dispute) in disputes.filter(|(key, _)| differs(key.file.task_id)) {
            if !filling.has_room() {
                return filling.page;
            }
            filling.add_dispute(dispute.clone());
        }
        filling.page
    }

    /// Who is known to hold a file with this digest: its producer and its attesters.
    pub(in crate::mesh::core) fn holders(
        &self,
        file: &FileId,
        digest: &Digest,
    ) -> impl Iterator<Item = Hotkey> + use<> {
        let record = self.files.get(file);
        let announced = record.is_some_and(|record| record.is_announced(digest));
        let votes = record.and_then(|record| record.votes.get(digest));
        let attesters: Vec<Hotkey> = votes.into_iter().flat_map(BTreeMap::keys).copied().collect();
        announced.then_some(file.producer).into_iter().chain(attesters)
    }

    /// Every attestation that is counted, in the order of its file and digest.
    pub(in crate::mesh::core) fn attestations(
        &self,
        network: Network,
    ) -> impl Iterator<Item = Attestation> + '_ {
        self.files.iter().flat_map(move |(file, record)| {
            record.votes.iter().flat_map(move |(digest, votes)| {
                let (file, digest) = (*file, *digest);
                votes.iter().map(move |(attester, signature)| Attestation {
                    network,
                    file,
                    digest,
                    attester: *attester,
                    signature: *signature,
                })
            })
        })
    }

    /// Everything known about files, ascending.
    pub(in crate::mesh::core) fn view(&self) -> Vec<FileView> {
        let view = |(file, record): (&FileId, &FileRecord)| FileView {
            file: *file,
            announced: record.announcements.first().map(|announcement| announcement.digest),
            certified: record.certified,
            attesters: record
                .votes
                .iter()
                .map(|(digest, votes)| (*digest, votes.keys().copied().collect()))
                .collect(),
            refused: self.of_file(file).map(|dispute| (dispute.disputer, dispute.reason)).collect(),
        };
        self.files.iter().map(view).collect()
    }

    /// All evidence.
    pub(in crate::mesh::core) fn all_evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.values()
    }

    /// The newest task that a producer announced.
    pub(in crate::mesh::core) fn last_announced(&self, producer: &Hotkey) -> Option<TaskId> {
        let mut newest_first = self.files.iter().rev();
        let found = newest_first
            .find(|(file, record)| file.producer == *producer && !record.announcements.is_empty());
        found.map(|(file, _)| file.task_id)
    }
}
