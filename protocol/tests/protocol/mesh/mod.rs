//! The mesh: its core in simulations, and whole meshes over real sockets on loopback.

mod agreement;
mod double;
mod harness;
mod limits;
mod meeting;
mod nat;
mod restart;
mod secrets;
mod simulation;
mod world;
