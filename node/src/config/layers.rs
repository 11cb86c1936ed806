//! Where values come from: defaults, then a file, then the environment (with `.env`), then flags;
//! the last one wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::{Figment, Profile};

use super::error::ConfigError;
use super::values::{Found, Values};
use super::{Config, find_setting, settings};

/// Names that other implementations read and this one ignores.
const KNOWN_ELSEWHERE: &[&str] = &[
    "API_URL",
    "EPOCH_LEN",
    "LEOMA_ENV",
    "CORS_ORIGINS",
    "ADMIN_HOTKEYS",
    "SIGNATURE_EXPIRY_SECONDS",
    "WATCHTOWER_POLL_INTERVAL",
];

/// The places to read from. Flags hold environment names.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file with the settings' names in lower case.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: BTreeMap<String, String>,
    /// A `.env` file; the environment wins over it.
    pub dotenv: Option<PathBuf>,
    /// Values given on the command line.
    pub flags: BTreeMap<String, String>,
}

impl Sources {
    /// The process's environment, `.env` in the working folder where there is one, and `file`.
    pub(crate) fn of_process(file: Option<PathBuf>, flags: BTreeMap<String, String>) -> Self {
        let dotenv = Path::new(".env").is_file().then(|| PathBuf::from(".env"));
        // Every setting is text: values that are not UTF-8 belong to others.
        let environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self { file, environment: environment.collect(), dotenv, flags }
    }

    /// Merges all layers. A file that cannot be read is an error, and so is a name in it that no
    /// setting has.
    pub(crate) fn merge(&self) -> Result<Values, ConfigError> {
        let defaults: BTreeMap<&str, &str> =
            settings().filter_map(|setting| Some((setting.name, setting.default?))).collect();
        let mut figment = Figment::from(layer("default", &defaults));
        if let Some(path) = &self.file {
            figment = figment.merge(layer(&format!("file {}", path.display()), &read_toml(path)?));
        }
        if let Some(path) = &self.dotenv {
            figment =
                figment.merge(layer(&format!("file {}", path.display()), &read_dotenv(path)?));
        }
        figment = figment.merge(layer("environment", &known(&self.environment)));
        figment = figment.merge(layer("flag", &known(&self.flags)));
        let mut values = BTreeMap::new();
        for setting in settings() {
            // An empty value counts as unset: Compose files pass empty variables on.
            let Ok(value) = figment.find_value(setting.name) else { continue };
            let Some(text) = value.as_str().filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            let source = figment
                .get_metadata(value.tag())
                .map_or_else(String::new, |metadata| metadata.name.to_string());
            values.insert(setting.name, Found { text: text.to_owned(), source });
        }
        Ok(Values(values))
    }
}

impl Config {
    /// Reads and parses all layers.
    ///
    /// # Errors
    /// The first [`ConfigError`], naming the setting, its source and the accepted form.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::read(&sources.merge()?)
    }
}

fn layer<K: AsRef<str>, V: AsRef<str>>(name: &str, values: &BTreeMap<K, V>) -> Figment {
    let texts: BTreeMap<&str, &str> =
        values.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    Figment::from(Named { name: name.to_owned(), inner: Serialized::from(texts, Profile::Default) })
}

/// A provider with a name that operators understand.
struct Named<T> {
    name: String,
    inner: Serialized<T>,
}

impl<T: serde::Serialize> figment::Provider for Named<T> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<figment::value::Map<Profile, figment::value::Dict>, figment::Error> {
        self.inner.data()
    }
}

fn known(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    values
        .iter()
        .filter(|(name, _)| find_setting(name).is_some())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn read_toml(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let unreadable = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let table: figment::value::Dict = Toml::from_str(&text).map_err(|error| {
        // The parser quotes the offending line, which may hold a key.
        let place = error
            .span()
            .map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
        unreadable(format!("not TOML near line {place}"))
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let name = key.to_uppercase();
        let Some(setting) = find_setting(&name) else {
            if KNOWN_ELSEWHERE.contains(&name.as_str()) {
                continue;
            }
            return Err(unreadable(format!(
                "no setting is named `{key}` (see `leoma config show`)"
            )));
        };
        let text = match &value {
            figment::value::Value::String(_, text) => text.clone(),
            figment::value::Value::Bool(_, flag) => flag.to_string(),
            figment::value::Value::Num(..) => value
                .to_i128()
                .map(|n| n.to_string())
                .or_else(|| value.to_u128().map(|n| n.to_string()))
                .unwrap_or_default(),
            _ => String::new(),
        };
        if text.is_empty() {
            return Err(ConfigError::Value {
                name: setting.name,
                accepted: setting.accepted,
                found_in: format!("file {}", path.display()),
                shown: "a table, list or fraction".into(),
            });
        }
        values.insert(name, text);
    }
    Ok(values)
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let unreadable = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    let entries = dotenvy::from_path_iter(path).map_err(|error| unreadable(error.to_string()))?;
    let mut values = BTreeMap::new();
    for entry in entries {
        // The parser's own message quotes the line, which may hold a key.
        let (name, value) = entry.map_err(|_| unreadable("a line is not NAME=value".to_owned()))?;
        if find_setting(&name).is_some() {
            values.insert(name, value);
        }
    }
    Ok(values)
}
