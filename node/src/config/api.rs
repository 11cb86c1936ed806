//! Pages and API for everybody.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use leoma_protocol::Hotkey;
use leoma_web::SiteSettings;

use super::values::{from_str, http_url};

super::declare::settings! {
    pub(crate) struct ApiConfig {
        /// pages and API for everybody; unset: off in `leoma serve`; API_HOST and API_PORT in
        /// `leoma api`
        LEOMA_API_LISTEN = setting("an address and port such as 0.0.0.0:8000", None)
            => listen: Option<SocketAddr>, optional(from_str);
        /// address of `leoma api`, where LEOMA_API_LISTEN is not set
        API_HOST = setting("an address", Some("0.0.0.0")) => host: IpAddr, parsed(from_str);
        /// port of `leoma api`, where LEOMA_API_LISTEN is not set
        API_PORT = setting("a port, 1 to 65535", Some("8000")) => port: u16, number(1..=65_535);
        /// whose pages may call the API; any where unset
        CORS_ORIGINS = setting("origins such as https://leoma.ai, separated by commas", None)
            => cors_origins: Option<Vec<String>>, optional(origins);
        /// further names under which LEOMA_HTTP_LISTEN may be asked, such as a monitoring system's
        LEOMA_HTTP_HOSTS = setting("host names separated by commas", None)
            => hosts: Option<Vec<String>>, optional(host_names);
        /// who may change the blacklist over the API
        ADMIN_HOTKEYS = setting("hotkeys separated by commas", None)
            => admins: Option<Vec<Hotkey>>, optional(hotkeys);
        /// an API of the subnet's owner that is told of our samples and of our checks of the
        /// miners; none unless set. Nothing else depends on it
        API_URL = setting("an http:// or https:// address", None)
            => report_to: Option<String>, optional(http_url);
        /// how far off the time of a signed call may be
        SIGNATURE_EXPIRY_SECONDS = setting("seconds, 1 to 3600", Some("300"))
            => signature_expiry: Duration, seconds(1..=3600);
    }
}

impl ApiConfig {
    pub(crate) fn site(&self) -> SiteSettings {
        SiteSettings {
            admins: self.admins.clone().unwrap_or_default(),
            signature_expiry: self.signature_expiry,
            cors_origins: self.cors_origins.clone().unwrap_or_default(),
            hosts: self.hosts.clone().unwrap_or_default(),
        }
    }

    /// Where `leoma api` listens.
    pub(crate) fn alone(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| SocketAddr::new(self.host, self.port))
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// `*` means any, as in the Python implementation.
fn origins(text: &str) -> Option<Vec<String>> {
    let origin = |part: &str| {
        let url = url::Url::parse(part).ok()?;
        matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
    };
    if parts(text).any(|part| part == "*") {
        Some(Vec::new())
    } else {
        parts(text).map(origin).collect()
    }
}

/// Names without scheme, port or path, in lower case.
fn host_names(text: &str) -> Option<Vec<String>> {
    let name = |part: &str| {
        let is_name = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        is_name.then(|| part.to_ascii_lowercase())
    };
    parts(text).map(name).collect()
}

fn hotkeys(text: &str) -> Option<Vec<Hotkey>> {
    parts(text).map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_lose_their_paths_and_a_star_is_any() {
        assert_eq!(
            origins("https://leoma.ai/, http://localhost:3000"),
            Some(vec!["https://leoma.ai".to_owned(), "http://localhost:3000".to_owned()])
        );
        assert_eq!(origins("*"), Some(Vec::new()));
        assert_eq!(origins("leoma.ai"), None);
    }

    #[test]
    fn host_names_have_no_scheme_or_port() {
        let names = ["leoma.lan", "grafana-1.svc"].map(str::to_owned).to_vec();
        assert_eq!(host_names("Leoma.lan, grafana-1.svc"), Some(names));
        assert_eq!(host_names("http://leoma.lan"), None);
        assert_eq!(host_names("leoma.lan:9090"), None);
    }
}
