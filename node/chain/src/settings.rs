//! Which chain to connect to.

use leoma_protocol::Digest;

use crate::beacon::Beacon;

/// The chain's nodes.
#[derive(Clone, Debug)]
pub struct ChainSettings {
    /// WebSocket addresses, the preferred one first; never empty.
    pub urls: Vec<String>,
    /// Genesis hash that they must have, for a known network.
    pub genesis: Option<Digest>,
    /// The beacon that opens timelocked weights.
    pub beacon: Beacon,
}
