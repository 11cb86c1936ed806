//! What an operator is shown of peers and files.

use serde::Serialize;

use crate::hello::PeerIdBytes;
use crate::messages::{Address, DisputeReason, Topic};
use crate::{BlockNumber, Digest, FileId, Hotkey, TaskId};

/// A connected peer.
#[derive(Clone, Debug, Serialize)]
pub struct PeerView {
    /// Its libp2p identity.
    pub peer: PeerIdBytes,
    /// The hotkey that it proved; `None` before its hello.
    pub hotkey: Option<Hotkey>,
    /// Its end of the connection.
    pub address: Address,
    /// Whether we dialled.
    pub outbound: bool,
    /// Whether each side hears the other and says so.
    pub mutual: bool,
    /// The topics it is subscribed to.
    pub topics: Vec<Topic>,
    /// 0 for good behaviour; at −20 it is disconnected, at −50 banned.
    pub score: f64,
    /// Its chain head, from its last beacon.
    pub head: Option<BlockNumber>,
    /// The newest task for which it announced a file.
    pub last_announcement: Option<TaskId>,
}

/// A file that the mesh knows of.
#[derive(Clone, Debug, Serialize)]
pub struct FileView {
    /// Task and producer.
    pub file: FileId,
    /// The digest that was announced first, if any.
    pub announced: Option<Digest>,
    /// The certified digest, if any.
    pub certified: Option<Digest>,
    /// Attesters by digest.
    pub attesters: Vec<(Digest, Vec<Hotkey>)>,
    /// Validators that do not attest to it, and why.
    pub refused: Vec<(Hotkey, DisputeReason)>,
}
