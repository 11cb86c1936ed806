//! Why a network cannot be made or changed.

use std::path::PathBuf;

/// Most hosts: each has a third byte of its own.
pub(super) const MAX_HOSTS: usize = 200;

/// Why a network cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refuses a namespace.
    #[error("no network namespace: {0} (this needs root)")]
    Namespace(std::io::Error),
    /// A thread could not be started or died.
    #[error("no thread for a network namespace: {0}")]
    Thread(std::io::Error),
    /// `ip` is missing.
    #[error("`ip` of iproute2 does not run: {0}")]
    NoIp(std::io::Error),
    /// `ip` refuses a command.
    #[error("`ip {command}` failed: {reason}")]
    Ip {
        /// Its arguments.
        command: String,
        /// What it said.
        reason: String,
    },
    /// A home router's rules cannot be had.
    #[error("no rules for a home router from `nft` of nftables: {0}")]
    Rules(String),
    /// A setting of the kernel cannot be written.
    #[error("{path}: {source}")]
    Setting {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No TUN device.
    #[error("no TUN device from /dev/net/tun: {0}")]
    Tun(std::io::Error),
    /// A socket in a namespace cannot be opened.
    #[error("no listener at {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such host.
    #[error("there is no host {0}")]
    NoHost(usize),
    /// More hosts than addresses.
    #[error("at most {MAX_HOSTS} hosts fit a network")]
    TooMany,
}
