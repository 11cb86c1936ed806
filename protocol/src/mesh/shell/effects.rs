//! Carrying out what the core decides.

use libp2p::Multiaddr;
use libp2p::gossipsub::{MessageAcceptance, PublishError};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use tokio::sync::mpsc::error::TrySendError;

use super::state::{Shell, Waiting, to_peer_id};
use crate::hello::PeerIdBytes;
use crate::mesh::core::{DialTarget, Effect, Event, Judgement, MeshEvent};
use crate::mesh::transport::{
    GrantAnswer, GrantOffer, PageAnswer, VerdictAnswer, idents, is_dialable, is_relayed,
};
use crate::messages::{Address, Topic};

impl Shell {
    /// Carries out an effect. Returns the event to resume with, if there is one already.
    pub(super) fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        let behaviour = self.swarm.behaviour_mut();
        match effect {
            Effect::SendHello { peer, hello } => {
                behaviour.hello.send_request(&to_peer_id(&peer)?, Ok(hello));
            }
            Effect::SendGrant { peer, grant } => {
                behaviour.grant.send_request(&to_peer_id(&peer)?, Ok(GrantOffer(grant.into_vec())));
            }
            Effect::AskCatchup { peer, request } => {
                behaviour.catchup.send_request(&to_peer_id(&peer)?, Ok(request));
            }
            Effect::Proven { peer } => self.proven(&peer),
            Effect::Disconnect { peer, parting } => {
                tracing::debug!(%peer, ?parting, "disconnecting");
                let _ = self.swarm.disconnect_peer_id(to_peer_id(&peer)?);
            }
            Effect::Ban { peer } => {
                behaviour.blocked.block_peer(to_peer_id(&peer)?);
            }
            Effect::Unban { peer } => {
                behaviour.blocked.unblock_peer(to_peer_id(&peer)?);
            }
            Effect::Dial { target, addresses, new_port } => {
                return self.dial(target, &addresses, new_port);
            }
            Effect::Publish { topic, bytes } => return self.publish(topic, bytes),
            Effect::Score { peer, score } => {
                let peer = to_peer_id(&peer)?;
                if behaviour.gossip.set_application_score(&peer, score)
                    && let Some(known) = self.acquaintances.get_mut(&peer)
                {
                    known.score = score;
                }
            }
            Effect::Tell(event) => self.tell(event),
            Effect::Judge { .. }
            | Effect::AnswerHello { .. }
            | Effect::AnswerGrant { .. }
            | Effect::AnswerCatchup { .. }
            | Effect::AnswerVerdict { .. } => self.answer(effect),
        }
        None
    }

    /// Carries out an effect that answers a waiting stream or message.
    fn answer(&mut self, effect: Effect) {
        let behaviour = self.swarm.behaviour_mut();
        let mut take = |token| self.waiting.remove(&token);
        match effect {
            Effect::Judge { token, judgement, .. } => {
                if let Some(Waiting::Gossip(id, source)) = take(token) {
                    let acceptance = match judgement {
                        Judgement::Accept => MessageAcceptance::Accept,
                        Judgement::Ignore => MessageAcceptance::Ignore,
                        Judgement::Reject => MessageAcceptance::Reject,
                    };
                    behaviour.gossip.report_message_validation_result(&id, &source, acceptance);
                }
            }
            Effect::AnswerHello { token, answer } => {
                if let Some(Waiting::Hello(channel)) = take(token) {
                    let _ = behaviour.hello.send_response(channel, answer);
                }
            }
            Effect::AnswerGrant { token, taken } => {
                if let Some(Waiting::Grant(channel)) = take(token) {
                    let _ = behaviour.grant.send_response(channel, GrantAnswer { taken });
                }
            }
            Effect::AnswerCatchup { token, page } => {
                if let Some(Waiting::Catchup(channel)) = take(token) {
                    let _ = behaviour.catchup.send_response(channel, PageAnswer(page));
                }
            }
            Effect::AnswerVerdict { token, admitted } => {
                if let Some(Waiting::Verdict(channel, file)) = take(token) {
                    let answer = VerdictAnswer(file.filter(|_| admitted));
                    let _ = behaviour.verdict.send_response(channel, answer);
                }
            }
            _ => {}
        }
    }

    fn proven(&mut self, peer: &PeerIdBytes) {
        let Some(peer) = to_peer_id(peer) else { return };
        let behaviour = self.swarm.behaviour_mut();
        behaviour.strangers.proven(peer);
        behaviour.gossip.proven(peer);
        self.admitted.admit(peer);
        let known = self.acquaintances.get(&peer);
        for address in known.into_iter().flat_map(|known| &known.addresses) {
            behaviour.kad.add_address(&peer, address.clone());
        }
    }

    fn unproven(&mut self, peer: &PeerIdBytes) {
        let Some(peer) = to_peer_id(peer) else { return };
        let behaviour = self.swarm.behaviour_mut();
        behaviour.strangers.unproven(&peer);
        behaviour.kad.remove_peer(&peer);
        self.admitted.dismiss(&peer);
        self.calm_kademlia();
    }

    /// Publishes on every version of the topic that we speak. It is enough that one has peers.
    fn publish(&mut self, topic: Topic, bytes: Vec<u8>) -> Option<Event> {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let mut reached = false;
        for ident in idents(topic, &self.network) {
            match gossip.publish(ident.hash(), bytes.clone()) {
                Ok(_) | Err(PublishError::Duplicate) => reached = true,
                Err(PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_)) => {}
                Err(error) => {
                    tracing::warn!(%topic, %error, "gossipsub refused a message of our own");
                    return None;
                }
            }
        }
        (!reached).then_some(Event::NotPublished { topic, bytes })
    }

    /// Tells the validator, or keeps the event until the validator takes it.
    fn tell(&mut self, event: MeshEvent) {
        if let MeshEvent::PeerDown { peer, .. } = &event {
            self.unproven(peer);
        }
        let events = &self.outlets.events;
        if events.is_closed() {
            return;
        }
        if !self.backlog.is_empty() {
            return self.backlog.push(event);
        }
        if let Err(TrySendError::Full(event)) = events.try_send(event) {
            self.backlog.push(event);
        }
    }

    fn dial(&mut self, target: DialTarget, addresses: &[Address], new_port: bool) -> Option<Event> {
        let relays = self.relay.is_used();
        let parsed = addresses.iter().filter_map(|address| address.as_str().parse().ok());
        let parsed: Vec<Multiaddr> = parsed
            .filter(|address| is_dialable(address) && (relays || !is_relayed(address)))
            .collect();
        let options = match &target {
            DialTarget::Peer(peer) => to_peer_id(peer).map(|peer| {
                let condition = PeerCondition::DisconnectedAndNotDialing;
                let options = DialOpts::peer_id(peer).condition(condition).addresses(parsed);
                if new_port { options.allocate_new_port().build() } else { options.build() }
            }),
            DialTarget::Address(_) => parsed.into_iter().next().map(|address| {
                let options = DialOpts::unknown_peer_id().address(address);
                if new_port { options.allocate_new_port().build() } else { options.build() }
            }),
        };
        let Some(options) = options else { return Some(Event::DialFailed { target }) };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(connection, target);
                None
            }
            Err(error) => {
                tracing::debug!(?target, %error, "failed to start a dial");
                Some(Event::DialFailed { target })
            }
        }
    }
}
