//! The arguments of `leoma-testnet bench-mesh`.

/// Measures a mesh of real validators on this machine: delay, bytes on the wire, memory.
///
/// Starts one process for each validator, waits until all are connected, measures an idle mesh,
/// then announcements, then announcements that are fetched, attested to and certified. Takes about
/// three minutes. The exit code is 0 when every target is met, and 1 otherwise: a machine that is
/// busy with other work misses some.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchMeshArgs {
    /// Validators.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=64))]
    pub(super) validators: u16,
    /// Announcements whose spread is measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4000))]
    pub(super) announcements: u32,
    /// Announcements that are followed until all hold the certificate.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) certificates: u32,
    /// Milliseconds between two announcements.
    #[arg(long, default_value_t = 250)]
    pub(super) pause: u64,
    /// Seconds for which a connected mesh comes to rest before anything is measured: a few
    /// heartbeats and beacons.
    #[arg(long, default_value_t = 15)]
    pub(super) settle: u64,
    /// Seconds for which the idle mesh is measured.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) idle: u64,
    /// Bytes of a verdict file; 32 KiB is that of some fifty miners.
    #[arg(long, default_value_t = 32 * 1024, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub(super) file_bytes: u32,
    /// Writes the whole result as JSON instead of a table.
    #[arg(long)]
    pub(super) json: bool,
}
