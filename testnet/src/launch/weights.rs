//! How a subnet's validators set weights.

use clap::ValueEnum;

/// How a subnet's validators set weights; its genesis demands it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WeightMode {
    /// At once and in the open.
    #[default]
    Plain,
    /// A hash first, the weights in the next epoch of the chain.
    CommitReveal,
    /// Encrypted to a round of the chain's randomness beacon; the chain reveals them.
    Timelocked,
}

/// The version of commit-reveal with hashes.
const HASHES: u16 = 2;
/// The version of commit-reveal with timelock encryption, the live chain's.
const TIMELOCK: u16 = 4;

impl WeightMode {
    /// Whether weights are committed before they are shown.
    pub(super) const fn commits(self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// The version of commit-reveal that clients find on the chain.
    pub(super) const fn commit_reveal_version(self) -> u16 {
        match self {
            Self::CommitReveal => HASHES,
            Self::Plain | Self::Timelocked => TIMELOCK,
        }
    }
}
