//! What is held, as others ask for it.

use std::collections::BTreeMap;

use super::intake::Agreement;
use super::record::FileRecord;
use crate::mesh::core::catchup::{CatchupPage, CatchupRequest, FileState};
use crate::mesh::core::limits::PAGE_FILL_BYTES;
use crate::mesh::core::views::FileView;
use crate::messages::{Announcement, Attestation, Context, Evidence, EvidenceKey, Tally};
use crate::{Digest, FileId, Hotkey, Network, Signature, TaskId};

/// Encoded bytes of an announcement or a piece of evidence, and of a vote: for filling pages.
const STATEMENT_BYTES: usize = 512;
const VOTE_BYTES: usize = 104;

impl Agreement {
    /// Checks the signatures of everything new in a page together. A vote checked singly costs
    /// nearly twice as much, and a validator that comes back after a day has thousands to check.
    pub(in crate::mesh::core) fn prepare(&self, context: &Context<'_>, page: &CatchupPage) {
        let is_news = |announcement: &&Announcement| {
            let record = self.files.get(&announcement.file);
            let known = record.is_some_and(|record| record.is_announced(&announcement.digest));
            !known && context.admits(announcement.file.task_id, announcement.file.producer)
        };
        let is_new_vote = |vote: &Attestation| {
            !self.has_vote(vote) && context.admits(vote.file.task_id, vote.attester)
        };
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
            !self.evidence.contains_key(&evidence.key()) && context.admits(file.task_id, accused)
        };
        let evidence = page.evidence.iter().filter(accused).flat_map(Evidence::claims);
        context.signatures.prepare(files.chain(evidence));
    }

    /// Summary of what is held: equal for two validators that have nothing to tell each other.
    pub(in crate::mesh::core) fn inventory(&self) -> Digest {
        Digest(self.inventory.0)
    }

    /// A page of what is held, from where the request says.
    pub(in crate::mesh::core) fn page(&self, request: &CatchupRequest) -> CatchupPage {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut page = CatchupPage::default();
        let mut bytes = 0;
        let after = request.after_file.map_or(Unbounded, Excluded);
        for (file, record) in self.files.range((after, Unbounded)) {
            if bytes >= PAGE_FILL_BYTES {
                page.more = true;
                return page;
            }
            let tally = |(digest, votes): (&Digest, &BTreeMap<Hotkey, Signature>)| Tally {
                digest: *digest,
                votes: votes.iter().map(|(attester, signature)| (*attester, *signature)).collect(),
            };
            let tallies: Vec<_> = record.votes.iter().map(tally).collect();
            let votes: usize =
                tallies.iter().map(|tally| 64 + tally.votes.len() * VOTE_BYTES).sum();
            bytes += 64 + record.announcements.len() * STATEMENT_BYTES + votes;
            page.files.push(FileState {
                file: *file,
                announcements: record.announcements.clone(),
                tallies,
            });
        }
        let after = request.after_evidence.map_or(Unbounded, Excluded);
        for (_, evidence) in self.evidence.range((after, Unbounded)) {
            if bytes >= PAGE_FILL_BYTES {
                page.more = true;
                return page;
            }
            bytes += STATEMENT_BYTES;
            page.evidence.push(evidence.clone());
        }
        page
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
