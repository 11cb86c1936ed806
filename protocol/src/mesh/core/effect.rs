//! What the core wants done.

use serde::Serialize;

use super::catchup::{CatchupPage, CatchupRequest};
#[cfg(doc)]
use super::event::Event;
use super::event::{DialTarget, Token};
use super::mesh_event::MeshEvent;
use crate::GrantBytes;
use crate::hello::{Hello, HelloAnswer, PeerIdBytes};
use crate::messages::{Address, Topic};

/// What the core wants done. The shell carries out every effect, in order.
///
/// An effect that says "Resume with" has a result; the shell reports it with that event.
#[derive(Clone, Debug)]
#[must_use = "an effect does nothing until it is carried out"]
pub enum Effect {
    /// Send our hello to a peer. Resume with: [`Event::HelloAnswered`].
    SendHello {
        /// The peer.
        peer: PeerIdBytes,
        /// Our hello.
        hello: Hello,
    },
    /// Answer an [`Event::Hello`].
    AnswerHello {
        /// The event's token.
        token: Token,
        /// The answer.
        answer: HelloAnswer,
    },
    /// A peer proved that it is a validator: its addresses may be passed on, and the limits on
    /// strangers no longer apply to it.
    Proven {
        /// The peer.
        peer: PeerIdBytes,
    },
    /// Close all connections to a peer. Resume with: [`Event::Disconnected`].
    Disconnect {
        /// The peer.
        peer: PeerIdBytes,
        /// Why.
        parting: Parting,
    },
    /// Refuse a peer's connections until [`Effect::Unban`].
    Ban {
        /// The peer.
        peer: PeerIdBytes,
    },
    /// Accept a peer's connections again.
    Unban {
        /// The peer.
        peer: PeerIdBytes,
    },
    /// Dial. Resume with: [`Event::Connected`] or [`Event::DialFailed`].
    Dial {
        /// What the dial is for.
        target: DialTarget,
        /// The addresses to try, best first.
        addresses: Vec<Address>,
        /// Whether to dial from a new port instead of the one we listen on.
        new_port: bool,
    },
    /// Publish a gossip message. Resume with: [`Event::NotPublished`] if no peer got it.
    Publish {
        /// The topic.
        topic: Topic,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// Tell gossipsub what to do with an [`Event::Gossip`].
    Judge {
        /// The event's token.
        token: Token,
        /// The peer that sent the message to us.
        source: PeerIdBytes,
        /// Whether to pass it on.
        judgement: Judgement,
    },
    /// Set a peer's application score in gossipsub.
    Score {
        /// The peer.
        peer: PeerIdBytes,
        /// Positive for a validator, 0 for a stranger, negative for a peer that misbehaved.
        score: f64,
    },
    /// Send our access grant to a validator. Resume with: [`Event::GrantAnswered`].
    SendGrant {
        /// The validator's peer id.
        peer: PeerIdBytes,
        /// Our grant.
        grant: GrantBytes,
    },
    /// Answer an [`Event::Grant`].
    AnswerGrant {
        /// The event's token.
        token: Token,
        /// Whether we accept the grant.
        taken: bool,
    },
    /// Ask a peer for a catch-up page. Resume with: [`Event::CatchupAnswered`].
    AskCatchup {
        /// The peer.
        peer: PeerIdBytes,
        /// Where the page begins.
        request: CatchupRequest,
    },
    /// Answer an [`Event::CatchupAsked`].
    AnswerCatchup {
        /// The event's token.
        token: Token,
        /// The page; `None` refuses.
        page: Option<CatchupPage>,
    },
    /// Answer an [`Event::VerdictAsked`].
    AnswerVerdict {
        /// The event's token.
        token: Token,
        /// Whether the peer gets the file, if we hold it. Files are large and strangers many.
        admitted: bool,
    },
    /// Tell the validator.
    Tell(MeshEvent),
}

/// What gossipsub does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Valid and new: pass it on.
    Accept,
    /// Known already or of no interest: drop it and blame nobody.
    Ignore,
    /// Invalid: drop it and blame the sender.
    Reject,
}

/// Why we close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Parting {
    /// One side refused the other's hello.
    Refused,
    /// The peer proved no hotkey in time.
    NoHello,
    /// The peer's hello expired and it sent no new one.
    HelloExpired,
    /// The peer's hotkey is no longer on the allowlist.
    RemovedFromAllowlist,
    /// The peer misbehaved too often.
    Misbehaviour,
    /// One side does not hear the other. The pair is dialled again.
    OneSidedLink,
    /// There are too many peers, or the hotkey has a newer session.
    TooMany,
}
