//! Announcements, attestations, certificates and evidence: what the mesh agrees on.
//!
//! Everything here only grows, and every piece proves itself by its signatures, so the order in
//! which pieces arrive does not matter: two validators that hold the same pieces hold the same
//! certificates and the same evidence.
//!
//! Why no two honest validators certify different digests of one file: a certificate needs more
//! than two thirds of the task's allowlist, an honest validator attests to one digest of a file for
//! ever (the signing guard), so two certificates would need more than a third of the validators to
//! sign twice.

use std::collections::BTreeMap;

use super::event::{Effect, FileView, Judgement, MeshEvent};
use super::limits::{
    MAX_DIGESTS_PER_ATTESTER, MAX_EVIDENCE_PER_ACCUSED, MAX_FILES_PER_PRODUCER,
    MAX_VOTES_PER_ATTESTER, PAGE_FILL_BYTES,
};
use crate::codec::Wire as _;
use crate::messages::{
    Announcement, Attestation, Certificate, Context, Evidence, EvidenceKey, MessageError, Tally,
    Topic, quorum,
};
use crate::{Digest, FileId, Hotkey, Network, Signature, TaskId};

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
    /// The exclusive or of all items' hashes: kept up to date item by item, whatever their order.
    inventory: Inventory,
}

/// A set's summary that an item enters and leaves by the same step.
#[derive(Debug, Default)]
struct Inventory([u8; 32]);

impl Inventory {
    fn toggle(&mut self, item: Digest) {
        for (sum, byte) in self.0.iter_mut().zip(item.0) {
            *sum ^= byte;
        }
    }
}

fn item(kind: &[u8], file: &FileId, digest: &Digest, who: &Hotkey) -> Digest {
    let task = file.task_id.0.to_be_bytes();
    Digest::of_parts(&[kind, &task, file.producer.as_bytes(), &digest.0, who.as_bytes()])
}

fn announced_item(file: &FileId, digest: &Digest) -> Digest {
    item(b"announced", file, digest, &file.producer)
}

fn certified_item(file: &FileId, digest: &Digest) -> Digest {
    item(b"certified", file, digest, &file.producer)
}

fn vote_item(file: &FileId, digest: &Digest, attester: &Hotkey) -> Digest {
    item(b"vote", file, digest, attester)
}

fn evidence_item(key: &EvidenceKey) -> Digest {
    item(
        if key.as_producer { b"evidence of files" } else { b"evidence of votes" },
        &key.file,
        &Digest::default(),
        &key.accused,
    )
}

impl FileRecord {
    /// What of this file is in the inventory. Of three digests that a producer signed, different
    /// validators may hold different pairs: that is evidence, and no difference worth asking about.
    /// Once a file is certified, who else attested is none either.
    fn items(&self, file: &FileId) -> Vec<Digest> {
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
        let file = announcement.file;
        let same = |known: &Announcement| known.digest == announcement.digest;
        if self.files.get(&file).is_some_and(|record| record.announcements.iter().any(same)) {
            return Ok(Outcome::Known); // Whoever signed this one: it adds nothing.
        }
        announcement.verify(context)?;
        if self.files.get(&file).is_none_or(|record| record.announcements.is_empty()) {
            let count = self.files_of.entry(file.producer).or_default();
            if *count >= MAX_FILES_PER_PRODUCER {
                return Ok(Outcome::Known);
            }
            *count += 1;
        }
        let record = self.files.entry(file).or_default();
        if record.announcements.len() >= 2 {
            return Ok(Outcome::Known);
        }
        record.announcements.push(announcement.clone());
        // The first enters; the second makes it leave.
        self.inventory.toggle(announced_item(&file, &record.announcements[0].digest));
        match &record.announcements[..] {
            [first, second] => {
                let evidence = Evidence::from_announcements(first.clone(), second.clone());
                self.convict(evidence, effects);
            }
            _ => effects.push(Effect::Tell(MeshEvent::Announcement(announcement))),
        }
        Ok(Outcome::New)
    }

    /// Takes in an attestation. A second digest by the same attester is evidence, and still counts
    /// for that digest: counting it cannot certify two digests, and makes the outcome independent
    /// of the order of arrival.
    pub(super) fn attestation(
        &mut self,
        context: &Context<'_>,
        attestation: Attestation,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, MessageError> {
        if self.has_vote(&attestation) {
            return Ok(Outcome::Known);
        }
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
        let has_all = certificate.attestations().all(|attestation| self.has_vote(&attestation));
        if has_all
            && self
                .files
                .get(&certificate.file)
                .is_some_and(|file| file.certified == Some(certificate.digest))
        {
            return Ok(());
        }
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
        if self.evidence.contains_key(&evidence.key()) {
            return Ok(Outcome::Known);
        }
        evidence.verify(context)?;
        self.convict(evidence.clone(), effects);
        Ok(if self.evidence.contains_key(&evidence.key()) { Outcome::New } else { Outcome::Known })
    }

    /// Checks the signatures of everything new in a page together. A vote checked singly costs
    /// nearly twice as much, and a validator that comes back after a day has thousands to check.
    pub(super) fn prepare(&self, context: &Context<'_>, page: &CatchupPage) {
        let announced = |announcement: &Announcement| {
            let known = self.files.get(&announcement.file).is_some_and(|record| {
                record.announcements.iter().any(|known| known.digest == announcement.digest)
            });
            !known && context.admits(announcement.file.task_id, announcement.file.producer)
        };
        let voted = |vote: &Attestation| {
            !self.has_vote(vote) && context.admits(vote.file.task_id, vote.attester)
        };
        let files = page.files.iter().flat_map(|state| {
            let votes = state
                .tallies
                .iter()
                .flat_map(|tally| tally.attestations(context.network, state.file));
            let announcements =
                state.announcements.iter().filter(|announcement| announced(announcement));
            announcements
                .map(Announcement::claim)
                .chain(votes.filter(voted).map(|vote| vote.claim()))
        });
        let accused = |evidence: &&Evidence| {
            let EvidenceKey { accused, file, .. } = evidence.key();
            !self.evidence.contains_key(&evidence.key()) && context.admits(file.task_id, accused)
        };
        let evidence = page.evidence.iter().filter(accused).flat_map(Evidence::claims);
        context.signatures.prepare(files.chain(evidence));
    }

    fn has_vote(&self, attestation: &Attestation) -> bool {
        let votes = self
            .files
            .get(&attestation.file)
            .and_then(|record| record.votes.get(&attestation.digest));
        votes.is_some_and(|votes| votes.contains_key(&attestation.attester))
    }

    /// Counts a verified attestation. One that is part of a verified certificate is counted beyond
    /// all quotas.
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
        let mut others =
            record.votes.iter().filter_map(|(other, votes)| Some((*other, *votes.get(&attester)?)));
        let first_other = others.next();
        let digests = usize::from(first_other.is_some()) + others.count();
        let votes_of = self.votes_of.entry(attester).or_default();
        if !certified
            && (digests >= MAX_DIGESTS_PER_ATTESTER || *votes_of >= MAX_VOTES_PER_ATTESTER)
        {
            return Outcome::Known;
        }
        *votes_of += 1;
        if record.certified.is_none() {
            self.inventory.toggle(vote_item(&file, &digest, &attester));
        }
        let votes = record.votes.entry(digest).or_default();
        votes.insert(attester, signature);
        let (have, need) = (votes.len(), quorum(context.allowlists.for_task(file.task_id).len()));
        let counted = Attestation { network, file, digest, attester, signature };
        effects.push(Effect::Tell(MeshEvent::AttestationCounted {
            attestation: counted.clone(),
            have,
            need,
        }));
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
                record.items(&file).into_iter().for_each(|item| self.inventory.toggle(item));
                record.certified = Some(digest);
                record.items(&file).into_iter().for_each(|item| self.inventory.toggle(item));
                effects.push(Effect::Tell(MeshEvent::Certified(assemble(record, digest))));
            }
            Some(kept) if kept != digest => {
                let (kept, other) =
                    (Box::new(assemble(record, kept)), Box::new(assemble(record, digest)));
                effects.push(Effect::Tell(MeshEvent::CertificateConflict { kept, other }));
            }
            Some(_) => {}
        }
    }

    /// Keeps, tells and publishes new evidence, unless newer pieces against the same validator are
    /// enough.
    fn convict(&mut self, evidence: Evidence, effects: &mut Vec<Effect>) {
        let key = evidence.key();
        if self.evidence.contains_key(&key) {
            return;
        }
        let same = |kept: &&EvidenceKey| {
            kept.accused == key.accused && kept.as_producer == key.as_producer
        };
        if self.evidence.keys().filter(same).count() >= MAX_EVIDENCE_PER_ACCUSED {
            let oldest = self.evidence.keys().filter(same).min_by_key(|kept| kept.file).copied();
            match oldest {
                Some(oldest) if oldest.file < key.file => {
                    self.evidence.remove(&oldest);
                    self.inventory.toggle(evidence_item(&oldest));
                }
                _ => return,
            }
        }
        self.evidence.insert(key, evidence.clone());
        self.inventory.toggle(evidence_item(&key));
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

    /// Summary of what is held: equal for two validators that have nothing to tell each other.
    pub(super) fn inventory(&self) -> Digest {
        Digest(self.inventory.0)
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
    pub(super) fn holders(
        &self,
        file: &FileId,
        digest: &Digest,
    ) -> impl Iterator<Item = Hotkey> + use<> {
        let record = self.files.get(file);
        let announced =
            record.is_some_and(|record| record.announcements.iter().any(|a| a.digest == *digest));
        let votes = record.and_then(|record| record.votes.get(digest));
        let attesters: Vec<Hotkey> = votes.into_iter().flat_map(BTreeMap::keys).copied().collect();
        announced.then_some(file.producer).into_iter().chain(attesters)
    }

    /// Every attestation that is counted, in the order of its file and digest.
    pub(super) fn attestations(&self, network: Network) -> impl Iterator<Item = Attestation> + '_ {
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
    pub(super) fn view(&self) -> Vec<FileView> {
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
    pub(super) fn all_evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.values()
    }

    /// The newest task that a producer announced.
    pub(super) fn last_announced(&self, producer: &Hotkey) -> Option<TaskId> {
        let mut newest_first = self.files.iter().rev();
        let found = newest_first
            .find(|(file, record)| file.producer == *producer && !record.announcements.is_empty());
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use sp_core::{Pair as _, sr25519};

    use super::*;
    use crate::messages::{Allowlists, SignatureCheck};
    use crate::verdict::SignedVerdict;
    use crate::{BlockNumber, HotkeySigner, MemoryGuard, Netuid, Network};

    fn network() -> Network {
        Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) }
    }

    /// Forgets what it signed, as a liar does.
    fn signer(number: u8) -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
    }

    fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
        let allowlists = Allowlists::single((1..=4).map(|number| signer(number).hotkey()));
        let signatures = SignatureCheck::default();
        run(&Context {
            network: network(),
            allowlists: &allowlists,
            head: BlockNumber(1000),
            tasks: TaskId(0)..=TaskId(20),
            signatures: &signatures,
        })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Announce(u8, u8, u8),
        Attest(u8, u8, u8, u8),
    }

    fn take(
        agreement: &mut Agreement,
        context: &Context<'_>,
        step: &Step,
        effects: &mut Vec<Effect>,
    ) {
        match step {
            Step::Announce(who, task, content) => {
                let id =
                    FileId { task_id: TaskId(u64::from(*task)), producer: signer(*who).hotkey() };
                let file = SignedVerdict { id, digest: Digest::of(&[*content]), bytes: vec![] };
                let announcement = signer(*who).sign_announcement(network(), &file).unwrap();
                agreement.announcement(context, announcement, effects).unwrap();
            }
            Step::Attest(who, producer, task, content) => {
                let file = FileId {
                    task_id: TaskId(u64::from(*task)),
                    producer: signer(*producer).hotkey(),
                };
                let attestation = signer(*who)
                    .sign_attestation(network(), file, Digest::of(&[*content]))
                    .unwrap();
                agreement.attestation(context, attestation, effects).unwrap();
            }
        }
    }

    fn recomputed(agreement: &Agreement) -> Digest {
        let mut inventory = Inventory::default();
        for (file, record) in &agreement.files {
            record.items(file).into_iter().for_each(|item| inventory.toggle(item));
        }
        agreement.evidence.keys().for_each(|key| inventory.toggle(evidence_item(key)));
        Digest(inventory.0)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..=4u8, 0..3u8, 0..2u8)
                .prop_map(|(who, task, content)| Step::Announce(who, task, content)),
            (1..=4u8, 1..=2u8, 0..3u8, 0..2u8)
                .prop_map(|(who, by, task, content)| Step::Attest(who, by, task, content)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_order_of_arrival_changes_nothing(
            steps in proptest::collection::vec(step(), 0..40),
            shuffled in any::<proptest::sample::Index>(),
        ) {
            with_context(|context| {
                let (mut one, mut other) = (Agreement::default(), Agreement::default());
                let mut effects = Vec::new();
                steps.iter().for_each(|step| take(&mut one, context, step, &mut effects));
                let mut turned = steps.clone();
                if !turned.is_empty() {
                    turned.rotate_left(shuffled.index(steps.len()));
                }
                turned.iter().rev().for_each(|step| take(&mut other, context, step, &mut effects));
                prop_assert_eq!(one.inventory(), recomputed(&one));
                prop_assert_eq!(
                    one.evidence.keys().collect::<Vec<_>>(),
                    other.evidence.keys().collect::<Vec<_>>()
                );
                for (file, record) in &one.files {
                    prop_assert_eq!(&record.votes.keys().collect::<Vec<_>>(), &other.files[file].votes.keys().collect::<Vec<_>>());
                }
                one.prune(TaskId(1));
                prop_assert_eq!(one.inventory(), recomputed(&one));
                one.prune(TaskId(10));
                prop_assert_eq!(one.inventory(), Digest::default());
                prop_assert!(one.votes_of.is_empty() && one.files_of.is_empty());
                Ok(())
            })?;
        }

        #[test]
        fn a_page_hands_over_everything(steps in proptest::collection::vec(step(), 0..30)) {
            with_context(|context| {
                let (mut one, mut other) = (Agreement::default(), Agreement::default());
                let mut effects = Vec::new();
                steps.iter().for_each(|step| take(&mut one, context, step, &mut effects));
                let page = one.page(&CatchupRequest::default());
                for state in &page.files {
                    for announcement in &state.announcements {
                        other.announcement(context, announcement.clone(), &mut effects).unwrap();
                    }
                    for tally in &state.tallies {
                        for attestation in tally.attestations(network(), state.file) {
                            other.attestation(context, attestation, &mut effects).unwrap();
                        }
                    }
                }
                prop_assert!(!page.more);
                let certified = |agreement: &Agreement| -> Vec<FileId> {
                    agreement.files.iter().filter(|(_, record)| record.certified.is_some()).map(|(file, _)| *file).collect()
                };
                prop_assert_eq!(certified(&one), certified(&other));
                prop_assert_eq!(one.evidence.keys().collect::<Vec<_>>(), other.evidence.keys().collect::<Vec<_>>());
                Ok(())
            })?;
        }
    }
}
