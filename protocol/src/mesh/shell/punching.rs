//! From a relayed connection to a direct one.

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{PeerId, dcutr};

use super::connections::Connection;
use super::state::{Shell, to_bytes};
use crate::mesh::core::Event;

impl Shell {
    /// Takes note of a new connection. One that we dialled through a relay replaces an older one of
    /// that kind.
    pub(super) fn connection_opened(&mut self, peer: PeerId, connection: Connection) {
        let (now, next_punch) = (self.now(), self.now() + self.punch_pause);
        let Some(known) = self.acquaintance(peer) else { return };
        if connection.relayed && connection.outbound {
            known.connections.retire(now, |old| old.relayed && old.outbound);
        }
        known.connections.all.push(connection);
        known.connections.next_punch = next_punch;
    }

    /// Takes note that a connection closed while another remains.
    pub(super) fn connection_closed(&mut self, peer: PeerId, closed: ConnectionId) {
        let Some(known) = self.acquaintance(peer) else { return };
        let all = &mut known.connections.all;
        let oldest_before = all.first().map(|connection| connection.id);
        all.retain(|connection| connection.id != closed);
        let oldest = all.first().filter(|_| oldest_before == Some(closed)).cloned();
        if let (Some(peer), Some(Connection { address, outbound, .. })) = (to_bytes(&peer), oldest)
        {
            self.feed(Event::Moved { peer, address, outbound });
        }
    }

    /// An attempt to connect directly ended.
    pub(super) fn on_punch_event(&mut self, event: dcutr::Event) {
        let peer = event.remote_peer_id;
        if let Err(error) = event.result {
            tracing::debug!(%peer, %error, "no direct connection, the relayed one stays");
            return;
        }
        let now = self.now();
        if let Some(known) = self.acquaintance(peer) {
            known.connections.retire(now, |connection| connection.relayed);
        }
    }

    /// Closes the connections that others replaced.
    pub(super) fn close_retired(&mut self) {
        let now = self.now();
        let all = self.acquaintances.values().flat_map(|known| &known.connections.all);
        let due = all.filter(|one| one.retires.is_some_and(|at| at <= now)).map(|one| one.id);
        for connection in due.collect::<Vec<_>>() {
            self.swarm.close_connection(connection);
        }
    }

    /// libp2p tries a few times to connect directly when a relayed connection opens, and never
    /// again. So the side that dialled a relayed connection opens it again if it is still needed
    /// later. If both sides dialled, only one of them does: two attempts at once take each other's
    /// ports.
    pub(super) fn punch_again(&mut self) {
        let (now, own) = (self.now(), *self.swarm.local_peer_id());
        for (peer, known) in &mut self.acquaintances {
            let connections = &mut known.connections;
            if now < connections.next_punch || !connections.all.iter().all(|one| one.relayed) {
                continue;
            }
            connections.next_punch = now + self.punch_pause;
            let both_dialled = connections.all.iter().any(|one| !one.outbound);
            let Some(dialled) = connections.all.iter().find(|one| one.outbound) else { continue };
            if both_dialled && own > *peer {
                continue;
            }
            let Ok(address) = dialled.address.as_str().parse() else { continue };
            let options = DialOpts::peer_id(*peer)
                .condition(PeerCondition::Always)
                .addresses(vec![address])
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%peer, %error, "failed to open a relayed connection again");
            }
        }
    }
}
