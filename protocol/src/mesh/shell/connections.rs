//! The connections to one peer, direct and relayed.

use std::time::Duration;

use libp2p::swarm::ConnectionId;

use crate::messages::Address;

/// How long a connection stays open after another took its place. What is under way on it still
/// arrives: gossipsub announces its subscriptions once, on the first connection, and a peer that
/// they do not reach is not heard.
const RETIRED_FOR: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) address: Address,
    pub(super) outbound: bool,
    pub(super) relayed: bool,
    /// When to close it, once another has taken its place.
    pub(super) retires: Option<Duration>,
}

/// The connections to a peer, oldest first. The core knows the peer by the oldest.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) all: Vec<Connection>,
    /// When to try again to connect directly.
    pub(super) next_punch: Duration,
}

impl Connections {
    /// Whether the peer is reached through a relay, because there is no direct connection.
    pub(super) fn are_relayed(&self) -> bool {
        self.all.first().is_some_and(|connection| connection.relayed)
    }

    pub(super) fn retire(&mut self, now: Duration, which: impl Fn(&Connection) -> bool) {
        let in_use = |connection: &&mut Connection| connection.retires.is_none();
        for connection in self.all.iter_mut().filter(in_use).filter(|one| which(one)) {
            connection.retires = Some(now + RETIRED_FOR);
        }
    }
}
