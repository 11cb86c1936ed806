//! `leoma config show`: every setting with its value and the value's source; secrets are hidden.

use leoma_chain::without_keys;
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

/// The listing of all settings.
#[must_use]
pub fn show(values: &Values) -> Vec<Shown> {
    SETTINGS
        .iter()
        .map(|setting| {
            let found = values.get(setting.name);
            let value = found.map(|found| {
                if setting.secret { "(hidden)".to_owned() } else { without_keys(&found.text) }
            });
            let source = found.map(|found| found.source.clone());
            Shown {
                name: setting.name,
                value,
                source,
                help: setting.help,
                accepted: setting.accepted,
            }
        })
        .collect()
}
