//! Audits what all validators have written down. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use leoma::state::{Books, Slot};
use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use serde::{Deserialize, Serialize};

/// One epoch of all validators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochAudit {
    /// Its boundary.
    pub epoch_block: u64,
    /// How many computed weights.
    pub computed: u64,
    /// The weights that were computed, `[uid, share]` each. More than one vector is a disagreement.
    pub vectors: BTreeSet<Vec<(u16, u16)>>,
    /// How many set none, by their reasons.
    pub abstained: BTreeMap<String, u64>,
    /// How many were not there to decide anything.
    pub silent: u64,
    /// How many witnessed it on chain in time.
    pub witnesses: u64,
}

/// The findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Every epoch that anyone decided.
    pub epochs: Vec<EpochAudit>,
    /// Verdict files that validators signed.
    pub verdicts: u64,
    /// Files of the window that some validator lacks: `task by producer is not with validator`.
    pub lost: Vec<String>,
    /// Files that were signed and lost with their process: the signature never left it.
    pub unreleased: u64,
    /// Everything that was signed twice, except lies.
    pub double_signed: Vec<String>,
    /// Who holds no evidence against which validator in whose name lies were told.
    pub unproven: Vec<String>,
}

impl Audit {
    /// Epochs for which two validators computed different weights.
    pub fn disagreements(&self) -> impl Iterator<Item = &EpochAudit> {
        self.epochs.iter().filter(|epoch| epoch.vectors.len() > 1)
    }

    /// How often a validator set nothing.
    pub(crate) fn abstentions(&self) -> u64 {
        self.epochs.iter().flat_map(|epoch| epoch.abstained.values()).sum()
    }

    /// How often a validator set nothing and does not say why.
    pub(crate) fn unexplained(&self) -> u64 {
        self.epochs.iter().filter_map(|epoch| epoch.abstained.get("")).sum()
    }
}

/// Audits the books of all validators. `earlier` is what each had signed at earlier moments; only
/// files of tasks in the `window` are looked for. Lies were told in the name of the `liars`:
/// everybody else must hold evidence against each, and files that were the subject of lies are not
/// looked for.
pub fn audit(
    books: &BTreeMap<Hotkey, Books>,
    earlier: &[(Hotkey, Slot, Digest)],
    liars: &BTreeSet<Hotkey>,
    window: &RangeInclusive<TaskId>,
) -> Audit {
    let lies: BTreeSet<(TaskId, Hotkey)> = books
        .values()
        .flat_map(|books| &books.evidence)
        .filter(|(_, accused)| liars.contains(accused))
        .copied()
        .collect();
    let own_files = || {
        books.iter().flat_map(|(owner, books)| {
            let own = books.files.iter().filter(|(id, _)| {
                id.producer == *owner && !lies.contains(&(id.task_id, id.producer))
            });
            own.flat_map(|(id, digests)| digests.iter().map(move |digest| (*id, *digest)))
        })
    };
    let mut lost = Vec::new();
    for (id, digest) in own_files().filter(|(id, _)| window.contains(&id.task_id)) {
        for (holder, books) in books {
            if !books.files.get(&id).is_some_and(|digests| digests.contains(&digest)) {
                lost.push(format!("task {} by {} is not with {holder}", id.task_id, id.producer));
            }
        }
    }
    let unreleased = books.iter().map(|(owner, books)| {
        let signed = books
            .signed
            .keys()
            .filter(|(kind, _, subject)| kind == "verdict_file" && subject == owner);
        signed
            .filter(|(_, task_id, _)| {
                !books.files.contains_key(&FileId { task_id: *task_id, producer: *owner })
            })
            .count()
    });
    Audit {
        epochs: epochs(books),
        verdicts: own_files().count() as u64,
        lost,
        unreleased: unreleased.sum::<usize>() as u64,
        double_signed: double_signed(books, earlier, &lies),
        unproven: unproven(books, liars),
    }
}

fn unproven(books: &BTreeMap<Hotkey, Books>, liars: &BTreeSet<Hotkey>) -> Vec<String> {
    let mut found = Vec::new();
    for liar in liars {
        let others = books.iter().filter(|(holder, _)| *holder != liar);
        let without =
            others.filter(|(_, books)| !books.evidence.iter().any(|(_, accused)| accused == liar));
        found.extend(without.map(|(holder, _)| {
            format!("{holder} holds no evidence against {liar}, which signed twice")
        }));
    }
    found
}

fn epochs(books: &BTreeMap<Hotkey, Books>) -> Vec<EpochAudit> {
    let mut epochs: BTreeMap<u64, EpochAudit> = BTreeMap::new();
    for entry in books.values().flat_map(|books| &books.epochs) {
        let empty = EpochAudit { epoch_block: entry.epoch_block, ..EpochAudit::default() };
        let epoch = epochs.entry(entry.epoch_block).or_insert(empty);
        match &entry.weights {
            Some(weights) => {
                epoch.computed += 1;
                epoch.vectors.insert(weights.clone());
            }
            None => *epoch.abstained.entry(entry.reason.clone()).or_default() += 1,
        }
    }
    for epoch in epochs.values_mut() {
        let decided = epoch.computed + epoch.abstained.values().sum::<u64>();
        epoch.silent = (books.len() as u64).saturating_sub(decided);
        let witnessed = |books: &&Books| books.witnesses.get(&epoch.epoch_block) == Some(&true);
        epoch.witnesses = books.values().filter(witnessed).count() as u64;
    }
    epochs.into_values().collect()
}

fn double_signed(
    books: &BTreeMap<Hotkey, Books>,
    earlier: &[(Hotkey, Slot, Digest)],
    lies: &BTreeSet<(TaskId, Hotkey)>,
) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (signer, slot, digest) in earlier {
        let now = books.get(signer).and_then(|books| books.signed.get(slot));
        if now != Some(digest) {
            let (kind, task, subject) = slot;
            found.insert(format!("{signer}: {kind} of {subject} for task {task} was signed again"));
        }
    }
    let mut digests: BTreeMap<FileId, BTreeSet<Digest>> = BTreeMap::new();
    for (id, held) in books.values().flat_map(|books| &books.files) {
        if !lies.contains(&(id.task_id, id.producer)) {
            digests.entry(*id).or_default().extend(held);
        }
    }
    for (id, digests) in digests {
        if digests.len() > 1 {
            found.insert(format!(
                "{}: {} files for task {}",
                id.producer,
                digests.len(),
                id.task_id
            ));
        }
    }
    let evidence = books.values().flat_map(|books| &books.evidence);
    for (task, accused) in evidence.filter(|proven| !lies.contains(proven)) {
        found.insert(format!("{accused}: there is evidence for task {task}"));
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use leoma::state::EpochEntry;

    use super::*;

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn file(task: u64, producer: u8) -> FileId {
        FileId { task_id: TaskId(task), producer: key(producer) }
    }

    fn slot(task: u64, subject: u8) -> Slot {
        ("verdict_file".into(), TaskId(task), key(subject))
    }

    fn holding(files: &[(FileId, &[u8])]) -> Books {
        let files = files.iter().map(|(id, bytes)| (*id, [Digest::of(bytes)].into()));
        Books { files: files.collect(), ..Books::default() }
    }

    fn window(first: u64) -> RangeInclusive<TaskId> {
        TaskId(first)..=TaskId(100)
    }

    fn none() -> BTreeSet<Hotkey> {
        BTreeSet::new()
    }

    #[test]
    fn a_lie_is_no_finding_once_everybody_else_can_prove_it() {
        let liars = [key(1)].into();
        let signed = |bytes: &[u8]| {
            let mut books = holding(&[(file(3, 1), bytes)]);
            books.evidence.insert((TaskId(3), key(1)));
            books
        };
        let liar = holding(&[]);
        let mut books =
            BTreeMap::from([(key(1), liar), (key(2), signed(b"a")), (key(3), signed(b"b"))]);
        let found = audit(&books, &[], &liars, &window(0));
        assert_eq!((found.double_signed.len(), found.unproven.len()), (0, 0), "{found:?}");
        assert_eq!(audit(&books, &[], &none(), &window(0)).double_signed.len(), 2);
        books.insert(key(3), holding(&[]));
        assert_eq!(audit(&books, &[], &liars, &window(0)).unproven.len(), 1);
    }

    fn epoch(epoch_block: u64, uid: Option<u16>, reason: &str) -> EpochEntry {
        let weights = uid.map(|uid| vec![(uid, u16::MAX)]);
        EpochEntry { epoch_block, set: weights.is_some(), weights, reason: reason.to_owned() }
    }

    #[test]
    fn a_file_that_one_validator_lacks_is_lost_within_the_window() {
        let both = [(file(3, 1), b"a".as_slice()), (file(9, 2), b"b")];
        let mut books = BTreeMap::from([(key(1), holding(&both)), (key(2), holding(&both))]);
        let found = audit(&books, &[], &none(), &window(0));
        assert_eq!((found.verdicts, found.lost.len(), found.double_signed.len()), (2, 0, 0));
        books.insert(key(2), holding(&both[1..]));
        assert_eq!(audit(&books, &[], &none(), &window(0)).lost.len(), 1);
        assert!(audit(&books, &[], &none(), &window(4)).lost.is_empty());
    }

    #[test]
    fn a_signature_without_its_file_never_left() {
        let mut books = holding(&[]);
        books.signed.insert(slot(3, 1), Digest::of(b"a"));
        assert_eq!(audit(&[(key(1), books)].into(), &[], &none(), &window(0)).unreleased, 1);
    }

    #[test]
    fn signing_twice_is_seen_in_the_books_the_files_and_the_evidence() {
        let mut one = holding(&[(file(3, 1), b"a")]);
        one.signed.insert(slot(3, 1), Digest::of(b"a"));
        let earlier = |bytes: &[u8]| vec![(key(1), slot(3, 1), Digest::of(bytes))];
        let books = BTreeMap::from([(key(1), one.clone())]);
        assert!(audit(&books, &earlier(b"a"), &none(), &window(0)).double_signed.is_empty());
        assert_eq!(audit(&books, &earlier(b"b"), &none(), &window(0)).double_signed.len(), 1);
        let books =
            BTreeMap::from([(key(1), one.clone()), (key(2), holding(&[(file(3, 1), b"b")]))]);
        assert_eq!(audit(&books, &[], &none(), &window(0)).double_signed.len(), 1);
        one.evidence.insert((TaskId(3), key(2)));
        assert_eq!(audit(&[(key(1), one)].into(), &[], &none(), &window(0)).double_signed.len(), 1);
    }

    #[test]
    fn two_vectors_for_one_epoch_disagree_set_or_not_and_abstentions_are_counted_by_reason() {
        let books = |entries: &[EpochEntry]| Books { epochs: entries.to_vec(), ..Books::default() };
        let won = "set: won the window";
        let mut one = books(&[epoch(180, Some(5), won), epoch(360, Some(5), won)]);
        one.witnesses = [(180, true), (360, false)].into();
        let other = books(&[
            epoch(180, None, "abstain: 1 files that count are missing"),
            EpochEntry { set: false, ..epoch(360, Some(6), won) },
        ]);
        let third = books(&[epoch(180, None, "")]);
        let found = audit(
            &[(key(1), one), (key(2), other), (key(3), third)].into(),
            &[],
            &none(),
            &window(0),
        );
        let blocks: Vec<u64> = found.disagreements().map(|epoch| epoch.epoch_block).collect();
        assert_eq!(blocks, [360]);
        assert_eq!((found.abstentions(), found.unexplained()), (2, 1));
        let counts = |epoch: &EpochAudit| (epoch.computed, epoch.silent, epoch.witnesses);
        assert_eq!(found.epochs.iter().map(counts).collect::<Vec<_>>(), [(1, 0, 1), (2, 1, 0)]);
    }
}
