//! Which files are certified: attested to by a quorum of their task's allowlist.

use std::collections::BTreeMap;

use leoma_protocol::{Digest, FileId, Hotkey, quorum};

use crate::AllowlistHistory;

/// A validator's statement that it fetched and verified a file. Its signature has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attested {
    /// Task and producer.
    pub file: FileId,
    /// The digest that was seen there.
    pub digest: Digest,
    /// Who saw it.
    pub attester: Hotkey,
}

/// The certified digest of each certified file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates(BTreeMap<FileId, Digest>);

impl Certificates {
    /// Counts attestations, given in any order and any number of times, of validators on the list of
    /// the file's task.
    ///
    /// A validator that attested to two digests counts for both: two quorums share an honest one,
    /// so that certifies no second digest, and a second signature that turns up later takes no
    /// certificate away. If two digests still have quorums, because more validators lie than the
    /// list tolerates, neither is certified.
    pub fn count(
        history: &AllowlistHistory,
        attestations: impl IntoIterator<Item = Attested>,
    ) -> Self {
        let mut attestations: Vec<_> = attestations.into_iter().collect();
        attestations.sort_unstable_by_key(|seen| (seen.file, seen.digest, seen.attester));
        attestations.dedup();
        let mut certified = BTreeMap::new();
        for of_file in attestations.chunk_by(|a, b| a.file == b.file) {
            let file = of_file[0].file;
            let Some(entry) = history.of_task(file.task_id) else { continue };
            let allowlist = &entry.allowlist;
            let needed = quorum(allowlist.validators().len());
            let is_quorum = |votes: &&[Attested]| {
                votes.iter().filter(|seen| allowlist.contains(&seen.attester)).count() >= needed
            };
            let mut quorums = of_file.chunk_by(|a, b| a.digest == b.digest).filter(is_quorum);
            if let (Some(votes), None) = (quorums.next(), quorums.next()) {
                certified.insert(file, votes[0].digest);
            }
        }
        Self(certified)
    }

    /// The certified digest of `file`.
    pub fn get(&self, file: &FileId) -> Option<Digest> {
        self.0.get(file).copied()
    }

    /// All certified files, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, Digest)> + '_ {
        self.0.iter().map(|(file, digest)| (*file, *digest))
    }
}

/// Digests that are known to be certified.
impl FromIterator<(FileId, Digest)> for Certificates {
    fn from_iter<T: IntoIterator<Item = (FileId, Digest)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Allowlist;
    use leoma_protocol::TaskId;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn certified(validators: u8, attestations: &[(u8, &[u8])]) -> Option<Digest> {
        let history = AllowlistHistory::since_genesis(
            Allowlist::new(10, (0..validators).map(hotkey)).unwrap(),
        );
        let file = FileId { task_id: TaskId(3), producer: hotkey(0) };
        let seen = attestations.iter().map(|(attester, content)| Attested {
            file,
            digest: Digest::of(content),
            attester: hotkey(*attester),
        });
        let twice: Vec<_> = seen.clone().chain(seen).collect();
        Certificates::count(&history, twice).get(&file)
    }

    #[test]
    fn a_quorum_certifies_and_one_less_does_not() {
        let a = Some(Digest::of(b"a"));
        assert_eq!(certified(3, &[(0, b"a")]), None);
        assert_eq!(certified(3, &[(0, b"a"), (1, b"a")]), a);
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a")]), None);
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (2, b"a")]), a);
        assert_eq!(certified(6, &[(0, b"a"), (1, b"a"), (2, b"a")]), None);
        assert_eq!(certified(6, &[(0, b"a"), (1, b"a"), (2, b"a"), (3, b"a")]), a);
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (2, b"a"), (3, b"b")]), a);
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (2, b"b"), (3, b"b")]), None);
        assert_eq!(certified(1, &[(0, b"a")]), a);
    }

    #[test]
    fn strangers_count_for_nothing_and_a_second_signature_takes_nothing_away() {
        let a = Some(Digest::of(b"a"));
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (9, b"a"), (8, b"a")]), None);
        let votes: [(u8, &[u8]); 5] = [(0, b"a"), (1, b"a"), (2, b"a"), (2, b"b"), (3, b"b")];
        assert_eq!(certified(4, &votes), a);
        // Two of four are more liars than the list tolerates.
        let both: [(u8, &[u8]); 6] =
            [(0, b"a"), (1, b"a"), (2, b"a"), (1, b"b"), (2, b"b"), (3, b"b")];
        assert_eq!(certified(4, &both), None);
    }
}
