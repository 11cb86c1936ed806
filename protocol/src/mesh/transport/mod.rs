//! What the mesh is made of in libp2p: its protocols and their limits.

mod behaviour;
mod gossip;
mod gossip_guard;
mod relay;
mod strangers;
mod wire;

pub(super) use behaviour::{Behaviour, BehaviourEvent, is_dialable, swarm};
pub(super) use gossip::{idents, topic_of};
pub(super) use relay::{Admitted, Vias, is_relayed};
pub(super) use wire::Unreadable;
pub use wire::{
    CATCHUP_PROTOCOL, GRANT_PROTOCOL, GrantAnswer, GrantOffer, HELLO_PROTOCOL, PageAnswer,
    VERDICT_PROTOCOL, VerdictAnswer, VerdictRequest,
};
