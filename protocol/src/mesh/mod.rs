//! The peer-to-peer mesh of a subnet's validators.
//!
//! [`core`] decides, without IO; `shell` runs it over libp2p, with the protocols and limits in
//! `transport`. A validator holds a [`MeshHandle`] and receives [`MeshEvent`]s. `README.md` beside
//! this file describes the wire format, the checks, and what a failed check leads to.
//!
//! ```no_run
//! # async fn example(signer: leoma_protocol::HotkeySigner, network: leoma_protocol::Network) {
//! use leoma_protocol::ConsensusSchedule;
//! use leoma_protocol::mesh::{Mesh, MeshConfig, libp2p::identity::Keypair};
//! use leoma_protocol::messages::TaskList;
//!
//! let (keypair, consensus) = (Keypair::generate_ed25519(), ConsensusSchedule::production());
//! let list = TaskList { from: 0.into(), interval: 100, validators: vec![signer.hotkey()] };
//! let mut config = MeshConfig::new(keypair, network, consensus.into(), vec![list], signer);
//! config.listen = MeshConfig::listen_on([0, 0, 0, 0].into(), 8091).to_vec();
//! let (handle, mut events) = Mesh::spawn(config).unwrap();
//! while let Some(event) = events.recv().await {
//!     println!("{event:?}");
//! }
//! handle.shutdown().await;
//! # }
//! ```

mod config;
pub mod core;
mod handle;
mod shell;
mod status;
mod transport;

pub use crate::GrantBytes;
pub use config::{MemoryLimit, MeshConfig, MeshError, MeshLimits, Relay};
pub use core::{
    Counts, FileView, Holdings, Judged, KnownPeer, MeshEvent, PeerView, Published, RefusedBy,
    Restored, Timing, Voice,
};
pub use handle::{Acceptance, MeshHandle};
pub use libp2p;
pub use shell::Mesh;
pub use status::{MeshStatus, PeerStatus};
pub use transport::{
    CATCHUP_PROTOCOL, GRANT_PROTOCOL, GrantAnswer, GrantOffer, HELLO_PROTOCOL, PageAnswer,
    VERDICT_PROTOCOL, VerdictAnswer, VerdictRequest,
};
