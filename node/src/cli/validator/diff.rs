//! The difference between two allowlists.

use std::collections::BTreeSet;

use leoma_protocol::Hotkey;
use leoma_rotation::Allowlist;
use serde::Serialize;

/// The changes from one list to another. Serialises as `{interval, added, removed}`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Diff {
    /// Blocks of a task before and after, if they differ; `None` before a first list.
    pub(super) interval: Option<(Option<u64>, u64)>,
    pub(super) added: Vec<Hotkey>,
    pub(super) removed: Vec<Hotkey>,
}

impl Diff {
    pub(super) fn between(before: Option<&Allowlist>, after: &Allowlist) -> Self {
        let set =
            |list: &Allowlist| -> BTreeSet<Hotkey> { list.validators().iter().copied().collect() };
        let (old, new) = (before.map(set).unwrap_or_default(), set(after));
        let interval_before = before.map(Allowlist::interval);
        let same = interval_before == Some(after.interval());
        Self {
            interval: (!same).then_some((interval_before, after.interval())),
            added: new.difference(&old).copied().collect(),
            removed: old.difference(&new).copied().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.interval.is_none() && self.added.is_empty() && self.removed.is_empty()
    }

    /// One line for each change.
    pub(super) fn lines(&self) -> Vec<String> {
        let interval = self.interval.map(|(before, after)| match before {
            Some(before) => format!("* a task every {before} blocks becomes one every {after}"),
            None => format!("* a task every {after} blocks"),
        });
        let removed = self.removed.iter().map(|hotkey| format!("- {hotkey}"));
        let added = self.added.iter().map(|hotkey| format!("+ {hotkey}"));
        interval.into_iter().chain(removed).chain(added).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(interval: u64, seeds: &[u8]) -> Allowlist {
        Allowlist::new(interval, seeds.iter().map(|seed| Hotkey::from_bytes([*seed; 32]))).unwrap()
    }

    #[test]
    fn changes_are_listed_by_kind() {
        let diff = Diff::between(Some(&list(100, &[1, 2])), &list(50, &[2, 3]));
        let [one, three] = [1, 3].map(|seed| Hotkey::from_bytes([seed; 32]));
        let lines = [
            "* a task every 100 blocks becomes one every 50".to_owned(),
            format!("- {one}"),
            format!("+ {three}"),
        ];
        assert_eq!(diff.lines(), lines);
        assert_eq!(
            Diff::between(None, &list(5, &[1])).lines(),
            ["* a task every 5 blocks", &format!("+ {one}")]
        );
    }

    proptest! {
        #[test]
        fn a_diff_is_empty_exactly_between_equal_lists(one: Vec<u8>, other: Vec<u8>, a in 1u64..3, b in 1u64..3) {
            let (before, after) = (list(a, &one), list(b, &other));
            let diff = Diff::between(Some(&before), &after);
            prop_assert_eq!(diff.is_empty(), before == after);
            let mut applied: BTreeSet<_> = before.validators().iter().copied().collect();
            applied.retain(|hotkey| !diff.removed.contains(hotkey));
            applied.extend(&diff.added);
            prop_assert_eq!(Allowlist::new(b, applied).unwrap(), after);
        }
    }
}
