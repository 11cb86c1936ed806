//! What the mesh tells the validator that runs it, and what it needs back after a restart.

use serde::{Deserialize, Serialize};

use crate::hello::{HelloRefusal, PeerIdBytes};
use crate::messages::{Address, Announcement, Attestation, Certificate, Dispute, Evidence, Topic};
use crate::{GrantBytes, Hotkey, TaskId};

/// What the mesh tells the validator that runs it.
#[derive(Clone, Debug)]
pub enum MeshEvent {
    /// A validator connected and proved its hotkey.
    PeerUp {
        /// The hotkey.
        hotkey: Hotkey,
        /// Its peer id.
        peer: PeerIdBytes,
    },
    /// A validator disconnected, or lost its standing.
    PeerDown {
        /// The hotkey.
        hotkey: Hotkey,
        /// Its peer id.
        peer: PeerIdBytes,
    },
    /// A producer announced its file. Fetch the file, verify it and attest to it. Sent once for
    /// each file.
    Announcement(Announcement),
    /// An attestation was counted.
    AttestationCounted {
        /// The attestation.
        attestation: Attestation,
        /// Attesters of the digest so far.
        have: usize,
        /// Attesters needed for a certificate.
        need: usize,
    },
    /// A file was certified. Store the certificate and hand it back at the next start. Sent once
    /// for each file, and again if a list that was heard of late changes its certificate.
    Certified(Certificate),
    /// Two digests of one file have certificates: more validators signed twice than may lie.
    CertificateConflict {
        /// The first certificate, which stays.
        kept: Box<Certificate>,
        /// The second one.
        other: Box<Certificate>,
    },
    /// A validator signed twice. Store the evidence and hand it back at the next start.
    Evidence(Evidence),
    /// A validator does not attest to a file, and says why. Store the dispute and hand it back at
    /// the next start.
    Disputed {
        /// The dispute.
        dispute: Dispute,
        /// Whether this one proves that the producer's result is wrong.
        proven: bool,
    },
    /// Nothing looks back on tasks before this one any more: forget their files, certificates,
    /// evidence and disputes.
    Outdated {
        /// The oldest task that is still needed.
        oldest: TaskId,
    },
    /// A validator granted us access to its bucket.
    Grant {
        /// The validator.
        from: Hotkey,
        /// The grant, in the storage crate's format.
        payload: GrantBytes,
    },
    /// One hotkey is alive under two peer ids.
    Doppelganger {
        /// The hotkey.
        hotkey: Hotkey,
        /// Whether it is our own. If so, nothing is signed while the other one is heard.
        ours: bool,
        /// The two peer ids.
        peers: [PeerIdBytes; 2],
    },
    /// A hello was refused.
    Refused {
        /// The peer at the other end.
        peer: PeerIdBytes,
        /// Why.
        reason: HelloRefusal,
        /// The side that refused.
        by: RefusedBy,
    },
    /// A one-sided link was cut and will be dialled again.
    LinkReset {
        /// The validator at the other end.
        hotkey: Hotkey,
        /// Its peer id.
        peer: PeerIdBytes,
    },
    /// A peer misbehaved too often and is banned for a while.
    Banned {
        /// The peer.
        peer: PeerIdBytes,
        /// The hotkey that it proved, if any.
        hotkey: Option<Hotkey>,
    },
    /// A message that waited for subscribers was dropped. Peers get its content by catch-up.
    Undelivered {
        /// The topic.
        topic: Topic,
    },
    /// The address book changed. Store it and hand it back at the next start.
    AddressBook(Vec<KnownPeer>),
    /// Sequence numbers up to this one may be in use. Store it and hand it back at the next start.
    Sequence(u64),
}

/// Which side refused a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// We refused theirs.
    Us,
    /// They refused ours.
    Them,
}

/// The addresses of a validator's peer. Stored on disk, so that a restart needs no bootnode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// Its libp2p identity.
    pub peer: PeerIdBytes,
    /// The validator's hotkey.
    pub hotkey: Hotkey,
    /// Where it can be dialled, best first.
    pub addresses: Vec<Address>,
}

/// What an earlier run stored.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// From [`MeshEvent::Certified`].
    pub certificates: Vec<Certificate>,
    /// From [`MeshEvent::Evidence`].
    pub evidence: Vec<Evidence>,
    /// From [`MeshEvent::Disputed`].
    pub disputes: Vec<Dispute>,
    /// From [`MeshEvent::AddressBook`].
    pub addresses: Vec<KnownPeer>,
    /// From [`MeshEvent::Sequence`].
    pub sequence: u64,
}
