//! From text to values: each is parsed once, and every error names the setting, its source and the
//! accepted form.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use leoma_storage::Secret;

use super::error::ConfigError;
use super::setting::Setting;

type Result<T> = std::result::Result<T, ConfigError>;
type Parse<T> = fn(&str) -> Option<T>;

/// A value and where it was found.
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) source: String,
}

/// All set values by environment name.
pub(crate) struct Values(pub(super) BTreeMap<&'static str, Found>);

impl Values {
    pub(super) fn get(&self, setting: &Setting) -> Option<&Found> {
        self.0.get(setting.name)
    }

    pub(super) fn text(&self, setting: &Setting) -> Option<&str> {
        self.get(setting).map(|found| found.text.trim())
    }

    /// The error for a value that is not accepted. It shows `reason` if there is one, and otherwise
    /// the value, unless that is secret.
    pub(super) fn refuse(&self, setting: &Setting, reason: Option<String>) -> ConfigError {
        let Some(found) = self.get(setting) else { return ConfigError::missing(setting) };
        let shown = match reason {
            Some(reason) => reason,
            None if setting.secret => "malformed (its value is not shown)".to_owned(),
            None => format!(
                "`{}`",
                leoma_chain::without_keys(&found.text).chars().take(80).collect::<String>()
            ),
        };
        ConfigError::Value {
            name: setting.name,
            accepted: setting.accepted,
            found_in: found.source.clone(),
            shown,
        }
    }

    pub(super) fn optional<T>(&self, setting: &Setting, parse: Parse<T>) -> Result<Option<T>> {
        let parsed = self.text(setting).map(parse);
        parsed.map(|value| value.ok_or_else(|| self.refuse(setting, None))).transpose()
    }

    pub(super) fn parsed<T>(&self, setting: &Setting, parse: Parse<T>) -> Result<T> {
        self.optional(setting, parse)?.ok_or_else(|| ConfigError::missing(setting))
    }

    pub(super) fn list<T>(&self, setting: &Setting, parse: Parse<Vec<T>>) -> Result<Vec<T>> {
        Ok(self.optional(setting, parse)?.unwrap_or_default())
    }

    pub(super) fn number<T>(&self, setting: &Setting, range: RangeInclusive<T>) -> Result<T>
    where
        T: FromStr + PartialOrd,
    {
        let number = self.parsed(setting, from_str)?;
        if range.contains(&number) { Ok(number) } else { Err(self.refuse(setting, None)) }
    }

    pub(super) fn seconds(
        &self,
        setting: &Setting,
        range: RangeInclusive<u64>,
    ) -> Result<Duration> {
        self.number(setting, range).map(Duration::from_secs)
    }

    pub(super) fn secret(&self, setting: &Setting) -> Result<Option<Secret>> {
        self.optional(setting, |text| Some(Secret::new(text)))
    }
}

pub(super) fn from_str<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    match text.strip_prefix("~/") {
        Some(rest) => Some(PathBuf::from(std::env::var_os("HOME")?).join(rest)),
        None => Some(PathBuf::from(text)),
    }
}

/// An address without its trailing slash, so that paths can be appended.
pub(super) fn http_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host())
        .then(|| text.trim_end_matches('/').to_owned())
}

/// One path component: a wallet's name must not lead out of the wallets' folder.
pub(super) fn file_name(text: &str) -> Option<String> {
    let plain = !text.contains(['/', '\\', '\0']) && text != "." && text != "..";
    plain.then(|| text.to_owned())
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}
