//! Where requests may lead: to public addresses, unless the operator says that the subnet is in a
//! local network.
//!
//! A name can resolve to an address of our own network whoever owns it, and redirects can lead
//! there. So the addresses are checked after resolution, miners' endpoints are not followed
//! anywhere, and APIs only within their host.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leoma_storage::{PublicResolver, is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, redirect};
use url::{Host, Url};

/// Longest time to reach a service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A file whose bytes stop for longer than this is requested again.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Most redirects of one request to an API.
const MAX_REDIRECTS: usize = 3;
/// Variables that send requests through a proxy.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// An address that requests must not reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutOfReach {
    /// It is not on the public internet.
    #[error("{0} is not a public address (LEOMA_LOCAL_NETWORK allows local ones)")]
    Private(String),
    /// Nothing is known about it. Only asked where a proxy would resolve the name.
    #[error("{0} cannot be resolved")]
    Unresolved(String),
}

/// Which addresses requests may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    local_network: bool,
    proxied: bool,
}

impl Reach {
    /// Public addresses, and any other too where the whole subnet is in a local network.
    pub(crate) fn new(local_network: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self { local_network, proxied: PROXY_VARIABLES.into_iter().any(set) }
    }

    /// A client for APIs: redirects stay on their host.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn api_client(self) -> Result<Client, reqwest::Error> {
        self.builder().redirect(redirect::Policy::custom(within_the_host)).build()
    }

    /// A client for large files: where they lie is another host than the one that names them. Our
    /// key is not sent there.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn file_client(self) -> Result<Client, reqwest::Error> {
        self.builder()
            .read_timeout(READ_TIMEOUT)
            .redirect(redirect::Policy::custom(to_a_safe_scheme))
            .build()
    }

    /// A client for miners' endpoints: a redirect is an answer like any other.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn miner_client(self) -> Result<Client, reqwest::Error> {
        self.builder().redirect(redirect::Policy::none()).build()
    }

    /// The beginning of a client for axons, which [`leoma_synapse::Dendrite`] finishes.
    pub(crate) fn axon_client(self) -> ClientBuilder {
        self.builder()
    }

    fn builder(self) -> ClientBuilder {
        let builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("leoma/", env!("CARGO_PKG_VERSION")));
        if self.local_network {
            return builder;
        }
        // A proxy's own name may well be a local one. Other names that are resolved here are those
        // of hosts that are asked without it: `NO_PROXY` names them, or their scheme has no proxy.
        let proxies = proxy_names(|name| std::env::var(name).ok());
        builder.dns_resolver(Arc::new(Resolver { proxies }))
    }

    /// Whether requests may reach this address.
    pub(crate) fn allows(self, ip: IpAddr) -> bool {
        self.local_network || is_public(ip)
    }

    /// Checks what the client's resolver does not see: addresses written as numbers, and the names
    /// that a proxy resolves.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub(crate) async fn check(self, url: &Url) -> Result<(), OutOfReach> {
        if self.local_network {
            return Ok(());
        }
        let (name, port) = match url.host() {
            Some(Host::Ipv4(ip)) if self.allows(ip.into()) => return Ok(()),
            Some(Host::Ipv6(ip)) if self.allows(ip.into()) => return Ok(()),
            Some(Host::Domain(name)) => (name, url.port_or_known_default().unwrap_or(443)),
            _ => return Err(OutOfReach::Private(url.host_str().unwrap_or_default().to_owned())),
        };
        if !self.proxied {
            return Ok(());
        }
        let unresolved = |_| OutOfReach::Unresolved(name.to_owned());
        let mut found = tokio::net::lookup_host((name, port)).await.map_err(unresolved)?;
        // One private address among public ones is enough for the proxy to pick it.
        match found.find(|address| !self.allows(address.ip())) {
            Some(_) => Err(OutOfReach::Private(name.to_owned())),
            None => Ok(()),
        }
    }
}

/// The hosts that the proxy variables name.
fn proxy_names(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let host = |value: &str| {
        let url = Url::parse(value).ok().filter(Url::has_host);
        // The scheme may be left out.
        let url = url.or_else(|| Url::parse(&format!("http://{value}")).ok());
        url?.host_str().map(str::to_owned)
    };
    PROXY_VARIABLES.into_iter().filter_map(|name| host(variable(name)?.trim())).collect()
}

/// Resolves names to public addresses, and those of our own proxies to any.
#[derive(Clone, Debug)]
struct Resolver {
    proxies: Vec<String>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        if !self.proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(name.as_str())) {
            return PublicResolver.resolve(name);
        }
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The client itself keeps our key from other hosts; a file's address may be secret too.
fn to_a_safe_scheme(redirect: redirect::Attempt<'_>) -> redirect::Action {
    let (asked, url) = (&redirect.previous()[0], redirect.url());
    if redirect.previous().len() > MAX_REDIRECTS {
        redirect.error("too many redirects")
    } else if url.scheme() == asked.scheme() || url.scheme() == "https" {
        redirect.follow()
    } else {
        redirect.stop()
    }
}

/// Another host would be sent our keys, and so would everyone on the way to an unencrypted one.
fn within_the_host(redirect: redirect::Attempt<'_>) -> redirect::Action {
    let (asked, url) = (&redirect.previous()[0], redirect.url());
    let is_safe = url.scheme() == asked.scheme() || url.scheme() == "https";
    if redirect.previous().len() > MAX_REDIRECTS {
        redirect.error("too many redirects")
    } else if is_safe
        && url.host_str() == asked.host_str()
        && url.port_or_known_default() == asked.port_or_known_default()
    {
        redirect.follow()
    } else {
        redirect.stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(local_network: bool, proxied: bool) -> Reach {
        Reach { local_network, proxied }
    }

    #[tokio::test]
    async fn numbers_that_are_private_addresses_are_refused_in_every_spelling() {
        let checked =
            async |url: &str, reach: Reach| reach.check(&Url::parse(url).unwrap()).await.is_ok();
        let public = reach(false, false);
        assert!(checked("https://1.1.1.1/generate", public).await);
        for private in [
            "http://127.0.0.1:9/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.0.0.1/",
            "http://100.64.0.1/",
            "http://[::1]/",
            "http://[::ffff:192.168.0.1]/",
            "http://[fe80::1]/",
        ] {
            assert!(!checked(private, public).await, "{private}");
            assert!(checked(private, reach(true, false)).await, "{private}");
        }
    }

    #[tokio::test]
    async fn behind_a_proxy_names_are_resolved_before_it_sees_them() {
        let local = Url::parse("https://localhost/").unwrap();
        let private = Err(OutOfReach::Private("localhost".into()));
        assert_eq!(reach(false, true).check(&local).await, private);
        assert_eq!(reach(true, true).check(&local).await, Ok(()));
    }

    #[tokio::test]
    async fn a_request_that_passes_the_proxy_by_reaches_no_private_address() {
        for proxied in [false, true] {
            let builder = reach(false, proxied).builder().no_proxy();
            let asked = builder.build().unwrap().get("http://localhost:9/").send().await;
            let error = asked.unwrap_err();
            assert!(crate::outbound::fault_of(&error).contains("no public address"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn only_the_proxies_own_names_may_be_private() {
        let names = |variable: &'static str, value: &'static str| {
            proxy_names(|name| (name == variable).then(|| value.to_owned()))
        };
        assert_eq!(names("HTTPS_PROXY", "http://me:secret@Proxy.lan:3128/"), ["proxy.lan"]);
        assert_eq!(names("http_proxy", " proxy.lan:3128"), ["proxy.lan"]);
        assert_eq!(names("ALL_PROXY", "socks5h://proxy.lan"), ["proxy.lan"]);
        assert_eq!(names("all_proxy", "10.0.0.1:3128"), ["10.0.0.1"]);
        for none in ["", "://"] {
            assert!(names("HTTPS_PROXY", none).is_empty(), "{none}");
        }
        assert!(names("NO_PROXY", "proxy.lan").is_empty());

        let resolved = async |proxies: &[&str]| {
            let proxies = proxies.iter().map(|&name| name.to_owned()).collect();
            Resolver { proxies }.resolve("localhost".parse().unwrap()).await.is_ok()
        };
        assert!(resolved(&["proxy.lan", "LocalHost"]).await);
        assert!(!resolved(&["proxy.lan", "host", "localhost.lan"]).await);
    }

    #[tokio::test]
    async fn without_a_proxy_the_resolver_refuses_names_of_this_machine() {
        let client = reach(false, false).miner_client().unwrap();
        let error = client.get("http://localhost:9/").send().await.unwrap_err();
        assert!(crate::outbound::fault_of(&error).contains("no public address"), "{error:?}");
    }

    #[tokio::test]
    async fn a_dendrite_asks_no_axon_in_our_own_network() {
        use leoma_protocol::synapse::{Question, SynapseClass, Target};
        use leoma_protocol::{HotkeySigner, MemoryGuard};
        use leoma_synapse::{Dendrite, Outcome};
        use sp_core::Pair as _;

        let pair = sp_core::sr25519::Pair::from_seed(&[1; 32]);
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        let hotkey = signer.hotkey();
        let class = SynapseClass { name: "Ping", fields: &[], hashed: &[] };
        let question = Question::new(&class, &Default::default(), Duration::from_secs(5)).unwrap();
        let asked = async |reach: Reach, ip: &str| {
            let allows = move |ip| reach.allows(ip);
            let dendrite = Dendrite::new(reach.builder(), signer.clone(), None, allows).unwrap();
            let target = Target { ip: ip.parse().unwrap(), port: 9, hotkey };
            dendrite.ask(&question, &target, 1000).await.outcome
        };
        for private in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1"] {
            assert_eq!(asked(reach(false, false), private).await, Outcome::OutOfReach, "{private}");
        }
        let local = asked(reach(true, false), "127.0.0.1").await;
        assert_eq!(local, Outcome::Unreachable, "nobody listens there");
    }
}
