//! What an operator sees.

use serde::Serialize;

use super::core::{Counts, FileView, PeerView, Voice};
use crate::hello::PeerIdBytes;
use crate::messages::{Address, EvidenceKey};
use crate::{BlockNumber, Hotkey};

/// One connected peer.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// What the mesh knows of it.
    #[serde(flatten)]
    pub view: PeerView,
    /// Round-trip time of the last ping, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Whether it is connected through a relay, for want of a direct way.
    pub relayed: bool,
    /// The software it says it runs. Unproven.
    pub agent: Option<String>,
}

/// The state of a mesh.
#[derive(Clone, Debug, Serialize)]
pub struct MeshStatus {
    /// Our libp2p identity.
    pub peer: PeerIdBytes,
    /// Our hotkey.
    pub hotkey: Hotkey,
    /// Our chain head, as the mesh was last told.
    pub head: BlockNumber,
    /// Whether we may sign for our hotkey.
    pub voice: Voice,
    /// Where we listen, each with our peer id at its end.
    pub listening: Vec<Address>,
    /// Connected peers.
    pub peers: Vec<PeerStatus>,
    /// Files of the window with their attesters, certified or not.
    pub files: Vec<FileView>,
    /// Who signed twice.
    pub evidence: Vec<EvidenceKey>,
    /// Events that the validator was too slow to take.
    pub dropped_events: u64,
    /// What happened since the start.
    pub counts: Counts,
}
