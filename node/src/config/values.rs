//! From text to values: each is parsed once, and every error names the setting, its source and the
//! accepted form.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use leoma_storage::Secret;

use super::error::ConfigError;
use super::setting::Setting;

type Result<T> = std::result::Result<T, ConfigError>;
type Parse<T> = fn(&str) -> Option<T>;

/// A value and where it was found.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) source: String,
}

/// What all layers together say.
#[derive(Clone)]
pub(crate) struct Values {
    /// All set values by environment name.
    pub(super) settings: BTreeMap<&'static str, Found>,
    /// The variables of the Python wallet in `.env`.
    pub(super) wallet_variables: BTreeMap<String, String>,
    /// Names that are not used, with the reason or what may be meant.
    pub(crate) notes: Vec<String>,
}

impl Values {
    pub(super) fn get(&self, setting: &Setting) -> Option<&Found> {
        self.settings.get(setting.name)
    }

    /// Puts a setting back to its default. Returns whether it had another value.
    pub(super) fn reset(&mut self, setting: &Setting) -> bool {
        let default = setting
            .default
            .map(|text| Found { text: text.to_owned(), source: "default".to_owned() });
        let before = match default {
            Some(default) => self.settings.insert(setting.name, default),
            None => self.settings.remove(setting.name),
        };
        before.is_some_and(|found| Some(found.text.as_str()) != setting.default)
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

    /// A value that is set, or else what the other settings call for.
    pub(super) fn parsed_or<T>(
        &self,
        setting: &Setting,
        parse: Parse<T>,
        otherwise: fn(&Self) -> T,
    ) -> Result<T> {
        Ok(self.optional(setting, parse)?.unwrap_or_else(|| otherwise(self)))
    }

    /// A value whose parser says what is wrong with it; the default of its type where it is unset.
    pub(super) fn checked<T: Default>(
        &self,
        setting: &Setting,
        parse: fn(&str) -> std::result::Result<T, String>,
    ) -> Result<T> {
        let Some(text) = self.text(setting) else { return Ok(T::default()) };
        parse(text).map_err(|reason| self.refuse(setting, Some(reason)))
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

    /// A path that is set or has a default.
    pub(super) fn path(&self, setting: &Setting) -> Result<PathBuf> {
        self.optional_path(setting)?.ok_or_else(|| ConfigError::missing(setting))
    }

    pub(super) fn optional_path(&self, setting: &Setting) -> Result<Option<PathBuf>> {
        let expand = |text: &str| {
            expanded(text, home().as_deref()).map_err(|reason| self.refuse(setting, Some(reason)))
        };
        self.text(setting).map(expand).transpose()
    }

    pub(super) fn secret(&self, setting: &Setting) -> Result<Option<Secret>> {
        self.optional(setting, |text| Some(Secret::new(text)))
    }
}

pub(super) fn from_str<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// A path with `~`, `$HOME` or `${HOME}` at its beginning filled in from `home`, as a shell does
/// it: Compose files, `.env` files and TOML pass them on as they are.
fn expanded(text: &str, home: Option<&Path>) -> std::result::Result<PathBuf, String> {
    const HOMES: [&str; 3] = ["${HOME}", "$HOME", "~"];
    let rest = HOMES.iter().find_map(|name| text.strip_prefix(name));
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home.ok_or_else(|| {
                format!("`{text}`, and HOME is not set (in a systemd unit set User=, or write the whole path)")
            })?;
            Ok(home.join(rest.trim_start_matches('/')))
        }
        _ if text.starts_with(['~', '$']) => {
            Err(format!("`{text}`, of which only ~ and $HOME are filled in: write the whole path"))
        }
        _ => Ok(PathBuf::from(text)),
    }
}

/// The home folder; an empty variable is none.
fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b5_a_home_at_a_paths_beginning_is_filled_in() {
        let home = Some(Path::new("/home/u"));
        for (text, path) in [
            ("~/.bittensor/wallets", "/home/u/.bittensor/wallets"),
            ("~/.bittensor/wallets/", "/home/u/.bittensor/wallets/"),
            ("$HOME/.bittensor", "/home/u/.bittensor"),
            ("${HOME}/.bittensor", "/home/u/.bittensor"),
            ("~", "/home/u"),
            ("$HOME", "/home/u"),
            ("/srv/~/x", "/srv/~/x"),
            ("wallets", "wallets"),
        ] {
            assert_eq!(expanded(text, home), Ok(PathBuf::from(path)), "{text}");
        }
        for text in ["~root/x", "$HOMER/x", "$OTHER/x", "${OTHER}/x"] {
            let error = expanded(text, home).unwrap_err();
            assert!(error.contains(text) && error.contains("whole path"), "{error}");
        }
        for text in ["~/.leoma", "$HOME/x"] {
            let error = expanded(text, None).unwrap_err();
            assert!(error.contains(text) && error.contains("HOME is not set"), "{error}");
        }
    }
}
