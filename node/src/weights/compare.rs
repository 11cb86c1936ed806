//! Whether a validator has on chain what the epoch's files lead to.

use leoma_protocol::Uid;
use leoma_rotation::Decision;

use super::on_chain::{Found, SetRow};

/// What a validator should have on chain.
pub(crate) enum Expectation {
    /// These weights, or none of this epoch.
    Weights(Vec<(Uid, u16)>),
    /// None of this epoch.
    None,
    /// Not known: files are missing.
    Unknown,
}

/// How a validator's weights compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Same,
    Other,
    Nothing,
    Unseen,
}

impl Comparison {
    /// The word in reports.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other => "other",
            Self::Nothing => "nothing",
            Self::Unseen => "unseen",
        }
    }
}

impl Expectation {
    /// What follows from a decision, whose files may not all be held.
    pub(crate) fn of(decision: &Decision, is_complete: bool) -> Self {
        match decision {
            Decision::Set { weights, .. } => {
                Self::Weights(weights.entries.iter().map(|one| (one.uid, one.share)).collect())
            }
            Decision::Abstain { .. } if is_complete => Self::None,
            Decision::Abstain { .. } => Self::Unknown,
        }
    }

    /// How what a validator has on chain compares.
    pub(crate) fn compare(&self, row: &SetRow) -> Comparison {
        match (row.found, self) {
            (Found::Nothing, _) => Comparison::Nothing,
            (Found::Superseded | Found::Pending, _) | (_, Self::Unknown) => Comparison::Unseen,
            (_, Self::Weights(expected)) if row.weights == *expected => Comparison::Same,
            // It was sent again to keep the validator active; that says nothing about this epoch.
            (Found::Unchanged, _) => Comparison::Nothing,
            (Found::Weights, _) => Comparison::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::Hotkey;

    use super::*;

    #[test]
    fn only_new_weights_that_differ_are_something_else() {
        let row = |found, uid: u16| SetRow {
            hotkey: Hotkey::from_bytes([1; 32]),
            uid: Some(Uid(1)),
            found,
            weights: vec![(Uid(uid), u16::MAX)],
        };
        let weights = Expectation::Weights(vec![(Uid(5), u16::MAX)]);
        for (found, uid, expected) in [
            (Found::Weights, 5, Comparison::Same),
            (Found::Unchanged, 5, Comparison::Same),
            (Found::Weights, 6, Comparison::Other),
            (Found::Unchanged, 6, Comparison::Nothing),
            (Found::Nothing, 5, Comparison::Nothing),
            (Found::Superseded, 6, Comparison::Unseen),
            (Found::Pending, 6, Comparison::Unseen),
        ] {
            assert_eq!(weights.compare(&row(found, uid)), expected, "{found:?} {uid}");
        }
        assert_eq!(Expectation::None.compare(&row(Found::Weights, 5)), Comparison::Other);
        assert_eq!(Expectation::None.compare(&row(Found::Unchanged, 5)), Comparison::Nothing);
        assert_eq!(Expectation::Unknown.compare(&row(Found::Weights, 5)), Comparison::Unseen);
    }
}
