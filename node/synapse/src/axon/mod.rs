//! Answering synapses.
//!
//! | step | refused with | file |
//! |---|---|---|
//! | a bounded number of connections, each with a time for its headers | – | `serve.rs` |
//! | the path is a synapse, the method `POST` | 404, 405 | `desk.rs` |
//! | headers | 400, 401, 431 | `leoma_protocol::synapse::RequestHead` |
//! | is this hotkey served? | 403 | the callback |
//! | fresh, signed, not a replay | 401 | `RequestHead`, `NonceStore` |
//! | a place: few for each hotkey, a bounded number in all | 429, 503 | `places.rs` |
//! | the body: bounded while it streams, and in time | 400, 408, 413 | `desk.rs` |
//! | the body is the one that was signed | 401 | `VerifiedHead::check_body` |
//! | the answer, in the caller's time | 500, 504 | [`Forward`] |
//!
//! A place is taken after the signature is checked, so nobody can take another hotkey's places, and
//! is kept until the answer is written. Bodies are read with a place only: in all there are never
//! more than `places` of them in memory. Of a request that is refused before, a short body is read
//! and dropped, so that its caller reads the refusal.

mod desk;
mod places;
mod serve;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leoma_protocol::synapse::{CallerUuid, Fields, NonceStore, Refusal, SynapseClass};
use leoma_protocol::{Hotkey, HotkeySigner};

use self::places::Places;
use crate::clock;

/// What one axon may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxonLimits {
    /// Connections in all; the next one waits.
    pub connections: usize,
    /// Connections from one address; the next one is closed. Loopback has no such bound, because a
    /// proxy on this machine brings everybody's connections.
    pub connections_of_one: usize,
    /// How long a connection may take for its request's headers.
    pub header_time: Duration,
    /// Requests under way in all; the next one waits for as long as its own time-out allows.
    pub places: usize,
    /// Requests under way of one hotkey; the next one is refused. Callers that mean harm can hold
    /// this many places each, so `places` should be several times what they could hold together.
    pub places_of_one: usize,
    /// Longest body of a request in bytes.
    pub body_bytes: usize,
    /// How long a body may take.
    pub body_time: Duration,
    /// Longest time-out that a caller is granted.
    pub longest_timeout: Duration,
}

impl Default for AxonLimits {
    fn default() -> Self {
        Self {
            // Far below the usual limit of open files.
            connections: 512,
            // A validator asks with one connection for each request under way.
            connections_of_one: 16,
            header_time: Duration::from_secs(10),
            // With 4 places each, 64 callers would have to misbehave together.
            places: 256,
            places_of_one: 4,
            // Prompts and addresses; a mechanism that sends audio sets more.
            body_bytes: 1024 * 1024,
            body_time: Duration::from_secs(10),
            longest_timeout: Duration::from_secs(180),
        }
    }
}

/// A request that was verified and is answered now.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks: the hotkey that signed, never one that the body names.
    pub caller: Hotkey,
    /// The synapse's fields, each of its type.
    pub fields: Fields,
    /// How long the caller waits from now on.
    pub remaining: Duration,
}

/// Answers one class of synapses.
#[async_trait::async_trait]
pub trait Forward: Send + Sync + 'static {
    /// The mutable fields, filled in. Is dropped when the caller's time is over or the caller is
    /// gone.
    ///
    /// # Errors
    /// A refusal, which is sent to the caller.
    async fn forward(&self, call: Call) -> Result<Fields, Refusal>;
}

type Serves = Box<dyn Fn(&Hotkey) -> Result<(), &'static str> + Send + Sync>;

/// An axon: answers requests that their callers signed, and no others.
pub struct Axon {
    signer: HotkeySigner,
    hotkey: Hotkey,
    uuid: CallerUuid,
    limits: AxonLimits,
    serves: Serves,
    routes: HashMap<&'static str, (SynapseClass, Arc<dyn Forward>)>,
    nonces: Mutex<NonceStore>,
    places: Arc<Places>,
}

impl fmt::Debug for Axon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<_> = self.routes.keys().collect();
        f.debug_struct("Axon")
            .field("hotkey", &self.hotkey)
            .field("limits", &self.limits)
            .field("routes", &routes)
            .finish_non_exhaustive()
    }
}

impl Axon {
    /// An axon that serves nothing yet. `serves` says for each hotkey whether it is served, and
    /// why not: registered, say, with enough stake. It is asked before anything is verified, so it
    /// must be quick.
    pub fn new(
        signer: HotkeySigner,
        limits: AxonLimits,
        serves: impl Fn(&Hotkey) -> Result<(), &'static str> + Send + Sync + 'static,
    ) -> Self {
        Self {
            hotkey: signer.hotkey(),
            signer,
            uuid: CallerUuid::from_random(rand::random()),
            limits,
            serves: Box::new(serves),
            routes: HashMap::new(),
            nonces: Mutex::new(NonceStore::new(clock::now(), limits.longest_timeout)),
            places: Places::new(limits.places, limits.places_of_one),
        }
    }

    /// The same axon, which also answers `class`.
    #[must_use]
    pub fn route(mut self, class: SynapseClass, forward: impl Forward) -> Self {
        self.routes.insert(class.name, (class, Arc::new(forward)));
        self
    }
}
