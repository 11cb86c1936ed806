//! Announcements, attestations, certificates and evidence: what the mesh agrees on.
//!
//! What is held here only grows, and every piece proves itself by its signatures. So the order of
//! arrival does not matter: two validators that hold the same pieces hold the same certificates and
//! the same evidence.
//!
//! Why no two honest validators certify different digests of one file: a certificate needs more
//! than two thirds of the task's allowlist, and an honest validator attests to one digest of a file
//! only (the signing guard sees to that). So two certificates need more than a third of the
//! validators to sign twice.

mod intake;
mod inventory;
mod reading;
mod record;
#[cfg(test)]
mod tests;

pub(super) use intake::{Agreement, Taken};
