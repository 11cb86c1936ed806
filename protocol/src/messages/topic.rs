//! The kinds of gossip: their topics, and one type for a message of any kind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Announcement, Attestation, Beacon, Context, Evidence, MessageError, MinerReport};
use crate::codec::{CodecError, Wire};
use crate::{Hotkey, Network};

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

/// A message of any kind.
#[derive(Clone, Debug)]
pub enum Gossip {
    /// On [`Topic::Verdict`].
    Announcement(Announcement),
    /// On [`Topic::Attestation`].
    Attestation(Attestation),
    /// On [`Topic::Beacon`].
    Beacon(Beacon),
    /// On [`Topic::MinerReport`].
    MinerReport(MinerReport),
    /// On [`Topic::Evidence`].
    Evidence(Evidence),
}

impl Gossip {
    /// Decodes a message of `topic` from untrusted bytes.
    ///
    /// # Errors
    /// The first [`CodecError`] that applies.
    pub fn read(topic: Topic, bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match topic {
            Topic::Verdict => Self::Announcement(Wire::from_wire(bytes)?),
            Topic::Attestation => Self::Attestation(Wire::from_wire(bytes)?),
            Topic::Beacon => Self::Beacon(Wire::from_wire(bytes)?),
            Topic::MinerReport => Self::MinerReport(Wire::from_wire(bytes)?),
            Topic::Evidence => Self::Evidence(Wire::from_wire(bytes)?),
        })
    }

    /// Its topic and its only encoding.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] beyond the topic's limit.
    pub fn write(&self) -> Result<(Topic, Vec<u8>), CodecError> {
        Ok(match self {
            Self::Announcement(announcement) => (Topic::Verdict, announcement.to_wire()?),
            Self::Attestation(attestation) => (Topic::Attestation, attestation.to_wire()?),
            Self::Beacon(beacon) => (Topic::Beacon, beacon.to_wire()?),
            Self::MinerReport(report) => (Topic::MinerReport, report.to_wire()?),
            Self::Evidence(evidence) => (Topic::Evidence, evidence.to_wire()?),
        })
    }

    /// Who claims to have said it. Evidence speaks for itself, and there is little of it.
    pub fn author(&self) -> Option<Hotkey> {
        match self {
            Self::Announcement(announcement) => Some(announcement.file.producer),
            Self::Attestation(attestation) => Some(attestation.attester),
            Self::Beacon(beacon) => Some(beacon.sender),
            Self::MinerReport(report) => Some(report.reporter),
            Self::Evidence(_) => None,
        }
    }

    /// Checks that its author said this, and that it counts.
    ///
    /// # Errors
    /// The first [`MessageError`] that applies.
    pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
        match self {
            Self::Announcement(announcement) => announcement.verify(context),
            Self::Attestation(attestation) => attestation.verify(context),
            Self::Beacon(beacon) => beacon.verify(context),
            Self::MinerReport(report) => report.verify(context),
            Self::Evidence(evidence) => evidence.verify(context),
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
