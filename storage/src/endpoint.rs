//! Endpoints, and how far they are trusted: a peer's endpoint must not lead into our own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Longest endpoint that is parsed; R2's have 70 characters.
const MAX_ENDPOINT: usize = 256;
/// What R2's hosts end in, after the account and, for some buckets, a jurisdiction.
const R2_HOSTS: &str = ".r2.cloudflarestorage.com";
/// Names that resolve inside a machine or a private network by convention.
const PRIVATE_SUFFIXES: [&str; 6] =
    ["localhost", "local", "internal", "lan", "home.arpa", "localdomain"];

/// Who named an endpoint, and so where it may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointPolicy {
    /// A peer named it: `https` to public addresses only.
    Public,
    /// A peer named it, on a subnet in a local network: also `http` or `https` to loopback
    /// addresses.
    Loopback,
    /// The operator named it: any `http` or `https` address.
    Trusted,
}

impl EndpointPolicy {
    /// The policy for peers' endpoints: public ones, or this machine's too where the operator says
    /// that the whole subnet is in a local network. Where our own bucket is says nothing about
    /// that: its endpoint may well be a gateway on this machine.
    pub const fn for_peers(local_network: bool) -> Self {
        if local_network { Self::Loopback } else { Self::Public }
    }
}

/// An endpoint that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint `{endpoint}` is refused: {reason}")]
pub struct EndpointError {
    /// The refused text, without its query and cut to 80 characters.
    pub endpoint: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The address of the S3 service that holds `bucket`, `https://host[:port]`, from what people
/// paste: without a scheme it is https, and the bucket's own name, which dashboards show as a path
/// or in front of the host, is left out.
///
/// # Errors
/// [`EndpointError`] for anything that is not such an address.
pub fn service_address(text: &str, bucket: &str) -> Result<String, EndpointError> {
    let url = parse_endpoint(text, bucket, EndpointPolicy::Trusted)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// As [`service_address`], checked against `policy`.
pub(crate) fn parse_endpoint(
    text: &str,
    bucket: &str,
    policy: EndpointPolicy,
) -> Result<Url, EndpointError> {
    let refuse = |reason| EndpointError {
        // What precedes an `@` is mostly a password.
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
    let text = text.trim();
    let parsed = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("https://{text}"))
    };
    let mut url =
        parsed.map_err(|_| refuse("not a URL such as https://account.r2.cloudflarestorage.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refuse("neither http:// nor https:// with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("a user name or password in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a query or fragment in it"));
    }
    let path = url.path().trim_matches('/');
    if !path.is_empty() && path != bucket {
        return Err(refuse(
            "its path is not the bucket's name; write the endpoint without a path, as the bucket has a setting of its own",
        ));
    }
    url.set_path("");
    if let Some(service) = url.host_str().and_then(|host| without_bucket(host, bucket)) {
        let service = service.to_owned();
        url.set_host(Some(&service)).map_err(|_| refuse("no host"))?;
    }
    check_reach(&url, policy).map_err(refuse)?;
    Ok(url)
}

/// The host of a service whose dashboard puts the bucket's name in front of it; `None` for any
/// other host, which may begin with that word by chance.
fn without_bucket<'a>(host: &'a str, bucket: &str) -> Option<&'a str> {
    let service = host.strip_prefix(bucket)?.strip_prefix('.')?;
    let is_r2 = service.ends_with(R2_HOSTS) && service.len() > R2_HOSTS.len();
    (is_r2 || service.starts_with("s3.") || service.starts_with("s3-")).then_some(service)
}

/// Whether `policy` allows a request to `url`, as far as its text shows.
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
    // A name without a dot is resolved in the machine's search domains.
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
    // Only 2000::/3 is assigned. In it, 2001::/23 is for tunnels and tests, and 2002::/16 embeds
    // any IPv4 address.
    first & 0xe000 == 0x2000
        && first != 0x2002
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> Result<Url, EndpointError> {
        parse_endpoint(text, "leoma-peer", EndpointPolicy::Public)
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
        let parse = |text, policy| parse_endpoint(text, "leoma-peer", policy);
        assert!(parse("http://127.0.0.1:9000", EndpointPolicy::Loopback).is_ok());
        assert!(parse("http://10.0.0.1:9000", EndpointPolicy::Loopback).is_err());
        assert!(parse("http://minio:9000", EndpointPolicy::Trusted).is_ok());
        assert_eq!(EndpointPolicy::for_peers(true), EndpointPolicy::Loopback);
        assert_eq!(EndpointPolicy::for_peers(false), EndpointPolicy::Public);
    }

    #[test]
    fn c3_d1_endpoints_are_taken_as_people_paste_them() {
        let r2 = "https://acct.r2.cloudflarestorage.com";
        for (pasted, service) in [
            ("acct.r2.cloudflarestorage.com", r2),
            ("https://acct.r2.cloudflarestorage.com/leoma-source", r2),
            ("https://acct.r2.cloudflarestorage.com/leoma-source/", r2),
            ("https://leoma-source.acct.r2.cloudflarestorage.com", r2),
            (" https://ACCT.R2.cloudflarestorage.com// ", r2),
            ("acct.eu.r2.cloudflarestorage.com", "https://acct.eu.r2.cloudflarestorage.com"),
            ("s3.hippius.com", "https://s3.hippius.com"),
            ("leoma-source.s3.eu-central-1.amazonaws.com", "https://s3.eu-central-1.amazonaws.com"),
            // By chance the same word: no service is known to be named like this.
            ("https://leoma-source.example.com", "https://leoma-source.example.com"),
            ("http://127.0.0.1:9000/leoma-source", "http://127.0.0.1:9000"),
        ] {
            assert_eq!(service_address(pasted, "leoma-source").unwrap(), service, "{pasted}");
        }
        for refused in [
            "https://acct.r2.cloudflarestorage.com/other-bucket",
            "https://acct.r2.cloudflarestorage.com/leoma-source/folder",
            "\"https://acct.r2.cloudflarestorage.com\"",
            "ftp://acct.r2.cloudflarestorage.com",
            "https://",
        ] {
            assert!(service_address(refused, "leoma-source").is_err(), "{refused}");
        }
        let error = service_address("https://a.example/other", "leoma-source").unwrap_err();
        assert!(error.to_string().contains("its path is not the bucket's name"), "{error}");
    }

    #[test]
    fn errors_show_no_password() {
        let error = public("https://user:hunter2@example.com").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
