//! Which files are certified: attested by more than two thirds of their task's allowlist.

use std::collections::BTreeMap;

use leoma_protocol::{Digest, FileId, Hotkey};

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
    /// Counts attestations, given in any order and any number of times. An attestation counts if its
    /// attester is on the list of the file's task and attested to no other digest of that file.
    pub fn count(
        history: &AllowlistHistory,
        attestations: impl IntoIterator<Item = Attested>,
    ) -> Self {
        let mut attestations: Vec<_> = attestations.into_iter().collect();
        attestations.sort_unstable_by_key(|seen| (seen.file, seen.attester, seen.digest));
        attestations.dedup();
        let mut certified = BTreeMap::new();
        for of_file in attestations.chunk_by(|a, b| a.file == b.file) {
            let file = of_file[0].file;
            let Some(allowlist) = history.of_task(file.task_id).map(|entry| &entry.allowlist)
            else {
                continue;
            };
            let mut number_by_digest: BTreeMap<Digest, usize> = BTreeMap::new();
            for of_attester in of_file.chunk_by(|a, b| a.attester == b.attester) {
                if let [seen] = of_attester
                    && allowlist.contains(&seen.attester)
                {
                    *number_by_digest.entry(seen.digest).or_default() += 1;
                }
            }
            let quorum = |number: usize| number * 3 > allowlist.validators().len() * 2;
            // No two digests can each have more than two thirds.
            if let Some((digest, _)) =
                number_by_digest.into_iter().find(|(_, number)| quorum(*number))
            {
                certified.insert(file, digest);
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
    fn more_than_two_thirds_certify_and_exactly_two_thirds_do_not() {
        let a = Some(Digest::of(b"a"));
        assert_eq!(certified(3, &[(0, b"a"), (1, b"a")]), None);
        assert_eq!(certified(3, &[(0, b"a"), (1, b"a"), (2, b"a")]), a);
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (2, b"a"), (3, b"b")]), a);
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (2, b"b"), (3, b"b")]), None);
        assert_eq!(certified(1, &[(0, b"a")]), a);
    }

    #[test]
    fn strangers_and_attesters_of_two_digests_count_for_nothing() {
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (9, b"a"), (8, b"a")]), None);
        // Whichever of the two digests sorts first.
        assert_eq!(certified(4, &[(0, b"a"), (1, b"a"), (2, b"a"), (2, b"b")]), None);
        assert_eq!(certified(4, &[(0, b"b"), (1, b"b"), (2, b"a"), (2, b"b")]), None);
    }
}
