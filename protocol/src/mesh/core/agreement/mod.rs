//! Announcements, attestations, certificates, evidence and disputes: what the mesh agrees on.
//!
//! What is held here only grows, and every piece proves itself by its signatures. So the order of
//! arrival does not matter: two validators that hold the same pieces hold the same certificates and
//! the same evidence.
//!
//! Why no two honest validators certify different digests of one file: a certificate needs a
//! quorum of the task's allowlist, two quorums share more validators than may lie, and an honest
//! validator attests to one digest of a file only (the signing guard sees to that).

mod disputes;
mod intake;
mod inventory;
mod reading;
mod record;
#[cfg(test)]
mod tests;

pub(super) use intake::{Agreement, Taken};
pub(super) use inventory::TaskDigest;
