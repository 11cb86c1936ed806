//! The mesh: its core in simulations, and whole meshes over real sockets on loopback.

mod absence;
mod agreement;
mod alone;
mod bounds;
mod double;
mod harness;
mod holdings;
mod limits;
mod meeting;
mod month;
mod nat;
mod offload;
mod restart;
mod secrets;
mod simulation;
mod world;
