//! The mesh's decisions, without IO.
//!
//! [`Core`] is told what happened ([`Event`]) and when, and returns what to do ([`Effect`]). It
//! opens no socket, reads no clock, and draws its randomness from a seed. So the shell can drive
//! it over libp2p, and a simulation can drive hundreds of cores over a simulated network.
//!
//! | subject | file |
//! |---|---|
//! | what goes in and what comes out | `event.rs`, `effect.rs`, `mesh_event.rs` |
//! | the state, and which part handles which event | `state.rs` |
//! | connections and membership | `peer.rs`, `peers.rs` |
//! | hellos | `hellos.rs` |
//! | access grants | `grants.rs` |
//! | gossip and catch-up | `gossip.rs`, `catchup.rs`, `pages.rs` |
//! | announcements, attestations, certificates, evidence, disputes | `agreement/` |
//! | what validators say of miners | `reports.rs` |
//! | what the validator counts with | `holdings.rs` |
//! | beacons and one-sided links | `links.rs` |
//! | redials and the address book | `dialer.rs` |
//! | allowlists, parameters and the head | `chain_view.rs` |
//! | our own messages | `publishing.rs`, `outbox.rs` |
//! | scores and bans | `conduct.rs`, `scores.rs` |
//! | how much each validator may say | `allowances.rs` |
//! | what the passing of time does | `time.rs` |
//! | whether another machine uses our hotkey | `voice.rs` |
//! | what the operator sees | `queries.rs`, `views.rs`, `counts.rs` |

mod agreement;
mod allowances;
mod catchup;
mod chain_view;
mod conduct;
mod counts;
mod dialer;
mod effect;
mod event;
mod gossip;
mod grants;
mod hellos;
mod holdings;
pub mod limits;
mod links;
mod mesh_event;
mod outbox;
mod pages;
mod peer;
mod peers;
mod publishing;
mod queries;
mod reports;
mod scores;
mod state;
mod time;
mod views;
mod voice;

pub use catchup::{CatchupPage, CatchupRequest, Cursor, FileState};
pub use counts::{Counts, Judged};
pub use effect::{Effect, Judgement, Parting};
pub use event::{DialTarget, Event, Offence, Token};
pub use holdings::Holdings;
pub use limits::Timing;
pub use mesh_event::{KnownPeer, MeshEvent, RefusedBy, Restored};
pub use outbox::Published;
pub use state::{Core, CoreConfig};
pub use views::{FileView, PeerView};
pub use voice::Voice;
