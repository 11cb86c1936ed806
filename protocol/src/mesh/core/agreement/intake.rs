//! Taking in what arrives.

use std::collections::BTreeMap;

use super::inventory::{Inventory, announced_item, evidence_item, vote_item};
use super::record::FileRecord;
use crate::codec::Wire as _;
use crate::mesh::core::effect::Effect;
use crate::mesh::core::limits::{
    MAX_DIGESTS_PER_ATTESTER, MAX_EVIDENCE_PER_ACCUSED, MAX_FILES_PER_PRODUCER,
    MAX_VOTES_PER_ATTESTER,
};
use crate::mesh::core::mesh_event::MeshEvent;
use crate::messages::{
    Announcement, Attestation, Certificate, Context, Evidence, EvidenceKey, MessageError, Topic,
    quorum,
};
use crate::{FileId, Hotkey, TaskId};

/// What is agreed on so far, about the tasks of the lookback.
#[derive(Debug, Default)]
pub(in crate::mesh::core) struct Agreement {
    pub(super) files: BTreeMap<FileId, FileRecord>,
    pub(super) evidence: BTreeMap<EvidenceKey, Evidence>,
    pub(super) votes_of: BTreeMap<Hotkey, usize>,
    pub(super) files_of: BTreeMap<Hotkey, usize>,
    /// Kept up to date item by item.
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
        if record.is_none_or(|record| record.announcements.is_empty()) {
            let count = self.files_of.entry(file.producer).or_default();
            if *count >= MAX_FILES_PER_PRODUCER {
                return Ok(Taken::Known);
            }
            *count += 1;
        }
        let record = self.files.entry(file).or_default();
        if record.announcements.len() >= 2 {
            return Ok(Taken::Known);
        }
        record.announcements.push(announcement.clone());
        // The first digest enters the inventory; a second one makes it leave again.
        self.inventory.toggle(announced_item(&file, &record.announcements[0].digest));
        let news = match &record.announcements[..] {
            [first, second] => {
                let evidence = Evidence::from_announcements(first.clone(), second.clone());
                self.convict(evidence).into_iter().collect()
            }
            _ => vec![MeshEvent::Announcement(announcement)],
        };
        Ok(Taken::New(news))
    }

    /// Takes in an attestation. A second digest by the same attester is evidence, and counts all
    /// the same: it cannot certify two digests, and the result must not depend on the order of
    /// arrival.
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
        let votes_of = self.votes_of.entry(attester).or_default();
        let beyond_quota =
            digests >= MAX_DIGESTS_PER_ATTESTER || *votes_of >= MAX_VOTES_PER_ATTESTER;
        if beyond_quota && !in_certificate {
            return Vec::new();
        }
        *votes_of += 1;
        if record.certified.is_none() {
            self.inventory.toggle(vote_item(&file, &digest, &attester));
        }
        let votes = record.votes.entry(digest).or_default();
        votes.insert(attester, signature);
        let (have, need) = (votes.len(), quorum(context.allowlists.for_task(file.task_id).len()));
        let counted = Attestation { network, file, digest, attester, signature };
        let mut news =
            vec![MeshEvent::AttestationCounted { attestation: counted.clone(), have, need }];
        if have >= need {
            news.extend(self.certify(&counted));
        }
        if let Some((digest, signature)) = first_other {
            let other = Attestation { digest, signature, ..counted.clone() };
            news.extend(self.convict(Evidence::from_attestations(other, counted)));
        }
        news
    }

    /// Certifies a digest that has a quorum. Returns what to tell the validator, if anything.
    fn certify(&mut self, latest: &Attestation) -> Option<MeshEvent> {
        let Attestation { network, file, digest, .. } = *latest;
        let record = self.files.get_mut(&file)?;
        match record.certified {
            None => {
                record.items(&file).into_iter().for_each(|item| self.inventory.toggle(item));
                record.certified = Some(digest);
                record.items(&file).into_iter().for_each(|item| self.inventory.toggle(item));
                Some(MeshEvent::Certified(record.certificate(network, file, digest)))
            }
            Some(kept) if kept != digest => {
                let certificate = |digest| Box::new(record.certificate(network, file, digest));
                let (kept, other) = (certificate(kept), certificate(digest));
                Some(MeshEvent::CertificateConflict { kept, other })
            }
            Some(_) => None,
        }
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
            self.inventory.toggle(evidence_item(&oldest));
        }
        self.evidence.insert(key, evidence.clone());
        self.inventory.toggle(evidence_item(&key));
        Some(MeshEvent::Evidence(evidence))
    }

    /// Forgets tasks before `oldest`.
    pub(in crate::mesh::core) fn prune(&mut self, oldest: TaskId) {
        let first_kept = FileId { task_id: oldest, producer: Hotkey::from_bytes([0; 32]) };
        let kept = self.files.split_off(&first_kept);
        let dropped = std::mem::replace(&mut self.files, kept);
        let inventory = &mut self.inventory;
        self.evidence.retain(|key, _| {
            let counts = key.file.task_id >= oldest;
            if !counts {
                inventory.toggle(evidence_item(key));
            }
            counts
        });
        for (file, record) in dropped {
            record.items(&file).into_iter().for_each(|item| self.inventory.toggle(item));
            if !record.announcements.is_empty() {
                release(&mut self.files_of, file.producer);
            }
            for attester in record.votes.values().flat_map(BTreeMap::keys) {
                release(&mut self.votes_of, *attester);
            }
        }
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
