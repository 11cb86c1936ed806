//! The gossip topics of a subnet.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Announcement, Attestation, Beacon, Evidence, MinerReport};
use crate::Network;
use crate::codec::Wire;

/// A kind of gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Announcements of verdict files.
    Verdict,
    /// Attestations to them.
    Attestation,
    /// Beacons.
    Beacon,
    /// Miner reports.
    MinerReport,
    /// Evidence of equivocation.
    Evidence,
}

impl Topic {
    /// Every topic. A validator subscribes to all of them and to no other.
    pub const ALL: [Self; 5] =
        [Self::Verdict, Self::Attestation, Self::Beacon, Self::MinerReport, Self::Evidence];

    /// The word in the topic's name.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Attestation => "attestation",
            Self::Beacon => "beacon",
            Self::MinerReport => "miner-report",
            Self::Evidence => "evidence",
        }
    }

    /// The topic's name on a network: `/leoma/{genesis[..8]}/{netuid}/{kind}/1`.
    #[must_use]
    pub fn name(self, network: &Network) -> String {
        format!("/leoma/{}/{}/{}/1", network.genesis.short(), network.netuid, self.kind())
    }

    /// The longest message on this topic, in bytes.
    #[must_use]
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Verdict => Announcement::MAX_BYTES,
            Self::Attestation => Attestation::MAX_BYTES,
            Self::Beacon => Beacon::MAX_BYTES,
            Self::MinerReport => MinerReport::MAX_BYTES,
            Self::Evidence => Evidence::MAX_BYTES,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Netuid};

    #[test]
    fn names_carry_the_network() {
        let network = Network { genesis: Digest([0xab; 32]), netuid: Netuid(99) };
        assert_eq!(Topic::MinerReport.name(&network), "/leoma/abababab/99/miner-report/1");
    }
}
