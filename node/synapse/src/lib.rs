//! Asking miners and being asked, as Bittensor's SDK (10.2.0) does.
//!
//! What goes over the wire, and every check of it, is in [`leoma_protocol::synapse`]; this crate
//! adds sockets, time and limits.
//!
//! | part | file |
//! |---|---|
//! | asking: [`Dendrite`] | `dendrite.rs` |
//! | being asked: [`Axon`] | `axon/` |
//! | bodies of strangers | `bounded.rs` |
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::sync::Arc;
//! use std::time::Duration;
//! use leoma_protocol::synapse::{Field, FieldKind, Fields, Question, Refusal, SynapseClass, Target};
//! use leoma_protocol::{HotkeySigner, MemoryGuard};
//! use leoma_synapse::{Axon, AxonLimits, Call, Dendrite, Forward, Outcome};
//! use sp_core::{Pair, sr25519};
//!
//! const ECHO: SynapseClass = SynapseClass {
//!     name: "Echo",
//!     fields: &[Field::new("text", FieldKind::Text), Field::new("reply", FieldKind::Text).mutable()],
//!     hashed: &["text"],
//! };
//! struct Echo;
//! #[async_trait::async_trait]
//! impl Forward for Echo {
//!     async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
//!         Ok(Fields::from([("reply", call.fields["text"].clone())]))
//!     }
//! }
//! let signer = |seed| {
//!     let pair = sr25519::Pair::from_seed(&[seed; 32]);
//!     HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
//! };
//!
//! let validator = signer(1).hotkey();
//! let served = move |caller: &_| if *caller == validator { Ok(()) } else { Err("no validator") };
//! let axon = Axon::new(signer(2), AxonLimits::default(), served).route(ECHO, Echo);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let port = listener.local_addr()?.port();
//! let stop = tokio_util::sync::CancellationToken::new();
//! let serving = tokio::spawn(axon.serve(listener, stop.clone()));
//!
//! // Miners' addresses are public; this one is on loopback.
//! let dendrite = Dendrite::new(reqwest::Client::builder(), signer(1), None, |_ip| true)?;
//! let fields = Fields::from([("text", "hello".into()), ("reply", "".into())]);
//! let question = Question::new(&ECHO, &fields, Duration::from_secs(12))?;
//! let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey: signer(2).hotkey() };
//! let answer = dendrite.ask(&question, &target, 1 << 20).await;
//! let Outcome::Filled(fields) = answer.outcome else { panic!("{}", answer.outcome) };
//! assert_eq!(fields["reply"].as_str(), Some("hello"));
//! stop.cancel();
//! serving.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod axon;
mod bounded;
mod clock;
mod dendrite;

pub use axon::{Axon, AxonLimits, Call, Forward};
pub use dendrite::{Answer, Dendrite, Outcome};
