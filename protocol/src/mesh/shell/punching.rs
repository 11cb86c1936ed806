//! The connections of one peer, and the way from a relayed one to a direct one.

use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{PeerId, dcutr};

use super::{Shell, to_bytes};
use crate::mesh::core::Event;
use crate::messages::Address;

/// How long a connection is kept after another took its place. What is on its way over it still
/// arrives: gossipsub says its subscriptions once, on the first connection, and a peer that they do
/// not reach is not heard.
const RETIRED_FOR: Duration = Duration::from_secs(5);

/// One connection to a peer.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) address: Address,
    pub(super) outbound: bool,
    /// Whether it leads through a relay.
    pub(super) relayed: bool,
    /// When it closes, once another has taken its place.
    retires: Option<Duration>,
}

impl Link {
    pub(super) const fn new(
        id: ConnectionId,
        address: Address,
        outbound: bool,
        relayed: bool,
    ) -> Self {
        Self { id, address, outbound, relayed, retires: None }
    }
}

/// The connections of a peer, the oldest first, by which it is known.
#[derive(Debug, Default)]
pub(super) struct Links {
    all: Vec<Link>,
    /// When to try again to get through directly.
    next_punch: Duration,
}

impl Links {
    /// Whether the peer is reached through a relay, for want of a direct way.
    pub(super) fn relayed(&self) -> bool {
        self.all.first().is_some_and(|link| link.relayed)
    }

    fn retire(&mut self, now: Duration, which: impl Fn(&Link) -> bool) {
        for link in self.all.iter_mut().filter(|link| link.retires.is_none() && which(link)) {
            link.retires = Some(now + RETIRED_FOR);
        }
    }
}

impl Shell {
    /// Takes note of a new connection. One that we dialled through a relay takes the place of an
    /// older one.
    pub(super) fn link(&mut self, peer: PeerId, link: Link) {
        let (now, next_punch) = (self.now(), self.now() + self.punch_pause);
        let Some(known) = self.acquaintance(peer) else { return };
        if link.relayed && link.outbound {
            known.links.retire(now, |old| old.relayed && old.outbound);
        }
        known.links.all.push(link);
        known.links.next_punch = next_punch;
    }

    /// Takes note that a connection is gone while another remains.
    pub(super) fn unlink(&mut self, peer: PeerId, gone: ConnectionId) {
        let Some(known) = self.acquaintance(peer) else { return };
        let links = &mut known.links.all;
        let known_by = links.first().map(|link| link.id);
        links.retain(|link| link.id != gone);
        let next = links.first().filter(|_| known_by == Some(gone)).cloned();
        if let (Some(peer), Some(link)) = (to_bytes(&peer), next) {
            self.feed(Event::Moved { peer, address: link.address, outbound: link.outbound });
        }
    }

    /// An attempt to get through to a peer has ended.
    pub(super) fn on_punch_event(&mut self, event: dcutr::Event) {
        let peer = event.remote_peer_id;
        if let Err(error) = event.result {
            tracing::debug!(%peer, %error, "no direct way found, the relay's stays");
            return;
        }
        // There is a direct way now: the relay's is for others.
        let now = self.now();
        if let Some(known) = self.acquaintance(peer) {
            known.links.retire(now, |link| link.relayed);
        }
    }

    /// Closes the connections whose place others took.
    pub(super) fn close_retired(&mut self) {
        let now = self.now();
        let links = self.acquaintances.values().flat_map(|known| &known.links.all);
        let due = links.filter(|link| link.retires.is_some_and(|at| at <= now)).map(|link| link.id);
        for connection in due.collect::<Vec<_>>() {
            self.swarm.close_connection(connection);
        }
    }

    /// The library tries a few times to get through when a relayed connection opens, and never
    /// again. So whoever dialled one that is still needed a while later opens it anew. If both did,
    /// one of them does: two attempts at once take each other's ports.
    pub(super) fn punch_again(&mut self) {
        let (now, own) = (self.now(), *self.swarm.local_peer_id());
        for (peer, known) in &mut self.acquaintances {
            let links = &mut known.links;
            if now < links.next_punch || !links.all.iter().all(|link| link.relayed) {
                continue;
            }
            links.next_punch = now + self.punch_pause;
            let both_dialled = links.all.iter().any(|link| !link.outbound);
            let Some(link) = links.all.iter().find(|link| link.outbound) else { continue };
            if both_dialled && own > *peer {
                continue;
            }
            let Ok(address) = link.address.as_str().parse() else { continue };
            let options = DialOpts::peer_id(*peer)
                .condition(PeerCondition::Always)
                .addresses(vec![address])
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%peer, %error, "a relayed connection cannot be opened anew");
            }
        }
    }
}
