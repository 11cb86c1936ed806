//! Limits how fast each peer may send to gossipsub.
//!
//! Gossipsub does not report repeated messages, control messages and useless subscriptions, so the
//! core cannot count them. What comes too fast is dropped here, before gossipsub reads it, and the
//! peer is blamed.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::gossip::Gossip;
use crate::mesh::core::limits::{
    Bucket, GOSSIP_BURST, GOSSIP_PER_SECOND, STRANGER_GOSSIP_BURST, STRANGER_GOSSIP_PER_SECOND,
};

/// RPCs for each message that the core sees: repetitions by several paths, and gossipsub's IHAVE,
/// IWANT and IDONTWANT.
const FRAMES_PER_MESSAGE: u32 = 4;

/// What may come at once: as much as is allowed in this many seconds.
const BURST_SECONDS: u32 = GOSSIP_BURST / GOSSIP_PER_SECOND;

/// Gossipsub behind a rate limit.
pub(in crate::mesh) struct GossipGuard {
    inner: Gossip,
    started: Instant,
    /// Messages per second that a proven peer may send in the long run.
    per_second: u32,
    peers: HashMap<PeerId, Bucket>,
    flooding: BTreeSet<PeerId>,
}

impl GossipGuard {
    pub(in crate::mesh) fn new(inner: Gossip, per_second: u32) -> Self {
        let (peers, flooding) = (HashMap::new(), BTreeSet::new());
        Self { inner, started: Instant::now(), per_second, peers, flooding }
    }

    /// A peer proved to be a validator: its limit rises.
    pub(in crate::mesh) fn proven(&mut self, peer: PeerId) {
        let now = self.started.elapsed();
        let per_second = self.per_second.saturating_mul(FRAMES_PER_MESSAGE);
        let burst = per_second.saturating_mul(BURST_SECONDS);
        self.peers.insert(peer, Bucket::new(burst, per_second, now));
    }

    /// The peers that exceeded their limit since the last call.
    pub(in crate::mesh) fn take_flooding(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.flooding)
    }
}

impl Deref for GossipGuard {
    type Target = Gossip;

    fn deref(&self) -> &Gossip {
        &self.inner
    }
}

impl DerefMut for GossipGuard {
    fn deref_mut(&mut self) -> &mut Gossip {
        &mut self.inner
    }
}

impl NetworkBehaviour for GossipGuard {
    type ConnectionHandler = <Gossip as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = <Gossip as NetworkBehaviour>::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            remaining_established: 0,
            ..
        }) = &event
        {
            self.peers.remove(peer_id);
            self.flooding.remove(peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let now = self.started.elapsed();
        let bucket = self.peers.entry(peer).or_insert_with(|| {
            let (burst, per_second) = (STRANGER_GOSSIP_BURST, STRANGER_GOSSIP_PER_SECOND);
            Bucket::new(burst * FRAMES_PER_MESSAGE, per_second * FRAMES_PER_MESSAGE, now)
        });
        if bucket.take(now) {
            self.inner.on_connection_handler_event(peer, connection, event);
        } else {
            self.flooding.insert(peer);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context)
    }
}
