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
//! need `/dev/net/tun` too, home routers need `nft` of nftables. The first call that needs what
//! is missing fails with an error that names it.

mod error;
mod forward;
mod home;
mod namespace;
mod network;
mod relay;

pub use error::NetworkError;
pub use forward::{Forwarder, Place, forward};
pub use home::Home;
pub use namespace::Namespace;
pub use network::Network;
pub use relay::{Impaired, Impairment};
