//! What libp2p reports, in the core's words.

use std::sync::Arc;

use libp2p::request_response::{self, Message, OutboundFailure};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, identify, kad, mdns, ping};

use super::connections::Link;
use super::{FromLibp2p, GossipEvent, Shell, Waiting, to_bytes};
use crate::mesh::core::{Event, GrantBytes, Offence};
use crate::mesh::transport::{
    BehaviourEvent, GrantAnswer, GrantOffer, PageAnswer, Unreadable, VerdictAnswer, VerdictRequest,
    is_relayed, topic_of,
};
use crate::messages::{Address, MAX_BEACON_ADDRESSES};

impl Shell {
    pub(super) fn on_swarm_event(&mut self, event: FromLibp2p) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let target = self.dials.remove(&connection_id);
                if !self.acquaintances.contains_key(&peer_id) {
                    self.meet(peer_id);
                }
                let (Some(peer), Some(address)) =
                    (to_bytes(&peer_id), to_address(endpoint.get_remote_address()))
                else {
                    let _ = self.swarm.disconnect_peer_id(peer_id);
                    return;
                };
                let outbound = endpoint.is_dialer();
                let relayed = endpoint.is_relayed();
                self.link(peer_id, Link::new(connection_id, address.clone(), outbound, relayed));
                self.feed(Event::Connected { peer, address, outbound, target });
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.acquaintances.remove(&peer_id);
                if let Some(peer) = to_bytes(&peer_id) {
                    self.feed(Event::Disconnected { peer });
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.unlink(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(target) = self.dials.remove(&connection_id) {
                    tracing::debug!(?target, %error, "dial failed");
                    self.feed(Event::DialFailed { target });
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                // What those who are reached through us tell others.
                if self.relay.serve && !is_relayed(&address) {
                    self.swarm.add_external_address(address);
                }
                self.calm_kademlia();
                let addresses = self.own_addresses();
                self.feed(Event::Listening { addresses });
            }
            SwarmEvent::ExpiredListenAddr { .. } => {
                self.calm_kademlia();
                let addresses = self.own_addresses();
                self.feed(Event::Listening { addresses });
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener failed"),
            SwarmEvent::ListenerClosed { listener_id, .. }
                if self.vias.closed(listener_id, self.now()) =>
            {
                tracing::debug!("a relay is not there for us, or not yet");
            }
            SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                tracing::warn!(?addresses, %error, "listener closed");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip_event(event),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info)
            }
            BehaviourEvent::Ping(ping::Event { peer, result: Ok(rtt), .. }) => {
                if let Some(known) = self.acquaintance(peer) {
                    known.rtt = Some(rtt);
                }
            }
            // The library only tells of it. The first ping without an answer is not even told.
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
                    self.learn(peer.peer_id, peer.addrs, false);
                }
            }
            BehaviourEvent::Punch(event) => self.on_punch_event(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.learn(peer, vec![address], false);
                }
            }
            BehaviourEvent::Hello(event) => self.on_hello_event(event),
            BehaviourEvent::Grant(event) => self.on_grant_event(event),
            BehaviourEvent::Verdict(event) => self.on_verdict_event(event),
            BehaviourEvent::Catchup(event) => self.on_catchup_event(event),
            _ => {}
        }
    }

    fn on_gossip_event(&mut self, event: GossipEvent) {
        match event {
            GossipEvent::Message { propagation_source, message_id, message } => {
                let (Some(source), Some(topic)) =
                    (to_bytes(&propagation_source), topic_of(&message.topic, &self.network))
                else {
                    return;
                };
                let bytes = message.data;
                self.feed_waiting(Waiting::Gossip(message_id, propagation_source), |token| {
                    Event::Gossip { source, token, topic, bytes }
                });
            }
            GossipEvent::Subscribed { peer_id, topic, .. } => {
                if let (Some(peer), Some(topic)) =
                    (to_bytes(&peer_id), topic_of(&topic, &self.network))
                {
                    self.feed(Event::Subscribed { peer, topic });
                }
            }
            GossipEvent::Unsubscribed { peer_id, topic } => {
                if let (Some(peer), Some(topic)) =
                    (to_bytes(&peer_id), topic_of(&topic, &self.network))
                {
                    self.feed(Event::Unsubscribed { peer, topic });
                }
            }
            GossipEvent::GossipsubNotSupported { .. } | GossipEvent::SlowPeer { .. } => {}
        }
    }

    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        let addresses: Vec<Multiaddr> =
            info.listen_addrs.into_iter().take(MAX_BEACON_ADDRESSES).collect();
        self.note_agent(peer, &info.agent_version, addresses.clone());
        let proven = to_bytes(&peer).and_then(|peer| self.core.member(&peer)).is_some();
        if proven {
            // In place of those that it named before: the library keeps all that it is given.
            self.swarm.behaviour_mut().kad.remove_peer(&peer);
            for address in &addresses {
                self.swarm.behaviour_mut().kad.add_address(&peer, address.clone());
            }
            self.learn(peer, addresses, true);
        }
    }

    fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, itself: bool) {
        let addresses: Vec<Address> =
            addresses.iter().filter_map(to_address).take(MAX_BEACON_ADDRESSES).collect();
        if let Some(peer) = to_bytes(&peer).filter(|_| !addresses.is_empty()) {
            self.feed(Event::Addresses { peer, addresses, itself });
        }
    }

    fn on_hello_event(&mut self, event: Answers<crate::hello::Hello, crate::hello::HelloAnswer>) {
        let Some((peer, happened)) = self.sort(event) else { return };
        match happened {
            Happened::Asked { request, channel } => {
                self.feed_waiting(Waiting::Hello(channel), |token| Event::Hello {
                    peer,
                    token,
                    hello: request,
                });
            }
            Happened::Answered { response, .. } => {
                self.feed(Event::HelloAnswered { peer, answer: Some(response) })
            }
            Happened::Unanswered { .. } => self.feed(Event::HelloAnswered { peer, answer: None }),
        }
    }

    fn on_grant_event(&mut self, event: Answers<GrantOffer, GrantAnswer>) {
        let Some((peer, happened)) = self.sort(event) else { return };
        match happened {
            Happened::Asked { request, channel } => match GrantBytes::new(request.0) {
                Some(grant) => {
                    self.feed_waiting(Waiting::Grant(channel), |token| Event::Grant {
                        peer,
                        token,
                        grant,
                    });
                }
                None => self.feed(Event::Misbehaved { peer, offence: Offence::MalformedRequest }),
            },
            Happened::Answered { response, .. } => {
                self.feed(Event::GrantAnswered { peer, taken: response.taken })
            }
            Happened::Unanswered { .. } => self.feed(Event::GrantAnswered { peer, taken: false }),
        }
    }

    fn on_verdict_event(&mut self, event: Answers<VerdictRequest, VerdictAnswer>) {
        let Some((peer, happened)) = self.sort(event) else { return };
        match happened {
            Happened::Asked { request, channel } => {
                let file = self.held.get(request.file, request.digest);
                self.feed_waiting(Waiting::Verdict(channel, file), |token| Event::VerdictAsked {
                    peer,
                    token,
                });
            }
            Happened::Answered { request_id, response } => {
                if let Some(reply) = self.fetches.remove(&request_id) {
                    let _ = reply.send(response.0.map(Arc::unwrap_or_clone));
                }
            }
            Happened::Unanswered { request_id } => {
                if let Some(reply) = self.fetches.remove(&request_id) {
                    let _ = reply.send(None);
                }
            }
        }
    }

    fn on_catchup_event(&mut self, event: Answers<crate::mesh::core::CatchupRequest, PageAnswer>) {
        let Some((peer, happened)) = self.sort(event) else { return };
        match happened {
            Happened::Asked { request, channel } => {
                self.feed_waiting(Waiting::Catchup(channel), |token| Event::CatchupAsked {
                    peer,
                    token,
                    request,
                });
            }
            Happened::Answered { response, .. } => {
                self.feed(Event::CatchupAnswered { peer, page: response.0 })
            }
            Happened::Unanswered { .. } => self.feed(Event::CatchupAnswered { peer, page: None }),
        }
    }

    /// Sorts a protocol's events into the three that matter, and blames whoever sent what cannot be
    /// read.
    fn sort<Request, Response>(
        &mut self,
        event: Answers<Request, Response>,
    ) -> Option<(crate::hello::PeerIdBytes, Happened<Request, Response>)> {
        match event {
            request_response::Event::Message { peer, message, .. } => {
                let happened = match message {
                    Message::Request { request: Ok(request), channel, .. } => {
                        Happened::Asked { request, channel }
                    }
                    Message::Request { request: Err(Unreadable), .. } => {
                        let peer = to_bytes(&peer)?;
                        self.feed(Event::Misbehaved { peer, offence: Offence::MalformedRequest });
                        return None;
                    }
                    Message::Response { request_id, response } => {
                        Happened::Answered { request_id, response }
                    }
                };
                Some((to_bytes(&peer)?, happened))
            }
            request_response::Event::OutboundFailure { peer, request_id, error, .. } => {
                if let OutboundFailure::Io(error) = &error {
                    self.blame_malformed(peer, error);
                }
                tracing::debug!(%peer, %error, "request failed");
                Some((to_bytes(&peer)?, Happened::Unanswered { request_id }))
            }
            request_response::Event::InboundFailure { .. }
            | request_response::Event::ResponseSent { .. } => None,
        }
    }
}

type Answers<Request, Response> = request_response::Event<Result<Request, Unreadable>, Response>;

enum Happened<Request, Response> {
    Asked { request: Request, channel: request_response::ResponseChannel<Response> },
    Answered { request_id: request_response::OutboundRequestId, response: Response },
    Unanswered { request_id: request_response::OutboundRequestId },
}

fn to_address(address: &Multiaddr) -> Option<Address> {
    Address::new(address.to_string())
}
