//! Why a network cannot be made or changed.

use std::path::PathBuf;

/// Most hosts: each has a third byte of its own.
pub(super) const MAX_HOSTS: usize = 200;

/// Why a network cannot be made or changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum NetworkError {
    /// The kernel refuses a namespace.
    #[error("cannot make a network namespace: {0} (this needs root)")]
    Namespace(std::io::Error),
    /// A thread could not be started or died.
    #[error("cannot start a thread for a network namespace: {0}")]
    Thread(std::io::Error),
    /// `ip` is missing.
    #[error("cannot run `ip` of iproute2: {0}")]
    NoIp(std::io::Error),
    /// `ip` refuses a command.
    #[error("`ip {command}` failed: {reason}")]
    Ip { command: String, reason: String },
    /// The rules of a home router cannot be loaded.
    #[error("cannot load a home router's rules with `nft` of nftables: {0}")]
    Rules(String),
    /// A setting of the kernel cannot be written.
    #[error("{path}: {source}")]
    Setting { path: PathBuf, source: std::io::Error },
    /// No TUN device.
    #[error("cannot open a TUN device at /dev/net/tun: {0}")]
    Tun(std::io::Error),
    /// A socket in a namespace cannot be opened.
    #[error("cannot listen at {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    /// There is no such host.
    #[error("the network has no host {0}")]
    NoHost(usize),
    /// More hosts than addresses.
    #[error("a network has at most {MAX_HOSTS} hosts")]
    TooMany,
}
