//! Which loops a process runs.

/// Which loops a process runs. Every process has the mesh, the library and the HTTP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Validate miners and sample on our turn.
    pub sampler: bool,
    /// Set weights.
    pub weights: bool,
    /// Send no transaction, but name each in the log.
    pub rehearses: bool,
}

impl Parts {
    /// A whole validator.
    pub(crate) const ALL: Self = Self { sampler: true, weights: true, rehearses: false };
}
