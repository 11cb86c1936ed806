//! Asking the HTTP server of a running validator.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use url::{Host, Url};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Which running validator.
#[derive(Debug, Args)]
pub(super) struct RunningFlags {
    /// Address of the running validator's HTTP server; LEOMA_HTTP_LISTEN if not given.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    http: Option<String>,
}

/// A running validator.
#[derive(Debug)]
pub(super) struct Running {
    /// Where its server is, such as `http://127.0.0.1:9090`.
    base: String,
    client: reqwest::Client,
}

impl RunningFlags {
    /// Whether `--http` is given.
    pub(super) const fn is_given(&self) -> bool {
        self.http.is_some()
    }

    /// The validator at `--http`, or at LEOMA_HTTP_LISTEN.
    pub(super) fn find(&self, file: Option<PathBuf>) -> anyhow::Result<Running> {
        let address = match &self.http {
            Some(address) => address.clone(),
            None => {
                let config = super::settings::load(file, BTreeMap::new())?;
                reachable(config.machine.http_listen).to_string()
            }
        };
        Running::at(&address)
    }
}

/// Where a server that listens on every address can be asked from this machine.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

/// Whether a URL leads to this machine. The proxy of the environment is for others, and would look
/// for the server on its own machine.
pub(super) fn is_here(url: &str) -> bool {
    let of_this_machine = |ip: IpAddr| {
        let ip = ip.to_canonical();
        ip.is_loopback() || ip.is_unspecified()
    };
    let Ok(url) = Url::parse(url) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => of_this_machine(ip.into()),
        Some(Host::Ipv6(ip)) => of_this_machine(ip.into()),
        None => false,
    }
}

impl Running {
    /// The server at `address`: a host and a port, or a whole address.
    pub(super) fn at(address: &str) -> anyhow::Result<Self> {
        let base = match address.split_once("://") {
            Some(_) => address.trim_end_matches('/').to_owned(),
            None => format!("http://{address}"),
        };
        let mut client = reqwest::Client::builder().timeout(TIMEOUT);
        if is_here(&base) {
            client = client.no_proxy();
        }
        Ok(Self { base, client: client.build()? })
    }

    /// Where it is.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A page as text, with its status.
    ///
    /// # Errors
    /// When nobody answers.
    pub(super) async fn text(&self, page: &str) -> anyhow::Result<(u16, String)> {
        let unreachable = || {
            format!(
                "no validator answers at {}: is `leoma serve` running, and LEOMA_HTTP_LISTEN the same?",
                self.base
            )
        };
        let request = self.client.get(format!("{}/{page}", self.base));
        let answer = request.send().await.with_context(unreachable)?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.with_context(unreachable)?))
    }

    /// A page as JSON.
    ///
    /// # Errors
    /// When nobody answers, or the validator does not show the page now.
    pub(super) async fn json(&self, page: &str) -> anyhow::Result<Value> {
        let (status, text) = self.text(page).await?;
        if status != 200 {
            bail!("the validator at {} does not show this now: {}", self.base, text.trim());
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{}/{page} is not JSON: is it a validator's?", self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(at("[::]:9090"), "[::1]:9090");
        assert_eq!(at("192.0.2.1:80"), "192.0.2.1:80");
    }

    #[test]
    fn a_server_of_this_machine_is_asked_without_a_proxy() {
        let uses_proxies = |address: &str| {
            let running = Running::at(address).unwrap();
            format!("{:?}", running.client).contains("proxies")
        };
        for here in ["127.0.0.1:9090", "localhost:9090", "http://[::1]:9090/", "0.0.0.0:9090"] {
            assert!(!uses_proxies(here), "{here}");
        }
        for elsewhere in ["192.0.2.1:9090", "https://api.leoma.ai", "validator:9090"] {
            assert!(uses_proxies(elsewhere), "{elsewhere}");
        }
    }
}
