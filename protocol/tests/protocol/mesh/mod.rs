//! The mesh: its core in simulations, and whole meshes over real sockets on loopback.

mod agreement;
mod alone;
mod double;
mod harness;
mod holdings;
mod limits;
mod meeting;
mod nat;
mod restart;
mod secrets;
mod simulation;
mod world;
