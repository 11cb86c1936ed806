//! The requests of Bittensor's SDK (10.2.0), as pure functions: no IO, no clock.
//!
//! A *dendrite* asks, an *axon* answers, and the *synapse* is the document that both fill in.
//! Sockets, time-outs and limits on concurrency are in the crate `leoma-synapse`.
//!
//! | file | subject |
//! |---|---|
//! | `class.rs` | the fields of a synapse, and reading them from a stranger's JSON |
//! | `document.rs` | the headers and the body that both sides write |
//! | `body_hash.rs` | the hash of the fields that a signature covers |
//! | `signed.rs` | the two signed texts |
//! | `uuid.rs` | the identifier of a process, which is part of them |
//! | `request.rs` | a signed request |
//! | `head.rs` | reading a request's headers: claimed first, then verified |
//! | `nonces.rs` | each nonce once |
//! | `answer.rs` | an axon's answers |
//! | `refusal.rs` | each reason to refuse, with its HTTP status |
//!
//! ```
//! use std::sync::Arc;
//! use leoma_protocol::python_json::Value;
//! use leoma_protocol::synapse::{Caller, CallerUuid, Field, FieldKind, Fields};
//! use leoma_protocol::synapse::{Question, RequestHead, SynapseClass, Target};
//! use std::time::Duration;
//! use leoma_protocol::{HotkeySigner, MemoryGuard};
//! use sp_core::{Pair, sr25519};
//!
//! const ECHO: SynapseClass = SynapseClass {
//!     name: "Echo",
//!     fields: &[Field::new("text", FieldKind::Text), Field::new("reply", FieldKind::Text).mutable()],
//!     hashed: &["text"],
//! };
//! let signer = |seed| {
//!     let pair = sr25519::Pair::from_seed(&[seed; 32]);
//!     HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
//! };
//! let (us, miner) = (signer(1), signer(2).hotkey());
//! let caller = Caller { ip: None, uuid: CallerUuid::from_random([7; 16]) };
//! let target = Target { ip: [203, 0, 113, 7].into(), port: 8091, hotkey: miner };
//! let fields = Fields::from([("text", "hello".into()), ("reply", "".into())]);
//! let question = Question::new(&ECHO, &fields, Duration::from_secs(12))?;
//! let request = question.sign(&target, &caller, 1_760_000_000_000_000_000, &us);
//!
//! let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
//! let head = RequestHead::read(&ECHO, &miner, headers)?.verify(&miner)?;
//! assert_eq!(head.caller(), us.hotkey());
//! let received = ECHO.read_body(&request.body)?;
//! head.check_body(&ECHO, &received)?;
//! assert_eq!(received["text"], Value::from("hello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod body_hash;
mod class;
mod document;
mod head;
mod nonces;
mod refusal;
mod request;
mod signed;
mod uuid;

pub use answer::{AxonStamp, SynapseAnswer};
pub use body_hash::BodyHash;
pub use class::{
    BodyFault, Field, FieldKind, Fields, MAX_ANSWER_VALUES, MAX_REQUEST_VALUES, SynapseClass,
};
pub use head::{MAX_HEADER_BYTES, MAX_HEADERS, RequestHead, VerifiedHead};
pub use nonces::{MAX_CALLERS, MAX_NONCES_OF_ONE, NonceStore};
pub use refusal::Refusal;
pub use request::{BuildError, Caller, Question, SynapseRequest, Target};
pub use uuid::CallerUuid;
