//! What libp2p reports about requests and answers, in the core's terms.

use std::io;
use std::sync::Arc;

use libp2p::request_response::{
    self, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};

use super::state::{Shell, Waiting, to_bytes};
use crate::GrantBytes;
use crate::hello::{Hello, HelloAnswer, PeerIdBytes};
use crate::mesh::core::{CatchupRequest, Event, Offence};
use crate::mesh::transport::{
    GrantAnswer, GrantOffer, PageAnswer, Unreadable, VerdictAnswer, VerdictRequest,
};

type FromProtocol<Request, Response> =
    request_response::Event<Result<Request, Unreadable>, Response>;

enum Exchange<Request, Response> {
    Asked { request: Request, channel: ResponseChannel<Response> },
    Answered { id: OutboundRequestId, response: Response },
    Unanswered { id: OutboundRequestId },
}

impl Shell {
    pub(super) fn on_hello_event(&mut self, event: FromProtocol<Hello, HelloAnswer>) {
        let Some((peer, exchange)) = self.sort(event) else { return };
        match exchange {
            Exchange::Asked { request: hello, channel } => {
                let hello = |token| Event::Hello { peer, token, hello };
                self.feed_waiting(Waiting::Hello(channel), hello);
            }
            Exchange::Answered { response, .. } => {
                self.feed(Event::HelloAnswered { peer, answer: Some(response) });
            }
            Exchange::Unanswered { .. } => self.feed(Event::HelloAnswered { peer, answer: None }),
        }
    }

    pub(super) fn on_grant_event(&mut self, event: FromProtocol<GrantOffer, GrantAnswer>) {
        let Some((peer, exchange)) = self.sort(event) else { return };
        match exchange {
            Exchange::Asked { request, channel } => match GrantBytes::new(request.0) {
                Some(grant) => {
                    let grant = |token| Event::Grant { peer, token, grant };
                    self.feed_waiting(Waiting::Grant(channel), grant);
                }
                None => self.blame_malformed(peer),
            },
            Exchange::Answered { response, .. } => {
                self.feed(Event::GrantAnswered { peer, taken: response.taken });
            }
            Exchange::Unanswered { .. } => self.feed(Event::GrantAnswered { peer, taken: false }),
        }
    }

    pub(super) fn on_verdict_event(&mut self, event: FromProtocol<VerdictRequest, VerdictAnswer>) {
        let Some((peer, exchange)) = self.sort(event) else { return };
        let (id, file) = match exchange {
            Exchange::Asked { request, channel } => {
                let file = self.held.get(request.file, request.digest);
                let asked = |token| Event::VerdictAsked { peer, token };
                return self.feed_waiting(Waiting::Verdict(channel, file), asked);
            }
            Exchange::Answered { id, response } => (id, response.0.map(Arc::unwrap_or_clone)),
            Exchange::Unanswered { id } => (id, None),
        };
        if let Some(reply) = self.fetches.remove(&id) {
            let _ = reply.send(file);
        }
    }

    pub(super) fn on_catchup_event(&mut self, event: FromProtocol<CatchupRequest, PageAnswer>) {
        let Some((peer, exchange)) = self.sort(event) else { return };
        match exchange {
            Exchange::Asked { request, channel } => {
                let asked = |token| Event::CatchupAsked { peer, token, request };
                self.feed_waiting(Waiting::Catchup(channel), asked);
            }
            Exchange::Answered { response, .. } => {
                self.feed(Event::CatchupAnswered { peer, page: response.0 });
            }
            Exchange::Unanswered { .. } => self.feed(Event::CatchupAnswered { peer, page: None }),
        }
    }

    /// Sorts a protocol's events into the three that matter, and blames peers for what cannot be
    /// decoded.
    fn sort<Request, Response>(
        &mut self,
        event: FromProtocol<Request, Response>,
    ) -> Option<(PeerIdBytes, Exchange<Request, Response>)> {
        match event {
            request_response::Event::Message { peer, message, .. } => {
                let peer = to_bytes(&peer)?;
                let exchange = match message {
                    Message::Request { request: Ok(request), channel, .. } => {
                        Exchange::Asked { request, channel }
                    }
                    Message::Request { request: Err(Unreadable), .. } => {
                        self.blame_malformed(peer);
                        return None;
                    }
                    Message::Response { request_id: id, response } => {
                        Exchange::Answered { id, response }
                    }
                };
                Some((peer, exchange))
            }
            request_response::Event::OutboundFailure { peer, request_id: id, error, .. } => {
                let peer = to_bytes(&peer)?;
                tracing::debug!(%peer, %error, "request failed");
                if let OutboundFailure::Io(error) = error
                    && error.kind() == io::ErrorKind::InvalidData
                {
                    self.blame_malformed(peer);
                }
                Some((peer, Exchange::Unanswered { id }))
            }
            request_response::Event::InboundFailure { .. }
            | request_response::Event::ResponseSent { .. } => None,
        }
    }

    fn blame_malformed(&mut self, peer: PeerIdBytes) {
        self.feed(Event::Misbehaved { peer, offence: Offence::MalformedRequest });
    }
}
