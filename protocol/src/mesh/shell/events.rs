//! What libp2p reports about connections, gossip and addresses, in the core's terms.

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, gossipsub, identify, kad, mdns, ping};

use super::connections::Connection;
use super::state::{Acquaintance, Shell, Waiting, to_bytes};
use crate::mesh::core::Event;
use crate::mesh::transport::{BehaviourEvent, is_relayed, topic_of};
use crate::messages::{Address, MAX_BEACON_ADDRESSES};

/// How many characters of a peer's software name are kept.
const MAX_AGENT_CHARS: usize = 64;

impl Shell {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.acquaintances.remove(&peer_id);
                if let Some(peer) = to_bytes(&peer_id) {
                    self.feed(Event::Disconnected { peer });
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.connection_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(target) = self.dials.remove(&connection_id) {
                    tracing::debug!(?target, %error, "dial failed");
                    self.feed(Event::DialFailed { target });
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                // Peers that are reached through us pass this address on to others.
                if self.relay.serve && !is_relayed(&address) {
                    self.swarm.add_external_address(address);
                }
                self.on_listening();
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.on_listening(),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener failed"),
            SwarmEvent::ListenerClosed { listener_id, .. }
                if self.vias.closed(listener_id, self.now()) =>
            {
                tracing::debug!("a relay refused us, or does not accept us yet");
            }
            SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                tracing::warn!(?addresses, %error, "listener closed");
            }
            _ => {}
        }
    }

    fn on_established(&mut self, peer_id: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let target = self.dials.remove(&id);
        if !self.acquaintances.contains_key(&peer_id) {
            self.meet(peer_id);
        }
        let address = to_address(endpoint.get_remote_address());
        let (Some(peer), Some(address)) = (to_bytes(&peer_id), address) else {
            let _ = self.swarm.disconnect_peer_id(peer_id);
            return;
        };
        let (outbound, relayed) = (endpoint.is_dialer(), endpoint.is_relayed());
        let connection =
            Connection { id, address: address.clone(), outbound, relayed, retires: None };
        self.connection_opened(peer_id, connection);
        self.feed(Event::Connected { peer, address, outbound, target });
    }

    /// Begins the record of a connected peer. It was blamed already for what gossipsub remembers of
    /// an earlier connection.
    fn meet(&mut self, peer: PeerId) {
        let penalty = -self.swarm.behaviour().gossip.peer_score(&peer).unwrap_or_default();
        self.acquaintances.insert(peer, Acquaintance { penalty, ..Acquaintance::default() });
    }

    fn on_listening(&mut self) {
        self.calm_kademlia();
        let addresses = self.own_addresses();
        self.feed(Event::Listening { addresses });
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip_event(event),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info);
            }
            BehaviourEvent::Ping(ping::Event { peer, result: Ok(rtt), .. }) => {
                if let Some(known) = self.acquaintance(peer) {
                    known.rtt = Some(rtt);
                }
            }
            // libp2p only reports the failure, and only from the second ping in a row on.
            BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
                peer,
            }) => {
                tracing::debug!(%peer, "no answer to pings, closing the connection");
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                result: kad::QueryResult::GetClosestPeers(Ok(found)),
                ..
            }) => {
                for peer in found.peers {
                    self.learn(peer.peer_id, &peer.addrs, false);
                }
            }
            BehaviourEvent::Punch(event) => self.on_punch_event(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.learn(peer, &[address], false);
                }
            }
            BehaviourEvent::Hello(event) => self.on_hello_event(event),
            BehaviourEvent::Grant(event) => self.on_grant_event(event),
            BehaviourEvent::Verdict(event) => self.on_verdict_event(event),
            BehaviourEvent::Catchup(event) => self.on_catchup_event(event),
            _ => {}
        }
    }

    fn on_gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let topic = topic_of(&message.topic, &self.network);
                if let (Some(source), Some(topic)) = (to_bytes(&propagation_source), topic) {
                    let bytes = message.data;
                    let gossip = |token| Event::Gossip { source, token, topic, bytes };
                    self.feed_waiting(Waiting::Gossip(message_id, propagation_source), gossip);
                }
            }
            gossipsub::Event::Subscribed { peer_id, topic, .. } => {
                let topic = topic_of(&topic, &self.network);
                if let (Some(peer), Some(topic)) = (to_bytes(&peer_id), topic) {
                    self.feed(Event::Subscribed { peer, topic });
                }
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                let topic = topic_of(&topic, &self.network);
                if let (Some(peer), Some(topic)) = (to_bytes(&peer_id), topic) {
                    self.feed(Event::Unsubscribed { peer, topic });
                }
            }
            gossipsub::Event::GossipsubNotSupported { .. } | gossipsub::Event::SlowPeer { .. } => {}
        }
    }

    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        let addresses: Vec<Multiaddr> =
            info.listen_addrs.into_iter().take(MAX_BEACON_ADDRESSES).collect();
        if let Some(known) = self.acquaintance(peer) {
            let printable = info.agent_version.chars().filter(|c| !c.is_control());
            known.agent = Some(printable.take(MAX_AGENT_CHARS).collect());
            known.addresses.clone_from(&addresses);
        }
        let proven = to_bytes(&peer).and_then(|peer| self.core.member(&peer)).is_some();
        if proven {
            // Kademlia keeps every address it is given, so earlier ones are removed first.
            let kad = &mut self.swarm.behaviour_mut().kad;
            kad.remove_peer(&peer);
            for address in &addresses {
                kad.add_address(&peer, address.clone());
            }
            self.learn(peer, &addresses, true);
        }
    }

    fn learn(&mut self, peer: PeerId, addresses: &[Multiaddr], itself: bool) {
        let addresses: Vec<Address> =
            addresses.iter().filter_map(to_address).take(MAX_BEACON_ADDRESSES).collect();
        if let Some(peer) = to_bytes(&peer).filter(|_| !addresses.is_empty()) {
            self.feed(Event::Addresses { peer, addresses, itself });
        }
    }
}

fn to_address(address: &Multiaddr) -> Option<Address> {
    Address::new(address.to_string())
}
