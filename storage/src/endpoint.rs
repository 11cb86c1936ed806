//! Endpoints, and how far they are trusted: one that a peer names must not lead into our own
//! network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Longest endpoint that is looked at; R2's have 70 characters.
const MAX_ENDPOINT: usize = 256;
/// Names that resolve inside a machine or a private network by convention.
const PRIVATE_SUFFIXES: [&str; 6] =
    ["localhost", "local", "internal", "lan", "home.arpa", "localdomain"];

/// Whose word an endpoint is, and so where it may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointPolicy {
    /// A peer's word: `https` to public addresses only.
    Public,
    /// A peer's word on a subnet that lives on this machine: also `http` or `https` to loopback
    /// addresses.
    Loopback,
    /// The operator's word: any `http` or `https` address.
    Trusted,
}

impl EndpointPolicy {
    /// What peers may name, given our own bucket's endpoint: a validator whose own bucket is on
    /// loopback (or in memory, or a folder) is part of a subnet on this machine, and its peers'
    /// buckets are there too.
    #[must_use]
    pub fn for_peers_of(own_endpoint: &str) -> Self {
        let on_this_machine = match Url::parse(own_endpoint) {
            Ok(url) => matches!(url.scheme(), "file" | "memory") || is_loopback(&url),
            Err(_) => false,
        };
        if on_this_machine { Self::Loopback } else { Self::Public }
    }
}

/// An endpoint that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint `{endpoint}` is refused: {reason}")]
pub struct EndpointError {
    /// The refused text without its query, cut to a length that a log line bears.
    pub endpoint: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads an S3 endpoint, `https://host[:port]`, and checks it against `policy`.
pub(crate) fn parse_endpoint(text: &str, policy: EndpointPolicy) -> Result<Url, EndpointError> {
    let refuse = |reason| EndpointError {
        // What precedes an `@` is a password more often than not.
        endpoint: text
            .split(['?', '#'])
            .next()
            .unwrap_or_default()
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .escape_debug()
            .take(80)
            .collect(),
        reason,
    };
    if text.len() > MAX_ENDPOINT {
        return Err(refuse("longer than 256 characters"));
    }
    let url = Url::parse(text)
        .map_err(|_| refuse("not a URL such as https://account.r2.cloudflarestorage.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refuse("neither http:// nor https:// with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("a user name or password in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a query or fragment in it"));
    }
    if policy != EndpointPolicy::Trusted && url.path() != "/" {
        return Err(refuse("a path in it; the bucket is named apart"));
    }
    check_reach(&url, policy).map_err(refuse)?;
    Ok(url)
}

/// Whether `policy` lets a request go to `url`, as far as its text tells.
pub(crate) fn check_reach(url: &Url, policy: EndpointPolicy) -> Result<(), &'static str> {
    match policy {
        EndpointPolicy::Trusted => Ok(()),
        EndpointPolicy::Loopback if is_loopback(url) => Ok(()),
        EndpointPolicy::Loopback | EndpointPolicy::Public => {
            if url.scheme() != "https" {
                return Err("not https");
            }
            match url.host() {
                Some(Host::Ipv4(ip)) if !is_public(IpAddr::V4(ip)) => Err("not a public address"),
                Some(Host::Ipv6(ip)) if !is_public(IpAddr::V6(ip)) => Err("not a public address"),
                Some(Host::Domain(name)) if is_private_name(name) => {
                    Err("a name of a private network")
                }
                Some(_) => Ok(()),
                None => Err("no host"),
            }
        }
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn is_private_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A name without a dot is looked up in the machine's own search domains.
    !name.contains('.')
        || PRIVATE_SUFFIXES
            .iter()
            .any(|suffix| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.')))
}

/// Whether `ip` is an address on the public internet (IANA special-purpose registries, RFC 6890 and
/// successors).
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarking = a == 198 && (18..20).contains(&b);
    let protocol_assignments = (a, b, c) == (192, 0, 0);
    let relay_anycast = (a, b, c) == (192, 88, 99);
    !(a == 0
        || a >= 224
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || benchmarking
        || protocol_assignments
        || relay_anycast)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, ..] = ip.segments();
    // Only 2000::/3 is handed out; inside it, 2001::/23 holds tunnels and tests, and 2002::/16
    // wraps any IPv4 address.
    first & 0xe000 == 0x2000
        && first != 0x2002
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> Result<Url, EndpointError> {
        parse_endpoint(text, EndpointPolicy::Public)
    }

    #[test]
    fn peers_reach_public_https_only() {
        assert!(public("https://account.r2.cloudflarestorage.com").is_ok());
        assert!(public("https://1.1.1.1:8443").is_ok());
        for hostile in [
            "http://account.r2.cloudflarestorage.com",
            "https://127.0.0.1",
            "https://2130706433",
            "https://0x7f.1",
            "https://169.254.169.254",
            "https://10.1.2.3",
            "https://100.64.0.1",
            "https://[::1]",
            "https://[::ffff:10.0.0.1]",
            "https://[fd00::1]",
            "https://[2002:7f00:1::]",
            "https://[64:ff9b::7f00:1]",
            "https://localhost",
            "https://router",
            "https://metadata.google.internal",
            "https://db.internal.",
            "https://user:pass@example.com",
            "https://example.com/path",
            "https://example.com?x=1",
            "file:///etc",
            "gopher://example.com",
            "",
        ] {
            assert!(public(hostile).is_err(), "{hostile}");
        }
        assert!(public(&format!("https://{}.com", "a".repeat(300))).is_err());
    }

    #[test]
    fn a_local_subnet_reaches_loopback_and_no_other_private_address() {
        assert!(parse_endpoint("http://127.0.0.1:9000", EndpointPolicy::Loopback).is_ok());
        assert!(parse_endpoint("http://10.0.0.1:9000", EndpointPolicy::Loopback).is_err());
        assert!(parse_endpoint("http://minio:9000", EndpointPolicy::Trusted).is_ok());
        assert_eq!(EndpointPolicy::for_peers_of("http://127.0.0.1:9000"), EndpointPolicy::Loopback);
        assert_eq!(EndpointPolicy::for_peers_of("memory:"), EndpointPolicy::Loopback);
        assert_eq!(
            EndpointPolicy::for_peers_of("https://x.r2.cloudflarestorage.com"),
            EndpointPolicy::Public
        );
    }

    #[test]
    fn errors_show_no_password() {
        let error = public("https://user:hunter2@example.com").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
