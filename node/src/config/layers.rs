//! Where values come from: defaults, then a file, then the environment (with `.env`), then flags;
//! the last one wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::{Figment, Profile};

use super::error::ConfigError;
use super::show::{Shown, show};
use super::values::{Found, Values};
use super::{Config, dotenv, elsewhere, find_setting, settings};

/// What the variables begin with in which the Python wallet saves passwords.
const WALLET_VARIABLES: &str = "BT_PW_";

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

    /// Merges all layers. A file that cannot be read is an error, and so is a name in a TOML file
    /// that no setting has; such a name in the environment or in `.env` is noted.
    pub(crate) fn merge(&self) -> Result<Values, ConfigError> {
        let mut notes = Notes::default();
        let defaults: BTreeMap<&str, &str> =
            settings().filter_map(|setting| Some((setting.name, setting.default?))).collect();
        let mut figment = Figment::from(layer("default", &defaults));
        if let Some(path) = &self.file {
            let values = read_toml(path, &mut notes)?;
            figment = figment.merge(layer(&format!("file {}", path.display()), &values));
        }
        let mut wallet_variables = BTreeMap::new();
        if let Some(path) = &self.dotenv {
            let all = read_dotenv(path)?;
            let source = format!("file {}", path.display());
            figment = figment.merge(layer(&source, &known(&all, &source, &mut notes)));
            wallet_variables =
                all.into_iter().filter(|(name, _)| name.starts_with(WALLET_VARIABLES)).collect();
        }
        let environment: BTreeMap<String, String> = self
            .environment
            .iter()
            .map(|(name, text)| (name.clone(), of_docker(name, text)))
            .collect();
        figment =
            figment.merge(layer("environment", &known(&environment, "environment", &mut notes)));
        figment = figment.merge(layer("flag", &known(&self.flags, "flag", &mut notes)));
        let mut values = BTreeMap::new();
        for setting in settings() {
            let Ok(value) = figment.find_value(setting.name) else { continue };
            let Some(text) = value.as_str() else { continue };
            let source = figment
                .get_metadata(value.tag())
                .map_or_else(String::new, |metadata| metadata.name.to_string());
            values.insert(setting.name, Found { text: text.to_owned(), source });
        }
        Ok(Values { settings: values, wallet_variables, notes: notes.0 })
    }
}

/// What an operator should know of names that are not used.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, note: &str, source: &str) {
        self.0.push(format!("{note} ({source})"));
    }
}

impl Config {
    /// Reads and parses all layers.
    ///
    /// # Errors
    /// The first [`ConfigError`], naming the setting, its source and the accepted form.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let values = sources.merge()?;
        let shown = show(&values).into_iter().map(Shown::columns).collect();
        Self::read(&values, shown)
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

/// The settings among `values`. An empty value counts as unset, and hides none of an earlier layer:
/// Compose files pass empty variables on.
fn known(
    values: &BTreeMap<String, String>,
    source: &str,
    notes: &mut Notes,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, text) in values.iter().filter(|(_, text)| !text.trim().is_empty()) {
        if find_setting(name).is_some() {
            settings.insert(name.clone(), text.clone());
        } else if let Some(note) = elsewhere::note(name) {
            notes.add(&note, source);
        }
    }
    settings
}

/// A variable's value as it is meant. Docker's `--env-file` keeps quotes; a password is left alone,
/// as it may have them.
fn of_docker(name: &str, text: &str) -> String {
    let is_password = find_setting(name).is_none_or(|setting| setting.untouched);
    if is_password { text.to_owned() } else { dotenv::unquoted(text).to_owned() }
}

fn read_toml(path: &Path, notes: &mut Notes) -> Result<BTreeMap<String, String>, ConfigError> {
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
            if elsewhere::reason(&name).is_some()
                && let Some(note) = elsewhere::note(&name)
            {
                notes.add(&note, &format!("file {}", path.display()));
                continue;
            }
            let likely = elsewhere::note(&name).filter(|note| note.contains("did you mean"));
            let hint = likely
                .map_or_else(|| "(see `leoma config show`)".to_owned(), |note| format!("({note})"));
            return Err(unreadable(format!("no setting is named `{key}` {hint}")));
        };
        let text = match &value {
            // Unset, as in the other layers.
            figment::value::Value::String(_, text) if text.trim().is_empty() => continue,
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
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let entries = dotenv::read(&text).map_err(|error| unreadable(error.to_string()))?;
    Ok(entries.into_iter().collect())
}
