//! The mesh's state, as an operator sees it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::core::{Counts, FileView, PeerView, Voice};
use crate::hello::PeerIdBytes;
use crate::messages::{Address, EvidenceKey, MinerTally};
use crate::{BlockNumber, Hotkey};

/// One connected peer.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// What the core knows of it.
    #[serde(flatten)]
    pub view: PeerView,
    /// Round-trip time of the last ping, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Whether it is connected through a relay, because there is no direct connection.
    pub relayed: bool,
    /// The software it claims to run.
    pub agent: Option<String>,
}

/// The state of a mesh.
#[derive(Clone, Debug, Serialize)]
pub struct MeshStatus {
    /// Our libp2p identity.
    pub peer: PeerIdBytes,
    /// Our hotkey.
    pub hotkey: Hotkey,
    /// The chain's head, as the mesh was last told.
    pub head: BlockNumber,
    /// Whether we may sign for our hotkey.
    pub voice: Voice,
    /// Where we listen, each with our peer id at its end.
    pub listening: Vec<Address>,
    /// Connected peers.
    pub peers: Vec<PeerStatus>,
    /// The files of the lookback with their attesters, certified or not.
    pub files: Vec<FileView>,
    /// Who signed twice.
    pub evidence: Vec<EvidenceKey>,
    /// What the fresh miner reports say of each miner.
    pub miners: BTreeMap<Hotkey, MinerTally>,
    /// Events dropped because the validator was too slow.
    pub dropped_events: u64,
    /// What happened since the start.
    pub counts: Counts,
}
