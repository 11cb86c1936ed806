//! Addresses without the keys in them, for logs and errors.

/// A setting's text without keys, for logs. In an address, user, password and query are left out,
/// and in a chain node's address also the path, where many services want their keys. Text that
/// looks like an address and cannot be parsed is hidden. Lists are separated by commas.
pub fn without_keys(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    text.split(',').map(address_without_keys).collect::<Vec<_>>().join(",")
}

fn address_without_keys(text: &str) -> String {
    const HIDDEN: &str = "(hidden)";
    // What cannot be parsed may be the rest of an address whose key has a comma.
    let Ok(mut url) = url::Url::parse(text.trim()) else { return HIDDEN.to_owned() };
    let keys_in_path = matches!(url.scheme(), "ws" | "wss") && !matches!(url.path(), "" | "/");
    let has_keys = !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || keys_in_path;
    if !has_keys && url.has_host() {
        return text.to_owned();
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return HIDDEN.to_owned();
    }
    let query = if url.query().is_some() { "?(hidden)" } else { "" };
    url.set_query(None);
    url.set_fragment(None);
    if keys_in_path {
        url.set_path("");
        return format!("{url}{HIDDEN}");
    }
    format!("{url}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_addresses_are_not_shown() {
        for (text, shown) in [
            ("wss://a.example:443", "wss://a.example:443"),
            ("wss://user:key@a.example", "wss://a.example/"),
            ("wss://a.example/v2/key", "wss://a.example/(hidden)"),
            ("wss://a.example/?token=key", "wss://a.example/?(hidden)"),
            ("https://user:key@a.example/path", "https://a.example/path"),
            ("https://a.example/path?token=key", "https://a.example/path?(hidden)"),
            ("ws://127.0.0.1:9944", "ws://127.0.0.1:9944"),
            (
                "ws://a.example,wss://b.example/key,wss://c:key@d.example",
                "ws://a.example,wss://b.example/(hidden),wss://d.example/",
            ),
            ("wss://user:key@a.example:port", "(hidden)"),
            ("wss://a.example/?token=one,two", "wss://a.example/?(hidden),(hidden)"),
            ("wss://user:one,two@a.example", "(hidden),(hidden)"),
            (
                "/ip4/10.0.0.1/tcp/4070,/ip4/10.0.0.2/tcp/4070",
                "/ip4/10.0.0.1/tcp/4070,/ip4/10.0.0.2/tcp/4070",
            ),
            ("finney", "finney"),
            ("/ip4/0.0.0.0/tcp/4070", "/ip4/0.0.0.0/tcp/4070"),
            ("5 MB", "5 MB"),
        ] {
            assert_eq!(without_keys(text), shown);
        }
    }
}
