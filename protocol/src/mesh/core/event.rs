//! What the core is told, what it wants done, and what it has to say.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catchup::{CatchupPage, CatchupRequest};
use super::limits::MAX_GRANT_BYTES;
use crate::hello::{Hello, HelloAnswer, HelloRefusal, PeerIdBytes};
use crate::messages::{
    Address, Announcement, Attestation, Certificate, Evidence, MinerReport, Topic,
};
use crate::{BlockNumber, Digest, FileId, Hotkey, TaskId};

/// Names something that the shell holds until the core decides: a stream to answer, a message to
/// report on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What a dial is for; comes back with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialTarget {
    /// A known peer, at whichever of its addresses answers.
    Peer(PeerIdBytes),
    /// A place whose owner may be unknown: a bootnode, a chain entry, an operator's word.
    Address(Address),
}

/// Bytes that give read access to a validator's bucket. The storage crate defines what is in them;
/// their `Debug` shows the length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantBytes(Vec<u8>);

impl GrantBytes {
    /// A grant of these bytes; `None` beyond [`MAX_GRANT_BYTES`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_GRANT_BYTES).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for GrantBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantBytes({} bytes)", self.0.len())
    }
}

/// What the core is told. Times come beside it; everything that came from a peer is decoded, not
/// believed.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first connection to a peer stands; the transport authenticated the peer id.
    Connected {
        /// With whom.
        peer: PeerIdBytes,
        /// The other end.
        address: Address,
        /// Whether we dialled.
        outbound: bool,
        /// What we dialled it for.
        target: Option<DialTarget>,
    },
    /// The connection that a peer was known by is gone, and another one remains: a relay's gave way
    /// to a direct one.
    Moved {
        /// Who.
        peer: PeerIdBytes,
        /// Where the one that remains leads.
        address: Address,
        /// Whether we dialled that one.
        outbound: bool,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// Whom.
        peer: PeerIdBytes,
    },
    /// A dial came to nothing.
    DialFailed {
        /// What it was for.
        target: DialTarget,
    },
    /// A peer wants a topic's messages.
    Subscribed {
        /// Who.
        peer: PeerIdBytes,
        /// Which.
        topic: Topic,
    },
    /// A peer wants them no more.
    Unsubscribed {
        /// Who.
        peer: PeerIdBytes,
        /// Which.
        topic: Topic,
    },
    /// A peer sent its hello.
    Hello {
        /// From whom.
        peer: PeerIdBytes,
        /// To be answered with [`Effect::AnswerHello`].
        token: Token,
        /// What it said.
        hello: Hello,
    },
    /// Our hello was answered; `None` when it was not, or not readably.
    HelloAnswered {
        /// By whom.
        peer: PeerIdBytes,
        /// How.
        answer: Option<HelloAnswer>,
    },
    /// A gossip message, not yet passed on.
    Gossip {
        /// Who sent it to us, not who wrote it.
        source: PeerIdBytes,
        /// To be judged with [`Effect::Judge`].
        token: Token,
        /// Its topic.
        topic: Topic,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Gossip that we wanted published found no listener after all.
    NotPublished {
        /// Its topic.
        topic: Topic,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A peer hands us an access grant.
    Grant {
        /// From whom.
        peer: PeerIdBytes,
        /// To be answered with [`Effect::AnswerGrant`].
        token: Token,
        /// The grant.
        grant: GrantBytes,
    },
    /// Our grant was taken, or not.
    GrantAnswered {
        /// By whom.
        peer: PeerIdBytes,
        /// Whether it was taken.
        taken: bool,
    },
    /// A peer asks for a page of what we hold.
    CatchupAsked {
        /// Who.
        peer: PeerIdBytes,
        /// To be answered with [`Effect::AnswerCatchup`].
        token: Token,
        /// From where on.
        request: CatchupRequest,
    },
    /// A peer asks for a verdict file.
    VerdictAsked {
        /// Who.
        peer: PeerIdBytes,
        /// To be answered with [`Effect::AnswerVerdict`].
        token: Token,
    },
    /// A page that we asked for; `None` when it did not come.
    CatchupAnswered {
        /// From whom.
        peer: PeerIdBytes,
        /// The page.
        page: Option<CatchupPage>,
    },
    /// Unsigned word of where a peer may be dialled.
    Addresses {
        /// Who.
        peer: PeerIdBytes,
        /// Where.
        addresses: Vec<Address>,
        /// Whether the peer says so itself, over a connection.
        itself: bool,
    },
    /// An operator or the chain says where a validator may be dialled; kept until it is taken back.
    DialTo {
        /// Where.
        address: Address,
    },
    /// That is no longer so.
    DialNoMore {
        /// Where.
        address: Address,
    },
    /// Where we can be dialled ourselves.
    Listening {
        /// All such addresses.
        addresses: Vec<Address>,
    },
    /// From `from` on, these are the validators.
    Allowlist {
        /// First task of the list.
        from: TaskId,
        /// The hotkeys.
        validators: Vec<Hotkey>,
    },
    /// From `from` on, a task has so many blocks.
    Interval {
        /// The first such task.
        from: TaskId,
        /// Blocks per task.
        blocks: u64,
    },
    /// Our chain's head.
    Head(BlockNumber),
    /// What we grant from now on; `None` takes nothing back, but is not handed to newcomers.
    GrantChanged(Option<GrantBytes>),
    /// A peer did what no honest peer does.
    Misbehaved {
        /// Who.
        peer: PeerIdBytes,
        /// What.
        offence: Offence,
    },
    /// Time passed.
    Tick,
}

/// What a peer may do wrong, dearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A hello that somebody else should have signed.
    ForgedHello,
    /// Bytes of a verdict file that are not what was asked for.
    BadVerdict,
    /// A request or an answer that cannot be read.
    MalformedRequest,
    /// Gossip that no honest peer passes on.
    InvalidGossip,
    /// No hello in time.
    NoHello,
    /// A hello refused for a reason that may be innocent.
    InnocentRefusal,
    /// One message more than a peer may send.
    Flood,
}

/// Whether gossip is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Good and new: pass it on.
    Accept,
    /// Not for us, or known: drop it, nobody's fault.
    Ignore,
    /// Bad: drop it, and blame who sent it.
    Reject,
}

/// Why we end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Parting {
    /// Its hello was refused, or ours by it.
    Refused,
    /// It proved no hotkey in time.
    NoHello,
    /// Its hello expired and no new one came.
    HelloExpired,
    /// It is no longer on the allowlist.
    RemovedFromAllowlist,
    /// It did too much wrong.
    Misbehaviour,
    /// One of us does not hear the other: dialled anew in a moment.
    OneSidedLink,
    /// There are too many peers.
    TooMany,
}

/// What the core wants done. Each must be carried out, in order.
#[derive(Clone, Debug)]
#[must_use]
pub enum Effect {
    /// Send our hello. Resumes with [`Event::HelloAnswered`].
    SendHello {
        /// To whom.
        peer: PeerIdBytes,
        /// What to send.
        hello: Hello,
    },
    /// Answer a hello.
    AnswerHello {
        /// The stream.
        token: Token,
        /// The answer.
        answer: HelloAnswer,
    },
    /// A peer is a proven validator from now on; it may be told about to others.
    Proven {
        /// Who.
        peer: PeerIdBytes,
    },
    /// End all connections to a peer. Resumes with [`Event::Disconnected`].
    Disconnect {
        /// Whom.
        peer: PeerIdBytes,
        /// Why.
        parting: Parting,
    },
    /// Refuse a peer's connections until [`Effect::Unban`].
    Ban {
        /// Whom.
        peer: PeerIdBytes,
    },
    /// Admit a peer's connections again.
    Unban {
        /// Whom.
        peer: PeerIdBytes,
    },
    /// Dial. Resumes with [`Event::Connected`] or [`Event::DialFailed`].
    Dial {
        /// What for.
        target: DialTarget,
        /// Where, best first.
        addresses: Vec<Address>,
        /// From a port of its own instead of the one that is listened on.
        new_port: bool,
    },
    /// Publish gossip. Resumes with [`Event::NotPublished`] if nobody listens.
    Publish {
        /// The topic.
        topic: Topic,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Say whether gossip may be passed on.
    Judge {
        /// The message.
        token: Token,
        /// The peer that sent it to us.
        source: PeerIdBytes,
        /// The judgement.
        judgement: Judgement,
    },
    /// Tell gossip what we think of a peer.
    Score {
        /// Of whom.
        peer: PeerIdBytes,
        /// 0 for a stranger, positive for a validator, negative for one that does wrong.
        score: f64,
    },
    /// Hand our grant to a validator. Resumes with [`Event::GrantAnswered`].
    SendGrant {
        /// To whom.
        peer: PeerIdBytes,
        /// The grant.
        grant: GrantBytes,
    },
    /// Say whether a grant was taken.
    AnswerGrant {
        /// The stream.
        token: Token,
        /// Whether it was.
        taken: bool,
    },
    /// Ask for a page. Resumes with [`Event::CatchupAnswered`].
    AskCatchup {
        /// Whom.
        peer: PeerIdBytes,
        /// From where on.
        request: CatchupRequest,
    },
    /// Answer with a page; `None` refuses.
    AnswerCatchup {
        /// The stream.
        token: Token,
        /// The page.
        page: Option<CatchupPage>,
    },
    /// Answer a peer that asked for a verdict file.
    AnswerVerdict {
        /// The stream.
        token: Token,
        /// Whether it gets the file, if we hold it: files are large, and strangers may come in
        /// numbers.
        admitted: bool,
    },
    /// Tell the validator.
    Tell(MeshEvent),
}

/// Who refused a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// We refused theirs.
    Us,
    /// They refused ours.
    Them,
}

/// Where a proven peer was found: kept on disk, so that a restart needs no bootnode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// Its libp2p identity.
    pub peer: PeerIdBytes,
    /// Whose it was.
    pub hotkey: Hotkey,
    /// Where it can be dialled, best first.
    pub addresses: Vec<Address>,
}

/// What the mesh tells the validator that runs it.
#[derive(Clone, Debug)]
pub enum MeshEvent {
    /// A validator is connected and proven.
    PeerUp {
        /// Who.
        hotkey: Hotkey,
        /// As which peer.
        peer: PeerIdBytes,
    },
    /// It is no longer.
    PeerDown {
        /// Who.
        hotkey: Hotkey,
        /// As which peer.
        peer: PeerIdBytes,
    },
    /// A producer announced its file: fetch it, verify it, attest to it. Told once for each file.
    Announcement(Announcement),
    /// One more attestation was counted.
    AttestationCounted {
        /// The attestation.
        attestation: Attestation,
        /// Attesters of its digest so far.
        have: usize,
        /// Attesters that certify.
        need: usize,
    },
    /// A file is certified. To be stored, and handed back at the next start. Told once for each
    /// file.
    Certified(Certificate),
    /// Two certificates for one file: a third of the validators or more sign twice. The first one
    /// stays.
    CertificateConflict {
        /// The one that stays.
        kept: Box<Certificate>,
        /// The other.
        other: Box<Certificate>,
    },
    /// A validator signed twice. To be stored, and handed back at the next start.
    Evidence(Evidence),
    /// A validator's findings about the miners.
    MinerReport(MinerReport),
    /// A validator grants us access to its bucket.
    Grant {
        /// Who.
        from: Hotkey,
        /// What; the storage crate reads it.
        payload: GrantBytes,
    },
    /// One hotkey is alive under two peer ids.
    Doppelganger {
        /// The hotkey.
        hotkey: Hotkey,
        /// Whether it is our own: sign nothing until this is cleared up.
        ours: bool,
        /// The two peer ids.
        peers: [PeerIdBytes; 2],
    },
    /// A hello was refused.
    Refused {
        /// The peer at the other end.
        peer: PeerIdBytes,
        /// Why.
        reason: HelloRefusal,
        /// By which side.
        by: RefusedBy,
    },
    /// A one-sided link was cut and will be dialled anew.
    LinkReset {
        /// With whom.
        hotkey: Hotkey,
        /// As which peer.
        peer: PeerIdBytes,
    },
    /// A peer did too much wrong and is kept out for a while.
    Banned {
        /// Who.
        peer: PeerIdBytes,
        /// Its hotkey, if it proved one.
        hotkey: Option<Hotkey>,
    },
    /// A kept message found no listener in time. Peers get it by catch-up.
    Undelivered {
        /// Its topic.
        topic: Topic,
    },
    /// The address book changed. To be stored, and handed back at the next start.
    AddressBook(Vec<KnownPeer>),
    /// Sequence numbers up to this one may be used. To be stored, and handed back at the next
    /// start.
    Sequence(u64),
}

/// What became of a message that was to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is on its way.
    Sent {
        /// Proven validators it was sent to directly.
        peers: usize,
    },
    /// No proven validator listens yet. It goes out when one does.
    Kept {
        /// For how long it is kept.
        keep_for: Duration,
    },
}

/// A message that the validator wants published.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Our file is there.
    Announcement(Announcement),
    /// We verified a file.
    Attestation(Attestation),
    /// Our findings about the miners.
    MinerReport(MinerReport),
}

/// What an earlier run left behind.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// From [`MeshEvent::Certified`].
    pub certificates: Vec<Certificate>,
    /// From [`MeshEvent::Evidence`].
    pub evidence: Vec<Evidence>,
    /// From [`MeshEvent::AddressBook`].
    pub addresses: Vec<KnownPeer>,
    /// From [`MeshEvent::Sequence`].
    pub sequence: u64,
}

/// One connected peer, for the operator.
#[derive(Clone, Debug, Serialize)]
pub struct PeerView {
    /// Its libp2p identity.
    pub peer: PeerIdBytes,
    /// What it proved; `None` before its hello.
    pub hotkey: Option<Hotkey>,
    /// The other end of the connection.
    pub address: Address,
    /// Whether we dialled.
    pub outbound: bool,
    /// Whether each hears the other and says so.
    pub mutual: bool,
    /// Topics it is subscribed to.
    pub topics: Vec<Topic>,
    /// 0 for good behaviour; −20 disconnects, −50 bans.
    pub score: f64,
    /// Its chain head, from its last beacon.
    pub head: Option<BlockNumber>,
    /// Its newest announced file.
    pub last_announcement: Option<TaskId>,
}

/// One file that the mesh knows of, for the operator and for audits.
#[derive(Clone, Debug, Serialize)]
pub struct FileView {
    /// Task and producer.
    pub file: FileId,
    /// The digest that was announced first, if any was.
    pub announced: Option<Digest>,
    /// The certified digest.
    pub certified: Option<Digest>,
    /// Attesters by digest.
    pub attesters: Vec<(Digest, Vec<Hotkey>)>,
}
