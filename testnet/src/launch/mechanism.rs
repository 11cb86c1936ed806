//! The mechanisms that a subnet's validators serve, each by a process of its own.

use clap::ValueEnum;
use leoma_protocol::{ConsensusParams, Netuid};
use serde::{Deserialize, Serialize};

use super::agreement::EPOCH_BLOCKS;

/// A mechanism as `MECHANISM` names it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Miners are given a first frame and a prompt.
    #[default]
    Video,
    /// Miners are given a prompt.
    T2v,
    /// Miners are given a first frame.
    I2v,
    /// Miners are sent sound over their axons. A subnet of its own.
    #[value(alias = "a2a")]
    Motion,
    /// Miners forecast a price over their axons. A subnet of its own.
    Oracle,
}

impl Mechanism {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::T2v => "t2v",
            Self::I2v => "i2v",
            Self::Motion => "motion",
            Self::Oracle => "oracle",
        }
    }

    /// Its id on the chain.
    pub const fn mecid(self) -> u8 {
        match self {
            Self::Video | Self::Motion | Self::Oracle => 0,
            Self::T2v => 1,
            Self::I2v => 2,
        }
    }

    /// Whether its miners are asked through their axons, and not through Chutes.
    pub(super) const fn asks_axons(self) -> bool {
        matches!(self, Self::Motion | Self::Oracle)
    }

    /// Where the chain keeps its weights.
    pub(super) fn index(self, subnet: Netuid) -> Netuid {
        subnet.with_mechanism(self.mecid()).unwrap_or(subnet)
    }

    /// The first block of its validators' epochs.
    pub(super) const fn epoch_offset(self) -> u64 {
        ConsensusParams::epoch_offset_of(self.mecid(), EPOCH_BLOCKS)
    }
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
