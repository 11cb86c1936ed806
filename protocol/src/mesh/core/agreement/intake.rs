//! Taking in what arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::inventory::{Inventory, announced_item, evidence_item, vote_item};
use super::record::FileRecord;
use crate::codec::Wire as _;
use crate::mesh::core::effect::Effect;
use crate::mesh::core::limits::{
    MAX_DIGESTS_PER_ATTESTER, MAX_EVIDENCE_PER_ACCUSED, MAX_FILES_PER_PRODUCER, MAX_VOTES_PER_PAIR,
};
use crate::mesh::core::mesh_event::MeshEvent;
use crate::messages::{
    Allowlist, Announcement, Attestation, Certificate, Context, Dispute, DisputeKey, Evidence,
    EvidenceKey, FileStatement, MessageError, Topic,
};
use crate::verdict::SignedEnvelope;
use crate::{Digest, FileId, Hotkey, TaskId, quorum};

/// What is agreed on so far, about the tasks of the lookback.
#[derive(Debug, Default)]
pub(in crate::mesh::core) struct Agreement {
    pub(super) files: BTreeMap<FileId, FileRecord>,
    pub(super) evidence: BTreeMap<EvidenceKey, Evidence>,
    pub(super) disputes: BTreeMap<DisputeKey, Dispute>,
    /// Votes by attester and producer, so that a liar's many files use up nobody else's quota.
    pub(super) votes_of: BTreeMap<(Hotkey, Hotkey), usize>,
    /// Disputes by disputer and producer.
    pub(super) disputes_of: BTreeMap<(Hotkey, Hotkey), usize>,
    /// The tasks of which an announcement is kept, by producer.
    pub(super) files_of: BTreeMap<Hotkey, BTreeSet<TaskId>>,
    pub(super) inventory: Inventory,
}

/// What taking in a message led to.
#[derive(Debug)]
#[must_use]
pub(in crate::mesh::core) enum Taken {
    /// It added nothing.
    Known,
    /// It was new. The validator is to be told these events.
    New(Vec<MeshEvent>),
}

impl Taken {
    fn from_news(news: Vec<MeshEvent>) -> Self {
        if news.is_empty() { Self::Known } else { Self::New(news) }
    }

    /// Tells the validator. Returns whether anything was new.
    pub(in crate::mesh::core) fn tell(self, effects: &mut Vec<Effect>) -> bool {
        let Self::New(news) = self else { return false };
        effects.extend(news.into_iter().map(Effect::Tell));
        true
    }

    /// The same, and publishes new evidence.
    pub(in crate::mesh::core) fn spread(self, effects: &mut Vec<Effect>) -> bool {
        let Self::New(news) = self else { return false };
        for event in news {
            if let MeshEvent::Evidence(evidence) = &event
                && let Ok(bytes) = evidence.to_wire()
            {
                effects.push(Effect::Publish { topic: Topic::Evidence, bytes });
            }
            effects.push(Effect::Tell(event));
        }
        true
    }
}

impl Agreement {
    /// Takes in an announcement. A second digest for the same file is evidence.
    pub(in crate::mesh::core) fn announcement(
        &mut self,
        context: &Context<'_>,
        announcement: Announcement,
    ) -> Result<Taken, MessageError> {
        let file = announcement.file;
        let record = self.files.get(&file);
        if record.is_some_and(|record| record.is_announced(&announcement.digest)) {
            return Ok(Taken::Known); // Whoever signed this one, it adds nothing.
        }
        announcement.verify(context)?;
        let is_first = record.is_none_or(|record| record.announcements.is_empty());
        if is_first && !self.make_room(&file) {
            return Ok(Taken::Known);
        }
        let record = self.files.entry(file).or_default();
        if record.announcements.len() >= 2 {
            return Ok(Taken::Known);
        }
        record.announcements.push(announcement.clone());
        // The first digest enters the inventory; a second one makes it leave again.
        let item = announced_item(&file, &record.announcements[0].digest);
        let news = match &record.announcements[..] {
            [first, second] => {
                let [one, other] =
                    [first, second].map(|said| FileStatement::Announced(said.clone()));
                self.inventory.remove(item);
                self.convict(Evidence::from_files(one, other)).into_iter().collect()
            }
            _ => {
                self.inventory.add(item);
                vec![MeshEvent::Announcement(announcement)]
            }
        };
        Ok(Taken::New(news))
    }

    /// Counts a file whose first announcement arrives. Beyond the bound the same producer's
    /// announcement of the oldest task is dropped, so that old files never keep out new ones, and
    /// whoever announces too much loses only its own. Whatever the order of arrival, the newest
    /// tasks stay. Returns whether the file is one of them.
    fn make_room(&mut self, file: &FileId) -> bool {
        let tasks = self.files_of.entry(file.producer).or_default();
        tasks.insert(file.task_id);
        if tasks.len() <= MAX_FILES_PER_PRODUCER {
            return true;
        }
        let Some(oldest) = tasks.pop_first() else { return false };
        if oldest == file.task_id {
            return false;
        }
        let oldest = FileId { task_id: oldest, producer: file.producer };
        if let Some(record) = self.files.get_mut(&oldest) {
            if let [announcement] = &record.announcements[..] {
                self.inventory.remove(announced_item(&oldest, &announcement.digest));
            }
            record.announcements.clear();
            // What others said of it stays, and so does its certificate.
            if record.votes.is_empty() {
                self.files.remove(&oldest);
            }
        }
        true
    }

    /// Takes in the envelope of a file that somebody found. If its producer announced another file,
    /// the two are evidence.
    pub(in crate::mesh::core) fn envelope(
        &mut self,
        context: &Context<'_>,
        signed: SignedEnvelope,
    ) -> Result<Taken, MessageError> {
        let digest = signed.envelope.digest();
        let record = self.files.get(&signed.file());
        let other = record.and_then(|record| {
            record.announcements.iter().find(|announcement| announcement.digest != digest)
        });
        let Some(other) = other else { return Ok(Taken::Known) };
        let other = FileStatement::Announced(other.clone());
        self.evidence(context, &Evidence::from_files(other, FileStatement::Published(signed)))
    }

    /// Takes in an attestation. A second digest by the same attester is evidence, and still counts:
    /// it cannot certify two digests, and the result must not depend on the order of arrival.
    pub(in crate::mesh::core) fn attestation(
        &mut self,
        context: &Context<'_>,
        attestation: Attestation,
    ) -> Result<Taken, MessageError> {
        if self.has_vote(&attestation) {
            return Ok(Taken::Known);
        }
        attestation.verify(context)?;
        Ok(Taken::from_news(self.count(context, attestation, false)))
    }

    /// Takes in a whole certificate, whoever hands it over.
    pub(in crate::mesh::core) fn certificate(
        &mut self,
        context: &Context<'_>,
        certificate: &Certificate,
    ) -> Result<Taken, MessageError> {
        let has_all = certificate.attestations().all(|attestation| self.has_vote(&attestation));
        let certified = self.files.get(&certificate.file).and_then(|record| record.certified);
        if has_all && certified == Some(certificate.digest) {
            return Ok(Taken::Known);
        }
        certificate.verify(context)?;
        let votes = certificate.attestations();
        let news = votes.flat_map(|attestation| self.count(context, attestation, true));
        Ok(Taken::from_news(news.collect()))
    }

    /// Takes in evidence.
    pub(in crate::mesh::core) fn evidence(
        &mut self,
        context: &Context<'_>,
        evidence: &Evidence,
    ) -> Result<Taken, MessageError> {
        if self.evidence.contains_key(&evidence.key()) {
            return Ok(Taken::Known);
        }
        evidence.verify(context)?;
        Ok(Taken::from_news(self.convict(evidence.clone()).into_iter().collect()))
    }

    pub(super) fn has_vote(&self, vote: &Attestation) -> bool {
        let record = self.files.get(&vote.file);
        record.is_some_and(|record| record.has_vote(&vote.digest, &vote.attester))
    }

    /// Counts a verified attestation. The attestations of a verified certificate count beyond all
    /// quotas. Returns what to tell the validator; nothing if the attestation does not count.
    fn count(
        &mut self,
        context: &Context<'_>,
        attestation: Attestation,
        in_certificate: bool,
    ) -> Vec<MeshEvent> {
        let Attestation { network, file, digest, attester, signature } = attestation;
        let record = self.files.entry(file).or_default();
        if record.has_vote(&digest, &attester) {
            return Vec::new();
        }
        let mut others =
            record.votes.iter().filter_map(|(other, votes)| Some((*other, *votes.get(&attester)?)));
        let first_other = others.next();
        let digests = usize::from(first_other.is_some()) + others.count();
        let votes_of = self.votes_of.entry((attester, file.producer)).or_default();
        let beyond_quota = digests >= MAX_DIGESTS_PER_ATTESTER || *votes_of >= MAX_VOTES_PER_PAIR;
        if beyond_quota && !in_certificate {
            return Vec::new();
        }
        *votes_of += 1;
        if record.certified.is_none() {
            self.inventory.add(vote_item(&file, &digest, &attester));
        }
        let votes = record.votes.entry(digest).or_default();
        votes.insert(attester, signature);
        let list = context.allowlists.for_task(file.task_id);
        // A vote that was taken in under a list that is no longer its task's does not count.
        let have = votes.keys().filter(|who| list.contains(who)).count();
        let need = quorum(list.len());
        let counted = Attestation { network, file, digest, attester, signature };
        let mut news =
            vec![MeshEvent::AttestationCounted { attestation: counted.clone(), have, need }];
        if have >= need {
            news.extend(self.certify(&counted, list));
        }
        if let Some((digest, signature)) = first_other {
            let other = Attestation { digest, signature, ..counted.clone() };
            news.extend(self.convict(Evidence::from_attestations(other, counted)));
        }
        news
    }

    /// Certifies a digest that has a quorum. Returns what to tell the validator, if anything.
    fn certify(&mut self, latest: &Attestation, list: &Allowlist) -> Option<MeshEvent> {
        let Attestation { network, file, digest, .. } = *latest;
        let record = self.files.get_mut(&file)?;
        match record.certified {
            None => {
                record.items(&file).into_iter().for_each(|item| self.inventory.remove(item));
                record.certified = Some(digest);
                record.items(&file).into_iter().for_each(|item| self.inventory.add(item));
                Some(MeshEvent::Certified(record.certificate(network, file, digest, list)))
            }
            Some(kept) if kept != digest => {
                let certificate =
                    |digest| Box::new(record.certificate(network, file, digest, list));
                let (kept, other) = (certificate(kept), certificate(digest));
                Some(MeshEvent::CertificateConflict { kept, other })
            }
            Some(_) => None,
        }
    }

    /// Counts all votes again after the allowlists changed: votes may have been counted under an
    /// older list because the list of their task reached us late. `shown` are the certificates as
    /// they were. Returns what changed, with no certificate for a file that lost its own.
    pub(in crate::mesh::core) fn recount(
        &mut self,
        context: &Context<'_>,
        shown: &BTreeMap<FileId, Arc<Certificate>>,
    ) -> Vec<(FileId, Option<Certificate>)> {
        let mut changed = Vec::new();
        for (file, record) in &mut self.files {
            let list = context.allowlists.for_task(file.task_id);
            let need = quorum(list.len());
            let of_list = |who: &Hotkey| list.contains(who);
            let quorums: Vec<Digest> = record
                .votes
                .iter()
                .filter(|(_, votes)| votes.keys().filter(|who| of_list(who)).count() >= need)
                .map(|(digest, _)| *digest)
                .collect();
            let kept = record.certified.filter(|digest| quorums.contains(digest));
            let now = kept.or_else(|| quorums.first().copied());
            let is_enough = shown.get(file).is_some_and(|one| {
                Some(one.digest) == now
                    && one.votes.iter().filter(|(who, _)| of_list(who)).count() >= need
            });
            if now == record.certified && (now.is_none() || is_enough) {
                continue;
            }
            record.items(file).into_iter().for_each(|item| self.inventory.remove(item));
            record.certified = now;
            record.items(file).into_iter().for_each(|item| self.inventory.add(item));
            let certificate =
                now.map(|digest| record.certificate(context.network, *file, digest, list));
            changed.push((*file, certificate));
        }
        changed
    }

    /// Keeps new evidence, unless enough newer pieces against the same validator are held. Returns
    /// what to tell the validator, if anything.
    fn convict(&mut self, evidence: Evidence) -> Option<MeshEvent> {
        let key = evidence.key();
        if self.evidence.contains_key(&key) {
            return None;
        }
        let same = |kept: &&EvidenceKey| {
            kept.accused == key.accused && kept.as_producer == key.as_producer
        };
        if self.evidence.keys().filter(same).count() >= MAX_EVIDENCE_PER_ACCUSED {
            let oldest = self.evidence.keys().filter(same).min_by_key(|kept| kept.file).copied();
            let oldest = oldest.filter(|oldest| oldest.file < key.file)?;
            self.evidence.remove(&oldest);
            self.inventory.remove(evidence_item(&oldest));
        }
        self.evidence.insert(key, evidence.clone());
        self.inventory.add(evidence_item(&key));
        Some(MeshEvent::Evidence(evidence))
    }

    /// Forgets tasks before `oldest`.
    pub(in crate::mesh::core) fn prune(&mut self, oldest: TaskId) {
        let first_kept = FileId { task_id: oldest, producer: Hotkey::from_bytes([0; 32]) };
        let kept = self.files.split_off(&first_kept);
        let dropped = std::mem::replace(&mut self.files, kept);
        self.inventory.prune(oldest);
        self.evidence.retain(|key, _| key.file.task_id >= oldest);
        let (disputes, disputes_of) = (&mut self.disputes, &mut self.disputes_of);
        disputes.retain(|key, _| {
            let counts = key.file.task_id >= oldest;
            if !counts {
                release(disputes_of, (key.disputer, key.file.producer));
            }
            counts
        });
        for (file, record) in dropped {
            if let Some(tasks) = self.files_of.get_mut(&file.producer) {
                tasks.remove(&file.task_id);
                if tasks.is_empty() {
                    self.files_of.remove(&file.producer);
                }
            }
            for attester in record.votes.values().flat_map(BTreeMap::keys) {
                release(&mut self.votes_of, (*attester, file.producer));
            }
        }
        self.settle();
    }

    /// Brings the inventory's digests up to date.
    pub(in crate::mesh::core) fn settle(&mut self) {
        self.inventory.settle();
    }
}

fn release<Key: Ord>(counts: &mut BTreeMap<Key, usize>, key: Key) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
