//! Checks of where the validator listens and is reached, and of its folder of state.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::multiaddr::Protocol;
use leoma_storage::is_public;

use super::check::Check;
use crate::config::Config;
use crate::subnet::axon_of;

const EXTERNAL: &str = "mesh address";
const LISTEN: &str = "mesh port";
const HTTP: &str = "http port";
const STATE: &str = "state folder";

/// All of them. Ports are tried and freed again.
pub(super) fn check(config: &Config) -> Vec<Check> {
    let mut checks = vec![state(config)];
    let http = config.machine.http_listen;
    checks.push(match TcpListener::bind(http) {
        Ok(_) => Check::pass(HTTP, http.to_string()),
        Err(error) => taken(HTTP, http, "LEOMA_HTTP_LISTEN", &error),
    });
    checks.extend(config.mesh.listen.iter().filter_map(listen));
    checks.extend(external(&config.mesh.external, in_container()));
    checks
}

/// Whether this runs in a container, by the files that Docker and Podman put there.
fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| std::path::Path::new(path).exists())
}

fn taken(name: &'static str, place: impl Display, setting: &str, error: &std::io::Error) -> Check {
    if error.kind() == ErrorKind::AddrInUse {
        let finding =
            format!("{place} is in use: by a validator that runs already, or another program");
        Check::warn(name, finding, format!("stop that program, or set {setting}"))
    } else {
        Check::fail(name, format!("{place}: {error}"), format!("set {setting}"))
    }
}

/// Whether a mesh address can be listened on; `None` for one that is not an IP address and a port.
fn listen(address: &Multiaddr) -> Option<Check> {
    let (ip, port, is_tcp) = ip_and_port(address)?;
    let socket = SocketAddr::new(ip, port);
    let bound = if is_tcp {
        TcpListener::bind(socket).map(drop)
    } else {
        UdpSocket::bind(socket).map(drop)
    };
    Some(match bound {
        Ok(()) => Check::pass(LISTEN, address.to_string()),
        Err(error) => taken(LISTEN, address, "LEOMA_MESH_LISTEN", &error),
    })
}

fn ip_and_port(address: &Multiaddr) -> Option<(IpAddr, u16, bool)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some((ip, port, true)),
        Protocol::Udp(port) => Some((ip, port, false)),
        _ => None,
    }
}

/// Whether the addresses that peers learn reach this machine from elsewhere.
fn external(addresses: &[Multiaddr], in_container: bool) -> Vec<Check> {
    let mut checks: Vec<Check> = addresses.iter().filter_map(private).collect();
    if addresses.is_empty() {
        let finding = "LEOMA_MESH_EXTERNAL is not set: peers learn the addresses that this machine sees itself under";
        let next_step =
            "in a container they lead nowhere: set it to the public address and the mapped port";
        checks.push(if in_container {
            Check::warn(EXTERNAL, finding, next_step)
        } else {
            Check::pass(EXTERNAL, finding)
        });
    } else if axon_of(addresses).is_none() {
        let finding = "no address of LEOMA_MESH_EXTERNAL has an IP address and a port: none is written to the chain";
        let next_step = "add one such as /ip4/203.0.113.7/tcp/4070; names reach only peers that learn them otherwise";
        checks.push(Check::warn(EXTERNAL, finding, next_step));
    }
    if checks.is_empty() {
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        checks.push(Check::pass(EXTERNAL, shown.join(", ")));
    }
    checks
}

fn private(address: &Multiaddr) -> Option<Check> {
    let (ip, ..) = ip_and_port(address)?;
    let what = private_kind(ip)?;
    Some(Check::warn(
        EXTERNAL,
        format!("{address} is {what}: validators elsewhere cannot reach it"),
        "set LEOMA_MESH_EXTERNAL to the public address and the mapped port",
    ))
}

/// What kind of address this is, if it is not one of the public internet.
fn private_kind(ip: IpAddr) -> Option<&'static str> {
    if is_public(ip) {
        return None;
    }
    Some(match ip {
        IpAddr::V4(ip) if ip.is_loopback() => "this machine's own",
        IpAddr::V4(ip) if ip.octets()[0] == 172 && ip.octets()[1] == 17 => {
            "a container's own, on Docker's bridge"
        }
        IpAddr::V4(ip) if ip.octets()[0] == 100 => "a carrier's or an overlay network's",
        IpAddr::V4(ip) if ip.is_link_local() => "of one link only",
        IpAddr::V6(ip) if ip.is_loopback() => "this machine's own",
        IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => "of one link only",
        _ => "private",
    })
}

/// Whether the state can be kept: without it nothing is signed.
fn state(config: &Config) -> Check {
    let folder = &config.machine.state_dir;
    let next_step =
        "make the folder writable for this user (in a container, the volume of LEOMA_STATE_DIR)";
    // A folder that is not there yet is made at the start, in its nearest ancestor.
    let Some(existing) = folder.ancestors().find(|at| at.is_dir()) else {
        return Check::fail(STATE, format!("{}: no such folder", folder.display()), next_step);
    };
    match tempfile_in(existing) {
        Ok(()) => Check::pass(STATE, folder.display().to_string()),
        Err(error) => Check::fail(
            STATE,
            format!("{} cannot be written: {error}", existing.display()),
            next_step,
        ),
    }
}

/// Writes a small file and removes it.
fn tempfile_in(folder: &std::path::Path) -> std::io::Result<()> {
    let path = folder.join(format!(".leoma-preflight-{}", std::process::id()));
    let written = std::fs::write(&path, b"preflight");
    let _gone_or_never_there = std::fs::remove_file(&path);
    written
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Fail, Pass, Warn};
    use super::*;

    fn parsed(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn f7_addresses_that_lead_nowhere_from_elsewhere_are_warned_of() {
        for (address, part) in [
            ("/ip4/172.17.0.2/tcp/4070", "Docker"),
            ("/ip4/10.0.0.5/tcp/4070", "private"),
            ("/ip4/100.64.0.1/udp/4070/quic-v1", "overlay"),
            ("/ip6/fe80::1/tcp/4070", "one link"),
            ("/ip4/127.0.0.1/tcp/4070", "this machine's own"),
            ("/dns4/a.example/tcp/4070", "no address of LEOMA_MESH_EXTERNAL has an IP"),
        ] {
            let checks = external(&parsed(&[address]), false);
            assert!(checks[0].outcome == Warn && checks[0].finding.contains(part), "{}", checks[0]);
            assert!(checks[0].next_step.is_some());
        }
        let good = external(&parsed(&["/ip4/8.8.8.8/tcp/4070", "/dns4/a.example/tcp/4070"]), true);
        assert_eq!((good.len(), good[0].outcome), (1, Pass));
        assert_eq!([true, false].map(|inside| external(&[], inside)[0].outcome), [Warn, Pass]);
    }

    #[test]
    fn f3_a_port_that_is_taken_is_named_with_its_setting() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for address in [
            format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr().unwrap().port()),
            format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.local_addr().unwrap().port()),
        ] {
            let check = listen(&address.parse().unwrap()).unwrap();
            assert!(check.outcome == Warn && check.finding.contains(&address), "{check}");
            assert!(check.next_step.unwrap().contains("LEOMA_MESH_LISTEN"));
        }
    }

    #[test]
    fn b12_a_state_folder_that_cannot_be_written_is_named_with_the_next_step() {
        // Not even root makes a file there.
        let environment = [("LEOMA_STATE_DIR".to_owned(), "/proc/leoma".to_owned())].into();
        let sources = crate::config::Sources { environment, ..Default::default() };
        let check = state(&Config::load(&sources).unwrap());
        assert!(check.outcome == Fail && check.finding.contains("/proc"), "{check}");
        assert!(check.next_step.as_ref().unwrap().contains("LEOMA_STATE_DIR"), "{check}");
        // Nor does a start get as far as signing.
        let network = leoma_protocol::Network {
            genesis: leoma_protocol::Digest::of(b"g"),
            netuid: leoma_protocol::Netuid(99),
        };
        let hotkey = leoma_protocol::Hotkey::from_bytes([1; 32]);
        let path = std::path::Path::new("/proc/leoma");
        let refused = crate::state::State::open(path, network, hotkey).err().unwrap().to_string();
        assert!(refused.contains("/proc/leoma"), "{refused}");
    }
}
