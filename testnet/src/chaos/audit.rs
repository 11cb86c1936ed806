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
    /// How many set weights that they computed.
    pub computed: u64,
    /// How many set the last winner again because they could not read enough.
    pub repeats: u64,
    /// The slots that computed weights went to. More than one is a disagreement.
    pub uids: BTreeSet<u16>,
}

/// The findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Every epoch that anyone set weights in.
    pub epochs: Vec<EpochAudit>,
    /// Verdict files that validators signed.
    pub verdicts: u64,
    /// Files of the window that some validator lacks: `task by producer is not with validator`.
    pub lost: Vec<String>,
    /// Files that were signed and lost with their process: the signature never left it.
    pub unreleased: u64,
    /// Everything that was signed twice.
    pub double_signed: Vec<String>,
}

impl Audit {
    /// Epochs in which two validators set different computed weights.
    pub fn disagreements(&self) -> impl Iterator<Item = &EpochAudit> {
        self.epochs.iter().filter(|epoch| epoch.uids.len() > 1)
    }

    /// How often a validator set the last winner again.
    pub(crate) fn repeats(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.repeats).sum()
    }
}

/// Audits the books of all validators. `earlier` is what each had signed at earlier moments; files
/// are looked for that are of a task of the `window`.
pub fn audit(
    books: &BTreeMap<Hotkey, Books>,
    earlier: &[(Hotkey, Slot, Digest)],
    window: &RangeInclusive<TaskId>,
) -> Audit {
    let own_files = || {
        books.iter().flat_map(|(owner, books)| {
            let own = books.files.iter().filter(move |(id, _)| id.producer == *owner);
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
        double_signed: double_signed(books, earlier),
    }
}

fn epochs(books: &BTreeMap<Hotkey, Books>) -> Vec<EpochAudit> {
    let mut epochs: BTreeMap<u64, EpochAudit> = BTreeMap::new();
    for entry in books.values().flat_map(|books| &books.epochs).filter(|entry| entry.set) {
        let empty = EpochAudit { epoch_block: entry.epoch_block, ..EpochAudit::default() };
        let epoch = epochs.entry(entry.epoch_block).or_insert(empty);
        if entry.computed {
            epoch.computed += 1;
            epoch.uids.extend(entry.uid);
        } else {
            epoch.repeats += 1;
        }
    }
    epochs.into_values().collect()
}

fn double_signed(
    books: &BTreeMap<Hotkey, Books>,
    earlier: &[(Hotkey, Slot, Digest)],
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
        digests.entry(*id).or_default().extend(held);
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
    for (task, accused) in books.values().flat_map(|books| &books.evidence) {
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

    fn epoch(epoch_block: u64, computed: bool, uid: u16) -> EpochEntry {
        EpochEntry { epoch_block, set: true, computed, uid: Some(uid) }
    }

    #[test]
    fn a_file_that_one_validator_lacks_is_lost_within_the_window() {
        let both = [(file(3, 1), b"a".as_slice()), (file(9, 2), b"b")];
        let mut books = BTreeMap::from([(key(1), holding(&both)), (key(2), holding(&both))]);
        let found = audit(&books, &[], &window(0));
        assert_eq!((found.verdicts, found.lost.len(), found.double_signed.len()), (2, 0, 0));
        books.insert(key(2), holding(&both[1..]));
        assert_eq!(audit(&books, &[], &window(0)).lost.len(), 1);
        assert!(audit(&books, &[], &window(4)).lost.is_empty());
    }

    #[test]
    fn a_signature_without_its_file_never_left() {
        let mut books = holding(&[]);
        books.signed.insert(slot(3, 1), Digest::of(b"a"));
        assert_eq!(audit(&[(key(1), books)].into(), &[], &window(0)).unreleased, 1);
    }

    #[test]
    fn signing_twice_is_seen_in_the_books_the_files_and_the_evidence() {
        let mut one = holding(&[(file(3, 1), b"a")]);
        one.signed.insert(slot(3, 1), Digest::of(b"a"));
        let earlier = |bytes: &[u8]| vec![(key(1), slot(3, 1), Digest::of(bytes))];
        let books = BTreeMap::from([(key(1), one.clone())]);
        assert!(audit(&books, &earlier(b"a"), &window(0)).double_signed.is_empty());
        assert_eq!(audit(&books, &earlier(b"b"), &window(0)).double_signed.len(), 1);
        let books =
            BTreeMap::from([(key(1), one.clone()), (key(2), holding(&[(file(3, 1), b"b")]))]);
        assert_eq!(audit(&books, &[], &window(0)).double_signed.len(), 1);
        one.evidence.insert((TaskId(3), key(2)));
        assert_eq!(audit(&[(key(1), one)].into(), &[], &window(0)).double_signed.len(), 1);
    }

    #[test]
    fn only_computed_weights_disagree() {
        let books = |entries: &[EpochEntry]| Books { epochs: entries.to_vec(), ..Books::default() };
        let one = books(&[epoch(180, true, 5), epoch(360, true, 5), epoch(540, true, 5)]);
        let other = books(&[epoch(180, true, 5), epoch(360, false, 6), epoch(540, true, 6)]);
        let unset = books(&[EpochEntry { set: false, ..epoch(180, true, 9) }]);
        let found =
            audit(&[(key(1), one), (key(2), other), (key(3), unset)].into(), &[], &window(0));
        assert_eq!((found.disagreements().count(), found.repeats()), (1, 1));
        assert_eq!(found.epochs.iter().map(|epoch| epoch.computed).collect::<Vec<_>>(), [2, 1, 2]);
    }
}
