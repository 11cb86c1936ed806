//! Machines of their own for the processes of a local subnet, each with its own addresses, and a
//! network between them that can be cut, delayed and made lossy.
//!
//! | part | file |
//! |---|---|
//! | one network namespace | `namespace.rs` |
//! | hosts around a router, cuts between them, changed addresses | `network.rs` |
//! | delay and loss | `relay.rs` |
//! | a machine behind a home router (NAT) | `home.rs` |
//! | connections from one namespace into another, such as to the storage | `forward.rs` |
//!
//! Namespaces have no name in the file system: they are held open by this process and by those that
//! run in them, and the kernel removes them, their links and their rules with the last one. So
//! nothing is left behind, whatever kills the process, and nothing of the machine's own network is
//! touched: forwarding is switched on inside the router only. `nsenter --net=/proc/PID/ns/net`
//! enters the namespace of a running process.
//!
//! Needs Linux, root (`CAP_SYS_ADMIN` and `CAP_NET_ADMIN`) and `ip` of iproute2; delay and loss
//! need `/dev/net/tun` too, home routers need `nft` of nftables. What is missing is told by the
//! error of the first call that needs it.

mod forward;
mod home;
mod namespace;
mod network;
mod relay;

pub use forward::{Forwarder, Place, forward};
pub use home::Home;
pub use namespace::Namespace;
pub use network::Network;
pub use relay::{Impaired, Impairment};

use std::path::PathBuf;

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
    #[error("at most {} hosts fit a network", network::MAX_HOSTS)]
    TooMany,
}
