//! A machine behind a home router: it can connect to every host, and no host can connect to it.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::{Namespace, Network, NetworkError};

/// The same in every home, as in reality.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

/// What a home router does: everything inside goes out under the router's address, and only answers
/// come in. Unsolicited packets are dropped silently, even those to the router: an error would
/// end the other side's attempts, and the kernel would remember the packet's ports as taken.
const RULES: &str = "\
table ip home {
  chain out { type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade; }
  chain in { type filter hook input priority filter; iifname \"eth0\" ct state != { established, related } drop; }
  chain through { type filter hook forward priority filter; iifname \"eth0\" ct state != { established, related } drop; }
}
";

/// A machine behind a host of a [`Network`], which is its router.
#[derive(Debug)]
pub struct Home {
    namespace: Namespace,
}

impl Home {
    /// Makes host `router` a home router, with one machine behind it.
    ///
    /// # Errors
    /// [`NetworkError::Rules`] without `nft` of nftables or where the kernel has none; else as
    /// [`Network::new`].
    pub fn behind(network: &Network, router: usize) -> Result<Self, NetworkError> {
        let router = network.namespace(router)?;
        let namespace = Namespace::new()?;
        let path = namespace.path();
        router.set("ipv4/ip_forward", "1")?;
        router.ip(&format!("link add home type veth peer name eth0 netns {path}"))?;
        router.ip(&format!("addr add {ROUTER}/24 dev home"))?;
        router.ip("link set home up")?;
        namespace.ip(&format!("addr add {MACHINE}/24 dev eth0"))?;
        namespace.ip("link set eth0 up")?;
        namespace.ip(&format!("route add default via {ROUTER}"))?;
        router.inside(|| load(RULES))??;
        Ok(Self { namespace })
    }

    /// Where the machine's processes run.
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The machine's address, which nobody outside can use.
    pub const fn address(&self) -> Ipv4Addr {
        MACHINE
    }
}

/// Loads rules of nftables into the calling thread's namespace.
fn load(rules: &str) -> Result<(), NetworkError> {
    let output = Command::new("nft").arg(rules).stdin(Stdio::null()).output();
    let output = output.map_err(|error| NetworkError::Rules(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(NetworkError::Rules(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
