//! What the measuring process records: certificates, and what the processes use.

use std::time::{Duration, Instant};

use super::node::Announced;

/// A certificate, and when each validator had it.
#[derive(Clone, Debug)]
pub(super) struct Certified {
    pub(super) announced: Announced,
    /// Nanoseconds since 1970.
    pub(super) at: Vec<u64>,
}

/// What all of them have used up to now.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    pub(super) at: Instant,
    /// Bytes that went over the loopback device, IP and transport headers included.
    pub(super) wire_bytes: u64,
    /// Whether nobody else uses that device.
    pub(super) wire_is_ours: bool,
    /// Resident bytes of each process.
    pub(super) resident: Vec<u64>,
    /// Processor time of all processes.
    pub(super) cpu: Duration,
}
