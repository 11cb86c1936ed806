//! What the core is told.

use super::catchup::{CatchupPage, CatchupRequest};
use crate::BlockNumber;
use crate::GrantBytes;
use crate::hello::{Hello, HelloAnswer, PeerIdBytes};
use crate::messages::{Address, TaskList, Topic};

/// Names a stream to answer or a message to judge. The shell keeps it until the core has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What a dial is for. The event that reports the dial's result carries it back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialTarget {
    /// A known peer, at whichever of its addresses answers.
    Peer(PeerIdBytes),
    /// An address whose owner may be unknown: a bootnode, a chain entry, an operator's setting.
    Address(Address),
}

/// What happened. The time comes beside it. Everything from a peer is decoded, but not yet
/// believed.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first connection to a peer is established; the transport authenticated the peer id.
    Connected {
        /// The peer.
        peer: PeerIdBytes,
        /// Its end of the connection.
        address: Address,
        /// Whether we dialled.
        outbound: bool,
        /// What we dialled it for.
        target: Option<DialTarget>,
    },
    /// The oldest connection to a peer closed and another remains, for example a direct one that
    /// replaced a relayed one.
    Moved {
        /// The peer.
        peer: PeerIdBytes,
        /// Its end of the remaining connection.
        address: Address,
        /// Whether we dialled the remaining connection.
        outbound: bool,
    },
    /// The last connection to a peer closed.
    Disconnected {
        /// The peer.
        peer: PeerIdBytes,
    },
    /// A dial failed.
    DialFailed {
        /// What the dial was for.
        target: DialTarget,
    },
    /// A peer subscribed to a topic.
    Subscribed {
        /// The peer.
        peer: PeerIdBytes,
        /// The topic.
        topic: Topic,
    },
    /// A peer unsubscribed from a topic.
    Unsubscribed {
        /// The peer.
        peer: PeerIdBytes,
        /// The topic.
        topic: Topic,
    },
    /// A peer sent its hello.
    Hello {
        /// The peer.
        peer: PeerIdBytes,
        /// Answer with [`Effect::AnswerHello`](super::Effect::AnswerHello).
        token: Token,
        /// Its hello.
        hello: Hello,
    },
    /// A peer answered our hello.
    HelloAnswered {
        /// The peer.
        peer: PeerIdBytes,
        /// The answer; `None` if none arrived or it could not be decoded.
        answer: Option<HelloAnswer>,
    },
    /// A gossip message arrived that gossipsub has not passed on yet.
    Gossip {
        /// The peer that sent it to us, not its author.
        source: PeerIdBytes,
        /// Answer with [`Effect::Judge`](super::Effect::Judge).
        token: Token,
        /// The topic.
        topic: Topic,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// A message that we wanted published reached no peer.
    NotPublished {
        /// The topic.
        topic: Topic,
        /// The encoded message.
        bytes: Vec<u8>,
    },
    /// A peer sent us an access grant.
    Grant {
        /// The peer.
        peer: PeerIdBytes,
        /// Answer with [`Effect::AnswerGrant`](super::Effect::AnswerGrant).
        token: Token,
        /// The grant.
        grant: GrantBytes,
    },
    /// A peer answered our grant.
    GrantAnswered {
        /// The peer.
        peer: PeerIdBytes,
        /// Whether it accepted the grant.
        taken: bool,
    },
    /// A peer asks for a catch-up page.
    CatchupAsked {
        /// The peer.
        peer: PeerIdBytes,
        /// Answer with [`Effect::AnswerCatchup`](super::Effect::AnswerCatchup).
        token: Token,
        /// Where the page begins.
        request: CatchupRequest,
    },
    /// A peer asks for a verdict file.
    VerdictAsked {
        /// The peer.
        peer: PeerIdBytes,
        /// Answer with [`Effect::AnswerVerdict`](super::Effect::AnswerVerdict).
        token: Token,
    },
    /// A peer answered our request for a catch-up page.
    CatchupAnswered {
        /// The peer.
        peer: PeerIdBytes,
        /// The page; `None` if none arrived or the peer refused.
        page: Option<CatchupPage>,
    },
    /// Unsigned addresses of a peer.
    Addresses {
        /// The peer.
        peer: PeerIdBytes,
        /// Where it may be dialled.
        addresses: Vec<Address>,
        /// Whether the peer told us itself, over a connection.
        itself: bool,
    },
    /// The operator or the chain names an address of a validator. It is kept until
    /// [`Event::DialNoMore`].
    DialTo {
        /// The address.
        address: Address,
    },
    /// An address from [`Event::DialTo`] no longer holds.
    DialNoMore {
        /// The address.
        address: Address,
    },
    /// The addresses at which others can dial us changed.
    Listening {
        /// All of them.
        addresses: Vec<Address>,
    },
    /// The allowlists changed. All of them, with those that held earlier in the lookback: nobody is
    /// disconnected for an old list.
    Allowlists(Vec<TaskList>),
    /// The chain's head moved.
    Head(BlockNumber),
    /// Our own grant changed. `None` revokes nothing, but newly connected validators get none.
    GrantChanged(Option<GrantBytes>),
    /// A peer did something that no honest peer does.
    Misbehaved {
        /// The peer.
        peer: PeerIdBytes,
        /// What it did.
        offence: Offence,
    },
    /// Time passed.
    Tick,
}

/// What a peer may do wrong, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A hello that the named hotkey did not sign, or that is about another peer.
    ForgedHello,
    /// A verdict file other than the requested one.
    BadVerdict,
    /// A request or an answer that cannot be decoded.
    MalformedRequest,
    /// Gossip that no honest peer passes on.
    InvalidGossip,
    /// No hello in time.
    NoHello,
    /// A hello refused for a reason that may be innocent.
    InnocentRefusal,
    /// More messages or requests than a peer may send.
    Flood,
}
