//! The kinds of motion miners on a local subnet.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::miners::Expected;
use crate::seed::Seed;

/// A miner's kind: what it answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dancer {
    /// Nearly the reference, at once.
    Honest,
    /// As good, after half of its time.
    Slow,
    /// Far off, but the same motion.
    Rough,
    /// Arms stretched out, and never moves.
    Still,
    /// What it answered to another challenge.
    Yesterday,
    /// A good file that breaks off.
    Truncated,
    /// A good file in which one number is none.
    NotANumber,
    /// A reply that never ends.
    Endless,
    /// Takes the question, and says nothing.
    Silent,
}

/// What a kind of miner has to be worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// More than all others.
    First,
    /// Less than the first, more than the third.
    Second,
    /// Less than the second, more than the floor.
    Third,
    /// What the published formula gives for any skeleton: less than half of the first.
    Floor,
    /// Nothing at all.
    Nothing,
}

impl Dancer {
    /// All kinds, in the order in which they join.
    pub const ALL: [Self; 9] = [
        Self::Honest,
        Self::Slow,
        Self::Rough,
        Self::Truncated,
        Self::Still,
        Self::Silent,
        Self::NotANumber,
        Self::Endless,
        Self::Yesterday,
    ];

    /// What it has to be worth beside the others.
    pub const fn place(self) -> Place {
        match self {
            Self::Honest => Place::First,
            Self::Slow => Place::Second,
            Self::Rough => Place::Third,
            Self::Still | Self::Yesterday => Place::Floor,
            Self::Truncated | Self::NotANumber | Self::Endless | Self::Silent => Place::Nothing,
        }
    }

    /// What a verdict says of its answers; `None` for those that pass.
    pub const fn expected(self) -> Option<Expected> {
        let (status, reason) = match self {
            Self::Honest | Self::Slow | Self::Rough => return None,
            Self::Still | Self::Yesterday => ("failed", "another motion"),
            Self::Truncated => ("malformed", "ends after"),
            Self::NotANumber => ("malformed", "`nan`"),
            Self::Endless => ("malformed", "too long"),
            Self::Silent => ("timeout", "in time"),
        };
        Some(Expected { status, reason })
    }
}

impl fmt::Display for Dancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The kinds of `count` miners, in an order that tells none of them.
pub(crate) fn dancers(seed: &Seed, count: usize) -> Vec<Dancer> {
    seed.shuffled("dancers", Dancer::ALL.into_iter().take(count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_there_once_and_the_first_three_are_the_ones_to_compare() {
        let mut all = dancers(&Seed::new("x"), Dancer::ALL.len());
        assert_ne!(all, Dancer::ALL, "its place tells a kind");
        all.sort_by_key(|dancer| dancer.to_string());
        all.dedup();
        assert_eq!(all.len(), 9);
        let mut three = dancers(&Seed::new("x"), 3);
        three.sort_by_key(|dancer| dancer.place());
        assert_eq!(three, [Dancer::Honest, Dancer::Slow, Dancer::Rough]);
        for dancer in Dancer::ALL {
            assert_eq!(serde_json::to_value(dancer).unwrap(), dancer.to_string());
            assert_eq!(dancer.expected().is_none(), dancer.place() < Place::Floor);
        }
    }
}
