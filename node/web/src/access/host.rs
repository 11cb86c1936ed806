//! Guards against DNS rebinding: a stranger's page, opened by the operator, can make the browser
//! call this machine under a name of the stranger's, and then read the answers as that name's.

use std::net::IpAddr;

use axum::http::Uri;
use axum::http::uri::Authority;

/// Whether the operator's listener may be asked under `host`: by an address, as `localhost`, by a
/// name without a dot such as a container's, which no stranger can register, or by a name that the
/// operator allows.
pub(crate) fn is_trusted_host(host: &str, allowed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && !name.contains('.') && !name.contains(':'))
        || name.ends_with(".localhost")
        || allowed.contains(&name)
}

/// The name that a request asks for: its target's in HTTP/2, else that of its `Host` header.
pub(crate) fn asked_host<'a>(uri: &'a Uri, header: Option<&'a [u8]>) -> Option<&'a [u8]> {
    uri.authority().map(|authority| authority.as_str().as_bytes()).or(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_is_no_name_of_this_machine() {
        let allowed = ["leoma.monitoring.svc".to_owned()];
        for host in [
            "127.0.0.1:9090",
            "localhost",
            "LOCALHOST:9090",
            "localhost.",
            "my.localhost:1",
            "[::1]:9090",
            "192.168.7.9",
            "validator:9090",
            "leoma.monitoring.svc:9090",
        ] {
            assert!(is_trusted_host(host, &allowed), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1@evil.example",
            "a@localhost",
            "leoma.monitoring.svc.evil.example",
            "1.2.3.4.5",
            "",
            ":9090",
            "a b",
        ] {
            assert!(!is_trusted_host(host, &allowed), "{host}");
        }
    }
}
