//! The kinds of gossip: their topics, and one type for a message of any kind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Announcement, Attestation, Beacon, Context, Dispute, Evidence, MessageError, MinerReport,
};
use crate::codec::{CodecError, Wire};
use crate::{Hotkey, Network};

/// Which of its author's allowances a message uses up.
#[cfg(feature = "mesh")]
pub(crate) enum Pace {
    Statements,
    Reports,
    Proofs,
}

/// Makes [`Topic`] and [`Gossip`] from the table of kinds: the topic, the word in its name, the
/// message, who claims to have said it, and its pace.
macro_rules! kinds {
    ($($(#[$doc:meta])* $topic:ident, $word:literal, $message:ident, $author:expr, $pace:expr;)*) => {
        /// A kind of gossip.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Topic {
            $($(#[$doc])* $topic,)*
        }

        impl Topic {
            /// Every topic. A validator subscribes to all of them and to no other.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$topic),*];

            /// The word in the topic's name.
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$topic => $word,)* }
            }

            /// The longest message on this topic, in bytes.
            pub const fn max_bytes(self) -> usize {
                match self { $(Self::$topic => $message::MAX_BYTES,)* }
            }

            #[cfg(feature = "mesh")]
            pub(crate) const fn pace(self) -> Pace {
                match self { $(Self::$topic => $pace,)* }
            }
        }

        /// A message of any kind.
        #[derive(Clone, Debug)]
        pub enum Gossip {
            $($(#[$doc])* $message($message),)*
        }

        $(impl From<$message> for Gossip {
            fn from(message: $message) -> Self {
                Self::$message(message)
            }
        })*

        impl Gossip {
            /// Decodes a message of `topic` from untrusted bytes.
            ///
            /// # Errors
            /// The first [`CodecError`] that applies.
            pub fn read(topic: Topic, bytes: &[u8]) -> Result<Self, CodecError> {
                Ok(match topic { $(Topic::$topic => Self::$message(Wire::from_wire(bytes)?),)* })
            }

            /// Its topic and its only encoding.
            ///
            /// # Errors
            /// [`CodecError::TooLarge`] beyond the topic's limit.
            pub fn write(&self) -> Result<(Topic, Vec<u8>), CodecError> {
                Ok(match self { $(Self::$message(said) => (Topic::$topic, said.to_wire()?),)* })
            }

            /// Who claims to have said it; of evidence, the accused.
            pub fn author(&self) -> Hotkey {
                match self {
                    $(Self::$message(said) => {
                        let author: fn(&$message) -> Hotkey = $author;
                        author(said)
                    })*
                }
            }

            /// Checks that its author said this, and that it counts.
            ///
            /// # Errors
            /// The first [`MessageError`] that applies.
            pub fn verify(&self, context: &Context<'_>) -> Result<(), MessageError> {
                match self { $(Self::$message(said) => said.verify(context),)* }
            }
        }
    };
}

kinds! {
    /// Announcements of verdict files.
    Verdict, "verdict", Announcement, |it| it.file.producer, Pace::Statements;
    /// Attestations to them.
    Attestation, "attestation", Attestation, |it| it.attester, Pace::Statements;
    /// Beacons.
    Beacon, "beacon", Beacon, |it| it.sender, Pace::Reports;
    /// Miner reports.
    MinerReport, "miner-report", MinerReport, |it| it.reporter, Pace::Reports;
    /// Evidence of equivocation. The accused counts as its author, whoever passes it on.
    Evidence, "evidence", Evidence, |it| it.key().accused, Pace::Proofs;
    /// Disputes.
    Dispute, "dispute", Dispute, |it| it.disputer, Pace::Statements;
}

/// The versions of topics that this release speaks. A release that changes a message's encoding
/// adds a version here: until the switch it hears and says everything on both, so that no validator
/// is cut off while others update. Versions that only others speak are ignored.
pub const TOPIC_VERSIONS: &[u8] = &[1];
/// Versions of topics that a peer may speak beside ours, while it is ahead of us or behind.
pub const MAX_TOPIC_VERSIONS: usize = 4;

impl Topic {
    /// The topic's name on a network: `/leoma/{genesis[..8]}/{netuid}/{kind}/1`.
    pub fn name(self, network: &Network) -> String {
        self.name_of_version(network, 1)
    }

    /// The names of all versions that this release speaks.
    pub fn names(self, network: &Network) -> impl Iterator<Item = String> + use<> {
        let network = *network;
        TOPIC_VERSIONS.iter().map(move |version| self.name_of_version(&network, *version))
    }

    /// The name of any version.
    pub fn name_of_version(self, network: &Network, version: u8) -> String {
        let Network { genesis, netuid } = network;
        format!("/leoma/{}/{netuid}/{}/{version}", genesis.short(), self.kind())
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
