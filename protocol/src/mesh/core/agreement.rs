//! Announcements, attestations, certificates and evidence: what the mesh agrees on.
//!
//! Everything here only grows, and every piece proves itself by its signatures, so the order in which pieces arrive
//! does not matter: two validators that hold the same pieces hold the same certificates and the same evidence.
//!
//! Why no two honest validators certify different digests of one file: a certificate needs more than two thirds of the
//! task's allowlist, an honest validator attests to one digest of a file for ever (the signing guard), so two
//! certificates would need more than a third of the validators to sign twice.

use std::collections::BTreeMap;

use super::event::{Effect, FileView, Judgement, MeshEvent};
use super::limits::{
    MAX_DIGESTS_PER_ATTESTER, MAX_EVIDENCE_PER_ACCUSED, MAX_FILES_PER_PRODUCER, MAX_VOTES_PER_ATTESTER, PAGE_FILL_BYTES,
};
use crate::codec::Wire as _;
use crate::messages::{
    Announcement, Attestation, Certificate, Context, Evidence, EvidenceKey, MessageError, Tally, Topic, quorum,
};
use crate::{Digest, FileId, Hotkey, Signature, TaskId};

use super::catchup::{CatchupPage, CatchupRequest, FileState};

/// Encoded bytes of an announcement or a piece of evidence, and of a vote: for filling pages.
const STATEMENT_BYTES: usize = 512;
const VOTE_BYTES: usize = 104;

#[derive(Debug, Default)]
struct FileRecord {
    /// At most two, of different digests.
    announcements: Vec<Announcement>,
    votes: BTreeMap<Digest, BTreeMap<Hotkey, Signature>>,
    certified: Option<Digest>,
}

/// What is agreed on so far, for the tasks that count.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    files: BTreeMap<FileId, FileRecord>,
    evidence: BTreeMap<EvidenceKey, Evidence>,
    votes_of: BTreeMap<Hotkey, usize>,
    files_of: BTreeMap<Hotkey, usize>,
    /// Cleared by every change.
    inventory: Option<Digest>,
}

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    New,
    Known,
}

impl From<Outcome> for Judgement {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::New => Self::Accept,
            Outcome::Known => Self::Ignore,
        }
    }
}

impl Agreement {
    /// Takes in an announcement. A second digest for the same file is evidence.
    pub(super) fn announcement(
        &mut self,
        context: &Context<'_>,
        announcement: Announcement,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, MessageError> {
        announcement.verify(context)?;
        let file = announcement.file;
        if self.files.get(&file).is_none_or(|record| record.announcements.is_empty()) {
            let count = self.files_of.entry(file.producer).or_default();
            if *count >= MAX_FILES_PER_PRODUCER {
                return Ok(Outcome::Known);
            }
            *count += 1;
        }
        let record = self.files.entry(file).or_default();
        let known = record.announcements.iter().any(|known| known.digest == announcement.digest);
        if known || record.announcements.len() >= 2 {
            return Ok(Outcome::Known);
        }
        record.announcements.push(announcement.clone());
        self.inventory = None;
        match &record.announcements[..] {
            [first, second] => {
                let evidence = Evidence::from_announcements(first.clone(), second.clone());
                self.convict(evidence, effects);
            }
            _ => effects.push(Effect::Tell(MeshEvent::Announcement(announcement))),
        }
        Ok(Outcome::New)
    }

    /// Takes in an attestation. A second digest by the same attester is evidence, and still counts for that digest:
    /// counting it cannot certify two digests, and makes the outcome independent of the order of arrival.
    pub(super) fn attestation(
        &mut self,
        context: &Context<'_>,
        attestation: Attestation,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, MessageError> {
        attestation.verify(context)?;
        Ok(self.count(context, attestation, false, effects))
    }

    /// Takes in a whole certificate, whoever hands it over.
    pub(super) fn certificate(
        &mut self,
        context: &Context<'_>,
        certificate: &Certificate,
        effects: &mut Vec<Effect>,
    ) -> Result<(), MessageError> {
        certificate.verify(context)?;
        for attestation in certificate.attestations() {
            self.count(context, attestation, true, effects);
        }
        Ok(())
    }

    /// Takes in evidence.
    pub(super) fn evidence(
        &mut self,
        context: &Context<'_>,
        evidence: &Evidence,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, MessageError> {
        evidence.verify(context)?;
        if self.evidence.contains_key(&evidence.key()) {
            return Ok(Outcome::Known);
        }
        self.convict(evidence.clone(), effects);
        Ok(if self.evidence.contains_key(&evidence.key()) { Outcome::New } else { Outcome::Known })
    }

    /// Counts a verified attestation. One that is part of a verified certificate is counted beyond all quotas.
    fn count(
        &mut self,
        context: &Context<'_>,
        attestation: Attestation,
        certified: bool,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let Attestation { network, file, digest, attester, signature } = attestation;
        let record = self.files.entry(file).or_default();
        if record.votes.get(&digest).is_some_and(|votes| votes.contains_key(&attester)) {
            return Outcome::Known;
        }
        let mut others = record.votes.iter().filter_map(|(other, votes)| Some((*other, *votes.get(&attester)?)));
        let first_other = others.next();
        let digests = usize::from(first_other.is_some()) + others.count();
        let votes_of = self.votes_of.entry(attester).or_default();
        if !certified && (digests >= MAX_DIGESTS_PER_ATTESTER || *votes_of >= MAX_VOTES_PER_ATTESTER) {
            return Outcome::Known;
        }
        *votes_of += 1;
        self.inventory = None;
        let votes = record.votes.entry(digest).or_default();
        votes.insert(attester, signature);
        let (have, need) = (votes.len(), quorum(context.allowlists.for_task(file.task_id).len()));
        let counted = Attestation { network, file, digest, attester, signature };
        effects.push(Effect::Tell(MeshEvent::AttestationCounted { attestation: counted.clone(), have, need }));
        if have >= need {
            self.certify(&counted, effects);
        }
        if let Some((digest, signature)) = first_other {
            let other = Attestation { digest, signature, ..counted.clone() };
            self.convict(Evidence::from_attestations(other, counted), effects);
        }
        Outcome::New
    }

    fn certify(&mut self, latest: &Attestation, effects: &mut Vec<Effect>) {
        let Attestation { network, file, digest, .. } = *latest;
        let Some(record) = self.files.get_mut(&file) else { return };
        let assemble = |record: &FileRecord, digest| Certificate {
            network,
            file,
            digest,
            votes: record.votes.get(&digest).into_iter().flatten().map(|(k, v)| (*k, *v)).collect(),
        };
        match record.certified {
            None => {
                record.certified = Some(digest);
                effects.push(Effect::Tell(MeshEvent::Certified(assemble(record, digest))));
            }
            Some(kept) if kept != digest => {
                let (kept, other) = (Box::new(assemble(record, kept)), Box::new(assemble(record, digest)));
                effects.push(Effect::Tell(MeshEvent::CertificateConflict { kept, other }));
            }
            Some(_) => {}
        }
    }

    /// Keeps, tells and publishes new evidence, unless newer pieces against the same validator are enough.
    fn convict(&mut self, evidence: Evidence, effects: &mut Vec<Effect>) {
        let key = evidence.key();
        if self.evidence.contains_key(&key) {
            return;
        }
        let same = |kept: &&EvidenceKey| kept.accused == key.accused && kept.as_producer == key.as_producer;
        if self.evidence.keys().filter(same).count() >= MAX_EVIDENCE_PER_ACCUSED {
            let oldest = self.evidence.keys().filter(same).min_by_key(|kept| kept.file).copied();
            match oldest {
                Some(oldest) if oldest.file < key.file => drop(self.evidence.remove(&oldest)),
                _ => return,
            }
        }
        self.evidence.insert(key, evidence.clone());
        self.inventory = None;
        if let Ok(bytes) = evidence.to_wire() {
            effects.push(Effect::Publish { topic: Topic::Evidence, bytes });
        }
        effects.push(Effect::Tell(MeshEvent::Evidence(evidence)));
    }

    /// Forgets tasks before `oldest`.
    pub(super) fn prune(&mut self, oldest: TaskId) {
        let first_kept = FileId { task_id: oldest, producer: Hotkey::from_bytes([0; 32]) };
        let kept = self.files.split_off(&first_kept);
        let dropped = std::mem::replace(&mut self.files, kept);
        let evidence = self.evidence.len();
        self.evidence.retain(|key, _| key.file.task_id >= oldest);
        if dropped.is_empty() && evidence == self.evidence.len() {
            return;
        }
        self.inventory = None;
        for (file, record) in dropped {
            if !record.announcements.is_empty() {
                release(&mut self.files_of, file.producer);
            }
            for attester in record.votes.values().flat_map(BTreeMap::keys) {
                release(&mut self.votes_of, *attester);
            }
        }
    }

    /// Summary of what is held: equal for two validators that have nothing to tell each other.
    pub(super) fn inventory(&mut self) -> Digest {
        if let Some(inventory) = self.inventory {
            return inventory;
        }
        let mut sum = [0; 32];
        let mut add = |parts: &[&[u8]]| {
            for (sum, byte) in sum.iter_mut().zip(Digest::of_parts(parts).0) {
                *sum ^= byte;
            }
        };
        for (file, record) in &self.files {
            let task = file.task_id.0.to_be_bytes();
            let name: [&[u8]; 2] = [&task, file.producer.as_bytes()];
            if let Some(digest) = &record.certified {
                add(&[b"certified", name[0], name[1], &digest.0]);
            } else {
                for (digest, votes) in &record.votes {
                    votes.keys().for_each(|attester| add(&[b"vote", name[0], name[1], &digest.0, attester.as_bytes()]));
                }
            }
            // Of three digests that a producer signed, different validators may hold different pairs: that is evidence,
            // and no difference worth asking about.
            if let [announcement] = &record.announcements[..] {
                add(&[b"announced", name[0], name[1], &announcement.digest.0]);
            }
        }
        for key in self.evidence.keys() {
            let task = key.file.task_id.0.to_be_bytes();
            let role = [u8::from(key.as_producer)];
            add(&[b"evidence", key.accused.as_bytes(), &task, key.file.producer.as_bytes(), &role]);
        }
        let inventory = Digest(sum);
        self.inventory = Some(inventory);
        inventory
    }

    /// A page of what is held, from where the request says.
    pub(super) fn page(&self, request: &CatchupRequest) -> CatchupPage {
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
            let votes: usize = tallies.iter().map(|tally| 64 + tally.votes.len() * VOTE_BYTES).sum();
            bytes += 64 + record.announcements.len() * STATEMENT_BYTES + votes;
            page.files.push(FileState { file: *file, announcements: record.announcements.clone(), tallies });
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
    pub(super) fn holders(&self, file: &FileId, digest: &Digest) -> impl Iterator<Item = Hotkey> + use<> {
        let record = self.files.get(file);
        let announced = record.is_some_and(|record| record.announcements.iter().any(|a| a.digest == *digest));
        let votes = record.and_then(|record| record.votes.get(digest));
        let attesters: Vec<Hotkey> = votes.into_iter().flat_map(BTreeMap::keys).copied().collect();
        announced.then_some(file.producer).into_iter().chain(attesters)
    }

    /// Everything known about files, ascending.
    pub(super) fn view(&self) -> Vec<FileView> {
        let view = |(file, record): (&FileId, &FileRecord)| FileView {
            file: *file,
            announced: record.announcements.first().map(|announcement| announcement.digest),
            certified: record.certified,
            attesters: record.votes.iter().map(|(digest, votes)| (*digest, votes.keys().copied().collect())).collect(),
        };
        self.files.iter().map(view).collect()
    }

    /// All evidence.
    pub(super) fn all_evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.values()
    }

    /// The newest task that a producer announced.
    pub(super) fn last_announced(&self, producer: &Hotkey) -> Option<TaskId> {
        let mut newest_first = self.files.iter().rev();
        let found = newest_first.find(|(file, record)| file.producer == *producer && !record.announcements.is_empty());
        found.map(|(file, _)| file.task_id)
    }
}

fn release(counts: &mut BTreeMap<Hotkey, usize>, hotkey: Hotkey) {
    if let Some(count) = counts.get_mut(&hotkey) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&hotkey);
        }
    }
}
