//! How a subnet's validators set weights.

use clap::ValueEnum;

use super::agreement::EPOCH_BLOCKS;

/// How a subnet's validators set weights, as its genesis demands.
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

/// Blocks of a subnet's epochs on the live chain.
const TEMPO: u64 = 360;

impl WeightMode {
    /// Whether weights are committed before they are shown.
    pub(super) const fn commits(self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Blocks of the subnet's own epochs. Committed weights are revealed in the next of them, so
    /// they last as long as the validators' epochs do: with longer ones, commits would replace each
    /// other before they are revealed.
    pub(super) const fn tempo(self) -> u64 {
        if self.commits() { EPOCH_BLOCKS } else { TEMPO }
    }

    /// Blocks from the epoch that weights are for to the epoch in which the chain has them, of a
    /// mechanism whose epochs begin at `offset`. What is committed is revealed when the subnet's
    /// next epoch begins, at a multiple of its length: for epochs with an offset that is still
    /// within theirs.
    pub(super) const fn blocks_until_stored(self, offset: u64) -> u64 {
        if self.commits() && offset == 0 { EPOCH_BLOCKS } else { 0 }
    }

    /// The version of commit-reveal that clients find on the chain.
    pub(super) const fn commit_reveal_version(self) -> u16 {
        match self {
            Self::CommitReveal => HASHES,
            Self::Plain | Self::Timelocked => TIMELOCK,
        }
    }
}
