//! `leoma config show`: every setting, its value and where that comes from, with secrets hidden.

use serde::Serialize;

use super::layers::Values;
use super::settings::SETTINGS;

/// One line of the listing.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The setting.
    pub name: &'static str,
    /// Its value; `(hidden)` for a secret that is set.
    pub value: Option<String>,
    /// Where the value was found.
    pub source: Option<String>,
    /// What it is for.
    pub help: &'static str,
    /// The accepted form.
    pub accepted: &'static str,
}

/// A text as it may be shown: of an address, user, password and query are left out, where many services want their keys.
#[must_use]
pub fn without_keys(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else { return text.to_owned() };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if is_plain || !url.has_host() {
        return text.to_owned();
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return "(hidden)".to_owned();
    }
    let query = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    format!("{url}{}", if query { "?(hidden)" } else { "" })
}

/// The listing of all settings.
#[must_use]
pub fn show(values: &Values) -> Vec<Shown> {
    SETTINGS
        .iter()
        .map(|setting| {
            let found = values.get(setting.name);
            let value =
                found.map(|found| if setting.secret { "(hidden)".to_owned() } else { without_keys(&found.text) });
            let source = found.map(|found| found.source.clone());
            Shown { name: setting.name, value, source, help: setting.help, accepted: setting.accepted }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_addresses_are_not_shown() {
        for (text, shown) in [
            ("wss://a.example:443", "wss://a.example:443"),
            ("wss://user:key@a.example/path", "wss://a.example/path"),
            ("wss://a.example/path?token=key", "wss://a.example/path?(hidden)"),
            ("finney", "finney"),
            ("/ip4/0.0.0.0/tcp/4070", "/ip4/0.0.0.0/tcp/4070"),
            ("5 MB", "5 MB"),
        ] {
            assert_eq!(without_keys(text), shown);
        }
    }
}
