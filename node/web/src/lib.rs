//! What a validator serves over HTTP: pages, the API of the subnet's dashboards, health and
//! metrics. It knows nothing of the validator itself: whatever it shows comes from a [`Source`].
//!
//! | file or folder | subject |
//! |---|---|
//! | `source.rs` | the traits behind everything that is shown, and the steps of the start |
//! | `view/` | what is known at one moment, counted once |
//! | `board.rs` | what validators and administrators post |
//! | `validity.rs` | whether a miner may be sampled, by our own check or by reports |
//! | `site.rs` | what all handlers share |
//! | `access/` | signed calls, requests per address |
//! | `api/` | the dashboards' API, and its OpenAPI document |
//! | `pages/` | the pages |
//! | `media.rs`, `events.rs` | videos in ranges; live updates |
//! | `operator.rs` | health, readiness, metrics and status, for the operator alone |
//! | `listener.rs`, `headers.rs`, `server.rs` | connections, headers, and the two servers |

mod access;
mod api;
mod board;
mod events;
mod headers;
mod listener;
mod media;
mod operator;
mod pages;
mod server;
mod site;
mod source;
pub mod testing;
mod validity;
pub mod view;

pub use api::openapi_json;
pub use board::{
    Blacklisted, Board, BoardError, PostedSample, Report, ReportedMiner, Sample, WantedSamples,
};
pub use server::{Audience, ListenError, bind, serve};
pub use site::{Site, SiteSettings, iso_now};
pub use source::{Media, MediaObject, Progress, ReadyCheck, Source, Start, Subnet, Unavailable};
